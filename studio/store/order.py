"""What people change about the queue: the order of their jobs, priorities, pauses and times. Each change is one transaction.

`who` may change what is theirs, an admin anybody's; else NotFound is raised, and NotNow for a job that has ended.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from studio.store.db import Store
from studio.store.jobs import NotNow, job_row
from studio.store.people import Who
from studio.store.turns import ACTIVE, PAUSED

Move = Literal["front", "up", "down"]
PLACE = "coalesce(place, id)"


def move(store: Store, job: int, to: Move, who: Who) -> None:
    """Moves a job among those of its person with the same priority; one that stands at the end already stays."""
    with _changing(store, job, who) as (db, row):
        beside = f"FROM jobs WHERE state IN {ACTIVE} AND person = ? AND priority = ? AND id != ?"
        mine = [row["person"], row["priority"], job]
        place = row["place"] if row["place"] is not None else job
        if to == "front":
            first = db.execute(f"SELECT min({PLACE}) {beside}", mine).fetchone()[0]
            if first is not None and first <= place:
                db.execute("UPDATE jobs SET place = ? WHERE id = ?", [first - 1, job])
            return
        sign, way = ("<", "DESC") if to == "up" else (">", "ASC")
        neighbour = db.execute(
            f"SELECT id, {PLACE} AS place {beside} AND ({PLACE}, id) {sign} (?, ?) ORDER BY {PLACE} {way}, id {way} LIMIT 1",
            [*mine, place, job],
        ).fetchone()
        if neighbour is not None:
            db.execute("UPDATE jobs SET place = ? WHERE id = ?", [neighbour["place"], job])
            db.execute("UPDATE jobs SET place = ? WHERE id = ?", [place, neighbour["id"]])


def pause_job(store: Store, job: int, paused: bool, who: Who) -> None:
    """A paused job draws no further batch; the one under way is finished, and what is drawn is scored."""
    with _changing(store, job, who) as (db, _):
        db.execute("UPDATE jobs SET paused = ? WHERE id = ?", [paused, job])


def start_job_at(store: Store, job: int, not_before: str | None, who: Who) -> None:
    """Holds a job until `not_before` (UTC, as `store.now` writes it); None lets it go at once. What it drew already stays."""
    with _changing(store, job, who) as (db, _):
        db.execute("UPDATE jobs SET not_before = ? WHERE id = ?", [not_before, job])


def prioritise(store: Store, job: int, priority: int, who: Who) -> None:
    """Puts a job behind those of its person that have the same priority already."""
    with _changing(store, job, who) as (db, row):
        if row["priority"] == priority:
            return
        last = f"SELECT max({PLACE}) + 1 FROM jobs WHERE state IN {ACTIVE} AND person = ? AND priority = ?"
        db.execute(
            f"UPDATE jobs SET priority = ?, place = max(coalesce(({last}), id), id) WHERE id = ?",
            [priority, row["person"], priority, job],
        )


def pause_queue(store: Store, why: str) -> None:
    """Takes nothing from the queue until `resume_queue`, also after a restart. What is under way is finished."""
    store.set(PAUSED, why)


def resume_queue(store: Store) -> None:
    """Takes back `pause_queue`; a pause of the studio's own (a disk nearly full) goes when its cause does."""
    store.set(PAUSED, "")


@contextmanager
def _changing(store: Store, job: int, who: Who) -> Iterator[tuple[sqlite3.Connection, sqlite3.Row]]:
    job_row(store, job, None if who.admin else who, own=True)
    with store.write() as db:
        row = db.execute(f"SELECT * FROM jobs WHERE id = ? AND state IN {ACTIVE}", [job]).fetchone()
        if row is None:
            state = db.execute("SELECT state FROM jobs WHERE id = ?", [job]).fetchone()["state"]
            raise NotNow(f"Job {job} is not in the queue any more.", f"It is {state}.")
        yield db, row
