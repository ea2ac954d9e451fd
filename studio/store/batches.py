"""Batches in SQLite: every change of a row's state is one transaction, so that whatever is killed, each row is done exactly once."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.errors import NotFound
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who

STATES = ("waiting", "open", "done", "short", "failed", "stopped")
AGAIN = ("failed", "short", "stopped")  # what can be tried again
_CURRENT = "batch_tries.row_id = batch_rows.id AND batch_tries.attempt = batch_rows.attempt"
Row = sqlite3.Row


# Catalogues.


def add_catalogue(store: Store, name: str, body: Mapping[str, Any], who: Who, pictures: Mapping[str, int | str] | None = None) -> int:
    values = [who.name, name, now(), json.dumps(body), json.dumps(dict(pictures or {}))]
    found = store.db.execute("INSERT INTO catalogues (person, name, created, body, pictures) VALUES (?, ?, ?, ?, ?)", values).lastrowid
    assert found is not None
    return found


def catalogue_row(store: Store, catalogue: int, who: Who) -> Row:
    """Raises NotFound, also for another person's."""
    row = None
    if 0 < catalogue <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM catalogues WHERE id = ? AND person = ?", [catalogue, who.name]).fetchone()
    if row is None:
        raise NotFound("There is no such catalogue.", "What no batch was made of is kept for a week.", "Bring the file again.")
    return row


def change_catalogue(store: Store, catalogue: int, body: Mapping[str, Any]) -> None:
    store.db.execute("UPDATE catalogues SET body = ? WHERE id = ?", [json.dumps(body), catalogue])


def add_pictures(store: Store, catalogue: int, pictures: Mapping[str, int | str]) -> dict[str, int | str]:
    """Adds pictures by file name; all that are known by now."""
    with store.write() as db:
        known = json.loads(db.execute("SELECT pictures FROM catalogues WHERE id = ?", [catalogue]).fetchone()["pictures"])
        known |= pictures
        db.execute("UPDATE catalogues SET pictures = ? WHERE id = ?", [json.dumps(known), catalogue])
    return known


def forget_catalogues(store: Store, before: str) -> None:
    """Catalogues that are older; batches have copies of what they need."""
    store.db.execute("DELETE FROM catalogues WHERE created < ?", [before])


# Batches.


def add_batch(
    store: Store,
    who: Who,
    title: str,
    setup: Mapping[str, Any],
    columns: Sequence[str],
    rows: Iterable[tuple[int, int, Mapping[str, str]]],
    *,
    kind: str = "catalogue",
    unit: str = "line",
    source: str = "",
    pictures: Mapping[str, int | str] | None = None,
    brief: Mapping[str, Any] | None = None,
    parent: int | None = None,
    paused: bool = False,
) -> int:
    """A new batch, which runs from now on unless it is `paused`; its id.

    rows: (line, place of the template, cells), in the order they are drawn.
    """
    with store.write() as db:
        batch = db.execute(
            "INSERT INTO batches (person, kind, title, created, unit, source, columns, pictures, brief, parent, paused)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [who.name, kind, title, now(), unit, source, json.dumps(list(columns)), json.dumps(dict(pictures or {})),
             json.dumps(brief) if brief is not None else None, parent, paused],
        ).lastrowid  # fmt: skip
        assert batch is not None
        _add_version(db, batch, 1, setup, who, "")
        db.executemany(
            "INSERT INTO batch_rows (batch_id, number, line, place, cells) VALUES (?, ?, ?, ?, ?)",
            ([batch, number, line, place, json.dumps(dict(cells))] for number, (line, place, cells) in enumerate(rows, start=1)),
        )
    return batch


def batch_row(store: Store, batch: int, who: Who | None = None) -> Row:
    """Raises NotFound, also for another person's."""
    row = None
    if 0 < batch <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM batches WHERE id = ?", [batch]).fetchone()
    if row is None or (who is not None and row["person"] != who.name):
        raise NotFound(f"There is no batch {batch if 0 < batch <= LARGEST_ID else 'of that number'}.")
    return row


def list_batches(store: Store, who: Who, removed: bool = False) -> list[Row]:
    """Theirs, newest first."""
    put_away = "NOT NULL" if removed else "NULL"
    return store.db.execute(f"SELECT * FROM batches WHERE person = ? AND removed IS {put_away} ORDER BY id DESC", [who.name]).fetchall()


def counts_of(store: Store, batches: Sequence[int]) -> dict[int, dict[str, int]]:
    """Rows by state, of each batch."""
    found = {batch: dict.fromkeys(STATES, 0) for batch in batches}
    marks = ", ".join("?" * len(batches))
    for row in store.db.execute(
        f"SELECT batch_id, state, count(*) AS rows FROM batch_rows WHERE batch_id IN ({marks}) GROUP BY batch_id, state", list(batches)
    ):
        found[row["batch_id"]][row["state"]] = row["rows"]
    return found


def delivered(store: Store, batch: int) -> int:
    """Pictures that passed, of rows that ended."""
    tries = f"batch_rows JOIN batch_tries ON {_CURRENT}"
    return store.db.execute(f"SELECT coalesce(sum(delivered), 0) FROM {tries} WHERE batch_id = ?", [batch]).fetchone()[0]


def recent_seconds(store: Store, batch: int, count: int = 20) -> list[float]:
    """How long each of the rows that ended last was drawn and measured, the newest first. Served rows took no time, and are left out."""
    rows = store.db.execute(
        f"""SELECT (julianday(jobs.finished) - julianday(jobs.started)) * 86400 AS seconds
        FROM batch_rows JOIN batch_tries ON {_CURRENT} JOIN jobs ON jobs.id = batch_tries.job_id
        WHERE batch_id = ? AND batch_rows.state IN ('done', 'short') AND jobs.served = 0 ORDER BY batch_tries.ended DESC LIMIT ?""",
        [batch, count],
    )
    return [row["seconds"] for row in rows if row["seconds"] is not None]


def rows_of(store: Store, batch: int, states: Sequence[str] = (), after: int = 0, limit: int = 100) -> list[Row]:
    """Rows in order with their current try (job_id, error, delivered, version, ended), from number `after` on."""
    only = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
    return store.db.execute(
        f"""SELECT batch_rows.*, job_id, error, delivered, version, started, ended
        FROM batch_rows LEFT JOIN batch_tries ON {_CURRENT}
        WHERE batch_id = ? AND number > ?{only} ORDER BY number LIMIT ?""",
        [batch, after, *states, limit],
    ).fetchall()


def one_row(store: Store, batch: int, number: int) -> Row:
    """Raises NotFound."""
    found = rows_of(store, batch, after=number - 1, limit=1) if 0 < number <= LARGEST_ID else []
    if not found or found[0]["number"] != number:
        raise NotFound(f"This batch has no row {number if 0 < number <= LARGEST_ID else 'of that number'}.")
    return found[0]


# The setup and its versions.


def setup_of(store: Store, batch: int, version: int | None = None) -> tuple[int, dict[str, Any]]:
    """(version, setup); the newest without `version`. Raises NotFound."""
    only = "" if version is None else " AND version = ?"
    values = [batch] if version is None else [batch, min(version, LARGEST_ID)]
    row = store.db.execute(f"SELECT * FROM batch_versions WHERE batch_id = ?{only} ORDER BY version DESC LIMIT 1", values).fetchone()
    if row is None:
        raise NotFound(f"Batch {batch} has no such version.")
    return row["version"], json.loads(row["setup"])


def versions_of(store: Store, batch: int) -> list[Row]:
    """Newest first."""
    return store.db.execute("SELECT * FROM batch_versions WHERE batch_id = ? ORDER BY version DESC", [batch]).fetchall()


def save_setup(store: Store, batch: int, setup: Mapping[str, Any], who: Who, note: str, base: int | None) -> int:
    """A new version; its number. base: the version that the change was made from. Raises NotNow when there is another since."""
    with store.write() as db:
        latest = db.execute("SELECT max(version) FROM batch_versions WHERE batch_id = ?", [batch]).fetchone()[0]
        if base is not None and base != latest:
            raise NotNow(f"This batch is at version {latest} by now; you started from {base}.", "It was changed meanwhile.", "Look again.")
        _add_version(db, batch, latest + 1, setup, who, note)
    return latest + 1


def _add_version(db: sqlite3.Connection, batch: int, version: int, setup: Mapping[str, Any], who: Who, note: str) -> None:
    db.execute("INSERT INTO batch_versions VALUES (?, ?, ?, ?, ?, ?)", [batch, version, json.dumps(setup), who.name, note, now()])


# What a person does to a batch.


def hold(store: Store, batch: int, paused: bool, why: str = "") -> list[int]:
    """Pauses a batch, or lets it go on, and its jobs that wait with it; the jobs. The one under way is finished."""
    store.db.execute("UPDATE batches SET paused = ?, why = ? WHERE id = ?", [paused, why, batch])
    return hold_jobs(store, batch, paused)


def hold_jobs(store: Store, batch: int, paused: bool) -> list[int]:
    """Pauses the open jobs of a batch, or lets them go on; those that were changed."""
    mine = f"SELECT job_id FROM batch_rows JOIN batch_tries ON {_CURRENT} WHERE batch_id = ? AND batch_rows.state = 'open'"
    where = f"state IN ('queued', 'running') AND paused != ? AND id IN ({mine})"
    if store.db.execute(f"SELECT 1 FROM jobs WHERE {where} LIMIT 1", [paused, batch]).fetchone() is None:
        return []
    rows = store.db.execute(f"UPDATE jobs SET paused = ? WHERE {where} RETURNING id", [paused, paused, batch])
    return [row["id"] for row in rows.fetchall()]


def drop_rows(store: Store, batch: int) -> list[int]:
    """Stops a batch: rows that wait are stopped; the jobs of those under way, which are for the caller to cancel."""
    with store.write() as db:
        db.execute("UPDATE batches SET paused = 0, why = '' WHERE id = ?", [batch])
        db.execute("UPDATE batch_rows SET state = 'stopped' WHERE batch_id = ? AND state = 'waiting'", [batch])
    mine = "batch_id = ? AND state = 'open' AND job_id IS NOT NULL"
    rows = store.db.execute(f"SELECT job_id FROM batch_rows JOIN batch_tries ON {_CURRENT} WHERE {mine}", [batch])
    return [row["job_id"] for row in rows.fetchall()]


def try_again(store: Store, batch: int, states: Sequence[str], number: int | None = None) -> int:
    """Queues rows anew that ended in one of `states`; how many. number: this one alone."""
    only, values = (" AND number = ?", [number]) if number is not None else ("", [])
    marks = ", ".join("?" * len(states))
    with store.write() as db:
        # A row that was stopped before its first try has none to count.
        tried = "EXISTS (SELECT 1 FROM batch_tries WHERE row_id = batch_rows.id AND batch_tries.attempt = batch_rows.attempt)"
        return db.execute(
            f"UPDATE batch_rows SET state = 'waiting', attempt = attempt + ({tried}) WHERE batch_id = ? AND state IN ({marks}){only}",
            [batch, *states, *values],
        ).rowcount


def put_away(store: Store, batch: int, removed: bool) -> None:
    store.db.execute("UPDATE batches SET removed = ? WHERE id = ?", [now() if removed else None, batch])


def change_cells(store: Store, batch: int, number: int, cells: Mapping[str, str]) -> None:
    """What a row says, for its next try. Raises NotNow while it is under way or where it is done."""
    with store.write() as db:
        changed = db.execute(
            "UPDATE batch_rows SET cells = ? WHERE batch_id = ? AND number = ? AND state NOT IN ('open', 'done')",
            [json.dumps(dict(cells)), batch, number],
        ).rowcount
        if not changed:
            raise NotNow(f"Row {number} cannot be changed any more.", "It is under way, or done.")


def set_winners(store: Store, batch: int, winners: Mapping[int, bool | None]) -> None:
    """By row number: whether a variation won; None: nobody says."""
    with store.write() as db:
        values = [(winner, batch, number) for number, winner in winners.items()]
        db.executemany("UPDATE batch_rows SET winner = ? WHERE batch_id = ? AND number = ?", values)


def set_results(store: Store, batch: int, results: Mapping[int, Mapping[str, float]]) -> None:
    """By row number: what a variation brought; others keep what they have."""
    with store.write() as db:
        values = [(json.dumps(dict(result)), batch, number) for number, result in results.items()]
        db.executemany("UPDATE batch_rows SET results = ? WHERE batch_id = ? AND number = ?", values)


# What the runner does.


def running(store: Store) -> list[Row]:
    """Batches that have rows to begin, or under way."""
    return store.db.execute(
        """SELECT * FROM batches WHERE NOT paused AND removed IS NULL
        AND EXISTS (SELECT 1 FROM batch_rows WHERE batch_id = batches.id AND state IN ('waiting', 'open')) ORDER BY id"""
    ).fetchall()


def open_rows(store: Store, batch: int) -> int:
    return store.db.execute("SELECT count(*) FROM batch_rows WHERE batch_id = ? AND state = 'open'", [batch]).fetchone()[0]


def begin_row(db: sqlite3.Connection, row: int, attempt: int, version: int, job: int) -> None:
    """Marks a row as under way with its job, inside the transaction that adds the job. Raises Taken when somebody else was quicker."""
    _take(db, row, attempt, "open")
    db.execute(
        "INSERT INTO batch_tries (row_id, attempt, job_id, version, started) VALUES (?, ?, ?, ?, ?)", [row, attempt, job, version, now()]
    )


def refuse_row(db: sqlite3.Connection, row: int, attempt: int, version: int, error: Mapping[str, Any]) -> None:
    """Marks a row as failed that could not be queued, inside the caller's transaction. Raises Taken."""
    _take(db, row, attempt, "failed")
    db.execute(
        "INSERT INTO batch_tries (row_id, attempt, version, error, started, ended) VALUES (?, ?, ?, ?, ?, ?)",
        [row, attempt, version, json.dumps(dict(error)), now(), now()],
    )


class Taken(Exception):
    """The row does not wait any more: another studio on the same data, or a person's word, came first."""


def _take(db: sqlite3.Connection, row: int, attempt: int, state: str) -> None:
    taken = db.execute(
        "UPDATE batch_rows SET state = ? WHERE id = ? AND attempt = ? AND state = 'waiting'"
        " AND NOT EXISTS (SELECT 1 FROM batches WHERE id = batch_id AND (paused OR removed IS NOT NULL))",
        [state, row, attempt],
    ).rowcount
    if not taken:
        raise Taken


def settle(store: Store) -> list[int]:
    """Ends the rows whose jobs have ended; the batches touched."""
    ready = f"""SELECT batch_rows.id, batch_rows.attempt, batch_id, jobs.state, jobs.keep, jobs.error, jobs.id AS job
        FROM batch_rows JOIN batch_tries ON {_CURRENT} LEFT JOIN jobs ON jobs.id = batch_tries.job_id
        WHERE batch_rows.state = 'open' AND (jobs.state IS NULL OR jobs.state NOT IN ('queued', 'running'))"""
    if store.db.execute(f"{ready} LIMIT 1").fetchone() is None:
        return []
    touched: dict[int, None] = {}
    with store.write() as db:
        for row in db.execute(ready).fetchall():
            kept = db.execute(
                "SELECT count(*) FROM images WHERE job_id = ? AND stage = 'final' AND verdict = 'kept'", [row["job"]]
            ).fetchone()[0]
            state = {"done": "done" if kept >= (row["keep"] or 0) else "short", "cancelled": "stopped"}.get(row["state"], "failed")
            db.execute("UPDATE batch_rows SET state = ? WHERE id = ?", [state, row["id"]])
            db.execute(
                "UPDATE batch_tries SET ended = ?, delivered = ?, error = ? WHERE row_id = ? AND attempt = ?",
                [now(), kept, row["error"], row["id"], row["attempt"]],
            )
            touched[row["batch_id"]] = None
    return list(touched)
