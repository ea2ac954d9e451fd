"""What people make and change, as versions that follow one another and never change: profiles, templates, brands.

Each kind has a table of its own (columns: see `studio/store/schema/profiles.py`) and, where some ship, a folder of TOML files. Version 0 is
what shipped; what is saved is a new version; the newest one holds. Removing is a version too, so everything can be restored.
"""
from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from models.errors import BadInput, NotFound
from pipelines.fields import text as read_text
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
NOTE_LIMIT, TOML_LIMIT = 200, 100_000

Record = TypeVar("Record")


@dataclass(frozen=True)
class Version:
    """One version of a record. removed: with it the record was removed. created: UTC, "" for the one that shipped."""

    version: int
    person: str
    note: str
    created: str
    removed: bool = False


@dataclass(frozen=True)
class Kind:
    """What the records are: the table they are kept in, what one is called ("quality profile", and in short "profile"), a name that
    one may have, and where people see them."""

    table: str
    title: str
    short: str
    example: str
    tab: str


class Versions(Generic[Record]):
    """The records of one kind, read by page and worker alike. Any thread may ask.

    A kind is a subclass, which says what it `kind` is and how its TOML is read: `parse` a version of a text, `read` a file that shipped.
    """

    kind: Kind

    def __init__(self, store: Store, shipped: Mapping[str, Path]) -> None:
        self._store, self._shipped = store, dict(shipped)
        self._read: dict[tuple[str, int], Record] = {}
        self._lock = threading.Lock()

    def parse(self, text: str, name: str, version: int = 0) -> Record:
        """A record from its TOML. Raises BadInput."""
        raise NotImplementedError

    def read(self, path: Path) -> Record:
        """A record from a file that shipped. Raises BadInput."""
        raise NotImplementedError

    # What there is.

    def names(self) -> tuple[str, ...]:
        """Those that a request may name, in the order of their names."""
        latest = self._latest()
        names = {name for name in self._shipped if name not in latest} | {name for name, row in latest.items() if row["toml"] is not None}
        return tuple(sorted(names))

    def current(self, name: str) -> Record:
        """The newest version. Raises NotFound, also for one that was removed."""
        return self.at(name, self.version(name))

    def all(self) -> dict[str, Record]:
        """The newest version of each, by name."""
        latest = self._latest()
        numbers = dict.fromkeys(self._shipped, 0) | {name: int(row["version"]) for name, row in latest.items() if row["toml"] is not None}
        gone = {name for name, row in latest.items() if row["toml"] is None}
        return {name: self.at(name, number) for name, number in sorted(numbers.items()) if name not in gone}

    def version(self, name: str) -> int:
        """The number of the newest version. Raises NotFound."""
        row = self._latest(name).get(name)
        if row is None and name in self._shipped:
            return 0
        if row is None or row["toml"] is None:
            raise self._unknown(name)
        return int(row["version"])

    def at(self, name: str, version: int) -> Record:
        """A version, whether or not it is the current one. Raises NotFound."""
        key = (name, version)
        with self._lock:
            found = self._read.get(key)
        if found is None:
            shipped = version == 0 and name in self._shipped
            found = self.read(self._shipped[name]) if shipped else self.parse(self.text(name, version), name, version)
            with self._lock:
                self._read[key] = found
        return found

    def text(self, name: str, version: int | None = None) -> str:
        """A version's TOML, as it was shipped or saved; of the current one without `version`. Raises NotFound."""
        version = self.version(name) if version is None else version
        if version == 0 and name in self._shipped:
            return self._shipped[name].read_text(encoding="utf-8")
        row = None
        if 0 < version <= LARGEST_ID:
            select = f"SELECT toml FROM {self.kind.table} WHERE name = ? AND version = ?"
            row = self._store.db.execute(select, [name, version]).fetchone()
        if row is None or row["toml"] is None:
            raise NotFound(f"There is no such version of the {self.kind.title} {name[:40]}.")
        return str(row["toml"])

    def versions(self, name: str) -> list[Version]:
        """Every version, newest first, also of one that was removed. Raises NotFound."""
        rows = self._store.db.execute(f"SELECT * FROM {self.kind.table} WHERE name = ? ORDER BY version DESC", [name]).fetchall()
        found = [Version(row["version"], row["person"], row["note"], row["created"], row["toml"] is None) for row in rows]
        if name in self._shipped:
            found.append(Version(0, "", "As shipped", ""))
        if not found:
            raise self._unknown(name)
        return found

    def removed(self) -> tuple[str, ...]:
        """Names of those that were removed and can be restored."""
        return tuple(sorted(name for name, row in self._latest().items() if row["toml"] is None))

    def shipped(self, name: str) -> bool:
        return name in self._shipped

    # Changes. Each is a version of its own.

    def save(self, name: str, toml_text: str, who: Who, note: str = "", base: int | None = None) -> int:
        """A new version of a record, or the first of a new one; its number.

        base: the version that the change was made from; when somebody has saved another since, NotNow is raised, and nothing is lost.
        Raises BadInput for a name or a text that is none.
        """
        self._check(name, toml_text)
        note = read_text({"note": note}, "note", NOTE_LIMIT)
        with self._store.write() as db:
            latest = self._number(db, name)
            if base is not None and base != latest:
                raise NotNow(
                    f"{name} is at version {latest} by now; you started from {base}.", "Somebody has saved it meanwhile.",
                    "Look at what they changed, and make your change again.",
                )  # fmt: skip
            return self._add(db, name, toml_text, who, note, latest)

    def restore(self, name: str, version: int, who: Who, note: str = "") -> int:
        """A new version that says what `version` said; its number. Raises NotFound."""
        text = self.text(name, version)
        return self.save(name, text, who, note or (f"Restored version {version}" if version else "Restored as shipped"))

    def create(self, name: str, toml_text: str, who: Who, note: str = "") -> int:
        """A record of a new name; its version. Raises BadInput where there is one of that name."""
        return self.create_all({name: toml_text}, who, note)[name]

    def create_all(self, texts: Mapping[str, str], who: Who, note: str = "") -> dict[str, int]:
        """Records of new names, all or none; their versions. Raises BadInput where there is one of that name."""
        note = read_text({"note": note}, "note", NOTE_LIMIT)
        for name, text in texts.items():
            self._check(name, text)
        with self._store.write() as db:
            taken = self.names()
            for name in texts:
                if name in taken:
                    raise BadInput("name", f'There is a {self.kind.short} called "{name}" already.', "", "Choose another name.")
            return {name: self._add(db, name, text, who, note, self._number(db, name)) for name, text in texts.items()}

    def remove(self, name: str, who: Who) -> int:
        """Takes a record out of what requests may name. Its versions stay, and `restore` brings it back. Raises NotFound."""
        self.version(name)
        with self._store.write() as db:
            return self._add(db, name, None, who, "Removed", self._number(db, name))

    # How it is done.

    def _check(self, name: str, toml_text: str) -> None:
        if not NAME.fullmatch(name):
            why = "Small letters, digits and hyphens, at most 40."
            raise BadInput("name", f'A {self.kind.short} cannot be called "{name[:40]}".', why, f'Call it like "{self.kind.example}".')
        if len(toml_text) > TOML_LIMIT:
            raise BadInput("toml", f"A {self.kind.short} may be {TOML_LIMIT} characters long; this is {len(toml_text)}.")
        self.parse(toml_text, name)

    def _add(self, db: sqlite3.Connection, name: str, toml: str | None, who: Who, note: str, latest: int) -> int:
        db.execute(f"INSERT INTO {self.kind.table} VALUES (?, ?, ?, ?, ?, ?)", [name, latest + 1, toml, who.name, note, now()])
        return latest + 1

    def _number(self, db: sqlite3.Connection, name: str) -> int:
        return int(db.execute(f"SELECT coalesce(max(version), 0) FROM {self.kind.table} WHERE name = ?", [name]).fetchone()[0])

    def _latest(self, name: str | None = None) -> dict[str, sqlite3.Row]:
        """The newest rows by name."""
        only, values = ("", []) if name is None else ("WHERE name = ?", [name])
        # With a lone max(), SQLite takes the other columns from the row that has it.
        select = f"SELECT name, max(version) AS version, toml FROM {self.kind.table} {only} GROUP BY name"
        return {row["name"]: row for row in self._store.db.execute(select, values)}

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f'There is no {self.kind.title} "{name[:40]}".', todo=f"The {self.kind.tab} tab lists those there are.")
