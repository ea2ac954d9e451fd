"""How large a mean difference is, said so that it may be looked at after every pair.

An ordinary interval, a bootstrap's or a t test's, is right for one look at a number of pairs that was fixed beforehand. Who looks as
the pairs come in, and stops when the interval leaves zero, is wrong far more often than it says. A *confidence sequence* is a run of
intervals of which all contain the true mean at once with probability 1 - alpha, so looking is free and stopping is allowed at any time.

This one bets against every candidate mean: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", Journal
of the Royal Statistical Society B 86 (2024), arXiv 2010.09686, the hedged capital process with its predictable plug-in bets. It
assumes no distribution, only that differences are bounded. Bets are sized for the number of pairs that was planned (their section on a
fixed time of interest): tightest there, and valid at every other time too, also beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

ALPHA = 0.05
# Candidate means between -1 and 1, half a hundredth apart, with zero among them. Intervals are widened to the next one outwards.
MEANS = np.linspace(-1.0, 1.0, 401)
ZERO = 200
# No bet risks more than this share of the capital on one pair (section 4.3 there: 1/2 or 3/4).
RISK = 0.75
POWER = 0.84  # standard errors that lie between finding something half of the time and four times in five


@dataclass(frozen=True)
class Course:
    """The intervals after 1, 2, ... n differences. first: after how many zero was ruled out (1 = the first), None if it never was.

    Each interval is within the one before it: what was ruled out stays so.
    """

    mean: Reals
    low: Reals
    high: Reals
    first: int | None

    @property
    def last(self) -> tuple[float, float, float]:
        """Mean, low and high by now; (0, -1, 1) before the first difference."""
        if not len(self.mean):
            return 0.0, -1.0, 1.0
        return float(self.mean[-1]), float(self.low[-1]), float(self.high[-1])


def confidence_sequence(differences: Sequence[float] | Reals, planned: int, alpha: float = ALPHA) -> Course:
    """The course of intervals for the mean of `differences`, each from -1 to 1, in the order in which they came in.

    planned: after how many of them the interval is to be tightest; to be fixed before the first one. The order must not depend on the
    values. Raises ValueError for a difference out of range.
    """
    x = np.asarray(differences, np.float64)
    if x.size == 0:
        return Course(x, x, x, None)
    if not np.all(np.abs(x) <= 1.0):
        raise ValueError("a difference is not between -1 and 1")
    counts = np.arange(1, len(x) + 1)
    capital = _capital(x, _bets(x, planned, alpha))
    ruled_out = np.maximum.accumulate(capital, axis=0) >= math.log(1 / alpha)
    low, high = _bounds(~ruled_out)
    out = np.flatnonzero(ruled_out[:, ZERO])
    return Course(np.cumsum(x) / counts, low, high, int(out[0]) + 1 if len(out) else None)


def findable(spread: float, planned: int, alpha: float = ALPHA) -> float:
    """The true mean difference that is found about four times in five with `planned` pairs, where single differences have the standard
    deviation `spread`: at that time the interval's half width is close to sqrt(2 ln(2 / alpha)) standard errors."""
    surest = math.log(2 / alpha) / math.log1p(RISK) / planned  # by stakes that are as high as they may be, every one of them won
    return min(1.0, max(surest, (math.sqrt(2 * math.log(2 / alpha)) + POWER) * spread / math.sqrt(planned)))


def _bets(x: Reals, planned: int, alpha: float) -> Reals:
    """The stake on each difference, from what was seen before it: equation (26) there with the time of interest fixed at `planned`."""
    before = np.concatenate([[0.0], np.cumsum(x)[:-1]]) / np.arange(1, len(x) + 1)  # the mean so far, with one difference of 0
    means = np.concatenate([before[1:], [x.sum() / (len(x) + 1)]])
    squares = np.concatenate([[1.0], 1.0 + np.cumsum((x - means) ** 2)[:-1]])  # with one of the largest there can be
    variance = squares / np.arange(1, len(x) + 1)
    return np.asarray(np.sqrt(2 * math.log(2 / alpha) / (variance * planned)), np.float64)


def _capital(x: Reals, bets: Reals) -> Reals:
    """The logarithm of what has been won by betting against each of MEANS, half of it on more and half on less: differences x means."""
    wins = x[:, None] - MEANS
    more = np.minimum(bets[:, None], RISK / (1.0 + MEANS).clip(1e-9))
    less = np.minimum(bets[:, None], RISK / (1.0 - MEANS).clip(1e-9))
    above = np.cumsum(np.log1p(more * wins), axis=0)
    below = np.cumsum(np.log1p(-less * wins), axis=0)
    return np.asarray(np.logaddexp(above, below) - math.log(2), np.float64)


def _bounds(left: npt.NDArray[np.bool_]) -> tuple[Reals, Reals]:
    """Ends of the intervals from the candidates that are left after each difference."""
    count = len(MEANS)
    first, last = left.argmax(axis=1), count - 1 - left[:, ::-1].argmax(axis=1)
    some = left.any(axis=1)  # once in twenty there may be none left; then the last interval that there was stands
    first, last = (np.maximum.accumulate(np.where(some, first, 0)), np.minimum.accumulate(np.where(some, last, count - 1)))
    # Outwards, but never back over zero, against which the bets were made exactly.
    low = np.where(first > ZERO, np.maximum(MEANS[ZERO], MEANS[(first - 1).clip(0)]), MEANS[(first - 1).clip(0)])
    high = np.where(last < ZERO, np.minimum(MEANS[ZERO], MEANS[(last + 1).clip(max=count - 1)]), MEANS[(last + 1).clip(max=count - 1)])
    return low, high
