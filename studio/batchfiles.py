"""What a batch gave, to be taken away: a ZIP of its pictures with a manifest, and a table of rows, files and scores."""
from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import NotFound
from pipelines.fields import one_of
from studio import __version__, files
from studio.batchcheck import label_of
from studio.processing import Processing
from studio.spreadsheet import harmless
from studio.store import batches, images, posts, signals, views
from studio.store.db import now
from studio.store.people import Who
from studio.strip import stripped
from studio.zipping import Entry, stream

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
PAGE = 200  # rows that are held in memory at once
WHAT = ("kept", "all")
TOLD = ("id", "number", "prompt", "seed", "width", "height", "tier", "card", "steps", "guidance", "verdict", "reasons", "rating", "scores")
STRIPPED = ("id", "number", "width", "height", "verdict")  # without prompts, settings and scores


@dataclass(frozen=True)
class Taken:
    """A row with the pictures of it that are taken: (view, file, name in the ZIP)."""

    row: Any
    cells: dict[str, str]
    template: str
    pictures: list[tuple[Json, Path, str]]


class BatchFiles:
    """Any thread may ask. Everything is read again as it is sent: what was deleted meanwhile is left out."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._processing = Processing(studio)

    def table(self, batch: int, who: Who) -> tuple[str, str]:
        """(file name, the table as CSV): a line a picture, and one for each row that has none. Raises NotFound."""
        row = batches.batch_row(self._store, batch, who)
        return f"{slug(row['title'])}.csv", self._table(row, "kept", who)

    def archive(self, batch: int, what: str, strip: bool | None, who: Who) -> tuple[str, Iterator[bytes]]:
        """(file name, the ZIP piece by piece). what: "kept" or "all". strip: without prompts, settings and scores; None: as the person's
        settings say. Raises NotFound, BadInput."""
        row = batches.batch_row(self._store, batch, who)
        one_of({"what": what}, "what", WHAT, "kept", "kinds")
        if strip is None:
            strip = bool(self._studio.settings.get("export.strip", who))
        if not any(taken.pictures for taken in self._taken(row, what, who)):
            raise NotFound("This batch has no picture to take yet.", "", "Wait until a row is done, or take all of them.")
        return f"{slug(row['title'])}.zip", stream(self._entries(row, what, strip, who))

    # How it is done.

    def _entries(self, row: Any, what: str, strip: bool, who: Who) -> Iterator[Entry]:
        """The manifest and the table first, so that they can be read while the rest still comes."""
        manifest = json.dumps(self._manifest(row, what, strip, who), indent=1, ensure_ascii=False)
        yield Entry("manifest.json", manifest.encode("utf-8", "backslashreplace"), pack=True)
        if not strip:
            yield Entry("results.csv", self._table(row, what, who).encode("utf-8-sig", "backslashreplace"), pack=True)
        for taken in self._taken(row, what, who):
            with self._store.write() as db:
                signals.note(db, [view["id"] for view, _, _ in taken.pictures], who.name, "download")
            for _, path, name in taken.pictures:
                yield Entry(name, stripped(path) if strip and path.suffix == ".png" else path)

    def _taken(self, batch: Any, what: str, who: Who) -> Iterator[Taken]:
        _, setup = batches.setup_of(self._store, batch["id"])
        after = 0
        while rows := batches.rows_of(self._store, batch["id"], after=after, limit=PAGE):
            for row in rows:
                cells = json.loads(row["cells"])
                template = setup["templates"][row["place"]]["name"] if setup["templates"] else ""
                label = slug(label_of(setup["label"], cells, row["line"]))
                stem = f"{row['number']:05d}-{label}" + (f"-{template}" if len(setup["templates"]) > 1 else "")
                yield Taken(row, cells, template, self._pictures(row["job_id"], what, stem, who))
            after = rows[-1]["number"]

    def _pictures(self, job: int | None, what: str, stem: str, who: Who) -> list[tuple[Json, Path, str]]:
        if job is None:
            return []
        rows = [row for row in images.of_job(self._store, job, who) if row["state"] == "drawn" and row["trashed"] is None]
        if what == "kept":
            rows = [row for row in rows if row["shown"] == "kept"]
        there = [row for row in rows if (self._studio.data_dir / row["path"]).is_file()]
        found = []
        for row, view in zip(there, views.image_views(self._store, there, self._studio.percentiles, who), strict=True):
            path = self._file(row, who)
            found.append((view, path, f"{stem}-{view['number']:03d}{path.suffix}"))
        return found

    def _file(self, row: Any, who: Who) -> Path:
        """The file as it was processed for its use, else as it was drawn."""
        if posts.posts_of(self._store, [row["id"]]):
            return self._processing.file(row["id"], who)[0]
        return files.find_picture(self._studio.data_dir, row["path"])

    def _manifest(self, batch: Any, what: str, strip: bool, who: Who) -> Json:
        version, setup = batches.setup_of(self._store, batch["id"])
        told = STRIPPED if strip else TOLD
        rows = []
        for taken in self._taken(batch, what, who):
            pictures = [{"file": name} | {field: view[field] for field in told} for view, _, name in taken.pictures]
            one = {"row": taken.row["number"], batch["unit"]: taken.row["line"], "state": taken.row["state"], "pictures": pictures}
            if not strip:
                one |= {"attempt": taken.row["attempt"]}
                one |= {"cells": taken.cells, "template": taken.template, "job": taken.row["job_id"]}
                one |= {"error": json.loads(taken.row["error"]) if taken.row["error"] else None}
            rows.append(one)
        head = {"studio": f"Contact Sheet {__version__}", "made": now(), "batch": batch["title"], "catalogue": batch["source"]}
        return head | ({} if strip else {"setup": setup, "setup_version": version}) | {"rows": rows}

    def _table(self, batch: Any, what: str, who: Who) -> str:
        columns = json.loads(batch["columns"])
        found = list(self._taken(batch, what, who))
        dimensions = list(dict.fromkeys(score["dimension"] for one in found for view, _, _ in one.pictures for score in view["scores"]))
        text = io.StringIO()
        writer = csv.writer(text)
        own = ["row", batch["unit"], "template", "state", "attempt", "error", "job", "file", "picture", "verdict", "seed", "prompt"]
        writer.writerow([*own, *(f"catalogue: {name}" for name in columns), *dimensions])
        for one in found:
            error = json.loads(one.row["error"])["what"] if one.row["error"] else ""
            head = [one.row["number"], one.row["line"], one.template, one.row["state"], one.row["attempt"], error, one.row["job_id"]]
            said = [one.cells.get(name, "") for name in columns]
            lines: list[tuple[list[Any], dict[str, Any]]] = [
                ([name, *(view[field] for field in ("id", "verdict", "seed", "prompt"))], _values(view)) for view, _, name in one.pictures
            ]
            for mine, values in lines or [([""] * 5, {})]:
                writer.writerow([harmless(value) for value in (*head, *mine, *said, *(values.get(name) for name in dimensions))])
        return text.getvalue()


def _values(view: Json) -> dict[str, Any]:
    return {score["dimension"]: score["value"] for score in view["scores"]}


def slug(words: str) -> str:
    """A name for a file that every system takes: "Café crème, 19\" rack" -> "cafe-creme-19-rack"."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:60].strip("-") or "batch"

