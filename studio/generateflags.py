"""The flags of `python launch.py generate`, and the request that they ask for."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import BadInput
from models.toml import parse as parse_toml
from pipelines.fields import shown
from pipelines.production import FORMAT

EPILOG = """\
On standard output stand the files that were written, one a line, the best first; everything else is told on standard error.

exit status:
    0  as many pictures as were to be kept have passed, and are written
    1  it could not be done: a model, the data folder, a job that failed
    2  what was asked for is not acceptable; nothing was queued
    3  it was drawn, but fewer pictures passed than were to be kept; those that did are written
    4  somebody cancelled the job
    5  --timeout was over; the job was cancelled
  130  Ctrl+C (143: SIGTERM); the job was cancelled

While a studio runs on the same data folder its worker draws this too, in the turn that the queue gives it; else a worker is
started for as long as it takes. Pictures, scores and templates are those of the page.

examples:
    python launch.py generate --list
    python launch.py generate --template ecommerce-hero --set product="running shoes" --keep 2 --out shoes
    python launch.py generate --prompt "a red mug on a wooden table" --tier standard --seed 7 --json -
    python launch.py generate --recipe contact-sheet-000012-003.toml
"""
# Flags that are fields of a request under the same name.
_FIELDS = ("negative", "family", "tier", "size", "draft", "keep", "seed", "steps", "guidance", "profile", "brand", "strength", "retries",
           "ladder", "priority", "front")  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch.py generate",
        description="Draws, measures and chooses pictures from the shell, through the studio's own queue and history.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to draw")
    what.add_argument("--template", metavar="NAME", help="a template of this studio, or NAME@VERSION")
    values = "values of its variables; pictures as files"
    what.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=values)
    what.add_argument("--prompt", metavar="TEXT", help="what the picture should show; beside a template, in place of its prompt")
    what.add_argument("--negative", metavar="TEXT", help="what it should not show, for models that read it")
    what.add_argument("--brand", metavar="NAME", help='a brand of this studio; "" for none')
    what.add_argument("--recipe", type=Path, metavar="FILE", help='a recipe or a request as TOML or JSON, "-" for JSON from standard input')
    what.add_argument("--image", metavar="FILE", help="a picture to start from, or its number in the history")
    what.add_argument("--role", choices=("img2img", "reference"), help="what --image is for (default img2img)")
    what.add_argument("--strength", type=float, metavar="S", help="how much of it img2img may change, above 0 and up to 1")
    what.add_argument("--likeness", metavar="FILE", help="the product or the person that the picture must resemble")
    what.add_argument("--text", action="append", default=[], metavar="WORDS", help="words that the picture must show; may be repeated")
    what.add_argument("--colour", action="append", default=[], metavar="#RRGGBB", help="a colour to keep to; may be repeated")
    how = parser.add_argument_group("how")
    how.add_argument("--family", metavar="F", help="embedded, flux1, flux2-klein (default: the best here)")
    how.add_argument("--tier", metavar="T", help="preview, standard or premium (default: the template's, or preview)")
    how.add_argument("--size", metavar="S", help="1:1, 4:5, 3:2, 16:9, 9:16 or banner")
    how.add_argument("--draft", type=int, metavar="N", help="candidates to draw")
    how.add_argument("--keep", type=int, metavar="N", help="pictures to deliver")
    how.add_argument("--seed", type=int, metavar="N", help="of the first candidate; the same one draws the same pictures")
    how.add_argument("--steps", type=int, metavar="N")
    how.add_argument("--guidance", type=float, metavar="G")
    how.add_argument("--profile", metavar="NAME", help="the quality profile that decides what passes")
    how.add_argument("--ladder", action=argparse.BooleanOptionalAction, default=None, help="draft cheaply and finish the best")
    how.add_argument("--retries", type=int, metavar="N", help="rounds of new candidates while too few pass")
    how.add_argument("--again", action="store_true", help="draw anew what could be served from history")
    how.add_argument("--confirm-safety", action="store_true", help="draw what the safety rules ask about")
    where = parser.add_argument_group("where to")
    where.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for the pictures (default: this one)")
    where.add_argument("--json", metavar="FILE", help='where the scores go (default: OUT/JOB.json); "-" for standard output')
    where.add_argument("--all", action="store_true", help="write every candidate, not only those that are kept")
    where.add_argument("--strip", action="store_true", help="write pictures without prompt and settings in them")
    studio = parser.add_argument_group("the studio")
    studio.add_argument("--data-dir", type=Path, default=Path("data"), metavar="D", help="pictures and history (default ./data)")
    studio.add_argument("--person", metavar="NAME", help="whose job it is, where people log in")
    studio.add_argument("--priority", type=int, choices=(-1, 0, 1), help="-1 when nothing else waits, 1 before all else")
    studio.add_argument("--front", action="store_true", default=None, help="before your own other jobs")
    studio.add_argument("--timeout", type=float, metavar="SECONDS", help="cancel the job after this long")
    studio.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the best there is")
    studio.add_argument("--models-dir", type=Path, metavar="D", help="folder with downloaded weights")
    studio.add_argument("--lowvram", action="store_true", help="take no more memory than the next smaller class of device has")
    studio.add_argument("--quiet", action="store_true", help="tell no progress")
    studio.add_argument("--list", action="store_true", help="list templates, or with --template its variables, and leave")
    studio.add_argument("--engine", default="local", help=argparse.SUPPRESS)
    return parser


def request_data(flags: argparse.Namespace, standing: Mapping[str, Any]) -> dict[str, Any]:
    """What is submitted: a recipe's request with the flags over it. standing: fields where neither says anything.

    Pictures are still the files or numbers that were given. Raises BadInput.
    """
    data = read_recipe(flags.recipe) if flags.recipe else {}
    if flags.template:
        name, _, version = flags.template.partition("@")
        data["template"] = {"name": name, "version": _version(version)}
    if values := read_values(flags.set):
        data["values"] = {**data.get("values", {}), **values}
    if flags.template or flags.prompt is not None or flags.set:
        # A recipe's prompt was composed already; with another template, prompt or values it is composed anew.
        source = data.pop("source", None) or {}
        data |= {"prompt": source.get("prompt"), **{name: source[name] for name in ("parts", "edit") if source.get(name)}}
    if flags.prompt is not None:
        data["prompt"] = flags.prompt
        data.pop("edit", None)
    given = {name: getattr(flags, name) for name in _FIELDS}
    data |= {name: value for name, value in given.items() if value is not None}
    if flags.image:
        data |= {"image": flags.image, "role": flags.role or "img2img"}
    elif flags.role:
        data["role"] = flags.role
    more: dict[str, Any] = {"likeness": flags.likeness, "texts": flags.text, "palette": flags.colour}
    data |= {name: value for name, value in more.items() if value}
    data |= {"again": True} if flags.again else {}
    data |= {"safety": "confirmed"} if flags.confirm_safety else {}
    if not any(data.get(name) for name in ("prompt", "template", "parts", "edit")):
        raise BadInput("--prompt", "There is nothing to draw.", "", "Give --template NAME, --prompt TEXT or --recipe FILE; see --help.")
    return {**standing, **data}


def read_recipe(path: Path) -> dict[str, Any]:
    """The request in a file: a recipe that was taken from a studio, or a request by itself. Raises BadInput with file and place."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("--recipe", f"{path} cannot be read.", str(error)) from error
    if path.suffix.lower() == ".toml":
        data: Any = parse_toml(text, path)
    else:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput("--recipe", f"{path} is not JSON.", str(error)[:200], "A TOML file's name ends in .toml.") from error
    if not isinstance(data, dict):
        raise BadInput("--recipe", f"{path} holds {shown(data)}, and no request.")
    if data.get("format") == FORMAT:
        data = data.get("request")
        if not isinstance(data, dict):
            raise BadInput("request", f"{path}: request is missing.", "", "Take the recipe from the studio again.")
    return dict(data)


def read_values(given: list[str]) -> dict[str, str]:
    """NAME=VALUE as given to --set. Raises BadInput."""
    values: dict[str, str] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise BadInput("--set", f"{shown(one)} is no value of a variable.", "", 'Write it like --set product="running shoes".')
        values[name.strip()] = value
    return values


def _version(text: str) -> int | None:
    if text and not text.isdecimal():
        raise BadInput("--template", f"{shown(text)} is no version of a template.", "", "Write it like --template ecommerce-hero@2.")
    return int(text) if text else None
