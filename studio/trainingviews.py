"""Trainings as the page and the HTTP door show them: how far each is, its curves, samples and notes, and why it failed."""
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import NotFound, StudioError
from pipelines.training.config import RUN, as_table, read_run
from pipelines.training.events import curves, read_events, valid
from studio.store import loras, trainings
from studio.store.people import Who
from studio.store.trainings import HELD, Row
from studio.store.turns import why_paused
from studio.store.views import Json
from studio.trainer import BEST, folder_of

if TYPE_CHECKING:
    from studio.studio import Studio

POINTS = 400  # of a curve: what a screen shows
TAIL = 40  # events and notes
SAME = (
    "id", "person", "lora", "card", "state", "asked", "steps", "gives_way", "note", "number", "parent", "created", "started", "finished",
)  # fmt: skip
TOLD = ("step", "loss", "validation", "prior", "best", "best_step", "eta", "seconds", "memory", "words")
VEILED = ("id", "state", "step", "steps", "eta")


class TrainingViews:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def overview(self, who: Who, lora: str = "") -> Json:
        """{"trainings": newest first, "others": what else waits for the device or has it, "device": the id of the one that has it}."""
        veiled = [self.veiled(row, who) for row in trainings.others(self._store, who)]
        found = [self.short(row, who) for row in trainings.rows(self._store, who, lora)]
        return {"trainings": found, "others": veiled, "device": trainings.holder(self._store)}

    def view(self, training: int, who: Who) -> Json:
        """One with its settings, curves, samples and notes. Raises NotFound."""
        row = trainings.row_of(self._store, training, who)
        folder = folder_of(self._studio.data_dir, training)
        events, offset = read_events(folder)
        counted = valid(events)
        settings: Json | None = None
        try:
            settings = as_table(read_run(folder))
        except StudioError:  # its folder was moved or deleted outside the studio
            settings = None
        file = folder / RUN
        return self.short(row, who) | {
            "settings": settings,
            "toml": file.read_text(encoding="utf-8") if file.is_file() else "",
            "curves": {name: thinned(points) for name, points in curves(counted).items()},
            "samples": self._samples(training, folder, counted),
            "notes": [one.get("words", "") for one in events if one.get("event") == "note"][-TAIL:],
            "events": events[-TAIL:],
            "next": offset,
            "dataset_version": json.loads(row["dataset"])["version"],
            "stretches": [
                {"started": one["started"], "seconds": one["seconds"], "ended": one["ended"]}
                for one in trainings.stretches(self._store, training)
            ],
        }  # fmt: skip

    def events(self, training: int, after: int, who: Who) -> Json:
        """What was told since `after` (a view's "next"): {"events", "next"}. Raises NotFound."""
        trainings.row_of(self._store, training, who)
        events, offset = read_events(folder_of(self._studio.data_dir, training), max(0, after))
        return {"events": events, "next": offset}

    def sample(self, training: int, step: int, place: int, who: Who) -> Path:
        """A sample picture, counted from 1. Raises NotFound."""
        trainings.row_of(self._store, training, who)
        path = folder_of(self._studio.data_dir, training) / "samples" / f"{step:06d}" / f"{place - 1}.png"
        if not path.is_file():
            raise NotFound(f"Training {training} has no such sample.")
        return path

    def short(self, row: Row, who: Who) -> Json:
        """Without what lies in its folder."""
        progress = json.loads(row["progress"])
        dataset = json.loads(row["dataset"])
        lora = self._store.db.execute("SELECT title, kind FROM loras WHERE name = ?", [row["lora"]]).fetchone()
        return {name: row[name] for name in SAME} | {name: progress.get(name) for name in TOLD} | {
            "step": progress.get("step", 0),
            "eta": progress.get("eta") if row["state"] == "running" else None,
            "title": lora["title"] if lora else row["lora"],
            "kind": lora["kind"] if lora else "",
            "trigger": dataset.get("trigger", ""),
            "card_title": self._studio.loras.title(row["card"]),
            "dataset": {"id": row["dataset_id"], "title": dataset["title"], "count": len(dataset["images"])},
            "automatic": bool(row["automatic"]),
            "mine": row["person"] == who.name,
            "failure": json.loads(row["failure"]) if row["failure"] else None,
            "device_seconds": round(trainings.device_seconds(self._store, row["id"]), 1),
            "waits": self._waits(row),
            "can": self.can(row),
        }

    def can(self, row: Row) -> list[str]:
        """What may be asked of a training as it stands."""
        state, learnt = row["state"], (folder_of(self._studio.data_dir, row["id"]) / BEST).is_file()
        if state in HELD:
            return ["stop", *(["keep"] if learnt else []), "cancel"]
        if state == "queued":
            return ["stop", *(["keep"] if learnt else []), "cancel"]
        if state == "done":
            return ["remove"]
        return ["resume", *(["keep"] if learnt else []), *(["cancel"] if state != "cancelled" else []), "remove"]

    # How it is done.

    def veiled(self, row: Row, who: Who) -> Json:
        progress = json.loads(row["progress"])
        found = {"id": row["id"], "state": row["state"], "steps": row["steps"], "step": progress.get("step", 0), "eta": progress.get("eta")}
        return {name: found[name] for name in VEILED} | {"person": row["person"] if who.admin else None}

    def _waits(self, row: Row) -> str:
        """Why a training that is queued has not got the device, in words; "" for the others."""
        if row["state"] == "starting":
            return "It begins when the batch that is being drawn is done."
        if row["state"] != "queued":
            return ""
        if paused := why_paused(self._store):
            return f"The queue is paused. {paused}"
        if trainings.holder(self._store) is not None:
            return "Another training has the device."
        first = trainings.next_queued(self._store)
        if first is not None and first["id"] != row["id"]:
            return "Another training comes first."
        if trainings.something_waits(self._store, row["gives_way"], None if row["started"] else row["created"]):
            return "Pictures go first."
        if row["automatic"] and not self._studio.trainings.retraining.may_go_on():
            return "It goes on at night, when there are minutes left for trainings that begin by themselves."
        return "It goes on in a moment: another picture may be wanted." if row["started"] else ""

    def _samples(self, training: int, folder: Path, events: list[Json]) -> list[Json]:
        """Oldest first: {"step", "pictures": [urls]}, those whose files are there."""
        found: dict[int, list[str]] = {}
        for event in events:
            if event.get("event") == "sample":
                files = [Path(file) for file in event.get("files", []) if (folder / file).is_file()]
                step = event["step"]
                found[step] = [f"/api/trainings/{training}/samples/{step}/{int(file.stem) + 1}" for file in files]
        return [{"step": step, "pictures": pictures} for step, pictures in sorted(found.items())]


def thinned(points: list[tuple[int, float]]) -> list[list[float]]:
    """At most POINTS of a curve, the last among them; between them the mean of those left out, so that noise does not hide the course."""
    if len(points) <= POINTS:
        return [list(point) for point in points]
    size = -(-len(points) // POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [[group[-1][0], sum(value for _, value in group) / len(group)] for group in groups]


def last_version(studio: Studio, lora: str, who: Who) -> Row | None:
    """The newest version of a LoRA that was trained on a dataset of this studio. Raises NotFound."""
    row = loras.lora_row(studio.store, lora, who)
    found = loras.version_rows(studio.store, [row["id"]])[row["id"]]
    return next((one for one in found if one["dataset"] and json.loads(one["dataset"]).get("dataset")), None)
