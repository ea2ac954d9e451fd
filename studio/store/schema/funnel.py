"""The funnel: drafts and finals, rounds, and what became of a request."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def funnel(db: Database) -> None:
    # A draft is the first sketch of a ladder; its final has it as its parent. What was drawn before this is final.
    db.execute("ALTER TABLE images ADD COLUMN stage TEXT NOT NULL DEFAULT 'final' CHECK (stage IN ('draft', 'final'))")
    db.execute("ALTER TABLE images ADD COLUMN round INTEGER NOT NULL DEFAULT 0")  # 0, and one more with every retry
    db.execute("ALTER TABLE jobs ADD COLUMN ladder INTEGER NOT NULL DEFAULT 0 CHECK (ladder IN (0, 1))")
    db.execute("ALTER TABLE jobs ADD COLUMN round INTEGER NOT NULL DEFAULT 0")  # the one under way
    db.execute("ALTER TABLE jobs ADD COLUMN rounds INTEGER NOT NULL DEFAULT 1")  # that there may be
    db.execute("ALTER TABLE jobs ADD COLUMN outcome TEXT")  # JSON: passed, asked, rounds, why, text; NULL until it is decided
    db.execute("ALTER TABLE tasks ADD COLUMN card TEXT")  # who draws the batch; NULL: the job's card
    db.execute("ALTER TABLE jobs ADD COLUMN plan TEXT")  # JSON of a pipelines Plan
    db.execute(
        "CREATE TABLE fingerprints (image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE, text TEXT NOT NULL)"
        # what tells a picture that passed from its near-duplicates
    )
