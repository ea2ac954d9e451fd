"""Experiments: what was to be compared, which pictures were drawn in pairs for it, what was measured, and what people preferred."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def experiments(db: Database) -> None:
    db.execute(
        """CREATE TABLE experiments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        shared TEXT, -- as of jobs
        title TEXT NOT NULL, -- of the newest design
        state TEXT NOT NULL CHECK (state IN ('draft', 'running', 'paused', 'ended')),
        version INTEGER NOT NULL, -- the newest design; from the start on, the one that is compared
        finding TEXT, -- once it is known: a, b, none, same, or stopped (by a person, before anything was found)
        error TEXT, -- JSON: why it was paused by itself
        more INTEGER NOT NULL DEFAULT 0, -- pairs beyond those of the design, asked for later
        confirmed INTEGER NOT NULL DEFAULT 0, -- 1: prompts that safety asks about were confirmed
        secret TEXT NOT NULL, -- decides which picture of a pair a voter sees on the left
        created TEXT NOT NULL, started TEXT, ended TEXT, removed TEXT
        )"""
    )
    db.execute("CREATE INDEX experiments_open ON experiments(state) WHERE removed IS NULL AND state IN ('running', 'paused')")
    db.execute(
        """CREATE TABLE experiment_designs ( -- never changed, only added to
        experiment_id INTEGER NOT NULL REFERENCES experiments(id),
        version INTEGER NOT NULL CHECK (version >= 1),
        design TEXT NOT NULL, -- JSON of a pipelines Design
        person TEXT NOT NULL, note TEXT NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (experiment_id, version)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE experiment_pairs (
        experiment_id INTEGER NOT NULL REFERENCES experiments(id),
        number INTEGER NOT NULL, -- from 1: the order in which pairs count
        row INTEGER NOT NULL, -- of the design, from 0
        seed INTEGER NOT NULL,
        place INTEGER NOT NULL, -- the candidate's number in both jobs
        job_a INTEGER NOT NULL, job_b INTEGER, -- no references: what was measured outlives its pictures
        seen TEXT, -- JSON {"a", "b"}: what was measured; or {"why"}: the pair is left out. NULL until both pictures are judged
        PRIMARY KEY (experiment_id, number)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE experiment_votes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which pairs count where people decide
        experiment_id INTEGER NOT NULL, pair INTEGER NOT NULL,
        person TEXT NOT NULL,
        choice TEXT NOT NULL CHECK (choice IN ('a', 'b', 'tie', 'pass')), -- pass: they want to say nothing of it
        created TEXT NOT NULL, undone TEXT,
        FOREIGN KEY (experiment_id, pair) REFERENCES experiment_pairs(experiment_id, number)
        )"""
    )
    db.execute("CREATE UNIQUE INDEX experiment_votes_once ON experiment_votes(experiment_id, pair, person) WHERE undone IS NULL")
