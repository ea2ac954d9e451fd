"""X/Y/Z grids and the jobs that draw their cells; seeds that people keep; and an index that tells quickly what pictures failed."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def grids(db: Database) -> None:
    db.execute(
        """CREATE TABLE grids (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        title TEXT NOT NULL,
        grid TEXT NOT NULL, -- JSON of a pipelines Grid
        placing TEXT NOT NULL, -- JSON: priority, start_at, safety: what its jobs are queued with
        refused TEXT NOT NULL DEFAULT '{}', -- JSON: by number, why a cell cannot be drawn
        created TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX grids_of ON grids(person, id)")
    db.execute(
        """CREATE TABLE grid_jobs ( -- of two jobs that were to draw a cell the newer one counts
        grid_id INTEGER NOT NULL REFERENCES grids(id) ON DELETE CASCADE,
        job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        cells TEXT NOT NULL, -- JSON: for each candidate of the job, the numbers of the cells that show it
        PRIMARY KEY (grid_id, job_id)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX grid_jobs_of ON grid_jobs(job_id)")


@migrations()
def seed_library(db: Database) -> None:
    db.execute(
        """CREATE TABLE seeds (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        seed INTEGER NOT NULL,
        template TEXT NOT NULL DEFAULT '', -- '' for one that goes with any
        title TEXT NOT NULL DEFAULT '',
        card TEXT NOT NULL, tier TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, -- where it gives this picture
        prompt TEXT NOT NULL,
        image_id INTEGER REFERENCES images(id) ON DELETE SET NULL,
        picture BLOB NOT NULL, -- WebP: stays when the picture is deleted
        created TEXT NOT NULL,
        UNIQUE (person, template, seed, card, width, height)
        )"""
    )


@migrations()
def failing_scores(db: Database) -> None:
    db.execute("CREATE INDEX scores_failing ON scores(dimension, image_id) WHERE hard IS 1 AND passed IS 0")
