"""Grids as rows: what was asked for, and which job draws which cells."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import NotFound
from pipelines.grid import Grid
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who

Cells = Sequence[Sequence[int]]


def add(store: Store, who: Who, grid: Grid, placing: Mapping[str, Any], refused: Mapping[int, str]) -> int:
    """A new grid, none of its cells queued yet; its id."""
    row = store.db.execute(
        "INSERT INTO grids (person, title, grid, placing, refused, created) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        [who.name, grid.title, json.dumps(grid.to_dict()), json.dumps(dict(placing)), json.dumps(refused), now()],
    ).fetchone()
    return row["id"]


def grid_row(store: Store, grid: int, who: Who) -> sqlite3.Row:
    """Raises NotFound, also for somebody else's."""
    row = None
    if 0 < grid <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM grids WHERE id = ? AND person = ?", [grid, who.name]).fetchone()
    if row is None:
        raise NotFound(f"There is no grid {grid if 0 < grid <= LARGEST_ID else 'of that number'}.")
    return row


def rows_of(store: Store, who: Who, limit: int) -> list[sqlite3.Row]:
    """A person's, newest first."""
    return store.db.execute("SELECT * FROM grids WHERE person = ? ORDER BY id DESC LIMIT ?", [who.name, limit]).fetchall()


def remove(store: Store, grid: int) -> None:
    """The grid; its pictures stay."""
    store.db.execute("DELETE FROM grids WHERE id = ?", [grid])


def add_job(db: sqlite3.Connection, grid: int, job: int, cells: Cells) -> None:
    """Notes which cells a job draws, inside the transaction that queues it."""
    db.execute("INSERT INTO grid_jobs VALUES (?, ?, ?)", [grid, job, json.dumps([list(some) for some in cells])])


def refuse(store: Store, grid: int, refused: Mapping[int, str]) -> None:
    store.db.execute("UPDATE grids SET refused = ? WHERE id = ?", [json.dumps(refused), grid])


def refused_of(row: sqlite3.Row) -> dict[int, str]:
    """By number, why a cell cannot be drawn."""
    return {int(cell): why for cell, why in json.loads(row["refused"]).items()}


def jobs_of(store: Store, grid: int) -> list[sqlite3.Row]:
    """A grid's jobs with their states, the newest last."""
    return store.db.execute(
        "SELECT jobs.id, jobs.state, jobs.paused, jobs.error, grid_jobs.cells FROM grid_jobs JOIN jobs ON jobs.id = grid_jobs.job_id"
        " WHERE grid_id = ? ORDER BY jobs.id",
        [grid],
    ).fetchall()


def pictures(store: Store, grid: int) -> dict[int, sqlite3.Row]:
    """By number of the cell, the candidate that stands in it now, drawn or not."""
    found: dict[int, sqlite3.Row] = {}
    for job in jobs_of(store, grid):
        cells = json.loads(job["cells"])
        # By its seeds' numbers: what a later round might add is no cell's.
        for row in store.db.execute("SELECT * FROM images WHERE job_id = ? AND number <= ? ORDER BY number", [job["id"], len(cells)]):
            found.update(dict.fromkeys(cells[row["number"] - 1], row))
    return found


def states(store: Store, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """By grid, how many of its candidates are in which state."""
    marks = ", ".join("?" * len(ids))
    found: dict[int, dict[str, int]] = {grid: {} for grid in ids}
    for row in store.db.execute(
        "SELECT grid_id, images.state, count(*) AS n FROM grid_jobs JOIN images ON images.job_id = grid_jobs.job_id"
        f" WHERE grid_id IN ({marks}) GROUP BY 1, 2",
        list(ids),
    ):
        found[row["grid_id"]][row["state"]] = row["n"]
    return found


def drawn_of(store: Store, grid: int, limit: int) -> list[int]:
    """The first drawn pictures of a grid."""
    rows = store.db.execute(
        "SELECT images.id FROM grid_jobs JOIN images ON images.job_id = grid_jobs.job_id WHERE grid_id = ? AND images.state = 'drawn'"
        " AND trashed IS NULL ORDER BY images.id LIMIT ?",
        [grid, limit],
    )
    return [row["id"] for row in rows]
