"""What a batch is: which templates, which column goes where, what holds for every row, and when it may run. Rows become requests here.

A *target* is a place of a request that a column fills: a field ("prompt", "size", "seed", ...) or a variable of the templates
("values.product"). An empty cell leaves its target to what holds for all rows, and that to the template's or the tier's own.
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import time
from typing import Any, Literal

from models.errors import BadInput
from pipelines.fields import listed, shown, text
from pipelines.fields import whole as whole_field

Kind = Literal["text", "whole", "number", "list", "picture"]
# Fields of a request that a column may fill, and how a cell is read for each.
TARGETS: Mapping[str, Kind] = {
    "prompt": "text", "negative": "text", "tier": "text", "size": "text", "family": "text", "profile": "text", "brand": "text",
    "note": "text", "draft": "whole", "keep": "whole", "steps": "whole", "seed": "whole", "retries": "whole", "guidance": "number",
    "strength": "number", "texts": "list", "palette": "list", "image": "picture", "likeness": "picture",
    # Words on a sign in the picture, which are read back; and what the prompt's parts say instead of the template's.
    "message": "text", "parts.subject": "text", "parts.description": "text", "parts.context": "text", "parts.style": "text",
    "parts.season": "text", "parts.composition": "text", "parts.technical": "text",
}  # fmt: skip
# What may hold for all rows, beside the variables' values.
FIELDS = (
    *(name for name in TARGETS if name != "message" and "." not in name),
    "role", "loras", "ladder", "budget", "where", "again", "safety", "parts",
)  # fmt: skip
GUESSED = ("prompt", "negative", "size", "tier", "seed", "draft", "keep", "profile", "brand", "texts", "palette", "note")
SUBJECTS = ("prompt", "parts.subject")  # one of them every row has, unless a template brings it
TEMPLATES_LIMIT, TITLE_LIMIT = 12, 80
SEED_STEP = 1_000_003  # a row that is tried again with a seed of its own draws other pictures
TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


@dataclass(frozen=True)
class TemplateUse:
    """A template of a batch. version: the one it was chosen with; None: whichever is current when a row is drawn."""

    name: str
    version: int | None = None

    def to_dict(self) -> dict[str, object]:
        return {"name": self.name, "version": self.version}


@dataclass(frozen=True)
class OffPeak:
    """The hours of the day, by this machine's clock, in which a batch may begin rows. Past midnight when `until` is the earlier."""

    since: time
    until: time

    def holds(self, moment: time) -> bool:
        if self.since <= self.until:
            return self.since <= moment < self.until
        return moment >= self.since or moment < self.until

    def to_dict(self) -> dict[str, object]:
        return {"from": f"{self.since:%H:%M}", "until": f"{self.until:%H:%M}"}


@dataclass(frozen=True)
class Setup:
    """How rows become requests. columns: by target the column that fills it. fields: what holds for all rows; "values" among them.

    label: the column that rows and files are called by. templates: none where the rows bring prompts of their own.
    """

    templates: tuple[TemplateUse, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    off_peak: OffPeak | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "templates": [one.to_dict() for one in self.templates],
            "columns": dict(self.columns),
            "fields": dict(self.fields),
            "label": self.label,
            "off_peak": self.off_peak.to_dict() if self.off_peak else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setup:
        """What `to_dict` wrote, also after a round through JSON."""
        templates = tuple(TemplateUse(**one) for one in data["templates"])
        return cls(templates, data["columns"], data["fields"], data["label"], read_off_peak(data))


def read_setup(data: Mapping[Any, Any], columns: Collection[str], variables: Collection[str] = ()) -> Setup:
    """The setup of a JSON object. columns: those of the catalogue; variables: of all templates together. Raises BadInput."""
    templates = _templates(data)
    mapped = _columns(data, columns, variables)
    fields = _fields(data, variables)
    parts = fields.get("parts")
    said = fields.get("prompt") or (isinstance(parts, Mapping) and parts.get("subject"))
    if not templates and not said and not any(name in mapped for name in SUBJECTS):
        raise BadInput("columns", "No column is the prompt.", "Without a template each row needs one.", "Choose a template, or a column.")
    label = text(data, "label", 80)
    if label and label not in columns:
        raise BadInput("label", f"The catalogue has no column {shown(label)}.", f"It has {listed(list(columns)[:20])}.")
    return Setup(templates, mapped, fields, label, read_off_peak(data))


def read_off_peak(data: Mapping[Any, Any]) -> OffPeak | None:
    """`off_peak`: {"from": "22:00", "until": "06:00"}; None when absent. Raises BadInput."""
    given = data.get("off_peak")
    if given is None:
        return None
    if not isinstance(given, Mapping) or set(given) != {"from", "until"}:
        raise BadInput("off_peak", 'off_peak must be like {"from": "22:00", "until": "06:00"}.', f"This is {shown(given)}.")
    since, until = (_time(given, name) for name in ("from", "until"))
    if since == until:
        raise BadInput("off_peak", f"From {since:%H:%M} to {until:%H:%M} is no time at all.", "", "Leave it out to run at any time.")
    return OffPeak(since, until)


def row_request(
    setup: Setup, place: int, cells: Mapping[str, str], variables: Mapping[str, str], pictures: Mapping[str, int | str], attempt: int = 1
) -> dict[str, Any]:
    """What is submitted for a row with the template at `place` (any place without templates).

    variables: of this template, their types by name. pictures: by file name, lower case, what was uploaded. attempt: from 1; with a seed,
    later ones take others. Raises BadInput whose field is the target.
    """
    request: dict[str, Any] = {name: value for name, value in setup.fields.items() if name != "values"}
    values = {name: value for name, value in setup.fields.get("values", {}).items() if name in variables}
    for target, column in setup.columns.items():
        cell = cells.get(column, "")
        if not cell:
            continue
        if target.startswith("values."):
            name = target.removeprefix("values.")
            if name in variables:
                values[name] = _picture(cell, target, pictures) if variables[name] == "image" else cell
        elif target.startswith("parts."):
            request["parts"] = {**request.get("parts", {}), target.removeprefix("parts."): cell}
        elif target == "message":
            request |= _with_message(request, cell)
        else:
            request[target] = read_cell(cell, target, pictures)
    if setup.templates:
        request |= {"template": setup.templates[place].to_dict(), "values": values}
        # The template has a text of its own; "" would be one that a person wrote.
        request = {name: value for name, value in request.items() if name != "prompt" or value}
    if attempt > 1 and request.get("seed") is not None:
        request["seed"] = (request["seed"] + (attempt - 1) * SEED_STEP) % 2**63
    return request


def read_cell(cell: str, target: str, pictures: Mapping[str, int | str]) -> object:
    """A cell as the field `target` of a request takes it. Raises BadInput for what no such field can be."""
    kind = TARGETS[target]
    if kind == "text":
        return cell
    if kind == "list":
        return [part for part in (one.strip() for one in re.split(r"[|;\n]", cell)) if part]
    if kind == "picture":
        return _picture(cell, target, pictures)
    try:
        number = float(cell) if kind == "number" or re.search(r"[.eE]", cell) else int(cell)
    except ValueError as error:
        raise BadInput(target, f"{target} must be a number; this is {shown(cell)}.") from error
    return number


def guess_columns(columns: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """By target the column that is called like it, by its name or by its title. variables: titles by name."""
    plain = {_plain(column): column for column in reversed(columns)}
    names: dict[str, tuple[str, ...]] = {f"values.{name}": (name, title) for name, title in variables.items()}
    names |= {target: (target,) for target in GUESSED}
    # "product" rather than "product name": exact names first, then those that hold it.
    found = {target: plain[key] for target, words in names.items() for key in map(_plain, reversed(words)) if key in plain}
    for name, title in variables.items():
        if f"values.{name}" not in found:
            free = [column for column in plain.values() if column not in found.values()]
            near = [column for column in free if {_plain(name), _plain(title)} & set(_words(column))]
            if len(near) == 1:
                found[f"values.{name}"] = near[0]
    return {target: found[target] for target in names if target in found}


def change(setup: Setup, data: Mapping[Any, Any], variables: Collection[str]) -> Setup:
    """The setup with another `fields` or `off_peak`, of those that `data` has. Raises BadInput."""
    fields = _fields(data, variables) if "fields" in data else setup.fields
    return replace(setup, fields=fields, off_peak=read_off_peak(data) if "off_peak" in data else setup.off_peak)


# How it is read.


def _with_message(request: Mapping[str, Any], message: str) -> dict[str, Any]:
    """A sign in the picture, whose words are read back."""
    words = " ".join(message.replace('"', "'").split())
    parts = request.get("parts", {})
    description = ", ".join(part for part in (parts.get("description", ""), f'with a sign that says "{words}"') if part)
    return {"parts": {**parts, "description": description}, "texts": [*request.get("texts", []), words]}


def _templates(data: Mapping[Any, Any]) -> tuple[TemplateUse, ...]:
    given = data.get("templates")
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > TEMPLATES_LIMIT:
        raise BadInput("templates", f"templates must be a list of at most {TEMPLATES_LIMIT}; this is {shown(given)}.")
    found: list[TemplateUse] = []
    for place, entry in enumerate(given):
        where = f"templates.{place}"
        if not isinstance(entry, Mapping) or not set(entry) <= {"name", "version"}:
            raise BadInput(where, f'A template is named like {{"name": "hero"}}; this is {shown(entry)}.')
        name = text(entry, "name", 80, f"{where}.name")
        if not name:
            raise BadInput(f"{where}.name", "The name of the template is missing.")
        if name in (one.name for one in found):
            raise BadInput(where, f"{shown(name)} is there twice.", "", "Leave one of them out.")
        found.append(TemplateUse(name, whole_field(entry, "version", 0, 2**31, None)))
    return tuple(found)


def _columns(data: Mapping[Any, Any], columns: Collection[str], variables: Collection[str]) -> dict[str, str]:
    given = data.get("columns")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadInput("columns", f'columns must be an object like {{"values.product": "Name"}}; this is {shown(given)}.')
    targets = [*TARGETS, *(f"values.{name}" for name in variables)]
    for target, column in given.items():
        if target not in targets:
            raise BadInput("columns", f"No column can go to {shown(target)}.", todo=_near(str(target), targets))
        if column not in columns:
            raise BadInput(f"columns.{target}", f"The catalogue has no column {shown(column)}.", f"It has {listed(list(columns)[:20])}.")
    return {str(target): str(column) for target, column in given.items()}


def _fields(data: Mapping[Any, Any], variables: Collection[str]) -> dict[str, Any]:
    given = data.get("fields")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadInput("fields", f"fields must be an object; this is {shown(given)}.")
    for name in given:
        if name not in (*FIELDS, "values"):
            raise BadInput("fields", f"{shown(name)} cannot hold for all rows.", todo=_near(str(name), FIELDS))
    values = given.get("values")
    if values is not None and not isinstance(values, Mapping):
        raise BadInput("fields.values", f"values must be an object; this is {shown(values)}.")
    for name in values or {}:
        if name not in variables:
            raise BadInput("fields.values", f"None of the templates has a variable {shown(name)}.", todo=_near(str(name), variables))
    return {str(name): value for name, value in given.items() if value is not None}


def _time(given: Mapping[Any, Any], name: str) -> time:
    said = given[name]
    found = TIME.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        raise BadInput(f"off_peak.{name}", f"{shown(said)} is no time of day.", "", 'Write it like "22:00".')
    return time(int(found[1]), int(found[2]))


def _picture(cell: str, target: str, pictures: Mapping[str, int | str]) -> int | str:
    """What a cell names: an uploaded file, whatever folders stand before its name, or a picture of the history ("#128")."""
    name = re.split(r"[\\/]", cell)[-1].strip().lower()
    found = pictures.get(cell.lower(), pictures.get(name))
    if found is not None:
        return found
    if number := re.fullmatch(r"#([1-9][0-9]{0,17})", cell, re.ASCII):
        return int(number[1])
    if re.fullmatch(r"[0-9a-f]{64}", cell, re.ASCII):
        return cell
    todo = "Add its file to the batch's pictures, or write #128 for one of the history."
    raise BadInput(target, f"The picture {shown(cell)} is not here.", "", todo)


def _plain(words: str) -> str:
    return "".join(_words(words))


def _words(words: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", words.casefold().replace("color", "colour"))


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:80], list(known), n=1)
    return f'Did you mean "{near[0]}"?' if near else f"There are {listed(list(known)[:30])}."


