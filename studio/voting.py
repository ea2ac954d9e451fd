"""Blind votes: two pictures of one pair side by side, and nothing that tells which is which.

Which picture is on the left is decided anew for each person and pair by the experiment's secret, and the pictures are fetched by pair and
side: neither their numbers nor their addresses tell how they were made. A pair is shown to as many people as its design says.
"""
from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from pipelines.fields import one_of, whole
from studio import files
from studio.experimenting import Experimenter
from studio.store import experiments, images
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

AHEAD = 3  # pairs that are told together, so that the next pictures are there before they are looked at
CHOICES = ("left", "right", "tie", "pass")


class Voting:
    """What the routes call. All take who asks; all raise NotFound for experiments that they may not see."""

    def __init__(self, studio: Studio) -> None:
        self._store, self._folder = studio.store, studio.data_dir
        self._maker: Experimenter = studio.experimenter

    def next(self, experiment: int, who: Who) -> Json:
        """The pairs that they may look at next, in the order in which they will be; `left` counts all of them."""
        row = experiments.row_of(self._store, experiment, who)
        waiting = self._waiting(row, who)
        mine = [vote for vote in experiments.vote_rows(self._store, experiment) if vote["person"] == who.name]
        return {
            "experiment": experiment,
            "title": row["title"],
            "closed": self._closed(row),
            "left": len(waiting),
            "given": sum(vote["choice"] != "pass" for vote in mine),
            "pairs": [self._item(row, number) for number in waiting[:AHEAD]],
        }

    def vote(self, experiment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"pair", "choice": left, right, tie or pass}. Raises NotNow when enough people have looked at the pair."""
        number = whole(data, "pair", 1, LARGEST_ID, None)
        if number is None or data.get("choice") is None:
            missing = "pair" if number is None else "choice"
            raise BadInput(missing, f"{missing} is missing.", "", "A choice is left, right, tie or pass.")
        choice = one_of(data, "choice", CHOICES, "", "choices")
        with self._store.write() as db:
            row = experiments.row_of(self._store, experiment, who)
            experiments.pair(self._store, experiment, number)
            if self._closed(row):
                raise NotNow("This experiment has its answer.", "A vote would not count any more.")
            if number not in self._waiting(row, who):
                why = "Enough people have looked at it, or it is not drawn."
                raise NotNow(f"Pair {number} does not wait for you.", why, "Go on with the next one.")
            said = self._arm(row, number, choice, who) if choice in ("left", "right") else choice
            experiments.vote(db, experiment, number, who.name, said)
        self._maker.advance(experiment)
        self._maker.tell(experiment)
        return self.next(experiment, who)

    def undo(self, experiment: int, who: Who) -> Json:
        """Takes back their last vote, for a slip of the hand; the pair comes again. Raises NotNow when there is none."""
        with self._store.write() as db:
            row = experiments.row_of(self._store, experiment, who)
            if self._closed(row):
                raise NotNow("This experiment has its answer.", "It was found with this vote.")
            last = experiments.take_back(db, experiment, who.name)
        if last is None:
            raise NotNow("There is nothing to take back.", "No vote of yours stands.")
        self._maker.tell(experiment)
        found = self.next(experiment, who)
        again = [pair for pair in found["pairs"] if pair["number"] == last["pair"]] or [self._item(row, last["pair"])]
        return found | {"pairs": again + [pair for pair in found["pairs"] if pair["number"] != last["pair"]]}

    def picture(self, experiment: int, number: int, side: str, who: Who) -> Path:
        """The file of one side of a pair as this person sees it. Raises NotFound."""
        row = experiments.row_of(self._store, experiment, who)
        pair = experiments.pair(self._store, experiment, number)
        if side not in ("left", "right") or pair.seen is None or pair.why:
            raise NotFound("There is no such picture.")
        arm = self._arm(row, number, side, who)
        return files.find_picture(self._folder, images.image_row(self._store, pair.seen[arm]["image"])["path"])

    # How it is done.

    def _closed(self, row: sqlite3.Row) -> bool:
        """Where people decide, votes end with the experiment; elsewhere they are told beside what decides, at any time."""
        return row["state"] == "ended" and self._maker.design(row).outcome.kind == "preference" and row["finding"] != "none"

    def _waiting(self, row: sqlite3.Row, who: Who) -> list[int]:
        """Numbers of the pairs that this person may still look at."""
        if row["state"] == "draft" or self._closed(row):
            return []
        wanted = self._maker.design(row).votes
        votes = experiments.vote_rows(self._store, row["id"])
        full: dict[int, int] = {}
        for vote in votes:
            if vote["choice"] != "pass":
                full[vote["pair"]] = full.get(vote["pair"], 0) + 1
        mine = {vote["pair"] for vote in votes if vote["person"] == who.name}
        drawn = [one for one in experiments.pairs(self._store, row["id"]) if one.seen is not None and not one.why]
        there = self._there([one.seen[arm]["image"] for one in drawn if one.seen for arm in ("a", "b")])
        return [
            one.number for one in drawn
            if one.number not in mine and full.get(one.number, 0) < wanted
            and one.seen is not None and {one.seen["a"]["image"], one.seen["b"]["image"]} <= there
        ]  # fmt: skip

    def _there(self, ids: list[int]) -> set[int]:
        """Those of the pictures that nobody has thrown away."""
        marks = ", ".join("?" * len(ids))
        return {row["id"] for row in self._store.db.execute(f"SELECT id FROM images WHERE trashed IS NULL AND id IN ({marks})", ids)}

    def _item(self, row: sqlite3.Row, number: int) -> Json:
        design = self._maker.design(row)
        place = design.row_of(number)
        at = f"/api/experiments/{row['id']}/pairs/{number}"
        # What both were asked for: what sets them apart would tell which is which.
        return {"number": number, "asked": {**design.base, **design.rows[place]}, "left": f"{at}/left", "right": f"{at}/right"}

    def _arm(self, row: sqlite3.Row, number: int, side: str, who: Who) -> str:
        """Which of the two is on this side for this person."""
        swapped = hashlib.sha256(f"{row['secret']}/{number}/{who.name}".encode()).digest()[0] % 2 == 1
        return "ab"[(side == "right") != swapped]
