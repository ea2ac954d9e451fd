"""Candidates: what was drawn, what was measured, what was decided."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from models.errors import NotFound
from pipelines.judge import Mark
from studio.store import signals, verdicts
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import EVERYONE, Who, visible

Row = sqlite3.Row


def image_row(store: Store, image: int, who: Who | None = None, drawn: bool = True, own: bool = False) -> sqlite3.Row:
    """Raises NotFound, also for a picture that `who` may not see (with `own`: that is not theirs), or one not drawn yet."""
    row = None
    if 0 < image <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM images WHERE id = ?", [image]).fetchone()
    # What its owner has thrown away is nobody else's to look at, shared or not.
    own = own or (row is not None and row["trashed"] is not None)
    if row is None or (who is not None and not (row["person"] == who.name if own else who.sees(row["person"], row["shared"]))):
        raise NotFound(f"There is no picture {image if 0 < image <= LARGEST_ID else 'of that number'}.")
    if drawn and row["state"] != "drawn":
        raise NotFound(f"Picture {image} is not drawn.", f"It is {row['state']}.")
    return row


def of_job(store: Store, job: int, who: Who | None = None) -> list[sqlite3.Row]:
    """The candidates of a job in number order; for `who` those they may see, which somebody else may have thrown away since."""
    rows = store.db.execute("SELECT * FROM images WHERE job_id = ? ORDER BY number", [job]).fetchall()
    return [row for row in rows if who is None or _shown(row, who)]


def children(store: Store, ids: Sequence[int], who: Who | None = None) -> dict[int, list[int]]:
    """Drawn pictures made from each of `ids`, as far as `who` may see them; those that are shared with everyone when it is None."""
    found: dict[int, list[int]] = {image: [] for image in ids}
    marks = ", ".join("?" * len(ids))
    seen, values = visible(who) if who is not None else ("images.shared = ?", [EVERYONE])
    where = f"parent IN ({marks}) AND state = 'drawn' AND trashed IS NULL AND {seen}"
    for row in store.db.execute(f"SELECT id, parent FROM images WHERE {where} ORDER BY id", [*ids, *values]):
        found[row["parent"]].append(row["id"])
    return found


def finals_of(store: Store, ids: Sequence[int]) -> dict[int, int]:
    """For the drafts among `ids` that were chosen: the picture of the same job that each is finished as."""
    rows = store.db.execute(
        f"""SELECT draft.id AS draft, final.id AS final FROM images AS draft JOIN images AS final ON final.parent = draft.id
        WHERE draft.id IN ({", ".join("?" * len(ids))}) AND draft.stage = 'draft' AND final.job_id = draft.job_id
            AND final.state != 'failed'""",
        list(ids),
    )
    return {row["draft"]: row["final"] for row in rows}


def lineage(store: Store, image: int, who: Who | None = None) -> list[sqlite3.Row]:
    """The picture and those it was made from, oldest first; for `who` without those they may not see."""
    rows = store.db.execute(
        """WITH RECURSIVE line(id, depth) AS (
            SELECT ?, 0 UNION ALL SELECT images.parent, depth + 1 FROM line JOIN images ON images.id = line.id
            WHERE images.parent IS NOT NULL AND depth < 100)
        SELECT images.* FROM line JOIN images ON images.id = line.id ORDER BY depth DESC""",
        [image],
    ).fetchall()
    return [row for row in rows if who is None or _shown(row, who)]


def ancestors(store: Store, job: int, number: int) -> list[int]:
    """The pictures that a candidate is made from, oldest first."""
    row = store.db.execute("SELECT parent FROM images WHERE job_id = ? AND number = ?", [job, number]).fetchone()
    return [] if row["parent"] is None else [ancestor["id"] for ancestor in lineage(store, row["parent"])]


def _shown(row: sqlite3.Row, who: Who) -> bool:
    return row["person"] == who.name or (row["trashed"] is None and who.sees(row["person"], row["shared"]))


def mark_drawn(
    db: sqlite3.Connection, job: int, number: int, *, path: str, width: int, height: int, seconds: float | None, details: dict[str, object]
) -> int | None:
    """Records a picture whose file is in place, inside the caller's transaction; its id, or None when the number was drawn before.

    seconds: of this machine's device, None for a picture that a provider drew.
    """
    row = db.execute(
        "UPDATE images SET state = 'drawn', path = ?, width = ?, height = ?, seconds = ?, details = ?, drawn = ?"
        " WHERE job_id = ? AND number = ? AND state != 'drawn' RETURNING id",
        [path, width, height, seconds, json.dumps(details, default=str), now(), job, number],
    ).fetchone()
    return row["id"] if row else None


def keep(store: Store, image: int, choice: bool | None, who: Who) -> None:
    """A person's word on a picture; None takes it back. Raises NotFound, and NotNow while it is not drawn."""
    row = image_row(store, image, who, drawn=False, own=True)
    if row["state"] != "drawn":
        raise NotNow(f"Picture {image} cannot be kept or rejected.", f"It is {row['state']}.")
    with store.write() as db:
        signals.flagged(db, [image], choice)
        verdicts.flagged(db, [image], choice)
        db.execute("UPDATE images SET kept_by_person = ? WHERE id = ?", [choice, image])


def add_marks(db: sqlite3.Connection, image: int, marks: Iterable[Mark]) -> None:
    """Stores one picture's scores with what they were held against, inside the caller's transaction.

    Measuring again with the same scorer and version replaces its value.
    """
    for mark in marks:
        asked = mark.threshold is not None
        db.execute(
            "INSERT INTO scores (image_id, dimension, value, scorer, version, note, threshold, bound, hard, passed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (image_id, dimension, scorer, version) DO UPDATE SET value = excluded.value, note = excluded.note,"
            " threshold = excluded.threshold, bound = excluded.bound, hard = excluded.hard, passed = excluded.passed",
            [image, mark.dimension, mark.value, mark.scorer, mark.version, mark.note,
             mark.threshold, mark.bound if asked else None, mark.hard if asked else None, mark.passed],
        )  # fmt: skip


def forget_unscored(db: sqlite3.Connection, image: int, dimensions: Iterable[str]) -> None:
    """Takes back that these could not be measured, inside the caller's transaction."""
    db.executemany("DELETE FROM scores WHERE image_id = ? AND dimension = ? AND value IS NULL", [(image, name) for name in dimensions])


def scores_of(store: Store, ids: Sequence[int]) -> dict[int, list[sqlite3.Row]]:
    """Scores by picture, in the order they were measured."""
    found: dict[int, list[sqlite3.Row]] = {image: [] for image in ids}
    marks = ", ".join("?" * len(ids))
    for row in store.db.execute(f"SELECT * FROM scores WHERE image_id IN ({marks}) ORDER BY id", list(ids)):
        found[row["image_id"]].append(row)
    return found


def set_verdict(db: sqlite3.Connection, image: int, verdict: str | None, reasons: Sequence[str], rank: int | None) -> None:
    db.execute("UPDATE images SET verdict = ?, reasons = ?, rank = ? WHERE id = ?", [verdict, json.dumps(list(reasons)), rank, image])
