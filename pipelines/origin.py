"""Where the prompt of a request comes from: a template with values, a brand, and what a person typed before it was composed."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from models.errors import BadInput
from pipelines.fields import NAME_LIMIT, WHOLE_LIMIT, safe, shown, text, whole

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
VALUES_LIMIT, VALUE_LIMIT, SOURCE_LIMIT, VERSIONS = 30, 2000, 20_000, 2**31
SOURCE = ("prompt", "negative", "parts", "edit")


def read_template(data: Mapping[Any, Any]) -> dict[str, object] | None:
    """`template`: {"name", "version"}, or a name alone; None when absent. Raises BadInput."""
    value = data.get("template")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise BadInput("template", f'template must be an object like {{"name": "...", "version": 2}}; this is {shown(value)}.')
    _only(value, "template", ("name", "version"))
    return {"name": _name(value, "name", "template.name", "template"), "version": _version(value)}


def read_brand(data: Mapping[Any, Any]) -> str | None:
    """`brand`: a name; None when absent or "". Raises BadInput."""
    return _name(data, "brand", "brand", "brand") if data.get("brand") not in (None, "") else None


def read_values(data: Mapping[Any, Any]) -> dict[str, str | int | float]:
    """`values`: texts and numbers by variable; what is null is left out. Raises BadInput."""
    value = data.get("values")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInput("values", f'values must be an object like {{"product": "running shoes"}}; this is {shown(value)}.')
    if len(value) > VALUES_LIMIT:
        raise BadInput("values", f"A template takes at most {VALUES_LIMIT} values; these are {len(value)}.")
    found: dict[str, str | int | float] = {}
    for key, one in value.items():
        name = safe(str(key)[:NAME_LIMIT])
        field = f"values.{name}"
        if isinstance(one, str):
            found[name] = text({name: one}, name, VALUE_LIMIT, field)
        elif isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < WHOLE_LIMIT:  # false for NaN too
            found[name] = one
        elif one is not None:
            raise BadInput(field, f"{name} must be text or a number; this is {shown(one)}.")
    return found


def read_source(data: Mapping[Any, Any]) -> dict[str, object] | None:
    """`source`: what was composed, as a person gave it; None where the prompt is theirs as it stands. Raises BadInput."""
    value = data.get("source")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise BadInput("source", f"source must be an object; this is {shown(value)}.")
    _only(value, "source", SOURCE)
    found: dict[str, object] = {name: text(value, name, SOURCE_LIMIT, f"source.{name}") for name in SOURCE if name != "parts"}
    found["parts"] = _parts(value.get("parts"))
    return {name: one for name, one in found.items() if one}


def _parts(value: object) -> dict[str, object]:
    """Texts, lists of texts, and tables of texts; `pipelines.prompt` knows what they mean."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > VALUES_LIMIT:
        raise BadInput("source.parts", f"parts must be an object of at most {VALUES_LIMIT} parts; this is {shown(value)}.")
    found: dict[str, object] = {}
    for key, one in value.items():
        name = safe(str(key)[:NAME_LIMIT])
        field = f"source.parts.{name}"
        if isinstance(one, list | tuple) and len(one) <= VALUES_LIMIT:
            found[name] = [text({name: entry}, name, SOURCE_LIMIT, field) for entry in one]
        elif isinstance(one, Mapping) and len(one) <= VALUES_LIMIT:
            found[name] = {safe(str(part)[:NAME_LIMIT]): text(one, part, SOURCE_LIMIT, field) for part in one}
        else:
            found[name] = text({name: one}, name, SOURCE_LIMIT, field)
    return found


def _name(data: Mapping[Any, Any], name: str, field: str, kind: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise BadInput(field, f"{shown(value)} is no name of a {kind}.", "Small letters, digits and hyphens, at most 40.")
    return value


def _version(value: Mapping[Any, Any]) -> int | None:
    try:
        return whole(value, "version", 0, VERSIONS, None)
    except BadInput as error:
        raise BadInput("template.version", error.what, error.why, error.todo) from error


def _only(value: Mapping[Any, Any], field: str, known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            name = safe(str(key)[:NAME_LIMIT])
            raise BadInput(f"{field}.{name}", f'A {field} has no "{name}".', todo=f"Its fields are {' and '.join(known)}.")
