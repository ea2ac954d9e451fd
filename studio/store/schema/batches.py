"""Batches: catalogues that people brought, batches with every version of their setup, their rows, and each row's tries."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def batches(db: Database) -> None:
    db.execute(
        """CREATE TABLE catalogues (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        name TEXT NOT NULL, created TEXT NOT NULL,
        body TEXT NOT NULL, -- JSON: kind, unit, columns, rows, problems, notes
        pictures TEXT NOT NULL DEFAULT '{}' -- JSON: by file name in lower case, what was uploaded
        )"""
    )
    db.execute(
        """CREATE TABLE batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        kind TEXT NOT NULL CHECK (kind IN ('catalogue', 'variants')),
        title TEXT NOT NULL, created TEXT NOT NULL,
        paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
        why TEXT NOT NULL DEFAULT '', -- why the studio paused it; '' where a person did
        removed TEXT, -- when it was put away
        unit TEXT NOT NULL DEFAULT 'line', -- what the rows' lines count
        source TEXT NOT NULL DEFAULT '', -- the file's name
        columns TEXT NOT NULL, -- JSON: the catalogue's, in order
        pictures TEXT NOT NULL DEFAULT '{}',
        brief TEXT, -- JSON, of 'variants': the axes and what was asked
        parent INTEGER REFERENCES batches(id) -- the one around whose winners it was made
        )"""
    )
    db.execute("CREATE INDEX batches_person ON batches(person, id)")
    db.execute(
        """CREATE TABLE batch_versions ( -- of the setup; the newest holds for the rows that are not queued yet
        batch_id INTEGER NOT NULL REFERENCES batches(id), version INTEGER NOT NULL CHECK (version >= 1),
        setup TEXT NOT NULL, -- JSON of a pipelines Setup
        person TEXT NOT NULL REFERENCES persons(name), note TEXT NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (batch_id, version)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE batch_rows ( -- a row of the catalogue with one template
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        batch_id INTEGER NOT NULL REFERENCES batches(id),
        number INTEGER NOT NULL, -- 1 .. of the batch
        line INTEGER NOT NULL, -- in the catalogue
        place INTEGER NOT NULL, -- of the template among those of the setup
        cells TEXT NOT NULL, -- JSON
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'open', 'done', 'short', 'failed', 'stopped')),
        attempt INTEGER NOT NULL DEFAULT 1,
        winner INTEGER CHECK (winner IN (0, 1)),
        results TEXT, -- JSON: what an advertisement brought
        UNIQUE (batch_id, number)
        )"""
    )
    db.execute("CREATE INDEX batch_rows_state ON batch_rows(batch_id, state, number)")
    db.execute("CREATE INDEX batch_rows_open ON batch_rows(id) WHERE state = 'open'")
    db.execute(
        """CREATE TABLE batch_tries ( -- one a row and attempt, written in the transaction that queues its job: nothing is queued twice
        row_id INTEGER NOT NULL REFERENCES batch_rows(id), attempt INTEGER NOT NULL CHECK (attempt >= 1),
        job_id INTEGER UNIQUE REFERENCES jobs(id) ON DELETE SET NULL, -- NULL: refused before it was queued, or deleted since
        version INTEGER NOT NULL, -- of the setup
        error TEXT, -- JSON: what, why, todo
        started TEXT NOT NULL, ended TEXT, delivered INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (row_id, attempt)
        ) WITHOUT ROWID"""
    )
