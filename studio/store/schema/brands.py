"""Brands that people made: every version."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def brands(db: Database) -> None:
    db.execute(
        """CREATE TABLE brands ( -- never changed, only added to; the newest version of a name is the current one
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version >= 1),
        toml TEXT, -- NULL: removed with this version
        person TEXT NOT NULL REFERENCES persons(name), note TEXT NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (name, version)
        ) WITHOUT ROWID"""
    )
