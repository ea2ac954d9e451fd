"""A studio started as a person starts it, and watched through its own HTTP door."""
from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent


class Running:
    """`python launch.py` in its own process. `events` yields (seconds since the epoch of `time.monotonic`, name, data)."""

    def __init__(self, process: subprocess.Popen[str], url: str, started: float) -> None:
        self.process, self.url, self.started = process, url, started
        self.http = httpx.Client(base_url=url, timeout=30, headers={"Origin": url})
        self._events: SimpleQueue[tuple[float, str, Any]] = SimpleQueue()

    def watch(self) -> None:
        """Listen to the event stream from now on; returns once it is open."""
        opened = threading.Event()
        threading.Thread(target=self._listen, args=(opened,), daemon=True).start()
        if not opened.wait(30):
            raise TimeoutError("the event stream did not open")

    def events(self, seconds: float) -> Iterator[tuple[float, str, Any]]:
        """Events as they come; TimeoutError when `seconds` have passed."""
        end = time.monotonic() + seconds
        while True:
            try:
                yield self._events.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise TimeoutError(f"waited {seconds} s for an event") from None

    def submit(self, **request: object) -> int:
        """The job's id. What was drawn before is drawn again: nothing here measures the cache."""
        answer = self.http.post("/api/jobs", json={"again": True} | request)
        answer.raise_for_status()
        return int(answer.json()["id"])

    def wait_until_ready(self, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while self.http.get("/api/studio").json()["device"]["state"] != "ready":
            if time.monotonic() > end:
                raise TimeoutError("the worker did not become ready")
            time.sleep(0.1)

    def _listen(self, opened: threading.Event) -> None:
        with httpx.stream("GET", f"{self.url}/api/events", timeout=None) as stream:
            opened.set()
            name = ""
            try:
                for line in stream.iter_lines():
                    if line.startswith("event:"):
                        name = line[6:].strip()
                    elif line.startswith("data:"):
                        self._events.put((time.monotonic(), name, json.loads(line[5:])))
            except httpx.RemoteProtocolError:
                return  # the studio was stopped


@contextmanager
def studio(data_dir: Path, *flags: str) -> Iterator[Running]:
    """Start on a free port and wait for the printed address; stopped at the end."""
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "launch.py"), "--no-open", "--port", "0", "--data-dir", str(data_dir), *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise RuntimeError(f"launch.py ended with status {process.wait()}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Running(process, found[0].rstrip("/."), started)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
