"""Failure modes: which words, values and templates go with which rejections, told only where there is enough to tell it from.

What is compared is a share: of the pictures whose request has a feature, and of all others, how many were rejected. Their ratio is the
lift. Pictures of one prompt are alike, so prompts are what is counted by: the spread is between prompts (the variance of a ratio of
clusters: Cochran, Sampling Techniques, 3rd ed., section 6.3), never smaller than that of single pictures times their design effect, with
as many degrees of freedom as the smaller side has prompts (Student's t by Wallace 1959).
So many features are looked at that some stand out by chance: what is told keeps the false discovery rate below 5 % (Benjamini and
Hochberg 1995). Features that always occur together cannot be told apart and are told as one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np

Kind = Literal["word", "value", "template"]
Feature = tuple[Kind, str]  # a word; "product=running shoes"; a template's name
FEWEST_PROMPTS, FEWEST_PICTURES = 5, 20  # with the feature, and without it
RATE = 0.05  # of false discoveries
ANY = ""  # the outcome that stands for all reasons

VALUE_LIMIT = 60  # characters; a longer value is a text of its own and no feature
# Words that carry no picture.
_EMPTY = frozenset(
    "a an the of on in at by to from with without and or for as is are be it its this that these into onto over under near very some any no"
    " not one two your my our their his her up down out off".split()
)
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*", re.UNICODE)
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Asked:
    """All pictures of one request, counted. rejected: by outcome (a dimension, or ANY), of `judged`."""

    prompt: str
    judged: int
    rejected: Mapping[str, int]
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """Pictures with a feature, or without it."""

    prompts: int
    judged: int
    rejected: int

    @property
    def share(self) -> float:
        return self.rejected / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class Mode:
    """One finding: `features` (those that always occur together) go with more (lift > 1) or fewer rejections for `outcome`.
    low, high: the 95 % interval of the lift (high may be infinite). p: two-sided."""

    outcome: str
    features: tuple[Feature, ...]
    having: Side
    others: Side
    lift: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Found:
    """modes: those that stand out, the surest first. looked: (features, outcomes) that had enough data; thin: features with too little."""

    modes: tuple[Mode, ...]
    looked: int
    thin: int


@dataclass
class _Cluster:
    judged: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


def words_of(prompt: str) -> frozenset[str]:
    """The words of a prompt that say something of the picture, in lower case."""
    return frozenset(word for found in _WORD.finditer(prompt.lower()) if len(word := found[0].strip("'\u2019-")) > 1 and word not in _EMPTY)


def features_of(asked: Asked) -> frozenset[Feature]:
    """What a request can be told by."""
    found: set[Feature] = {("word", word) for word in words_of(asked.prompt)}
    for name, value in asked.values.items():
        if isinstance(value, str | int | float) and 0 < len(words := " ".join(str(value).split())) <= VALUE_LIMIT:
            found.add(("value", f"{name}={words}"))
    if asked.template:
        found.add(("template", asked.template))
    return frozenset(found)


def find_modes(requests: Iterable[Asked], outcomes: Sequence[str] = ()) -> Found:
    """What stands out in `requests`. outcomes: those looked at; () for all that occur."""
    clusters, members = _gather(requests)
    judged = np.array([one.judged for one in clusters], float)
    together: dict[bytes, tuple[np.ndarray, list[Feature]]] = {}
    thin = 0
    for feature, at in members.items():
        having = np.zeros(len(clusters), bool)
        having[list(at)] = True
        pictures = judged[having].sum()
        prompts = min(len(at), len(clusters) - len(at))
        if prompts < FEWEST_PROMPTS or min(pictures, judged.sum() - pictures) < FEWEST_PICTURES:
            thin += 1
        else:
            together.setdefault(having.tobytes(), (having, []))[1].append(feature)
    modes: list[Mode] = []
    for outcome in tuple(outcomes) or sorted({name for one in clusters for name, count in one.rejected.items() if count}):
        rejected = np.array([one.rejected.get(outcome, 0) for one in clusters], float)
        for having, features in together.values():
            modes.append(_compare(outcome, tuple(sorted(features, key=_order)), judged, rejected, having))
    return Found(_discovered(modes), len(modes), thin)


def _gather(requests: Iterable[Asked]) -> tuple[list[_Cluster], dict[Feature, set[int]]]:
    """One cluster for each different prompt, with the features of the requests that asked for it."""
    clusters: list[_Cluster] = []
    known: dict[tuple[str, str], int] = {}
    members: dict[Feature, set[int]] = {}
    for asked in requests:
        if not asked.judged:
            continue
        key = (" ".join(asked.prompt.lower().split()), asked.template)
        at = known.get(key)
        if at is None:
            at = known[key] = len(clusters)
            clusters.append(_Cluster())
            for feature in features_of(asked):
                members.setdefault(feature, set()).add(at)
        cluster = clusters[at]
        cluster.judged += asked.judged
        for outcome, count in asked.rejected.items():
            cluster.rejected[outcome] = cluster.rejected.get(outcome, 0) + count
    return clusters, members


def _compare(outcome: str, features: tuple[Feature, ...], judged: np.ndarray, rejected: np.ndarray, having: np.ndarray) -> Mode:
    """judged, rejected: by prompt. having: which prompts have the feature."""
    sides, shares, ends = [], [], []
    inside = np.where(having, *(rejected[one].sum() / judged[one].sum() for one in (having, ~having)))
    # How much more prompts of one side differ than pictures drawn by themselves would.
    chance = float((judged * inside * (1 - inside)).sum())
    effect = max(1.0, float(((rejected - inside * judged) ** 2).sum()) / chance) if chance else 1.0
    freedom = min(int(having.sum()), int((~having).sum())) - 1
    quantile = student(0.975, freedom)
    apart = 0.0  # the variance of the difference of shares
    for one in (having, ~having):
        n, prompts, bad = float(judged[one].sum()), int(one.sum()), float(rejected[one].sum())
        sides.append(Side(prompts, int(n), int(bad)))
        share = (bad + 0.5) / (n + 1)  # a share of nothing has no ratio
        shares.append(share)
        within = float(((rejected[one] - bad / n * judged[one]) ** 2).sum()) / n**2 * prompts / (prompts - 1)
        variance = max(within, effect * share * (1 - share) / n)
        # As many pictures drawn by themselves would say as much.
        ends.append(_wilson(bad / n, share * (1 - share) / variance, quantile))
        apart += variance
    # On the difference: where a side has nothing rejected, the logarithm of its share says little.
    p = 2 * (1 - _NORMAL.cdf(_normal_of(abs(sides[0].share - sides[1].share) / math.sqrt(apart), freedom)))
    low, high = _ratio(sides[0].share, ends[0], sides[1].share, ends[1])
    return Mode(outcome, features, sides[0], sides[1], max(low, min(high, shares[0] / shares[1])), low, high, p)


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """The interval of a share of `n` (which need not be whole), `z` standard errors wide."""
    middle, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - reach) / (1 + z * z / n)), min(1.0, (middle + reach) / (1 + z * z / n))


def _ratio(one: float, one_ends: tuple[float, float], other: float, other_ends: tuple[float, float]) -> tuple[float, float]:
    """The interval of one / other from the intervals of both (Donner and Zou 2012); its upper end may be infinite."""
    (low, high), (least, most) = one_ends, other_ends
    product = one * other
    below, above = most * (2 * other - most), least * (2 * other - least)
    first = math.sqrt(max(0.0, product**2 - low * (2 * one - low) * below))
    second = math.sqrt(max(0.0, product**2 - high * (2 * one - high) * above))
    # The first in the form that does not divide by a difference that may be nothing.
    start = low * (2 * one - low) / (product + first) if product + first else 0.0
    return start, (product + second) / above if above > 1e-12 else math.inf


def _discovered(modes: list[Mode]) -> tuple[Mode, ...]:
    """Those below the largest p that Benjamini and Hochberg's step-up lets through."""
    ordered = sorted(modes, key=lambda mode: (mode.p, -abs(math.log(mode.lift)), mode.outcome, mode.features))
    most = max((at for at, mode in enumerate(ordered, start=1) if mode.p <= RATE * at / len(ordered)), default=0)
    return tuple(ordered[:most])


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t with `freedom` >= 3 degrees (Abramowitz and Stegun 26.7.5: four terms)."""
    z = _NORMAL.inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _normal_of(t: float, freedom: int) -> float:
    """The normal deviate that is as unlikely as `t` (Wallace 1959)."""
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))


def _order(feature: Feature) -> tuple[int, str]:
    """A template before its values before their words."""
    return ("template", "value", "word").index(feature[0]), feature[1]
