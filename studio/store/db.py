"""The database file: its migrations and its connections (WAL, one a thread)."""
from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database, Migrations

from models.errors import Unavailable

migrations = Migrations("contact-sheet")

BUSY_MS = 5000


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


def now() -> str:
    """This moment in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Mine:
    """A thread's connection; closed when the thread ends, for the web server's threads come and go."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Store:
    """The database of one data folder. Any thread may use it: each gets a connection of its own.

    Raises Unavailable when the file is not a database or was made by a newer studio.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = threading.local()
        self._all: weakref.WeakSet[_Mine] = weakref.WeakSet()
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _migrate(self.db)
        except sqlite3.DatabaseError as error:
            self.close()
            what = f"The database {path} cannot be opened."
            raise Unavailable(what, str(error), "Move it away, or choose another --data-dir.") from error

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection: autocommit, rows by name."""
        mine: _Mine | None = getattr(self._mine, "mine", None)
        if mine is None:
            # Closed by close() from whichever thread ends the studio, hence check_same_thread=False; used by one thread alone.
            connection = sqlite3.connect(self.path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._mine.mine = mine = _Mine(connection)
            with self._lock:
                self._all.add(mine)
        return mine.connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing. It takes the write lock at once, so what it reads cannot be stale when it writes."""
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.execute("COMMIT")

    def setting(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM settings WHERE key = ?", [key]).fetchone()
        return row["value"] if row else None

    def set(self, key: str, value: str) -> None:
        self.db.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value])

    def close(self) -> None:
        with self._lock:
            for mine in list(self._all):
                mine.connection.close()
            self._all.clear()
            self._mine = threading.local()


def _migrate(connection: sqlite3.Connection) -> None:
    # foreign_keys is ON for the connection; sqlite-utils wants tuples, so it gets a cursor factory without our Row.
    connection.row_factory = None
    try:
        db = Database(connection)
        known = {migration.name for migration in migrations._migrations}
        newer = [migration.name for migration in migrations.applied(db) if migration.name not in known]
        if newer:
            raise sqlite3.DatabaseError(f"it was made by a newer version of the studio ({', '.join(newer)})")
        migrations.apply(db)
    finally:
        connection.row_factory = sqlite3.Row
