"""The list of migrations, in the order in which they are applied: `schema/__init__.py` imports the rooms in that order."""
from __future__ import annotations

from datetime import UTC, datetime

from sqlite_utils import Migrations

migrations = Migrations("contact-sheet")


def now() -> str:
    """This moment in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
