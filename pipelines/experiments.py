"""Two ways to make a picture, compared over the same values and the same seeds, by one outcome that was chosen beforehand.

A `Design` says what is compared before anything is drawn; a `Pair` is what one value and one seed gave in both ways; `compare` says what
the pairs tell by now. Looking at it after every pair is allowed, for its intervals are a confidence sequence (`pipelines.confidence`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np

from models.errors import BadInput, NotFound
from models.scorers.catalogue import Dimension, Dimensions
from pipelines.confidence import Course, confidence_sequence
from pipelines.fields import NAME_LIMIT, WHOLE_LIMIT, one_of, real, safe, shown, text, whole

Kind = Literal["passes", "dimension", "preference"]
Arm = Literal["a", "b"]
Choice = Literal["a", "b", "tie"]
Json = dict[str, Any]

TITLE_LIMIT, ABOUT_LIMIT, ARM_LIMIT = 80, 600, 60
FEWEST_PAIRS, MOST_PAIRS, USUAL_PAIRS = 4, 1000, 60
ROWS_LIMIT, VOTES_LIMIT = 500, 9
# What the experiment itself says; the rest of a Request may be set for both ways, by row, or for one of them.
OWN = (
    "seed", "seeds", "draft", "keep", "ladder", "retries", "budget", "parent", "note", "profile", "again", "priority", "start_at", "front",
    "safety",
)  # fmt: skip
WIDEST = 200.0  # a dimension whose values span more (pixels, counts) has no usual size of a difference
LARGEST = 25.0  # points, a quarter of the usual scale: a larger difference counts as this, so that one odd picture hides nothing


@dataclass(frozen=True)
class Outcome:
    """What decides. dimension: of kind "dimension", with its argument if it has one.

    reach: a difference of this many of its units, or more, counts as the whole; None where only which one is better counts.
    """

    kind: Kind
    dimension: str = ""
    better: Literal["higher", "lower"] = "higher"
    reach: float | None = 1.0


@dataclass(frozen=True)
class Side:
    """One of the two ways. fields: what sets it apart, as fields of a Request."""

    title: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Design:
    """What is compared. base: fields of a Request that both ways share. rows: what changes from pair to pair (a prompt each, or a
    template's values each); at least one, perhaps empty. pairs: how many are drawn at most. seed: the first of them. least: a difference
    that is surely smaller, in the outcome's units, is told as none that matters; 0: any difference matters. votes: how many people look at
    a pair. profile: what both ways are judged by.
    """

    title: str
    sides: tuple[Side, Side]
    outcome: Outcome
    base: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ({},)
    pairs: int = USUAL_PAIRS
    seed: int = 0
    least: float = 0.0
    votes: int = 1
    profile: str = "generic"
    about: str = ""

    @classmethod
    def from_dict(cls, data: object, dimensions: Dimensions, seed: int = 0) -> Design:
        """A design from JSON; `seed` where it names none. Raises BadInput, and nothing else, for any JSON value."""
        if not isinstance(data, Mapping):
            raise BadInput("design", f"A design is a JSON object; this is {shown(data)}.")
        known = ("title", "about", "sides", "base", "rows", "outcome", "pairs", "seed", "least", "votes", "profile")
        for key in data:
            if key not in known:
                raise BadInput(safe(str(key)[:NAME_LIMIT]) or "design", "An experiment has no such field.", f"It has {', '.join(known)}.")
        outcome = _read_outcome(data.get("outcome"), dimensions)
        sides = _read_sides(data.get("sides"))
        base, rows = _read_fields(data.get("base"), "base"), _read_rows(data.get("rows"))
        by_row = {name for row in rows for name in row}
        for letter, side in zip("ab", sides, strict=True):
            for name in sorted(by_row & set(side.fields)):
                why = "What changes from pair to pair must be the same in both."
                what = f"{name} is set by {letter.upper()} and by the rows."
                raise BadInput(f"sides.{letter}.{name}", what, why, "Leave it out of one of them.")
        if sides[0].fields == sides[1].fields:
            raise BadInput("sides", "A and B are the same.", "There is nothing to compare.", "Change something in one of them.")
        least = real(data, "least", 0.0, 2 * (outcome.reach or LARGEST), 0.0)
        if least and outcome.reach is None:
            raise BadInput("least", "This outcome only says who is better.", "It has no size of a difference.", "Leave it at 0.")
        return cls(
            title=" ".join(text(data, "title", TITLE_LIMIT).split()) or "Untitled experiment",
            about=text(data, "about", ABOUT_LIMIT),
            sides=sides,
            base=base,
            rows=rows,
            outcome=outcome,
            pairs=whole(data, "pairs", FEWEST_PAIRS, MOST_PAIRS, USUAL_PAIRS),
            seed=whole(data, "seed", 0, WHOLE_LIMIT - 1 - MOST_PAIRS, seed),
            least=least,
            votes=whole(data, "votes", 1, VOTES_LIMIT, 1),
            profile=text(data, "profile", NAME_LIMIT) or "generic",
        )

    def to_dict(self) -> Json:
        """JSON-ready; `from_dict` gives an equal design back."""
        plain = asdict(self)
        outcome = {"kind": self.outcome.kind} | ({"dimension": self.outcome.dimension} if self.outcome.dimension else {})
        return plain | {"outcome": outcome, "rows": list(plain["rows"]), "sides": list(plain["sides"])}

    def row_of(self, number: int) -> int:
        """The row of pair `number` (from 1). Pairs go through all rows again and again, each time in another order, which the seed draws:
        at no time has one row been drawn more than once more than another."""
        turn, place = divmod(number - 1, len(self.rows))
        return _order(self.seed, turn, len(self.rows))[place]

    def seed_of(self, number: int) -> int:
        """The seed of pair `number`, for both ways. No two pairs share one, so that they are drawn independently."""
        return self.seed + number - 1

    def request(self, arm: Arm, row: int) -> Json:
        """The fields of the request for one way and row, without seeds."""
        return {**self.base, **self.rows[row], **self.sides[arm == "b"].fields, "profile": self.profile}


@dataclass(frozen=True)
class Seen:
    """One picture of a pair. values: by dimension, what was measured. seconds: what it took, None where it came from history."""

    passed: bool
    values: Mapping[str, float]
    seconds: float | None = None


@dataclass(frozen=True)
class Pair:
    """What one value and one seed gave. votes: which of the two people preferred."""

    number: int
    a: Seen
    b: Seen
    votes: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Difference:
    """B against A. mean, low, high: of the difference, in the outcome's units, more being better (None where there is no scale, or
    nothing yet). wins: pairs in which A and in which B is better, of `n`. share, share_low, share_high: of the pairs that B wins, a tie
    being half a win."""

    n: int
    wins: tuple[int, int]
    mean: float | None
    low: float | None
    high: float | None
    share: float | None
    share_low: float
    share_high: float


@dataclass(frozen=True)
class Finding:
    """What the pairs say. which: "a" or "b" (better, for sure), "none" (all planned pairs are in, and none was found), "same" (the
    difference is surely smaller than what matters) or "open". at: after how many pairs that was sure. course: mean, low and high of the
    primary difference after each pair. unused: numbers of pairs whose outcome could not be measured."""

    which: Literal["a", "b", "none", "same", "open"]
    at: int | None
    primary: Difference
    course: tuple[tuple[float, float, float], ...]
    unused: tuple[int, ...]


def compare(pairs: Sequence[Pair], design: Design, lost: int = 0, more: int = 0) -> Finding:
    """What the primary outcome says of `pairs`, in the order in which they came in.

    lost: planned pairs that will never come in. more: pairs beyond those planned that may come in, by a later wish: it moves the end, and
    no interval.
    """
    outcome = design.outcome
    found = [(pair.number, difference_of(pair, outcome)) for pair in pairs]
    values = [value for _, value in found if value is not None]
    course = confidence_sequence(values, design.pairs)
    scale = outcome.reach or 1.0
    least = design.least / scale
    matters = np.flatnonzero((course.low > -least) & (course.high < least)) if least else np.zeros(0, np.int64)
    which: Literal["a", "b", "none", "same", "open"] = "open"
    at = None
    if course.first is not None and not (len(matters) and matters[0] + 1 < course.first):
        which, at = ("b" if course.mean[course.first - 1] > 0 else "a"), course.first
    elif len(matters):
        which, at = "same", int(matters[0]) + 1
    elif len(values) + lost + (0 if outcome.kind == "preference" else len(found) - len(values)) >= design.pairs + more:
        which, at = "none", len(values)
    rows = np.round(np.stack([course.mean, course.low, course.high], axis=1) * scale, 6).tolist()
    told = tuple((mean, low, high) for mean, low, high in rows)
    unused = tuple(number for number, value in found if value is None)
    return Finding(which, at, difference(values, outcome.reach, design.pairs, course), told, unused)


def difference(values: Sequence[float], reach: float | None, planned: int, course: Course | None = None) -> Difference:
    """The difference from paired ones between -1 and 1. reach: how many units 1 stands for; None: the values only say who is better."""
    wins = (sum(value < 0 for value in values), sum(value > 0 for value in values))
    signs = confidence_sequence(np.sign(values), planned).last
    told = [None] * 3 if reach is None or not values else [x * reach for x in (course or confidence_sequence(values, planned)).last]
    mean, low, high = told
    share, share_low, share_high = ((1 + sign) / 2 for sign in signs)
    return Difference(len(values), wins, mean, low, high, share if values else None, share_low, share_high)


def difference_of(pair: Pair, outcome: Outcome) -> float | None:
    """How much better B is, from -1 to 1; None where it could not be measured."""
    if outcome.kind == "passes":
        return float(pair.b.passed) - float(pair.a.passed)
    if outcome.kind == "preference":
        return float(np.sign(pair.votes.count("b") - pair.votes.count("a"))) if pair.votes else None
    values = [seen.values.get(outcome.dimension) for seen in (pair.a, pair.b)]
    if None in values:
        return None
    more = (cast(float, values[1]) - cast(float, values[0])) * (1.0 if outcome.better == "higher" else -1.0)
    if outcome.reach is None:
        return math.copysign(1.0, more) if more else 0.0
    return max(-1.0, min(1.0, more / outcome.reach))


def outcome_of(dimension: Dimension, name: str) -> Outcome:
    """A dimension as an outcome; `name`: with its argument."""
    span = dimension.high - dimension.low
    return Outcome("dimension", name, dimension.better, min(span / 4, LARGEST) if span <= WIDEST else None)


PASSES, PREFERENCE = Outcome("passes"), Outcome("preference", reach=None)


# Reading, and words.


def told(finding: Finding, design: Design, words: Callable[[float], str]) -> str:
    """The finding in a sentence. words: a size of the primary difference with its unit."""
    names = {"a": design.sides[0].title, "b": design.sides[1].title}
    primary = finding.primary
    if finding.which in ("a", "b"):
        sign = 1 if finding.which == "b" else -1
        if primary.mean is None:
            share = cast(float, primary.share)
            how = "preferred" if design.outcome.kind == "preference" else "better"
            return f"{names[finding.which]} is {how} in {round(100 * (share if sign > 0 else 1 - share))} % of pairs."
        low, high = sorted((sign * cast(float, primary.low), sign * cast(float, primary.high)))
        bounds = " to ".join(words(end).partition(" ")[0] for end in (max(low, 0.0), high))
        return f"{names[finding.which]} is better by {words(sign * primary.mean)} ({bounds})."
    if finding.which == "same":
        return f"No difference of {words(design.least)} or more."
    if finding.which == "none":
        return f"No difference found in {finding.at} pairs."
    return "Not decided yet." if primary.n else "No pair is complete yet."


@lru_cache(maxsize=256)
def _order(seed: int, turn: int, count: int) -> tuple[int, ...]:
    rows = list(range(count))
    random.Random(f"{seed}/{turn}").shuffle(rows)
    return tuple(rows)


def _read_outcome(value: object, dimensions: Dimensions) -> Outcome:
    if value is None:
        return PASSES
    if not isinstance(value, Mapping):
        raise BadInput("outcome", f'The outcome is an object like {{"kind": "passes"}}; this is {shown(value)}.')
    kind = one_of(value, "kind", ("passes", "dimension", "preference"), "passes", "outcomes")
    if kind != "dimension":
        return PASSES if kind == "passes" else PREFERENCE
    name = text(value, "dimension", NAME_LIMIT, "outcome.dimension")
    if not name:
        raise BadInput("outcome.dimension", "No dimension is chosen.", "It decides, and has to be chosen beforehand.", "Choose one.")
    try:
        return outcome_of(dimensions.dimension(name), name)
    except NotFound as error:
        raise BadInput("outcome.dimension", error.what, error.why, error.todo) from error


def _read_sides(value: object) -> tuple[Side, Side]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise BadInput("sides", "An experiment has two sides, A and B.", f"This is {shown(value)}.")
    sides = []
    for letter, entry in zip("ab", value, strict=True):
        if not isinstance(entry, Mapping) or set(entry) - {"title", "fields"}:
            raise BadInput(f"sides.{letter}", f'A side is an object like {{"title": "...", "fields": {{}}}}; this is {shown(entry)}.')
        title = " ".join(text(entry, "title", ARM_LIMIT, f"sides.{letter}.title").split())
        sides.append(Side(title or letter.upper(), _read_fields(entry.get("fields"), f"sides.{letter}")))
    return sides[0], sides[1]


def _read_rows(value: object) -> tuple[Mapping[str, Any], ...]:
    if value is None or value == []:
        return ({},)
    if not isinstance(value, list | tuple) or len(value) > ROWS_LIMIT:
        raise BadInput("rows", f"rows must be a list of at most {ROWS_LIMIT} objects; this is {shown(value)}.")
    rows = tuple(_read_fields(row, f"rows.{place}") for place, row in enumerate(value))
    for place, row in enumerate(rows):
        if row in rows[:place]:
            raise BadInput(f"rows.{place}", f"Row {place + 1} is there twice.", "It would count twice.", "Leave one of them out.")
    return rows


def _read_fields(value: object, where: str) -> Mapping[str, Any]:
    """Fields of a Request, as yet unread but for those that are the experiment's own."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise BadInput(where, f"These must be fields of a request; this is {shown(value)}.")
    for name in value:
        if name in OWN:
            raise BadInput(f"{where}.{name}", f"{name} is the experiment's to set.", "It is the same for both.", "Leave it out.")
    return {str(name): entry for name, entry in value.items() if entry is not None}
