"""Catalogues that people bring: read, kept for a week until a batch is made of them, with the pictures that their cells name."""
from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound, StudioError
from pipelines.batch import guess_columns, read_setup
from pipelines.catalogue import CELL_LIMIT, FILE_LIMIT, Problem, read_catalogue, read_cell
from pipelines.fields import listed, shown, text
from pipelines.request import UPLOAD
from studio.batchcheck import template_of
from studio.imports import SUFFIXES
from studio.store import batches
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who, require_admin

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

    def rows(self, catalogue: int, who: Who, after: int = 0, limit: int = FIRST_ROWS, lines: Collection[int] = ()) -> Json:
        """Rows after the line `after`, or of `lines` alone, as they stand; `next`: where it goes on, None at the end. Raises NotFound."""
        body = json.loads(batches.catalogue_row(self._store, catalogue, who)["body"])
        limit = max(1, min(limit, SHOWN))
        left = [row for row in body["rows"] if row["line"] > after and (not lines or row["line"] in lines)]
        shown_rows = left[:limit]
        numbers = {row["line"] for row in shown_rows}
        problems = [one for one in body["problems"] if one["line"] in numbers]
        return {"rows": shown_rows, "problems": problems, "next": shown_rows[-1]["line"] if len(left) > limit else None, "left": len(left)}

    def change_row(self, catalogue: int, line: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"cells": {column: text}}: what a row says from now on; the row. Raises NotFound, BadInput."""
        given = data.get("cells")
        if not isinstance(given, Mapping) or not given:
            raise BadInput("cells", f'cells must be like {{"product": "a red mug"}}; this is {shown(given)}.')
        batches.catalogue_row(self._store, catalogue, who)
        with self._store.write():  # two cells changed at once are both kept
            body = json.loads(batches.catalogue_row(self._store, catalogue, who)["body"])
            row = next((one for one in body["rows"] if one["line"] == line), None)
            if row is None:
                raise NotFound(f"This catalogue has no {body['unit']} {line}.")
            cells = dict(row["cells"])
            for column in given:
                if column not in body["columns"]:
                    raise BadInput("cells", f"The catalogue has no column {shown(column)}.", f"It has {listed(body['columns'][:20])}.")
                words, problems = text(given, column, CELL_LIMIT, f"cells.{column}"), list[Problem]()
                cells[column] = read_cell(words, line, column, problems)
                if problems:
                    raise BadInput(f"cells.{column}", problems[0].what)
            row["cells"] = {column: cells[column] for column in body["columns"] if cells.get(column)}
            # What reading the file found wrong with these cells is mended; a row as a whole is, by any change a person makes to it.
            body["problems"] = [one for one in body["problems"] if one["line"] != line or one["column"] not in ("", *given)]
            batches.change_catalogue(self._store, catalogue, body)
        return row

    def of_batch(self, batch: int, who: Who) -> Json:
        """A catalogue of a batch's rows as they stand by now, and its setup: the start of a new one. Raises NotFound, NotNow."""
        row = batches.batch_row(self._store, batch, who)
        if row["kind"] != "catalogue":
            raise NotNow("This batch was not made from a catalogue.", "Its rows are variations of a brief.")
        _, setup = batches.setup_of(self._store, batch)
        rows: dict[int, Json] = {}
        for one in batches.rows_of(self._store, batch, limit=LARGEST_ID):  # a row with several templates has the same line
            rows.setdefault(one["line"], {"line": one["line"], "cells": json.loads(one["cells"])})
        columns = json.loads(row["columns"])
        ordered = [rows[line] for line in sorted(rows)]
        body = {"kind": "batch", "unit": row["unit"], "columns": columns, "notes": [], "rows": ordered, "problems": []}
        made = batches.add_catalogue(self._store, row["source"] or row["title"], body, who, json.loads(row["pictures"]))
        return {"catalogue": self.view(made, who), "setup": setup, "title": row["title"]}

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
    require_admin(who, "Only an admin may read files of the server.", todo="Upload them instead.")
    path = Path(text(data, name, PATH_LIMIT)).expanduser()
    if not path.is_absolute():
        raise BadInput(name, f"{shown(data.get(name))} is no whole path.", "", "Write it from the root on.")
    return path
