"""Prompt templates that people made or changed: every version, and which one a job was asked for with."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def templates(db: Database) -> None:
    db.execute(
        """CREATE TABLE templates ( -- never changed, only added to; the newest version of a name is the current one
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version >= 1), -- 0 is the template as shipped, which has no row
        toml TEXT, -- NULL: removed with this version
        person TEXT NOT NULL REFERENCES persons(name), note TEXT NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (name, version)
        ) WITHOUT ROWID"""
    )
    db.execute("ALTER TABLE jobs ADD COLUMN template TEXT")  # NULL: none
    db.execute("ALTER TABLE jobs ADD COLUMN template_version INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX jobs_template ON jobs(template, id) WHERE template IS NOT NULL")
