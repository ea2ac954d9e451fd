"""What pictures cost, read from `cost_days` and from the ledger: by day and by what they were made for, and of single jobs and pictures.

Amounts are whole micro-dollars, rounded up. What this machine computes is priced by its rate, which an admin sets; without one it has none.
"""
from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from studio.store import ledger
from studio.store.db import Store
from studio.store.schema.costs import KEYS, PICTURES, SHARES

GROUPS = ("tier", "template", "feature", "provider", "person")
FIGURES = (*PICTURES, *SHARES)
HOUR = 3600


@dataclass(frozen=True)
class Rate:
    """What this machine costs from `day` on. hour_micro: for each hour that it computes. watts and tariff_micro (a kWh): what that was
    reckoned from. machine_micro and months: what the machine cost and how long it is to last; None where nobody said so."""

    day: str
    hour_micro: int
    watts: float | None = None
    tariff_micro: int | None = None
    machine_micro: int | None = None
    months: int | None = None

    def micro(self, seconds: float) -> int:
        """The price of so many seconds."""
        return _up(self.exact(seconds))

    def exact(self, seconds: float) -> float:
        """The same in fractions of a micro-dollar, to be added up before it is rounded."""
        return seconds * self.hour_micro / HOUR

    @property
    def monthly_micro(self) -> int:
        """What the machine loses in a month, computing or not; 0 where its price is not known."""
        return -(-self.machine_micro // self.months) if self.machine_micro and self.months else 0


class Rates:
    """Every rate that was set; the one of a day is the newest set by then, and the first also holds before it."""

    def __init__(self, store: Store) -> None:
        rows = store.db.execute("SELECT * FROM rates ORDER BY day, id").fetchall()
        names = ("day", "hour_micro", "watts", "tariff_micro", "machine_micro", "months")
        self.all = [Rate(**{name: row[name] for name in names}) for row in rows]

    @property
    def now(self) -> Rate | None:
        return self.all[-1] if self.all else None

    def on(self, day: str) -> Rate | None:
        if not self.all:
            return None
        return next((rate for rate in reversed(self.all) if rate.day <= day), self.all[0])

    def spans(self, first: str, last: str) -> list[tuple[str, str, Rate | None]]:
        """The days from first to last, both included, cut where the rate changes: (first, last, rate)."""
        days = sorted({first, *(rate.day for rate in self.all if first < rate.day <= last)})
        ends = [*(_day_before(day) for day in days[1:]), last]
        return [(day, end, self.on(day)) for day, end in zip(days, ends, strict=True)]


@dataclass
class Cost:
    """Figures of some pictures. drawn, kept: pictures; served: those that history gave again. seconds: of this machine. local: their price
    in micro-dollars, not rounded yet; None without a rate.

    charges: calls that were, or may have been, billed. micro: what providers were paid, or have reserved (held is that part of it).
    told, told_micro, told_expected: charges whose amount the provider named, what it named, and what the table of prices says.
    """

    drawn: int = 0
    served: int = 0
    kept: int = 0
    seconds: float = 0.0
    charges: int = 0
    micro: int = 0
    held: int = 0
    told: int = 0
    told_micro: int = 0
    told_expected: int = 0
    local: float | None = None

    @classmethod
    def of(cls, row: sqlite3.Row, rate: Rate | None) -> Cost:
        """The figures of a row, of days on which one rate held."""
        return cls(**{name: row[name] for name in FIGURES}, local=rate.exact(row["seconds"]) if rate else None)

    @property
    def local_micro(self) -> int | None:
        return None if self.local is None else _up(self.local)

    @property
    def all_micro(self) -> int:
        return self.micro + (self.local_micro or 0)

    @property
    def per_kept_micro(self) -> int | None:
        """Everything that was paid, also for what was rejected, over the pictures kept; None where none was."""
        return -(-self.all_micro // self.kept) if self.kept else None


def span(store: Store, person: str | None) -> tuple[str, str] | None:
    """The first and the last day of which anything is known; None where there is nothing."""
    where, values = _whose(person)
    first, last = store.db.execute(f"SELECT min(day), max(day) FROM cost_days WHERE {where}", values).fetchone()
    return (first, last) if first else None


def total(store: Store, first: str, last: str, person: str | None = None) -> Cost:
    return sum_of(by_day(store, first, last, person).values())


def by_day(store: Store, first: str, last: str, person: str | None = None) -> dict[str, Cost]:
    """The costs of each day that had any; first and last are included. person: whose, None for everybody's."""
    return {day: cost for (day,), cost in _grouped(store, ("day",), first, last, person).items()}


def groups(store: Store, by: str, first: str, last: str, person: str | None = None) -> dict[str, Cost]:
    """The costs of each group, by its key. by: one of GROUPS. Provider "" is this machine; tier and template "" are none."""
    assert by in GROUPS
    return {key: cost for (key,), cost in _grouped(store, (by,), first, last, person).items()}


def models(store: Store, first: str, last: str) -> dict[tuple[str, str], Cost]:
    """The costs of each (provider, model) of everybody's."""
    return {(key[0], key[1]): cost for key, cost in _grouped(store, ("provider", "model"), first, last, None).items()}


def drawn_here(store: Store, first: str, last: str) -> dict[tuple[str, str], tuple[int, float]]:
    """Pictures that this machine drew and the seconds they took, by (tier, card); without trainings and what history served."""
    rows = store.db.execute(
        "SELECT tier, model, sum(drawn - served) AS drawn, sum(seconds) AS seconds FROM cost_days"
        " WHERE provider = '' AND feature != 'training' AND day BETWEEN ? AND ? GROUP BY 1, 2 HAVING sum(drawn - served) > 0",
        [first, last],
    )
    return {(row["tier"], row["model"]): (row["drawn"], row["seconds"]) for row in rows}


def drawn_away(store: Store, first: str, last: str) -> dict[str, tuple[int, int]]:
    """Pictures that providers drew and what was paid for them, by tier; what is only reserved is not counted."""
    rows = store.db.execute(
        "SELECT tier, sum(drawn - served) AS drawn, sum(micro - held) AS micro FROM cost_days WHERE provider != '' AND day BETWEEN ? AND ?"
        " GROUP BY 1 HAVING sum(drawn - served) > 0",
        [first, last],
    )
    return {row["tier"]: (row["drawn"], row["micro"]) for row in rows}


def sum_of(costs: Iterable[Cost]) -> Cost:
    all_ = list(costs)
    locals_ = [cost.local for cost in all_ if cost.local is not None]
    return Cost(**{name: sum(getattr(cost, name) for cost in all_) for name in FIGURES}, local=sum(locals_) if locals_ else None)


def _grouped(store: Store, names: Sequence[str], first: str, last: str, person: str | None) -> dict[tuple[str, ...], Cost]:
    """Summed by SQLite for all days on which one rate held: a long history has many days and few rates."""
    assert set(names) <= set(KEYS)
    where, values = _whose(person)
    found: dict[tuple[str, ...], Cost] = {}
    for since, until, rate in Rates(store).spans(first, last):
        for row in store.db.execute(
            f"SELECT {', '.join(names)}, {', '.join(f'sum({name}) AS {name}' for name in FIGURES)} FROM cost_days"
            f" WHERE day BETWEEN ? AND ? AND {where} GROUP BY {', '.join(names)}",
            [since, until, *values],
        ):
            if any(row[name] for name in FIGURES):  # a row may have come to nothing
                key, cost = tuple(row[name] for name in names), Cost.of(row, rate)
                found[key] = sum_of([found[key], cost]) if key in found else cost
    return found


def _up(micro: float) -> int:
    """Rounded up to a whole micro-dollar, but not for what floating point adds."""
    return math.ceil(round(micro, 6))


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(1)).isoformat()


def _whose(person: str | None) -> tuple[str, list[str]]:
    return ("true", []) if person is None else ("person = ?", [person])


# Of single jobs and pictures.


@dataclass(frozen=True)
class JobCost:
    """cost_micro: what a job's calls were billed, or hold. expected_micro: by the table of prices."""

    cost_micro: int
    expected_micro: int
    held: bool


def of_job(store: Store, job: int) -> JobCost | None:
    """What providers take for a job; None where none was asked."""
    rows = [row for row in ledger.of_jobs(store.db, [job]) if row["state"] != "released"]
    if not rows:
        return None
    cost = sum(row["reserved"] if row["settled"] is None else row["settled"] for row in rows)
    return JobCost(cost, sum(row["expected"] for row in rows), any(row["settled"] is None for row in rows))


def of_pictures(store: Store, rows: Sequence[sqlite3.Row]) -> dict[int, int | None]:
    """By id what each of these rows of images cost: its share of the call that it came from, or of this machine's time by its rate.

    None where it is not known: not drawn yet, no rate is set, or its call is not settled.
    """
    away = {row["job_id"] for row in rows if row["place"]}
    shares = _shares(store, away) if away else {}
    rates = Rates(store)
    found: dict[int, int | None] = {}
    for row in rows:
        if row["state"] != "drawn" or not row["drawn"]:
            found[row["id"]] = None
        elif row["served_from"] is not None:
            found[row["id"]] = 0
        elif row["place"]:
            found[row["id"]] = shares.get((row["job_id"], row["number"], row["place"]))
        else:
            rate = rates.on(row["drawn"][:10])
            found[row["id"]] = None if rate is None or row["seconds"] is None else rate.micro(row["seconds"])
    return found


def _shares(store: Store, jobs: Iterable[int]) -> dict[tuple[int, int, str], int]:
    """(job, number, place) -> its share of the settled call that drew it: the whole over what that call delivered."""
    ids = list(jobs)
    drawn: dict[tuple[int, str], set[int]] = {}
    for image in store.db.execute(
        f"SELECT job_id, number, place FROM images WHERE job_id IN ({', '.join('?' * len(ids))}) AND state = 'drawn' AND place != ''", ids
    ):
        drawn.setdefault((image["job_id"], image["place"]), set()).add(image["number"])
    found = {}
    for charge in ledger.of_jobs(store.db, ids):
        place = f"{charge['provider']} {charge['model']}"
        delivered = drawn.get((charge["job_id"], place), set()) & set(json.loads(charge["numbers"]))
        if charge["state"] == "settled" and delivered:
            share = -(-charge["settled"] // len(delivered))
            found.update({(charge["job_id"], number, place): share for number in delivered})  # a later call's is the one that counts
    return found


def charges(
    store: Store, first: str, last: str, person: str | None = None, states: Sequence[str] = (), limit: int | None = None
) -> list[Any]:
    """Rows of the ledger by the day of their reservation, newest first. states: only these."""
    where, values = _whose(person)
    only = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
    return store.db.execute(
        f"SELECT * FROM charges WHERE day BETWEEN ? AND ? AND {where}{only} ORDER BY id DESC LIMIT ?",
        [first, last, *values, *states, -1 if limit is None else limit],
    ).fetchall()
