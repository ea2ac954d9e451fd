"""Choosing among the measured candidates of a job. No weights here: worker and page both do it."""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from models.spec import Score
from pipelines.funnel import Same, deliver
from pipelines.judge import Profile, Verdict, in_doubt, judge, select
from pipelines.plan import Plan
from studio.store import Store, images


def record(db: sqlite3.Connection, image: int, scores: Sequence[Score], profile: Profile, card: str) -> Verdict:
    """A picture's scores, held against the profile, inside the caller's transaction; the verdict. One that fails by itself is rejected
    now; one that passes has no verdict before it was compared with its siblings, which `choose` does."""
    verdict = judge(scores, profile, card)
    images.add_marks(db, image, verdict.marks)
    images.set_verdict(db, image, None if verdict.verdict == "spare" else verdict.verdict, verdict.reasons, None)
    return verdict


def choose(store: Store, rows: Sequence[images.Row], keep: int, profile: Profile, plan: Plan | None, same: Same) -> dict[int, Verdict]:
    """Verdicts over the measured candidates among a job's `rows`, stored inside the caller's transaction; they are returned by number.

    Finals are compared with finals and drafts with drafts, of which none is ever kept: what is delivered is a final.
    """
    measured = {image: as_scores(found) for image, found in images.scores_of(store, [row["id"] for row in rows]).items()}
    drawn = [row for row in rows if row["state"] == "drawn" and measured[row["id"]]]
    doubtful = {row["number"] for row in drawn if row["round"] in _rounds_in_doubt(drawn, measured, profile, plan)}
    verdicts: dict[int, Verdict] = {}
    for stage in ("draft", "final"):
        chosen = [row for row in drawn if row["stage"] == stage]
        if not chosen:
            continue
        scores = {row["number"]: measured[row["id"]] for row in chosen}
        found = select(scores, 0, for_stage(profile, plan, stage), chosen[0]["card"], doubtful)
        verdicts |= deliver(found, keep, same) if stage == "final" else found
    for row in rows:
        if (verdict := verdicts.get(row["number"])) is not None:
            images.set_verdict(store.db, row["id"], verdict.verdict, verdict.reasons, verdict.rank)
            if row["number"] in doubtful:
                images.add_marks(store.db, row["id"], verdict.marks)
    return verdicts


def _rounds_in_doubt(
    drawn: Sequence[images.Row], measured: Mapping[int, Sequence[Score]], profile: Profile, plan: Plan | None
) -> set[int]:
    """The rounds of whose candidates few pass: of their drafts, or where nothing is drafted, of their finals."""
    drafted = any(row["stage"] == "draft" for row in drawn)
    by_round: dict[int, list[images.Row]] = {}
    for row in drawn:
        if not drafted or row["stage"] == "draft":
            by_round.setdefault(row["round"], []).append(row)
    held = for_stage(profile, plan, "draft" if drafted else "final")
    return {number for number, some in by_round.items() if in_doubt([measured[row["id"]] for row in some], held, some[0]["card"])}


def for_stage(profile: Profile, plan: Plan | None, stage: str) -> Profile:
    """The profile that pictures of a stage are held against: a draft may fail what finishing mends."""
    if stage != "draft" or plan is None or not plan.lenient:
        return profile
    return profile.advised(plan.lenient)


def as_scores(rows: Sequence[images.Row]) -> list[Score]:
    """Rows of the table as what a scorer said."""
    return [Score(row["dimension"], row["value"], row["scorer"], row["version"], row["note"]) for row in rows]
