"""Thresholds that people's verdicts suggest, a dimension at a time, with what they would have got wrong.

From 30 verdicts a logistic fit (Platt, "Probabilistic outputs for support vector machines", 1999), from 1,000 an isotonic one (Zadrozny
and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002); the threshold is where a person
is as likely to approve as the cost of errors asks for. What is told of errors comes from pictures of prompts that the fit has not seen.
Pictures that came to be judged by a draw of 5 % count twenty times (Horvitz and Thompson, 1952), or the verdicts would speak for the
borderline ones alone. scikit-learn is imported when something is fitted.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.agreement import Flags, Rates, Reals, Rows, Share, costs, passing, rates, share, surely_less
from pipelines.judge import Bar

FEWEST = 30  # verdicts about a dimension before anything is fitted
FEWEST_OF_EACH = 5  # approved and rejected ones among them
FEWEST_PROMPTS = 3
ISOTONIC = 1000  # from here on the curve may have any rising shape
FOLDS = 5
SURE = 0.8
SHOWN = 200  # values of either kind that are told for a plot

Method = Literal["", "logistic", "isotonic", "seen"]


@dataclass(frozen=True)
class Judged:
    """A person's verdict on a picture. group: its prompt; what is said of errors is measured on prompts that a fit has not seen.

    reasons: dimensions that it was rejected for, none where the person gave none. chance: with which a picture like this one came to be
    judged, 0 < chance <= 1. values: what was measured, by dimension, by one version of one scorer each.
    """

    group: str
    approved: bool
    values: Mapping[str, float]
    reasons: frozenset[str] = frozenset()
    chance: float = 1.0


@dataclass(frozen=True)
class Cut:
    """threshold: where to part. Between low and high a person has to look: neither verdict is as sure as was asked for."""

    threshold: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """What the verdicts say about one dimension. cut: None, with `why`, where they suggest nothing.

    method: "seen" where no value tells good from bad and the present bar turns away what people approve; the cut is then the worst value
    that was approved. verdicts, approved, rejected, prompts: how many stand behind it. now: of the bar that holds at present. then: of
    the suggested one, on prompts it was not fitted on. alone: of what would be decided without a person, the same; undecided: the share
    that would not. better: whether `then` costs less than `now`. values: (approved, rejected), at most SHOWN each. curve: (value, chance
    of approval).
    """

    dimension: str
    bar: Bar
    verdicts: int
    approved: int
    rejected: int
    prompts: int
    method: Method = ""
    cut: Cut | None = None
    now: Rates | None = None
    then: Rates | None = None
    alone: Rates | None = None
    undecided: Share | None = None
    better: bool = False
    why: str = ""
    values: tuple[list[float], list[float]] = ([], [])
    curve: list[tuple[float, float]] = field(default_factory=list)


def learn(verdicts: Sequence[Judged], bars: Mapping[str, Bar], sure: float = SURE, cost: float = 1.0) -> dict[str, Finding]:
    """What the verdicts suggest for each of `bars`, in their order.

    sure: how likely one verdict must be to be given without a person, 0.5 (always) .. 0.99. cost: how many false rejects weigh as much as
    one false accept.

    An approval speaks for every dimension. A rejection speaks against those that it names; one that names none is put down to the
    dimensions whose learned bar the picture fails, and where it fails none against all. So the dimension that tells most is fitted first.
    """
    skill = {name: _area(_rows(verdicts, name, {}), bar) for name, bar in bars.items()}
    learned: dict[str, Bar] = {}
    found: dict[str, Finding] = {}
    for name in sorted(bars, key=lambda name: -skill[name]):
        finding = _find(name, bars[name], _rows(verdicts, name, learned), sure, cost)
        if finding.cut is not None and finding.method != "seen":
            learned[name] = Bar(name, bars[name].bound, finding.cut.threshold, True)
        found[name] = finding
    return {name: found[name] for name in bars}


def _rows(verdicts: Sequence[Judged], dimension: str, learned: Mapping[str, Bar]) -> Rows:
    used = []
    for one in verdicts:
        value = one.values.get(dimension)
        if value is None or not math.isfinite(value):
            continue
        if not one.approved:
            if one.reasons and dimension not in one.reasons:
                continue
            if not one.reasons and any(name in one.values and bar.passes(one.values[name]) is False for name, bar in learned.items()):
                continue
        used.append((value, one.approved, 1 / one.chance, one.group))
    numbers = {group: number for number, group in enumerate(dict.fromkeys(row[3] for row in used))}
    return Rows(
        np.array([row[0] for row in used], np.float64),
        np.array([row[1] for row in used], np.bool_),
        np.array([row[2] for row in used], np.float64),
        np.array([numbers[row[3]] for row in used], np.int64),
    )


def _find(name: str, bar: Bar, rows: Rows, sure: float, cost: float) -> Finding:
    n, approved = len(rows.y), int(rows.y.sum())
    known = Finding(name, bar, n, approved, n - approved, rows.prompts, values=_values(rows))
    if n:
        known = replace(known, now=rates(rows, passing(bar, rows.x)))
    if lacking := _lacking(known):
        return replace(known, why=lacking)
    fit = _fit(rows, bar, cost, sure)
    if fit is None:
        return _loosened(known, rows, cost, "What people approve does not go with this value, or goes the other way.")
    if fit.cut is None:
        side = "reject" if fit.chance(rows.x).mean() > 0.5 else "approve"
        return _loosened(known, rows, cost, f"At no value that was seen would people rather {side} than not: there is nothing to part.")

    passes, alone = _held_out(rows, bar, cost, sure)
    without = costs(rows, np.ones(n, np.bool_), cost)
    if not surely_less(costs(rows, passes, cost), without, rows.groups):
        return _loosened(known, rows, cost, "On prompts it has not seen, a threshold here does not clearly do better than none.")
    decided = alone != 0
    return replace(
        known,
        method=fit.method,
        cut=fit.cut,
        then=rates(rows, passes),
        alone=rates(rows.at(decided), alone[decided] > 0),
        undecided=share(~decided, rows),
        better=bool(costs(rows, passes, cost).sum() < costs(rows, passing(bar, rows.x), cost).sum()),
        curve=_curve(fit, rows),
    )


def _loosened(found: Finding, rows: Rows, cost: float, why: str) -> Finding:
    """Where values do not tell: a bar that clearly does worse than none gives way to the worst value that was approved; what lies beyond
    it nobody has seen. Any other bar stays, and `why` is told."""
    now, none = costs(rows, passing(found.bar, rows.x), cost), costs(rows, np.ones(len(rows.y), np.bool_), cost)
    if not found.bar.hard or not surely_less(none, now, rows.groups):
        return replace(found, why=why)
    passes = np.ones(len(rows.y), np.bool_)
    for train, test in _folds(rows):
        passes[test] = passing(_loosest(found.bar, rows.at(train)), rows.x[test])
    threshold = _loosest(found.bar, rows).threshold
    told = rates(rows, passes)
    cut, undecided = Cut(threshold, threshold, threshold), share(np.zeros(len(rows.y), np.bool_), rows)
    return replace(found, method="seen", cut=cut, then=told, alone=told, undecided=undecided, better=True)


def _loosest(bar: Bar, rows: Rows) -> Bar:
    """The bar that everything approved passes, rounded to its good side."""
    worst = float(rows.x[rows.y].min() if bar.bound == ">=" else rows.x[rows.y].max())
    step = 10.0 ** (math.floor(math.log10(abs(worst))) - 2) if worst else 1.0
    threshold = step * (math.floor(worst / step) if bar.bound == ">=" else math.ceil(worst / step))
    return replace(bar, threshold=_tidy(threshold), low=None, high=None)


def _lacking(found: Finding) -> str:
    if found.verdicts < FEWEST:
        return f"{found.verdicts} of {FEWEST} verdicts so far."
    for kind, count in (("approved", found.approved), ("rejected", found.rejected)):
        if count < FEWEST_OF_EACH:
            return f"Only {count} of {found.verdicts} pictures were {kind}; at least {FEWEST_OF_EACH} are needed."
    if found.prompts < FEWEST_PROMPTS:
        return f"The verdicts are about {found.prompts} prompts; at least {FEWEST_PROMPTS} are needed."
    return ""


# Fitting.


@dataclass(frozen=True)
class _Fit:
    """chance: of approval, for values (n,). cut: None where the chance crosses the asked one nowhere among the values seen."""

    method: Method
    chance: Callable[[Reals], Reals]
    cut: Cut | None


def _fit(rows: Rows, bar: Bar, cost: float, sure: float) -> _Fit | None:
    """None where the value does not tell, or tells the other way round."""
    up = 1.0 if bar.bound == ">=" else -1.0
    if rows.y.all() or not rows.y.any() or np.ptp(rows.x) == 0:
        return None
    method: Method = "isotonic" if len(rows.y) >= ISOTONIC else "logistic"
    made = _isotonic(up * rows.x, rows) if method == "isotonic" else _logistic(up * rows.x, rows)
    if made is None:
        return None
    chance, crossing = made
    # Rounded to what a person would type; a value between two verdicts is as good as its neighbours.
    seen = float((up * rows.x).min()), float((up * rows.x).max())
    at = crossing(cost / (1 + cost))
    cut = None
    if at is not None and seen[0] < at <= seen[1]:
        least, most = crossing(min(1 - sure, cost / (1 + cost))), crossing(max(sure, cost / (1 + cost)))
        # Never sure enough on one side: no band there, rather than a person for everything.
        below = least if least is not None and least >= seen[0] else at
        above = most if most is not None and most <= seen[1] else at
        cut = Cut(_tidy(up * at), *sorted((_tidy(up * min(below, at)), _tidy(up * max(above, at)))))
    return _Fit(method, lambda x: chance(up * x), cut)


_Made = tuple[Callable[[Reals], Reals], Callable[[float], float | None]]


def _logistic(z: Reals, rows: Rows) -> _Made | None:
    from sklearn.linear_model import LogisticRegression

    mean = np.average(z, weights=rows.w)
    spread = math.sqrt(np.average((z - mean) ** 2, weights=rows.w)) or 1.0
    # C: next to no shrinking, for a shrunk slope moves the crossing away from the more frequent verdict.
    model = LogisticRegression(C=100.0).fit(((z - mean) / spread)[:, None], rows.y, sample_weight=rows.w / rows.w.mean())
    slope, base = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return None

    def crossing(chance: float) -> float:
        return float(mean + spread * (math.log(chance / (1 - chance)) - base) / slope)

    return lambda x: 1 / (1 + np.exp(-np.clip(base + slope * (x - mean) / spread, -500, 500))), crossing


def _isotonic(z: Reals, rows: Rows) -> _Made | None:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(z, rows.y.astype(np.float64), sample_weight=rows.w)
    x, y = model.X_thresholds_, model.y_thresholds_
    if y[-1] <= y[0]:
        return None

    def crossing(chance: float) -> float | None:
        above = int(np.searchsorted(y, chance, side="left"))  # y never falls
        if above == len(y):
            return None
        if above == 0:
            return float(x[0])
        step = (chance - y[above - 1]) / (y[above] - y[above - 1])
        return float(x[above - 1] + step * (x[above] - x[above - 1]))

    return lambda values: model.predict(values), crossing


def _tidy(value: float) -> float:
    """Four digits: a threshold is read, compared and typed by people."""
    return float(f"{value:.4g}")


def _held_out(rows: Rows, bar: Bar, cost: float, sure: float) -> tuple[Flags, npt.NDArray[np.int8]]:
    """What a threshold fitted on the other prompts says of each picture: whether it passes; and 1, -1 or 0 (a person has to look)."""
    passes, alone = np.ones(len(rows.y), np.bool_), np.ones(len(rows.y), np.int8)
    for train, test in _folds(rows):
        fit = _fit(rows.at(train), bar, cost, sure)
        if fit is None or fit.cut is None:
            continue  # without a threshold everything passes
        x, up = rows.x[test], bar.bound == ">="
        passes[test] = passing(replace(bar, threshold=fit.cut.threshold), x)
        good = x >= fit.cut.high if up else x <= fit.cut.low
        bad = x < fit.cut.low if up else x > fit.cut.high
        alone[test] = np.where(good, 1, np.where(bad, -1, 0))
    return passes, alone


def _folds(rows: Rows) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Which verdicts to fit, and which of other prompts to try it on."""
    from sklearn.model_selection import GroupKFold

    return GroupKFold(min(FOLDS, rows.prompts), shuffle=True, random_state=0).split(rows.x, rows.y, rows.groups)


# What is told.


def _area(rows: Rows, bar: Bar) -> float:
    """How often an approved value lies on the better side of a rejected one (0.5: the value tells nothing)."""
    good, bad = rows.x[rows.y], rows.x[~rows.y]
    if not len(good) or not len(bad):
        return 0.5
    both = np.sort(bad)
    below = (np.searchsorted(both, good, "left") + np.searchsorted(both, good, "right")).mean() / (2 * len(bad))
    return float(below if bar.bound == ">=" else 1 - below)


def _values(rows: Rows) -> tuple[list[float], list[float]]:
    def some(values: Reals) -> list[float]:
        places = np.linspace(0, len(values) - 1, min(SHOWN, len(values))).round().astype(np.int64)
        return [round(float(value), 4) for value in np.sort(values)[places]]

    return some(rows.x[rows.y]), some(rows.x[~rows.y])


def _curve(fit: _Fit, rows: Rows) -> list[tuple[float, float]]:
    x = np.linspace(float(rows.x.min()), float(rows.x.max()), 33)
    return [(round(float(value), 4), round(float(chance), 4)) for value, chance in zip(x, fit.chance(x), strict=True)]
