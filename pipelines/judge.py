"""Verdicts: each dimension against its threshold, and of the pictures that pass the first few by rank.

Dimensions are never averaged into one number. What is averaged are *ranks* within one request, over differently trained verifiers
and for the order alone: a single verifier is gamed by best-of-N ("Inference-time scaling for diffusion models beyond scaling
denoising steps", arXiv 2501.09732). What a person decides stands outside and wins.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from models.spec import Score
from pipelines.profile import Learned, Profile, load_profiles, parse_profile, read_profile
from pipelines.rules import Bar, Bound

Outcome = Literal["kept", "spare", "rejected", "review"]
LEAST = 4  # candidates

__all__ = [
    "Bar", "Bound", "Learned", "Mark", "Outcome", "Profile", "Verdict", "in_doubt", "judge", "load_profiles", "parse_profile",
    "read_profile", "select",
]  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """One dimension of one picture as it is shown. passed: None when not scored, when the profile has no bar for it, or when it is
    undecided, for the value lies between `low` and `high`. must: what could not be measured goes to review."""

    dimension: str
    value: float | None
    threshold: float | None
    bound: Bound
    passed: bool | None
    hard: bool
    note: str
    scorer: str
    version: str
    low: float | None = None
    high: float | None = None
    must: bool = False

    @property
    def undecided(self) -> bool:
        return self.value is not None and self.threshold is not None and self.passed is None


@dataclass(frozen=True)
class Verdict:
    """verdict: "kept" (passes, and among the first), "spare" (passes), "rejected" (a hard dimension fails) or "review" (none fails,
    but one could not be measured, or is too near a learned threshold). reasons: why not, like "sharpness 41 < 55". advice: the same
    for advisory dimensions.
    rank: 1 = the first among those that pass; None for the others, and before `select`.
    """

    verdict: Outcome
    reasons: list[str]
    marks: list[Mark]
    advice: list[str] = field(default_factory=list)
    rank: int | None = None


def judge(scores: Sequence[Score], profile: Profile, card: str = "") -> Verdict:
    """The verdict on one picture by itself; one that passes is "spare" until `select` compares it with its siblings.

    Of several scores of a dimension the last counts. A hard dimension of the profile without a score is not scored.
    """
    bars = profile.bars_for(card)
    latest = {score.dimension: score for score in scores}
    marks = []
    for name, bar in bars.items():
        score = latest.get(name) or Score(name, None, "", "", "not measured yet")
        marks.append(_mark(score, profile.taught(bar, card, score.scorer, score.version)))
    marks += [_mark(score, None) for name, score in latest.items() if name not in bars]

    failed = [_failure(mark) for mark in marks if mark.hard and mark.passed is False]
    unknown = [_open(mark) for mark in marks if mark.hard and mark.passed is None and (mark.must or mark.undecided)]
    advice = [_failure(mark) for mark in marks if not mark.hard and mark.passed is False]
    if failed:
        return Verdict("rejected", failed, marks, advice)
    if unknown:
        return Verdict("review", unknown, marks, advice)
    return Verdict("spare", [], marks, advice)


def select(
    candidates: Mapping[int, Sequence[Score]], keep: int, profile: Profile, card: str = "", doubtful: Collection[int] = ()
) -> dict[int, Verdict]:
    """The verdict on every candidate of one request, by its number, in the order of the numbers. doubtful: the numbers of those of a round
    of which few pass (`in_doubt`).

    Those that pass are ordered by the mean of their ranks over the profile's ranking dimensions (equal values share a rank; a
    dimension that nobody has a score in is left out; who alone has none is last in it), then by number. The first `keep` are kept.
    """
    doubted = profile.doubted(card)
    verdicts = {number: judge(candidates[number], doubted if number in doubtful else profile, card) for number in sorted(candidates)}
    passing = [number for number, verdict in verdicts.items() if verdict.verdict == "spare"]
    values = {number: {mark.dimension: mark.value for mark in verdicts[number].marks} for number in passing}
    bars = profile.bars_for(card)
    total = dict.fromkeys(passing, 0.0)
    for dimension in profile.ranks:
        for number, rank in _ranks({number: values[number].get(dimension) for number in passing}, bars[dimension].bound).items():
            total[number] += rank
    for rank, number in enumerate(sorted(passing, key=lambda number: (total[number], number)), start=1):
        verdicts[number] = replace(verdicts[number], rank=rank, verdict="kept" if rank <= keep else "spare")
    return verdicts


def in_doubt(round: Sequence[Sequence[Score]], profile: Profile, card: str = "") -> bool:
    """Whether so few of a round's candidates pass that those are doubtful. round: the scores of every candidate, of which a share tells
    nothing before there are LEAST."""
    doubt = profile.doubts.get(card)
    if doubt is None or len(round) < LEAST:
        return False
    return sum(judge(scores, profile, card).verdict != "rejected" for scores in round) <= doubt.share * len(round)


def _mark(score: Score, bar: Bar | None) -> Mark:
    value = score.value if score.value is not None and math.isfinite(score.value) else None
    note = score.note or ("the scorer gave no number" if score.value is not None and value is None else "")
    if bar is None:
        return Mark(score.dimension, value, None, ">=", None, False, note, score.scorer, score.version)
    passed = None if value is None else bar.passes(value)
    return Mark(
        score.dimension, value, bar.threshold, bar.bound, passed, bar.hard, note, score.scorer, score.version, bar.low, bar.high,
        must=bar.gate == "hard",
    )  # fmt: skip


def _open(mark: Mark) -> str:
    """ "sharpness 52 undecided between 48 and 57", or that it was not scored, and why."""
    if mark.undecided:
        low, high = cast(float, mark.low), cast(float, mark.high)
        return f"{mark.dimension} {_number(cast(float, mark.value), 2)} undecided between {_number(low, 2)} and {_number(high, 2)}"
    return f"{mark.dimension} not scored" + (f": {mark.note}" if mark.note else "")


def _failure(mark: Mark) -> str:
    """ "sharpness 41 < 55": the value rounded to as few digits as leave it on its side of the threshold."""
    value, threshold, above = cast(float, mark.value), cast(float, mark.threshold), mark.bound == "<="
    digits = next((digits for digits in range(6) if (round(value, digits) > threshold if above else round(value, digits) < threshold)), 6)
    return f"{mark.dimension} {_number(value, digits)} {'>' if above else '<'} {_number(threshold, 6)}"


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ranks(values: Mapping[int, float | None], bound: Bound) -> dict[int, float]:
    """1 for the best value, equal ones share the mean of their places, who has none comes last; all 0 when nobody has a value."""
    known = {number: -value if bound == ">=" else value for number, value in values.items() if value is not None}
    if not known:
        return dict.fromkeys(values, 0.0)
    ranks = {}
    for number in values:
        if number not in known:
            ranks[number] = float(len(values))
            continue
        better = sum(other < known[number] for other in known.values())
        same = sum(other == known[number] for other in known.values())
        ranks[number] = better + (same + 1) / 2
    return ranks
