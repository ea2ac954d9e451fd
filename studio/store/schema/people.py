"""Who may see what: projects, and what is shared with whom."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def sharing(db: Database) -> None:
    db.execute("CREATE TABLE projects (name TEXT PRIMARY KEY, title TEXT NOT NULL, created TEXT NOT NULL)")
    db.execute(
        "CREATE TABLE members (project TEXT NOT NULL REFERENCES projects(name), person TEXT NOT NULL REFERENCES persons(name),"
        " PRIMARY KEY (project, person))"
    )
    # Shared with: NULL nobody, '*' everyone, else the name of a project.
    db.execute("ALTER TABLE jobs ADD COLUMN shared TEXT")
    db.execute("ALTER TABLE images ADD COLUMN shared TEXT")


@migrations()
def logins(db: Database) -> None:
    # password: as studio/passwords.py writes it, NULL for one who cannot log in. given: what the auth file last said, to notice a change.
    for column in ("password TEXT", "given TEXT", "admin INTEGER NOT NULL DEFAULT 0", "removed TEXT"):
        db.execute(f"ALTER TABLE persons ADD COLUMN {column}")
    db.execute("ALTER TABLE projects ADD COLUMN owner TEXT REFERENCES persons(name)")
    db.execute(
        """CREATE TABLE sessions (
        token TEXT PRIMARY KEY, -- SHA-256 of what the browser holds
        person TEXT NOT NULL REFERENCES persons(name),
        created REAL NOT NULL, seen REAL NOT NULL -- unix seconds
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX sessions_of ON sessions(person)")
    db.execute(
        """CREATE TABLE tries ( -- logins that failed
        whose TEXT PRIMARY KEY, -- "name " or "address " and a SHA-256
        failures INTEGER NOT NULL, last REAL NOT NULL -- unix seconds
        ) WITHOUT ROWID"""
    )
    db.execute(
        "CREATE TABLE preferences (person TEXT NOT NULL REFERENCES persons(name), name TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (person, name)) WITHOUT ROWID"
    )
