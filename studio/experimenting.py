"""Takes experiments through: asks for pairs a few at a time, takes down what was measured, and stops when the answer is known.

What is under way is in the queue, as anybody's jobs; what was measured is in the store. So a studio that was killed goes on where it was.
"""
from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from models.errors import StudioError
from models.scorers.catalogue import load_scorers
from pipelines.experiments import Arm, Choice, Design, Finding, Pair, compare
from studio.patrol import Patrol
from studio.store import experiments
from studio.store.db import now
from studio.store.experiments import Drawn
from studio.store.jobs import NotNow
from studio.store.people import Who, projects_of

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

WAVE = 8  # pairs that are asked for together; with two waves under way the device never waits
UNLOOKED = 24  # pairs that may wait for people's votes before more are drawn
PRIORITY = -1  # when nothing else waits
PATROL_SECONDS = 30.0  # news may be lost; then it is noticed after this long
KEPT = 64  # findings in memory


class Experimenter:
    """One for a studio. `advance` may be called from any thread."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._dimensions = load_scorers()
        self._patrol = Patrol("experimenter", self._look, PATROL_SECONDS)
        self._lock = threading.Lock()
        self._known: dict[int, tuple[tuple[object, ...], Finding]] = {}

    def start(self) -> None:
        self._patrol.start()

    def stop(self) -> None:
        self._patrol.stop()

    def wake(self) -> None:
        """To be called when a job has changed, or somebody has voted."""
        self._patrol.wake()

    def design(self, row: sqlite3.Row) -> Design:
        return self.read(experiments.design_json(self._store, row["id"], row["version"]))

    def read(self, data: object, seed: int = 0) -> Design:
        """Raises BadInput."""
        return Design.from_dict(data, self._dimensions, seed)

    def pairs(self, row: sqlite3.Row, design: Design) -> tuple[list[Drawn], list[Pair]]:
        """The pairs that were asked for, and those of them that count by now, in the order in which they count."""
        drawn = experiments.pairs(self._store, row["id"])
        rows = experiments.vote_rows(self._store, row["id"])
        return drawn, in_order(drawn, rows, design)

    def finding(self, row: sqlite3.Row, design: Design, drawn: Sequence[Drawn], counted: Sequence[Pair]) -> Finding:
        """What the pairs say by now."""
        lost = sum(bool(one.why) for one in drawn)
        key = (row["version"], row["more"], lost, tuple((pair.number, pair.votes) for pair in counted))
        known = self._known.get(row["id"])
        if known is None or known[0] != key:
            known = key, compare(counted, design, lost, row["more"])
            self._known[row["id"]] = known
            while len(self._known) > KEPT:
                self._known.pop(next(iter(self._known)))
        return known[1]

    def advance(self, experiment: int, again: bool = False) -> None:
        """Goes on with an experiment as far as it can by now. again: also where nothing of the last pairs could be drawn."""
        with self._lock:
            new = experiments.measure(self._store, experiment)
            row = experiments.row_of(self._store, experiment)
            changed = bool(new)
            if row["state"] == "running":
                changed = self._decide(row, again) or changed
        if changed:
            self.tell(experiment)

    def end(self, experiment: int, finding: str) -> None:
        """Ends an experiment, and takes what is not drawn yet out of the queue."""
        with self._store.write() as db:
            db.execute(
                "UPDATE experiments SET state = 'ended', finding = ?, ended = ?, error = NULL WHERE id = ?", [finding, now(), experiment]
            )
        owner = self._owner(experiments.row_of(self._store, experiment))
        for job in experiments.open_jobs(self._store, experiment):
            try:
                self._studio.cancel(job, owner)
            except NotNow:
                log.debug("job %d of experiment %d had just ended", job, experiment)

    def tell(self, experiment: int) -> None:
        """Tells the browsers of those who may see it."""
        row = experiments.row_of(self._store, experiment)
        self._studio.hub.publish("experiment", {"id": experiment, "state": row["state"]}, (row["person"], row["shared"]))

    def fields(self, design: Design, arm: Arm, row: int, seeds: Sequence[int]) -> dict[str, Any]:
        """What is submitted for one side and row: every picture is drawn as it is asked for, with no ladder and no second try, and here:
        a provider draws other noise from a seed, so that the sides would differ by more than what is compared."""
        return design.request(arm, row) | {"seeds": list(seeds), "keep": 1, "ladder": False, "retries": 0, "where": "local"}

    # How it is done.

    def _look(self) -> None:
        for experiment in experiments.under_way(self._store):
            try:
                self.advance(experiment)
            except Exception:
                if self._patrol.ending:  # the store was closed meanwhile
                    return
                # One that a bug stops must not stop the others; it is tried again with the next news.
                log.exception("experiment %d did not go on", experiment)

    def _decide(self, row: sqlite3.Row, again: bool) -> bool:
        """Ends a running experiment, or asks for more pairs; whether anything changed."""
        design = self.design(row)
        drawn, counted = self.pairs(row, design)
        finding = self.finding(row, design, drawn, counted)
        if finding.which != "open":
            self.end(row["id"], finding.which)
            return True
        try:
            return self._draw(row, design, drawn, again)
        except StudioError as error:
            self._pause(row["id"], error)
            return True

    def _draw(self, row: sqlite3.Row, design: Design, drawn: list[Drawn], again: bool) -> bool:
        """Asks for what is to be drawn next. Raises StudioError where that is refused."""
        changed = False
        for job_a in dict.fromkeys(one.job_a for one in drawn if one.job_b is None):  # a crash came between A and B
            same = [one for one in drawn if one.job_a == job_a]
            self._submit(row, design, "b", same[0].row, [one.seed for one in same], partial(_place_b, row["id"], job_a))
            changed = True
        failed = [one for one in drawn[-WAVE:] if one.why and "failed" in one.why]
        if len(failed) == WAVE and not again:
            raise NotNow("Nothing of the last pairs could be drawn.", failed[-1].why, "Mend the cause, then go on.")
        under_way = sum(one.seen is None for one in drawn)
        if design.outcome.kind == "preference":
            votes = experiments.votes(self._store, row["id"])
            under_way = max(under_way, sum(len(votes.get(one.number, ())) < design.votes for one in drawn if not one.why) - UNLOOKED)
        first, last = len(drawn) + 1, design.pairs + row["more"]
        if under_way >= WAVE or first > last:
            return changed
        groups: dict[tuple[int, int], list[int]] = {}
        for number in range(first, min(first + WAVE, last + 1)):
            place = design.row_of(number)
            groups.setdefault((place, number if self._varies(row, design, place) else 0), []).append(number)
        for (place, _), numbers in groups.items():
            seeds = [design.seed_of(number) for number in numbers]
            job = self._submit(row, design, "a", place, seeds, partial(_place_a, row["id"], numbers, place, design))
            self._submit(row, design, "b", place, seeds, partial(_place_b, row["id"], job))
        return True

    def _submit(self, row: sqlite3.Row, design: Design, arm: Arm, place: int, seeds: Sequence[int], then: Any) -> int:
        fields = self.fields(design, arm, place, seeds)
        fields |= {"priority": PRIORITY, "note": f"Experiment {row['id']}, {arm.upper()}: {design.sides[arm == 'b'].title}"}
        if row["confirmed"]:
            fields["safety"] = "confirmed"
        owner = self._owner(row)
        job = int(self._studio.submit(fields, owner, then)["id"])
        if row["shared"] is not None:
            with self._store.write() as db:
                share(db, [job], row["shared"])
        return job

    def _varies(self, row: sqlite3.Row, design: Design, place: int) -> bool:
        """Whether another seed may give another prompt: then each pair is a request of its own."""
        owner = self._owner(row)
        asked = (self.fields(design, arm, place, [design.seed]) for arm in ("a", "b"))
        return any(self._studio.composer.preview(fields, owner).varies for fields in asked)

    def _owner(self, row: sqlite3.Row) -> Who:
        return Who(row["person"], projects=projects_of(self._store, row["person"]))

    def _pause(self, experiment: int, error: StudioError) -> None:
        with self._store.write() as db:
            db.execute("UPDATE experiments SET state = 'paused', error = ? WHERE id = ?", [json.dumps(error.as_dict()), experiment])


def in_order(drawn: Sequence[Drawn], votes: Sequence[Mapping[str, Any] | sqlite3.Row], design: Design) -> list[Pair]:
    """The pairs that count, in an order that does not depend on what they show: by number, up to the first that is still being drawn; or,
    where people decide, as the last of its votes was cast. Pairs that were left out do not count."""
    said: dict[int, list[Choice]] = {}
    complete: list[int] = []
    for row in votes:
        if row["choice"] == "pass":
            continue
        cast = said.setdefault(row["pair"], [])
        if len(cast) < design.votes:
            cast.append(row["choice"])
            if len(cast) == design.votes:
                complete.append(row["pair"])
    if design.outcome.kind == "preference":
        by_number = {pair.number: pair for pair in experiments.compared(drawn, said)}
        return [by_number[number] for number in complete if number in by_number]
    return measured(drawn, said)


def measured(drawn: Sequence[Drawn], votes: Mapping[int, Sequence[Choice]]) -> list[Pair]:
    """By number, up to the first that is still being drawn, without those that were left out."""
    waits = next((place for place, one in enumerate(drawn) if one.seen is None), len(drawn))
    return experiments.compared(drawn[:waits], votes)


def share(db: sqlite3.Connection, jobs: Sequence[int], shared: str | None) -> None:
    """Shares an experiment's pictures with those who may see it, inside the caller's transaction."""
    marks = ", ".join("?" * len(jobs))
    db.execute(f"UPDATE jobs SET shared = ? WHERE id IN ({marks})", [shared, *jobs])
    db.execute(f"UPDATE images SET shared = ? WHERE job_id IN ({marks})", [shared, *jobs])


def _place_a(experiment: int, numbers: Sequence[int], row: int, design: Design, db: sqlite3.Connection, job: int) -> None:
    experiments.place_a(db, experiment, numbers, row, design, job)


def _place_b(experiment: int, job_a: int, db: sqlite3.Connection, job: int) -> None:
    experiments.place_b(db, experiment, job_a, job)
