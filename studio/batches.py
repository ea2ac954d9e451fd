"""Batches as people use them: checked and started from a catalogue; their rows are watched, paused, tried again.

What is asked of a batch is its owner's alone; others are told that there is none.
"""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from pipelines.batch import Setup, change, read_setup
from pipelines.fields import listed, one_of, shown, text, whole
from studio.batchcheck import TASKS_LIMIT, Check, Outlook, template_of, variables_of
from studio.batching import Runner
from studio.batchviews import brief, differences, row_views
from studio.store import batches
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
TITLE_LIMIT, NOTE_LIMIT = 80, 200
ROWS_SHOWN = 200


class Batches:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self.runner = Runner(studio, self._submission, self.tell)

    # Making one.

    def check(self, data: Mapping[Any, Any], who: Who) -> Json:
        """What would come of a batch, and every row's problems; with `lines`, of these rows alone, which is quicker by as much.

        Raises NotFound, BadInput for what is wrong with the batch as a whole.
        """
        lines = data.get("lines")
        if lines is not None and not (isinstance(lines, list) and all(isinstance(line, int) for line in lines)):
            raise BadInput("lines", f"lines must be a list of numbers; this is {shown(lines)}.")
        body, _, outlook = self._checked(data, who, lines)
        return outlook.view(len(body["rows"]))

    def create(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Starts a batch. With `leave_out`: true, rows with problems are left out; else they are refused. Raises NotFound, BadInput."""
        row = batches.catalogue_row(self._store, whole(data, "catalogue", 1, LARGEST_ID, 0), who)
        body, setup, outlook = self._checked(data, who)
        if outlook.bad and data.get("leave_out") is not True:
            lines = sorted({line for line, _ in outlook.bad})
            what = f"{len(lines)} of {len(body['rows'])} rows cannot be drawn as they are."
            why = f"{body['unit'].capitalize()} {listed(map(str, lines[:9]))}{' and more' if len(lines) > 9 else ''}."
            raise BadInput("leave_out", what, why, "Mend them, or leave them out.")
        if not outlook.good:
            raise BadInput("catalogue", "No row of this catalogue can be drawn.", str(outlook.problems[0]["what"]))
        title = text(data, "title", TITLE_LIMIT) or Path(row["name"]).stem
        pictures = json.loads(row["pictures"])
        batch = batches.add_batch(
            self._store, who, title, setup.to_dict(), body["columns"], [(one.line, one.place, one.cells) for one in outlook.good],
            unit=body["unit"], source=row["name"], pictures=pictures, paused=data.get("paused") is True,
        )  # fmt: skip
        for picture in {one for one in pictures.values() if isinstance(one, str)}:
            self._studio.imports.used(picture, who)
        return self.moved(batch, who)

    # What there is.

    def all(self, who: Who, removed: bool = False) -> list[Json]:
        """Theirs, newest first, without their setups."""
        rows = batches.list_batches(self._store, who, removed)
        counts = batches.counts_of(self._store, [row["id"] for row in rows])
        return [brief(self._store, row, counts[row["id"]]) for row in rows]

    def view(self, batch: int, who: Who) -> Json:
        """Raises NotFound."""
        row = batches.batch_row(self._store, batch, who)
        version, setup = batches.setup_of(self._store, batch)
        counts = batches.counts_of(self._store, [batch])[batch]
        known = [(one["version"], json.loads(one["setup"]), one) for one in batches.versions_of(self._store, batch)]
        versions = [
            {"version": number, "person": one["person"], "note": one["note"], "created": one["created"],
             "changes": differences(known[place + 1][1], old) if place + 1 < len(known) else []}
            for place, (number, old, one) in enumerate(known)
        ]  # fmt: skip
        return brief(self._store, row, counts) | {
            "setup": setup, "version": version, "versions": versions, "columns": json.loads(row["columns"]), "unit": row["unit"],
            "source": row["source"], "brief": json.loads(row["brief"]) if row["brief"] else None, "parent": row["parent"],
            "titles": {one["name"]: self._title(one) for one in setup["templates"]}, "variables": sorted(self._variables(setup)),
        }  # fmt: skip

    def rows(self, batch: int, who: Who, states: Sequence[str] = (), after: int = 0, limit: int = 100) -> Json:
        """Rows with their pictures, from number `after` on; `next` says where it goes on, None at the end. Raises NotFound, BadInput."""
        batches.batch_row(self._store, batch, who)
        for state in states:
            one_of({"state": state}, "state", batches.STATES, "done", "states")
        limit = max(1, min(limit, ROWS_SHOWN))
        found = batches.rows_of(self._store, batch, states, max(0, after), limit + 1)
        more = found[limit - 1]["number"] if len(found) > limit else None
        return {"rows": row_views(self._studio, batch, found[:limit], who), "next": more}

    # What a person does.

    def pause(self, batch: int, paused: bool, who: Who) -> Json:
        """Raises NotFound."""
        batches.batch_row(self._store, batch, who)
        held = batches.hold(self._store, batch, paused)
        self._studio.queue_changed(held)
        return self.moved(batch, who)

    def stop(self, batch: int, who: Who) -> Json:
        """What is left is not drawn; it can be tried again. Raises NotFound."""
        batches.batch_row(self._store, batch, who)
        for job in batches.drop_rows(self._store, batch):
            try:
                self._studio.cancel(job, who)
            except NotNow:
                continue  # it has just ended
        batches.settle(self._store)
        return self.moved(batch, who)

    def again(self, batch: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"states": [...], "row": number?}: tries rows again that ended so. Raises NotFound, BadInput, NotNow."""
        row = batches.batch_row(self._store, batch, who)
        states = data.get("states", ["failed"])
        if not isinstance(states, list) or not states or not all(state in batches.AGAIN for state in states):
            raise BadInput("states", f"states must be some of {listed(batches.AGAIN)}; this is {shown(states)}.")
        number = whole(data, "row", 1, 2**31, None)
        count = batches.try_again(self._store, batch, states, number)
        if not count:
            raise NotNow("There is no such row to try again.", f"None is {' or '.join(states)}.")
        if row["why"]:  # what made the studio pause it may have gone
            batches.hold(self._store, batch, False)
        return self.moved(batch, who) | {"again": count}

    def change(self, batch: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"title"?, "fields"?, "off_peak"?, "note"?, "base"?}: for the rows that are not queued yet. Raises NotFound, BadInput, NotNow."""
        batches.batch_row(self._store, batch, who)
        version, known = batches.setup_of(self._store, batch)
        setup = change(Setup.from_dict(known), data, self._variables(known))
        note = text(data, "note", NOTE_LIMIT)
        base = whole(data, "base", 1, 2**31, None)
        if "title" in data:
            title = text(data, "title", TITLE_LIMIT)
            if not title:
                raise BadInput("title", "A batch needs a title.")
            self._store.db.execute("UPDATE batches SET title = ? WHERE id = ?", [title, batch])
        if setup.to_dict() != known:
            self._try(batch, setup, who)
            batches.save_setup(self._store, batch, setup.to_dict(), who, note, version if base is None else base)
        return self.moved(batch, who)

    def restore_version(self, batch: int, version: object, who: Who) -> Json:
        """Makes an earlier setup the newest. Raises NotFound."""
        batches.batch_row(self._store, batch, who)
        number = whole({"version": version}, "version", 1, 2**31, None)
        if number is None:
            raise BadInput("version", "The version to restore is missing.")
        _, setup = batches.setup_of(self._store, batch, number)
        batches.save_setup(self._store, batch, setup, who, f"Restored version {number}", None)
        return self.moved(batch, who)

    def change_row(self, batch: int, number: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"cells": {column: text}}: what a row that is not done says from now on. Raises NotFound, BadInput, NotNow."""
        kept = batches.batch_row(self._store, batch, who)
        row = batches.one_row(self._store, batch, number)
        given = data.get("cells")
        if not isinstance(given, Mapping) or not given:
            raise BadInput("cells", f'cells must be like {{"product": "a red mug"}}; this is {shown(given)}.')
        cells = json.loads(row["cells"])
        for column in given:
            if column not in json.loads(kept["columns"]):
                raise BadInput("cells", f"The catalogue has no column {shown(column)}.")
            cells[column] = text(given, column, 4000, f"cells.{column}")
        cells = {column: cell for column, cell in cells.items() if cell}
        _, setup = batches.setup_of(self._store, batch)
        check = Check(self._studio, Setup.from_dict(setup), json.loads(kept["pictures"]), who)
        check.read(check.request(cells, row["place"]))
        batches.change_cells(self._store, batch, number, cells)
        self.tell(batch)
        return self.row(batch, number, who)

    def row(self, batch: int, number: int, who: Who) -> Json:
        """Raises NotFound."""
        batches.batch_row(self._store, batch, who)
        return row_views(self._studio, batch, [batches.one_row(self._store, batch, number)], who)[0]

    def put_away(self, batch: int, removed: bool, who: Who) -> Json:
        """Takes a batch out of the list, or brings it back; its pictures stay in the history. Raises NotFound, NotNow."""
        batches.batch_row(self._store, batch, who)
        counts = batches.counts_of(self._store, [batch])[batch]
        if removed and counts["waiting"] + counts["open"]:
            raise NotNow("This batch is not done.", f"{counts['waiting'] + counts['open']} rows are left.", "Stop it first.")
        batches.put_away(self._store, batch, removed)
        return self.moved(batch, who)

    # How it is done.

    def _submission(self, batch: sqlite3.Row, row: sqlite3.Row, setup: Setup) -> Json:
        """What the runner submits for a row."""
        who = Who(batch["person"])
        check = Check(self._studio, setup, json.loads(batch["pictures"]), who)
        return check.request(json.loads(row["cells"]), row["place"], row["attempt"])

    def _checked(self, data: Mapping[Any, Any], who: Who, lines: Collection[int] | None = None) -> tuple[Json, Setup, Outlook]:
        row = batches.catalogue_row(self._store, whole(data, "catalogue", 1, LARGEST_ID, 0), who)
        body = json.loads(row["body"])
        if lines is not None:
            body |= {name: [one for one in body[name] if one["line"] in lines] for name in ("rows", "problems")}
        uses = read_setup({**data, "columns": {}, "fields": {"prompt": "-"}}, body["columns"]).templates
        variables = self._variables({"templates": [one.to_dict() for one in uses]})
        setup = read_setup(data, body["columns"], variables)
        pinned = tuple(replace(one, version=self._pinned(one.name, one.version)) for one in setup.templates)
        setup = replace(setup, templates=pinned)
        tasks = len(body["rows"]) * max(1, len(pinned))
        if tasks > TASKS_LIMIT:
            raise BadInput("templates", f"These are {tasks} pictures to make; a batch has at most {TASKS_LIMIT}.", "", "Split it.")
        return body, setup, Check(self._studio, setup, json.loads(row["pictures"]), who).run(body["rows"], body["problems"])

    def _try(self, batch: int, setup: Setup, who: Who) -> None:
        """Reads the next row with a setup, so that what no row could be drawn with is refused now. Raises BadInput."""
        row = batches.batch_row(self._store, batch)
        waiting = batches.rows_of(self._store, batch, ("waiting", "failed", "short", "stopped"), limit=1)
        for one in waiting:
            check = Check(self._studio, setup, json.loads(row["pictures"]), who)
            check.read(check.request(json.loads(one["cells"]), one["place"]))

    def _pinned(self, name: str, version: int | None) -> int:
        return self._studio.templates.version(name) if version is None else version

    def _variables(self, setup: Mapping[str, Any]) -> set[str]:
        """The variables of all templates of a setup."""
        return {name for one in setup["templates"] for name in variables_of(self._studio, one["name"], one["version"])}

    def _title(self, use: Mapping[str, Any]) -> str:
        try:
            return template_of(self._studio, use["name"], use["version"]).title
        except NotFound:
            return str(use["name"])

    def moved(self, batch: int, who: Who) -> Json:
        """Has the runner look, and tells everybody; the batch. To be called after a change."""
        self.runner.wake()
        self.tell(batch)
        return self.view(batch, who)

    def tell(self, batch: int) -> None:
        """Lets the owner's browsers know where a batch stands."""
        if self._studio.hub.watched:
            row = batches.batch_row(self._store, batch)
            counts = batches.counts_of(self._store, [batch])[batch]
            self._studio.hub.publish("batch", brief(self._store, row, counts), (row["person"], None))
