"""Post-processing: what is done to a picture after it was drawn, and where the processed file lies."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def post(db: Database) -> None:
    db.execute("ALTER TABLE jobs ADD COLUMN post TEXT")  # JSON, of the job's template; NULL: none
    db.execute("ALTER TABLE images ADD COLUMN post TEXT")  # a person's: JSON, 'null' for none; NULL: as the job says
    db.execute("ALTER TABLE images ADD COLUMN post_path TEXT")  # below the data folder; NULL until somebody asks for the file
