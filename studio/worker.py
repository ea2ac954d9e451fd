"""The device worker: a process that leases tasks, draws, saves and scores. `python -m studio.worker`, started by the supervisor.

It is the only process that imports torch. It ends when its standard input does, for then the page is gone.
"""
from __future__ import annotations

import base64
import ctypes
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from models.cards import Catalogue
from models.cloud.keys import guard_logs
from models.errors import StudioError
from models.finish import finish
from models.presets import load_catalogue
from models.scorers import prompt_encoder
from models.scorers.safety import prompt_readers
from models.spec import Engine, ImageSpec, Picture, Preview, Step
from pipelines.tasks import Draft
from studio import events, files
from studio.answering import Answerer
from studio.cache import Cache
from studio.captioning import Captioning
from studio.config import WorkerSetup, quiet_libraries
from studio.engines import Engines
from studio.foresight import hold_seconds
from studio.funnel import Funnel
from studio.judging import Judge
from studio.licences import licence_of
from studio.looking import Looking
from studio.meaning import Reading
from studio.pace import Pace
from studio.profiles import Profiles
from studio.rescoring import Rescorer
from studio.safety import Guardian
from studio.saving import Saver
from studio.settings import Settings
from studio.shelf import shelves
from studio.store import Store, jobs, trainings
from studio.store.jobs import Task

log = logging.getLogger("studio.worker")

LOADING_LEASE = 1800.0  # seconds a task may take before its first step: a big model is read from disk meanwhile
STEP_LEASE = 120.0  # at least this long for the next step
LEASE_STEPS = 20  # and as long as this many steps took
IDLE_SECONDS = 1.0
CANCEL_SECONDS = 0.1
RENEW_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
TRAINS = "A LoRA is being trained. It gives way to what goes first; the rest of the queue waits."
PR_SET_PDEATHSIG = 1  # of Linux' prctl: the signal that comes when the parent has died


class Stopped(Exception):
    """The job was cancelled or has failed meanwhile."""


class Worker:
    """One device, one engine loaded, one task at a time; files are written beside it."""

    def __init__(self, setup: WorkerSetup, store: Store, catalogue: Catalogue) -> None:
        self.setup, self.store, self.catalogue = setup, store, catalogue
        self.wake = threading.Event()
        self.cancelled: set[int] = set()
        self.link: events.Link | None = None
        self._looked = self._renewed = time.monotonic()
        self._keep_until = 0.0  # the loaded card is kept this long for those who wait for it
        self._freed_for: int | None = None  # the training that has the device
        folder, settings, models_dir = Path(setup.data_dir), Settings(store), Path(setup.models_dir) if setup.models_dir else None
        where = partial(shelves, settings, models_dir)
        self.engines = Engines(setup.engine, catalogue, setup.device, where, setup.lowvram)
        self.reading: Reading | None = None
        if self.engines.kind != "scripted":
            _, card = catalogue.tier(setup.family, "preview")
            self.reading = Reading(store, card, where, prompt_encoder(card, where), self.tell)
        cache = Cache(store, folder, catalogue, setup.engine, where, lambda: self.engines.words)
        profiles = Profiles(store)
        self.judge = Judge(store, folder, catalogue, profiles, Funnel(store, folder, profiles, cache), self.engines.scorers)
        self.guardian = Guardian(store, partial(prompt_readers, where))
        self.rescorer = Rescorer(store, self.judge)
        self.captioning = Captioning(store, folder, catalogue, where, self.tell, self.engines)
        self.looking = Looking(store, folder, catalogue, where, self.tell, self.engines)
        self.answerer = Answerer(store, where, self.engines, self.tell)
        self.saver = Saver(store, folder, self.tell, self.wake, self.fail, cache)

    def tell(self, event: str, **message: object) -> None:
        """To the page. The page gone means the end, which standard input brings about."""
        if self.link is not None:
            self.link.send({"event": event, **message})

    def hear(self, message: dict[str, Any]) -> None:
        """From the page, on the link's thread."""
        if "cancel" in message:
            self.cancelled.add(message["cancel"])
        if "read" in message and self.reading:
            self.reading.ask(message["read"])
        self.answerer.hear(message)
        self.wake.set()

    def warm_up(self) -> None:
        """Draws and scores one picture of the default family, so that the first click does not pay for imports and loading."""
        self.tell("device", state="starting", note="", words="")
        note = ""
        try:
            tier, card = self.catalogue.tier(self.setup.family, "preview")
            self.engines.prepare()
            self.judge.device = self.engines.words
            if self.engines.machine:
                self.tell("machine", **asdict(self.engines.machine))
            if trainings.holder(self.store) is not None:
                return  # the device is a training's, and stays so
            width, height = min(tier.sizes.values(), key=lambda size: size[0] * size[1])
            spec = ImageSpec("warm-up", width, height, min(2, tier.steps), tier.guidance, (0,))
            for event in self.engines.get(card.name).generate(spec):
                if isinstance(event, Picture):
                    self.judge.warm_up(event.image, card.name)
        except StudioError as error:
            note = str(error)
        except Exception as error:
            log.exception("warming up failed")
            note = f"Warming up failed ({type(error).__name__}: {error}); see logs/worker.log."
        self.tell("device", state="ready", note=note, words=self.engines.words)

    def run(self) -> None:
        """Works until the process ends. What it cannot write down ends it: the supervisor gives back its tasks and starts another."""
        busy = False
        while True:
            self.saver.check()
            loaded = self.engines.card if time.monotonic() < self._keep_until else None
            trains = trainings.holder(self.store)
            task = jobs.lease(self.store, self.setup.name, LOADING_LEASE, loaded, scoring=trains is not None)
            at_work = task is not None or self.saver.busy or self.answerer.waiting
            if busy != at_work:
                busy = at_work
                state = "busy" if busy else "ready" if trains is None else "training"
                self.tell("device", state=state, note=TRAINS if state == "training" else "", words=self.engines.words)
            if task is None and trains is not None:
                if not self.saver.busy:  # what is being saved is scored first
                    self._make_room(trains)
                self.wake.wait(CANCEL_SECONDS if self.saver.busy else IDLE_SECONDS)
                self.wake.clear()
                continue
            if self._freed_for is not None:
                self._freed_for = None
                self.tell("device", state="busy" if at_work else "ready", note="", words=self.engines.words)
            if task is None:
                if self.answerer.catch_up():
                    continue
                if self.captioning.catch_up() or self.looking.catch_up():
                    continue
                if rescored := self.rescorer.catch_up():
                    for image in rescored:
                        self.tell("image", id=image)
                    continue
                if self.reading and self.reading.catch_up():
                    continue
                self.wake.wait(IDLE_SECONDS)
                self.wake.clear()
                continue
            self.do(task)

    def _make_room(self, training: int) -> None:
        """Lets go of the device, once for each time that a training gets it."""
        if self._freed_for != training:
            self.engines.release()
            self.captioning.release()
            self.looking.release()
            self._freed_for = training
            self.tell("device", state="training", note=TRAINS, words=self.engines.words)
        trainings.free(self.store, training, self.setup.name)

    def do(self, task: Task) -> None:
        """One task, with every way it can end."""
        self.tell("job", id=task.job)
        try:
            if task.kind == "draft":
                self.guardian.check(task.job)
                self.draw(task)
            else:
                for image in self.judge.judge(task):
                    self.tell("image", id=image)
        except Stopped:
            self.saver.wait()
            with self.store.write() as db:
                jobs.close_draft(db, task, stopped=True)
        except Exception as error:  # noqa: BLE001 - handed to fail(), which logs it whole
            self.saver.wait()
            self.fail(task, error)
        self.cancelled.discard(task.job)
        self.tell("job", id=task.job)

    def fail(self, task: Task, error: BaseException) -> None:
        """Ends the task's job with what a person can mend, or with where the bug is written down."""
        if isinstance(error, StudioError):
            jobs.fail_task(self.store, task, error.what, error.why, error.todo)
        else:
            log.error("job %d, %s task %d", task.job, task.kind, task.id, exc_info=error)
            why = f"{type(error).__name__}: {error}"[:500]
            where = Path(self.setup.data_dir) / "logs" / "worker.log"
            what = f"A bug stopped this job: see {where}, job {task.job}."
            jobs.fail_task(self.store, task, what, why, "Please report it with that text.")
        self.tell("job", id=task.job)

    def draw(self, task: Task) -> None:
        """Draws what is missing of a batch; each finished picture goes to the saver at once. Raises Stopped."""
        draft = Draft.from_dict(task.payload)
        draft = draft.only(jobs.missing(self.store, task.job, draft.numbers))
        if not draft.numbers:
            with self.store.write() as db:
                jobs.close_draft(db, task, stopped=False)
            return
        number = dict(zip(draft.spec.seeds, draft.numbers, strict=True))
        about = self.saver.about(task.job, draft) | {"licence": licence_of(self.catalogue.card(draft.card))}
        loaded = self.engines.card
        engine = self.engines.get(draft.card)
        pace = Pace(self.store, self.engines.words, draft, task.job)
        drawn: list[Picture] = []
        with self._checked(engine, draft.spec, task.job) as stream:
            for event in stream:
                if isinstance(event, Step):
                    eta = pace.step(event)
                    self._step(task, [number[seed] for seed in event.seeds], event.index, event.total, eta, pace.longest)
                elif isinstance(event, Preview):
                    self._show(task.job, number[event.seed], event)
                elif draft.finish is None:
                    pace.picture()
                    self.saver.save(task, draft, number[event.seed], event, about)
                else:
                    drawn.append(event)
        # Finishing draws too, so it waits until the engine has let go of the batch.
        for picture in drawn:
            assert draft.finish is not None

            def on_step(done: int, total: int, numbers: list[int] = [number[picture.seed]]) -> None:  # noqa: B006
                if self._stopped(task.job):
                    raise Stopped
                self._step(task, numbers, done, total, pace.left(), pace.longest)

            whole = finish(engine, picture, draft.finish, draft.spec, on_step)
            pace.picture()
            self.saver.save(task, draft, number[picture.seed], whole, about)
        pace.learn(loaded=loaded == draft.card)
        if pace.loading is not None:
            self._keep_until = time.monotonic() + hold_seconds(pace.loading)

    @contextmanager
    def _checked(self, engine: Engine, spec: ImageSpec, job: int) -> Iterator[Iterator[Step | Preview | Picture]]:
        """The engine's events; raises Stopped at the next one after a cancel, and always closes the stream, which stops the device."""
        stream = engine.generate(spec)

        def checked() -> Iterator[Step | Preview | Picture]:
            for event in stream:
                if self._stopped(job):
                    raise Stopped
                yield event

        try:
            yield checked()
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _stopped(self, job: int) -> bool:
        """The page pushes a cancel; the database, looked at now and then, is what holds."""
        if job not in self.cancelled and time.monotonic() - self._looked > CANCEL_SECONDS:
            self._looked = time.monotonic()
            if jobs.has_ended(self.store, job):
                self.cancelled.add(job)
        return job in self.cancelled

    def _step(self, task: Task, numbers: list[int], step: int, steps: int, eta: float | None, longest: float) -> None:
        """Tells of a step, and holds on to the task for as long as the next ones may take."""
        self.tell("step", job=task.job, numbers=numbers, step=step, steps=steps, eta=eta)
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renewed = time.monotonic()
            jobs.renew(self.store, task.id, self.setup.name, max(STEP_LEASE, LEASE_STEPS * longest))

    def _show(self, job: int, number: int, preview: Preview) -> None:
        data = base64.b64encode(files.preview_jpeg(preview.image)).decode("ascii")
        self.tell("preview", job=job, number=number, src=f"data:image/jpeg;base64,{data}")


def main() -> None:
    quiet_libraries()
    setup = WorkerSetup.from_line(sys.stdin.buffer.readline())
    _end_with_parent()
    handler = logging.handlers.RotatingFileHandler(Path(setup.data_dir) / "logs" / "worker.log", maxBytes=2 * 2**20, backupCount=3)
    guard_logs(handler)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    worker = Worker(setup, Store(Path(setup.data_dir) / "studio.db"), load_catalogue())
    worker.link = events.connect(setup.address, bytes.fromhex(setup.key), worker.hear)
    with _alone(worker, Path(setup.data_dir)):
        worker.warm_up()
        worker.run()


@contextmanager
def _alone(worker: Worker, folder: Path) -> Iterator[None]:
    """Holds the device. A worker of a page that was killed lets go of it within moments; only one that hangs is waited for longer."""
    lock = FileLock(folder / "worker.lock")
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        note = "The worker of an earlier start still holds the device. End that process, and this one goes on."
        log.warning(note)
        worker.tell("device", state="starting", note=note, words="")
        lock.acquire()
    with lock:
        yield


def _end_with_parent() -> None:
    """The page's end is ours, however it ends and whatever we are doing."""
    if sys.platform == "linux":
        # From the system itself, for a thread of ours runs only when a native library lets it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait() -> None:
        sys.stdin.buffer.read()
        # At once: nothing here is worth finishing that a page without us could not start again.
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


if __name__ == "__main__":
    main()
