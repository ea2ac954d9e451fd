"""Logging in: one question (do this name and this password go together?), and how often it may be asked.

Failures are counted by name and by address, in SQLite, so that a restart forgives nothing. After a few free ones each costs a
wait twice as long as the one before. The wait for a name stays short, or anybody could lock its owner out; that for an address does not.
"""
from __future__ import annotations

import hashlib
import math
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from models.errors import StudioError
from studio import passwords
from studio.store import Store
from studio.store.people import person_row

FREE = {"name": 4, "address": 12}  # failures without a wait; behind one address there may be a whole office
LONGEST = {"name": 60.0, "address": 900.0}  # seconds
FORGOTTEN_SECONDS = 6 * 3600.0


class WrongPassword(StudioError):
    """The name and the password do not go together; which of the two was wrong is not said."""


class TooMany(StudioError):
    """Too many failures. seconds: until the next try."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__("Too many tries.", "", f"Try again in {self.seconds} s.")


@dataclass(frozen=True)
class _Count:
    kind: str
    whose: str

    @classmethod
    def of(cls, kind: str, value: str) -> _Count:
        return cls(kind, f"{kind} {hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}")

    def wait(self, failures: int) -> float:
        over = failures - FREE[self.kind]
        return 0.0 if over < 0 else min(LONGEST[self.kind], 2.0 ** min(over, 20))


class Login:
    """clock: unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock

    def check(self, name: str, password: str, address: str) -> str:
        """The person's name as it is kept. Raises WrongPassword, and TooMany without looking at the password."""
        name = plain_name(name)
        counts = (_Count.of("name", name), _Count.of("address", address))
        self._count(counts)
        row = person_row(self._store, name)
        if not passwords.matches(password, row["password"] if row else None):
            raise WrongPassword("That name and that password do not go together.", "", "Check both; an admin can set a new password.")
        self._forgive(counts)
        return name

    def _count(self, counts: tuple[_Count, ...]) -> None:
        """Counts the try as failed before it is made, in one transaction: many at once get no further than one after the other."""
        now = self._clock()
        with self._store.write() as db:
            db.execute("DELETE FROM tries WHERE last < ?", [now - FORGOTTEN_SECONDS])
            left = 0.0
            for count in counts:
                row = db.execute("SELECT failures, last FROM tries WHERE whose = ?", [count.whose]).fetchone()
                if row is not None:
                    left = max(left, row["last"] + count.wait(row["failures"]) - now)
            if left <= 0:
                for count in counts:
                    db.execute(
                        "INSERT INTO tries VALUES (?, 1, ?)"
                        " ON CONFLICT (whose) DO UPDATE SET failures = failures + 1, last = excluded.last",
                        [count.whose, now],
                    )
        if left > 0:
            raise TooMany(left)

    def _forgive(self, counts: tuple[_Count, ...]) -> None:
        """A name is forgiven all, an address only this try: else whoever has a password could guess at others' for ever."""
        with self._store.write() as db:
            for count in counts:
                if count.kind == "name":
                    db.execute("DELETE FROM tries WHERE whose = ?", [count.whose])
                else:
                    db.execute("UPDATE tries SET failures = failures - 1 WHERE whose = ?", [count.whose])


def plain_name(name: str) -> str:
    """A name as it is compared and kept: "Ada " and "ada" are one person."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
