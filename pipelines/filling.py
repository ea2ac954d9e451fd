"""Values in the place of a template's variables.

In texts `$product` (or `${product}`) is a declared variable and `$$` a dollar; everything else belongs to `pipelines.syntax`, which
puts the values in while it expands, so that a value is never expanded itself, whatever it holds:

    filling = fill(template, {"product": "running shoes"})
    text = expand(filling.text(template.prompt), seed, wildcards, filling.words).text
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from models.errors import BadInput
from pipelines.fields import listed, shown
from pipelines.grammar import VARIABLE
from pipelines.variables import ImageUse, Value, Variable

if TYPE_CHECKING:
    from pipelines.template import Template

# What stands behind a backslash is itself, and the dollars in the head of `{2$$, $$a|b}` are the syntax's own.
_ESCAPE = r"\\[\\{}|$_<()\[\]]"
_HEAD = r"\{\s*(?:\d+(?:-\d*)?|-\d+)\s*\$\$(?:[^${}|]*\$\$)?"
_NAMED = rf"\$(?:\{{(?P<braced>{VARIABLE.pattern})\}}|(?P<name>{VARIABLE.pattern}))"
_TOKEN = re.compile(rf"(?P<head>{_ESCAPE}|{_HEAD})|(?P<dollar>\$\$)|{_NAMED}", re.ASCII)


@dataclass(frozen=True)
class Filling:
    """Values that a template takes, complete: by name, None where one is left out."""

    template: Template
    values: Mapping[str, Value | None]

    @cached_property
    def words(self) -> dict[str, str]:
        """The values as they stand in a prompt."""
        return {name: variable.written(self.values[name]) for name, variable in self.template.variables.items()}

    def text(self, text: str) -> str:
        """`text` without the variables that are left out, and without the comma or the space before each: what is to be expanded."""
        absent = "|".join(name for name, words in self.words.items() if not words)
        if not absent:
            return text
        name = rf"(?<![$\\])\$(?:\{{(?:{absent})\}}|(?:{absent})(?![a-z0-9]|_[a-z0-9]))"
        found = re.sub(rf"(?:,\s*)?{name}(?=\s*(?:[,.;:]|$))|[ \t]?{name}", "", text)
        return found if found == text else re.sub(r"^[\s,]+", "", found)

    def plain(self, text: str) -> str:
        """`text` with the values in it, its syntax left as it is."""

        def put(match: re.Match[str]) -> str:
            name = match["braced"] or match["name"]
            return match["head"] or ("$" if match["dollar"] else self.words.get(name, match[0]))

        return _TOKEN.sub(put, self.text(text))

    def colour(self, entry: str) -> str:
        """An entry of a palette: a colour, or what the variable there holds ("" when it is left out)."""
        names = variables_in(entry)
        return str(self.values.get(names[0]) or "") if names else entry

    @property
    def pictures(self) -> dict[ImageUse, tuple[int | str, float | None]]:
        """What its pictures are for: picture and strength by role."""
        images = [one for one in self.template.variables.values() if one.type == "image" and self.values[one.name] is not None]
        return {one.role: (cast("int | str", self.values[one.name]), one.strength) for one in images}

    def to_dict(self) -> dict[str, Value]:
        """The values that are there, JSON-ready."""
        return {name: value for name, value in self.values.items() if value is not None}


def fill(template: Template, values: Mapping[str, object]) -> Filling:
    """`values` by variable, checked, with defaults where they are missing. Raises BadInput that names "values.NAME"."""
    wrong = problems(template, values)
    if wrong:
        raise wrong[0]
    return Filling(template, {name: _value(variable, values) for name, variable in template.variables.items()})


def problems(template: Template, values: Mapping[str, object]) -> list[BadInput]:
    """Everything that is wrong with `values`, in the order of the variables; unknown names last."""
    found = []
    for name, variable in template.variables.items():
        try:
            if _value(variable, values) is None and variable.required:
                found.append(BadInput(f"values.{name}", f"{variable.title} is missing.", "", variable.help))
        except BadInput as error:
            found.append(error)
    for name in values:
        if name not in template.variables:
            near = difflib.get_close_matches(str(name)[:80], template.variables, n=1)
            known = f"It has {listed(template.variables)}." if template.variables else "It has none."
            todo = f'Did you mean "{near[0]}"?' if near else known
            found.append(BadInput(f"values.{str(name)[:80]}", f"{template.title} has no variable {shown(str(name))}.", "", todo))
    return found


def _value(variable: Variable, values: Mapping[str, object]) -> Value | None:
    given = variable.read(values.get(variable.name))
    return variable.default if given is None else given


def variables_in(text: str) -> tuple[str, ...]:
    """Names of the variables that a text has, each once, declared or not."""
    return tuple(dict.fromkeys(name for match in _TOKEN.finditer(text) if (name := match["braced"] or match["name"])))


def only_variable(text: str) -> bool:
    """Whether a text is one variable and nothing else."""
    match = _TOKEN.fullmatch(text)
    return bool(match and (match["braced"] or match["name"]))


def literal(text: str) -> str:
    """A prompt of another studio as fixed text of a template: its dollars stay dollars, and its syntax stays."""
    return re.sub(rf"({_ESCAPE}|{_HEAD})|\$", lambda match: match[1] or "$$", text, flags=re.ASCII)


def substituted(text: str, words: Mapping[str, str]) -> str:
    """A text of a template as another studio reads it: `words` for variables, dollars as they are, syntax as it is."""

    def put(match: re.Match[str]) -> str:
        if match["head"]:
            return "$" if match["head"] == "\\$" else match["head"]
        return "$" if match["dollar"] else words.get(match["braced"] or match["name"], "")

    return _TOKEN.sub(put, text)
