"""Downloads of models: what was asked for, how far it came, and which revision it was."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def downloads(db: Database) -> None:
    db.execute(
        """CREATE TABLE downloads (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        card TEXT NOT NULL, repo TEXT NOT NULL, revision TEXT NOT NULL,
        commit_hash TEXT NOT NULL DEFAULT '', -- what the revision was when it began; a resumed download stays with it
        folder TEXT NOT NULL, -- '' for Hugging Face's cache, else the plain folder that is filled
        state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'stopped', 'failed', 'done', 'discarded')),
        done INTEGER NOT NULL DEFAULT 0, total INTEGER, -- bytes
        error TEXT, -- JSON: kind, what, why, todo
        person TEXT NOT NULL, created TEXT NOT NULL, finished TEXT
        )"""
    )
    db.execute("CREATE UNIQUE INDEX downloads_open ON downloads(card) WHERE state IN ('waiting', 'running', 'stopped', 'failed')")
