"""Keeps the device worker alive: starts it, starts it again when it dies, and gives back what it held."""
from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio.config import WorkerSetup
from studio.events import Door
from studio.store import Store, jobs

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
HEALTHY_SECONDS = 60.0  # a worker that lived this long starts the pauses anew
PATROL_SECONDS = 1.0
OUT_LIMIT = 4 * 2**20


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
        )
        self._logs = data_dir / "logs"
        self._on_state, self._on_released = on_state, on_released
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    @property
    def pid(self) -> int | None:
        """The worker's process id, None between two workers."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """What a page that was killed left leased is free again; then the first worker starts."""
        jobs.release_leases(self._store, blame=False)
        self._process = self._spawn()
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Ends the worker and gives back its tasks, which is no fault of theirs."""
        self._stopping.set()
        process = self._process
        if process and process.stdin:
            process.stdin.close()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._thread.is_alive():
            self._thread.join()
        jobs.release_leases(self._store, blame=False)

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            process = self._process or self._spawn()
            self._process, started = process, time.monotonic()
            status = self._wait(process)
            if self._stopping.is_set():
                return
            self._process = None
            if process.stdin:
                process.stdin.close()
            self._on_released(jobs.release_leases(self._store, blame=True))
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            log.error("the worker ended with status %s; another one starts in %.1f s", status, pause)
            self._on_state("down", f"The worker stopped ({_meaning(status)}); it starts again in {pause:.1f} s. See logs/worker.out.")
            self._stopping.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return process.wait(PATROL_SECONDS)
            except subprocess.TimeoutExpired:
                if jobs.overdue(self._store):
                    log.error("the worker passed the deadline of its task and is ended")
                    process.kill()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._on_state("starting", "")
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / "worker.out"
        mode = "ab" if path.exists() and path.stat().st_size < OUT_LIMIT else "wb"
        with open(path, mode) as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.worker"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=Path(__file__).parent.parent,
                # Ctrl+C in the terminal is for the page; it ends the worker by closing the pipe.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert process.stdin is not None
        setup = WorkerSetup(**vars(self._setup) | {"name": f"{process.pid}-{secrets.token_hex(4)}"})
        try:
            process.stdin.write(setup.to_line())
            process.stdin.flush()
        except BrokenPipeError:
            log.error("the worker ended before it was told what to do")
        return process


def _meaning(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
