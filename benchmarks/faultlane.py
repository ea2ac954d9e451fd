"""A studio without a device, demo providers of its own, and a cloud worker: where one cell after the other is measured."""
from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sqlite3
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from models.cloud.demo import DemoProviders, Fault
from models.cloud.transport import TransportLimits
from models.presets import load_catalogue
from studio.cloudworker import CloudWorker
from studio.providers import place_of
from studio.store import Store, cloudtasks
from studio.store.db import now
from studio.store.people import LOCAL
from studio.studio import Studio

PROVIDERS = ("fal", "replicate", "together", "bfl", "openai")
DOLLAR = 1_000_000
PICTURES = 2
PATIENCE = 40.0  # seconds for a cell
QUIET_SECONDS = 1.2  # a job that waits and for which nothing was asked this long says why
BEHIND_SECONDS = 1.5  # for what a provider still draws and bills after its answer was lost
# What takes minutes in a studio takes seconds here; nothing else differs.
LIMITS = TransportLimits(connect=2.0, try_=0.8, patience=1.5, base=0.05, cap=0.3, answer_bytes=2**18, picture_bytes=2**21)
DEADLINE, LATER = 2.5, 2.0


@dataclass(frozen=True)
class Outcome:
    """end: "delivered", "error", "waits" (and says why), or "lost" for none of these. held: micro-dollars that stay uncertain."""

    end: str
    billed: int
    settled: int
    held: int
    leaks: int
    words: str

    @property
    def well(self) -> bool:
        paid = self.settled == self.billed if not self.held else self.settled <= self.billed <= self.settled + self.held
        return paid and self.end != "lost" and not self.leaks


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (seed % 251, len(prompt) % 251, steps % 251)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def asked_of(provider: str) -> dict[str, Any]:
    family, tier = ("flux2-klein", "standard") if provider == "bfl" else ("flux1", "preview")
    return {"prompt": "a red mug", "family": family, "tier": tier, "size": "1:1", "where": "cloud allowed", "ladder": False,
            "draft": PICTURES, "keep": 1, "retries": 0}  # fmt: skip


def make_studio(folder: Path, demos: DemoProviders, budget: int = 1000 * DOLLAR) -> Studio:
    """It has no device and no weights, so that whatever is drawn is drawn by providers."""
    os.environ.update(demos.env)
    studio = Studio(folder, load_catalogue(), engine="scripted")
    studio.providers.stand_in({name: place_of(provider) for name, provider in demos.providers.items()}, demos.env)
    studio.cloud.is_here = studio.cloud.dispatcher.is_here = lambda card: False
    studio.cloud.dispatcher.policy = replace(studio.cloud.dispatcher.policy, deadline=(1.0, DEADLINE, DEADLINE))
    studio.settings.set({"cloud.enabled": True, "cloud.wait_seconds": 0}, LOCAL)
    set_budget(studio, budget)
    return studio


def set_budget(studio: Studio, micro: int) -> None:
    studio.store.db.execute("INSERT OR REPLACE INTO budgets VALUES ('studio', '', 'day', ?, 'local', ?)", [micro, now()])


class Lane:
    """To be used as `with Lane(folder)`; one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.demos = DemoProviders(draw)
        self.studio = make_studio(folder, self.demos)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._loop is not None and self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self.studio.stop()
        self.demos.close()

    async def _live(self) -> None:
        worker = CloudWorker(Store(self._folder / "studio.db"), self._folder, load_catalogue(), "lane", LIMITS, LATER)
        worker.providers.stand_in({name: place_of(provider) for name, provider in self.demos.providers.items()}, {})
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await worker.run()

    def cell(self, provider: str, fault: Fault) -> Outcome:
        """One request with one fault."""
        demo = self.demos[provider]
        self.studio.store.db.execute("DELETE FROM cloud_health")
        self.studio.settings.set({"cloud.providers": [provider]}, LOCAL)
        demo.faults.append(fault)
        known = set(demo.jobs)  # of earlier cells, which may still be drawn and billed
        job = self.studio.submit({**asked_of(provider), "again": True})["id"]
        settle_down(self.studio, job)
        demo.faults.clear()
        end = time.monotonic() + BEHIND_SECONDS
        while demo.active and time.monotonic() < end:
            time.sleep(0.05)
        billed = sum(bill.micro for bill in list(demo.billed) if bill.request_id not in known)
        outcome = outcome_of(self.studio, self._folder, job, billed, len(demo.leaks))
        demo.requests.clear()
        with contextlib.suppress(Exception):
            self.studio.cancel(job)
        return outcome


def settle_down(studio: Studio, job: int, patience: float = PATIENCE, still: float = QUIET_SECONDS) -> None:
    """Dispatches until nothing of the job is under way, and nothing of it has gone anywhere for `still` seconds."""
    end, quiet = time.monotonic() + patience, time.monotonic()
    last = -1
    while time.monotonic() < end:
        studio.cloud.dispatcher.look()
        left = "SELECT count(*) FROM tasks WHERE job_id = ? AND kind = 'draft' AND state IN ('waiting', 'leased')"
        waits = studio.store.db.execute(left, [job]).fetchone()[0]
        under_way = cloudtasks.on_the_way(studio.store, job)
        if not waits and not under_way:
            return
        charges = studio.store.db.execute("SELECT count(*) FROM charges WHERE job_id = ?", [job]).fetchone()[0]
        if under_way or charges != last:
            quiet, last = time.monotonic(), charges
        if time.monotonic() - quiet > still and not resting(studio):
            return
        time.sleep(0.03)


def resting(studio: Studio) -> bool:
    """Whether a provider is left alone for a moment and will be asked again."""
    from studio.store import cloudhealth

    healths, moment = cloudhealth.load(studio.store), time.time()
    return any(one.resets_at and one.resets_at > moment for one in healths.providers.values())


def outcome_of(studio: Studio, folder: Path, job: int, billed: int, leaks: int = 0) -> Outcome:
    rows = studio.store.db.execute("SELECT state, path FROM images WHERE job_id = ?", [job]).fetchall()
    drawn = [row for row in rows if row["state"] == "drawn" and (folder / row["path"]).is_file()]
    charges = studio.store.db.execute("SELECT * FROM charges WHERE job_id = ?", [job]).fetchall()
    view = studio.job_view(studio.store.db.execute("SELECT * FROM jobs WHERE id = ?", [job]).fetchone())
    states = ", ".join(f"{row['state']} {row['settled'] if row['settled'] is not None else row['reserved']}" for row in charges)
    settled = sum(row["settled"] or 0 for row in charges)
    held = sum(row["reserved"] for row in charges if row["state"] in ("reserved", "submitted", "uncertain"))
    failed = [row for row in rows if row["state"] == "failed"]
    if len(drawn) == len(rows):
        end = "delivered"
    elif view["error"] and view["error"]["what"]:
        end = "error"
    elif drawn and len(drawn) + len(failed) == len(rows):
        end = "error"  # some came, and the others are marked as failed
    elif view["route"] and all(row["state"] in ("waiting", "drawn", "failed") for row in rows):
        end = "waits"
    else:
        end = "lost"
    error = view["error"]["what"] + " " + view["error"]["why"] if view["error"] else ""
    words = f"{end}, billed {billed}, settled {settled}, held {held} ({states}); {leaks} leaks; {error or view['route']}"
    return Outcome(end, billed, settled, held, leaks, words)


def overspend(folder: Path, requests: int = 50, afforded: int = 10) -> int:
    """Micro-dollars that fifty requests at once spend beyond a budget for ten pictures."""
    with Lane(folder) as lane:
        lane.studio.settings.set({"cloud.providers": ["fal"]}, LOCAL)
        price = 3000
        set_budget(lane.studio, afforded * price)
        asked = {**asked_of("fal"), "draft": 1, "again": True}
        jobs: list[int] = []
        threads = [threading.Thread(target=lambda: jobs.append(_sent(lane.studio, asked))) for _ in range(requests)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drawn = "SELECT count(*) FROM images WHERE state = 'drawn'"
        end = time.monotonic() + PATIENCE
        while lane.studio.store.db.execute(drawn).fetchone()[0] < afforded and time.monotonic() < end:
            lane.studio.cloud.dispatcher.look()
            time.sleep(0.05)
        settle_down(lane.studio, max(jobs))  # nothing more may go now
        return max(0, lane.demos["fal"].billed_micro - afforded * price)


def _sent(studio: Studio, asked: dict[str, Any]) -> int:
    from studio.store.ledger import OverBudget

    while True:
        try:
            return studio.submit(asked)["id"]
        except OverBudget:
            return 0
        except sqlite3.OperationalError:  # fifty at once on a machine that is busy with other things
            time.sleep(0.2)
