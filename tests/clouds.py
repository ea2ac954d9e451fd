"""What the tests of the cloud call: a studio whose providers are demo servers, with a cloud worker in a thread of the test's own."""
from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from studios import wait_for

from models.cards import Catalogue
from models.cloud.demo import DemoProviders
from models.cloud.transport import TransportLimits
from studio.cloudworker import CloudWorker
from studio.providers import DEMO, place_of
from studio.store import Store, cloudtasks
from studio.store.db import now
from studio.store.people import LOCAL
from studio.studio import Studio

DOLLAR = 1_000_000
ASKED = {"prompt": "a red mug", "family": "flux1", "tier": "preview", "size": "1:1", "where": "cloud allowed", "ladder": False}


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    """A PNG of one colour, which follows from the prompt and the seed."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (seed % 251, len(prompt) % 251, steps % 251)).save(buffer, "PNG")
    return buffer.getvalue()


def stand_in(patch: pytest.MonkeyPatch, demos: DemoProviders) -> None:
    """This process's providers are the demo's, and so are its keys."""
    patch.setenv(DEMO, json.dumps({name: place_of(provider) for name, provider in demos.providers.items()}))
    for name, key in demos.env.items():
        patch.setenv(name, key)


def with_cloud(studio: Studio, *providers: str, budget: int | None = 10 * DOLLAR, wait: float = 0.0) -> None:
    """Switches the cloud on for these providers, with a budget for each day."""
    changes = {"cloud.enabled": True, "cloud.providers": list(providers), "cloud.wait_seconds": wait}
    studio.settings.set(changes, LOCAL)
    if budget is not None:
        set_budget(studio.store, budget)


def set_budget(store: Store, micro: int, scope: str = "studio", name: str = "") -> None:
    store.db.execute("INSERT OR REPLACE INTO budgets VALUES (?, ?, 'day', ?, 'local', ?)", [scope, name, micro, now()])


def far_away(studio: Studio) -> None:
    """No weights of any card are on this machine, so that nothing can be drawn here."""
    studio.cloud.is_here = lambda card: False  # type: ignore[method-assign]
    studio.cloud.dispatcher.is_here = lambda card: False


@contextlib.contextmanager
def cloud_worker(folder: Path, shipped: Catalogue, limits: TransportLimits | None = None) -> Iterator[CloudWorker]:
    """A cloud worker of this process, in a thread with a loop of its own; told as if by a link."""
    worker = CloudWorker(Store(folder / "studio.db"), folder, shipped, "test", limits)
    started = threading.Event()
    state: dict[str, Any] = {}

    async def live() -> None:
        state["loop"], state["task"] = asyncio.get_running_loop(), asyncio.current_task()
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await worker.run()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="cloud worker")
    thread.start()
    started.wait()
    try:
        yield worker
    finally:
        state["loop"].call_soon_threadsafe(state["task"].cancel)
        thread.join()


def settled_down(studio: Studio, job: int) -> dict[str, Any]:
    """The job once no batch of it is to be drawn and no call of it is under way."""

    def met() -> bool:
        studio.cloud.dispatcher.look()
        left = "SELECT 1 FROM tasks WHERE job_id = ? AND kind = 'draft' AND state IN ('waiting', 'leased')"
        return not studio.store.db.execute(left, [job]).fetchone() and not cloudtasks.on_the_way(studio.store, job)

    wait_for(met, f"job {job} to be drawn", 30.0)
    return studio.job(job)


def charges(store: Store) -> list[Any]:
    return store.db.execute("SELECT * FROM charges ORDER BY id").fetchall()


def spent(store: Store) -> int:
    """What is settled."""
    return store.db.execute("SELECT coalesce(sum(settled), 0) FROM charges").fetchone()[0]


