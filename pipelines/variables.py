"""Variables of templates: what each takes, read from what people type, tables hold and shells pass, and as it stands in a prompt."""
from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.errors import BadInput
from pipelines.colours import colour_name, read_colour
from pipelines.fields import WHOLE_LIMIT, listed, shown, text
from pipelines.request import UPLOAD

Kind = Literal["text", "choice", "colour", "number", "image"]
Written = Literal["name", "hex", "both"]
ImageUse = Literal["likeness", "img2img", "reference"]
Value = str | float | int
KINDS: tuple[Kind, ...] = ("text", "choice", "colour", "number", "image")
WRITTEN: tuple[Written, ...] = ("name", "hex", "both")
IMAGE_USES: tuple[ImageUse, ...] = ("likeness", "img2img", "reference")
LENGTH_LIMIT, USUAL_LENGTH, NUMBER_LIMIT = 2000, 300, 1e9
PRIVATE = re.compile("[\ue000-\uf8ff]")  # characters without a meaning of their own, which mark the places of values


@dataclass(frozen=True)
class Variable:
    """A variable of a template. choices: of a "choice". low, high: of a "number". max_length: of a "text", in characters.

    write: how a "colour" is told to the model. role, strength: what an "image" is for; strength only with "img2img", 0 < strength <= 1.
    default: None where there is none; what is not required and has none is left out.
    """

    name: str
    type: Kind
    title: str
    help: str = ""
    default: Value | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    max_length: int = USUAL_LENGTH
    write: Written = "name"
    role: ImageUse = "likeness"
    strength: float | None = None

    def read(self, value: object, key: str = "") -> Value | None:
        """`value` as this variable takes it; None for nothing. Numbers and pictures may come as text, as tables and shells give them.

        Raises BadInput that names `key` (default: "values.NAME").
        """
        key = key or f"values.{self.name}"
        if isinstance(value, str) and self.type != "text":
            value = value.strip()
        found = None if value is None or value == "" else _READ[self.type](self, value, key)
        if found is None or found == "":
            return None
        return found

    def written(self, value: Value | None) -> str:
        """A value as it stands in a prompt; "" for nothing."""
        if value is None or self.type == "image":
            return ""
        if self.type == "colour":
            name = colour_name(str(value))
            return {"name": name, "hex": str(value), "both": f"{name} ({value})"}[self.write]
        return f"{value:.10g}" if self.type == "number" else str(value)


# Values, a function a kind.


def _text_value(variable: Variable, value: object, key: str) -> Value | None:
    if isinstance(value, int | float) and not isinstance(value, bool):  # a cell of a table
        value = f"{value:.15g}"
    try:
        found = text({variable.title: value}, variable.title, variable.max_length, key)
    except BadInput as error:
        raise BadInput(key, error.what, error.why, error.todo) from error
    if PRIVATE.search(found):
        raise BadInput(key, f"{variable.title} holds a private-use character.", "", "Delete it, or type the text anew.")
    return found


def _choice_value(variable: Variable, value: object, key: str) -> Value | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:.15g}"
    alike = [one for one in variable.choices if isinstance(value, str) and one.casefold() == value.casefold()]
    if isinstance(value, str) and value in variable.choices:
        return value
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(value[:80], variable.choices, n=1) if isinstance(value, str) else []
    todo = f'Did you mean "{near[0]}"?' if near else ""
    raise BadInput(key, f"{variable.title} cannot be {shown(value)}.", f"It is one of {listed(variable.choices[:20])}.", todo)


def _colour_value(variable: Variable, value: object, key: str) -> Value | None:
    found = read_colour(value) if isinstance(value, str) else None
    if found is None:
        raise BadInput(key, f"{variable.title} cannot be {shown(value)}.", "It is a colour.", 'Write it like "#1A2B3C", or name it.')
    return found


def _number_value(variable: Variable, value: object, key: str) -> Value | None:
    number = _as_number(value)
    low, high = variable.low, variable.high
    span = "a whole number" if variable.whole else "a number"
    if low is not None and high is not None:
        span += f" from {low:g} to {high:g}"
    elif low is not None or high is not None:
        span += f" of at least {low:g}" if low is not None else f" of at most {high:g}"
    inside = number is not None and (low is None or number >= low) and (high is None or number <= high) and abs(number) <= NUMBER_LIMIT
    if number is None or not inside or (variable.whole and not number.is_integer()):
        raise BadInput(key, f"{variable.title} cannot be {shown(value)}.", f"It is {span}.")
    return int(number) if number.is_integer() else number


def _as_number(value: object) -> float | None:
    """A finite number; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _image_value(variable: Variable, value: object, key: str) -> Value | None:
    if isinstance(value, str) and UPLOAD.fullmatch(value):
        return value
    number = _as_number(value)
    if number is None or not number.is_integer() or not 1 <= number < WHOLE_LIMIT:
        todo = "Choose one from the history, or drop a file on the page."
        raise BadInput(key, f"{variable.title} is a picture; {shown(value)} names none.", "", todo)
    return int(value) if isinstance(value, int | str) else int(number)


_READ: dict[Kind, Callable[[Variable, object, str], Value | None]] = {
    "text": _text_value, "choice": _choice_value, "colour": _colour_value, "number": _number_value, "image": _image_value,
}  # fmt: skip
