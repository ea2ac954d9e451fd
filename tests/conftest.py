"""Fixtures that more than one test file uses: real studios over real data folders, with real workers that draw by script."""
from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from models.cards import Catalogue, load_catalogue
from studio.routes import make_app
from studio.studio import Studio


@pytest.fixture(scope="session")
def shipped() -> Catalogue:
    """The cards and families that ship."""
    return load_catalogue()


@pytest.fixture
def studio(tmp_path: Path, shipped: Catalogue) -> Iterator[Studio]:
    """A studio without a worker: jobs stay queued."""
    studio = Studio(tmp_path / "data", shipped, engine="scripted")
    yield studio
    studio.stop()


@pytest.fixture
def start_studio(tmp_path: Path, shipped: Catalogue) -> Iterator[Callable[..., Studio]]:
    """Starts a studio with its worker process; `seconds` is what a step of a batch takes. Stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(seconds: float = 0.0, data_dir: Path | None = None) -> Studio:
            studio = Studio(data_dir or tmp_path / "data", shipped, engine=f"scripted:{seconds}")
            stack.callback(studio.stop)
            studio.start()
            return studio

        yield start


@contextlib.contextmanager
def served(studio: Studio) -> Iterator[str]:
    """The HTTP door of a studio on a free port of the loopback; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(studio), log_level="error", timeout_graceful_shutdown=1))
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


@pytest.fixture
def door(studio: Studio) -> Iterator[httpx.Client]:
    """A client of a studio without a worker."""
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


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
