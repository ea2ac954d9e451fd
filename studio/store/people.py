"""Who asks, and what they may see: their own, and what is shared with everyone or with a project of theirs."""
from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.errors import StudioError

if TYPE_CHECKING:
    from studio.store.db import Store

EVERYONE = "*"


@dataclass(frozen=True)
class Who:
    """The person that a request comes from. projects: names of those they belong to. An admin looks after people and the queue,
    but sees no more pictures than anybody. session: the key of the session they came with, "" without a login."""

    name: str
    admin: bool = False
    projects: tuple[str, ...] = ()
    session: str = field(default="", compare=False, repr=False)

    def sees(self, person: str, shared: str | None) -> bool:
        """Whether a row of `person`'s, shared with `shared` (None, EVERYONE or a project), is theirs to look at."""
        return person == self.name or shared == EVERYONE or shared in self.projects


LOCAL = Who("local", admin=True)  # whoever sits at a studio without a login


class NotYours(StudioError):
    """Only an admin, or only the owner, may do this."""


def require_admin(who: Who, what: str, why: str = "", todo: str = "Ask one.") -> None:
    """Raises NotYours, in these words, for whoever is no admin."""
    if not who.admin:
        raise NotYours(what, why, todo)


def visible(who: Who, table: str = "images") -> tuple[str, Sequence[str]]:
    """An SQL condition on `table` (jobs or images) for what they may see, and its parameters."""
    marks = ", ".join("?" * (1 + len(who.projects)))
    return f"({table}.person = ? OR {table}.shared IN ({marks}))", [who.name, EVERYONE, *who.projects]


def person_row(store: Store, name: str) -> sqlite3.Row | None:
    """None also for whoever was removed."""
    return store.db.execute("SELECT * FROM persons WHERE name = ? AND removed IS NULL", [name]).fetchone()


def projects_of(store: Store, name: str) -> tuple[str, ...]:
    rows = store.db.execute("SELECT project FROM members WHERE person = ? ORDER BY project", [name])
    return tuple(row["project"] for row in rows)


def project_titles(store: Store, who: Who) -> list[dict[str, str]]:
    """name and title of the projects they belong to, by title."""
    rows = store.db.execute(
        "SELECT name, title FROM projects JOIN members ON project = name WHERE person = ? ORDER BY title COLLATE NOCASE", [who.name]
    )
    return [{"name": row["name"], "title": row["title"]} for row in rows]
