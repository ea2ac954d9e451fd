"""Rows of experiments: designs by version, pairs as they are drawn and measured, votes."""
from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import NotFound
from pipelines.experiments import Choice, Design, Pair, Seen
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who, visible

OPEN = "('queued', 'running')"
PASSING = ("kept", "spare")
WHY = {"deleted": "was deleted", "done": "was not drawn", "failed": "failed", "cancelled": "was cancelled"}


@dataclass(frozen=True)
class Drawn:
    """A pair as it was asked for. seen: None until both pictures are judged; `why` where it is left out."""

    number: int
    row: int
    seed: int
    place: int
    job_a: int
    job_b: int | None
    seen: Mapping[str, Any] | None

    @property
    def why(self) -> str:
        return str(self.seen["why"]) if self.seen and "why" in self.seen else ""


def row_of(store: Store, experiment: int, who: Who | None = None, own: bool = False) -> sqlite3.Row:
    """Raises NotFound, also for one that `who` may not see, or with `own` is not theirs."""
    row = None
    if 0 < experiment <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM experiments WHERE id = ? AND removed IS NULL", [experiment]).fetchone()
    if row is None or (who is not None and not (row["person"] == who.name if own else who.sees(row["person"], row["shared"]))):
        raise NotFound(f"There is no experiment {experiment if 0 < experiment <= LARGEST_ID else 'of that number'}.")
    return row


def listed(store: Store, who: Who) -> list[sqlite3.Row]:
    """Those they may see, newest first."""
    seen, values = visible(who, "experiments")
    return store.db.execute(f"SELECT * FROM experiments WHERE removed IS NULL AND {seen} ORDER BY id DESC", values).fetchall()


def under_way(store: Store) -> list[int]:
    """Those that are running, or that have pairs which are still being drawn."""
    waits = "EXISTS (SELECT 1 FROM experiment_pairs WHERE experiment_id = experiments.id AND seen IS NULL)"
    rows = store.db.execute(f"SELECT id FROM experiments WHERE removed IS NULL AND (state = 'running' OR {waits}) ORDER BY id")
    return [row["id"] for row in rows]


# Designs.


def add(db: sqlite3.Connection, design: Mapping[str, Any], who: Who, note: str) -> int:
    """A new experiment as a draft; its id."""
    made = db.execute(
        "INSERT INTO experiments (person, title, state, version, secret, created) VALUES (?, ?, 'draft', 0, ?, ?)",
        [who.name, design["title"], secrets.token_hex(16), now()],
    ).lastrowid
    assert made is not None
    save(db, made, design, who, note)
    return made


def save(db: sqlite3.Connection, experiment: int, design: Mapping[str, Any], who: Who, note: str) -> int:
    """The next version of its design; its number."""
    version = db.execute(
        "UPDATE experiments SET version = version + 1, title = ? WHERE id = ? RETURNING version", [design["title"], experiment]
    ).fetchone()["version"]
    db.execute(
        "INSERT INTO experiment_designs VALUES (?, ?, ?, ?, ?, ?)", [experiment, version, json.dumps(design), who.name, note, now()]
    )
    return int(version)


def design_json(store: Store, experiment: int, version: int) -> dict[str, Any]:
    """Raises NotFound."""
    row = None
    if 0 < version <= LARGEST_ID:
        row = store.db.execute(
            "SELECT design FROM experiment_designs WHERE experiment_id = ? AND version = ?", [experiment, version]
        ).fetchone()
    if row is None:
        raise NotFound(f"There is no such version of experiment {experiment}.")
    return json.loads(row["design"])


def versions(store: Store, experiment: int) -> list[sqlite3.Row]:
    """Newest first."""
    select = "SELECT version, person, note, created FROM experiment_designs WHERE experiment_id = ? ORDER BY version DESC"
    return store.db.execute(select, [experiment]).fetchall()


# Pairs.


def pairs(store: Store, experiment: int) -> list[Drawn]:
    rows = store.db.execute("SELECT * FROM experiment_pairs WHERE experiment_id = ? ORDER BY number", [experiment])
    return [_drawn(row) for row in rows]


def pair(store: Store, experiment: int, number: int) -> Drawn:
    """Raises NotFound."""
    row = None
    if 0 < number <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM experiment_pairs WHERE experiment_id = ? AND number = ?", [experiment, number]).fetchone()
    if row is None:
        raise NotFound(f"There is no such pair in experiment {experiment}.")
    return _drawn(row)


def place_a(db: sqlite3.Connection, experiment: int, numbers: Sequence[int], row: int, design: Design, job: int) -> None:
    """Writes down that A of these pairs is drawn by `job`, inside the transaction that queues it; a pair cannot be there twice."""
    db.executemany(
        "INSERT INTO experiment_pairs (experiment_id, number, row, seed, place, job_a) VALUES (?, ?, ?, ?, ?, ?)",
        [(experiment, number, row, design.seed_of(number), place, job) for place, number in enumerate(numbers, start=1)],
    )


def place_b(db: sqlite3.Connection, experiment: int, job_a: int, job: int) -> None:
    changed = db.execute(
        "UPDATE experiment_pairs SET job_b = ? WHERE experiment_id = ? AND job_a = ? AND job_b IS NULL", [job, experiment, job_a]
    ).rowcount
    assert changed, "B of these pairs is drawn already"


def measure(store: Store, experiment: int) -> int:
    """Takes down what was measured of the pairs whose jobs have ended; how many are new. Once taken down it stays, whatever becomes of
    the pictures."""
    with store.write() as db:
        waiting = db.execute(
            f"""SELECT * FROM experiment_pairs AS pairs WHERE experiment_id = ? AND seen IS NULL AND job_b IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE id IN (job_a, job_b) AND state IN {OPEN})
            AND NOT EXISTS (SELECT 1 FROM tasks WHERE job_id IN (job_a, job_b) AND state IN ('waiting', 'leased'))""",
            [experiment],
        ).fetchall()
        for row in waiting:
            seen = _seen(db, row)
            db.execute(
                "UPDATE experiment_pairs SET seen = ? WHERE experiment_id = ? AND number = ?", [json.dumps(seen), experiment, row["number"]]
            )
    return len(waiting)


def open_jobs(store: Store, experiment: int) -> list[int]:
    rows = store.db.execute(
        f"""SELECT DISTINCT jobs.id FROM experiment_pairs JOIN jobs ON jobs.id IN (job_a, job_b)
        WHERE experiment_id = ? AND seen IS NULL AND jobs.state IN {OPEN} ORDER BY jobs.id""",
        [experiment],
    )
    return [row["id"] for row in rows]


def all_jobs(db: sqlite3.Connection, experiment: int) -> list[int]:
    rows = db.execute("SELECT job_a, job_b FROM experiment_pairs WHERE experiment_id = ?", [experiment])
    return sorted({job for row in rows for job in (row["job_a"], row["job_b"]) if job is not None})


def compared(drawn: Iterable[Drawn], cast_votes: Mapping[int, Sequence[Choice]]) -> list[Pair]:
    """The pairs whose pictures are measured, without those that are left out."""
    return [
        Pair(one.number, _as_seen(one.seen["a"]), _as_seen(one.seen["b"]), tuple(cast_votes.get(one.number, ())))
        for one in drawn if one.seen is not None and not one.why
    ]  # fmt: skip


# Votes.


def votes(store: Store, experiment: int) -> dict[int, list[Choice]]:
    """By pair, in the order in which they were cast; a person who wants to say nothing has cast none."""
    found: dict[int, list[Choice]] = {}
    for row in vote_rows(store, experiment):
        if row["choice"] != "pass":
            found.setdefault(row["pair"], []).append(row["choice"])
    return found


def vote_rows(store: Store, experiment: int) -> list[sqlite3.Row]:
    select = "SELECT * FROM experiment_votes WHERE experiment_id = ? AND undone IS NULL ORDER BY id"
    return store.db.execute(select, [experiment]).fetchall()


def vote(db: sqlite3.Connection, experiment: int, number: int, person: str, choice: str) -> None:
    db.execute(
        "INSERT INTO experiment_votes (experiment_id, pair, person, choice, created) VALUES (?, ?, ?, ?, ?)",
        [experiment, number, person, choice, now()],
    )


def take_back(db: sqlite3.Connection, experiment: int, person: str) -> sqlite3.Row | None:
    """Undoes the last vote of a person; None when none stands."""
    last = "SELECT max(id) FROM experiment_votes WHERE experiment_id = ? AND person = ? AND undone IS NULL"
    return db.execute(f"UPDATE experiment_votes SET undone = ? WHERE id = ({last}) RETURNING *", [now(), experiment, person]).fetchone()


# How it is done.


def _drawn(row: sqlite3.Row) -> Drawn:
    seen = json.loads(row["seen"]) if row["seen"] else None
    return Drawn(row["number"], row["row"], row["seed"], row["place"], row["job_a"], row["job_b"], seen)


def _seen(db: sqlite3.Connection, pair: sqlite3.Row) -> dict[str, Any]:
    """What both pictures gave, or why the pair is left out."""
    seen: dict[str, Any] = {}
    for arm in ("a", "b"):
        image = db.execute(
            "SELECT id, verdict, reasons, seconds, served_from, state FROM images WHERE job_id = ? AND number = ?",
            [pair[f"job_{arm}"], pair["place"]],
        ).fetchone()
        if image is None or image["state"] != "drawn" or image["verdict"] is None:
            state = db.execute("SELECT state, error FROM jobs WHERE id = ?", [pair[f"job_{arm}"]]).fetchone()
            why = WHY["deleted" if state is None or image is None else state["state"]]
            told = json.loads(state["error"])["what"] if state is not None and state["error"] else ""
            return {"why": f"{arm.upper()} {why}.{f' {told}' if told else ''}"}
        # Of several scorers' words on a dimension the last counts, as for the verdict.
        scores = db.execute("SELECT dimension, value FROM scores WHERE image_id = ? AND value IS NOT NULL ORDER BY id", [image["id"]])
        seen[arm] = {
            "image": image["id"],
            "passed": image["verdict"] in PASSING,
            "verdict": image["verdict"],
            "reasons": json.loads(image["reasons"] or "[]"),
            "values": {row["dimension"]: row["value"] for row in scores},
            "seconds": None if image["served_from"] else image["seconds"],
        }
    return seen


def _as_seen(one: Mapping[str, Any]) -> Seen:
    return Seen(one["passed"], one["values"], one["seconds"])
