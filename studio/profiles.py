"""Quality profiles as a studio has them: those that ship, and the versions that people made, which follow one another and never change."""
from __future__ import annotations

import re
import sqlite3
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path

from models.cards import presets_folder
from models.errors import BadInput, NotFound
from pipelines.fields import text as read_text
from pipelines.profile import Profile, parse_profile, profile_toml, read_profile
from studio.store import Store
from studio.store.db import now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who

DEFAULT = "generic"  # what a request takes that names none; it cannot be removed
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
NOTE_LIMIT, TOML_LIMIT = 200, 100_000


@dataclass(frozen=True)
class Version:
    """One version of a profile. removed: with it the profile was removed. created: UTC, "" for the one that shipped."""

    version: int
    person: str
    note: str
    created: str
    removed: bool = False


class Profiles:
    """The quality profiles of a studio, read by page and worker alike. Any thread may ask.

    Version 0 is the profile as shipped; what is saved is a new version, and the newest one holds for what is asked from then on. A
    version that a job was asked for with is there for good, so a picture can always be judged as it was.
    """

    def __init__(self, store: Store, presets_dir: Path | str | None = None) -> None:
        self._store = store
        folder = (Path(presets_dir) if presets_dir else presets_folder()) / "profiles"
        self._shipped = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        self._read: dict[tuple[str, int], Profile] = {}
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Those that a request may name: the default first, the others in the order of their names."""
        latest = self._latest()
        names = {name for name in self._shipped if name not in latest} | {name for name, row in latest.items() if row["toml"] is not None}
        return tuple(sorted(names, key=lambda name: (name != DEFAULT, name)))

    def current(self, name: str) -> Profile:
        """The newest version. Raises NotFound, also for one that was removed."""
        return self.at(name, self.version(name))

    def version(self, name: str) -> int:
        """The number of the newest version. Raises NotFound."""
        row = self._latest(name).get(name)
        if row is None and name in self._shipped:
            return 0
        if row is None or row["toml"] is None:
            raise _no_profile(name)
        return int(row["version"])

    def at(self, name: str, version: int) -> Profile:
        """A version, whether or not it is the current one. Raises NotFound."""
        key = (name, version)
        with self._lock:
            found = self._read.get(key)
        if found is None:
            shipped = version == 0 and name in self._shipped
            found = read_profile(self._shipped[name]) if shipped else parse_profile(self.text(name, version), name, version)
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
            row = self._store.db.execute("SELECT toml FROM profiles WHERE name = ? AND version = ?", [name, version]).fetchone()
        if row is None or row["toml"] is None:
            raise NotFound(f"There is no such version of the quality profile {name[:40]}.")
        return str(row["toml"])

    def versions(self, name: str) -> list[Version]:
        """Every version, newest first, also of one that was removed. Raises NotFound."""
        rows = self._store.db.execute("SELECT * FROM profiles WHERE name = ? ORDER BY version DESC", [name]).fetchall()
        found = [Version(row["version"], row["person"], row["note"], row["created"], row["toml"] is None) for row in rows]
        if name in self._shipped:
            found.append(Version(0, "", "As shipped", ""))
        if not found:
            raise _no_profile(name)
        return found

    def removed(self) -> tuple[str, ...]:
        """Names of those that were removed and can be restored."""
        return tuple(sorted(name for name, row in self._latest().items() if row["toml"] is None))

    def shipped(self, name: str) -> bool:
        return name in self._shipped

    # Changes. Each is a version of its own.

    def save(self, name: str, toml_text: str, who: Who, note: str = "", base: int | None = None) -> int:
        """A new version of a profile, or the first of a new one; its number.

        base: the version that the change was made from; when somebody has saved another since, NotNow is raised, and nothing is lost.
        Raises BadInput for a name or a text that is none.
        """
        if not NAME.fullmatch(name):
            why = "Small letters, digits and hyphens, at most 40."
            raise BadInput("name", f'A profile cannot be called "{name[:40]}".', why, 'Call it like "product-hero".')
        if len(toml_text) > TOML_LIMIT:
            raise BadInput("toml", f"A profile may be {TOML_LIMIT} characters long; this is {len(toml_text)}.")
        parse_profile(toml_text, name)
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

    def duplicate(self, name: str, new: str, title: str, who: Who) -> int:
        """A new profile that says what `name` says now; its version. Raises NotFound, BadInput where there is a `new` already."""
        data = tomllib.loads(self.text(name))
        return self.create(new, profile_toml(data | {"title": title or f"{data['title']} (copy)"}), who, f"Copy of {name}")

    def create(self, name: str, toml_text: str, who: Who, note: str = "") -> int:
        """A profile of a new name; its version. Raises BadInput where there is one of that name."""
        if name in self.names():
            raise BadInput("name", f'There is a profile called "{name}" already.', "", "Choose another name.")
        return self.save(name, toml_text, who, note)

    def remove(self, name: str, who: Who) -> int:
        """Takes a profile out of what requests may name. Its versions stay, and `restore` brings it back. Raises NotFound, NotNow."""
        if name == DEFAULT:
            why = "Requests that name no profile are judged by it."
            raise NotNow(f"{self.current(name).title} cannot be removed.", why, "Change it instead.")
        self.version(name)
        with self._store.write() as db:
            return self._add(db, name, None, who, "Removed", self._number(db, name))

    def stamp(self, db: sqlite3.Connection, job: int, name: str) -> int:
        """Writes down which version of its profile a new job is asked for with, inside the transaction that adds it; the version."""
        version = self.version(name)
        db.execute("UPDATE jobs SET profile_version = ? WHERE id = ?", [version, job])
        return version

    # How it is done.

    def _add(self, db: sqlite3.Connection, name: str, toml: str | None, who: Who, note: str, latest: int) -> int:
        db.execute("INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?)", [name, latest + 1, toml, who.name, note, now()])
        return latest + 1

    def _number(self, db: sqlite3.Connection, name: str) -> int:
        return int(db.execute("SELECT coalesce(max(version), 0) FROM profiles WHERE name = ?", [name]).fetchone()[0])

    def _latest(self, name: str | None = None) -> dict[str, sqlite3.Row]:
        """The newest rows by name."""
        only, values = ("", []) if name is None else ("WHERE name = ?", [name])
        # With a lone max(), SQLite takes the other columns from the row that has it.
        rows = self._store.db.execute(f"SELECT name, max(version) AS version, toml FROM profiles {only} GROUP BY name", values)
        return {row["name"]: row for row in rows}


def _no_profile(name: str) -> NotFound:
    return NotFound(f'There is no quality profile "{name[:40]}".', todo="The Quality tab lists those there are.")
