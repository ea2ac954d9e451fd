"""The database file: its migrations and its connections (WAL, one a thread)."""
from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from models.errors import Unavailable
from studio.store.schema import days_ago, migrations, now

__all__ = ["Store", "days_ago", "now"]

BUSY_MS = 5000


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
