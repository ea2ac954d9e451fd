"""SIGKILL of the cloud worker: at each moment of a call, and at any line of what it runs. Another one then goes on."""
from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import faultworker
from benchmarks.faultlane import BEHIND_SECONDS, Outcome, asked_of, draw, make_studio, outcome_of, settle_down
from models.cloud.demo import Demo, DemoProviders, Fault
from studio.providers import place_of
from studio.store.people import LOCAL
from studio.studio import Studio

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([faultworker.__name__])
SECONDS = 30.0
START_SECONDS = 6.0  # in which a worker has begun on a busy machine
AT = {"after the submit left": "submit", "while polling": "poll", "while downloading": "download"}
ANSWERED, DOWNLOADED = "answered, not yet written down", "downloaded, not yet written down"


def KILLS(provider: str) -> tuple[str, ...]:
    if provider in ("together", "openai"):
        return ("after the submit left", ANSWERED, DOWNLOADED)
    return (*AT, ANSWERED, DOWNLOADED)


class Scene:
    """A studio, providers and one request that was dispatched: everything but the worker."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.folder, self.provider = folder, provider
        self.demos = DemoProviders(draw)
        self.studio: Studio = make_studio(folder, self.demos)
        self.studio.settings.set({"cloud.providers": [provider]}, LOCAL)
        self.places: dict[str, Any] = {name: place_of(one) for name, one in self.demos.providers.items()}

    @property
    def demo(self) -> Demo:
        return self.demos[self.provider]

    def send(self) -> int:
        job = self.studio.submit(asked_of(self.provider))["id"]
        self.studio.cloud.dispatcher.look()
        return job

    @contextlib.contextmanager
    def worker(self, lines: Any = None, die_at: int = 0) -> Iterator[Any]:
        process = CONTEXT.Process(
            target=faultworker.live, args=(str(self.folder), self.places, self.demos.env, lines, die_at), daemon=True
        )
        process.start()
        try:
            yield process
        finally:
            process.kill()
            process.join()

    def end(self, job: int) -> Outcome:
        """What became of it, once a worker that is not killed has gone on with it."""
        self.demo.faults.clear()
        with self.worker():
            settle_down(self.studio, job, still=START_SECONDS)
            until(lambda: not self.demo.active, BEHIND_SECONDS)
            settle_down(self.studio, job)
        return outcome_of(self.studio, self.folder, job, self.demo.billed_micro, len(self.demo.leaks))

    def close(self) -> None:
        self.studio.stop()
        self.demos.close()


@contextlib.contextmanager
def scene(folder: Path, provider: str) -> Iterator[Scene]:
    made = Scene(folder, provider)
    try:
        yield made
    finally:
        made.close()


def until(met: Callable[[], Any], seconds: float = SECONDS, pause: float = 0.002) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if met():
            return True
        time.sleep(pause)
    return False


def kill_at_moment(folder: Path, provider: str, moment: str) -> Outcome:
    with scene(folder, provider) as here:
        if moment in AT:
            here.demo.faults.append(Fault("hang", at=AT[moment]))
        job = here.send()
        with here.worker() as process:
            if moment in AT:
                until(lambda: not here.demo.faults)
                process.kill()
            else:
                with _held(here, moment, job):
                    process.kill()
            process.join()
        return here.end(job)


@contextlib.contextmanager
def _held(here: Scene, moment: str, job: int) -> Iterator[None]:
    """Keeps the database for itself from a moment on, so that the worker gets that far and no further."""
    charges = "SELECT state, begun FROM charges WHERE job_id = ?"
    if moment == ANSWERED:
        until(lambda: here.studio.store.db.execute(charges + " AND begun IS NOT NULL", [job]).fetchone(), pause=0.0)
    else:
        until(lambda: any((here.folder / "cloud").glob("*.spool")), pause=0.0)
    lock = sqlite3.connect(here.folder / "studio.db", isolation_level=None, timeout=5)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(0.4)  # in which it receives what is on its way
    try:
        yield
    finally:
        lock.rollback()
        lock.close()


def lines_of_a_call(folder: Path, provider: str) -> int:
    """How many lines of the worker's a call runs through."""
    lines = CONTEXT.Value("q", 0, lock=False)
    with scene(folder, provider) as here:
        job = here.send()
        with here.worker(lines):
            settle_down(here.studio, job)
    return int(lines.value)


def kill_at_line(folder: Path, provider: str, line: int) -> Outcome:
    lines = CONTEXT.Value("q", 0, lock=False)
    with scene(folder, provider) as here:
        job = here.send()
        with here.worker(lines, line) as process:
            until(lambda: not process.is_alive() or _is_over(here.studio, job), pause=0.02)
        return here.end(job)


def _is_over(studio: Studio, job: int) -> bool:
    left = "SELECT 1 FROM charges WHERE job_id = ? AND state IN ('reserved', 'submitted')"
    return studio.store.db.execute(left, [job]).fetchone() is None
