"""A simulated day of four providers and the requests of a studio: all the chance there is in `benchmarks.routing`, drawn before it begins.

Prices, limits, batches and first guesses of latency are those of presets/providers. What is drawn, with a seed:

- Requests: a Poisson process over 24 hours, six times as dense from 9 to 18 o'clock as at night, until there are 10,000 pictures. Of the
  requests 60 % are previews, 30 % standard, 10 % premium (FLUX.1, at the tiers' own sizes and steps); 40 % are square, 4 % banners, and
  14 % each 4:5, 3:2, 16:9 and 9:16; 70 % ask for 1 to 8 pictures, 25 % for 9 to 24, 5 % for 40 to 240. A request waits as tasks of at
  most 8 pictures.
- Latency of a call: log-normal. Its true median is the catalogue's guess times a log-normal factor of its own (sigma 0.3) for each model
  and day, its spread is the guess's; 1 % of the calls take five times as long; n pictures in one call take 1 + (n - 1) / 2 times as long.
- Outages, for each provider: one a day on average (Poisson), log-normal with a median of 10 minutes (sigma 0.8). Half are loud (503 at
  once, and for what is on its way), a third silent (calls are taken and end only after it), the rest are storms of 429.
- Brownouts, for each provider: two a day on average, median 15 minutes (sigma 0.7): calls take three times as long and 10 % fail.
- Otherwise 0.5 % of the calls fail, and cost nothing, as the providers say; 0.1 % of the submits get no answer (the connection broke), and
  half of those are drawn and billed all the same; 0.2 % of the pictures are refused for their content, by everybody.

None of these is a measurement of the real providers; they are assumptions, the same for everybody who routes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import exp, log
from typing import Literal

from models.cards import Catalogue
from models.cloud.catalogue import CloudModel, Provider

DAY, MINUTE = 86_400.0, 60.0
FAMILY = "flux1"
TIERS = {"preview": 0.6, "standard": 0.3, "premium": 0.1}
SHAPES = {"1:1": 0.4, "4:5": 0.14, "3:2": 0.14, "16:9": 0.14, "9:16": 0.14, "banner": 0.04}
SIZES = ((0.70, 1, 8), (0.25, 9, 24), (0.05, 40, 240))
TASK = 8
BUSY_HOURS, BUSY = (9, 18), 6.0
MEDIAN_OFF, STRAGGLERS, STRAGGLING = 0.3, 0.01, 5.0
OUTAGES, OUTAGE = 1.0, (10 * MINUTE, 0.8)
BROWNOUTS, BROWNOUT, SLOWER, FAILING = 2.0, (15 * MINUTE, 0.7), 3.0, 0.1
FAILED, UNANSWERED, DRAWN_UNANSWERED, REFUSED = 0.005, 0.001, 0.5, 0.002
TAIL = 1.6449  # standard deviations from the median to the 95th percentile
RETRY_AFTER = 20.0

Kind = Literal["loud", "silent", "throttling", "slow"]


@dataclass(frozen=True)
class Task:
    """At most eight pictures of one request, numbered through the day. at: seconds since midnight."""

    at: float
    tier: str
    width: int
    height: int
    steps: int
    pictures: tuple[int, ...]


@dataclass(frozen=True)
class Spell:
    kind: Kind
    start: float
    end: float


@dataclass(frozen=True)
class Fate:
    """What becomes of a call, seconds after it was sent. ends: as the provider has it; told: as the caller hears of it, None: never.
    billed: by the provider, whatever the caller hears."""

    kind: Literal["ok", "failed", "throttled", "unanswered"]
    ends: float
    told: float | None
    billed: bool


def batch_factor(count: int) -> float:
    """How many times as long as one picture a call for `count` takes."""
    return 1 + (count - 1) / 2


@dataclass
class Day:
    """seed: of everything. count: pictures of the day."""

    seed: int
    count: int
    providers: Sequence[Provider]
    catalogue: Catalogue
    medians: dict[str, float] = field(default_factory=dict)

    @cached_property
    def tasks(self) -> list[Task]:
        chance = random.Random(f"requests {self.seed}")
        weights = [BUSY if BUSY_HOURS[0] <= hour < BUSY_HOURS[1] else 1.0 for hour in range(24)]
        tiers = self.catalogue.family(FAMILY).tiers
        sizes: list[int] = []
        while sum(sizes) < self.count:
            kind = chance.choices(SIZES, [share for share, _, _ in SIZES])[0]
            sizes.append(min(chance.randint(*kind[1:]), self.count - sum(sizes)))
        # That many points of a Poisson process, given how many they are, are so many independent draws from its density.
        times = sorted(3600 * (chance.choices(range(24), weights)[0] + chance.random()) for _ in sizes)
        tasks, first = [], 0
        for at, size in zip(times, sizes, strict=True):
            name = chance.choices(list(TIERS), list(TIERS.values()))[0]
            tier = tiers[name]
            width, height = tier.sizes[chance.choices(list(SHAPES), list(SHAPES.values()))[0]]
            for start, end in pairwise([*range(0, size, TASK), size]):
                tasks.append(Task(at, name, width, height, tier.steps, tuple(range(first + start, first + end))))
            first += size
        return tasks

    @cached_property
    def refused(self) -> frozenset[int]:
        chance = random.Random(f"refused {self.seed}")
        return frozenset(number for number in range(self.count) if chance.random() < REFUSED)

    @cached_property
    def spells(self) -> dict[str, list[Spell]]:
        """Outages and brownouts of each provider; of two at a time the outage counts."""
        return {provider.name: self._spells(provider.name) for provider in self.providers}

    def _spells(self, name: str) -> list[Spell]:
        chance = random.Random(f"spells {self.seed} {name}")
        found = []
        for mean, (middle, sigma), kinds in ((OUTAGES, OUTAGE, ("loud", "silent", "throttling")), (BROWNOUTS, BROWNOUT, ("slow",))):
            at = chance.expovariate(mean / DAY)
            while at < DAY:
                kind: Kind = chance.choices(kinds, (1 / 2, 1 / 3, 1 / 6)[: len(kinds)])[0]  # type: ignore[assignment]
                found.append(Spell(kind, at, at + chance.lognormvariate(log(middle), sigma)))
                at += chance.expovariate(mean / DAY)
        return found

    def spell(self, provider: str, at: float) -> Spell | None:
        return next((spell for spell in self.spells[provider] if spell.start <= at < spell.end), None)

    def median(self, model: CloudModel) -> float:
        """The true one of a call for one picture, in good times."""
        key = f"{model.provider} {model.id}"
        if key not in self.medians:
            self.medians[key] = model.seconds[0] * random.Random(f"median {self.seed} {key}").lognormvariate(0, MEDIAN_OFF)
        return self.medians[key]

    def fate(self, model: CloudModel, picture: int, attempt: int, count: int, at: float, told: bool = False) -> Fate:
        """Of a call for `count` pictures, the first of which is `picture`, that is sent at `at`. The same call at another time meets the
        same luck. told: nothing but the spells of the day goes wrong, as for one who knew what would and asked again in time."""
        chance = random.Random(f"call {self.seed} {model.provider} {model.id} {picture} {attempt}")
        normal, straggles, fails, breaks, drawn, when = (chance.gauss(0, 1), *(chance.random() for _ in range(5)))
        seconds = self.median(model) * exp(normal * log(model.seconds[1] / model.seconds[0]) / TAIL) * batch_factor(count)
        seconds *= STRAGGLING if straggles < STRAGGLERS else 1.0
        spell = self.spell(model.provider, at)
        if spell is not None and spell.kind == "throttling":
            return Fate("throttled", 0.2, 0.2, False)
        if spell is not None and spell.kind == "loud":
            return Fate("failed", 0.5, 0.5, False)
        slow = spell is not None and spell.kind == "slow"
        seconds *= SLOWER if slow else 1.0
        if fails < (FAILING if slow else FAILED) and not told:
            return Fate("failed", seconds * when, seconds * when, False)
        for later in self.spells[model.provider]:
            if later.kind in ("loud", "silent") and at < later.end and later.start < at + seconds:
                if later.kind == "loud":
                    return Fate("failed", later.start - at, later.start - at, False)
                seconds += later.end - max(at, later.start)
        if breaks < UNANSWERED and not told:
            return Fate("unanswered", seconds, min(1.0, seconds / 2), drawn < DRAWN_UNANSWERED)
        return Fate("ok", seconds, seconds, True)
