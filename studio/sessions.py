"""Sessions: who a browser is, by a random token of which only the hash is kept. They outlive a restart of the studio.

A session ends when its person logs out or is removed, when their password is set anew, or when it is idle or old enough
(`login.idle_days`, `login.days` in the settings). Event streams of a session end with it.
"""
from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable

from studio.settings import Settings
from studio.store import Store
from studio.store.people import Who, projects_of

DAY = 86400.0
SEEN_SECONDS = 60.0  # how exactly it is known when a browser last asked


class Sessions:
    """on_end(keys): told which sessions have ended. clock: unix seconds."""

    def __init__(
        self, store: Store, settings: Settings, on_end: Callable[[set[str]], object], clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._settings, self._on_end, self._clock = store, settings, on_end, clock
        # Browsers keep one jar for all ports of a host: two studios on a machine must not take each other's cookie.
        mark = store.setting("sessions.cookie")
        if mark is None:
            store.set("sessions.cookie", mark := secrets.token_hex(4))
        self.cookie = f"contact-sheet-{mark}"

    @property
    def longest_days(self) -> float:
        return float(self._settings.get("login.days"))

    def open(self, person: str) -> str:
        """The token of a new session: 256 random bits, for the browser alone to keep."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._store.write() as db:
            # In the transaction: nobody is let in while they are being removed.
            db.execute(
                "INSERT INTO sessions SELECT ?, name, ?, ? FROM persons WHERE name = ? AND removed IS NULL", [_key(token), now, now, person]
            )
        return token

    def who(self, token: str) -> Who | None:
        """Whose session it is; None once it has ended. Reads only, so it may be asked on the event loop."""
        found = self._row(token)
        if found is None:
            return None
        return Who(found["person"], bool(found["admin"]), projects_of(self._store, found["person"]), found["token"])

    def stale(self, token: str) -> bool:
        """Whether `touch` would write anything."""
        found = self._row(token)
        return found is not None and self._clock() - found["seen"] > SEEN_SECONDS

    def touch(self, token: str) -> None:
        """The browser asked something just now."""
        self._store.db.execute("UPDATE sessions SET seen = ? WHERE token = ?", [self._clock(), _key(token)])

    def close(self, token: str) -> None:
        self._end("token = ?", [_key(token)])

    def close_all(self, person: str, but: str = "") -> None:
        """Ends every session of a person; `but` is the key of one to spare."""
        self._end("person = ? AND token != ?", [person, but])

    def sweep(self) -> None:
        """Ends what is idle or old."""
        self._end("NOT (seen > ? AND created > ?)", list(self._bounds()))

    def _row(self, token: str) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._store.db.execute(
            "SELECT sessions.*, persons.admin FROM sessions JOIN persons ON persons.name = sessions.person"
            " WHERE token = ? AND seen > ? AND sessions.created > ? AND removed IS NULL",
            [_key(token), *self._bounds()],
        ).fetchone()
        return found

    def _bounds(self) -> Iterable[float]:
        now = self._clock()
        return now - DAY * float(self._settings.get("login.idle_days")), now - DAY * self.longest_days

    def _end(self, condition: str, values: list[object]) -> None:
        rows = self._store.db.execute(f"DELETE FROM sessions WHERE {condition} RETURNING token", values).fetchall()
        if rows:
            self._on_end({row["token"] for row in rows})


def _key(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
