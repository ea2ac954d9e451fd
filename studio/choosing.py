"""Choosing among the measured candidates of a job. No weights here: worker and page both do it."""
from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from models.spec import Score
from pipelines.judge import Profile, judge, select
from studio.store import Store, images


def record(db: sqlite3.Connection, image: int, scores: Sequence[Score], profile: Profile, card: str) -> None:
    """A picture's scores, held against the profile, inside the caller's transaction. One that fails by itself is rejected now; one
    that passes has no verdict before it was compared with its siblings, which `choose` does."""
    verdict = judge(scores, profile, card)
    images.add_marks(db, image, verdict.marks)
    images.set_verdict(db, image, None if verdict.verdict == "spare" else verdict.verdict, verdict.reasons, None)


def choose(store: Store, job: int, keep: int, card: str, profile: Profile) -> list[int]:
    """Verdicts over all measured candidates of a job, inside the caller's transaction; the ids of their pictures."""
    rows = [row for row in images.of_job(store, job) if row["state"] == "drawn"]
    measured = images.scores_of(store, [row["id"] for row in rows])
    ids = {row["number"]: row["id"] for row in rows if measured[row["id"]]}
    for number, verdict in select({number: as_scores(measured[image]) for number, image in ids.items()}, keep, profile, card).items():
        images.set_verdict(store.db, ids[number], verdict.verdict, verdict.reasons, verdict.rank)
    return list(ids.values())


def as_scores(rows: Sequence[images.Row]) -> list[Score]:
    """Rows of the table as what a scorer said."""
    return [Score(row["dimension"], row["value"], row["scorer"], row["version"], row["note"]) for row in rows]
