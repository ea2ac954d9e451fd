"""Prompt templates as a studio has them, and what the Templates tab shows of them."""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from models.errors import BadInput
from models.presets import presets_folder
from pipelines.fields import one_of, shown
from pipelines.request import Request
from pipelines.styles import FORMATS, TITLES, Format, read_styles, write_styles
from pipelines.template import Template, parse_template, read_template, template_of
from pipelines.templatetoml import template_toml, to_data
from pipelines.variables import Variable
from studio.store import Store, posts
from studio.store.people import Who, visible
from studio.store.versions import Kind, Versions
from studio.store.views import Json

NAMES_LIMIT = 500


class Templates(Versions[Template]):
    """The templates of a studio: version 0 as shipped, and every version that people saved."""

    kind = Kind("templates", "template", "template", "ecommerce-hero", "Templates")

    def __init__(self, store: Store, presets_dir: Path | str | None = None) -> None:
        self.folder = (Path(presets_dir) if presets_dir else presets_folder()) / "templates"
        super().__init__(store, {path.stem: path for path in sorted(self.folder.glob("*.toml"))})

    def parse(self, text: str, name: str, version: int = 0) -> Template:
        return parse_template(text, name, version)

    def read(self, path: Path) -> Template:
        return read_template(path)

    def duplicate(self, name: str, new: str, title: str, who: Who) -> int:
        """A new template that says what `name` says now; its version. Raises NotFound, BadInput where there is a `new` already."""
        found = self.current(name)
        return self.create(new, template_toml(replace(found, title=title or f"{found.title} (copy)"[:80])), who, f"Copy of {name}")

    def stamp(self, db: sqlite3.Connection, job: int, request: Request) -> None:
        """Writes down which template and version a new job was composed from, inside the transaction that adds it."""
        if request.template is not None:
            values = [request.template["name"], request.template["version"] or 0, job]
            db.execute("UPDATE jobs SET template = ?, template_version = ? WHERE id = ?", values)
            posts.stamp(db, job, self.at(str(values[0]), int(str(values[1]))).post)

    def thumb(self, name: str) -> Path | None:
        """The picture that ships with a template."""
        path = self.folder / "thumbs" / f"{name}.webp"
        return path if self.shipped(name) and path.is_file() else None


class Gallery:
    """Templates as the page shows them. Any thread may ask."""

    def __init__(self, store: Store, templates: Templates) -> None:
        self._store, self._templates = store, templates

    def overview(self, who: Who) -> Json:
        """Every template in the order of its title, with a picture where there is one; those that can be restored; formats."""
        used, pictures = self._used(), self._pictures(who)
        found = sorted(self._templates.all().items(), key=lambda pair: pair[1].title.casefold())
        return {
            "templates": [self._short(one, used.get(name, 0), pictures.get(name)) for name, one in found],
            "removed": [self._removed(name) for name in self._templates.removed()],
            "formats": [{"name": name, "title": TITLES[name]} for name in FORMATS],
        }

    def view(self, name: str, version: int | None, who: Who) -> Json:
        """A version of a template, the current one without `version`: what its TOML says, its variables in order, all its versions."""
        template = self._templates.current(name) if version is None else self._templates.at(name, version)
        return self._short(template, self._used(name).get(name, 0), self._pictures(who, name).get(name)) | {
            "template": to_data(template),
            "toml": self._templates.text(name, template.version),
            "fields": [self._variable(one) for one in template.variables.values()],
            "example": dict(template.example),
            "versions": [vars(one) for one in self._templates.versions(name)],
        }

    def changes(self, name: str, old: int, new: int) -> list[Json]:
        """What differs between two versions: by dotted key, None where one of them says nothing."""
        return changes(self._templates.at(name, old), self._templates.at(name, new))

    def read(self, data: Mapping[Any, Any], name: str) -> str:
        """The TOML of a template that came as `toml`, or as the data that it says. Raises BadInput."""
        if isinstance(data.get("toml"), str):
            return str(data["toml"])
        given = data.get("template")
        if not isinstance(given, Mapping):
            raise BadInput("template", f"A template is an object with a title and a prompt; this is {shown(given)}.")
        return template_toml(template_of(given, name))

    def bring(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Saves the templates of a file that some studio wrote: {"file", "content"}; their names, and what was left. Raises BadInput."""
        file, content = data.get("file"), data.get("content")
        if not isinstance(file, str) or not isinstance(content, str):
            raise BadInput("content", "A file has a name and a content, both of them text.")
        taken = {*self._templates.names(), *self._templates.removed()}
        found = read_styles(content, file[:120], taken)
        texts = {name: template_toml(one) for name, one in found.templates.items()}
        self._templates.create_all(texts, who, f"Imported from {file}"[:200])
        return {"names": list(texts), "format": found.format, "title": TITLES[found.format], "left": list(found.left)}

    def take(self, data: Mapping[Any, Any]) -> Json:
        """Templates as a file: {"names", "format"}; its name and content, and what it cannot hold. Raises BadInput, NotFound."""
        names = data.get("names")
        if not isinstance(names, list) or not 0 < len(names) <= NAMES_LIMIT or not all(isinstance(name, str) for name in names):
            raise BadInput("names", f"names must be a list of 1 to {NAMES_LIMIT} names of templates; this is {shown(names)}.")
        form = cast(Format, one_of(data, "format", FORMATS, "toml", "formats"))
        found = write_styles([self._templates.current(name) for name in dict.fromkeys(names)], form)
        return {"file": found.file, "content": found.content, "left": list(found.left)}

    def _short(self, template: Template, used: int, picture: int | None) -> Json:
        name = template.name
        shipped = f"/api/templates/{name}/thumb.webp" if self._templates.thumb(name) else None
        own = f"/thumb/{picture}.webp" if picture else None
        return {
            "name": name,
            "title": template.title,
            "about": template.about,
            "use": template.use,
            "tags": list(template.tags),
            "version": template.version,
            "shipped": self._templates.shipped(name),
            "thumb": (own or shipped) if template.version else (shipped or own),
            "variables": list(template.variables),
            "tier": template.tier,
            "size": template.size,
            "profile": template.profile,
            "jobs": used,
        }

    def _removed(self, name: str) -> Json:
        last = next(one.version for one in self._templates.versions(name) if not one.removed)
        return {"name": name, "version": last, "title": self._templates.at(name, last).title}

    def _variable(self, variable: Variable) -> Json:
        return vars(variable) | {"choices": list(variable.choices)}

    def _used(self, name: str | None = None) -> dict[str, int]:
        """Jobs by template."""
        only, values = ("IS NOT NULL", []) if name is None else ("= ?", [name])
        rows = self._store.db.execute(f"SELECT template, count(*) AS jobs FROM jobs WHERE template {only} GROUP BY template", values)
        return {row["template"]: row["jobs"] for row in rows}

    def _pictures(self, who: Who, name: str | None = None) -> dict[str, int]:
        """The newest kept picture by template, of those that they may see."""
        seen, values = visible(who)
        only, names = ("IS NOT NULL", []) if name is None else ("= ?", [name])
        rows = self._store.db.execute(
            f"SELECT jobs.template, max(images.id) AS image FROM jobs JOIN images ON images.job_id = jobs.id WHERE jobs.template {only}"
            f" AND {seen} AND images.state = 'drawn' AND images.shown = 'kept' AND images.trashed IS NULL GROUP BY jobs.template",
            [*names, *values],
        )
        return {row["template"]: row["image"] for row in rows}


def changes(old: Template, new: Template) -> list[Json]:
    """What differs between two templates, by dotted key in the order of the newer one."""
    was, now = _flat(to_data(old)), _flat(to_data(new))
    keys = [*now, *(key for key in was if key not in now)]
    return [{"key": key, "old": was.get(key), "new": now.get(key)} for key in keys if was.get(key) != now.get(key)]


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in data.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{key}.")
        elif key == "loras":
            flat |= {f"loras.{one['name']}": f"{one['weight']:g}" for one in value}
        else:
            flat[key] = _words(value)
    return flat


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_words(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


