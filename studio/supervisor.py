"""Keeps the device worker alive: starts it, starts it again when it dies, and gives back what it held."""
from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio import files
from studio.config import WorkerSetup
from studio.events import Door
from studio.store import Store, jobs

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
HEALTHY_SECONDS = 60.0  # a worker that lived this long starts the pauses anew
PATROL_SECONDS = 1.0
OUT_LIMIT = 4 * 2**20
BY_HAND = tuple(-number for name in ("SIGHUP", "SIGINT", "SIGTERM") if (number := getattr(signal, name, None)) is not None)


class Supervisor:
    """One worker process on one device, watched by one thread.

    on_state(state, note) is told "starting" and "down"; the worker itself says "ready" and "busy". on_released(jobs) gets the jobs
    whose tasks a dead worker held.
    """

    def __init__(
        self,
        store: Store,
        door: Door,
        data_dir: Path,
        family: str,
        device: str | None,
        models_dir: Path | None,
        engine: str,
        lowvram: bool,
        on_state: Callable[[str, str], None],
        on_released: Callable[[list[int]], None],
    ) -> None:
        self._store = store
        self._setup = WorkerSetup(
            name="",
            address=door.address,
            key=door.key.hex(),
            data_dir=str(data_dir),
            family=family,
            device=device,
            models_dir=str(models_dir) if models_dir else None,
            engine=engine,
            lowvram=lowvram,
        )
        self._data_dir, self._logs = data_dir, data_dir / "logs"
        self._on_state, self._on_released = on_state, on_released
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # between a worker that is just being started and the end of the studio
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    @property
    def pid(self) -> int | None:
        """The worker's process id, None between two workers."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Starts the first worker; returns at once."""
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Ends the worker, after `patience` seconds by force, and gives back its tasks, which is no fault of theirs."""
        with self._lock:
            self._stopping.set()
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        if self._thread.ident is None:
            return  # another process may have a worker over the same data, and its tasks are not ours to give back
        self._thread.join(patience)
        if self._process is not None:
            self._process.kill()
        self._thread.join()
        jobs.release_leases(self._store, blame=False)

    def _watch(self) -> None:
        """One worker after the other. All of them are started by this thread, for Linux ends a worker with the thread that started it."""
        pause, blame = FIRST_PAUSE, False
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                status, blame = self._live()
                why = f"The worker stopped ({_meaning(status)})"
            except Exception as error:
                # No memory for a process, a full disk: the thread that minds the worker must outlive whatever befalls it.
                log.exception("the worker could not be started")
                why, blame = f"The worker could not be started ({type(error).__name__}: {error})", True
            if self._stopping.is_set():
                return
            if not blame or time.monotonic() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            log.error("%s; another one starts in %.1f s", why, pause)
            self._on_state("down", f"{why}; it starts again in {pause:.1f} s. See logs/worker.out.")
            self._stopping.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2) if blame else FIRST_PAUSE

    def _live(self) -> tuple[int, bool]:
        """A worker from its start to its end: its exit status, and whether the task it held may be what ended it."""
        jobs.release_leases(self._store, blame=False)  # what a page that was killed left leased
        started, kills = time.time(), kills_for_memory()
        process = self._spawn()
        if process is None:
            return 0, False
        try:
            overdue = self._wait(process)
        finally:
            # Whatever befell the wait (the database may be busy): never two workers on one device.
            if process.poll() is None:
                process.kill()
                process.wait()
            with self._lock:
                self._process = None
            assert process.stdin is not None
            process.stdin.close()
        blame = overdue or not ended_by_hand(process.returncode, kills)
        if not self._stopping.is_set():
            files.sweep(self._data_dir, started, process.pid)
            self._on_released(jobs.release_leases(self._store, blame))
        return process.returncode, blame

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        """Until the worker has ended; True when it was ended because it held a task beyond its deadline."""
        overdue = False
        while True:
            try:
                process.wait(PATROL_SECONDS)
                return overdue
            except subprocess.TimeoutExpired:
                if not self._stopping.is_set() and jobs.overdue(self._store):
                    log.error("the worker passed the deadline of its task and is ended")
                    overdue = True
                    process.kill()

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        """A worker that knows what it needs; None when the studio is stopping."""
        self._on_state("starting", "")
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / "worker.out"
        mode = "ab" if path.exists() and path.stat().st_size < OUT_LIMIT else "wb"
        with open(path, mode) as out, self._lock:
            if self._stopping.is_set():
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.worker"],
                # Unbuffered: what a worker that died at once did not read is not tried again when the pipe is closed.
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=Path(__file__).parent.parent,
                # Ctrl+C in the terminal is for the page; it ends the worker by closing the pipe.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self._process = process
            assert process.stdin is not None
            setup = WorkerSetup(**vars(self._setup) | {"name": f"{process.pid}-{secrets.token_hex(4)}"})
            try:
                process.stdin.write(setup.to_line())
            except BrokenPipeError:
                log.error("the worker ended before it was told what to do")
        return process


def ended_by_hand(status: int, kills_before: int | None) -> bool:
    """Whether a person or the system's service manager ended the worker: then its task is not to blame, however often it happens.

    SIGKILL is also how Linux frees memory, which it counts; where it does not tell, SIGKILL counts as memory.
    """
    if status in BY_HAND:
        return True
    return status == -9 and kills_before is not None and kills_for_memory() == kills_before


def kills_for_memory() -> int | None:
    """How often this machine has killed a process for want of memory since it started; None where that is not known."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _meaning(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
