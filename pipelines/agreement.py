"""What a bar gets right and wrong, by people's verdicts: shares with intervals, what errors cost, and whether one bar clearly does better.

Verdicts are weighted by how seldom a picture like theirs comes to be judged, and pictures of one prompt count as one group: they share
their fate, so they tell less than as many of different prompts.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.judge import Bar

CERTAIN = 1.645  # one-sided 95 %: how clearly one bar must beat another

Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval. hits of `of` verdicts, unweighted; `value` is weighted and NaN when `of` is 0."""

    value: float
    low: float
    high: float
    hits: int
    of: int


@dataclass(frozen=True)
class Rates:
    """What a bar gets right and wrong. agreement: of all pictures. false_accepts: of those that people rejected, what passes.
    false_rejects: of those that they approved, what does not. unwanted: of what passes, what people reject."""

    agreement: Share
    false_accepts: Share
    false_rejects: Share
    unwanted: Share


@dataclass(frozen=True)
class Rows:
    """The verdicts that say something of one dimension: each array (n,). x: what was measured. y: approved. w: weights. groups: a
    number a prompt."""

    x: Reals
    y: Flags
    w: Reals
    groups: Groups

    def at(self, which: Flags | Groups) -> Rows:
        return Rows(self.x[which], self.y[which], self.w[which], self.groups[which])

    @property
    def prompts(self) -> int:
        return len(np.unique(self.groups))


def passing(bar: Bar, values: Reals) -> Flags:
    """Which values are on the good side of the bar, whatever it leaves undecided."""
    return np.asarray(values >= bar.threshold if bar.bound == ">=" else values <= bar.threshold, np.bool_)


def rates(rows: Rows, accepted: Flags) -> Rates:
    return Rates(
        share(accepted == rows.y, rows),
        share(accepted[~rows.y], rows.at(~rows.y)),
        share(~accepted[rows.y], rows.at(rows.y)),
        share(~rows.y[accepted], rows.at(accepted)),
    )


def share(hit: Flags, rows: Rows) -> Share:
    """Weighted, with a Wilson interval over as many verdicts as these are worth: weights that differ and pictures of one prompt that
    share their fate make them fewer (Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", 1998)."""
    n, total = len(hit), float(rows.w.sum())
    if n == 0:
        return Share(math.nan, 0.0, 1.0, 0, 0)
    value = float(rows.w[hit].sum() / total)
    worth = total**2 / float((rows.w**2).sum())
    groups, numbers = np.unique(rows.groups, return_inverse=True)
    if 0 < value < 1 and len(groups) > 1:
        of_group = np.bincount(numbers, weights=rows.w * (hit - value))
        variance = len(groups) / (len(groups) - 1) * float((of_group**2).sum()) / total**2
        if variance > 0:
            worth = min(worth, value * (1 - value) / variance)
    return Share(value, *wilson(value * worth, worth), int(hit.sum()), n)


def wilson(hits: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, 1927); (0, 1) when n is 0."""
    if n <= 0:
        return 0.0, 1.0
    value = hits / n
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(0.0, value * (1 - value) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def costs(rows: Rows, passes: Flags, cost: float) -> Reals:
    """What each picture's wrong verdict costs."""
    return np.asarray(rows.w * np.where(passes & ~rows.y, cost, np.where(~passes & rows.y, 1.0, 0.0)), np.float64)


def surely_less(these: Reals, than: Reals, groups: Groups) -> bool:
    """Whether the sum of `these` costs is smaller, by more than chance among prompts would make it."""
    gains = np.bincount(groups, weights=than - these)
    gains = gains[np.unique(groups)]
    spread = float(gains.std(ddof=1)) * math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return float(gains.sum()) > CERTAIN * spread
