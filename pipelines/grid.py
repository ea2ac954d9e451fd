"""X/Y/Z grids: one request drawn once for every combination of two or three fields' values, everything else the same, the seed too.

An axis is a field of the request and its values: a list, or a range as people type it ("1-10 (+2)", "1-10 [5]", "2, 4, 8"). The
pseudo-field "words" replaces a word of the prompt: the first value is what is looked for, each value stands in its place in turn.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from models.errors import BadInput
from pipelines.fields import WHOLE_LIMIT, safe, shown, text, whole
from pipelines.request import DRAFT_LIMIT

TITLE_LIMIT, SPEC_LIMIT, NAME_LIMIT = 120, 8000, 80
VALUES_LIMIT, CELLS_LIMIT = 100, 1000
WHOLE = ("seed", "steps", "image", "likeness", "template.version")
REAL = ("guidance", "strength")
# What a grid sets itself: each cell is one picture, drawn once and not finished from a sketch.
OWN = (
    "draft", "keep", "seeds", "ladder", "retries", "budget", "parent", "where", "note", "priority", "front", "start_at", "again", "safety",
)  # fmt: skip
WORDS = "words"
LETTERS = "xyz"
TITLES = {
    "prompt": "Prompt", WORDS: "Words", "negative": "Negative prompt", "seed": "Seed", "steps": "Steps", "guidance": "Guidance",
    "size": "Size", "tier": "Tier", "family": "Model family", "strength": "Strength", "profile": "Quality profile",
    "role": "Role of the picture", "image": "Start picture", "likeness": "Likeness", "template": "Template",
    "template.version": "Template version", "brand": "Brand",
}  # fmt: skip

_NUMBER = r"[+-]?(?:\d{1,20}(?:\.\d{0,12})?|\.\d{1,12})"
_RANGE = re.compile(
    rf"({_NUMBER})\s*(?:-|\.\.|to)\s*({_NUMBER})\s*(?:\(\s*\+?\s*({_NUMBER})\s*\)|\[\s*(\d{{1,4}})\s*\])?", re.ASCII
)
_FIELD = re.compile(r"[a-z_]{1,40}(?:\.[\w .+-]{1,80})?")

Json = dict[str, Any]
Place = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """A field of the request, dotted where nested ("values.product", "loras.ceramic"), and its values, at least one, all different."""

    field: str
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        return TITLES.get(self.field) or self.field.partition(".")[2] or self.field.replace("_", " ").capitalize()

    def label(self, place: int) -> str:
        """A value as people read it."""
        return label(self.values[place])


@dataclass(frozen=True)
class Group:
    """Cells that differ in nothing but their seeds, drawn as one job. cells: for each seed, the numbers of the cells it is for."""

    fields: Mapping[str, Any]
    seeds: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Grid:
    """axes: x, then y and z where there are any. base: the fields that all cells share. seed: of every cell, unless an axis changes it.

    Cells are numbered from 0: x changes fastest, then y, then z.
    """

    title: str
    axes: tuple[Axis, ...]
    base: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def from_dict(cls, data: object, seed: int = 0) -> Grid:
        """A grid from JSON: {"title", "base": {...}, "x": {"field", "values"}, "y", "z"}; `seed` where its base names none.

        values: a list, text as people type it, or {"from", "to", "step"} or {"from", "to", "count"}.
        Raises BadInput with the dotted field, and nothing else, for any JSON value.
        """
        if not isinstance(data, Mapping):
            raise BadInput("grid", f"A grid is a JSON object; this is {shown(data)}.")
        for key in data:
            if key not in ("title", "base", *LETTERS):
                raise BadInput(safe(str(key)[:NAME_LIMIT]) or "grid", "A grid has no such field.", "It has title, base, x, y and z.")
        base = _read_base(data.get("base"))
        axes = tuple(_read_axis(data[letter], letter) for letter in LETTERS if data.get(letter) is not None)
        if not axes or data.get("x") is None:
            raise BadInput("x", "There is no X axis.", "A grid needs one at least.", "Choose a field and its values.")
        if data.get("y") is None and data.get("z") is not None:
            raise BadInput("y", "There is a Z axis and no Y axis.", todo="Give Y first.")
        for at, axis in enumerate(axes):
            if axis.field in [other.field for other in axes[:at]]:
                what = f"{axis.title} is on two axes."
                raise BadInput(f"{LETTERS[at]}.field", what, "A cell can have only one.", "Choose another field.")
        cells = math.prod(len(axis.values) for axis in axes)
        if cells > CELLS_LIMIT:
            why = " by ".join(str(len(axis.values)) for axis in axes)
            raise BadInput("grid", f"A grid has at most {CELLS_LIMIT} cells; this has {cells}.", why, "Leave some values out.")
        own = whole(data.get("base") or {}, "seed", 0, WHOLE_LIMIT - 1, None)
        grid = cls(
            title=" ".join(text(data, "title", TITLE_LIMIT).split()) or " by ".join(axis.title for axis in axes),
            axes=axes,
            base={name: value for name, value in base.items() if name != "seed"},
            seed=seed if own is None else own,
        )
        grid._check_words()
        return grid

    def to_dict(self) -> Json:
        """JSON-ready; `from_dict` gives an equal grid back."""
        axes = {letter: {"field": axis.field, "values": list(axis.values)} for letter, axis in zip(LETTERS, self.axes, strict=False)}
        return {"title": self.title, "base": {**self.base, "seed": self.seed}, **axes}

    @property
    def count(self) -> int:
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, pages."""
        sizes = [len(axis.values) for axis in self.axes] + [1, 1]
        return sizes[0], sizes[1], sizes[2]

    def places(self) -> Iterator[Place]:
        """The place of each cell on its axes, in the order of their numbers."""
        for place in product(*(range(len(axis.values)) for axis in reversed(self.axes))):
            yield tuple(reversed(place))

    def labels(self, place: Place) -> tuple[str, ...]:
        return tuple(axis.label(at) for axis, at in zip(self.axes, place, strict=True))

    def fields(self, place: Place) -> tuple[Json, int]:
        """The fields of a cell's request, and its seed."""
        found: Json = dict(self.base)
        seed = self.seed
        replaced: tuple[str, str] | None = None
        for axis, at in zip(self.axes, place, strict=True):
            value = axis.values[at]
            if axis.field == "seed":
                seed = value
            elif axis.field == WORDS:
                replaced = (axis.values[0], value)
            else:
                _put(found, axis.field, value)
        if replaced is not None:  # after all others, for the prompt may be on an axis too
            found["prompt"] = str(found.get("prompt") or "").replace(*replaced)
        return found, seed

    def groups(self, most: int = DRAFT_LIMIT) -> list[Group]:
        """The jobs that draw all cells, with at most `most` seeds each. Cells that would show the same picture share it."""
        found: dict[str, tuple[Json, dict[int, list[int]]]] = {}
        for number, place in enumerate(self.places()):
            fields, seed = self.fields(place)
            _, seeds = found.setdefault(json.dumps(fields, sort_keys=True), (fields, {}))
            seeds.setdefault(seed, []).append(number)
        groups = []
        for fields, seeds in found.values():
            entries = list(seeds.items())
            for start in range(0, len(entries), most):
                part = entries[start : start + most]
                groups.append(Group(fields, tuple(seed for seed, _ in part), tuple(tuple(cells) for _, cells in part)))
        return groups

    def _check_words(self) -> None:
        letter, axis = next(((letter, axis) for letter, axis in zip(LETTERS, self.axes, strict=False) if axis.field == WORDS), ("", None))
        if axis is None:
            return
        if self.base.get("template") or any(other.field.startswith("template") for other in self.axes):
            raise BadInput(f"{letter}.field", "A template's words cannot be replaced.", todo="Put one of its variables on the axis.")
        prompts = next((other.values for other in self.axes if other.field == "prompt"), (self.base.get("prompt") or "",))
        for prompt in prompts:
            if str(axis.values[0]) not in str(prompt):
                what = f"{shown(axis.values[0])} is not in the prompt {shown(prompt)}."
                raise BadInput(f"{letter}.values", what, "The first of them is what the others replace.", "Write it as it is there.")


def label(value: Any) -> str:
    """A value of an axis as people read it."""
    if value is None or value == "":
        return "(nothing)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(label(one) for one in value) or "(nothing)"
    if isinstance(value, Mapping):
        return str(value.get("name") or json.dumps(value, ensure_ascii=False))
    return str(value)


def read_values(spec: str, kind: type, field: str) -> list[Any]:
    """The values of a text as people type it. kind: int and float take numbers and ranges, divided by commas; str takes texts, one a line,
    or on one line divided by commas, with double quotes around what holds one. Raises BadInput."""
    if kind is str:
        lines = [line.strip() for line in spec.split("\n")]
        if len(lines) > 1:
            return [line for line in lines if line]
        try:
            found = next(csv.reader([spec], skipinitialspace=True), [])
        except csv.Error as error:
            raise BadInput(field, "These values cannot be read.", str(error), "Write one a line.") from error
        return [one.strip() for one in found if one.strip()]
    values: list[Any] = []
    for part in re.split(r"[,;\n]", spec):
        part = part.strip()
        if not part:
            continue
        found_range = _RANGE.fullmatch(part)
        if found_range:
            low, high, step, count = (None if one is None else _plain(one) for one in found_range.groups())
            assert low is not None and high is not None  # the pattern has them
            values += spread(low, high, step, None if count is None else int(count), kind, field)
        elif re.fullmatch(_NUMBER, part, re.ASCII):
            values.append(_number(_plain(part), kind, field))
        else:
            raise BadInput(field, f"{shown(part)} is no number.", todo='Write "2, 4, 8", "1-10", "1-10 (+3)" or "1-10 [4]".')
        if len(values) > VALUES_LIMIT:
            raise _too_many(field)
    return values


def spread(low: float, high: float, step: float | None, count: int | None, kind: type, field: str) -> list[int | float]:
    """The values from `low` to `high`, both included: `step` apart (1 without one), or `count` of them at even distances."""
    if count is not None:
        if not 1 <= count <= VALUES_LIMIT:
            raise _too_many(field)
        found = [low] if count == 1 else [low + (high - low) * at / (count - 1) for at in range(count)]
        return list(dict.fromkeys(_number(round(one) if kind is int else round(one, 6), kind, field) for one in found))
    step = abs(step) if step is not None else 1
    if step == 0:
        raise BadInput(field, "A range cannot go on in steps of 0.", todo="Write a step like (+2).")
    steps = abs(high - low) / step + 1e-9
    if steps >= VALUES_LIMIT:
        raise _too_many(field)
    way = step if high >= low else -step
    return [_number(round(low + way * at, 6), kind, field) for at in range(math.floor(steps) + 1)]


def kind_of(field: str) -> type:
    """What the values of a field are: int, float or str."""
    if field in WHOLE:
        return int
    return float if field in REAL or field.startswith("loras.") else str


def _number(value: float, kind: type, field: str) -> int | float:
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise BadInput(field, f"{value:g} is no whole number.")
        return int(value)
    return float(value)


def _plain(digits: str) -> int | float:
    """Whole numbers stay exact: a seed has more digits than a float."""
    return int(digits) if re.fullmatch(r"[+-]?\d+", digits, re.ASCII) else float(digits)


def _too_many(field: str) -> BadInput:
    return BadInput(field, f"An axis has at most {VALUES_LIMIT} values.", todo="Give fewer, or a larger step.")


def _put(found: Json, name: str, value: Any) -> None:
    """Sets a field, dotted where nested, without touching what the base shares with other cells."""
    head, dot, rest = name.partition(".")
    if not dot:
        found[head] = value
    elif head == "loras":
        given = found.get("loras")
        given = list(given) if isinstance(given, list) else []
        same = next((lora for lora in given if isinstance(lora, Mapping) and lora.get("name") == rest), {"name": rest})
        found["loras"] = [*(lora for lora in given if lora is not same), {**same, "weight": value}]
    else:
        inner = found.get(head)
        others = dict(inner) if isinstance(inner, Mapping) else {"name": inner} if head == "template" and inner else {}
        found[head] = others | {rest: value}


def _read_base(value: object) -> Json:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise BadInput("base", f"The base must be fields of a request; this is {shown(value)}.")
    return {str(name): entry for name, entry in value.items() if name not in OWN and entry is not None}


def _read_axis(value: object, letter: str) -> Axis:
    if not isinstance(value, Mapping) or set(value) - {"field", "values"}:
        raise BadInput(letter, f'An axis is an object like {{"field": "steps", "values": "4, 8"}}; this is {shown(value)}.')
    name = text(value, "field", NAME_LIMIT * 2, f"{letter}.field")
    if not _FIELD.fullmatch(name) or name.startswith("words."):
        raise BadInput(f"{letter}.field", f"{shown(name)} is no field of a request." if name else "No field is chosen.", todo="Choose one.")
    if name.partition(".")[0] in OWN:
        raise BadInput(f"{letter}.field", f"A grid cannot change {name}.", "Each cell is one picture.", "Choose another field.")
    where = f"{letter}.values"
    given, kind = value.get("values"), kind_of(name)
    if isinstance(given, str):
        found = read_values(text(value, "values", SPEC_LIMIT, where), kind, where)
    elif isinstance(given, Mapping):
        found = _read_range(given, kind, where)
    elif isinstance(given, list | tuple):
        found = [_read_value(one, kind, f"{where}.{at}") for at, one in enumerate(given[: VALUES_LIMIT + 1])]
    else:
        raise BadInput(where, f"The values must be a list or a range; this is {shown(given)}.")
    if not found:
        raise BadInput(where, "This axis has no values.", todo="Give one at least.")
    if len(found) > VALUES_LIMIT:
        raise _too_many(where)
    keys = [json.dumps(one, sort_keys=True) for one in found]
    for at, key in enumerate(keys):
        if key in keys[:at]:
            raise BadInput(where, f"{shown(found[at])} is there twice.", "It would draw the same pictures twice.", "Leave one of them out.")
    if name == WORDS and not found[0]:
        raise BadInput(where, "The first of the words is what the others replace; it cannot be empty.")
    return Axis(name, tuple(found))


def _read_range(given: Mapping[Any, Any], kind: type, where: str) -> list[Any]:
    if kind is str:
        raise BadInput(where, "This field has no range.", todo="Give its values one by one.")
    if set(given) - {"from", "to", "step", "count"} or not {"from", "to"} <= set(given):
        raise BadInput(where, 'A range is an object like {"from": 1, "to": 9, "step": 2}, or with "count" in place of "step".')
    ends = [_read_value(given[name], float, f"{where}.{name}") for name in ("from", "to")]
    step = None if given.get("step") is None else _read_value(given["step"], float, f"{where}.step")
    return spread(ends[0], ends[1], step, whole(given, "count", 1, VALUES_LIMIT, None), kind, where)


def _read_value(value: object, kind: type, where: str) -> Any:
    if kind is str:
        if isinstance(value, str):
            return text({"value": value}, "value", SPEC_LIMIT, where)
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, list) and len(value) <= VALUES_LIMIT and all(isinstance(one, str) for one in value):
            return [text({"value": one}, "value", SPEC_LIMIT, where) for one in value]
        raise BadInput(where, f"{shown(value)} cannot be a value of an axis.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < WHOLE_LIMIT:  # false for NaN too
        raise BadInput(where, f"{shown(value)} is no number.")
    return _number(value, kind, where)
