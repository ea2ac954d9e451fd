"""A grid as one labelled image: columns named at the top, rows at the left, a part for each value of the third axis."""
from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from pipelines.grid import Grid, label
from studio.printing import INK, PAPER, QUIET, face, wrapped

MARGIN, GAP, ROW_WIDTH, LINE = 40, 10, 190, 24
CELL_MOST, CELL_LEAST = 768, 48
SIDE_MOST, PIXELS_MOST = 16_000, 80_000_000  # what viewers still open
LINES = 3  # of a label
EMPTY, REFUSED = "#ededed", "#f7e9e8"


@dataclass(frozen=True)
class Shot:
    """A drawn cell: its picture's size in pixels and its file."""

    width: int
    height: int
    file: Path


@dataclass(frozen=True)
class _Layout:
    """Pixels. cell: width and height of a cell; side: the width of the rows' labels; head: of the title; top: of the columns' labels."""

    cell: tuple[int, int]
    side: int
    head: int
    top: int
    pages: int
    size: tuple[int, int]
    page: int  # height of a part


def sheet_size(grid: Grid, sizes: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Width and height in pixels of the sheet whose pictures have `sizes`, and those of a cell."""
    layout = _layout(grid, sizes)
    return {"width": layout.size[0], "height": layout.size[1], "cell_width": layout.cell[0], "cell_height": layout.cell[1]}


def write_sheet(grid: Grid, shots: Mapping[int, Shot], refused: Mapping[int, str]) -> bytes:
    """The sheet as a PNG; `shots` and `refused` by the number of the cell. At least one shot."""
    layout = _layout(grid, [(shot.width, shot.height) for shot in shots.values()])
    sheet = Image.new("RGB", layout.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _heading(draw, grid, layout)
    for number, place in enumerate(grid.places()):
        column, row, page = (*place, 0, 0)[:3]
        x = MARGIN + layout.side + column * (layout.cell[0] + GAP)
        y = MARGIN + layout.head + page * layout.page + layout.top + row * (layout.cell[1] + GAP)
        if column == 0 and row == 0:
            _page_labels(draw, grid, layout, page)
        if number in shots:
            _paste(sheet, shots[number].file, x, y, layout.cell)
        else:
            why = refused.get(number, "")
            draw.rectangle((x, y, x + layout.cell[0] - 1, y + layout.cell[1] - 1), REFUSED if why else EMPTY)
            for at, line in enumerate(wrapped(why, layout.cell[0] - 16, 14, 4) if why and layout.cell[0] > 120 else []):
                draw.text((x + 8, y + 8 + at * 19), line, QUIET, face(14, line))
    kept = PngInfo()
    kept.add_text("grid", _ascii(grid))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", pnginfo=kept)
    return buffer.getvalue()


def _layout(grid: Grid, sizes: Sequence[tuple[int, int]]) -> _Layout:
    """The largest cells with which the sheet stays one that viewers open; never larger than the pictures."""
    columns, rows, pages = grid.shape
    # The shape of the first picture; others are fitted into it.
    wide, high = max(width for width, _ in sizes), max(height for _, height in sizes)
    side = ROW_WIDTH if len(grid.axes) > 1 else 0
    cell = min(CELL_MOST, wide)
    while True:
        tall = max(1, round(cell * high / wide))
        top = LINE * LINES + 12
        page = (40 if pages > 1 else 0) + top + rows * (tall + GAP) + (24 if pages > 1 else 0)
        width = max(640, MARGIN * 2 + side + columns * (cell + GAP) - GAP)
        head = 60 + LINE * 2
        height = MARGIN * 2 + head + pages * page
        if cell <= CELL_LEAST or (max(width, height) <= SIDE_MOST and width * height <= PIXELS_MOST):
            return _Layout((cell, tall), side, head, top + (40 if pages > 1 else 0), pages, (width, height), page)
        cell = max(CELL_LEAST, int(cell * 0.9))


def _heading(draw: ImageDraw.ImageDraw, grid: Grid, layout: _Layout) -> None:
    width = layout.size[0] - 2 * MARGIN
    draw.text((MARGIN, MARGIN), *_words(wrapped(grid.title, width, 28, 1)[0], INK, 28))
    same = {name: value for name, value in grid.base.items() if name != "prompt" and value not in ("", [], {}, None)}
    seed = "" if any(axis.field == "seed" for axis in grid.axes) else f"seed {grid.seed}"
    settings = ", ".join([*(f"{name} {label(value)}" for name, value in same.items()), *([seed] if seed else [])])
    prompt = " ".join(str(grid.base.get("prompt") or "").split())
    for at, (line, ink) in enumerate(((prompt, INK), (settings, QUIET))):
        if line:
            draw.text((MARGIN, MARGIN + 44 + at * LINE), *_words(wrapped(line, width, 17, 1)[0], ink, 17))


def _page_labels(draw: ImageDraw.ImageDraw, grid: Grid, layout: _Layout, page: int) -> None:
    y = MARGIN + layout.head + page * layout.page
    if len(grid.axes) > 2:
        words = f"{grid.axes[2].title}: {grid.axes[2].label(page)}"
        draw.text((MARGIN, y), *_words(wrapped(words, layout.size[0] - 2 * MARGIN, 22, 1)[0], INK, 22))
    across = grid.axes[0]
    for column in range(len(across.values)):
        words = across.label(column) if column else f"{across.title}: {across.label(column)}"
        lines = wrapped(words, layout.cell[0], 17, LINES)
        x = MARGIN + layout.side + column * (layout.cell[0] + GAP)
        for at, line in enumerate(lines):
            draw.text((x, y + layout.top - 8 - (len(lines) - at) * LINE), *_words(line, INK, 17))
    if len(grid.axes) > 1:
        down = grid.axes[1]
        for row in range(len(down.values)):
            words = down.label(row) if row else f"{down.title}: {down.label(row)}"
            for at, line in enumerate(wrapped(words, layout.side - 16, 17, LINES)):
                draw.text((MARGIN, y + layout.top + row * (layout.cell[1] + GAP) + at * LINE), *_words(line, INK, 17))


def _paste(sheet: Image.Image, file: Path, x: int, y: int, cell: tuple[int, int]) -> None:
    with Image.open(file) as opened:
        opened.draft("RGB", cell)
        picture = opened.convert("RGB")
    picture.thumbnail(cell, Image.Resampling.LANCZOS)
    sheet.paste(picture, (x + (cell[0] - picture.width) // 2, y + (cell[1] - picture.height) // 2))


def _words(line: str, ink: str, size: int) -> tuple[str, str, Any]:
    return line, ink, face(size, line)


def _ascii(grid: Grid) -> str:
    """The grid's own JSON, so that a sheet says how it was made."""
    return json.dumps(grid.to_dict())
