"""What pictures cost, for the Insights tab: by what they were for, over time, whether bills are as expected, and when a GPU pays."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from models.cloud.catalogue import CloudModel, Provider, load_providers, price_micro
from models.errors import StudioError
from models.money import DOLLAR, dollars
from studio.breakeven import Tier, break_even
from studio.period import Period
from studio.store import costs
from studio.store.costs import Cost, Rate, Rates
from studio.store.db import Store, now

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
BREAK_EVEN_DAYS = 30
DRIFT_DAYS = 30
DRIFT_PERCENT = 2  # off the table of prices, from which on bills are worth an alarm
LISTED_SIDE = 1024  # the size at which a price of the table stands for a tier
FEATURES = {
    "generate": "Requests", "batch": "Batches", "experiment": "Experiments", "evaluation": "LoRA evaluations",
    "training": "LoRA trainings", "test": "Tests of providers",
}  # fmt: skip
HERE = "This machine"


class Costing:
    """Reports over `store.costs`. Nothing here is written."""

    def __init__(self, studio: Studio) -> None:
        self._store, self._catalogue = studio.store, tuple(studio.catalogue.families.values())

    def panel(self, by: str, period: Period, person: str | None, title: Mapping[str, str], before: bool) -> Json:
        """The cost of a period: in all, over time and by one of `costs.GROUPS`. person: whose, None for everybody's. title: names of
        tiers and people. before: whether the period before it can be compared."""
        first, last = period.first.isoformat(), period.last.isoformat()
        days = costs.by_day(self._store, first, last, person)
        found = costs.groups(self._store, by, first, last, person)
        steps = period.steps()
        earlier = period.before()
        rate = Rates(self._store).now
        return {
            "by": by,
            "totals": cost_view(costs.sum_of(days.values())),
            "before": cost_view(costs.total(self._store, earlier.first.isoformat(), earlier.last.isoformat(), person)) if before else None,
            "steps": [step.first.isoformat() for step in steps],
            "step": period.step,
            "course": [cost_view(costs.sum_of(_of_step(days, step))) for step in steps],
            "groups": [
                {"key": key, "title": self.title(by, key, title)} | cost_view(cost)
                for key, cost in sorted(found.items(), key=lambda item: (-item[1].all_micro, -item[1].seconds, item[0]))
            ],
            "rate": rate_view(rate),
        }

    def title(self, by: str, key: str, title: Mapping[str, str]) -> str:
        """What people call a group of `costs.GROUPS`."""
        if by == "feature":
            return FEATURES.get(key, key)
        if by == "provider":
            return provider_title(key)
        if not key:
            return {"tier": "No tier (trainings)", "template": "No template"}.get(by, "None")
        return title.get(key, key)

    def drift(self, person: str | None = None) -> Json | None:
        """Whether what providers bill is what the table of prices says, over the last DRIFT_DAYS; None where none of them said.

        Providers that name no price are counted at the table's, and say nothing here.
        """
        first, last = _days(DRIFT_DAYS)
        rows: list[Json] = []
        for (provider, model), cost in sorted(costs.models(self._store, first, last).items()):
            if not cost.told:
                continue
            off = cost.told_micro - cost.told_expected
            alarm = 100 * abs(off) > DRIFT_PERCENT * max(cost.told_expected, 1)
            rows.append({"provider": provider, "model": model, "calls": cost.told, "expected_micro": cost.told_expected,
                         "billed_micro": cost.told_micro, "alarm": alarm})  # fmt: skip
        if not rows:
            return None
        alarms = [row for row in rows if row["alarm"]]
        told = sum(row["calls"] for row in rows)
        words = " ".join(map(_drift_words, alarms)) or f"Bills are as the table of prices says ({told} of the last {DRIFT_DAYS} days)."
        return {"alarm": bool(alarms), "words": words, "rows": rows}

    def break_even(self) -> Json:
        """From everybody's pictures of the last BREAK_EVEN_DAYS."""
        first, last = _days(BREAK_EVEN_DAYS)
        whole = costs.total(self._store, first, last)
        return break_even(self._tiers(first, last), whole.drawn - whole.served, whole.kept, Rates(self._store).now)

    def _tiers(self, first: str, last: str) -> list[Tier]:
        """What each tier took here and was paid for elsewhere; where nothing was paid, the table's cheapest price."""
        here: dict[str, tuple[int, float]] = {}
        cards: dict[str, set[str]] = {}
        for (tier, card), (drawn, seconds) in costs.drawn_here(self._store, first, last).items():
            n, took = here.get(tier, (0, 0.0))
            here[tier] = (n + drawn, took + seconds)
            cards.setdefault(tier, set()).add(card)
        away = costs.drawn_away(self._store, first, last)
        titles = {tier.name: tier.title for family in self._catalogue for tier in family.tiers.values()}
        found = []
        for name in dict.fromkeys([*(tier for tier in titles if tier in here or tier in away), *here, *away]):
            n, seconds = here.get(name, (0, 0.0))
            pictures, micro = away.get(name, (0, 0))
            paid = pictures > 0 and micro > 0
            price = math.ceil(micro / pictures) if paid else self._listed(name, self._families(cards.get(name, set())))
            each = seconds / n if n and seconds else None
            found.append(Tier(name, titles.get(name, name), n + pictures, each, price, paid))
        return found

    def _families(self, cards: Iterable[str]) -> set[str]:
        wanted = set(cards)
        return {family.name for family in self._catalogue if wanted & {tier.card for tier in family.tiers.values()}}

    def _listed(self, tier: str, families: set[str]) -> int | None:
        """The cheapest picture of a tier by the table: by models that serve these families, else any family."""
        priced: dict[bool, list[int]] = {True: [], False: []}
        for model in (model for provider in providers().values() if provider.base_url for model in provider.models.values()):
            for family, tiers in model.serves.items():
                if tier in tiers and not model.capabilities.needs_picture:
                    priced[family in families].append(listed_micro(model))
        return min(priced[True] or priced[False], default=None)


def cost_view(cost: Cost) -> Json:
    """Figures as JSON; cloud_micro holds what is only reserved too."""
    return {
        "drawn": cost.drawn, "kept": cost.kept, "seconds": round(cost.seconds, 3), "charges": cost.charges,
        "cloud_micro": cost.micro, "held_micro": cost.held, "local_micro": cost.local_micro, "all_micro": cost.all_micro,
        "per_kept_micro": cost.per_kept_micro,
    }  # fmt: skip


def rate_view(rate: Rate | None) -> Json | None:
    if rate is None:
        return None
    return {
        "day": rate.day, "hour_micro": rate.hour_micro, "watts": rate.watts, "tariff_micro": rate.tariff_micro,
        "machine_micro": rate.machine_micro, "months": rate.months, "monthly_micro": rate.monthly_micro, "words": rate_words(rate),
    }  # fmt: skip


def rate_words(rate: Rate) -> str:
    """ "$0.105 an hour (350 W at $0.30 a kWh)"."""
    power = "" if rate.watts is None or rate.tariff_micro is None else f" ({rate.watts:g} W at {dollars(rate.tariff_micro)} a kWh)"
    return f"{dollars(rate.hour_micro)} an hour{power}"


def provider_title(name: str) -> str:
    """What people call a provider; "" is this machine."""
    return HERE if not name else providers()[name].title if name in providers() else name


def listed_micro(model: CloudModel) -> int:
    """The table's price of a picture in its usual size and steps."""
    return price_micro(model, LISTED_SIDE, LISTED_SIDE, None, 1)


@cache
def providers() -> Mapping[str, Provider]:
    """What ships does not change while the studio runs."""
    try:
        return load_providers()
    except StudioError:  # a file that somebody spoiled costs names and prices, not the report
        return {}


def _drift_words(row: Json) -> str:
    billed, expected = row["billed_micro"], row["expected_micro"]
    more = "more" if billed > expected else "less"
    share = f"{100 * abs(billed - expected) / expected:.0f} % {more}" if expected else "instead of nothing"
    calls = f"{row['calls']} call{'' if row['calls'] == 1 else 's'}"
    return (
        f"{provider_title(row['provider'])} billed {dollars(billed)} for {calls} of {row['model']}, which the table of prices puts at"
        f" {dollars(expected)}: {share}. The table is out of date."
    )


def _of_step(days: Mapping[str, Cost], step: Period) -> list[Cost]:
    wanted = ((step.first + timedelta(day)).isoformat() for day in range(step.days))
    return [days[day] for day in wanted if day in days]


def _days(count: int) -> tuple[str, str]:
    """The last so many days, today included (UTC)."""
    today = date.fromisoformat(now()[:10])
    return (today - timedelta(count - 1)).isoformat(), today.isoformat()


def plain_dollars(micro: int | None) -> str:
    """ "0.003000": every micro-dollar, as a spreadsheet reads a number; "" for None."""
    return "" if micro is None else f"{'-' if micro < 0 else ''}{abs(micro) // DOLLAR}.{abs(micro) % DOLLAR:06d}"


def persons_titles(store: Store) -> dict[str, str]:
    return {row["name"]: row["title"] or row["name"] for row in store.db.execute("SELECT name, title FROM persons")}
