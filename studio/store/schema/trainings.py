"""Trainings of LoRAs: what was asked for, where each stands, and how long it had the device. All else lies in its folder."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def trainings(db: Database) -> None:
    db.execute(
        """CREATE TABLE trainings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        lora TEXT NOT NULL REFERENCES loras(name), parent INTEGER, -- the version that was current when it was asked for
        dataset_id INTEGER NOT NULL REFERENCES datasets(id), dataset TEXT NOT NULL, -- JSON: what a version keeps of it
        card TEXT NOT NULL,
        steps INTEGER NOT NULL,
        gives_way TEXT NOT NULL CHECK (gives_way IN ('previews', 'jobs', 'never')),
        automatic INTEGER NOT NULL DEFAULT 0, -- 1: the studio began it by itself, because the dataset had changed
        note TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'starting', 'running', 'stopped', 'done', 'failed', 'cancelled')),
        asked TEXT NOT NULL DEFAULT '' CHECK (asked IN ('', 'stop', 'keep', 'cancel')), -- of one that has the device
        freed TEXT, -- the worker that has let go of the device for it
        attempts INTEGER NOT NULL DEFAULT 0, -- sudden ends in a row, without a step in between
        progress TEXT NOT NULL DEFAULT '{}', -- JSON: what it last told of its steps
        failure TEXT, -- JSON: cause, what, why, todo, field
        number INTEGER, -- the version that it became
        created TEXT NOT NULL, started TEXT, finished TEXT,
        removed TEXT -- when its folder was deleted
        )"""
    )
    db.execute("CREATE INDEX trainings_open ON trainings(state, id) WHERE state IN ('queued', 'starting', 'running')")
    db.execute("CREATE INDEX trainings_lora ON trainings(lora, id)")
    # At most one has the device.
    db.execute("CREATE UNIQUE INDEX trainings_device ON trainings((1)) WHERE state IN ('starting', 'running')")
    db.execute(
        """CREATE TABLE training_stretches ( -- the device's time, a row each time a training had it
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        training_id INTEGER NOT NULL REFERENCES trainings(id),
        started TEXT NOT NULL, seconds REAL NOT NULL, -- as of the last look at it
        ended TEXT NOT NULL DEFAULT '' -- how: done, failed, gave way, stopped, cancelled, killed; '': it is going on
        )"""
    )
    db.execute("CREATE INDEX training_stretches_of ON training_stretches(training_id)")
    db.execute("CREATE INDEX training_stretches_started ON training_stretches(started)")


@migrations()
def retrainings(db: Database) -> None:
    db.execute(
        """CREATE TABLE retrainings ( -- LoRAs that are trained again by themselves when their dataset has changed
        lora TEXT PRIMARY KEY REFERENCES loras(name), person TEXT NOT NULL REFERENCES persons(name), created TEXT NOT NULL
        ) WITHOUT ROWID"""
    )
