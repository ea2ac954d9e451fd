"""TOML files that people write, and messages that say where a mistake is.

Syntax errors come with file and line (`tomllib` knows it); errors of meaning with file and dotted key (`tiers.preview.steps`).
"""
from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import BadInput, Unavailable

_MISSING: Any = object()


def load(path: Path | str) -> dict[str, Any]:
    """The content of a TOML file. Raises Unavailable if it cannot be read, BadInput (with file and line) if it is not TOML."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{path} cannot be read.", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BadInput(path.name, f"{path}, line {line}: not UTF-8.", "TOML files are UTF-8 text.", "Save the file as UTF-8.") from error
    return parse(text, path)


def parse(text: str, source: Path | str) -> dict[str, Any]:
    """TOML from a string; `source` names it in messages. Raises BadInput with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Only newer Pythons give `lineno` as an attribute; the message has always carried it.
        raise BadInput(Path(source).name, f"{source}: {error}.", "This is not valid TOML.", "Mend that line.") from error


class Place:
    """A spot in a file: the file and a dotted prefix. `bad(key, why)` makes the error that points at it."""

    def __init__(self, file: Path | str, prefix: str = "") -> None:
        self.file, self.prefix = Path(file), prefix

    def key(self, name: str) -> str:
        return ".".join(part for part in (self.prefix, name) if part)

    def bad(self, name: str, why: str, todo: str = "") -> BadInput:
        """The error to raise for `name` (dotted below this place; "" for the place itself)."""
        key = self.key(name)
        return BadInput(key, f"{self.file}: {key or 'the file'} {why}.", "", todo)


class Table:
    """A table of a TOML file that is read key by key, each with its type and range; `done()` refuses what nobody read.

    Every getter raises BadInput with file and dotted key. A getter with a default takes the key as optional.
    """

    def __init__(self, place: Place, data: Mapping[str, Any]) -> None:
        self.place, self.data, self._read = place, data, set[str]()

    @classmethod
    def of_file(cls, path: Path | str) -> Table:
        return cls(Place(path), load(path))

    def bad(self, name: str, why: str, todo: str = "") -> BadInput:
        return self.place.bad(name, why, todo)

    def _get(self, name: str, default: Any) -> Any:
        self._read.add(name)
        if name not in self.data:
            if default is _MISSING:
                raise self.bad(name, "is missing")
            return default
        return self.data[name]

    def raw(self, name: str, default: Any = _MISSING) -> Any:
        """Whatever stands there; whoever asks says what is wrong with it."""
        return self._get(name, default)

    def text(self, name: str, default: Any = _MISSING, choices: Sequence[str] = ()) -> str:
        value = self._get(name, default)
        if name in self.data and not isinstance(value, str):
            raise self.bad(name, f"must be text, not {value!r}")
        if choices and value not in choices:
            raise self.bad(name, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of texts, at least one."""
        value = self._get(name, _MISSING)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
            raise self.bad(name, f"must be texts in brackets, not {value!r}")
        return tuple(value)

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        value = self._get(name, default)
        if name in self.data and not isinstance(value, bool):
            raise self.bad(name, f"must be true or false, not {value!r}")
        return value

    def number(self, name: str, default: Any = _MISSING, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number in [low, high]."""
        value = self._get(name, default)
        if name in self.data:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self.bad(name, f"must be a number, not {value!r}")
            if not low <= value <= high:
                raise self.bad(name, f"must be {_span(low, high)}, not {value!r}")
            value = float(value)
        return value

    def whole(self, name: str, default: Any = _MISSING, low: float = -math.inf, high: float = math.inf) -> int:
        """A whole number in [low, high]."""
        value = self._get(name, default)
        if name in self.data:
            if isinstance(value, bool) or not isinstance(value, int):
                raise self.bad(name, f"must be a whole number, not {value!r}")
            if not low <= value <= high:
                raise self.bad(name, f"must be {_span(low, high)}, not {value!r}")
        return value

    def wholes(self, name: str, count: int, low: float = -math.inf, high: float = math.inf) -> tuple[int, ...]:
        """An array of `count` whole numbers, each in [low, high]."""
        value = self._get(name, _MISSING)
        good = isinstance(value, list) and len(value) == count and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
        if not good:
            raise self.bad(name, f"must be {count} whole numbers in brackets, not {value!r}")
        if not all(low <= v <= high for v in value):
            raise self.bad(name, f"must each be {_span(low, high)}, not {value!r}")
        return tuple(value)

    def table(self, name: str) -> Table:
        value = self._get(name, _MISSING)
        if not isinstance(value, dict):
            raise self.bad(name, f"must be a table ([{self.place.key(name)}])")
        return Table(Place(self.place.file, self.place.key(name)), value)

    def optional_table(self, name: str) -> Table | None:
        self._read.add(name)
        return self.table(name) if name in self.data else None

    def done(self) -> None:
        """Raises BadInput for the first key that was never asked for: most often a typing mistake."""
        for name in self.data:
            if name not in self._read:
                raise self.bad(name, "is not known here", f"Known: {', '.join(sorted(self._read))}.")


def _span(low: float, high: float) -> str:
    if high == math.inf:
        return f"at least {low:g}"
    if low == -math.inf:
        return f"at most {high:g}"
    return f"between {low:g} and {high:g}"
