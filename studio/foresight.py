"""Plays the queue forward: who is drawn when, by the rule of `store.turns` and the seconds that things take here."""
from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STEPS = 4000  # turns that are played at most; a longer queue is played in larger strides


@dataclass(frozen=True)
class Waiting:
    """What is left of an open job.

    batches: those that wait; running: those under way; seconds: of one of them, None where nothing like it was ever timed.
    release: seconds from now until it may start. held: paused.
    """

    job: int
    person: str
    priority: int
    place: int
    card: str
    batches: int
    running: int
    seconds: float | None
    release: float = 0.0
    held: bool = False


@dataclass(frozen=True)
class Outlook:
    """position: 1 for the one drawn now or next; None for one that is paused. eta: seconds from now until it is done, None where
    that is not known. others: the part of `eta` in which the device works for others, loads models or waits for a start time."""

    position: int | None
    eta: float | None
    others: float


def foresee(jobs: Sequence[Waiting], served: Mapping[str, int], loadings: Mapping[str, float] | None = None) -> dict[int, Outlook]:
    """The outlook of each job. served: the number of each person's latest turn; loadings: seconds that a card takes to load."""
    return _Play(jobs, served, loadings or {}).run()


def hold_seconds(loading: float) -> float:
    """How long a card that took `loading` seconds is kept for those who wait for it, while others wait for another card: long
    enough that at most a fifth of the time goes into loading."""
    return 4 * loading


class _Play:
    def __init__(self, jobs: Sequence[Waiting], served: Mapping[str, int], loadings: Mapping[str, float]) -> None:
        self.jobs, self.loadings = jobs, loadings
        self.served = dict(served)
        self.turn = max(served.values(), default=0)
        self.left = {job.job: job.batches for job in jobs}
        self.stride = max(1, sum(job.batches for job in jobs) // STEPS)
        self.clock, self.known = 0.0, True
        self.card: str | None = None
        self.loaded_at = 0.0
        self.positions: dict[int, int] = {}
        self.finished: dict[int, float | None] = {}
        # priority -> person -> their jobs that may be drawn now, in their order
        self.lines: dict[int, dict[str, list[tuple[int, int, Waiting]]]] = {}

    def run(self) -> dict[int, Outlook]:
        for job in self.jobs:
            if job.running:
                self.draw(job, job.running)
                if not job.batches:
                    self.finish(job)
        later = sorted((job for job in self.jobs if job.batches and not job.held), key=lambda job: -job.release)
        while later or self.lines:
            while later and (later[-1].release <= self.clock or not self.lines):
                job = later.pop()
                self.clock = max(self.clock, job.release)
                self.join(job)
            self.take(*self.choose())
        return {job.job: self.outlook(job) for job in self.jobs}

    def join(self, job: Waiting) -> None:
        insort(self.lines.setdefault(job.priority, {}).setdefault(job.person, []), (job.place, job.job, job))

    def choose(self) -> tuple[int, str, int]:
        """The priority, the person and the index among their jobs: as `turns.next_task` orders them."""
        priority = max(self.lines)
        people = self.lines[priority]
        hold = self.card is not None and self.clock - self.loaded_at < hold_seconds(self.loadings.get(self.card, 0.0))
        choices = []
        for person, line in people.items():
            same = next((at for at, (_, _, job) in enumerate(line) if job.card == self.card), None) if hold else None
            at = same or 0
            choices.append((hold and same is None, self.served.get(person, 0), person, at))
        *_, person, at = min(choices)
        return priority, person, at

    def take(self, priority: int, person: str, at: int) -> None:
        line = self.lines[priority][person]
        job = line[at][2]
        self.turn += 1
        self.served[person] = self.turn
        count = min(self.stride, self.left[job.job])
        self.draw(job, count)
        self.left[job.job] -= count
        if self.left[job.job]:
            return
        self.finish(job)
        del line[at]
        if not line:
            del self.lines[priority][person]
        if not self.lines[priority]:
            del self.lines[priority]

    def draw(self, job: Waiting, batches: int) -> None:
        if job.card != self.card:
            # What is under way is loaded, or was as good as loaded when it began.
            if self.card is not None:
                self.clock += self.loadings.get(job.card, 0.0)
            self.card, self.loaded_at = job.card, self.clock
        self.positions.setdefault(job.job, len(self.positions) + 1)
        self.known = self.known and job.seconds is not None
        self.clock += (job.seconds or 0.0) * batches

    def finish(self, job: Waiting) -> None:
        self.finished[job.job] = self.clock if self.known else None

    def outlook(self, job: Waiting) -> Outlook:
        eta = self.finished.get(job.job)
        own = (job.seconds or 0.0) * (job.batches + job.running)
        return Outlook(
            None if job.held else self.positions.get(job.job),
            None if eta is None else round(eta, 2),
            0.0 if eta is None else max(0.0, eta - own),
        )
