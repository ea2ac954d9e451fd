"""What people said of pictures, and who is looking at which."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def review(db: Database) -> None:
    db.execute(
        """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        person TEXT NOT NULL, -- who said it
        seat TEXT NOT NULL DEFAULT '', -- in which window, so that each takes back its own
        approved INTEGER NOT NULL CHECK (approved IN (0, 1)),
        reasons TEXT NOT NULL DEFAULT '[]', -- JSON: the dimensions that it was rejected for
        blind INTEGER NOT NULL CHECK (blind IN (0, 1)), -- scores and verdict were not shown before
        source TEXT NOT NULL CHECK (source IN ('review', 'sheet')),
        why TEXT NOT NULL, -- how it came to be judged: 'undecided', 'borderline', 'sample', or 'chosen' by the person
        chance REAL NOT NULL DEFAULT 1 CHECK (chance > 0 AND chance <= 1), -- with which a picture like it comes to be judged
        machine TEXT, -- the studio's verdict at that time
        settled INTEGER NOT NULL DEFAULT 0, -- 1: it decided about the picture
        created TEXT NOT NULL,
        undone TEXT -- when it was taken back
        )"""
    )
    # One reviewer's word a picture, whoever comes second.
    db.execute("CREATE UNIQUE INDEX verdicts_one ON verdicts(image_id, source) WHERE undone IS NULL")
    db.execute("CREATE INDEX verdicts_of ON verdicts(image_id)")
    db.execute("CREATE INDEX verdicts_by ON verdicts(seat, id) WHERE undone IS NULL AND source = 'review'")
    db.execute("CREATE INDEX verdicts_when ON verdicts(created)")
    db.execute(
        """CREATE TABLE claims ( -- pictures that somebody is looking at
        image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,
        person TEXT NOT NULL, seat TEXT NOT NULL,
        until REAL NOT NULL, -- unix seconds
        place INTEGER NOT NULL, -- in the order in which the seat got them
        why TEXT NOT NULL, chance REAL NOT NULL, -- as they go into the verdict
        shown INTEGER NOT NULL DEFAULT 0, -- 1: they have seen the scores
        passed_on INTEGER NOT NULL DEFAULT 0 -- 1: they want nobody to be held up by it, and not to see it again for now
        )"""
    )
    # Narrow and without what is settled: what waits for a person is found without reading the pictures.
    db.execute(
        "CREATE INDEX images_to_review ON images(verdict, id, job_id, stage, person, shared)"
        " WHERE state = 'drawn' AND kept_by_person IS NULL AND trashed IS NULL"
    )
