"""Data as TOML text: tables, arrays of tables, and values in one line each. `tomllib` reads back what was written."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def toml(data: Mapping[str, Any]) -> str:
    """A whole document. None has no place in TOML and must not be there; a table inside an array of values is written inline."""
    return "\n".join(_lines(data, "")).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    """Values first: what comes after the head of a table belongs to that table."""
    lines = [f"{_key(name)} = {_value(one)}" for name, one in table.items() if not _is_table(one) and not _is_tables(one)]
    for name, one in table.items():
        path = f"{prefix}{_key(name)}"
        if _is_table(one):
            lines += ["", f"[{path}]", *_lines(one, f"{path}.")]
        elif _is_tables(one):
            for entry in one:
                lines += ["", f"[[{path}]]", *_lines(entry, f"{path}.")]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML is one of JSON, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }" if value else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"TOML holds no {type(value).__name__}")
