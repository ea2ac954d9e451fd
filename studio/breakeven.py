"""When a GPU of one's own pays: at how many kept pictures a month it costs no more than providers would, from figures of this studio.

A month on one's own machine costs what the machine loses by age (its price over the months that it is to last, for as many machines as the
volume needs) and each picture's seconds at the hourly rate. A month with providers costs each picture's price. Both draw as many pictures
for each that is kept as this studio did.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.money import dollars
from studio.store.costs import Rate

Json = dict[str, Any]
VOLUMES = (100, 1_000, 5_000, 10_000, 50_000, 100_000)  # kept pictures a month
MONTH_SECONDS = 30 * 86_400
FEWEST = 20  # pictures drawn here, or kept, below which a figure says little


@dataclass(frozen=True)
class Tier:
    """What the last days tell of a tier. drawn: pictures, wherever. seconds: of this machine a picture, None where it drew none of them.
    micro: a picture at a provider, None where none draws this tier. paid: whether that was paid, else it is the table's."""

    name: str
    title: str
    drawn: int
    seconds: float | None
    micro: int | None
    paid: bool


@dataclass(frozen=True)
class Mix:
    """A kept picture as this studio makes it: pictures drawn for it, and for each of those seconds here and micro-dollars there."""

    drawn_per_kept: float
    seconds: float
    micro: float

    @staticmethod
    def of(tiers: Sequence[Tier], drawn: int, kept: int) -> Mix | None:
        """Of those tiers that can be compared, as often as they were drawn; None where there is none, or nothing was kept."""
        both = [(one.drawn, one.seconds, one.micro) for one in tiers if one.drawn and one.seconds is not None and one.micro is not None]
        weight = sum(n for n, _, _ in both)
        if not weight or not kept:
            return None
        return Mix(drawn / kept, sum(n * seconds for n, seconds, _ in both) / weight, sum(n * micro for n, _, micro in both) / weight)

    def here_micro(self, rate: Rate) -> float:
        """What a kept picture costs on this machine while it draws."""
        return self.drawn_per_kept * self.seconds * rate.hour_micro / 3600

    @property
    def there_micro(self) -> float:
        return self.drawn_per_kept * self.micro

    @property
    def capacity(self) -> int:
        """Kept pictures that one machine makes in a month if it never rests."""
        return math.floor(MONTH_SECONDS / (self.drawn_per_kept * self.seconds)) if self.seconds else 2**53


def month(mix: Mix, rate: Rate, kept: int) -> Json:
    """What so many kept pictures cost in a month, here and at providers."""
    machines = max(1, math.ceil(kept / mix.capacity)) if mix.capacity else 1
    here = machines * rate.monthly_micro + math.ceil(kept * mix.here_micro(rate))
    there = math.ceil(kept * mix.there_micro)
    hours = kept * mix.drawn_per_kept * mix.seconds / 3600
    return {"kept": kept, "machines": machines, "hours": round(hours, 3), "here_micro": here, "there_micro": there, "own": False,
            "cheaper": "here" if here < there else "there" if there < here else "same"}  # fmt: skip


def pays_from(mix: Mix, rate: Rate) -> int | None:
    """The fewest kept pictures a month at which one machine costs no more than providers; None where none is enough."""
    saved = mix.there_micro - mix.here_micro(rate)
    if saved <= 0:
        return None
    volume = max(1, math.ceil(rate.monthly_micro / saved))
    return volume if volume <= mix.capacity else None


def break_even(tiers: Sequence[Tier], drawn: int, kept: int, rate: Rate | None) -> Json:
    """The answer as a table and in words. drawn, kept: pictures of these days, wherever they were made."""
    view: Json = {"known": False, "words": "", "kept": kept, "drawn": drawn, "pays_from": None, "months": []}
    view["tiers"] = [_tier_view(tier, rate) for tier in tiers]
    if rate is None:
        return view | {"words": "What this machine costs was never said: an admin sets its price an hour, or its power and the tariff."}
    mix = Mix.of(tiers, drawn, kept)
    if mix is None:
        missing = "kept" if drawn else "drawn"
        return view | {"words": f"Nothing was {missing} in the last 30 days that both this machine and a provider can draw."}
    found = pays_from(mix, rate)
    volumes = sorted({*VOLUMES, kept, *([found] if found else [])})
    return view | {
        "known": True,
        "words": _words(mix, rate, found),
        "pays_from": found,
        "drawn_per_kept": round(mix.drawn_per_kept, 2),
        "here_micro": math.ceil(mix.here_micro(rate)),
        "there_micro": math.ceil(mix.there_micro),
        "monthly_micro": rate.monthly_micro,
        "capacity": mix.capacity,
        "few": kept < FEWEST,
        "months": [month(mix, rate, volume) | {"own": volume == kept, "pays": volume == found} for volume in volumes if volume],
    }


def _tier_view(tier: Tier, rate: Rate | None) -> Json:
    return {
        "name": tier.name, "title": tier.title, "drawn": tier.drawn, "there_micro": tier.micro, "paid": tier.paid,
        "seconds": None if tier.seconds is None else round(tier.seconds, 3),
        "here_micro": None if tier.seconds is None or rate is None else rate.micro(tier.seconds),
    }  # fmt: skip


def _words(mix: Mix, rate: Rate, found: int | None) -> str:
    here, there = math.ceil(mix.here_micro(rate)), math.ceil(mix.there_micro)
    each = f"A kept picture costs {dollars(here)} of this machine's time and {dollars(there)} at providers"
    if there <= here:
        return f"{each}: at these prices a machine of one's own never pays."
    if not rate.monthly_micro:
        return f"{each}. What the machine itself cost was not said, so that each picture drawn here seems to save money."
    if found is None:
        return f"{each}; the machine loses {dollars(rate.monthly_micro)} a month, which it cannot earn back with all it can draw."
    return f"{each}; the machine loses {dollars(rate.monthly_micro)} a month. It pays from {found:,} kept pictures a month on."
