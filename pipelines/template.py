"""Prompt templates: fixed text with typed variables, and what a request needs besides. TOML that ships, and that people write.

How variables stand in texts: `pipelines.filling`. What each takes: `pipelines.variables`. `pipelines.filling.fill` is the way to use one.
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from models.cards import ASPECTS, TIERS
from models.errors import BadInput
from models.presets import presets_folder
from models.toml import Place, Table, load, parse
from pipelines.fields import text as plain_text
from pipelines.filling import only_variable, variables_in
from pipelines.grammar import VARIABLE
from pipelines.post import read_post
from pipelines.request import DRAFT_LIMIT, LORA_LIMIT, LORA_WEIGHT_LIMIT, PROMPT_LIMIT, LoraChoice
from pipelines.syntax import expand
from pipelines.variables import (
    IMAGE_USES,
    KINDS,
    LENGTH_LIMIT,
    NUMBER_LIMIT,
    PRIVATE,
    USUAL_LENGTH,
    WRITTEN,
    ImageUse,
    Kind,
    Value,
    Variable,
    Written,
)
from pipelines.wishes import COLOUR, PALETTE_LIMIT, TEXT_LIMIT, TEXTS_LIMIT

# The structured input of a prompt, each a text with variables; `pipelines.prompt` joins them.
PARTS = ("quality", "subject", "description", "style", "context", "season", "composition", "technical", "use")
INSTEAD = ("quality", "composition", "technical")  # of what use, context and style bring along; "" is nothing of that kind
TITLE_LIMIT, ABOUT_LIMIT, USE_LIMIT, TAG_LIMIT, HELP_LIMIT, PART_LIMIT = 80, 600, 60, 40, 200, 1000
TAGS_LIMIT, VARIABLES_LIMIT, CHOICES_LIMIT = 20, 30, 100
NAME_LENGTH = 40
PROFILE = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


@dataclass(frozen=True)
class Template:
    """A template. prompt: fixed text with variables; parts: the structured input, by the names in PARTS. One of prompt and
    parts["subject"] is there; the prompt stands where the subject would.

    tier, size, profile, draft, keep: None where the request's own hold. texts, palette: as of a request, with variables. post: the table
    [post], as `pipelines.post` reads it. example: values that show what it does. version: 0 as shipped.
    """

    name: str
    title: str
    prompt: str = ""
    about: str = ""
    use: str = ""
    tags: tuple[str, ...] = ()
    negative: str = ""
    tier: str | None = None
    size: str | None = None
    profile: str | None = None
    draft: int | None = None
    keep: int | None = None
    texts: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    loras: tuple[LoraChoice, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    post: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Value] = field(default_factory=dict)
    version: int = 0


# Reading.


def load_templates(presets_dir: Path | str | None = None) -> dict[str, Template]:
    """Every template below `presets_dir` (default: those that ship), by name. Raises BadInput with file and dotted key."""
    folder = (Path(presets_dir) if presets_dir else presets_folder()) / "templates"
    return {path.stem: read_template(path) for path in sorted(folder.glob("*.toml"))}


def read_template(path: Path) -> Template:
    """One template from its file. Raises BadInput with file and dotted key."""
    return template_of(load(path), path.stem, path)


def parse_template(text: str, name: str, version: int = 0) -> Template:
    """One template from its TOML. Raises BadInput with the line, or with the dotted key."""
    return template_of(parse(text, name), name, name, version)


def template_of(data: Mapping[str, Any], name: str, source: Path | str = "", version: int = 0) -> Template:
    """One template from what its TOML says. Raises BadInput with `source` and dotted key."""
    top = Table(Place(source or name), data)
    variables = _read_variables(top)
    prompt = _text(top, "prompt", PROMPT_LIMIT)
    parts = _read_parts(top)
    if prompt and "subject" in parts:
        raise top.bad("parts.subject", "cannot be beside a prompt, which stands in its place", "Leave one of them out.")
    if not prompt and "subject" not in parts:
        raise top.bad("prompt", "is missing", "Write what the picture should show, in prompt or in parts.subject.")
    draft = top.whole("draft", None, 1, DRAFT_LIMIT)
    keep = top.whole("keep", None, 1, DRAFT_LIMIT)
    if draft and keep and keep > draft:
        raise top.bad("keep", f"is {keep} of {draft} candidates; no more can be kept than are drafted")
    template = Template(
        name=name,
        title=_text(top, "title", TITLE_LIMIT, needed=True),
        prompt=prompt,
        about=_text(top, "about", ABOUT_LIMIT),
        use=_text(top, "use", USE_LIMIT),
        tags=_texts(top, "tags", TAGS_LIMIT, TAG_LIMIT, str.lower),
        negative=_text(top, "negative", PROMPT_LIMIT),
        tier=top.text("tier", None, choices=TIERS) if "tier" in data else None,
        size=top.text("size", None, choices=ASPECTS) if "size" in data else None,
        profile=_profile(top),
        draft=draft,
        keep=keep,
        texts=_texts(top, "texts", TEXTS_LIMIT, TEXT_LIMIT),
        palette=_texts(top, "palette", PALETTE_LIMIT, 60, lambda one: one.upper() if one.startswith("#") else one),
        parts=parts,
        loras=_read_loras(top),
        variables=variables,
        post=_read_post(top),
        example={},
        version=version,
    )
    _check_texts(top, template)
    template = replace(template, example=_read_example(top, template))
    top.done()
    return template


def _text(table: Table, name: str, limit: int, needed: bool = False) -> str:
    """A text without spaces around it and without characters that nobody can see."""
    value = _clean(table, name, table.raw(name, None), limit)
    if needed and not value:
        raise table.bad(name, "is missing" if name not in table.data else "is empty")
    return value


def _clean(table: Table, name: str, value: object, limit: int) -> str:
    try:
        value = plain_text({name: value}, name, limit)
    except BadInput as error:
        raise table.bad(name, f"cannot be: {error.what}", error.todo) from error
    if found := PRIVATE.search(value):
        raise table.bad(name, f"holds a private-use character (U+{ord(found[0]):04X})", "Delete it, or type the text anew.")
    return value


def _texts(top: Table, name: str, most: int, limit: int, change: Callable[[str], str] = str) -> tuple[str, ...]:
    """An array of different texts; () when absent."""
    given = top.raw(name, [])
    if not isinstance(given, list) or len(given) > most or not all(isinstance(one, str) for one in given):
        raise top.bad(name, f"must be at most {most} texts in brackets, not {given!r:.80}")
    found = [change(_clean(top, f"{name}.{place}", one, limit)) for place, one in enumerate(given)]
    for place, one in enumerate(found):
        if not one:
            raise top.bad(f"{name}.{place}", "is empty")
        if one in found[:place]:
            raise top.bad(f"{name}.{place}", f"is there twice: {one!r:.80}", "Leave one of them out.")
    return tuple(found)


def _profile(top: Table) -> str | None:
    if "profile" not in top.data:
        return None
    name = top.text("profile")
    if not PROFILE.fullmatch(name):
        raise top.bad("profile", f"must be the name of a quality profile, not {name!r:.80}", 'Write it like "product-hero".')
    return name


def _read_parts(top: Table) -> dict[str, str]:
    table = top.optional_table("parts")
    if table is None:
        return {}
    for name in table.data:
        if name not in PARTS:
            near = difflib.get_close_matches(name, PARTS, n=1)
            raise table.bad(name, "is no part of a prompt", f'Did you mean "{near[0]}"?' if near else f"Parts: {', '.join(PARTS)}.")
    found = {name: _text(table, name, PART_LIMIT) for name in PARTS if name in table.data}
    return {name: text for name, text in found.items() if text or name in INSTEAD}


def _read_loras(top: Table) -> tuple[LoraChoice, ...]:
    given = top.raw("loras", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise top.bad("loras", "must be tables ([[loras]])")
    if len(given) > LORA_LIMIT:
        raise top.bad("loras", f"are {len(given)}; at most {LORA_LIMIT} ride in one request")
    found: list[LoraChoice] = []
    for place, entry in enumerate(given):
        table = Table(Place(top.place.file, top.place.key(f"loras.{place}")), entry)
        name = _text(table, "name", TITLE_LIMIT, needed=True)
        if name in (one.name for one in found):
            raise table.bad("name", f"is there twice: {name!r}", "Leave one of them out.")
        found.append(LoraChoice(name, table.number("weight", 1.0, -LORA_WEIGHT_LIMIT, LORA_WEIGHT_LIMIT)))
        table.done()
    return tuple(found)


def _read_variables(top: Table) -> dict[str, Variable]:
    tables = top.optional_table("variables")
    if tables is None:
        return {}
    if len(tables.data) > VARIABLES_LIMIT:
        raise top.bad("variables", f"are {len(tables.data)}; a template takes at most {VARIABLES_LIMIT}")
    found = {name: _read_variable(name, tables.table(name)) for name in tables.data}
    roles = [one.role for one in found.values() if one.type == "image"]
    if ("img2img" in roles and "reference" in roles) or len(set(roles)) < len(roles):
        raise top.bad("variables", "hold two pictures for one place", "A request takes one picture to begin with, and one for likeness.")
    return found


def _read_variable(name: str, table: Table) -> Variable:
    if not VARIABLE.fullmatch(name) or len(name) > NAME_LENGTH:
        why = f"Small letters, digits and single _, a letter first, at most {NAME_LENGTH}."
        raise table.bad("", "cannot be the name of a variable", why)
    kind = cast(Kind, table.text("type", choices=KINDS))
    own: dict[str, Any] = {}
    if kind == "text":
        own["max_length"] = table.whole("max_length", USUAL_LENGTH, 1, LENGTH_LIMIT)
    elif kind == "choice":
        own["choices"] = _texts(table, "choices", CHOICES_LIMIT, USUAL_LENGTH)
        if not own["choices"]:
            raise table.bad("choices", "is missing", 'Write it like ["white", "grey"].')
    elif kind == "number":
        own["low"], own["high"] = (table.number(end, None, -NUMBER_LIMIT, NUMBER_LIMIT) for end in ("low", "high"))
        own["whole"] = table.flag("whole", False)
        if None not in (own["low"], own["high"]) and own["low"] > own["high"]:
            raise table.bad("low", f"is more than high ({own['low']:g} and {own['high']:g})")
    elif kind == "colour":
        own["write"] = cast(Written, table.text("write", "name", choices=WRITTEN))
    else:
        own["role"] = cast(ImageUse, table.text("role", "likeness", choices=IMAGE_USES))
        own["strength"] = table.number("strength", None, 0.01, 1.0) if own["role"] == "img2img" else None
    title = _text(table, "title", TITLE_LIMIT) or name.replace("_", " ").capitalize()
    variable = Variable(name, kind, title, _text(table, "help", HELP_LIMIT), **own)
    if kind == "image" and "default" in table.data:
        raise table.bad("default", "cannot be there: a picture is of one studio, a template of all")
    default = _read_value(table, "default", variable)
    required = table.flag("required", default is None)
    table.done()
    return replace(variable, default=default, required=required)


def _read_example(top: Table, template: Template) -> dict[str, Value]:
    table = top.optional_table("example")
    found: dict[str, Value] = {}
    if table is None:
        return found
    for name in table.data:
        variable = template.variables.get(name)
        if variable is None or variable.type == "image":
            raise table.bad(name, "is no variable that an example can have", f"Variables: {', '.join(template.variables) or 'none'}.")
        value = _read_value(table, name, variable)
        if value is not None:
            found[name] = value
    return found


def _read_value(table: Table, name: str, variable: Variable) -> Value | None:
    try:
        return variable.read(table.raw(name, None), table.place.key(name))
    except BadInput as error:
        raise table.bad(name, f"cannot be: {error.what}", " ".join(part for part in (error.why, error.todo) if part)) from error


def _read_post(top: Table) -> dict[str, Any]:
    table = top.optional_table("post")
    if table is None:
        return {}
    try:
        return read_post(table.data).to_dict()
    except BadInput as error:
        raise top.bad(error.field or "post", f"cannot be: {error.what}", " ".join(one for one in (error.why, error.todo) if one)) from error


def _check_texts(top: Table, template: Template) -> None:
    """Refuses a variable that nobody declared, and one that stands where its value cannot."""
    texts = {"prompt": template.prompt, "negative": template.negative}
    texts |= {f"parts.{name}": text for name, text in template.parts.items()}
    texts |= {f"texts.{place}": text for place, text in enumerate(template.texts)}
    used = set()
    for key, text in texts.items():
        for name in variables_in(text):
            used.add(name)
            _check_variable(top, template, key, name)
            if template.variables[name].type == "image":
                raise top.bad(key, f"has ${name}, which is a picture", "Pictures go to the model as its role says; words cannot hold them.")
        if not key.startswith("texts."):
            _check_syntax(top, template, key, text)
    for place, entry in enumerate(template.palette):
        if COLOUR.fullmatch(entry):
            continue
        names = variables_in(entry)
        if not only_variable(entry):
            raise top.bad(f"palette.{place}", f'must be a colour like "#1A2B3C" or a variable like "$colour", not {entry!r}')
        _check_variable(top, template, f"palette.{place}", names[0])
        if template.variables[names[0]].type != "colour":
            raise top.bad(f"palette.{place}", f"has ${names[0]}, which is no colour", 'Give the variable type = "colour".')


def _check_syntax(top: Table, template: Template, key: str, text: str) -> None:
    """Refuses braces that cannot be read; which lists of words there are is a studio's own matter."""
    try:
        expand(text, 0, _AnyList(), dict.fromkeys(template.variables, "words"))
    except BadInput as error:
        raise top.bad(key, f"cannot be expanded: {error.what}", " ".join(part for part in (error.why, error.todo) if part)) from error


class _AnyList:
    """Lists of words that have every name."""

    def lines(self, name: str) -> tuple[str, ...]:
        return ("words",)


def _check_variable(top: Table, template: Template, key: str, name: str) -> None:
    if name in template.variables:
        return
    near = difflib.get_close_matches(name, template.variables, n=1, cutoff=0.5)
    todo = f"Did you mean ${near[0]}? " if near else ""
    raise top.bad(key, f"has ${name}, which is not declared", f"{todo}Declare it in [variables.{name}], or write $$ for a dollar.")
