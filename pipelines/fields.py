"""The values of a JSON object, each read as its kind within its range, and what is wrong with them in plain words.

Every reader takes the object and the name of a field, and raises BadInput that names it; null and absent are the same.
Nothing else is raised whatever the value: numbers of any size, NaN, lone surrogates, nested junk.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from models.errors import BadInput

NAME_LIMIT = 80
WHOLE_LIMIT = 2**63  # what SQLite and a torch.Generator hold

Absent = TypeVar("Absent", int, None)
AbsentReal = TypeVar("AbsentReal", float, None)


def text(data: Mapping[Any, Any], name: str, limit: int, field: str | None = None) -> str:
    """The text of a field without spaces around it; "" when absent. Line breaks and tabs are kept, line breaks as \\n."""
    field = field or name
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(field, f"{name} must be text; this is {shown(value)}.")
    if len(value) > limit:
        raise BadInput(field, f"{name} may be {limit} characters long; this is {len(value)}.", todo="Shorten it.")
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    for place, character in enumerate(value, start=1):
        kind = unicodedata.category(character)
        if kind == "Cs" or (kind == "Cc" and character not in "\n\t"):
            what = "half of a character" if kind == "Cs" else "a control character"
            raise BadInput(
                field, f"{name} holds {what} at place {place} (U+{ord(character):04X}).", todo="Delete it, or type the text anew."
            )
    # What is only spaces and invisible marks is nothing.
    return value.strip() if any(unicodedata.category(character)[0] not in "ZC" for character in value) else ""


def one_of(data: Mapping[Any, Any], name: str, choices: Iterable[str], default: str, kind: str) -> str:
    """One of `choices`; `kind` is what they are called in a message (plural)."""
    value = data.get(name)
    if value is None:
        value = default
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(value[:NAME_LIMIT], choices, n=1) if isinstance(value, str) else []
        raise BadInput(
            name, f"{name} cannot be {shown(value)}.", f"The {kind} are {listed(choices)}.", f'Did you mean "{near[0]}"?' if near else ""
        )
    return value


def whole(data: Mapping[Any, Any], name: str, low: int, high: int, default: Absent, of: str = "") -> int | Absent:
    """A whole number in low..high, or `default`."""
    value = data.get(name)
    return default if value is None else whole_value(value, name, low, high, of)


def whole_value(value: object, field: str, low: int, high: int, of: str = "") -> int:
    """A whole number in low..high; 4.0 is taken for 4, as browsers and forms send it."""
    name = field.split(".")[-1] if not field.startswith("seeds.") else "a seed"
    span = f"{low} to {high}" if high < WHOLE_LIMIT - 1 else f"a whole number from {low} to 2**63 - 1"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput(field, f"{name} must be {span}{of}; this is {shown(value)}.", todo="Give a whole number.")
    if not low <= value <= high:
        raise BadInput(field, f"{name} must be {span}{of}; you asked for {shown(value)}.")
    return value


def real(
    data: Mapping[Any, Any], name: str, low: float, high: float, default: AbsentReal, field: str | None = None, of: str = ""
) -> float | AbsentReal:
    """A finite number in low..high, or `default`."""
    field = field or name
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(field, f"{name} must be {low:g} to {high:g}{of}; this is {shown(value)}.", todo="Give a number.")
    if not low <= value <= high:  # false for NaN too
        raise BadInput(field, f"{name} must be {low:g} to {high:g}{of}; you asked for {shown(value)}.")
    return float(value)


def shown(value: object) -> str:
    """A value of JSON in words short and plain enough for a message, whatever it holds."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return "not a number" if math.isnan(value) else f"{value:g}"
    if isinstance(value, str):
        return f'"{safe(value[:40])}{"..." if len(value) > 40 else ""}"' if value else "an empty text"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def safe(words: str) -> str:
    """`words` with what cannot be printed or encoded (control characters, lone surrogates) written as escapes."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in words)


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
