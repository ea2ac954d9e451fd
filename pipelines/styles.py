"""Templates of other studios, read and written: A1111's styles.csv, the style JSON of Fooocus, the style presets of InvokeAI, and ours.

The three know a name, a prompt with one place for the person's own words (`{prompt}`; where it is missing, they stand in front) and a
negative prompt. What of a template they cannot hold is listed. Formats: modules/styles.py of stable-diffusion-webui,
modules/sdxl_styles.py of Fooocus, style_preset_records_common.py of InvokeAI.
"""
from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from models.errors import BadInput
from pipelines.fields import listed, shown
from pipelines.filling import literal, substituted
from pipelines.prompt import Parts, assemble
from pipelines.syntax import escaped
from pipelines.template import ABOUT_LIMIT, TITLE_LIMIT, Template, parse_template, template_of
from pipelines.templatetoml import template_toml, to_data
from pipelines.variables import Variable

Format = Literal["toml", "a1111", "fooocus", "invoke"]
FORMATS: tuple[Format, ...] = ("toml", "a1111", "fooocus", "invoke")
TITLES: Mapping[Format, str] = {"toml": "Contact Sheet", "a1111": "A1111", "fooocus": "Fooocus", "invoke": "InvokeAI"}
CONTENT_LIMIT, STYLES_LIMIT = 5_000_000, 2000
OURS = "contact-sheet-templates"
PLACE = "{prompt}"
_WORDS = {"type": "text", "title": "Prompt", "help": "What the picture shows", "max_length": 2000}
_FIRST = ("prompt", "subject", "product")  # variables that become the one place of another studio's style


@dataclass(frozen=True)
class Imported:
    """Templates by a free name, the file's format, and what was left out or changed on the way, a sentence each."""

    templates: Mapping[str, Template]
    format: Format
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """A file's name and content, and what of the templates it cannot hold, a sentence each."""

    file: str
    content: str
    left: tuple[str, ...] = ()


def read_styles(content: str, file: str, taken: Collection[str] = ()) -> Imported:
    """The templates of a file, whatever studio wrote it. taken: names that are not free. Raises BadInput with the place."""
    content = content.removeprefix("\ufeff")
    if len(content) > CONTENT_LIMIT:
        raise BadInput("content", f"{file} has {len(content)} characters; {CONTENT_LIMIT} are the most.")
    kind = PurePath(file).suffix.lower()
    if kind == ".toml":
        title = PurePath(file).stem
        template = parse_template(content, slug(title, taken))
        return Imported({template.name: template}, "toml")
    if kind == ".csv":
        return _of_entries(_csv_entries(content, file), file, "a1111", taken)
    if kind != ".json":
        raise BadInput("file", f"{file} is no file of templates.", "", "Bring a TOML, a CSV (A1111), or a JSON (Fooocus, InvokeAI).")
    data = _json(content, file)
    if isinstance(data, Mapping) and OURS in data:
        return _ours(data, file, taken)
    entries, foreign = _json_entries(data, file)
    return _of_entries(entries, file, foreign, taken)


def write_styles(templates: Sequence[Template], form: Format) -> Exported:
    """The templates as a file of another studio, or of ours (TOML for one, JSON for several)."""
    if form == "toml":
        if len(templates) == 1:
            return Exported(f"{templates[0].name}.toml", template_toml(templates[0]))
        data = {OURS: 1, "templates": {one.name: to_data(one) for one in templates}}
        return Exported("contact-sheet-templates.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    left: list[str] = []
    rows = []
    for template in templates:
        prompt, negative, missing = _foreign(template, form)
        rows.append({"name": template.title, "prompt": prompt, "negative_prompt": negative})
        if missing:
            left.append(f"{template.title}: without {listed(missing)}.")
    if form == "a1111":
        file = io.StringIO()
        writer = csv.DictWriter(file, ["name", "prompt", "negative_prompt"])
        writer.writeheader()
        writer.writerows(rows)
        return Exported("styles.csv", file.getvalue(), tuple(left))
    if form == "invoke":
        rows = [{"name": row["name"], "positive_prompt": row["prompt"], "negative_prompt": row["negative_prompt"]} for row in rows]
    name = "sdxl_styles_contact_sheet.json" if form == "fooocus" else "invoke_style_presets.json"
    return Exported(name, json.dumps(rows, indent=2, ensure_ascii=False) + "\n", tuple(left))


def slug(title: str, taken: Collection[str] = ()) -> str:
    """A free name for a template, from its title."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:34].strip("-") or "template"
    number = 2
    name = plain
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


# Reading.


@dataclass(frozen=True)
class _Entry:
    """A style as the other studio has it. where: its line or place, for messages."""

    name: str
    prompt: str
    negative: str
    where: str


def _csv_entries(content: str, file: str) -> list[_Entry]:
    reader = csv.DictReader(io.StringIO(content, newline=""), skipinitialspace=True)
    try:
        names = reader.fieldnames or []
        prompt = next((name for name in ("prompt", "text", "positive_prompt") if name in names), None)
        if "name" not in names or prompt is None:
            why = f"Its first line has {listed(shown(name) for name in names[:8])}." if names else "It is empty."
            raise BadInput("content", f"{file}, line 1: not the styles of A1111.", why, 'It begins with "name,prompt,negative_prompt".')
        return [
            _Entry(row["name"] or "", row[prompt] or "", row.get("negative_prompt") or "", f"line {reader.line_num}") for row in reader
        ]
    except csv.Error as error:
        raise BadInput("content", f"{file}, line {reader.line_num}: {error}.", "This is not valid CSV.", "Mend that line.") from error


def _json(content: str, file: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError as error:
        raise BadInput("content", f"{file} is nested too deeply.") from error
    except ValueError as error:
        raise BadInput("content", f"{file}: {str(error)[:200]}.", "This is not valid JSON.", "Mend that line.") from error


def _json_entries(data: Any, file: str) -> tuple[list[_Entry], Format]:
    """Fooocus: [{name, prompt, negative_prompt}]. InvokeAI: the same, or positive_prompt, or with both prompts in preset_data."""
    given = data if isinstance(data, list) else [data]
    entries = []
    foreign: Format = "fooocus"
    for place, one in enumerate(given):
        where = f"{place}" if isinstance(data, list) else "the file"
        if not isinstance(one, Mapping):
            raise BadInput("content", f"{file}: {where} is {shown(one)}, not a style.", "", "Each is an object with name and prompt.")
        inner = one.get("preset_data")
        texts = {**one, **(inner if isinstance(inner, Mapping) else {})}
        if "positive_prompt" in texts:
            foreign = "invoke"
        prompt = "positive_prompt" if "positive_prompt" in texts else "prompt"
        for name in ("name", prompt, "negative_prompt"):
            if not isinstance(texts.get(name) or "", str):
                raise BadInput("content", f"{file}: {where}.{name} must be text; this is {shown(texts[name])}.")
        entries.append(_Entry(texts.get("name") or "", texts.get(prompt) or "", texts.get("negative_prompt") or "", where))
    return entries, foreign


def _ours(data: Mapping[str, Any], file: str, taken: Collection[str]) -> Imported:
    given = data.get("templates")
    if not isinstance(given, Mapping) or len(given) > STYLES_LIMIT:
        raise BadInput("content", f"{file}: templates must be an object of at most {STYLES_LIMIT} templates.")
    found: dict[str, Template] = {}
    for title, one in given.items():
        name = slug(title, {*taken, *found})
        if not isinstance(one, Mapping):
            raise BadInput("content", f"{file}: templates.{title[:40]} is {shown(one)}, not a template.")
        found[name] = template_of(one, name, f"{file}: templates.{title[:40]}")
    return Imported(found, "toml")


def _of_entries(entries: Iterable[_Entry], file: str, foreign: Format, taken: Collection[str]) -> Imported:
    found: dict[str, Template] = {}
    left: list[str] = []
    for entry in entries:
        if len(found) == STYLES_LIMIT:
            left.append(f"Only the first {STYLES_LIMIT} styles were taken.")
            break
        name, prompt = entry.name.strip(), entry.prompt.strip()
        if not name or not (prompt.strip("-_= ") or entry.negative.strip()):
            if name or prompt or entry.negative.strip():
                left.append(f"{entry.where}: {shown(name or prompt)} says nothing and was left out.")
            continue
        key = slug(name, {*taken, *found})
        found[key], notes = _of_entry(entry, key, f"{file}, {entry.where}")
        left += [f"{name[:60]}: {note}" for note in notes]
    if not found:
        raise BadInput("content", f"There is no style in {file}.")
    return Imported(found, foreign, tuple(left))


def _of_entry(entry: _Entry, name: str, where: str) -> tuple[Template, list[str]]:
    """A style as a template with one variable, the person's own words."""
    title, notes = " ".join(entry.name.split()), []
    data: dict[str, Any] = {"title": title[:TITLE_LIMIT].strip(), "variables": {"prompt": _WORDS}}
    if len(title) > TITLE_LIMIT:
        data["about"] = title[:ABOUT_LIMIT]
        notes.append("its name was shortened.")
    negative = entry.negative.replace(PLACE, "").strip(" ,")
    for write in (literal, escaped):  # where its braces mean something else there than here, they are plain text here
        try:
            words = "${prompt}".join(write(part) for part in entry.prompt.strip().split(PLACE))
            text = words if PLACE in entry.prompt else ", ".join(part for part in ("$prompt", words) if part)
            text = re.sub(r"\$\{prompt\}(?![A-Za-z0-9_])", lambda _: "$prompt", text)
            return template_of(data | {"prompt": text, "negative": write(negative)}, name, where), notes
        except BadInput as error:
            if write is escaped:
                raise BadInput("content", error.what, error.why, error.todo) from error
            notes.append("what stands in braces or between underscores is plain text here.")
    raise AssertionError("the second way returns or raises")


# Writing.


def _foreign(template: Template, form: Format) -> tuple[str, str, list[str]]:
    """Prompt and negative prompt as another studio writes them, and what is missing there."""
    text = template.prompt
    if template.parts:
        subject = {"subject": template.prompt} if template.prompt else {}
        text = _joined(Parts.from_dict({**template.parts, **subject}))
    place = _place(template)
    words = {name: _example(template, variable) for name, variable in template.variables.items()}
    missing = [f'the variable {name} ("{words[name]}" stands there)' for name in template.variables if name != place]
    prompt = substituted(text, words | ({place: PLACE} if place else {}))
    if template.loras and form != "invoke":
        prompt += "".join(f" <lora:{one.name}:{one.weight:g}>" for one in template.loras)
    elif template.loras:
        missing.append("its LoRAs")
    held = ("title", "prompt", "negative", "parts", "variables", "loras")
    missing += [name for name in to_data(template) if name not in held]
    return prompt, substituted(template.negative, words | ({place: ""} if place else {})), missing


def _joined(parts: Parts) -> str:
    """The parts in their order, variables and syntax as they stand."""
    marked = {name: escaped(value) if isinstance(value, str) else value for name, value in parts.to_dict().items()}
    return assemble(Parts.from_dict(marked), values={}).text


def _place(template: Template) -> str | None:
    """The variable that becomes the place for a person's own words."""
    texts = [one for one in template.variables.values() if one.type == "text"]
    named = [one for name in _FIRST for one in texts if one.name == name]
    required = [one for one in texts if one.required]
    return next((one.name for one in (*named, *required)), None)


def _example(template: Template, variable: Variable) -> str:
    return variable.written(template.example.get(variable.name, variable.default)) or variable.title.lower()
