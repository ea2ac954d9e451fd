"""People, jobs and their tasks, pictures and their scores, timings: what the way through needs."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations, now


@migrations()
def people_and_settings(db: Database) -> None:
    db.execute("CREATE TABLE persons (name TEXT PRIMARY KEY, title TEXT NOT NULL, created TEXT NOT NULL)")
    db.execute("CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute(
        "CREATE TABLE licences (id INTEGER PRIMARY KEY, person TEXT NOT NULL REFERENCES persons(name), card TEXT NOT NULL,"
        " licence TEXT NOT NULL, accepted TEXT NOT NULL, UNIQUE(person, card, licence))"
    )
    db.execute("INSERT INTO persons VALUES ('local', 'This computer', ?)", [now()])


@migrations()
def jobs_and_tasks(db: Database) -> None:
    db.execute(
        """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        request TEXT NOT NULL, -- JSON: all that is needed to make the job again
        prompt TEXT NOT NULL, family TEXT NOT NULL, tier TEXT NOT NULL, card TEXT NOT NULL,
        draft INTEGER NOT NULL, keep INTEGER NOT NULL, steps INTEGER NOT NULL, guidance REAL NOT NULL,
        profile TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL, started TEXT, finished TEXT,
        error TEXT, -- JSON: what, why, todo
        parent INTEGER REFERENCES images(id)
        )"""
    )
    db.execute("CREATE INDEX jobs_state ON jobs(state, priority, id)")
    db.execute(
        """CREATE TABLE tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL REFERENCES jobs(id),
        kind TEXT NOT NULL CHECK (kind IN ('draft', 'judge')),
        position INTEGER NOT NULL,
        payload TEXT NOT NULL, -- JSON: a pipelines Draft, or the numbers to judge
        state TEXT NOT NULL CHECK (state IN ('waiting', 'leased', 'done', 'failed', 'cancelled')),
        attempts INTEGER NOT NULL DEFAULT 0, -- leases that ended without a picture
        worker TEXT, lease_until REAL, -- unix seconds
        UNIQUE(job_id, kind, position)
        )"""
    )
    db.execute("CREATE INDEX tasks_open ON tasks(state, job_id) WHERE state IN ('waiting', 'leased')")


@migrations()
def images_and_scores(db: Database) -> None:
    db.execute(
        """CREATE TABLE images ( -- a row a candidate, made with its job
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL REFERENCES jobs(id),
        number INTEGER NOT NULL, -- 1 .. draft
        person TEXT NOT NULL REFERENCES persons(name),
        state TEXT NOT NULL CHECK (state IN ('waiting', 'drawing', 'drawn', 'failed')),
        seed INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        tier TEXT NOT NULL, card TEXT NOT NULL, prompt TEXT NOT NULL, steps INTEGER NOT NULL, guidance REAL NOT NULL,
        parent INTEGER REFERENCES images(id),
        path TEXT, -- below the data folder, with forward slashes
        seconds REAL, details TEXT, drawn TEXT,
        verdict TEXT CHECK (verdict IN ('kept', 'spare', 'rejected', 'review')), reasons TEXT, rank INTEGER,
        kept_by_person INTEGER CHECK (kept_by_person IN (0, 1)),
        UNIQUE(job_id, number)
        )"""
    )
    db.execute("CREATE INDEX images_history ON images(person, id) WHERE state = 'drawn'")
    db.execute("CREATE INDEX images_parent ON images(parent) WHERE parent IS NOT NULL")
    db.execute(
        """CREATE TABLE scores (
        id INTEGER PRIMARY KEY,
        image_id INTEGER NOT NULL REFERENCES images(id),
        dimension TEXT NOT NULL, value REAL, scorer TEXT NOT NULL, version TEXT NOT NULL, note TEXT NOT NULL DEFAULT '',
        threshold REAL, bound TEXT, hard INTEGER, passed INTEGER, -- as judged; all NULL where the profile does not ask
        UNIQUE(image_id, dimension, scorer, version)
        )"""
    )
    db.execute("CREATE INDEX scores_of_a_kind ON scores(dimension, scorer, version, id, value)")


@migrations()
def timings(db: Database) -> None:
    db.execute(
        """CREATE TABLE timings ( -- this machine's own, smoothed; seconds
        device TEXT NOT NULL, card TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        step REAL, -- a denoising step of one picture
        rest REAL, -- decoding and the like of one picture
        judge REAL, -- scoring one picture
        PRIMARY KEY (device, card, width, height)
        )"""
    )
