"""Who asks, and what they may see: their own, and what is shared with everyone or with a project of theirs."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EVERYONE = "*"


@dataclass(frozen=True)
class Who:
    """The person that a request comes from. projects: names of those they belong to. An admin looks after people and the queue,
    but sees no more pictures than anybody."""

    name: str
    admin: bool = False
    projects: tuple[str, ...] = ()

    def sees(self, person: str, shared: str | None) -> bool:
        """Whether a row of `person`'s, shared with `shared` (None, EVERYONE or a project), is theirs to look at."""
        return person == self.name or shared == EVERYONE or shared in self.projects


LOCAL = Who("local", admin=True)  # whoever sits at a studio without a login


def visible(who: Who, table: str = "images") -> tuple[str, Sequence[str]]:
    """An SQL condition on `table` (jobs or images) for what they may see, and its parameters."""
    marks = ", ".join("?" * (1 + len(who.projects)))
    return f"({table}.person = ? OR {table}.shared IN ({marks}))", [who.name, EVERYONE, *who.projects]
