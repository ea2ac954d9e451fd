"""Trains what is queued, one at a time: gets the device from the worker, starts the process, watches it, and keeps what it made.

A training has the device while its row says "starting" or "running". The worker sees that in the database, lets go of its weights and
says so; then the process begins. When pictures wait that go first it is told to give way: it writes a checkpoint and ends, and is
queued again. Its end is also that of its standard input, so it outlives nobody: a studio that was killed finds it queued.
"""
from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from models.errors import StudioError
from pipelines.training.events import read_events
from pipelines.training.failures import failure_of_exit
from studio.store import trainings
from studio.store.db import now
from studio.store.people import Who, person_row, projects_of
from studio.store.trainings import HELD, Row
from studio.store.turns import why_paused
from studio.supervisor import ended_by_hand, kills_for_memory

if TYPE_CHECKING:
    from studio.retraining import Retraining
    from studio.studio import Studio

log = logging.getLogger(__name__)

GAVE_WAY = 75
STOP, BEST, LOCK = "stop", "best.safetensors", "training.lock"
PATROL_SECONDS = 1.0
TICK_SECONDS = 0.2
WRITE_SECONDS = 2.0  # how often what it tells of its steps is written down
TELL_SECONDS = 0.25  # and told to browsers
QUIET_SECONDS = 15.0  # after the last picture that went first: whoever looks at it may want another
PATIENCE_SECONDS = 120.0  # for a step and a checkpoint
CLOSING_SECONDS = 15.0  # the same when the studio ends; what is lost is done anew
ORPHAN_SECONDS = 120.0
LOOK_SECONDS = 60.0  # between two looks for LoRAs that are to be trained again
ATTEMPTS = 3
KEEPABLE = (*HELD, "queued", "stopped")
NEWS = ("step", "steps", "loss", "validation", "prior", "eta", "seconds", "memory", "rate")


def folder_of(data_dir: Path, training: int) -> Path:
    return data_dir / "training" / str(training)


class Trainer:
    """One for a studio. command: what starts the process of a folder. register: makes a version of what a training made; its number.
    quiet: seconds without pictures that go first before a training that gave way goes on."""

    def __init__(
        self, studio: Studio, register: Callable[[Row], int], command: Callable[[Path], Sequence[str]], retraining: Retraining
    ) -> None:
        self._studio, self._store, self._register, self.command = studio, studio.store, register, command
        self._retraining = retraining
        self.quiet, self.patience = QUIET_SECONDS, PATIENCE_SECONDS
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer", daemon=True)
        self._busy_until = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._told = 0.0

    @property
    def pid(self) -> int | None:
        """Of the process that trains, None while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Makes what trains give way; it goes on at the next start."""
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wake(self) -> None:
        """To be called when a training or the queue has changed."""
        self._woken.set()

    # Whose turn it is.

    def _run(self) -> None:
        self._take_over()
        looked = time.monotonic()
        while not self._stopping.is_set():
            try:
                self._turn()
                if time.monotonic() > looked + LOOK_SECONDS:
                    looked = time.monotonic()
                    self._retraining.look()
            except Exception:
                log.exception("the trainings could not be seen to")
            self._woken.wait(PATROL_SECONDS)
            self._woken.clear()

    def _take_over(self) -> None:
        """What had the device when the studio was killed is queued again, once its process has seen that its time is over."""
        for training in trainings.left_over(self._store):
            folder = folder_of(self._studio.data_dir, training)
            end = time.monotonic() + ORPHAN_SECONDS
            while not _left(folder) and time.monotonic() < end and not self._stopping.wait(TICK_SECONDS):
                log.debug("the process of training %d is still ending", training)
            self._settle(training, GAVE_WAY)

    def _turn(self) -> None:
        row = trainings.next_queued(self._store)
        if row is None or not self._may_begin(row):
            return
        training = row["id"]
        if json.loads(row["progress"]).get("done"):  # trained, and only its version could not be written
            self.keep(row)
            return
        if not trainings.set_state(self._store, training, "starting", ("queued",), freed=None):
            return
        self.tell(training)
        try:
            code = self._train(row) if self._get_device(row) else GAVE_WAY
            self._settle(training, code)
        except Exception as error:
            log.exception("training %d", training)
            why = f"{type(error).__name__}: {error}"[:500]
            failure = {"cause": "bug", "what": "The studio could not see to the training.", "why": why, "todo": "See logs/studio.log."}
            trainings.set_state(self._store, training, "failed", HELD, failure=failure | {"field": None})
            self.tell(training)

    def _may_begin(self, row: Row) -> bool:
        if why_paused(self._store) or (row["automatic"] and not self._retraining.may_go_on()):
            return False
        # Before its first step it stands in line with the jobs that came before it.
        if trainings.something_waits(self._store, row["gives_way"], None if row["started"] else row["created"]):
            self._busy_until = time.monotonic() + self.quiet
            return False
        return row["started"] is None or time.monotonic() >= self._busy_until

    def _must_leave(self, row: Row) -> str:
        """Why a training must let go of the device now, "" if it need not."""
        if self._stopping.is_set():
            return "the studio ends"
        if trainings.something_waits(self._store, row["gives_way"]):
            self._busy_until = time.monotonic() + self.quiet
            return "pictures go first"
        if row["automatic"] and not self._retraining.may_go_on():
            return "its hours or minutes are over"
        return "the queue is paused" if why_paused(self._store) else ""

    def _get_device(self, row: Row) -> bool:
        """Waits for the worker to let go of the device; False where it is not wanted any more."""
        while True:
            stands = trainings.row_of(self._store, row["id"])
            if stands["asked"] or self._must_leave(row):
                return False
            if stands["freed"]:
                return True
            self._woken.wait(TICK_SECONDS)
            self._woken.clear()

    # The process.

    def _train(self, row: Row) -> int:
        """A stretch of a training, from the start of its process to its end; its exit status."""
        training, folder = row["id"], folder_of(self._studio.data_dir, row["id"])
        trainings.change(self._store, training, started=row["started"] or now())
        trainings.set_state(self._store, training, "running", ("starting",))
        stretch, began = trainings.begin_stretch(self._store, training), time.monotonic()
        kills = kills_for_memory()
        _, offset = read_events(folder)
        with open(folder / "log.txt", "ab") as out:
            process = self._process = subprocess.Popen(
                list(self.command(folder)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # what it tells is read from its folder
                stderr=out,
                cwd=Path(__file__).parent.parent,
                start_new_session=os.name == "posix",  # Ctrl+C in the terminal is for the page
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        self.tell(training)
        ended = "killed"
        try:
            left = self._watch(row, process, folder, offset, lambda: trainings.time_stretch(self._store, stretch, time.monotonic() - began))
            code = process.returncode
            killed = bool(left) or ended_by_hand(code, kills)
            ended = {0: "done", GAVE_WAY: "gave way"}.get(code, "killed" if killed else "failed")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
            self._process = None
            trainings.time_stretch(self._store, stretch, time.monotonic() - began, ended)
        if code in (0, GAVE_WAY) or not killed:
            return code
        # Killed, by us or by a person: it goes on from its last checkpoint, unless that happens again and again without a step.
        attempts = trainings.row_of(self._store, training)["attempts"] + (not left)
        trainings.change(self._store, training, attempts=attempts)
        return GAVE_WAY if attempts < ATTEMPTS else code

    def _watch(self, row: Row, process: subprocess.Popen[bytes], folder: Path, offset: int, beat: Callable[[], None]) -> str:
        """Until the process has ended: passes on what it tells, and what is asked of it. Why it was told to leave, "" if it was not."""
        training, left, deadline, written = row["id"], "", 0.0, time.monotonic()
        progress: dict[str, Any] = json.loads(trainings.row_of(self._store, training)["progress"])
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TICK_SECONDS)
            ended = process.poll() is not None  # before its events are read, so that none is missed
            events, offset = read_events(folder, offset)
            weighty = [self._hear(training, event, progress) for event in events]
            if any(weighty) or ended or (events and time.monotonic() - written > WRITE_SECONDS):
                written = time.monotonic()
                stepped = {"attempts": 0} if any(event.get("event") == "step" for event in events) else {}
                trainings.change(self._store, training, progress=progress, **stepped)
                beat()
            if ended:
                return left
            asked = trainings.row_of(self._store, training)["asked"]
            if asked == "keep":
                (folder / STOP).touch()
            if asked == "cancel":
                process.kill()
                left = left or "cancelled"
            elif not left:
                left = "stopped" if asked == "stop" else self._must_leave(row)
                if left and process.stdin is not None:
                    process.stdin.close()
                    deadline = time.monotonic() + (CLOSING_SECONDS if self._stopping.is_set() else self.patience)
            elif self._stopping.is_set():
                deadline = min(deadline, time.monotonic() + CLOSING_SECONDS)
            if left and left != "cancelled" and time.monotonic() > deadline:
                log.error("training %d did not give way in time and is ended", training)
                process.kill()

    def _hear(self, training: int, event: dict[str, Any], progress: dict[str, Any]) -> bool:
        """Takes in what the process told; whether it is to be written down at once."""
        kind = event.get("event")
        if "resumed" in event:
            progress.pop("best_step", None)
        if kind != "note":  # what is told before it goes on counts from nothing
            progress.update({name: event[name] for name in NEWS if event.get(name) is not None})
            progress["words"] = ""
        if kind == "validation" and event.get("best"):
            progress |= {"best": event.get("validation"), "best_step": event.get("step")}
        elif kind == "note":
            progress["words"] = event.get("words", "")
        elif kind == "done":
            progress |= {"done": True, "best_step": event.get("best_step"), "eta": 0}
            if event.get("validation") is not None:
                progress["best"] = event["validation"]
        if kind == "step" and time.monotonic() - self._told < TELL_SECONDS:
            return False
        self._told = time.monotonic()
        self._publish(training, {**event, "state": "running"})
        return kind != "step"

    # Its end.

    def _settle(self, training: int, code: int) -> None:
        """What becomes of a training that has let go of the device."""
        row = trainings.row_of(self._store, training)
        folder = folder_of(self._studio.data_dir, training)
        trained = json.loads(row["progress"]).get("done", False)
        if row["asked"] == "cancel":
            trainings.set_state(self._store, training, "cancelled", HELD)
        elif (code == 0 or trained or row["asked"] == "keep") and (folder / BEST).is_file():
            self.keep(row)
            return
        elif code == GAVE_WAY:
            # Only what was heard is struck out: what is asked in this very moment is done when it goes on.
            if row["asked"] == "stop":
                trainings.set_state(self._store, training, "stopped", HELD, asked="")
            else:
                trainings.set_state(self._store, training, "queued", HELD)
        else:
            failure = failure_of_exit(folder, code or 1)
            trainings.set_state(self._store, training, "failed", HELD, failure=failure)
        self.tell(training)

    def keep(self, row: Row) -> None:
        """Makes a version of what was learnt."""
        training, folder = row["id"], folder_of(self._studio.data_dir, row["id"])
        try:
            number = self._register(row)
        except StudioError as error:
            failure = {"cause": "registry", **error.as_dict()}
            trainings.set_state(self._store, training, "failed", KEEPABLE, failure=failure)
        else:
            trainings.set_state(self._store, training, "done", KEEPABLE, number=number, failure=None)
            tidy(folder)
        self.tell(training)
        self._studio.hub.publish("loras", {"changed": True})

    # What is told.

    def _publish(self, training: int, data: dict[str, Any]) -> None:
        row = trainings.row_of(self._store, training)
        lora = self._store.db.execute("SELECT access, project FROM loras WHERE name = ?", [row["lora"]]).fetchone()
        shared = lora["project"] if lora is not None and lora["access"] == "project" else None
        self._studio.hub.publish("training", {**data, "id": training}, (row["person"], shared))

    def tell(self, training: int) -> None:
        """A training has changed its state: its people hear it, and the worker looks who has the device."""
        row = trainings.row_of(self._store, training)
        self._publish(training, {"event": "state", "state": row["state"], "step": json.loads(row["progress"]).get("step", 0)})
        self._studio.wake_worker()


def person_of(studio: Studio, name: str) -> Who:
    """Somebody as they are now, for what is done in their name."""
    row = person_row(studio.store, name)
    admin = bool(row["admin"]) if row is not None else not studio.login
    return Who(name, admin=admin, projects=projects_of(studio.store, name))


def tidy(folder: Path) -> None:
    """Leaves of a training that is done what there is to look at: curves, samples, the LoRAs of its checkpoints."""
    for name in ("cache", "images"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("optimizer.pt", "adapter.safetensors"):
        for path in folder.glob(f"checkpoints/*/{name}"):
            path.unlink(missing_ok=True)


def process_command(folder: Path, device: str | None, lowvram: bool, models_dir: Path | None, folders: Sequence[Path]) -> list[str]:
    """What trains in `folder`, on the device and with the weights of this studio."""
    command = [sys.executable, "-m", "pipelines.training", str(folder), "--lines"]
    command += ["--device", device] if device else []
    command += ["--lowvram"] if lowvram else []
    command += ["--models-dir", str(models_dir)] if models_dir else []
    return command + [part for one in folders for part in ("--weights", str(one))]


def _left(folder: Path) -> bool:
    """Whether no process is at work in a folder."""
    if not folder.is_dir():
        return True
    try:
        with FileLock(folder / LOCK, timeout=0):
            return True
    except Timeout:
        return False
