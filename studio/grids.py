"""X/Y/Z grids in the studio: told beforehand what they come to, queued as ordinary jobs, gone on with after whatever stopped them.

A grid is a row, and its cells are candidates of ordinary jobs: what was queued is drawn after a restart by itself. What is missing, because
a job failed, was cancelled, or was never queued, is worked out from the rows, and `resume` queues just that.
"""
from __future__ import annotations

import csv
import io
import json
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, StudioError
from pipelines.grid import Grid, Group
from pipelines.request import DRAFT_LIMIT, DRAWN_SEED_LIMIT
from studio.gridsheet import Shot, sheet_size, write_sheet
from studio.queueing import LOWEST, take_placing
from studio.spreadsheet import harmless
from studio.store import grids, order, views
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.timings import Timing, timing
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

LISTED, SHOTS_LISTED, TOLD = 60, 4, 12
PLACING = ("priority", "start_at", "safety")
# With any of these another seed may give another prompt, so that seeds cannot ride in one request.
_VARIES = re.compile(r"[{]|__|<lora:")


@dataclass(frozen=True)
class _Cost:
    """One group as it would be queued. seconds: None where nothing like it was ever timed here. error: why it cannot be drawn."""

    group: Group
    seconds: float | None = None
    size: tuple[int, int] | None = None
    error: StudioError | None = None


class Grids:
    """What the grids' routes call. Each method takes who asks; all raise BadInput and NotFound."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._lock = threading.Lock()  # nothing is queued twice by two windows

    # Before it starts.

    def plan(self, data: Mapping[Any, Any], who: Who) -> Json:
        """What a grid comes to: cells, jobs, seconds, the sheet's size, and the cells that cannot be drawn, with the reason."""
        grid, _ = self._read(data, who)
        costs = self._costs(grid, _groups(grid), who)
        return self._told(grid, costs)

    def start(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Queues a grid; see `view`. With "skip": true the cells that cannot be drawn stay empty; else there may be none."""
        skip = data.get("skip")
        if skip is not None and not isinstance(skip, bool):
            raise BadInput("skip", "skip must be true or false.")
        grid, placing = self._read({name: value for name, value in data.items() if name != "skip"}, who)
        costs = self._costs(grid, _groups(grid), who)
        refused = {cell: cost.error.what for cost in costs if cost.error for cells in cost.group.cells for cell in cells}
        first = next((cost.error for cost in costs if cost.error), None)
        if first is not None and (not skip or len(refused) == grid.count):
            raise BadInput("grid", f"{len(refused)} of {grid.count} cells cannot be drawn.", first.what, first.todo or "Change the values.")
        number = grids.add(self._store, who, grid, placing, refused)
        with self._lock:
            self._queue(grids.grid_row(self._store, number, who), who)
        return self.view(number, who)

    # Afterwards.

    def listed(self, who: Who) -> Json:
        """One's own grids, newest first, each with its first pictures."""
        rows = grids.rows_of(self._store, who, LISTED)
        states = grids.states(self._store, [row["id"] for row in rows])
        found = []
        for row in rows:
            grid, counts = Grid.from_dict(json.loads(row["grid"])), states[row["id"]]
            shots = [f"/thumb/{image}.webp" for image in grids.drawn_of(self._store, row["id"], SHOTS_LISTED)]
            found.append({
                "id": row["id"], "title": row["title"], "created": row["created"], "shape": grid.shape, "cells": grid.count,
                "axes": [axis.title for axis in grid.axes], "drawn": counts.get("drawn", 0), "thumbs": shots,
                "open": counts.get("waiting", 0) + counts.get("drawing", 0),
            })  # fmt: skip
        return {"grids": found}

    def view(self, number: int, who: Who) -> Json:
        """A grid with its cells, by number: `image` as GET /api/images/{id} has it, where there is one.

        state of a cell: waiting, drawing, drawn, gone (thrown away), missing (`resume` draws it), refused. of the grid: running,
        paused, stopped (cells are missing), done.
        """
        row = grids.grid_row(self._store, number, who)
        grid, refused = Grid.from_dict(json.loads(row["grid"])), grids.refused_of(row)
        pictures, jobs = grids.pictures(self._store, number), grids.jobs_of(self._store, number)
        shown_rows = list({one["id"]: one for one in pictures.values() if one["state"] == "drawn" and one["trashed"] is None}.values())
        images = {view["id"]: view for view in views.image_views(self._store, shown_rows, self._studio.percentiles, who)}
        cells = [self._cell(grid, at, place, pictures.get(at), images, refused) for at, place in enumerate(grid.places())]
        running = [job for job in jobs if job["state"] in ("queued", "running")]
        counts = {name: sum(cell["state"] == name for cell in cells) for name in STATES}
        etas = [self._studio.queue.outlook(job["id"]).eta for job in running]
        paused = bool(running) and all(job["paused"] for job in running)
        return {
            "id": number, "title": row["title"], "created": row["created"], "grid": grid.to_dict(), "shape": grid.shape, "seed": grid.seed,
            "axes": [{"field": axis.field, "title": axis.title, "labels": [axis.label(at) for at in range(len(axis.values))]}
                     for axis in grid.axes],
            "cells": cells, "counts": counts, "jobs": [job["id"] for job in jobs],
            "state": "paused" if paused else "running" if running else "stopped" if counts["missing"] else "done",
            "eta": max((eta for eta in etas if eta is not None), default=None) if None not in etas and not paused else None,
            "error": next((json.loads(job["error"])["what"] for job in reversed(jobs) if job["error"]), ""),
        }  # fmt: skip

    def pause(self, number: int, who: Who) -> Json:
        """No further batch of it is begun."""
        self._each_open(number, who, lambda job: order.pause_job(self._store, job, True, who))
        return self.view(number, who)

    def resume(self, number: int, who: Who) -> Json:
        """Goes on: what is paused, and what is missing, be it that it failed, was cancelled or was never queued."""
        row = grids.grid_row(self._store, number, who)
        self._each_open(number, who, lambda job: order.pause_job(self._store, job, False, who))
        with self._lock:
            self._queue(row, who)
        return self.view(number, who)

    def cancel(self, number: int, who: Who) -> Json:
        """Stops it within one step; what is drawn stays."""
        self._each_open(number, who, lambda job: self._studio.cancel(job, who))
        return self.view(number, who)

    def remove(self, number: int, who: Who) -> Json:
        """Forgets a grid; its pictures stay in the history. What was still to be drawn is cancelled."""
        self.cancel(number, who)
        grids.remove(self._store, number)
        return {"id": number}

    # To take away.

    def sheet(self, number: int, who: Who) -> tuple[str, bytes]:
        """The labelled sheet as a PNG, with its file's name."""
        row = grids.grid_row(self._store, number, who)
        grid, refused = Grid.from_dict(json.loads(row["grid"])), grids.refused_of(row)
        shots: dict[int, Shot] = {}
        for cell, picture in grids.pictures(self._store, number).items():
            if picture["state"] == "drawn" and picture["trashed"] is None:
                shots[cell] = Shot(picture["width"], picture["height"], self._studio.picture_file(picture["id"], who))
        if not shots:
            raise NotNow("There is no picture in this grid yet.", "", "Wait until one is drawn.")
        return _file_name(row, "png"), write_sheet(grid, shots, refused)

    def table(self, number: int, who: Who) -> tuple[str, str]:
        """The cells as CSV (RFC 4180): values, seed, verdict, and a column for each score; with its file's name."""
        view = self.view(number, who)
        dimensions = list(dict.fromkeys(score["dimension"] for cell in view["cells"] if cell["image"] for score in cell["image"]["scores"]))
        text = io.StringIO()
        writer = csv.writer(text)
        axes = [axis["title"] for axis in view["axes"]]
        plain = ("id", "job", "number", "verdict", "rating", "seconds", "width", "height")
        writer.writerow(["cell", *map(harmless, axes), "seed", "state", *plain, *dimensions])
        for at, cell in enumerate(view["cells"]):
            image = cell["image"] or {}
            values = {score["dimension"]: score["value"] for score in image.get("scores", ())}
            labels = [view["axes"][axis]["labels"][place] for axis, place in enumerate(cell["place"])]
            writer.writerow([at + 1, *map(harmless, labels), cell["seed"], cell["state"], *(image.get(name) for name in plain),
                             *(values.get(name) for name in dimensions)])  # fmt: skip
        return _file_name(grids.grid_row(self._store, number, who), "csv"), text.getvalue()

    # How it is done.

    def _read(self, data: Mapping[Any, Any], who: Who) -> tuple[Grid, Json]:
        """The grid, and what its jobs are queued with. Raises BadInput."""
        placing = {name: data[name] for name in PLACING if data.get(name) is not None}
        take_placing(placing, who)
        rest = {name: value for name, value in data.items() if name not in PLACING}
        return Grid.from_dict(rest, secrets.randbelow(DRAWN_SEED_LIMIT)), {"priority": LOWEST} | placing

    def _request(self, group: Group) -> Json:
        """A group as what is submitted: a picture for each seed, at once, none of them drawn again."""
        fields = dict(group.fields) | {"draft": None, "keep": len(group.seeds), "ladder": False, "retries": 0, "budget": None}
        # A single seed is composed with, where words are drawn by it.
        return fields | ({"seed": group.seeds[0], "draft": 1} if len(group.seeds) == 1 else {"seeds": list(group.seeds)})

    def _costs(self, grid: Grid, groups: Iterable[Group], who: Who) -> list[_Cost]:
        known: dict[tuple[str, int, int], Timing] = {}
        device = self._studio.device()["device"]["words"]
        found = []
        for group in groups:
            try:
                request = self._studio.read(self._request(group), who)
                plan = self._studio.plan(request, who)
            except StudioError as error:
                found.append(_Cost(group, error=error))
                continue
            seconds: float | None = 0.0
            drafts = plan.first(request.seeds)
            for draft in drafts:
                key = (draft.card, draft.spec.width, draft.spec.height)
                if key not in known:
                    known[key] = timing(self._store, device, *key)
                took = known[key].of_draft(len(draft.numbers), draft.spec.steps)
                seconds = None if took is None or seconds is None else seconds + took
            spec, finish = plan.final.spec, plan.final.finish
            scale = finish.scale if finish else 1
            found.append(_Cost(group, seconds, (round(spec.width * scale), round(spec.height * scale))))
        return found

    def _told(self, grid: Grid, costs: list[_Cost]) -> Json:
        able = [cost for cost in costs if cost.error is None]
        sizes = [cost.size for cost in able if cost.size]
        labels = [grid.labels(place) for place in grid.places()]
        refused = [
            {"cell": cell, "labels": labels[cell], "field": cost.error.field or None, "what": cost.error.what, "why": cost.error.why,
             "todo": cost.error.todo}
            for cost in costs if cost.error for cells in cost.group.cells for cell in cells
        ]  # fmt: skip
        seconds = [cost.seconds for cost in able]
        ahead = [self._studio.queue.outlook(job).eta for job in self._open_jobs()]
        return {
            "title": grid.title, "shape": grid.shape, "cells": grid.count, "seed": grid.seed,
            "axes": [{"field": axis.field, "title": axis.title, "labels": [axis.label(at) for at in range(len(axis.values))]}
                     for axis in grid.axes],
            "pictures": sum(len(cost.group.seeds) for cost in able), "jobs": len(able),
            "seconds": None if None in seconds else round(sum(one for one in seconds if one is not None), 2),
            "ahead": None if None in ahead else max((eta for eta in ahead if eta is not None), default=0.0),
            "sheet": sheet_size(grid, sizes) if sizes else None,
            "refused": refused[:TOLD], "refused_cells": len(refused),
        }  # fmt: skip

    def _open_jobs(self) -> list[int]:
        rows = self._store.db.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running') AND NOT paused")
        return [row["id"] for row in rows]

    def _queue(self, row: sqlite3.Row, who: Who) -> None:
        """Queues what no job is drawing, and no picture shows. Each job is noted in the transaction that queues it."""
        grid, placing, refused = Grid.from_dict(json.loads(row["grid"])), json.loads(row["placing"]), grids.refused_of(row)
        there = {cell for cell, picture in grids.pictures(self._store, row["id"]).items() if picture["state"] != "failed"}
        known = len(refused)
        for group in _groups(grid):
            left = _without(group, there | refused.keys())
            if not left.seeds:
                continue

            def note(db: sqlite3.Connection, job: int, left: Group = left) -> None:
                grids.add_job(db, row["id"], job, left.cells)

            try:
                self._studio.submit(self._request(left) | placing, who, note)
            except StudioError as error:  # what safety refuses, or a file that has gone meanwhile: told in its cell
                refused |= {cell: error.what for cells in left.cells for cell in cells}
        if len(refused) > known:
            grids.refuse(self._store, row["id"], refused)

    def _each_open(self, number: int, who: Who, deed: Any) -> None:
        grids.grid_row(self._store, number, who)
        touched = [job["id"] for job in grids.jobs_of(self._store, number) if job["state"] in ("queued", "running")]
        for job in touched:
            with suppress(NotNow):  # it has ended since it was looked up
                deed(job)
        if touched:
            self._studio.queue_changed(touched)

    def _cell(
        self, grid: Grid, at: int, place: tuple[int, ...], row: sqlite3.Row | None, images: Mapping[int, Json], refused: Mapping[int, str]
    ) -> Json:
        if row is None or row["state"] == "failed":
            state = "refused" if at in refused else "missing"
        elif row["state"] == "drawn":
            state = "gone" if row["trashed"] is not None else "drawn"
        else:
            state = row["state"]
        return {
            "place": place, "state": state, "seed": grid.fields(place)[1], "why": refused.get(at, ""),
            "job": row["job_id"] if row else None, "number": row["number"] if row else None,
            "image": images.get(row["id"]) if row is not None and state == "drawn" else None,
        }  # fmt: skip


STATES = ("waiting", "drawing", "drawn", "gone", "missing", "refused")


def _groups(grid: Grid) -> list[Group]:
    """The jobs of a grid. Where a seed draws words too, each seed is a request of its own."""
    prompts = [grid.base.get("prompt"), *(value for axis in grid.axes if axis.field in ("prompt", "words") for value in axis.values)]
    composed = {"template", "values", "brand", "parts", "edit"} & {*grid.base, *(axis.field.partition(".")[0] for axis in grid.axes)}
    varies = bool(composed) or any(isinstance(prompt, str) and _VARIES.search(prompt) for prompt in prompts)
    return grid.groups(1 if varies else DRAFT_LIMIT)


def _without(group: Group, there: Any) -> Group:
    """The part of a group of which no cell is there; a cell that is there already keeps its picture."""
    left = [(seed, tuple(cell for cell in cells if cell not in there)) for seed, cells in zip(group.seeds, group.cells, strict=True)]
    left = [(seed, cells) for seed, cells in left if cells]
    return replace(group, seeds=tuple(seed for seed, _ in left), cells=tuple(cells for _, cells in left))


def _file_name(row: sqlite3.Row, ending: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", row["title"].lower()).strip("-")[:60]
    return f"grid-{row['id']}{'-' if words else ''}{words}.{ending}"
