"""The one tree of errors that a person can mend; anything else is a bug and is logged whole.

    StudioError            what happened, why, and what to do about it
    |-- BadInput           a field of a request, a preset or a file is not acceptable; `field` names it
    |-- NotFound           a job, an image, a card that does not exist (or that this person may not see)
    |-- Unavailable        weights, a package or a device that is not here
    `-- OutOfMemory        the device could not hold even one picture of this size
"""
from __future__ import annotations


class StudioError(Exception):
    """Something a person can mend.

    `what` is one sentence on what happened, `why` its cause, `todo` the next step; both may be empty.
    `str(error)` joins them. `as_dict()` is what the page and the HTTP door show.
    """

    field: str | None = None

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        self.what, self.why, self.todo = what, why, todo
        super().__init__(" ".join(part for part in (what, why, todo) if part))

    def as_dict(self) -> dict[str, str | None]:
        return {"field": self.field, "what": self.what, "why": self.why, "todo": self.todo}


class BadInput(StudioError):
    """A value that was refused before it cost anything. `field` is its name, dotted where nested (`loras.0.weight`)."""

    def __init__(self, field: str, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo)
        self.field = field


class NotFound(StudioError):
    """A record that does not exist, or that the person who asks may not see."""


class Unavailable(StudioError):
    """Weights, a package or a device that this machine does not have."""


class OutOfMemory(StudioError):
    """The device could not hold even one picture of the size asked for."""
