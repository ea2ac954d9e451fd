"""The list of migrations, in the order in which they are applied: `schema/__init__.py` imports the rooms in that order."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlite_utils import Migrations

migrations = Migrations("contact-sheet")


def now() -> str:
    """This moment in UTC, ISO 8601 with milliseconds."""
    return days_ago(0)


def days_ago(days: float) -> str:
    """The moment so many days before this one, written as `now` does: the two can be compared as text."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
