"""Where the first people come from: `--auth NAME:PASSWORD`, or the lines of `--auth-file`.

A line is `name:password-or-hash[:admin]`; empty lines and those that begin with # are skipped. The first person is an admin. What is
read is kept in the database, hashed, and is the truth from then on: a line is heeded again only when it has changed, so a password
set on the page, or a person removed there, stays so.
"""
from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import BadInput, Unavailable
from studio import passwords
from studio.login import plain_name
from studio.people import NAME
from studio.store import Store, now

log = logging.getLogger(__name__)

SIZE_LIMIT = 2**20


@dataclass(frozen=True)
class Entry:
    """A line. secret: a password, or a hash of one."""

    name: str
    secret: str
    admin: bool


def read_flag(value: str) -> Entry:
    """`--auth NAME:PASSWORD`. Raises BadInput."""
    return _entry(value, "--auth", first=True)


def read_file(path: Path) -> list[Entry]:
    """Raises Unavailable for a file that cannot be read, BadInput for a line that is none or a name that comes twice."""
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise BadInput("--auth-file", f"{path} is larger than a list of people can be.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"The auth file {path} cannot be read.", str(error)) from error
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            entry = _entry(line, f"{path}, line {number}", first=not entries)
            if any(entry.name == other.name for other in entries):
                raise BadInput("--auth-file", f"{path}, line {number}: {entry.name} is there twice.")
            entries.append(entry)
    if not entries:
        raise BadInput("--auth-file", f"There is nobody in {path}.", "", "Write a line such as ada:her password")
    return entries


def warning(path: Path, entries: Sequence[Entry]) -> str:
    """What is wrong with the file's permissions, "" if nothing is."""
    if os.name != "posix" or not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return ""
    plain = "the passwords in it" if any(not passwords.is_hash(entry.secret) for entry in entries) else "the hashes in it"
    return f"Others on this machine can read {path} and {plain}. Mend it with: chmod 600 {path}"


def take_in(store: Store, entries: Sequence[Entry]) -> None:
    """Adds who is new and heeds what has changed. Afterwards at least one person is an admin."""
    for entry in entries:
        _take_in(store, entry)
    with store.write() as db:
        if db.execute("SELECT 1 FROM persons WHERE admin AND removed IS NULL AND password IS NOT NULL").fetchone() is None:
            names = [entry.name for entry in entries]
            marks = ", ".join("?" * len(names))
            here = {row["name"] for row in db.execute(f"SELECT name FROM persons WHERE removed IS NULL AND name IN ({marks})", names)}
            first = next((name for name in names if name in here), None)
            if first is None:
                raise Unavailable("Nobody could log in.", "Everybody in the auth file was removed.", "Add a line with another name.")
            db.execute("UPDATE persons SET admin = 1 WHERE name = ?", [first])


def _take_in(store: Store, entry: Entry) -> None:
    row = store.db.execute("SELECT * FROM persons WHERE name = ?", [entry.name]).fetchone()
    if row is not None and row["removed"] is not None:
        log.warning("%s is in the auth file, but was removed in Settings: restore them there", entry.name)
        return
    is_hash = passwords.is_hash(entry.secret)
    if row is not None and row["given"] is not None:
        same = row["given"] == entry.secret if is_hash else passwords.matches(entry.secret, row["given"])
        if same:
            return
    kept = entry.secret if is_hash else passwords.hashed(entry.secret)
    with store.write() as db:
        db.execute(
            "INSERT INTO persons (name, title, created, password, given, admin) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET password = excluded.password, given = excluded.given, admin = max(admin, excluded.admin)",
            [entry.name, entry.name, now(), kept, kept, entry.admin],
        )
        # A password that was changed is changed for those who are logged in, too.
        db.execute("DELETE FROM sessions WHERE person = ?", [entry.name])


def _entry(line: str, where: str, first: bool) -> Entry:
    name, colon, secret = line.strip().partition(":")
    admin = secret.endswith(":admin")
    secret = secret.removesuffix(":admin")
    name = plain_name(name)
    if not colon or not secret or not NAME.fullmatch(name):
        # The line itself is not shown: it may hold a password.
        raise BadInput("--auth", f"{where} is not NAME:PASSWORD.", "A name is 1 to 40 letters, digits, dots, dashes, underscores or @.")
    try:
        passwords.is_hash(secret)
    except BadInput as error:
        raise BadInput("--auth", f"{where}: {error.what}", error.why, error.todo) from error
    return Entry(name, secret, admin or first)
