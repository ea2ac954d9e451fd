"""The rounds of a job: its plan, the batches of each round, what they cost, and how it ended."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.funnel import Frame
from pipelines.plan import Plan
from pipelines.tasks import Draft
from studio.store.db import Store

if TYPE_CHECKING:
    from models.scorers.duplicates import Fingerprint


def plan_of(row: sqlite3.Row) -> Plan | None:
    """The plan of a job; None for one of an earlier version, which ends when its candidates are measured."""
    return Plan.from_dict(json.loads(row["plan"])) if row["plan"] else None


def add_batches(
    db: sqlite3.Connection, job: int, person: str, drafts: Sequence[Draft], parents: Mapping[int, int | None]
) -> dict[int, Draft]:
    """Queues batches with a row for each of their pictures, inside the caller's transaction; the batches by their position.

    parents: by number, the picture that each is made from.
    """
    first = db.execute("SELECT coalesce(max(position) + 1, 0) FROM tasks WHERE job_id = ? AND kind = 'draft'", [job]).fetchone()[0]
    placed = dict(enumerate(drafts, start=first))
    away = json.loads(db.execute("SELECT away FROM jobs WHERE id = ?", [job]).fetchone()[0])  # only a provider can draw these
    db.executemany(
        "INSERT INTO tasks (job_id, kind, position, payload, state, card, place) VALUES (?, 'draft', ?, ?, 'waiting', ?, ?)",
        [
            [job, position, json.dumps(draft.to_dict()), draft.card, "cloud" if draft.card in away else None]
            for position, draft in placed.items()
        ],
    )
    candidates = [(number, seed, draft) for draft in drafts for number, seed in zip(draft.numbers, draft.spec.seeds, strict=True)]
    db.executemany(
        "INSERT INTO images (job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance, parent, stage, round,"
        " place) VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            [job, number, person, seed, draft.spec.width, draft.spec.height, draft.tier, draft.card, draft.spec.prompt,
             draft.spec.steps, draft.spec.guidance, parents.get(number), draft.stage, draft.round, "cloud" if draft.card in away else ""]
            for number, seed, draft in sorted(candidates, key=lambda candidate: candidate[0])
        ],
    )  # fmt: skip
    return placed


def batch_of(store: Store, job: int) -> dict[int, Draft]:
    """The batch that each picture of a job was drawn in, by its number."""
    rows = store.db.execute("SELECT payload FROM tasks WHERE job_id = ? AND kind = 'draft'", [job])
    drafts = [Draft.from_dict(json.loads(row["payload"])) for row in rows]
    return {number: draft for draft in drafts for number in draft.numbers}


def nothing_left(db: sqlite3.Connection, job: int) -> bool:
    """Whether all of a job's batches are drawn and measured."""
    return db.execute("SELECT 1 FROM tasks WHERE job_id = ? AND state IN ('waiting', 'leased') LIMIT 1", [job]).fetchone() is None


def frames_of(rows: Sequence[sqlite3.Row]) -> list[Frame]:
    """The drawn pictures among a job's `rows`, as the funnel sees them."""
    numbers = {row["id"]: row["number"] for row in rows}
    return [
        Frame(
            row["number"], row["stage"], row["round"], row["verdict"], row["rank"], numbers.get(row["parent"]),
            row["seconds"] or 0.0, row["served_from"] is not None,
        )
        for row in rows
        if row["state"] == "drawn"
    ]  # fmt: skip


def next_round(db: sqlite3.Connection, job: int, round: int) -> None:
    db.execute("UPDATE jobs SET round = ? WHERE id = ?", [round, job])


def keep_fingerprint(db: sqlite3.Connection, image: int, text: str) -> None:
    """What tells a picture from its near-duplicates, inside the caller's transaction."""
    db.execute("INSERT OR REPLACE INTO fingerprints (image_id, text) VALUES (?, ?)", [image, text])


class Twins:
    """Whether two pictures of a job, by their numbers, are nearly the same one. Fingerprints are read when they are first asked for;
    a picture that has none is like no other."""

    def __init__(self, db: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> None:
        self._db = db
        self._ids = {row["number"]: row["id"] for row in rows}
        self._read: dict[int, Fingerprint | None] = {}

    def __call__(self, one: int, other: int) -> bool:
        from models.scorers.duplicates import same

        first, second = self._of(one), self._of(other)
        return first is not None and second is not None and same(first, second)

    def _of(self, number: int) -> Fingerprint | None:
        from models.scorers.duplicates import Fingerprint

        if number not in self._read:
            row = self._db.execute("SELECT text FROM fingerprints WHERE image_id = ?", [self._ids[number]]).fetchone()
            self._read[number] = Fingerprint.from_text(row["text"]) if row else None
        return self._read[number]
