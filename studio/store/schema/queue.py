"""The queue: whose turn it is, in which order, what is paused and what waits for its time."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def queue(db: Database) -> None:
    # The order among the open jobs of one person and priority, lowest first. NULL is the job's own id: as it came.
    db.execute("ALTER TABLE jobs ADD COLUMN place INTEGER")
    db.execute("ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))")
    db.execute("ALTER TABLE jobs ADD COLUMN not_before TEXT")  # UTC, as `now` writes it, so that text compares as time does
    db.execute("CREATE INDEX jobs_open ON jobs(person, priority, place) WHERE state IN ('queued', 'running')")
    db.execute("CREATE INDEX tasks_to_judge ON tasks(job_id, position) WHERE state = 'waiting' AND kind = 'judge'")
    # No reference to persons: one who is removed leaves a turn that nobody takes, and comes back to it.
    db.execute("CREATE TABLE turns (person TEXT PRIMARY KEY, served INTEGER NOT NULL)")
    db.execute("CREATE INDEX turns_served ON turns(served)")


@migrations()
def loading(db: Database) -> None:
    db.execute(
        """CREATE TABLE loadings ( -- seconds until a card that was not loaded reports its first step, beyond the step itself
        device TEXT NOT NULL, card TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (device, card)
        )"""
    )
