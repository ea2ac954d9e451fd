"""The funnel of a job: what is done when all of it is drawn and measured. Worker and page both do it, for what the cache serves
needs no worker.

Everything happens inside one transaction of the caller's, the very one that closes the job's last task: a process that is killed has
either done all of it or none.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pipelines.funnel import Finish, Retry, cause, decide, spent_up
from pipelines.judge import Verdict
from pipelines.plan import Chosen, Plan, next_seeds
from pipelines.remedies import Remedy, load_remedies, remedy_for
from pipelines.tasks import Draft
from studio.cache import Cache
from studio.choosing import choose
from studio.profiles import Profiles
from studio.store import Store, images, jobs, rounds
from studio.store.people import Who, projects_of

OPEN = ("queued", "running")


class Funnel:
    """Takes jobs through their rounds. folder: where pictures are kept."""

    def __init__(self, store: Store, folder: Path, profiles: Profiles, cache: Cache) -> None:
        self._store, self._folder, self._profiles, self._cache = store, folder, profiles, cache

    @cached_property
    def _remedies(self) -> tuple[Remedy, ...]:
        return load_remedies()

    def begin(self, db: sqlite3.Connection, job: int, placed: Mapping[int, Draft]) -> None:
        """Serves what history has of a job that was just added; one that is whole already goes on at once."""
        self._serve(db, job, placed)
        self.settle(db, job)

    def settle(self, db: sqlite3.Connection, job: int) -> list[int]:
        """Goes on with a job of which nothing is left to draw or to measure; the ids of the pictures that changed or are new."""
        changed: list[int] = []
        while rounds.nothing_left(db, job):
            row = jobs.job_row(self._store, job)
            plan, pictures = rounds.plan_of(row), images.of_job(self._store, job)
            same = rounds.Twins(db, pictures)
            verdicts = choose(self._store, pictures, row["keep"], self._profiles.of_job(row), plan, same)
            changed += [picture["id"] for picture in pictures if picture["number"] in verdicts]
            if plan is None or row["state"] not in OPEN:
                jobs.finish_job(db, job)
                return changed
            pictures = images.of_job(self._store, job)
            step = decide(plan.goal, rounds.frames_of(pictures), row["round"], same)
            if isinstance(step, Finish):
                placed = self._finish(db, row, plan, pictures, step)
            elif isinstance(step, Retry):
                placed = self._retry(db, row, plan, pictures, step, verdicts)
            else:
                jobs.finish_job(db, job, step)
                return changed
            if not plan.again:
                self._serve(db, job, placed)
            changed += [picture["id"] for picture in images.of_job(self._store, job)[len(pictures) :]]
        return changed

    def hold_to_budget(self, db: sqlite3.Connection, job: int) -> None:
        """Drops what still waits to be drafted when a job's budget would not last for it and for its finals."""
        row = jobs.job_row(self._store, job)
        plan = rounds.plan_of(row)
        if plan is None or plan.goal.seconds is None or row["state"] not in OPEN:
            return
        pictures = images.of_job(self._store, job)
        drafting = "draft" if plan.goal.ladder else "final"
        batch = plan.sketch_batch if plan.sketch else plan.batch
        waiting = sum(row["state"] == "waiting" and row["stage"] == drafting for row in pictures)
        if waiting and spent_up(plan.goal, rounds.frames_of(pictures), min(batch, waiting)):
            jobs.drop_waiting(db, job)

    # How it is done.

    def _serve(self, db: sqlite3.Connection, job: int, placed: Mapping[int, Draft]) -> None:
        row = jobs.job_row(self._store, job)
        plan = rounds.plan_of(row)
        if plan is not None and not plan.again:
            who = Who(row["person"], projects=projects_of(self._store, row["person"]))
            self._cache.serve(db, row, placed, self._cache.find(list(placed.values()), who), plan)

    def _finish(
        self, db: sqlite3.Connection, row: sqlite3.Row, plan: Plan, pictures: Sequence[sqlite3.Row], step: Finish
    ) -> dict[int, Draft]:
        by_number, batches = {picture["number"]: picture for picture in pictures}, rounds.batch_of(self._store, row["id"])
        chosen = [
            Chosen(number, by_number[number]["seed"], self._folder / by_number[number]["path"], batches[number]) for number in step.numbers
        ]
        first = pictures[-1]["number"] + 1
        parents = {first + place: by_number[one.number]["id"] for place, one in enumerate(chosen)}
        return rounds.add_batches(db, row["id"], row["person"], plan.finish(chosen, first, row["round"]), parents)

    def _retry(
        self,
        db: sqlite3.Connection,
        row: sqlite3.Row,
        plan: Plan,
        pictures: Sequence[sqlite3.Row],
        step: Retry,
        verdicts: Mapping[int, Verdict],
    ) -> dict[int, Draft]:
        last = {picture["number"] for picture in pictures if picture["round"] == row["round"]}
        rejected = {number: verdict for number, verdict in verdicts.items() if number in last and verdict.verdict == "rejected"}
        card = (plan.sketch or plan.final).card
        remedy = remedy_for(cause(rejected), len(rejected), card, self._remedies, step.round - 1)
        seeds = next_seeds([picture["seed"] for picture in pictures if picture["stage"] == "draft" or plan.sketch is None], step.count)
        drafts = plan.retry(step.round, seeds, pictures[-1]["number"] + 1, remedy)
        rounds.next_round(db, row["id"], step.round)
        parents = dict.fromkeys((number for draft in drafts for number in draft.numbers), row["parent"])
        return rounds.add_batches(db, row["id"], row["person"], drafts, parents)
