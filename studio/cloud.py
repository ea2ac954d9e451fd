"""The cloud as the studio has it: the dispatcher, the worker behind its socket, and what both tell the page."""
from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from models.cloud.keys import hide
from studio.cloudsupervisor import CloudSupervisor
from studio.dispatch import Dispatcher
from studio.events import Door, Message
from studio.store import cloudhealth, cloudtasks, jobs
from studio.store.cloudtasks import Travel

if TYPE_CHECKING:
    from models.cards import ModelCard
    from pipelines.plan import Plan
    from pipelines.request import Request
    from studio.funnel import Funnel
    from studio.store.people import Who
    from studio.studio import Studio

log = logging.getLogger(__name__)


class Cloud:
    """funnel, is_here: see `Dispatcher`. Any thread may call it."""

    def __init__(self, studio: Studio, funnel: Funnel, is_here: Callable[[ModelCard], bool]) -> None:
        self._studio, self._store, self.is_here = studio, studio.store, is_here
        self._door = Door(self._hear)
        self.note = ""  # why there is no worker, where one should be
        self.dispatcher = Dispatcher(studio, funnel, is_here, self._sent)
        self._supervisor = CloudSupervisor(self._door, studio.data_dir, self.wanted, studio.providers.child_env, self._down)

    @property
    def worker_pid(self) -> int | None:
        return self._supervisor.pid

    def start(self) -> None:
        self.dispatcher.start()
        self._supervisor.start()

    def stop(self) -> None:
        """What is under way at providers is gone on with at the next start."""
        self.dispatcher.stop()
        self._supervisor.stop()
        self._door.close()

    def wanted(self) -> bool:
        """Whether there is to be a worker: the cloud is on, or something is under way that was paid for."""
        if self._studio.settings.get("cloud.enabled"):
            return True
        under_way = "SELECT 1 FROM charges WHERE state = 'submitted' OR (state = 'reserved' AND begun IS NOT NULL) LIMIT 1"
        return self._store.db.execute(under_way).fetchone() is not None

    # What is asked of it when a request comes.

    def draws_instead(self, card: ModelCard, plan: Plan, request: Request, who: Who) -> bool:
        """Whether a card that is not on this machine is drawn by a provider. False for one that is here, and for a request that stays.

        Raises OverBudget with the numbers, and Unavailable where it may go and nobody can draw it.
        """
        if request.where == "local" or self.is_here(card):
            return False
        finals = request.keep if plan.sketch else len(request.seeds)
        for batch, count in ((plan.sketch, len(request.seeds)), (plan.finishing, finals)):
            if batch is not None and batch.card == card.name:
                self.dispatcher.require(batch, count, request, who)
        return True

    def away(self, plan: Plan, request: Request) -> list[str]:
        """The cards of a plan that are not on this machine and that a provider draws instead."""
        if request.where == "local":
            return []
        return [name for name in plan.cards if not self.is_here(self._studio.catalogue.card(name))]

    # What is told.

    def seconds_left(self, job: int) -> float | None:
        """Until the calls of a job are likely to have ended, by what such calls usually take; None where none is under way."""
        left = []
        for charge in cloudtasks.on_the_way(self._store, job):
            row = self._store.db.execute("SELECT route FROM tasks WHERE id = ?", [charge["task_id"]]).fetchone()
            shares = Travel.of(row["route"] if row else None).route.get("shares", ())
            usual = [one["seconds"] for one in shares if (one["provider"], one["model"]) == (charge["provider"], charge["model"])]
            gone = (datetime.now(UTC) - datetime.fromisoformat(charge["begun"])).total_seconds() if charge["begun"] else 0.0
            left.append(max(0.0, max(usual, default=0.0) - gone))
        return round(max(left), 2) if left else None

    def wake(self) -> None:
        """The queue changed: to be called after every change of it, as the device worker is woken."""
        self.dispatcher.wake()
        self._door.send({"wake": True})

    def configured(self, provider: str = "") -> None:
        """A key, an account or a setting was changed by somebody: it counts from now on."""
        if provider:
            cloudhealth.configured(self._store, provider)
        self._supervisor.changed()
        self._door.send({"configured": provider})
        self.dispatcher.wake()
        self._changed()

    def _sent(self, ids: list[int]) -> None:
        """The dispatcher has decided about these jobs."""
        self._door.send({"wake": True})
        self._studio.queue_changed(ids)
        self._changed()

    def _down(self, words: str) -> None:
        self.note = words
        self._changed()

    def _changed(self) -> None:
        self._studio.hub.publish("cloud", {"changed": True})

    def _hear(self, message: Message) -> None:
        """A message of the cloud worker's, on the link's thread."""
        event = message["event"]
        if event == "job":
            self._studio.queue_changed([message["id"]])
            self._changed()
        elif event == "image":
            self._studio.tell_image(message["id"])
        elif event == "scoring":
            self._studio.wake_worker()
        elif event == "cloudstate":
            row = jobs.job_row(self._store, message["job"])
            told = {name: message[name] for name in ("job", "numbers", "place")} | {"words": hide(message["words"])}
            self._studio.hub.publish("cloud", {"changed": False} | told, (row["person"], row["shared"]))
        elif event == "ready":
            self.note = ""
            self._changed()
        else:
            log.warning("the cloud worker said %r, which nobody understands", event)
