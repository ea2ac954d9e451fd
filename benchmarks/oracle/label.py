"""Look at generated pictures and say what they show, so that the oracle can be held to a person's eye.

    python -m benchmarks.oracle.label sheet --pictures DIR --out DIR      numbered contact sheets of DIR/manifest.json
    python -m benchmarks.oracle.label record --pictures DIR --seen FILE   keep what a person saw
    python -m benchmarks.oracle.label thresholds                          set the oracle's thresholds by the pictures kept for that
    python -m benchmarks.oracle.label agreement                           where the oracle and the person differ on all others

DIR/manifest.json is a list of {"file", "object", "colour", "scene"}: what each picture was asked to show. FILE has a line for one or
more numbers of the sheets: `1-4,7 ok` (as asked), `5 unclear`, or `6 mug red table` (what it shows instead); # starts a comment.
What a person cannot decide on is left out. With `record --use thresholds` the pictures are for setting thresholds, and never for agreement.
"""
from __future__ import annotations

import argparse
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.oracle import HERE, WEIGHTS, Oracle, agrees, labelled
from models.embedded.world import COLOURS, OBJECTS, SCENES

NAMES = {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES}
CELL, TEXT, AREA = 200, 32, 256 * 256  # pixels
TRIED = {  # thresholds of each head
    "object": (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99), "colour": (0.5, 0.65, 0.8, 0.9), "scene": (0.5, 0.6, 0.7, 0.8, 0.9),
    "clear": (0.01, 0.02, 0.03, 0.05, 0.1, 0.14, 0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oracle.label", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sheet", "record"):
        commands.add_parser(name).add_argument("--pictures", type=Path, required=True)
    commands.choices["sheet"].add_argument("--out", type=Path, required=True)
    commands.choices["sheet"].add_argument("--columns", type=int, default=6)
    commands.choices["sheet"].add_argument("--rows", type=int, default=5)
    commands.choices["record"].add_argument("--seen", type=Path, required=True)
    commands.choices["record"].add_argument("--use", choices=("agreement", "thresholds"), default="agreement")
    commands.add_parser("thresholds")
    commands.add_parser("agreement")
    args = parser.parse_args()
    if args.command == "sheet":
        print(*sheets(args.pictures, args.out, args.columns, args.rows), sep="\n")
    elif args.command == "record":
        print(f"{record(args.pictures, parse_seen(args.seen.read_text(encoding='utf-8')), use=args.use)} pictures are labelled")
    elif args.command == "thresholds":
        set_thresholds()
    else:
        tell(Oracle.load())


def sheets(pictures: Path, out: Path, columns: int = 6, rows: int = 5) -> list[Path]:
    """Write sheet-01.png and so on: every picture with its number and what was asked for under it."""
    manifest = _manifest(pictures)
    out.mkdir(parents=True, exist_ok=True)
    files, font = [], ImageFont.load_default(13)
    for start in range(0, len(manifest), columns * rows):
        page = manifest[start:start + columns * rows]
        sheet = Image.new("RGB", (columns * CELL, math.ceil(len(page) / columns) * (CELL + TEXT)), (118, 118, 118))
        pen = ImageDraw.Draw(sheet)
        for i, asked in enumerate(page):
            left, top = i % columns * CELL, i // columns * (CELL + TEXT)
            image = Image.open(pictures / asked["file"]).convert("RGB")
            image.thumbnail((CELL - 4, CELL - 2), Image.Resampling.LANCZOS)
            sheet.paste(image, (left + (CELL - image.width) // 2, top + CELL - image.height))
            pen.text((left + 4, top + CELL + 2), f"{start + i + 1}", (255, 255, 255), font)
            pen.text((left + 4, top + CELL + 15), " ".join(asked[head] for head in NAMES), (255, 255, 255), font)
        files.append(out / f"sheet-{start // (columns * rows) + 1:02}.png")
        sheet.save(files[-1])
    return files


def parse_seen(text: str) -> dict[int, str | tuple[str, ...]]:
    """-> for each number "ok", "unclear" or (object, colour, scene). Raises ValueError naming the line."""
    seen: dict[int, str | tuple[str, ...]] = {}
    for at, line in enumerate(text.splitlines(), 1):
        numbers, *words = line.partition("#")[0].split() or [""]
        if not numbers:
            continue
        named = len(words) == 3 and all(word in names for word, names in zip(words, NAMES.values(), strict=True))
        if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", numbers) or not (named or words in (["ok"], ["unclear"])):
            raise ValueError(f"line {at}: {line!r} is not like '1-4,7 ok', '5 unclear' or '6 mug red table'")
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                if number in seen:
                    raise ValueError(f"line {at}: picture {number} is named twice")
                seen[number] = tuple(words) if named else words[0]
    return seen


def record(pictures: Path, seen: dict[int, str | tuple[str, ...]], folder: Path = HERE, use: str = "agreement") -> int:
    """Add small copies of the pictures to `folder`/labelled and what was seen to `folder`/labels.json; returns how many there are now."""
    manifest, rows = _manifest(pictures), labelled(folder, None)
    if wrong := [number for number in seen if not 1 <= number <= len(manifest)]:
        raise ValueError(f"there is no picture {wrong[0]}: the manifest has {len(manifest)}")
    (folder / "labelled").mkdir(exist_ok=True)
    for number, what in sorted(seen.items()):
        asked = {head: manifest[number - 1][head] for head in NAMES}
        shown: dict[str, str] | str = asked if what == "ok" else what if isinstance(what, str) else dict(zip(NAMES, what, strict=True))
        file = f"{len(rows):04}.webp"
        _small(Image.open(pictures / manifest[number - 1]["file"])).save(folder / "labelled" / file, quality=90, method=6)
        rows.append({"file": file, "asked": asked, "seen": shown} | ({"use": use} if use != "agreement" else {}))
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / "labels.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return len(rows)


def set_thresholds(file: Path = WEIGHTS, folder: Path = HERE) -> dict[str, float]:
    """Choose the thresholds under which the oracle calls unclear what a person calls so; where several do alike, those nearest to what
    was set on renders (`benchmarks.oracle.train`).

    Thresholds set on renders are too strict for what the model draws, which is softer: they call whole things unclear. The heads'
    weights stay as they are, learned from renders alone.
    """
    rows = labelled(folder, "thresholds")
    oracle = Oracle.load(file)
    with safe_open(file, "pt") as stored:
        on_renders = stored.metadata()["on_renders"]
    rendered = json.loads(on_renders)
    readings = oracle.read([Image.open(folder / "labelled" / row["file"]) for row in rows])
    sure = {head: np.array([reading.confidence[head] for reading in readings]) for head in TRIED}
    unclear = np.array([isinstance(row["seen"], str) for row in rows])

    def fit(levels: tuple[float, ...]) -> tuple[float, float]:
        called = np.any([sure[head] < level for head, level in zip(TRIED, levels, strict=True)], axis=0)
        return float(np.mean(unclear == called)), -sum(abs(rendered[head] - level) for head, level in zip(TRIED, levels, strict=True))

    best = max(itertools.product(*TRIED.values()), key=fit)
    oracle.thresholds |= dict(zip(TRIED, best, strict=True))
    save_file(load_file(file), file, metadata={"thresholds": json.dumps(oracle.thresholds), "on_renders": on_renders})
    called = np.array([any(reading.confidence[head] < oracle.thresholds[head] for head in TRIED) for reading in readings])
    print("thresholds", oracle.thresholds)
    missed, false = np.sum(~called & unclear), np.sum(called & ~unclear)
    print(f"missed: {missed} of {np.sum(unclear)} unclear ones; wrongly called unclear: {false} of {np.sum(~unclear)}")
    return oracle.thresholds


def tell(oracle: Oracle, folder: Path = HERE) -> None:
    """Print every picture on which they differ, and the share on which they agree."""
    rows = labelled(folder)
    readings = oracle.read([Image.open(folder / "labelled" / row["file"]) for row in rows])
    agreed = 0
    for row, reading in zip(rows, readings, strict=True):
        if agrees(reading, row["seen"]):
            agreed += 1
            continue
        person = row["seen"] if isinstance(row["seen"], str) else " ".join(row["seen"].values())
        sure = " ".join(f"{head} {value:.2f}" for head, value in reading.confidence.items())
        mine = f"{'unclear: ' if reading.unclear else ''}{reading.object} {reading.colour} {reading.scene}"
        print(f"  {row['file']}: person {person}; oracle {mine} ({sure})")
    print(f"agree on {agreed} of {len(rows)}")


def _manifest(pictures: Path) -> list[dict[str, Any]]:
    return json.loads((pictures / "manifest.json").read_text(encoding="utf-8"))


def _small(image: Image.Image) -> Image.Image:
    """About 256 x 256 pixels at the most, the aspect ratio kept."""
    times = max(1, round((image.width * image.height / AREA) ** 0.5))
    return image.convert("RGB").reduce(times)


if __name__ == "__main__":
    main()
