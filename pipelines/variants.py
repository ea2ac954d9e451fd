"""Variations of an advertisement: a few of all combinations, spread so that they tell most; what each option brought; more around winners.

A variation takes one option of each axis. Which few are drawn is chosen greedily so that every option, and then every pair of options,
is there about equally often (the idea of pairwise test suites: D. M. Cohen et al., "The AETG System", IEEE TSE 23, 1997): with twelve of
two hundred combinations one still sees what each option does.
"""
from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist

from models.presets import presets_folder
from models.toml import Place, Table, load

Choice = tuple[str, ...]  # an option of each axis, in their order
CANDIDATES = 2000  # combinations that are looked at; of more a sample is
PRIOR = 20.0  # shown advertisements' worth of belief that an option is like the rest
EXPLORE = 0.2  # share of what is made around winners that goes further afield


@dataclass(frozen=True)
class Axis:
    """What variations differ in. target: the place of a request that an option fills (see `pipelines.batch`)."""

    name: str
    target: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Tally:
    """How often something was shown and how often that succeeded."""

    shown: float = 0.0
    hits: float = 0.0

    @property
    def rate(self) -> float | None:
        return self.hits / self.shown if self.shown else None

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """The score interval of the rate (Wilson 1927), of 95 % for the usual z; (0, 1) when nothing was shown."""
        if not self.shown:
            return 0.0, 1.0
        n, share = self.shown, min(1.0, self.hits / self.shown)
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def plus(self, other: Tally) -> Tally:
        return Tally(self.shown + other.shown, self.hits + other.hits)


@cache
def load_axes(presets_dir: Path | None = None) -> tuple[Axis, ...]:
    """The axes that ship. Raises BadInput with file and dotted key."""
    path = (presets_dir or presets_folder()) / "variants.toml"
    top = Table(Place(path), load(path))
    tables = top.table("axes")
    found = []
    for name in tables.data:
        table = tables.table(name)
        options = table.raw("options", [])
        if not isinstance(options, list) or not options or not all(isinstance(one, str) and one for one in options):
            raise table.bad("options", "must be a list of texts")
        found.append(Axis(table.text("title"), table.text("target"), tuple(options)))
        table.done()
    return tuple(found)


def possible(axes: Sequence[Axis]) -> int:
    """How many variations there are."""
    return math.prod(len(axis.options) for axis in axes)


def spread(axes: Sequence[Axis], count: int, seed: int, without: Collection[Choice] = ()) -> list[Choice]:
    """At most `count` different variations, none of `without`, that cover options and pairs of options evenly; the same for a seed."""
    return _evenly(_candidates(axes, random.Random(seed), without), count, Counter(), Counter())


def around(
    axes: Sequence[Axis], winners: Sequence[Choice], seen: Collection[Choice], count: int, seed: int, merit: Mapping[tuple[int, str], float]
) -> list[Choice]:
    """At most `count` new variations near `winners`: most differ from one in a single option, the promising ones first; a fifth of them
    lie further off, so that what nobody tried is tried. merit: how good an option is, by axis and option; higher is better."""
    candidates = _candidates(axes, random.Random(seed), {*seen, *winners})
    near = [one for one in candidates if min(_distance(one, winner) for winner in winners) == 1]
    near.sort(key=lambda one: -sum(merit.get((place, option), 0.0) for place, option in enumerate(one)))  # stable: ties stay shuffled
    wanted = count - (round(EXPLORE * count) if len(near) < len(candidates) else 0)
    chosen = _in_turn(near, winners, wanted)
    options, pairs = Counter(_singles(chosen)), Counter(_doubles(chosen))
    rest = [one for one in candidates if one not in set(chosen)]
    return chosen + _evenly(rest, count - len(chosen), options, pairs)


def tally(axes: Sequence[Axis], results: Mapping[Choice, Tally]) -> dict[tuple[int, str], Tally]:
    """What each option brought, over all variations that have it, by axis and option."""
    found = {(place, option): Tally() for place, axis in enumerate(axes) for option in axis.options}
    for choice, result in results.items():
        for key in enumerate(choice):
            found[key] = found.get(key, Tally()).plus(result)
    return found


def merits(tallies: Mapping[tuple[int, str], Tally]) -> dict[tuple[int, str], float]:
    """The rate of each option, drawn towards that of all where it was shown little (the mean of a beta posterior)."""
    places = {place for place, _ in tallies}
    whole = Tally()
    for key, one in tallies.items():
        if key[0] == min(places):
            whole = whole.plus(one)
    usual = whole.rate or 0.0
    # Marks of a person count as one each, advertisements by the thousand: the prior is never more than what there is.
    prior = min(PRIOR, max(1.0, whole.shown / max(1, len(tallies))))
    return {key: (one.hits + prior * usual) / (one.shown + prior) for key, one in tallies.items()}


def leaders(results: Mapping[Choice, Tally]) -> list[Choice]:
    """Variations that did better than the others together beyond chance, the best first: the interval of the difference (R. G. Newcombe,
    Statistics in Medicine 17, 1998, method 10) lies above 0, at 5 % for all of them together (Bonferroni)."""
    if len(results) < 2:
        return []
    z = NormalDist().inv_cdf(1 - 0.05 / (2 * len(results)))
    whole = Tally()
    for one in results.values():
        whole = whole.plus(one)
    found = []
    for choice, one in results.items():
        others = Tally(whole.shown - one.shown, whole.hits - one.hits)
        if one.rate is None or others.rate is None:
            continue
        ahead = one.rate - others.rate
        if ahead > math.hypot(one.rate - one.interval(z)[0], others.interval(z)[1] - others.rate):
            found.append(choice)
    return sorted(found, key=lambda choice: -(results[choice].rate or 0.0))


# How it is done.


def _candidates(axes: Sequence[Axis], chance: random.Random, without: Collection[Choice]) -> list[Choice]:
    """All combinations in random order, or a sample of as many as are looked at."""
    gone = set(without)
    if possible(axes) <= CANDIDATES:
        found = list(itertools.product(*(axis.options for axis in axes)))
        chance.shuffle(found)
    else:
        found = list(dict.fromkeys(tuple(chance.choice(axis.options) for axis in axes) for _ in range(CANDIDATES)))
    return [one for one in found if one not in gone]


def _evenly(candidates: Sequence[Choice], count: int, options: Counter[object], pairs: Counter[object]) -> list[Choice]:
    """One after the other the candidate whose pairs, then whose options, are there least so far."""
    left, chosen = list(candidates), list[Choice]()
    while left and len(chosen) < count:
        best = min(left, key=lambda one: (sum(pairs[key] for key in _doubles([one])), sum(options[key] ** 2 for key in _singles([one]))))
        left.remove(best)
        chosen.append(best)
        options.update(_singles([best]))
        pairs.update(_doubles([best]))
    return chosen


def _in_turn(near: Sequence[Choice], winners: Sequence[Choice], count: int) -> list[Choice]:
    """The first neighbour of each winner, then the second of each, ..."""
    lines = [[one for one in near if _distance(one, winner) == 1] for winner in winners]
    ordered = [one for row in itertools.zip_longest(*lines) for one in row if one is not None]
    return list(dict.fromkeys(ordered))[:count]


def _distance(one: Choice, other: Choice) -> int:
    """How many axes two variations differ in."""
    return sum(left != right for left, right in itertools.zip_longest(one, other))


def _singles(choices: Sequence[Choice]) -> list[object]:
    return [key for choice in choices for key in enumerate(choice)]


def _doubles(choices: Sequence[Choice]) -> list[object]:
    return [pair for choice in choices for pair in itertools.combinations(enumerate(choice), 2)]
