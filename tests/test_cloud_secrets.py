"""A studio that draws in the cloud, is refused, tested, asked everything, and keeps no key in anything it wrote or said."""
from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import keyring
import leaks
import pytest
from clouds import ASKED, cloud_worker, draw, far_away, settled_down, stand_in, with_cloud
from leaks import CANARY
from PIL import Image, PngImagePlugin
from rings import Kept
from studios import ended, served

from models.cards import Catalogue
from models.cloud import keys
from models.cloud.demo import DemoProviders, Fault
from studio.config import quiet_libraries
from studio.serve import mount_page
from studio.store import Store
from studio.studio import Studio

ENGINES = ("fal", "replicate", "together", "bfl", "openai")
PATHS = (
    "/api/cloud", "/api/money", "/api/money/charges", "/api/money.csv", "/api/jobs", "/api/queue", "/api/settings", "/api/history",
    "/api/about", "/api/insights", "/api/models", "/api/export/providers", "/api/scorers", "/api/templates",
)  # fmt: skip


@pytest.fixture
def demos(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoProviders]:
    with DemoProviders(draw, **{name: {"key": f"{CANARY}-{name}"} for name in ENGINES}) as demos:
        stand_in(monkeypatch, demos)
        yield demos


@contextlib.contextmanager
def listened(address: str) -> Iterator[bytearray]:
    """Everything that one browser's stream of events says meanwhile."""
    heard, stop = bytearray(), threading.Event()

    def listen() -> None:
        with contextlib.suppress(httpx.HTTPError), httpx.stream("GET", f"{address}/api/events", timeout=2) as stream:
            for piece in stream.iter_raw():
                heard.extend(piece)
                if stop.is_set():
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join()


def cells(folder: Path) -> bytes:
    """Every value of every table, whatever pages they are spread over."""
    with contextlib.closing(sqlite3.connect(folder / "studio.db")) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")]
        rows = [row for table in tables for row in db.execute(f'SELECT * FROM "{table}"')]
    return "\n".join(str(value) for row in rows for value in row).encode(errors="replace")


def test_a_studio_keeps_and_says_no_key(demos: DemoProviders, tmp_path: Path, shipped: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, told, said = tmp_path / "data", io.StringIO(), bytearray()
    handler = logging.StreamHandler(told)
    handler.setLevel(logging.DEBUG)
    keys.guard_logs(handler)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    before, ring = keyring.get_keyring(), Kept()
    keyring.set_keyring(ring)
    studio = Studio(folder, shipped, engine="scripted")
    try:
        far_away(studio)
        with_cloud(studio, *ENGINES)
        repeated = json.dumps({"detail": f"{CANARY}-fal may not do this: Key {CANARY}-fal"}).encode()
        demos["fal"].faults.append(Fault("status", status=400, body=repeated, accepted=False))
        demos["together"].faults.append(Fault("unauthorized"))
        with served(studio) as address, cloud_worker(folder, shipped), listened(address) as heard:
            with httpx.Client(base_url=address, timeout=30) as door:
                asked = [{**ASKED, "draft": 2, "keep": 1, "prompt": f"a mug {n}"} for n in range(3)]
                jobs = [door.post("/api/jobs", json=one).json()["id"] for one in asked]
                for job in jobs:
                    said += json.dumps(settled_down(studio, job)).encode()
                said += door.post("/api/cloud/fal/test", json={}).content
                said += door.post("/api/cloud/fal/key", json={"key": f"{CANARY}-typed"}).content
                said += door.post("/api/cloud/fal/key", json={"key": f"{CANARY} with spaces"}).content
                said += door.post("/api/settings", json={"cloud.openai.base_url": f"https://host/{keys.CUT}"}).content
                for kind in ("python", "curl"):
                    for name in ENGINES:
                        said += door.post("/api/export", json={"template": "ecommerce-hero", "provider": name, "as": kind}).content
                for path in (*PATHS, *(f"/api/jobs/{job}" for job in jobs)):
                    answer = door.get(path, follow_redirects=True)
                    assert answer.status_code in (200, 404), path
                    said += answer.content + str(answer.headers).encode()
        said += heard
    finally:
        studio.stop()
        keyring.set_keyring(before)
        root.removeHandler(handler)
        root.setLevel(level)
    assert sum(len(demo.billed) for demo in demos.values()) >= 1 and not any(demo.leaks for demo in demos.values())
    assert ring.entries == {("contact-sheet", "fal"): f"{CANARY}-typed"} or not ring.entries
    secrets = (CANARY.encode(),)
    assert not leaks.in_text(bytes(said), secrets)
    assert not leaks.in_text(told.getvalue().encode(), secrets)
    assert not leaks.in_text(cells(folder), secrets)
    assert not leaks.in_folder(folder, secrets)
    assert b"[key]" in cells(folder) or "[key]" in told.getvalue()  # the one that was repeated was there, and was cut


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_processes_of_a_studio_keep_no_key(demos: DemoProviders, tmp_path: Path, shipped: Catalogue) -> None:
    folder = tmp_path / "data"
    quiet_libraries()
    studio = Studio(folder, shipped, engine="scripted")
    with contextlib.ExitStack() as after:
        after.callback(gc.collect)  # Gradio leaves event loops behind, here where the warnings about them are not ours
        after.callback(studio.stop)
        far_away(studio)
        with_cloud(studio, "fal", "bfl")
        demos["fal"].faults.append(Fault("status", status=400, body=f"no, {CANARY}-fal".encode(), accepted=False))
        studio.start()
        studio.cloud.configured()
        jobs = [studio.submit({**ASKED, "draft": 2, "keep": 1, "prompt": f"a mug {n}"})["id"] for n in range(2)]
        for job in jobs:
            assert ended(studio, job)["state"] in ("done", "failed")
        with served(studio, mount_page) as address:
            page = httpx.get(address, timeout=60)
            assert page.status_code == 200 and "cs-sheet" in page.text and CANARY not in page.text
    assert demos.billed_micro and list((folder / "logs").iterdir())
    assert not leaks.in_folder(folder, (CANARY.encode(),)) and CANARY.encode() not in cells(folder)


# The scan finds what there is to find.


def test_keys_are_found_wherever_they_lie(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    (folder / "logs").mkdir(parents=True)
    store = Store(folder / "scanned.db")
    store.set("note", json.dumps("x" * 3000 + "needle-of-a-key"))
    (folder / "logs" / "worker.out").write_bytes(b"Traceback: needle-of-a-key")
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a prompt " * 50 + "needle-of-a-key", zip=True)
    Image.new("RGB", (8, 8)).save(folder / "1.png", pnginfo=info)
    assert b"needle" not in (folder / "1.png").read_bytes()
    found = leaks.in_folder(folder, (b"needle-of-a-key",))
    assert {Path(one.partition(": ")[0]).name.removesuffix("-wal") for one in found} == {"scanned.db", "worker.out", "1.png"}


@pytest.mark.slow
def test_the_hook_fails_a_suite_that_leaves_a_key(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from leaks import nothing_leaks, overheard, pytest_sessionfinish\n")
    (tmp_path / "test_it.py").write_text(
        "import sqlite3\n"
        "def test_left(tmp_path):\n"
        "    (tmp_path / 'studio.db').touch()\n"
        "    (tmp_path / 'studio.log').write_text('asked with demo-fal-key')\n"
        "def test_said():\n"
        "    from studio.doors.base import Json\n"
        "    Json({'why': 'demo-bfl-key was refused'})\n"
    )
    root = Path(__file__).parent.parent
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "t")]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "PATH": ""}
    done = subprocess.run([*words, str(tmp_path)], env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1
    assert "studio.log: demo-fal-key" in done.stdout and "a key was said" in done.stdout and "demo-bfl-key" in done.stdout
    shutil.rmtree(tmp_path / "t")  # else the suite that this test is of finds the key too, and fails
