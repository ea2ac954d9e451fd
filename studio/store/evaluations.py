"""Evaluations in SQLite: the pictures that each wants, what was seen of them, embeddings, and who looked. Each step is one transaction."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import NotFound
from studio.store import loras
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who

Row = sqlite3.Row
OPEN = "('queued', 'running')"
TRIES = 2  # times that a picture is asked for before it is left out


def add(db: sqlite3.Connection, values: Mapping[str, Any], cells: int, vectors: Iterable[tuple[str, int, str]]) -> int:
    """A new one with its cells, none of them asked for, and with the vectors that it needs besides: (kind, number, source)."""
    kept = {**values, "state": "running", "created": now()}
    made = db.execute(
        f"INSERT INTO evaluations ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})", list(kept.values())
    ).lastrowid
    assert made is not None
    db.executemany("INSERT INTO evaluation_cells (evaluation_id, number) VALUES (?, ?)", [(made, number) for number in range(cells)])
    insert = "INSERT INTO evaluation_vectors (evaluation_id, kind, number, source) VALUES (?, ?, ?, ?)"
    db.executemany(insert, [(made, *one) for one in vectors])
    return made


def row_of(store: Store, evaluation: int, who: Who | None = None) -> Row:
    """With the LoRA's name, owner, access and project. Raises NotFound, also for one of a LoRA that they may not see."""
    row = None
    if 0 < evaluation <= LARGEST_ID:
        seen, values = loras.seen_by(who) if who is not None else ("1", [])
        row = store.db.execute(
            f"SELECT evaluations.*, {_LORA} FROM evaluations JOIN loras ON loras.id = lora_id"
            f" WHERE evaluations.id = ? AND removed IS NULL AND {seen}", [evaluation, *values]
        ).fetchone()  # fmt: skip
    if row is None:
        raise NotFound(f"There is no evaluation {evaluation if 0 < evaluation <= LARGEST_ID else 'of that number'}.")
    return row


def rows(store: Store, who: Who, lora: str = "", limit: int = 100) -> list[Row]:
    """Of the LoRAs that they may see, newest first."""
    seen, values = loras.seen_by(who)
    only = " AND loras.name = ?" if lora else ""
    return store.db.execute(
        f"SELECT evaluations.*, {_LORA} FROM evaluations JOIN loras ON loras.id = lora_id"
        f" WHERE removed IS NULL AND {seen}{only} ORDER BY evaluations.id DESC LIMIT ?", [*values, *([lora] if lora else []), limit]
    ).fetchall()  # fmt: skip


def last_of(store: Store, lora: int, number: int) -> Row | None:
    """The newest evaluation of a version, whatever its state."""
    select = "SELECT * FROM evaluations WHERE lora_id = ? AND number = ? AND removed IS NULL ORDER BY id DESC LIMIT 1"
    return store.db.execute(select, [lora, number]).fetchone()


def running(store: Store) -> list[int]:
    return [row["id"] for row in store.db.execute("SELECT id FROM evaluations WHERE state = 'running' AND removed IS NULL ORDER BY id")]


def wished(store: Store) -> list[Row]:
    """Trainings that have become a version which was to be evaluated by itself, and never was."""
    return store.db.execute(
        """SELECT trainings.* FROM trainings JOIN loras ON loras.name = trainings.lora
        WHERE trainings.state = 'done' AND trainings.evaluate AND trainings.number IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM evaluations WHERE evaluations.lora_id = loras.id AND evaluations.number = trainings.number)
        ORDER BY trainings.id"""
    ).fetchall()


def unwish(store: Store, training: int) -> None:
    store.db.execute("UPDATE trainings SET evaluate = 0 WHERE id = ?", [training])


# Pictures.


def cells(store: Store, evaluation: int) -> list[Row]:
    return store.db.execute("SELECT * FROM evaluation_cells WHERE evaluation_id = ? ORDER BY number", [evaluation]).fetchall()


def place(db: sqlite3.Connection, evaluation: int, numbers: Sequence[int], job: int) -> None:
    """Writes down that a job draws these cells, inside the transaction that queues it; none is asked for twice."""
    for at, number in enumerate(numbers, 1):
        changed = db.execute(
            "UPDATE evaluation_cells SET job_id = ?, place = ?, tries = tries + 1"
            " WHERE evaluation_id = ? AND number = ? AND job_id IS NULL AND seen IS NULL", [job, at, evaluation, number]
        ).rowcount  # fmt: skip
        assert changed, "this picture was asked for already"
    db.execute("UPDATE jobs SET feature = 'evaluation' WHERE id = ?", [job])


def take_down(store: Store, evaluation: int) -> int:
    """Notes what was measured of pictures whose jobs have ended; how many cells changed. What failed is asked for TRIES times in all.

    Once noted it stays, whatever becomes of the picture.
    """
    with store.write() as db:
        waiting = db.execute(
            f"""SELECT * FROM evaluation_cells AS cells WHERE evaluation_id = ? AND seen IS NULL AND job_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id AND state IN {OPEN})
            AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.job_id = cells.job_id AND state IN ('waiting', 'leased'))""", [evaluation]
        ).fetchall()  # fmt: skip
        for row in waiting:
            _take(db, evaluation, row)
    return len(waiting)


def open_jobs(store: Store, evaluation: int) -> list[int]:
    rows = store.db.execute(
        f"""SELECT DISTINCT jobs.id FROM evaluation_cells JOIN jobs ON jobs.id = job_id
        WHERE evaluation_id = ? AND seen IS NULL AND jobs.state IN {OPEN} ORDER BY 1""", [evaluation]
    )  # fmt: skip
    return [row["id"] for row in rows]


def waiting_jobs(store: Store, evaluation: int) -> int:
    """How many jobs still have something to show."""
    select = "SELECT count(DISTINCT job_id) FROM evaluation_cells WHERE evaluation_id = ? AND seen IS NULL AND job_id IS NOT NULL"
    return int(store.db.execute(select, [evaluation]).fetchone()[0])


def jobs_of(db: sqlite3.Connection, lora: int) -> list[int]:
    """Every job that drew for an evaluation of a LoRA."""
    rows = db.execute(
        "SELECT DISTINCT job_id FROM evaluation_cells JOIN evaluations ON evaluations.id = evaluation_id"
        " WHERE lora_id = ? AND job_id IS NOT NULL", [lora]
    )  # fmt: skip
    return [row["job_id"] for row in rows]


def begin_again(store: Store, evaluation: int) -> bool:
    """Has what was left out asked for once more; whether it had ended."""
    with store.write() as db:
        changed = db.execute(
            "UPDATE evaluations SET state = 'running', error = NULL, finished = NULL, result = NULL WHERE id = ?"
            " AND state IN ('failed', 'cancelled')", [evaluation]
        ).rowcount  # fmt: skip
        if changed:
            lost = "evaluation_id = ? AND seen IS NOT NULL AND image_id IS NULL"
            db.execute(f"UPDATE evaluation_cells SET job_id = NULL, place = NULL, seen = NULL, tries = 0 WHERE {lost}", [evaluation])
            db.execute("UPDATE evaluation_vectors SET why = '' WHERE evaluation_id = ? AND vector IS NULL", [evaluation])
    return bool(changed)


def end(db: sqlite3.Connection, evaluation: int, state: str, **values: Any) -> bool:
    """Ends one that runs, inside the caller's transaction; whether it ran. values: by column; result and error JSON-ready."""
    kept = {name: json.dumps(value) if name in ("result", "error") else value for name, value in values.items()}
    kept |= {"state": state, "finished": now()}
    sets = ", ".join(f"{name} = ?" for name in kept)
    return bool(db.execute(f"UPDATE evaluations SET {sets} WHERE id = ? AND state = 'running'", [*kept.values(), evaluation]).rowcount)


# Embeddings.


def next_vectors(store: Store, limit: int) -> list[Row]:
    """The next that are to be made, of one evaluation: with its card."""
    return store.db.execute(
        """SELECT evaluation_vectors.*, evaluations.card FROM evaluation_vectors JOIN evaluations ON evaluations.id = evaluation_id
        WHERE vector IS NULL AND why = '' AND evaluations.state = 'running'
        AND evaluation_id = (SELECT min(evaluation_id) FROM evaluation_vectors AS open JOIN evaluations ON evaluations.id = evaluation_id
            WHERE vector IS NULL AND why = '' AND evaluations.state = 'running')
        ORDER BY kind, number LIMIT ?""", [limit]
    ).fetchall()  # fmt: skip


def keep_vectors(store: Store, rows: Sequence[Row], found: Sequence[tuple[np.ndarray | None, str]], space: str) -> None:
    """found: a vector, or why there is none."""
    with store.write() as db:
        db.executemany(
            "UPDATE evaluation_vectors SET vector = ?, why = ? WHERE evaluation_id = ? AND kind = ? AND number = ?",
            [(None if vector is None else vector.astype("<f4").tobytes(), why, row["evaluation_id"], row["kind"], row["number"])
             for row, (vector, why) in zip(rows, found, strict=True)],
        )  # fmt: skip
        if rows:
            db.execute("UPDATE evaluations SET space = ? WHERE id = ?", [space, rows[0]["evaluation_id"]])


def vectors(store: Store, evaluation: int) -> tuple[dict[str, dict[int, np.ndarray]], int, str]:
    """By kind and number those that there are; how many are still to be made; and why one is missing, "" where none is."""
    found: dict[str, dict[int, np.ndarray]] = {"cell": {}, "dataset": {}, "concept": {}, "ordinary": {}}
    left, why = 0, ""
    for row in store.db.execute("SELECT kind, number, vector, why FROM evaluation_vectors WHERE evaluation_id = ?", [evaluation]):
        if row["vector"] is not None:
            found[row["kind"]][row["number"]] = np.frombuffer(row["vector"], "<f4").astype(np.float64)
        elif row["why"]:
            why = why or row["why"]
        else:
            left += 1
    return found, left, why


# Who looked.


def look(store: Store, lora: int, number: int, who: Who) -> None:
    store.db.execute("INSERT INTO lora_looks (lora_id, number, person, created) VALUES (?, ?, ?, ?)", [lora, number, who.name, now()])


def looks(store: Store, lora: int) -> dict[int, Row]:
    """By version, the last who looked."""
    rows = store.db.execute("SELECT max(id), * FROM lora_looks WHERE lora_id = ? GROUP BY number", [lora])
    return {row["number"]: row for row in rows}


# How it is done.

_LORA = "loras.name AS lora, loras.title AS title, loras.owner, loras.access, loras.project"


def _take(db: sqlite3.Connection, evaluation: int, row: Row) -> None:
    image = db.execute("SELECT * FROM images WHERE job_id = ? AND number = ?", [row["job_id"], row["place"]]).fetchone()
    where = [evaluation, row["number"]]
    if image is not None and image["state"] == "drawn" and image["verdict"] is not None:
        # Of several scorers' words on a dimension the last counts, as for the verdict.
        select = "SELECT dimension, value, hard, passed FROM scores WHERE image_id = ? AND value IS NOT NULL ORDER BY id"
        scores = {one["dimension"]: one for one in db.execute(select, [image["id"]])}
        failed = [name for name, one in scores.items() if one["hard"] and one["passed"] == 0]
        seen = {"flaws": failed, "values": {name: one["value"] for name, one in scores.items()}}
        update = "UPDATE evaluation_cells SET image_id = ?, seen = ? WHERE evaluation_id = ? AND number = ?"
        db.execute(update, [image["id"], json.dumps(seen), *where])
        insert = "INSERT OR REPLACE INTO evaluation_vectors (evaluation_id, kind, number, source) VALUES (?, 'cell', ?, ?)"
        db.execute(insert, [*where, image["path"]])
        return
    job = db.execute("SELECT state, error FROM jobs WHERE id = ?", [row["job_id"]]).fetchone()
    if job is not None and job["state"] != "cancelled" and row["tries"] < TRIES:
        db.execute("UPDATE evaluation_cells SET job_id = NULL, place = NULL WHERE evaluation_id = ? AND number = ?", where)
        return
    why = "It was deleted." if job is None else json.loads(job["error"])["what"] if job["error"] else f"Its job was {job['state']}."
    db.execute("UPDATE evaluation_cells SET seen = ? WHERE evaluation_id = ? AND number = ?", [json.dumps({"why": why}), *where])
