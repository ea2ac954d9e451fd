"""The contact sheet as paper: frames in rows with number, verdict and scores, under the prompt; as a PNG or a PDF (A4, landscape)."""
from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)

DPI = 150
WIDTH, HEIGHT = 1754, 1240  # A4 on its side at 150 dpi
MARGIN, GAP, COLUMNS = 70, 22, 6
PAPER, INK, QUIET, FILM, FAIL, ACCENT = "#ffffff", "#1a1a1a", "#666666", "#161616", "#b3261e", "#b87400"
FRAMES_LIMIT = 480
VERDICTS = {"kept": "KEPT", "spare": "spare", "rejected": "rejected", "review": "review"}


@dataclass(frozen=True)
class Frame:
    """One picture: as GET /api/images/{id} tells of it, and its file."""

    view: Mapping[str, Any]
    path: Path


def print_pdf(frames: Sequence[Frame], strip: bool = False) -> bytes:
    """Pages of A4. strip: pictures and frame numbers only, no prompts, no scores."""
    pages = list(_pages(frames, strip))
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=DPI, title="Contact sheet", quality=88)
    return buffer.getvalue()


def print_png(frames: Sequence[Frame], strip: bool = False) -> bytes:
    """One image, as long as it has to be."""
    pages = list(_pages(frames, strip, endless=True))
    buffer = io.BytesIO()
    pages[0].save(buffer, "PNG", dpi=(DPI, DPI))
    return buffer.getvalue()


def _groups(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Frames of one job stay together, in the order in which the first of each was given."""
    jobs: dict[int, list[Frame]] = {}
    for frame in frames:
        jobs.setdefault(frame.view["job"], []).append(frame)
    for group in jobs.values():
        yield sorted(group, key=lambda frame: frame.view["number"])


def _pages(frames: Sequence[Frame], strip: bool, endless: bool = False) -> Iterator[Image.Image]:
    """Lays rows out from the top of a page down; a row never breaks."""
    rows = [row for group in _groups(frames) for row in _rows_of(group, strip)]
    height = MARGIN * 2 + sum(row.height + GAP for row in rows) if endless else HEIGHT
    page, y = Image.new("RGB", (WIDTH, height), PAPER), MARGIN
    number = 1
    for row in rows:
        if y + row.height > height - MARGIN and y > MARGIN:
            yield _numbered(page, number)
            page, y, number = Image.new("RGB", (WIDTH, HEIGHT), PAPER), MARGIN, number + 1
        page.paste(row, (MARGIN, y))
        y += row.height + GAP
    yield page if endless else _numbered(page, number)


def _numbered(page: Image.Image, number: int) -> Image.Image:
    ImageDraw.Draw(page).text((WIDTH - MARGIN, HEIGHT - 30), str(number), QUIET, face(16), anchor="rm")
    return page


def _rows_of(group: Sequence[Frame], strip: bool) -> Iterator[Image.Image]:
    """The strips of a job's frames; the first has the job's prompt over it."""
    width = WIDTH - 2 * MARGIN
    cell = width // COLUMNS
    shot = cell - 14
    lines = max((len(_lines(frame, shot)) for frame in group), default=0) if not strip else 0
    for start in range(0, len(group), COLUMNS):
        row = group[start : start + COLUMNS]
        tall = max(round(shot * min(2.0, frame.view["height"] / frame.view["width"])) for frame in row)
        head = _headline(group[0].view, width, strip) if start == 0 else []
        top = len(head) * 28 + (8 if head else 0)
        image = Image.new("RGB", (width, top + tall + 32 + 16 + lines * 19), PAPER)
        draw = ImageDraw.Draw(image)
        for place, (words, ink) in enumerate(head):
            draw.text((0, place * 28), words, ink, face(21 if ink == INK else 16, words))
        for place, frame in enumerate(row):
            _paste(image, draw, frame, place * cell, top, cell, tall, strip)
        yield image


def _headline(view: Mapping[str, Any], width: int, strip: bool) -> list[tuple[str, str]]:
    if strip:
        return [(f"#{view['job']}", INK)]
    about = f"{view['tier']}, {view['card']}, {view['steps']} steps, {view['width']} x {view['height']}, {view['created'][:10]}"
    prompt = " ".join(view["prompt"].split())
    return [*((line, INK) for line in wrapped(f"#{view['job']}   {prompt}", width, 21, 2)), (about, QUIET)]


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, frame: Frame, x: int, y: int, cell: int, tall: int, strip: bool) -> None:
    view = frame.view
    draw.rectangle((x, y, x + cell - 1, y + tall + 31 + 8), FILM)
    draw.text((x + 10, y + 15), f"{view['number']}", "#ffb000", face(17), anchor="lm")
    verdict = "" if strip else VERDICTS.get(view["verdict"] or "", "")
    stars = "" if strip or not view["rating"] else f"{view['rating']}/5   "
    draw.text((x + cell - 10, y + 15), stars + verdict, "#ffb000" if view["verdict"] == "kept" else "#b8b8b8", face(15), anchor="rm")
    with Image.open(frame.path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((cell - 14, tall), Image.Resampling.LANCZOS)
    sheet.paste(picture, (x + (cell - picture.width) // 2, y + 30 + (tall - picture.height) // 2))
    if view["verdict"] == "kept" and not strip:
        draw.rectangle((x + 3, y + 28, x + cell - 4, y + 31 + tall), outline="#ffb000", width=3)
    if not strip:
        for place, (words, ink) in enumerate(_lines(frame, cell - 14)):
            draw.text((x + 8, y + tall + 48 + place * 19), words, ink, face(14, words))


def _lines(frame: Frame, width: int) -> list[tuple[str, str]]:
    """Seed, scores (those that fail in red, with the threshold), tags."""
    lines = [(f"seed {frame.view['seed']}", QUIET)]
    for score in frame.view["scores"]:
        name = score["dimension"].replace("_", " ")
        if score["value"] is None:
            lines.append((f"{name} not scored", QUIET))
            continue
        failed = score["passed"] is False
        sign = {">=": "<", "<=": ">"}.get(score["bound"] or "", "")
        limit = f" {sign} {score['threshold']:g}" if failed else ""
        lines.append((f"{name} {score['value']:.0f}{limit}", FAIL if failed and score["hard"] else ACCENT if failed else INK))
    if frame.view["tags"]:
        lines.append((wrapped(", ".join(frame.view["tags"]), width, 14, 1)[0], QUIET))
    return lines


def wrapped(words: str, width: int, size: int, most: int) -> list[str]:
    """At most `most` lines of at most `width` pixels; what does not fit ends in an ellipsis."""
    font, lines, line = face(size, words), [], ""
    for word in words.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} ..."]
    return [_cut(one, width, font) for one in lines]


def _cut(line: str, width: int, font: Any) -> str:
    while line and font.getlength(line) > width:
        line = line[: max(0, len(line) - 5)].rstrip(" .") + "..." if len(line) > 8 else ""
    return line


# Pillow's own face has Latin letters only; for others one of the machine's is looked for.
WIDE = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "msgothic.ttc", "PingFang.ttc", "arial.ttf")


def face(size: int, words: str = "") -> Any:
    # Latin and its punctuation are in Pillow's own.
    return _wide(size) if any(ord(one) > 0x17F and not 0x2010 <= ord(one) <= 0x2026 for one in words) else _plain(size)


@cache
def _plain(size: int) -> Any:
    return ImageFont.load_default(size)


@cache
def _wide(size: int) -> Any:
    for name in WIDE:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            log.debug("no font %s here", name)
    return _plain(size)
