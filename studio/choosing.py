"""Choosing among the measured candidates of a job. No weights here: worker and page both do it."""
from __future__ import annotations

from collections.abc import Sequence

from models.spec import Score
from pipelines.judge import Profile, select
from studio.store import Store, images


def choose(store: Store, job: int, keep: int, card: str, profile: Profile) -> list[int]:
    """Verdicts over all measured candidates of a job, inside the caller's transaction; the ids of their pictures."""
    rows = [row for row in images.of_job(store, job) if row["state"] == "drawn"]
    measured = images.scores_of(store, [row["id"] for row in rows])
    ids = {row["number"]: row["id"] for row in rows if measured[row["id"]]}
    for number, verdict in select({number: _scores(measured[image]) for number, image in ids.items()}, keep, profile, card).items():
        images.set_verdict(store.db, ids[number], verdict.verdict, verdict.reasons, verdict.rank)
    return list(ids.values())


def _scores(rows: Sequence[images.Row]) -> list[Score]:
    return [Score(row["dimension"], row["value"], row["scorer"], row["version"], row["note"]) for row in rows]
