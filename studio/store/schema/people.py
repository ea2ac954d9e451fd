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
