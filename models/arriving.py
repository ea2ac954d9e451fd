"""Bytes as they arrive from the hub: a file that grows and knows its SHA-256, and progress as it is told. Used by `models.hub`."""
from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

TELL_SECONDS = 0.25
RATE_SECONDS = 6.0  # the rate shown is of this long

Tell = Callable[[dict[str, Any]], None]


class Stopped(Exception):
    """Another file has failed; this one stops where it is."""


class Part:
    """A file that grows, and its SHA-256. As much of a file object as `http_get` asks for."""

    def __init__(self, file: BinaryIO, path: Path, kept: int, progress: Progress, stop: threading.Event) -> None:
        self._file, self._path, self._progress, self._stop = file, path, progress, stop
        self._hash = hashlib.sha256()
        with open(path, "rb") as before:
            while kept and (block := before.read(min(kept, 2**20))):
                self._hash.update(block)
                kept -= len(block)

    def write(self, data: bytes) -> int:
        if self._stop.is_set():
            raise Stopped
        count = self._file.write(data)
        self._hash.update(data)
        self._progress.add(count)
        return count

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def truncate(self) -> None:
        """The server sends the whole file anew."""
        lost = self._path.stat().st_size - self._file.tell()
        self._file.truncate()
        if self._file.tell():
            raise OSError(errno.EIO, "a download can only begin anew at its start")
        self._hash = hashlib.sha256()
        self._progress.add(-lost)

    def digest(self) -> str:
        return self._hash.hexdigest()


class Progress:
    """Bytes arrived, told at most every TELL_SECONDS, with the rate of the last RATE_SECONDS and the time left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, total: int, done: int) -> None:
        self._total, self._done = total, done

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count

    def told(self, tell: Tell) -> Telling:
        return Telling(self, tell)

    def now(self) -> dict[str, Any]:
        """{"event", "done", "total", "rate" (bytes a second), "eta" (seconds or None)}."""
        with self._lock:
            done = self._done
        moment = time.monotonic()
        self._marks.append((moment, done))
        while len(self._marks) > 2 and moment - self._marks[0][0] > RATE_SECONDS:
            self._marks.popleft()
        (first, before), spent = self._marks[0], moment - self._marks[0][0]
        rate = max(0.0, (done - before) / spent) if spent > 0 and first < moment else 0.0
        eta = (self._total - done) / rate if rate > 0 else None
        return {"event": "progress", "done": done, "total": self._total, "rate": rate, "eta": eta}


class Telling:
    """While entered, tells progress; once more at the end."""

    def __init__(self, progress: Progress, tell: Tell) -> None:
        self._progress, self._tell = progress, tell
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._tell(self._progress.now())

    def _run(self) -> None:
        while not self._end.wait(TELL_SECONDS):
            self._tell(self._progress.now())
