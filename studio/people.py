"""People and projects: who there is, who looks after them, and what is shared with whom.

A person who is removed leaves a row behind, for their pictures stay: under their name, or handed to somebody.
"""
from __future__ import annotations

import contextlib
import re
import sqlite3
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from pipelines.fields import shown, text
from studio import passwords
from studio.history import read_shared
from studio.login import Login, plain_name
from studio.store import images, jobs, now
from studio.store.jobs import NotNow
from studio.store.people import NotYours, Who, person_row, require_admin

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
NAME = re.compile(r"[\w.@-]{1,40}")
TITLE_LIMIT = 80


class People:
    """What can be asked of and done to people. Every method raises NotYours for those who may not, and BadInput, NotFound, NotNow."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._login = Login(studio.store)

    def everybody(self, who: Who) -> list[Json]:
        """Those who are here, by name; to an admin also those who were removed, and what they have."""
        rows = self._store.db.execute("SELECT * FROM persons WHERE removed IS NULL OR ? ORDER BY name", [who.admin]).fetchall()
        return [self._view(row, who) for row in rows if row["password"] or who.admin or row["name"] == who.name]

    def add(self, data: Mapping[Any, Any], who: Who) -> Json:
        """name, password, and if wanted title and admin."""
        require_admin(who, "Only an admin may do this.")
        name, title = read_name(data), read_title(data)
        admin, password = _switch(data, "admin", False), passwords.acceptable(data.get("password"))
        kept = passwords.hashed(password)
        with self._store.write() as db:
            add_person(db, name, title, kept, admin)
        return self.one(name, who)

    def one(self, name: str, who: Who) -> Json:
        row = self._store.db.execute("SELECT * FROM persons WHERE name = ?", [plain_name(name)]).fetchone()
        if row is None:
            raise NotFound(f"There is no person {shown(name)}.")
        return self._view(row, who)

    def change(self, name: str, data: Mapping[Any, Any], who: Who) -> Json:
        """title (by themselves or an admin), admin (by an admin)."""
        row = self._person(name)
        if row["name"] != who.name or "admin" in data:
            require_admin(who, "Only an admin may do this.")
        title = read_title(data) if "title" in data else row["title"]
        admin = _switch(data, "admin", bool(row["admin"]))
        with self._store.write() as db:
            if row["admin"] and not admin:
                _keep_an_admin(db, row["name"])
            db.execute("UPDATE persons SET title = ?, admin = ? WHERE name = ?", [title, admin, row["name"]])
        self._rights_changed(row["name"])
        return self.one(row["name"], who)

    def set_password(self, name: str, data: Mapping[Any, Any], who: Who, address: str) -> None:
        """One's own needs the old one; an admin sets anybody's. Every session of theirs ends but the one that asks.

        Raises WrongPassword and TooMany besides.
        """
        row = self._person(name)
        if row["name"] == who.name:
            old = data.get("old")
            self._login.check(who.name, old if isinstance(old, str) else "", address)
        else:
            require_admin(who, "Only an admin may do this.")
        kept = passwords.hashed(passwords.acceptable(data.get("password")))
        self._store.db.execute("UPDATE persons SET password = ? WHERE name = ?", [kept, row["name"]])
        self._studio.sessions.close_all(row["name"], but=who.session if row["name"] == who.name else "")

    def remove(self, name: str, data: Mapping[Any, Any], who: Who) -> Json:
        """Their sessions end at once. `to`: who gets their pictures, jobs, boards, batches, experiments, grids and seeds; null keeps them
        under their name, and nothing more is drawn for them."""
        require_admin(who, "Only an admin may do this.")
        gone = self._person(name)["name"]
        if gone == who.name:
            raise NotNow("You cannot remove yourself.", "", "Ask another admin.")
        to = None if data.get("to") is None else self._person(data["to"], "to")["name"]
        if to == gone:
            raise BadInput("to", "Their pictures cannot go to themselves.")
        with self._store.write() as db:
            db.execute("UPDATE persons SET removed = ?, password = NULL, admin = 0 WHERE name = ?", [now(), gone])
            db.execute("DELETE FROM members WHERE person = ?", [gone])
            db.execute("UPDATE projects SET owner = ? WHERE owner = ?", [who.name, gone])
            if to is not None:
                hand_over(db, gone, to)
            else:
                hold_all(db, gone)
        self._studio.sessions.close_all(gone)
        still_open = "SELECT id FROM jobs WHERE person = ? AND state IN ('queued', 'running')"
        for row in self._store.db.execute(still_open, [to or gone]).fetchall():
            if to is None:
                self._cancel(row["id"], who)
            else:
                self._studio.queue_changed([row["id"]])
        self._studio.batches.runner.wake()
        return self.one(gone, who)

    def restore(self, name: str, data: Mapping[Any, Any], who: Who) -> Json:
        """Somebody who was removed comes back, to whatever is still under their name, with a new password."""
        require_admin(who, "Only an admin may do this.")
        kept = passwords.hashed(passwords.acceptable(data.get("password")))
        found = self._store.db.execute(
            "UPDATE persons SET removed = NULL, password = ? WHERE name = ? AND removed IS NOT NULL RETURNING name",
            [kept, plain_name(name)],
        ).fetchone()
        if found is None:
            raise NotFound(f"Nobody called {shown(name)} was removed.")
        return self.one(found["name"], who)

    # Projects.

    def projects(self, who: Who) -> list[Json]:
        """Those they belong to; all of them for an admin, who looks after them."""
        rows = self._store.db.execute("SELECT * FROM projects ORDER BY title COLLATE NOCASE, name").fetchall()
        return [self._project_view(row, who) for row in rows if who.admin or row["name"] in who.projects]

    def add_project(self, data: Mapping[Any, Any], who: Who) -> Json:
        """title. Whoever makes it belongs to it, and looks after it."""
        title = read_title(data)
        if not title:
            raise BadInput("title", "A project needs a title.")
        with self._store.write() as db:
            name = _free_name(db, title)
            db.execute("INSERT INTO projects (name, title, created, owner) VALUES (?, ?, ?, ?)", [name, title, now(), who.name])
            db.execute("INSERT INTO members VALUES (?, ?)", [name, who.name])
        self._rights_changed(who.name)
        return self.project(name, Who(who.name, who.admin, (*who.projects, name)))

    def project(self, name: str, who: Who) -> Json:
        return self._project_view(self._project(name, who), who)

    def change_project(self, name: str, data: Mapping[Any, Any], who: Who) -> Json:
        """title, local_only (nothing of it leaves this machine), and members: {"add": [names], "remove": [names]}. Anybody may leave."""
        row = self._project(name, who)
        add, remove = _names(data, "add"), _names(data, "remove")
        if not self._looks_after(row, who) and (add or "title" in data or "local_only" in data or set(remove) != {who.name}):
            raise NotYours("This project is looked after by somebody else.", "", f"Ask {row['owner']}.")
        title = read_title(data) if "title" in data else row["title"]
        if not title:
            raise BadInput("title", "A project needs a title.")
        local_only = _switch(data, "local_only", bool(row["local_only"]))
        members = [self._person(person, "add")["name"] for person in add]
        with self._store.write() as db:
            db.execute("UPDATE projects SET title = ?, local_only = ? WHERE name = ?", [title, local_only, name])
            db.executemany("INSERT OR IGNORE INTO members VALUES (?, ?)", [(name, person) for person in members])
            db.executemany("DELETE FROM members WHERE project = ? AND person = ?", [(name, plain_name(person)) for person in remove])
        for person in {*members, *map(plain_name, remove)}:
            self._rights_changed(person)
        return self._project_view(self._store.db.execute("SELECT * FROM projects WHERE name = ?", [name]).fetchone(), who)

    def remove_project(self, name: str, who: Who) -> None:
        """What was shared with it is its owners' alone again."""
        row = self._project(name, who)
        if not self._looks_after(row, who):
            raise NotYours("This project is looked after by somebody else.", "", f"Ask {row['owner']}.")
        members = self._members(name)
        with self._store.write() as db:
            for table in ("images", "jobs", "boards", "experiments", "datasets"):
                db.execute(f"UPDATE {table} SET shared = NULL WHERE shared = ?", [name])
            db.execute("DELETE FROM members WHERE project = ?", [name])
            db.execute("DELETE FROM budgets WHERE scope = 'project' AND name = ?", [name])
            db.execute("DELETE FROM projects WHERE name = ?", [name])
        for person in members:
            self._rights_changed(person)

    # Sharing.

    def share_image(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """with: null, "*" or a project of theirs."""
        images.image_row(self._store, image, who, own=True)
        self._store.db.execute("UPDATE images SET shared = ? WHERE id = ?", [read_shared(data, who, "with"), image])
        self._studio.tell_image(image)
        return self._studio.image(image, who)

    def share_job(self, job: int, data: Mapping[Any, Any], who: Who) -> Json:
        """with: null, "*" or a project of theirs. All its pictures follow, those still to be drawn too."""
        jobs.job_row(self._store, job, who, own=True)
        shared = read_shared(data, who, "with")
        with self._store.write() as db:
            db.execute("UPDATE jobs SET shared = ? WHERE id = ?", [shared, job])
            db.execute("UPDATE images SET shared = ? WHERE job_id = ?", [shared, job])
        self._studio.queue_changed([job])
        return self._studio.job(job, who)

    # How it is done.

    def _person(self, name: object, field: str = "name") -> sqlite3.Row:
        row = person_row(self._store, plain_name(name)) if isinstance(name, str) else None
        if row is None:
            error = f"There is no person {shown(name)}."
            raise NotFound(error) if field == "name" else BadInput(field, error)
        return row

    def _project(self, name: str, who: Who) -> sqlite3.Row:
        row = self._store.db.execute("SELECT * FROM projects WHERE name = ?", [name]).fetchone()
        if row is None or not (who.admin or name in who.projects):
            raise NotFound(f"There is no project {shown(name)}.")
        return row

    def _looks_after(self, row: sqlite3.Row, who: Who) -> bool:
        return who.admin or row["owner"] == who.name

    def _members(self, project: str) -> list[str]:
        return [row["person"] for row in self._store.db.execute("SELECT person FROM members WHERE project = ? ORDER BY person", [project])]

    def _rights_changed(self, person: str) -> None:
        """Their streams were opened with other rights: they end, and each browser comes back at once with the new ones."""
        self._studio.hub.end(lambda who: who.name == person)

    def _cancel(self, job: int, who: Who) -> None:
        with contextlib.suppress(NotNow):  # it ended by itself a moment ago, which is as good
            self._studio.cancel(job, who)

    def _view(self, row: sqlite3.Row, who: Who) -> Json:
        view = {"name": row["name"], "title": row["title"], "admin": bool(row["admin"]), "you": row["name"] == who.name}
        if not who.admin:
            return view
        count = "SELECT count(*) FROM images WHERE person = ? AND state = 'drawn'"
        return view | {
            "created": row["created"],
            "removed": row["removed"],
            "can_log_in": row["password"] is not None,
            "seen": self._store.db.execute("SELECT max(seen) FROM sessions WHERE person = ?", [row["name"]]).fetchone()[0],
            "pictures": self._store.db.execute(count, [row["name"]]).fetchone()[0],
        }

    def _project_view(self, row: sqlite3.Row, who: Who) -> Json:
        return {"name": row["name"], "title": row["title"], "owner": row["owner"], "members": self._members(row["name"])} | {
            "member": row["name"] in who.projects,
            "may_change": self._looks_after(row, who),
            "local_only": bool(row["local_only"]),
        }


def add_person(db: sqlite3.Connection, name: str, title: str, password: str, admin: bool) -> None:
    """Inside the caller's transaction. Raises BadInput for a name that was given before."""
    row = db.execute("SELECT * FROM persons WHERE name = ?", [name]).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO persons (name, title, created, password, admin) VALUES (?, ?, ?, ?, ?)",
            [name, title or name, now(), password, admin],
        )
    elif row["removed"]:
        raise BadInput("name", f"{name} was removed, and pictures may be kept under that name.", "", "Restore them, or take another name.")
    elif row["password"]:
        raise BadInput("name", f"There is a person {name} already.", "", "Choose another name.")
    else:  # "local", who was there before there was a login
        db.execute("UPDATE persons SET title = ?, password = ?, admin = ? WHERE name = ?", [title or row["title"], password, admin, name])


def hand_over(db: sqlite3.Connection, giver: str, taker: str) -> None:
    """Everything of `giver`'s becomes `taker`'s, inside the caller's transaction. Boards of the same name say whose they were.

    What people said (verdicts, votes, comments) and who wrote a version stay under the name of whoever it was.
    """
    for table in ("jobs", "images", "pins", "batches", "catalogues", "experiments", "grids", "datasets", "evaluations"):
        db.execute(f"UPDATE {table} SET person = ? WHERE person = ?", [taker, giver])
    db.execute("UPDATE loras SET owner = ? WHERE owner = ?", [taker, giver])
    # A seed that both have pinned is the taker's already, with their title.
    db.execute("UPDATE OR IGNORE seeds SET person = ? WHERE person = ?", [taker, giver])
    db.execute("DELETE FROM seeds WHERE person = ?", [giver])
    # Their jobs start from them; what the taker brought too is theirs already.
    db.execute("UPDATE OR REPLACE uploads SET person = ? WHERE person = ?", [taker, giver])
    for board in db.execute("SELECT id, name FROM boards WHERE person = ?", [giver]).fetchall():
        name, number = board["name"], 1
        while db.execute("SELECT 1 FROM boards WHERE person = ? AND name = ?", [taker, name]).fetchone():
            name, number = f"{board['name']} ({giver}{f' {number}' if number > 1 else ''})", number + 1
        place = "(SELECT coalesce(max(position), 0) + 1 FROM boards WHERE person = ?)"
        db.execute(f"UPDATE boards SET person = ?, name = ?, position = {place} WHERE id = ?", [taker, name, taker, board["id"]])


def hold_all(db: sqlite3.Connection, person: str) -> None:
    """Pauses what would go on asking for pictures in a person's name, inside the caller's transaction."""
    db.execute("UPDATE batches SET paused = 1, why = ? WHERE person = ? AND NOT paused", [f"{person} was removed.", person])
    db.execute("UPDATE experiments SET state = 'paused' WHERE person = ? AND state = 'running'", [person])
    db.execute("UPDATE evaluations SET state = 'cancelled' WHERE person = ? AND state = 'running'", [person])


def read_name(data: Mapping[Any, Any]) -> str:
    """The field `name` as it is kept. Raises BadInput."""
    name = plain_name(text(data, "name", 80))
    if not NAME.fullmatch(name):
        raise BadInput("name", "A name is 1 to 40 letters, digits, dots, dashes, underscores or @.", f"This is {shown(data.get('name'))}.")
    return name


def read_title(data: Mapping[Any, Any]) -> str:
    """The field `title` on one line: whatever people call themselves."""
    return " ".join(text(data, "title", TITLE_LIMIT).split())


def _names(data: Mapping[Any, Any], field: str) -> list[str]:
    names = data.get(field) or []
    if not isinstance(names, list) or len(names) > 200 or not all(isinstance(name, str) for name in names):
        raise BadInput(field, f"{field} must be a list of names; this is {shown(data[field])}.")
    return names


def _switch(data: Mapping[Any, Any], field: str, default: bool) -> bool:
    value = data.get(field, default)
    if not isinstance(value, bool):
        raise BadInput(field, f"{field} must be true or false; this is {shown(value)}.")
    return value


def _keep_an_admin(db: sqlite3.Connection, but: str) -> None:
    others = "SELECT 1 FROM persons WHERE admin AND removed IS NULL AND password IS NOT NULL AND name != ?"
    if db.execute(others, [but]).fetchone() is None:
        raise NotNow("Somebody must be an admin.", "", "Make another person one first.")


def _free_name(db: sqlite3.Connection, title: str) -> str:
    """A name for a project from its title: "Spring Sale" -> "spring-sale", then "spring-sale-2"."""
    stem = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFKC", title).casefold()).strip("-")[:40] or "project"
    name, number = stem, 1
    while db.execute("SELECT 1 FROM projects WHERE name = ?", [name]).fetchone():
        number += 1
        name = f"{stem}-{number}"
    return name
