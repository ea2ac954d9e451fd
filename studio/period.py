"""A stretch of days, cut into as many steps as a plot can show."""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from models.errors import BadInput
from pipelines.fields import shown

Step = Literal["day", "week", "month"]
RANGES = {"7": 7, "30": 30, "90": 90, "365": 365}  # days back from today, today included; "all" is everything there is
DEFAULT = "30"
DAYS, WEEKS = 45, 400  # up to so many days are shown by day, by week; beyond by month
LONGEST = 366 * 30


@dataclass(frozen=True)
class Period:
    """first and last day, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def step(self) -> Step:
        return "day" if self.days <= DAYS else "week" if self.days <= WEEKS else "month"

    def before(self) -> Period:
        """As many days, right before these."""
        return Period(self.first - timedelta(self.days), self.first - timedelta(1))

    def steps(self) -> list[Period]:
        """Days, weeks from Monday on, or months; the first and the last as far as they are inside."""
        return list(self._steps())

    def _steps(self) -> Iterator[Period]:
        start = self.first
        while start <= self.last:
            if self.step == "day":
                end = start
            elif self.step == "week":
                end = start + timedelta(6 - start.weekday())
            else:
                end = (start.replace(day=1) + timedelta(31)).replace(day=1) - timedelta(1)
            yield Period(start, min(end, self.last))
            start = end + timedelta(1)


def read_period(given: dict[str, str], today: date, known: tuple[str, str] | None) -> Period:
    """The period that `range`, or `since` and `until`, ask for; they are taken out of `given`. known: the first and last day there is
    anything of. Raises BadInput."""
    name, since, until = given.pop("range", ""), given.pop("since", ""), given.pop("until", "")
    if name and (since or until):
        raise BadInput("range", "range goes without since and until.")
    if since or until:
        last = _day(until, "until") if until else today
        first = _day(since, "since") if since else date.fromisoformat(known[0]) if known else last
        if first > last:
            raise BadInput("since", "since is after until.", f"{first} is after {last}.")
        if (last - first).days >= LONGEST:
            raise BadInput("since", "This is longer than thirty years.", todo="Choose a later day.")
        return Period(first, last)
    if name == "all":
        first = date.fromisoformat(known[0]) if known else today
        return Period(min(first, today), max(date.fromisoformat(known[1]) if known else today, today))
    if (name or DEFAULT) not in RANGES:
        raise BadInput("range", f"range cannot be {shown(name)}.", f"It is one of {', '.join([*RANGES, 'all'])}.")
    return Period(today - timedelta(RANGES[name or DEFAULT] - 1), today)


def _day(value: str, field: str) -> date:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise ValueError(value)
        day = date.fromisoformat(value)
    except ValueError as error:
        raise BadInput(field, f"{field} cannot be {shown(value)}.", todo='Write it like "2026-11-21".') from error
    if not 1970 <= day.year <= 2200:
        raise BadInput(field, f"{field} cannot be {shown(value)}.", "It is from 1970 to 2200.")
    return day
