"""Templates written out: the data that the page edits, and TOML in one fixed order. `pipelines.template` reads both back."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.template import Template
from pipelines.variables import Variable

_PLAIN = ("title", "about", "use", "tags", "prompt", "negative", "tier", "size", "profile", "draft", "keep", "texts", "palette")
_USUAL = Variable("", "text", "")


def to_data(template: Template) -> dict[str, Any]:
    """What a template says, as its TOML would: without what says nothing. `template_of` gives an equal template back."""
    data: dict[str, Any] = {name: getattr(template, name) for name in _PLAIN if getattr(template, name) not in (None, "", ())}
    data |= {name: list(data[name]) for name in ("tags", "texts", "palette") if name in data}
    data |= {name: dict(value) for name in ("parts", "post", "example") if (value := getattr(template, name))}
    if template.loras:
        data["loras"] = [{"name": one.name, "weight": one.weight} for one in template.loras]
    if template.variables:
        data["variables"] = {name: _variable_data(variable) for name, variable in template.variables.items()}
    return data


def template_toml(template: Template) -> str:
    """A template as TOML in one fixed order: equal templates give equal texts."""
    data = to_data(template)
    lines = _pairs({name: data[name] for name in _PLAIN if name in data})
    lines += _section("parts", data.get("parts"))
    for lora in data.get("loras", []):
        lines += ["", "[[loras]]", *_pairs(lora)]
    for name, variable in data.get("variables", {}).items():
        lines += ["", f"[variables.{name}]", *_pairs(variable)]
    lines += _section("post", data.get("post")) + _section("example", data.get("example"))
    return "\n".join(lines) + "\n"


def _variable_data(variable: Variable) -> dict[str, Any]:
    data = {name: value for name, value in vars(variable).items() if name != "name" and value != getattr(_USUAL, name)}
    data = {"type": variable.type, "title": variable.title} | data
    if "choices" in data:
        data["choices"] = list(data["choices"])
    data.pop("required", None)
    if variable.required != (variable.default is None):  # else it goes without saying
        data["required"] = variable.required
    return data


def _section(name: str, table: Mapping[str, Any] | None) -> list[str]:
    return ["", f"[{name}]", *_pairs(table)] if table else []


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_toml(value)}" for name, value in table.items()]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII) else _toml(name)


def _toml(value: object) -> str:
    if isinstance(value, str):
        lines = [_escaped(line) for line in value.split("\n")]
        return f'"{lines[0]}"' if len(lines) == 1 else '"""\n{}"""'.format("\n".join(lines))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _escaped(line: str) -> str:
    """A line inside quotes; a basic string of TOML is one of JSON, but for DEL."""
    return json.dumps(line, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
