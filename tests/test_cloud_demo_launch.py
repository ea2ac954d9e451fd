"""`launch.py --demo-providers`: the Cloud tab works without a key, with play money that stands in no real ledger."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from demos import size
from studios import wait_for

from models.cards import Catalogue
from models.cloud.demo.drawer import Drawer, drawn_size
from models.errors import Unavailable
from studio.config import parse
from studio.demo import DAY_MICRO, demo_providers
from studio.store import ledger
from studio.store.people import LOCAL
from studio.studio import Studio

ROOT = Path(__file__).parents[1]
REAL = "real-key-of-somebody-0123456789"


def test_the_demo_lives_in_a_folder_of_its_own():
    assert parse(["--data-dir", "here", "--demo-providers"]).data_dir == Path("here-demo").absolute()
    assert parse(["--data-dir", "here"]).data_dir == Path("here").absolute()


def test_play_money_is_set_once_and_counts_for_nothing_without_the_demo(tmp_path, shipped: Catalogue, monkeypatch):
    monkeypatch.setenv("FAL_KEY", REAL)

    def studio() -> Studio:
        return Studio(tmp_path / "data-demo", shipped, engine="scripted")

    one = studio()
    with demo_providers(one, True, "scripted") as demos:
        assert demos is not None and one.providers.demo
        assert one.settings.get("cloud.enabled") and set(one.settings.get("cloud.providers")) == set(demos)
        assert set(one.providers.usable()) == set(demos)
        assert ledger.left(one.store.db, "local") == DAY_MICRO
        # The cloud worker gets the demo's keys and no real one; this process gets neither.
        env = one.providers.child_env()
        assert env["FAL_KEY"] == "demo-fal-key" and REAL not in env.values()
        assert "demo-fal-key" not in os.environ.values()
        one.settings.set({"cloud.enabled": False}, LOCAL)
        with one.store.write() as db:
            charge = ledger.reserve(db, ledger.Charge("local", "fal", "fal-ai/flux/schnell", 3000))
    one.stop()

    again = studio()
    with demo_providers(again, True, "scripted"):
        assert not again.settings.get("cloud.enabled"), "what somebody changed stays"
        assert ledger.one(again.store.db, charge)["state"] == "released", "the provider that had it is gone"
        again.settings.set({"cloud.enabled": True}, LOCAL)
    again.stop()

    plain = studio()
    with demo_providers(plain, False, "scripted") as demos:
        assert demos is None and not plain.providers.demo
        assert not plain.settings.get("cloud.enabled") and ledger.limits(plain.store.db, "local") == []
    plain.stop()


@pytest.fixture
def launched(tmp_path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    flags = ["--demo-providers", "--data-dir", str(tmp_path / "data"), "--port", "0", "--no-open", "--engine", "scripted:2"]
    process = subprocess.Popen(
        [sys.executable, "launch.py", *flags], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"FAL_KEY": REAL},
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    try:
        address = wait_for(lambda: re.search(r"http://[\d.:]+", "".join(list(lines))), "the studio to start", 120)
        yield address[0], process
        assert "play money" in "".join(lines)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        reader.join()
        process.stdout.close()


@pytest.mark.slow
def test_a_request_goes_round_the_demo_and_comes_back_paid_for(launched, tmp_path):
    address, process = launched
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        cloud = client.get("/api/cloud").json()
        assert cloud["demo"] and cloud["enabled"] and cloud["ready"], cloud["why"]
        assert {one["name"] for one in cloud["providers"] if one["usable"]} == {"fal", "replicate", "together", "bfl", "openai"}
        assert client.post("/api/cloud/bfl/test", json={}).json()["tested"]["ok"]
        # By script this machine draws any model, so it has to be busy.
        assert client.post("/api/cloud/settings", json={"wait_seconds": 1}).is_success
        asked = {"prompt": "a red mug", "family": "flux1", "tier": "preview", "draft": 2, "keep": 1, "ladder": False}
        assert client.post("/api/jobs", json=asked | {"draft": 20}).is_success
        job = client.post("/api/jobs", json=asked | {"where": "cloud allowed"}).json()
        done = wait_for(lambda: (now := client.get(f"/api/jobs/{job['id']}").json())["state"] == "done" and now, "the job to be drawn")
        assert len([image for image in done["images"] if image["place"]]) == 2 and done["cost_micro"] > 0
        page, cloud_after = client.get("/").text, client.get("/api/cloud").json()
        assert cloud_after["today_micro"] == done["cost_micro"] and REAL not in page
    assert not (tmp_path / "data").exists() and (tmp_path / "data-demo" / "studio.db").exists()
    if Path("/proc").exists():
        keys = {pid: environ for pid, environ in _environments(process.pid).items() if b"demo-fal-key" in environ}
        assert len(keys) == 1 and REAL.encode() not in next(iter(keys.values())), "the cloud worker alone has the demo's keys"


def _environments(parent: int) -> dict[int, bytes]:
    """Of the processes that `parent` started."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent:
                found[int(entry.name)] = (entry / "environ").read_bytes()
        except OSError:
            continue  # it has ended
    return found


# The drawing process.


@pytest.mark.parametrize(("asked", "drawn"), [((1024, 1024), (256, 256)), ((1344, 768), (352, 192)), ((64, 64), (256, 256)),
                                              ((768, 1344), (192, 352))])  # fmt: skip
def test_sizes_are_drawn_at_about_the_area_that_the_embedded_family_knows(asked, drawn):
    assert drawn_size(*asked, 32) == drawn


@pytest.mark.slow
def test_it_draws_with_the_embedded_family_in_a_process_of_its_own_that_starts_again():
    drawer = Drawer()
    try:
        first = drawer.draw("a red mug on a wooden table", 640, 320, 2, 7)
        assert size(first) == (640, 320)
        assert drawer.draw("a red mug on a wooden table", 640, 320, 2, 7) == first
        assert drawer.draw("a red mug on a wooden table", 640, 320, 2, 8) != first
        process = drawer._process
        assert process is not None
        process.kill()
        with pytest.raises(Unavailable, match="Their drawing process ended"):
            drawer.draw("a red mug", 64, 64, 1, 1)
        assert size(drawer.draw("a red mug", 64, 64, 1, 1)) == (64, 64)
    finally:
        drawer.close()
    with pytest.raises(Unavailable, match="have ended"):
        drawer.draw("a red mug", 64, 64, 1, 1)
