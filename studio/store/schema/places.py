"""Where what people ask for may be drawn."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def projects_that_stay(db: Database) -> None:
    # Nothing that is shared with such a project, and no request that uses it, leaves the machine.
    db.execute("ALTER TABLE projects ADD COLUMN local_only INTEGER NOT NULL DEFAULT 0")
