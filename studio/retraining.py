"""LoRAs that are trained again by themselves: when their dataset has changed, at hours when nobody draws, and no longer than is allowed.

Three things must be said: which LoRAs (by those who may change them), from when until when (an admin), and how many minutes of the device
a night (an admin; 0: none). A training that the hours or the minutes end gives way, and goes on the next night.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.errors import StudioError
from studio.store import loras, trainings
from studio.store.db import now
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

FROM, UNTIL, MINUTES = "retraining.from", "retraining.until", "retraining.minutes"


class Retraining:
    """Any thread may ask. create(lora, person, note): puts a training on the queue in somebody's name; its id."""

    def __init__(self, studio: Studio, create: Callable[[str, str, str], int]) -> None:
        self._studio, self._store, self._create = studio, studio.store, create

    def set(self, lora: str, on: bool, who: Who) -> Json:
        """Whether a LoRA is trained again by itself, in the name of `who`. Raises NotFound, NotYours."""
        self._studio.loras.own(lora, who)
        with self._store.write() as db:
            db.execute("DELETE FROM retrainings WHERE lora = ?", [lora])
            if on:
                db.execute("INSERT INTO retrainings VALUES (?, ?, ?)", [lora, who.name, now()])
        return self.view(who)

    def view(self, who: Who) -> Json:
        """{"loras": [{"name", "person", "stale": what changed, None: nothing}] that they may see, "open": whether it is time, "from" and
        "until": hours, "minutes": allowed a night, "used": of them}."""
        found = []
        for row in self._rows():
            if loras.sees(self._store.db.execute("SELECT * FROM loras WHERE name = ?", [row["lora"]]).fetchone(), who):
                stale = self._studio.datasets.stale(row["lora"])
                found.append({"name": row["lora"], "person": row["person"], "stale": stale["words"] if stale else None})
        start = self.began()
        hours = {"from": self._get(FROM), "until": self._get(UNTIL), "minutes": self._get(MINUTES)}
        return {"loras": found, "open": start is not None, **hours, "used": round(self._used(start or datetime.now(UTC)) / 60, 2)}

    def may_go_on(self) -> bool:
        """Whether it is time, and minutes are left."""
        start = self.began()
        return start is not None and self._used(start) < self._get(MINUTES) * 60

    def look(self) -> int | None:
        """Puts the next LoRA whose dataset has changed on the queue, if it is time; the training's id."""
        if not self.may_go_on():
            return None
        for row in self._rows():
            stale = self._studio.datasets.stale(row["lora"])
            if stale is None or trainings.open_of(self._store, row["lora"]) is not None or self._tried(row["lora"], stale["dataset"]):
                continue
            try:
                return self._create(row["lora"], row["person"], f"By itself: {stale['words']}.")
            except StudioError as error:
                log.info("%s is not trained again: %s", row["lora"], error)
        return None

    def began(self) -> datetime | None:
        """When the hours that run now began, None outside of them. The same hour twice: all day."""
        clock = datetime.now().astimezone()
        start, end = int(self._get(FROM)), int(self._get(UNTIL))
        inside = start <= clock.hour < end if start < end else clock.hour >= start or clock.hour < end
        if not inside or not self._get(MINUTES):
            return None
        day = clock if clock.hour >= start else clock - timedelta(days=1)
        return day.replace(hour=start, minute=0, second=0, microsecond=0).astimezone(UTC)

    # How it is done.

    def _get(self, name: str) -> float:
        return float(self._studio.settings.get(name))

    def _rows(self) -> list[trainings.Row]:
        return self._store.db.execute("SELECT * FROM retrainings ORDER BY created, lora").fetchall()

    def _used(self, since: datetime) -> float:
        """Seconds that trainings begun by themselves have had the device."""
        at = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        select = """SELECT coalesce(sum(training_stretches.seconds), 0) FROM training_stretches
            JOIN trainings ON trainings.id = training_id WHERE automatic = 1 AND training_stretches.started >= ?"""
        return float(self._store.db.execute(select, [at]).fetchone()[0])

    def _tried(self, lora: str, dataset: int) -> bool:
        """Whether this very state of the dataset was trained on already, however that ended: it would end so again."""
        changed = self._store.db.execute("SELECT changed FROM datasets WHERE id = ?", [dataset]).fetchone()["changed"]
        select = "SELECT max(created) AS created FROM trainings WHERE lora = ? AND dataset_id = ?"
        last = self._store.db.execute(select, [lora, dataset]).fetchone()["created"]
        return last is not None and last >= changed
