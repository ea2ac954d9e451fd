"""Sets of pictures that LoRAs are trained on: the pictures with their captions, and the versions that trainings took."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def datasets(db: Database) -> None:
    db.execute(
        """CREATE TABLE datasets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name), shared TEXT,
        title TEXT NOT NULL, kind TEXT NOT NULL, "trigger" TEXT NOT NULL DEFAULT '',
        card TEXT NOT NULL, -- the model it is for: its words, its sizes
        resolution INTEGER NOT NULL, fit TEXT NOT NULL DEFAULT 'bucket' CHECK (fit IN ('bucket', 'square')),
        created TEXT NOT NULL, changed TEXT NOT NULL, removed TEXT
        )"""
    )
    db.execute("CREATE INDEX datasets_person ON datasets(person, id)")
    db.execute(
        """CREATE TABLE dataset_images (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES datasets(id),
        name TEXT NOT NULL, -- of the file that was brought
        sha256 TEXT NOT NULL, suffix TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
        caption TEXT NOT NULL DEFAULT '', source TEXT NOT NULL DEFAULT '' CHECK (source IN ('', 'typed', 'sidecar', 'proposed', 'prompt')),
        crop TEXT, -- JSON [left, top, right, bottom], a person's; NULL: as the size asks
        looks TEXT NOT NULL, -- JSON of pipelines Looks
        notes TEXT NOT NULL DEFAULT '[]', -- JSON: what was done to the file when it came
        asked TEXT, -- when somebody asked for a proposed caption; NULL: nobody waits
        told TEXT NOT NULL DEFAULT '', -- why none could be proposed
        created TEXT NOT NULL, removed TEXT
        )"""
    )
    db.execute("CREATE INDEX dataset_images_dataset ON dataset_images(dataset_id, id)")
    db.execute("CREATE INDEX dataset_images_asked ON dataset_images(asked, id) WHERE asked IS NOT NULL")
    db.execute("CREATE INDEX dataset_images_sha256 ON dataset_images(sha256)")
    db.execute(
        """CREATE TABLE dataset_versions ( -- never changed: what a training took
        dataset_id INTEGER NOT NULL REFERENCES datasets(id), number INTEGER NOT NULL CHECK (number >= 1),
        hash TEXT NOT NULL, body TEXT NOT NULL, -- JSON: trigger, kind, fit, images
        person TEXT NOT NULL REFERENCES persons(name), note TEXT NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (dataset_id, number), UNIQUE (dataset_id, hash)
        ) WITHOUT ROWID"""
    )
