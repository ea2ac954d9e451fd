"""The cloud worker as a process: started when it is wanted, without torch, ended and killed at will."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import ASKED, charges, draw, spent, with_cloud
from studios import ended, wait_for

from models.cards import Catalogue
from models.cloud.demo import DemoProviders, Fault
from studio.cloudsetup import CloudSetup
from studio.providers import place_of
from studio.store.people import LOCAL
from studio.studio import Studio

ROOT = Path(__file__).parent.parent


@pytest.fixture
def demos() -> Iterator[DemoProviders]:
    demos = DemoProviders(draw)
    yield demos
    demos.close()


@contextlib.contextmanager
def running(folder: Path, shipped: Catalogue, demos: DemoProviders) -> Iterator[Studio]:
    """A studio with its processes; the demo's keys are in the cloud worker's environment alone."""
    studio = Studio(folder, shipped, engine="scripted:0.3")
    studio.providers.stand_in({name: place_of(provider) for name, provider in demos.providers.items()}, demos.env)
    try:
        studio.start()
        yield studio
    finally:
        studio.stop()


def test_the_cloud_worker_imports_no_torch_and_no_page() -> None:
    heavy = ("torch", "diffusers", "transformers", "gradio", "fastapi", "open_clip", "cv2", "sklearn")
    code = f"import sys, studio.cloudworker; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_busy_studio_sends_the_tail_of_a_job_away_and_scores_what_comes_back(
    demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with running(tmp_path / "data", shipped, demos) as studio:
        assert studio.cloud.worker_pid is None  # the cloud is off, so there is none
        with_cloud(studio, "fal", "together", wait=0.5)
        studio.cloud.configured()
        wait_for(lambda: studio.cloud.worker_pid, "the cloud worker")
        studio.submit({**ASKED, "where": "local", "draft": 8, "keep": 1, "prompt": "a jug"})
        job = studio.submit({**ASKED, "draft": 8, "keep": 2})["id"]
        view = ended(studio, job)
    places = {one["place"].partition(" ")[0] for one in view["images"]}
    assert places & {"fal", "together"}
    assert view["state"] == "done"
    assert all(one["scores"] for one in view["images"])
    assert all(one["seconds"] is None for one in view["images"] if one["place"])
    assert spent(studio.store) == demos.billed_micro > 0
    assert view["cost_micro"] == demos.billed_micro


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again_and_collects_what_was_paid_for(
    demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with running(tmp_path / "data", shipped, demos) as studio:
        with_cloud(studio, "fal")
        studio.cloud.is_here = studio.cloud.dispatcher.is_here = lambda card: False
        demos["fal"].faults.append(Fault("slow", seconds=3.0))
        job = studio.submit({**ASKED, "draft": 1, "keep": 1})["id"]
        wait_for(lambda: [row for row in charges(studio.store) if row["state"] == "submitted"], "the submit")
        first = studio.cloud.worker_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: studio.cloud.worker_pid not in (None, first), "another worker")
        view = ended(studio, job)
        assert view["images"][0]["state"] == "drawn"
    assert len(demos["fal"].jobs) == 1
    assert spent(studio.store) == demos.billed_micro == 3000


@pytest.mark.slow
def test_a_page_that_is_stopped_leaves_calls_to_the_next_start_even_when_the_cloud_is_off_by_then(
    demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with running(tmp_path / "data", shipped, demos) as studio:
        with_cloud(studio, "fal")
        studio.cloud.is_here = studio.cloud.dispatcher.is_here = lambda card: False
        demos["fal"].faults.append(Fault("slow", seconds=2.0))
        job = studio.submit({**ASKED, "draft": 1, "keep": 1})["id"]
        wait_for(lambda: [row for row in charges(studio.store) if row["state"] == "submitted"], "the submit")
        studio.settings.set({"cloud.enabled": False}, LOCAL)
    time.sleep(0.5)
    with running(tmp_path / "data", shipped, demos) as studio:
        assert ended(studio, job)["images"][0]["state"] == "drawn"
        wait_for(lambda: studio.cloud.worker_pid is None, "the cloud worker to go")
    assert spent(studio.store) == demos.billed_micro


def test_a_key_is_no_part_of_what_the_worker_is_told(demos: DemoProviders) -> None:
    line = CloudSetup("name", ("127.0.0.1", 1), "00", "data").to_line().decode()
    assert not any(key in line for key in demos.env.values())
