"""What several test files call: a studio behind its HTTP door, and waiting for what a worker does."""
from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from studio.doors import make_app
from studio.studio import Studio


@contextlib.contextmanager
def served(studio: Studio, mount: Callable[..., object] | None = None) -> Iterator[str]:
    """The HTTP door of a studio on a free port of the loopback, with the page if `mount` adds it; its address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as launch.py listens
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(studio, mount=mount), log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started, "the server to start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        studio.hub.close()
        server.should_exit = True
        thread.join()
        listener.close()


def wait_for(met: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What `met` returns once it is true; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = met()
        if answer:
            return answer
        time.sleep(0.01)
    pytest.fail(f"waited {seconds} s for {what}")


def ended(studio: Studio, job: int) -> dict[str, Any]:
    """The job once it has ended and all its pictures are judged."""

    def view() -> dict[str, Any] | None:
        open_tasks = "SELECT count(*) FROM tasks WHERE job_id = ? AND state IN ('waiting', 'leased')"
        left = studio.store.db.execute(open_tasks, [job]).fetchone()[0]
        now = studio.job(job)
        return now if not left and now["state"] not in ("queued", "running") else None

    return wait_for(view, f"job {job} to end")
