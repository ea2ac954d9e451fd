"""Catalogues that people bring: read, kept for a week until a batch is made of them, with the pictures that their cells name."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, StudioError
from pipelines.batch import guess_columns, read_setup
from pipelines.catalogue import FILE_LIMIT, read_catalogue
from pipelines.fields import shown, text
from pipelines.request import UPLOAD
from studio.batchcheck import template_of
from studio.imports import SUFFIXES
from studio.settings import NotYours
from studio.store import batches
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
NAME_LIMIT, PATH_LIMIT = 80, 1000
FIRST_ROWS, SHOWN, PICTURES_LIMIT = 8, 200, 10_000


class Catalogues:
    """Any thread may ask. A catalogue is of whoever brought it alone."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def bring(self, data: bytes, name: str, who: Who) -> Json:
        """Reads and keeps a file. Raises BadInput (field "file")."""
        found = read_catalogue(data)
        body = {
            "kind": found.kind, "unit": found.unit, "columns": list(found.columns), "notes": list(found.notes),
            "rows": [{"line": row.line, "cells": dict(row.cells)} for row in found.rows],
            "problems": [problem.to_dict() for problem in found.problems],
        }  # fmt: skip
        name = text({"name": name.replace("\\", "/").split("/")[-1][:NAME_LIMIT]}, "name", NAME_LIMIT) or f"catalogue.{found.kind}"
        return self.view(batches.add_catalogue(self._store, name, body, who), who)

    def bring_from(self, path: object, who: Who) -> Json:
        """Reads a file of this machine. Raises NotYours, BadInput."""
        place = _server_path({"path": path}, "path", who)
        if not place.is_file():
            raise BadInput("path", f"{place} is no file of this machine.")
        if place.stat().st_size > FILE_LIMIT:
            raise BadInput("path", f"{place} is too large.", f"At most {FILE_LIMIT // 2**20} MB are read.")
        return self.bring(place.read_bytes(), place.name, who)

    def view(self, catalogue: int, who: Who) -> Json:
        """A catalogue as the page shows it, without most of its rows. Raises NotFound."""
        row = batches.catalogue_row(self._store, catalogue, who)
        body = json.loads(row["body"])
        first: dict[str, str] = {}
        filled = dict.fromkeys(body["columns"], 0)
        for entry in body["rows"]:
            for column, cell in entry["cells"].items():
                first.setdefault(column, cell[:120])
                filled[column] += 1
        columns = [{"name": name, "filled": filled[name], "example": first.get(name, "")} for name in body["columns"]]
        return {
            "id": row["id"], "name": row["name"], "kind": body["kind"], "unit": body["unit"], "notes": body["notes"], "columns": columns,
            "rows": len(body["rows"]), "first": body["rows"][:FIRST_ROWS], "problems": body["problems"][:SHOWN],
            "problem_count": len(body["problems"]), "pictures": len(json.loads(row["pictures"])),
            "files": self._files(body, json.loads(row["pictures"])),
        }  # fmt: skip

    def guess(self, catalogue: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Which column probably goes where, for the templates named. Raises NotFound, BadInput."""
        body = json.loads(batches.catalogue_row(self._store, catalogue, who)["body"])
        setup = read_setup({"templates": data.get("templates"), "fields": {"prompt": "-"}}, body["columns"])
        templates = [template_of(self._studio, use.name, use.version) for use in setup.templates]
        found = guess_columns(body["columns"], {name: one.title for template in templates for name, one in template.variables.items()})
        return {"columns": {target: column for target, column in found.items() if not (templates and target == "prompt")}}

    def add_pictures(self, catalogue: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"pictures": {file name: upload}}, or an admin's {"folder": path}, whose files the cells name.

        Raises NotFound, NotYours, BadInput.
        """
        row = batches.catalogue_row(self._store, catalogue, who)
        if data.get("folder") is not None:
            found = self._from_folder(_server_path(data, "folder", who), json.loads(row["body"]), who)
        else:
            found = self._uploaded(data.get("pictures"), who)
        if len(json.loads(row["pictures"])) + len(found) > PICTURES_LIMIT:
            raise BadInput("pictures", f"A catalogue has at most {PICTURES_LIMIT} pictures.")
        batches.add_pictures(self._store, catalogue, found)
        return self.view(catalogue, who) | {"added": len(found)}

    # How it is done.

    def _files(self, body: Mapping[str, Any], pictures: Mapping[str, Any]) -> Json:
        """The picture files that cells name, and which of them are not here yet."""
        named = dict.fromkeys(name for entry in body["rows"] for cell in entry["cells"].values() if (name := _file_name(cell)))
        missing = [name for name in named if name.lower() not in pictures]
        return {"named": len(named), "missing": missing[:SHOWN], "missing_count": len(missing)}

    def _uploaded(self, given: object, who: Who) -> dict[str, int | str]:
        if not isinstance(given, Mapping) or len(given) > PICTURES_LIMIT:
            raise BadInput("pictures", f'pictures must be like {{"mug.png": "..."}}; this is {shown(given)}.')
        found: dict[str, int | str] = {}
        for name, upload in given.items():
            if not isinstance(upload, str) or not UPLOAD.fullmatch(upload):
                raise BadInput("pictures", f"{shown(upload)} is no uploaded picture.")
            self._studio.imports.file(upload, who)
            found[str(name).replace("\\", "/").split("/")[-1].strip().lower()[:255]] = upload
        return found

    def _from_folder(self, folder: Path, body: Mapping[str, Any], who: Who) -> dict[str, int | str]:
        """Pictures of a folder of this machine that cells name, by the cells' own words; nothing outside of it is read."""
        if not folder.is_dir():
            raise BadInput("folder", f"{folder} is no folder of this machine.")
        root, found = folder.resolve(), {}
        for cell in dict.fromkeys(cell for entry in body["rows"] for cell in entry["cells"].values() if _file_name(cell)):
            place = (root / cell).resolve()
            if not place.is_relative_to(root):
                raise BadInput("folder", f"{shown(cell)} lies outside of {folder}.", "Only what is in the folder is read.")
            if place.is_file():
                try:
                    found[cell.lower()] = self._studio.imports.take(place.read_bytes(), {}, who)["upload"]
                except StudioError as error:
                    raise BadInput("folder", f"{place}: {error.what}", error.why, error.todo) from error
        return found


def _file_name(cell: str) -> str:
    """The file that a cell names, where it looks like a picture's."""
    name = cell.replace("\\", "/").split("/")[-1].strip()
    return name if name.lower().endswith((*(f".{suffix}" for suffix in SUFFIXES.values()), ".jpeg")) and len(name) <= 255 else ""


def _server_path(data: Mapping[Any, Any], name: str, who: Who) -> Path:
    if not who.admin:
        raise NotYours("Only an admin may read files of the server.", "", "Upload them instead.")
    path = Path(text(data, name, PATH_LIMIT)).expanduser()
    if not path.is_absolute():
        raise BadInput(name, f"{shown(data.get(name))} is no whole path.", "", "Write it from the root on.")
    return path
