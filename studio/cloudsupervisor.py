"""Keeps the cloud worker alive while it is wanted: starts it, starts it again when it dies, and ends it.

Unlike the device's it gives nothing back: what the worker was at stands in the ledger, and only its successor can go on with it.
"""
from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from studio.cloudsetup import CloudSetup
from studio.events import Door
from studio.supervisor import FIRST_PAUSE, HEALTHY_SECONDS, LONGEST_PAUSE, OUT_LIMIT

log = logging.getLogger(__name__)

PATROL_SECONDS = 0.5
LAST_WORDS_SECONDS = 18.0  # a little more than the worker waits for answers that would be lost


class CloudSupervisor:
    """One process at a time, watched by one thread. wanted: whether there is to be one, asked again and again. env: of the process, with
    the keys that this studio's environment has. on_down(words) hears of each one that died."""

    def __init__(
        self,
        door: Door,
        data_dir: Path,
        wanted: Callable[[], bool],
        env: Callable[[], Mapping[str, str]],
        on_down: Callable[[str], None],
    ) -> None:
        self._door, self._data_dir = door, data_dir
        self._wanted, self._env, self._on_down = wanted, env, on_down
        self._stopping, self._changed = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="cloud supervisor", daemon=True)

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        """`wanted` may say something else now."""
        self._changed.set()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        """All of them are started by this thread, for Linux ends a process with the thread that started it where it asked for that."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            if not self._wanted():
                self._changed.wait(PATROL_SECONDS)
                self._changed.clear()
                continue
            started = time.monotonic()
            try:
                words = self._live()
            except Exception as error:
                log.exception("the cloud worker could not be started")
                words = f"The cloud worker could not be started ({type(error).__name__}: {error})."
            if not words or self._stopping.is_set():
                continue
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            log.error("%s Another one starts in %.1f s.", words, pause)
            self._on_down(words)
            self._stopping.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _live(self) -> str:
        """One worker from its start to its end; why it ended by itself, "" where it was ended."""
        process = self._spawn()
        asked = False
        try:
            while process.poll() is None and not asked:
                asked = self._stopping.is_set() or not self._wanted()
                if not asked:
                    try:
                        process.wait(PATROL_SECONDS)
                    except subprocess.TimeoutExpired:
                        continue
            return "" if asked else f"The cloud worker stopped (status {process.returncode})."
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(LAST_WORDS_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        logs = self._data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / "cloud.out"
        mode = "ab" if path.exists() and path.stat().st_size < OUT_LIMIT else "wb"
        with open(path, mode) as out:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "studio.cloudworker"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=Path(__file__).parent.parent,
                env=dict(self._env()),
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        name = f"cloud-{process.pid}-{secrets.token_hex(4)}"
        assert process.stdin is not None
        try:
            process.stdin.write(CloudSetup(name, self._door.address, self._door.key.hex(), str(self._data_dir)).to_line())
        except BrokenPipeError:
            log.error("the cloud worker ended before it was told what to do")
        return process
