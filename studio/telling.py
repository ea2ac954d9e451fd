"""What the worker says and browsers hear: steps, previews, jobs and pictures as they change, and the state of the device."""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.machine import usable_cores
from models.memory import Machine
from studio.events import Message, Owner
from studio.store import images, jobs, views
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """The batch a job is drawing, as the worker last told."""

    step: int
    steps: int
    eta: float | None
    told: float  # monotonic seconds

    @property
    def left(self) -> float:
        """Seconds by now; 0 where nothing is known."""
        return max(0.0, (self.eta or 0.0) - (time.monotonic() - self.told))


class Teller:
    """Passes on what happens; any thread may call it. `words`: the device in words, as it was known last. `state`: of the worker."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store, self._hub = studio, studio.store, studio.hub
        self.state, self.note = "starting", ""
        self.words = self._store.setting("device") or Machine("cpu", "", 0, 0, usable_cores()).words
        self._progress: dict[int, Progress] = {}
        self._owners: dict[int, Owner] = {}
        self._lock = threading.Lock()

    def device(self) -> Json:
        return {
            "device": {"words": self.words, "state": self.state, "note": self.note},
            "queued": jobs.count_queued(self._store),
            "paused": self._studio.queue.why_paused(),
        }

    def live(self) -> dict[int, float]:
        """Seconds left of the jobs that are being drawn, by their own steps."""
        return {job: progress.left for job, progress in list(self._progress.items()) if progress.eta is not None}

    def job_view(self, row: Any) -> Json:
        """A row of jobs as browsers see it, with where it stands and how long it will take."""
        view = views.job_view(self._store, row)
        if row["state"] not in ("queued", "running"):
            return view | {"step": view["steps"] if row["state"] == "done" else 0}
        seen, progress = self._studio.queue.outlook(row["id"]), self._progress.get(row["id"])
        view |= {"position": seen.position, "eta": None if row["paused"] else seen.eta}
        away = self._studio.cloud.seconds_left(row["id"])
        if away is not None:
            view["eta"] = away if seen.position is None else None if view["eta"] is None else max(view["eta"], away)
        if progress is None:
            return view
        view |= {"step": progress.step, "steps": progress.steps}
        if progress.eta is not None and view["eta"] is not None:
            view["eta"] = round(progress.left + seen.others, 2)
        return view

    def image_view(self, row: Any, who: Who | None) -> Json:
        return views.image_views(self._store, [row], self._studio.percentiles, who)[0]

    def hear(self, message: Message) -> None:
        """A message of the worker's, on the link's thread."""
        event = message.pop("event")
        studio = self._studio
        if event == "step":
            self._progress[message["job"]] = Progress(message["step"], message["steps"], message["eta"], time.monotonic())
            if message["eta"] is not None:
                message["eta"] = round(message["eta"] + studio.queue.outlook(message["job"]).others, 2)
            self._hub.publish("step", message, self._owner(message["job"]))
        elif event == "preview":
            self._hub.publish("preview", message, self._owner(message["job"]))
        elif event == "image":
            self.tell_image(message["id"])
        elif event == "job":
            if message["id"] in self._progress:  # a batch has begun or ended: what the last one said of the time left is old
                self._progress[message["id"]].eta = None
            self.tell_jobs([message["id"]])
            studio.experimenter.wake()
            studio.evaluations.evaluator.wake()
        elif event == "evaluation":
            studio.evaluations.evaluator.wake()
        elif event == "dataset":
            studio.datasets.told(message["id"])
        elif event == "meaning":
            studio.meanings.heard(message)
        elif event == "answered":
            studio.questions.heard(message)
        elif event == "machine":
            studio.shelf.machine_is(message)
        elif event == "device":
            if message["words"] and message["words"] != self.words:
                self.words = message["words"]
                self._store.set("device", self.words)
            self.device_is(message["state"], message["note"])
        else:
            log.warning("the worker said %r, which nobody understands", event)

    def device_is(self, state: str, note: str) -> None:
        # What went wrong while warming up stays on show until a task tells otherwise.
        with self._lock:
            self.state, self.note = state, note
        self._studio.questions.device_is(state)
        self._hub.publish("device", self.device())

    def tell_jobs(self, ids: Sequence[int]) -> None:
        for job in ids:
            row = jobs.job_row(self._store, job)
            if row["state"] not in ("queued", "running"):
                self._progress.pop(job, None)
            self._owners.pop(job, None)
            if self._hub.watched:
                self._hub.publish("job", self.job_view(row), (row["person"], row["shared"]))
        if self._hub.watched:
            self._hub.publish("device", self.device())

    def tell_image(self, image: int) -> None:
        """Tells everybody who may see a picture; its owner hears it as theirs, with their boards."""
        if not self._hub.watched:
            return
        row = images.image_row(self._store, image, drawn=False)
        if row["shared"] is not None and row["trashed"] is None:
            self._hub.publish("image", self.image_view(row, None), (row["person"], row["shared"]))
        self._hub.publish("image", self.image_view(row, Who(row["person"])), (row["person"], None))

    def _owner(self, job: int) -> Owner:
        """Whose a job is, and whom it is shared with: asked of the database once a batch, not once a step."""
        if job not in self._owners:
            row = jobs.job_row(self._store, job)
            self._owners[job] = (row["person"], row["shared"])
        return self._owners[job]
