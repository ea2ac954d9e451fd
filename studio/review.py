"""The review room: what waits for a person, handed out so that nobody looks twice, and what they said of it.

Verdicts are blind unless somebody asks to see the scores: a person who knows what was measured agrees with it. Nothing that is handed
out tells what the studio thinks of a picture, not even the order.
"""
from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from pipelines.fields import shown, text, whole
from pipelines.profile import Profile, shipped_dimensions
from studio.store import images, jobs, verdicts, views
from studio.store.db import days_ago
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

SEAT_LIMIT, COUNT_LIMIT, REASONS_LIMIT = 40, 12, 40
FRESH_SECONDS = 60.0
SESSION_DAYS = 0.5  # what counts as "so far" in a reviewer's progress
# Two verifiers of one thing: a person has one reason for both.
SAME = {"adherence_b": "adherence"}
# Nobody sees these by looking.
UNSEEN = {"resolution", "longest_side", "shortest_side", "colour_space"}


class Review:
    """What the review's routes call. Each method takes who asks; all raise BadInput and NotFound.

    A *seat* is one window of one person, by a word that the page makes up: two windows are handed different pictures, and each takes
    back its own verdicts.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._widths: tuple[float, dict[verdicts.Scored, float]] = (-FRESH_SECONDS, {})
        self._lock = threading.Lock()

    def next(self, data: Mapping[Any, Any], who: Who) -> Json:
        """The next pictures for a seat, at most `count`, in the order in which they are to be looked at. `left` counts all that wait."""
        seat, count = _seat(data), whole(data, "count", 1, COUNT_LIMIT, 4)
        waiting = verdicts.backlog(self._store, who, self._share(), self._close())
        found = verdicts.claim(self._store, who, seat, waiting, count)
        return self._state(seat, len(waiting)) | {"items": [self._item(image, who) for image in found]}

    def say(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """A verdict: {"approved", "reasons": [dimension]}. Raises NotNow when somebody was quicker."""
        seat, approved = _seat(data), data.get("approved")
        if not isinstance(approved, bool):
            raise BadInput("approved", "approved must be true or false.")
        row = images.image_row(self._store, image, who)
        reasons = self._reasons(data.get("reasons"), approved, row)
        with self._store.write() as db:
            row = images.image_row(self._store, image, who)  # as it is now that nobody else can change it
            self._free(db, row, seat)
            verdicts.say(db, row, who, seat, approved, reasons)
        self._studio.tell_image(image)
        return {"id": image, "approved": approved, "reasons": list(reasons)}

    def show(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """What the studio thinks of a picture. What its reviewer says afterwards is kept as not blind."""
        seat = _seat(data)
        row = images.image_row(self._store, image, who)
        with self._store.write() as db:
            verdicts.show(db, image, who, seat)
        view = views.image_views(self._store, [row], self._studio.percentiles, who)[0]
        return {name: view[name] for name in ("id", "verdict", "reasons", "scores", "rank")}

    def pass_on(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Leaves a picture to others."""
        seat = _seat(data)
        images.image_row(self._store, image, who)
        with self._store.write() as db:
            verdicts.pass_on(db, image, who, seat)
        return {"id": image}

    def undo(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Takes back the last verdict of a seat: the picture as an item, with what had been said. Raises NotNow when there is none."""
        seat = _seat(data)
        with self._store.write() as db:
            last = verdicts.take_back(db, seat, who)
        if last is None:
            raise NotNow("There is nothing to take back.", "No verdict of this window stands.")
        self._studio.tell_image(last["image_id"])
        said = {"approved": bool(last["approved"]), "reasons": json.loads(last["reasons"])}
        return self._item(last["image_id"], who) | {"said": said}

    def _item(self, image: int, who: Who) -> Json:
        """A picture to look at: what was asked for, and nothing of what was measured."""
        row = images.image_row(self._store, image, who)
        job = jobs.job_row(self._store, row["job_id"])
        asked = jobs.request_of(job)
        same = ("id", "number", "width", "height", "prompt", "tier", "card", "stage", "person")
        return {name: row[name] for name in same} | {
            "job": row["job_id"],
            "url": f"/image/{row['id']}.png",
            "thumb": f"/thumb/{row['id']}.webp",
            "card_title": self._card_title(row["card"]),
            "profile": job["profile"],
            "texts": asked.get("texts") or [],
            "palette": asked.get("palette") or [],
            "likeness": self._reference(asked, who),
            "reasons": [{"dimension": name, "title": title} for name, title in self._choices(job, row["card"]).items()],
        }

    def _choices(self, job: sqlite3.Row, card: str) -> dict[str, str]:
        """What a picture can be rejected for, by its profile: what decides first. Dimension -> title."""
        profile = self._profile_of(job)
        bars = profile.bars_for(card)
        order = [*profile.ranks, *(name for name in bars if bars[name].hard), *bars]
        return {name: title_of(name) for name in dict.fromkeys(SAME.get(name, name) for name in order) if name not in UNSEEN}

    def _profile_of(self, job: sqlite3.Row) -> Profile:
        return self._studio.profiles.of_job(job)

    def _reference(self, asked: Mapping[str, Any], who: Who) -> str | None:
        """The picture that it should be like, as far as the reviewer may see it."""
        wanted = asked.get("likeness") or asked.get("image")
        if not isinstance(wanted, int):
            return None
        try:
            images.image_row(self._store, wanted, who)
        except NotFound:  # gone, or somebody's own: the reviewer judges without it
            return None
        return f"/thumb/{wanted}.webp"

    def _reasons(self, value: object, approved: bool, row: sqlite3.Row) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > REASONS_LIMIT or not all(isinstance(one, str) for one in value):
            raise BadInput("reasons", "reasons must be a list of dimensions.", f"This is {shown(value)}.")
        if approved and value:
            raise BadInput("reasons", "A picture that is approved has no reasons against it.")
        known = self._choices(jobs.job_row(self._store, row["job_id"]), row["card"])
        for one in value:
            if one not in known:
                raise BadInput("reasons", f"{shown(one)} is no dimension of this picture's profile.", f"Those are {', '.join(known)}.")
        return list(dict.fromkeys(value))

    def _free(self, db: sqlite3.Connection, row: sqlite3.Row, seat: str) -> None:
        """Raises NotNow where somebody else has said something of the picture, or is looking at it."""
        said = verdicts.standing(db, row["id"])
        if said is not None:
            raise NotNow(f"Picture {row['id']} has been judged already.", f"By {said['person']}.", "Go on with the next one.")
        claimed = verdicts.claim_of(db, row["id"])
        if claimed is not None and claimed["seat"] != seat and not claimed["passed_on"]:
            raise NotNow(f"{claimed['person']} is looking at picture {row['id']}.", "", "Go on with the next one.")

    def _state(self, seat: str, left: int) -> Json:
        given = verdicts.given_since(self._store, seat, days_ago(SESSION_DAYS))
        return {"left": left, "more": left >= verdicts.BACKLOG, "given": given, "others": verdicts.reviewers(self._store, seat)}

    def _share(self) -> float:
        return float(self._studio.settings.get("review.sample")) / 100

    def _close(self) -> dict[verdicts.Scored, float]:
        with self._lock:
            read, widths = self._widths
            if time.monotonic() - read > FRESH_SECONDS:
                widths = verdicts.close_widths(self._store)
                self._widths = (time.monotonic(), widths)
            return widths

    def _card_title(self, card: str) -> str:
        found = self._studio.catalogue.cards.get(card)
        return found.title if found else card


def title_of(dimension: str) -> str:
    """As people read it; a dimension that is not measured any more by its name."""
    try:
        title = shipped_dimensions().dimension(dimension).title
    except NotFound:
        return dimension.replace("_", " ")
    _, colon, argument = dimension.partition(":")
    return f"{title} {argument}" if colon else title


def _seat(data: Mapping[Any, Any]) -> str:
    seat = text(data, "seat", SEAT_LIMIT)
    if not seat:
        raise BadInput("seat", "seat is missing: a word for the window that asks.")
    return seat
