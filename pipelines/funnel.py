"""What a job does next: finish the best drafts, draft anew, or end and say honestly what passed. Pure decisions over what is known.

The funnel: draft many at little cost, gate them, order what passes by its ranks within the request over differently trained
verifiers (`pipelines.judge.select`), draw the best again at the tier's quality, measure those anew, and deliver what passes. Only what
is still missing is finished, so a final that fails costs one more final, and a new round of drafts is drawn when none are left to
finish. Best-of-N by verifiers: "Inference-time scaling for diffusion models beyond scaling denoising steps" (arXiv 2501.09732).

Nothing here draws, measures or stores. Whoever calls it looks at the job as it is now, so that it makes no difference whether a
process was killed in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.judge import Outcome, Verdict
    from pipelines.tasks import Stage

PLENTY = 10**9  # more than any request draws
# While drafting, a final is reckoned at so many times its cost: one slow batch must not leave drafts that nothing can be made of.
MARGIN = 1.5
Same = Callable[[int, int], bool]  # whether two pictures, by their numbers, are nearly the same one


@dataclass(frozen=True)
class Goal:
    """What a job set out to do.

    draft: candidates of the first round. keep: how many to deliver. finals: how many are finished in a round at the most, for each that
    is missing. images, seconds: the budget. ratio: what a final costs, as a multiple of a draft.
    """

    draft: int
    keep: int
    ladder: bool = False
    retries: int = 0
    finals: float = 2.0
    images: int | None = None
    seconds: float | None = None
    ratio: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Frame:
    """A picture that is drawn. verdict: None while it is not measured. parent: the number of the draft that it was finished from.
    seconds: on the device. served: it came from history and cost nothing."""

    number: int
    stage: Stage
    round: int
    verdict: Outcome | None
    rank: int | None = None
    parent: int | None = None
    seconds: float = 0.0
    served: bool = False


@dataclass(frozen=True)
class Finish:
    """Draw these drafts again at the tier's quality, the best first."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Retry:
    """Draft `count` new candidates: round `round` (0 was the first)."""

    round: int
    count: int


@dataclass(frozen=True)
class End:
    """Nothing more is drawn. held: finals that only a person can decide on. why: what kept it from going on, "" when all passed or
    the rounds were used up."""

    passed: int
    asked: int
    rounds: int
    held: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        """ "2 of 4 passed after 3 rounds; the budget of 60 s was spent"."""
        parts = [f"{self.passed} of {self.asked} passed" + (f" after {self.rounds} rounds" if self.rounds > 1 else "")]
        if self.held:
            parts.append(f"{self.held} {'waits' if self.held == 1 else 'wait'} for review")
        return "; ".join([*parts, self.why] if self.why else parts)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"text": self.text}


def decide(goal: Goal, frames: Sequence[Frame], round: int, same: Same) -> Finish | Retry | End:
    """What comes next once nothing of a job is left to draw or to measure. frames: all that was drawn, with the verdicts of `deliver`.
    round: the one under way."""
    finals = [frame for frame in frames if frame.stage == "final"]
    kept, held = _count(finals, "kept"), _count(finals, "review")
    # What waits for a person may yet be delivered: to draw more on top of it would be a waste.
    missing = goal.keep - kept - min(held, goal.keep - kept)
    if missing <= 0:
        return End(kept, goal.keep, round + 1, held)
    spent = _Spent(goal, frames)
    if goal.ladder:
        waiting = _survivors(frames, same, missing)
        before = sum(frame.verdict == "kept" for frame in finals if frame.round < round)
        allowed = math.ceil(goal.finals * (goal.keep - before)) - sum(frame.round == round for frame in finals)
        count = min(missing, allowed, len(waiting))
        if count > 0:
            most, why = spent.finals_left()
            return Finish(tuple(waiting[: min(count, most)])) if most else End(kept, goal.keep, round + 1, held, why)
    if round < goal.retries:
        most, why = spent.drafts_left(missing)
        count = min(goal.draft, math.ceil(goal.draft * missing / goal.keep), most)
        return Retry(round + 1, count) if most else End(kept, goal.keep, round + 1, held, why)
    return End(kept, goal.keep, round + 1, held)


def spent_up(goal: Goal, frames: Sequence[Frame], batch: int = 1) -> bool:
    """Whether what still waits to be drafted, in batches of `batch`, must be dropped: the budget would not last for the next one and
    for the finals besides."""
    missing = goal.keep - _count([frame for frame in frames if frame.stage == "final"], "kept")
    return bool(frames) and _Spent(goal, frames).drafts_left(max(0, missing))[0] < batch


def deliver(verdicts: Mapping[int, Verdict], keep: int, same: Same) -> dict[int, Verdict]:
    """Of those that pass, in the order of their ranks, the first `keep` that differ are kept; the others are spare.

    One that is nearly the same as one that is kept names it: nobody wants both.
    """
    chosen: list[int] = []
    decided = dict(verdicts)
    passing = [number for number, verdict in verdicts.items() if verdict.verdict in ("kept", "spare")]
    for number in sorted(passing, key=lambda number: (verdicts[number].rank or 0, number)):
        full = len(chosen) == keep
        twin = None if full else next((other for other in chosen if same(number, other)), None)
        if full or twin is not None:
            why = [f"nearly the same as {twin}"] if twin is not None else []
            decided[number] = replace(verdicts[number], verdict="spare", reasons=why)
        else:
            chosen.append(number)
            decided[number] = replace(verdicts[number], verdict="kept", reasons=[])
    return decided


def cause(frames: Mapping[int, Verdict]) -> dict[str, int]:
    """Of the pictures of a round that were rejected, how many each hard dimension rejected; the commonest first."""
    counts: dict[str, int] = {}
    for verdict in frames.values():
        for mark in verdict.marks if verdict.verdict == "rejected" else ():
            if mark.hard and mark.passed is False:
                counts[mark.dimension] = counts.get(mark.dimension, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _count(frames: Sequence[Frame], verdict: Outcome) -> int:
    return sum(frame.verdict == verdict for frame in frames)


def _survivors(frames: Sequence[Frame], same: Same, most: int) -> list[int]:
    """At most so many drafts that may be finished, best first; those that only a person can decide on come last. One that is nearly the
    same as one finished before, or as a better one, would give nothing new."""
    finished = [frame.parent for frame in frames if frame.stage == "final" and frame.parent is not None]
    drafts = [frame for frame in frames if frame.stage == "draft" and frame.verdict in ("kept", "spare", "review")]
    order = sorted(drafts, key=lambda frame: (frame.verdict == "review", frame.rank or 0, frame.number))
    chosen: list[int] = []
    for frame in order:
        if len(chosen) == most:
            break
        if frame.number not in finished and not any(same(frame.number, other) for other in [*finished, *chosen]):
            chosen.append(frame.number)
    return chosen


class _Spent:
    """What a job has cost, and how much more its budget allows."""

    def __init__(self, goal: Goal, frames: Sequence[Frame]) -> None:
        paid = [frame for frame in frames if not frame.served]
        drafts = [frame.seconds for frame in paid if frame.stage == "draft" or not goal.ladder]
        finals = [frame.seconds for frame in paid if frame.stage == "final" and goal.ladder]
        self._goal, self._images, self._seconds = goal, len(paid), sum(drafts) + sum(finals)
        self._draft = sum(drafts) / len(drafts) if drafts else 0.0
        self._final = sum(finals) / len(finals) if finals else self._draft * goal.ratio

    def finals_left(self) -> tuple[int, str]:
        """How many more finals the budget allows, and which budget it is that ends them."""
        return self._left(0, self._final)

    def drafts_left(self, finals: int) -> tuple[int, str]:
        """How many more drafts it allows when `finals` of them are to be finished, and which budget it is that ends them."""
        return self._left(finals if self._goal.ladder else 0, self._draft, MARGIN)

    def _left(self, finals: int, each: float, margin: float = 1.0) -> tuple[int, str]:
        left = [(PLENTY, "")]
        if self._goal.images is not None:
            left.append((self._goal.images - self._images - finals, f"the budget of {self._goal.images} pictures was spent"))
        if self._goal.seconds is not None:
            rest = self._goal.seconds - self._seconds - finals * self._final * margin
            # Nothing is begun that the rest would not last for; while no cost is known yet, anything left is enough.
            count = math.floor(rest / each) if each else PLENTY if rest > 0 else 0
            left.append((count, f"the budget of {self._goal.seconds:g} s was spent"))
        count, why = min(left)
        return max(0, count), why
