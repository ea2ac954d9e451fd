"""The worker: real processes that draw by script, killed at will; and in this process, every way a task can end."""
from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from studios import ended, wait_for

from models.cards import Catalogue
from models.errors import OutOfMemory
from models.scripted import ScriptedEngine, seed_picture
from pipelines.plan import plan_for
from pipelines.request import Request
from studio.config import WorkerSetup
from studio.store import Store, images, jobs
from studio.store.people import LOCAL
from studio.studio import Studio
from studio.worker import Worker

posix = pytest.mark.skipif(os.name != "posix", reason="kills with signals")


def alive(pid: int) -> bool:
    """False also for a process that has ended and that nobody has asked for yet."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def check_all_drawn_once(folder: Path, view: dict) -> None:
    """The candidates of a job that is done: each number once, each with a whole file that shows its seed."""
    assert view["state"] == "done"
    assert [image["number"] for image in view["images"]] == list(range(1, view["draft"] + 1))
    assert {image["state"] for image in view["images"]} == {"drawn"}
    names = [path.name for path in folder.rglob("*.png")]
    assert sorted(names) == [f"{view['id']:06d}-{number:03d}.png" for number in range(1, view["draft"] + 1)]
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            own = json.loads(image.text["contact-sheet"])
            assert own["seed"] == view["images"][own["number"] - 1]["seed"]
            assert image.tobytes() == seed_picture(own["seed"], image.width, image.height).tobytes()


def test_a_job_is_drawn_measured_and_chosen_from(start_studio):
    studio = start_studio(0.02)
    view = ended(studio, studio.submit({"prompt": "a red mug", "draft": 10, "keep": 3})["id"])
    check_all_drawn_once(studio.data_dir / "outputs", view)
    assert [image["verdict"] for image in view["images"]].count("kept") == 3
    assert sorted(image["rank"] for image in view["images"] if image["rank"]) == list(range(1, len(view["images"]) + 1))
    scores = {score["dimension"]: score for score in view["images"][0]["scores"]}
    assert scores["sharpness"]["passed"] is True
    assert 55 <= scores["adherence"]["value"] <= 95 and scores["adherence"]["passed"] is True
    # This machine's timings are learned, so the next job has an estimate before it starts.
    assert studio.submit({"prompt": "a red mug", "draft": 8})["eta"] > 0.05
    # Promotion keeps the seed and knows its parent.
    best = next(image for image in view["images"] if image["rank"] == 1)
    up = ended(studio, studio.promote(best["id"], "premium")["id"])
    assert (up["images"][0]["seed"], up["images"][0]["parent"], up["parent"]) == (best["seed"], best["id"], best["id"])
    assert (up["images"][0]["width"], up["images"][0]["height"]) == (512, 512)
    assert [link["id"] for link in studio.image(up["images"][0]["id"])["lineage"]] == [best["id"], up["images"][0]["id"]]
    # A cancel acts within a step: 40 steps of 20 ms are far from done.
    job = studio.submit({"prompt": "a red mug", "tier": "standard", "steps": 100, "draft": 2})["id"]
    wait_for(lambda: studio.job(job)["step"] >= 2, "the first steps")
    at = studio.job(job)["step"]
    studio.cancel(job)
    cancelled = ended(studio, job)
    assert cancelled["state"] == "cancelled"
    assert {image["state"] for image in cancelled["images"]} == {"failed"}
    assert at < 60
    assert wait_for(lambda: studio.device()["device"]["state"] == "ready", "the device to be free")


@posix
def test_a_job_survives_kill_9_of_its_worker(start_studio):
    studio = start_studio(0.05)
    job = studio.submit({"prompt": "a red mug", "draft": 16})["id"]
    outputs = studio.data_dir / "outputs"
    wait_for(lambda: studio.job(job)["done"] >= 1, "the first picture")
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*.png")}
    drawn = {image["number"] for image in studio.job(job)["images"] if image["state"] == "drawn"}
    killed = studio.worker_pid
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: studio.worker_pid not in (None, killed), "another worker")
    view = ended(studio, job)
    check_all_drawn_once(outputs, view)
    kept = [path for path, changed in before.items() if int(path.stem[-3:]) in drawn and path.stat().st_mtime_ns == changed]
    assert len(kept) == len(drawn) >= 1, "a picture that was drawn was drawn again"


PAGE = """
import sys, time
from pathlib import Path
from models.presets import load_catalogue
from studio.studio import Studio
studio = Studio(Path(sys.argv[1]), load_catalogue(), engine="scripted:0.05")
studio.start()
job = studio.submit({"prompt": "a red mug", "draft": 16})["id"]
while studio.job(job)["done"] < 1:
    time.sleep(0.01)
print(studio.worker_pid, flush=True)
time.sleep(60)
"""


@posix
@pytest.mark.parametrize("worker_too", [False, True])
def test_a_job_survives_kill_9_of_the_page(tmp_path, start_studio, worker_too):
    folder = tmp_path / "data"
    page = subprocess.Popen([sys.executable, "-c", PAGE, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    assert page.stdout is not None
    with page.stdout:
        worker = int(page.stdout.readline())
        if worker_too:
            os.kill(worker, signal.SIGKILL)
        page.kill()
        page.wait()
    wait_for(lambda: not alive(worker), "the worker to end without its page")
    left = Store(folder / "studio.db")
    before = {row["number"]: row["path"] for row in images.of_job(left, 1) if row["state"] == "drawn"}
    left.close()
    changed = {path: (folder / path).stat().st_mtime_ns for path in before.values()}
    assert 1 <= len(before) < 16
    half = folder / f"{next(iter(before.values()))}.77-1.tmp"
    half.write_bytes(b"half a picture")

    studio = start_studio(0.0, folder)
    view = ended(studio, 1)
    check_all_drawn_once(folder / "outputs", view)
    assert {path: (folder / path).stat().st_mtime_ns for path in before.values()} == changed
    assert not half.exists()


def end_workers(studio: Studio, number: int, times: int) -> None:
    """Ends each worker in the middle of its first batch."""
    last = 0
    for _ in range(times):
        wait_for(lambda: studio.store.db.execute("SELECT 1 FROM tasks WHERE state = 'leased'").fetchone(), "the lease")
        pid = wait_for(lambda last=last: studio.worker_pid if studio.worker_pid != last else None, "the worker")
        os.kill(pid, number)
        wait_for(lambda: not studio.store.db.execute("SELECT 1 FROM tasks WHERE state = 'leased'").fetchone(), "its lease to be free")
        last = pid


@posix
def test_a_worker_that_dies_three_times_over_a_batch_fails_the_job_and_takes_the_next(start_studio):
    studio = start_studio(0.4)
    job = studio.submit({"prompt": "a red mug", "draft": 1, "steps": 60})["id"]
    end_workers(studio, signal.SIGSEGV, jobs.ATTEMPTS)
    view = ended(studio, job)
    assert view["state"] == "failed"
    assert "stopped 3 times" in view["error"]["what"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="only Linux tells who killed for memory")
def test_a_worker_that_somebody_kills_again_and_again_is_no_fault_of_its_job(start_studio):
    studio = start_studio(0.05)
    job = studio.submit({"prompt": "a red mug", "draft": 1, "steps": 40})["id"]
    end_workers(studio, signal.SIGKILL, jobs.ATTEMPTS + 1)
    view = ended(studio, job)
    check_all_drawn_once(studio.data_dir / "outputs", view)


def test_the_supervisor_outlives_what_keeps_a_worker_from_starting(start_studio, monkeypatch):
    real, failures = subprocess.Popen, [OSError(11, "Resource temporarily unavailable"), sqlite3.OperationalError("database is locked")]

    def popen(*args, **options):
        if failures:
            raise failures.pop()
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    studio = start_studio(0.0)
    job = studio.submit({"prompt": "a red mug", "draft": 1})["id"]
    assert "could not be started" in wait_for(lambda: studio.device()["device"]["note"], "word of the failure")
    assert ended(studio, job)["state"] == "done"
    assert failures == []


def test_workers_take_turns_at_a_device(start_studio):
    """A worker that an earlier page left behind is waited for, and the page says so."""
    first = start_studio(0.0)
    lock = FileLock(first.data_dir / "worker.lock")
    wait_for(lambda: first.device()["device"]["state"] == "ready", "the first worker")
    first.stop()
    with lock:
        second = start_studio(0.0, first.data_dir)
        job = second.submit({"prompt": "a red mug", "draft": 1})["id"]
        note = wait_for(lambda: second.device()["device"]["note"], "word of the worker that waits")
        assert "still holds the device" in note
        assert second.job(job)["state"] == "queued"
    assert ended(second, job)["state"] == "done"


# Every way a task can end, in this process.


class Breaking(ScriptedEngine):
    """Draws the first picture, then raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.closed_streams = 0

    def generate(self, spec):
        try:
            for event in super().generate(spec):
                yield event
                if type(event).__name__ == "Picture":
                    raise self.error
        finally:
            self.closed_streams += 1


@pytest.fixture
def worker(tmp_path: Path, shipped: Catalogue) -> Iterator[Worker]:
    (tmp_path / "logs").mkdir()
    setup = WorkerSetup("w", ("127.0.0.1", 0), "", str(tmp_path), "embedded", None, None, "scripted")
    worker = Worker(setup, Store(tmp_path / "studio.db"), shipped)
    yield worker
    worker.saver.wait()
    worker.store.close()


def add(worker: Worker, **fields) -> int:
    request = Request.from_dict({"prompt": "a red mug"} | fields, worker.catalogue)
    return jobs.add_job(worker.store, request, plan_for(request, worker.catalogue), LOCAL.name)


def work(worker: Worker) -> int:
    """Does whatever waits; how many tasks that was."""
    count = 0
    while task := jobs.lease(worker.store, "w", 60):
        worker.do(task)
        worker.saver.wait()
        count += 1
    return count


def test_an_error_that_a_person_can_mend_ends_the_job_with_its_words_and_what_was_drawn_is_scored(worker, monkeypatch):
    engine = Breaking(OutOfMemory("Too large.", "8 GB are not enough.", "Choose a smaller size."))
    monkeypatch.setattr(worker.engines, "get", lambda card: engine)
    job = add(worker, draft=3)
    assert work(worker) == 2
    row = jobs.job_row(worker.store, job)
    assert json.loads(row["error"]) == {"what": "Too large.", "why": "8 GB are not enough.", "todo": "Choose a smaller size."}
    rows = images.of_job(worker.store, job)
    assert (row["state"], [image["state"] for image in rows]) == ("failed", ["drawn", "failed", "failed"])
    assert rows[0]["verdict"] == "kept"
    assert engine.closed_streams == 1


def test_a_bug_is_logged_whole_with_its_job_and_shown_with_the_place(worker, monkeypatch, caplog):
    monkeypatch.setattr(worker.engines, "get", lambda card: Breaking(ZeroDivisionError("oh")))
    job = add(worker, draft=2)
    with caplog.at_level(logging.ERROR):
        work(worker)
    error = json.loads(jobs.job_row(worker.store, job)["error"])
    assert "worker.log" in error["what"]
    assert f"job {job}" in error["what"]
    assert error["why"] == "ZeroDivisionError: oh"
    [record] = [record for record in caplog.records if record.exc_info]
    assert f"job {job}" in record.getMessage()


def test_a_disk_that_is_full_ends_the_job_with_the_reason(worker, monkeypatch):
    def full(_from: object, _to: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    job = add(worker, draft=2)
    work(worker)
    row = jobs.job_row(worker.store, job)
    assert row["state"] == "failed"
    assert "No space left" in row["error"]


def test_a_cancel_is_seen_at_the_next_step_and_the_device_let_go(worker, monkeypatch):
    engine = ScriptedEngine(step_seconds=0.0)
    monkeypatch.setattr(worker.engines, "get", lambda card: engine)
    job = add(worker, draft=8, steps=50)
    told = []

    def tell(event: str, **message: object) -> None:
        told.append(event)
        if event == "step" and message["step"] == 5:
            worker.hear({"cancel": job})

    monkeypatch.setattr(worker, "tell", tell)
    jobs_cancelled = worker.store  # the page writes the truth before it pushes
    task = jobs.lease(worker.store, "w", 60)
    jobs.cancel_job(jobs_cancelled, job, LOCAL)
    worker._looked = time.monotonic() + 60  # the database is not asked again in this test
    worker.do(task)
    assert engine.steps_run == 5
    assert {image["state"] for image in images.of_job(worker.store, job)} == {"failed"}
    assert job not in worker.cancelled


def test_a_cancel_that_was_not_pushed_is_found_in_the_database(worker, monkeypatch):
    engine = ScriptedEngine(step_seconds=0.03)
    monkeypatch.setattr(worker.engines, "get", lambda card: engine)
    job = add(worker, draft=1, steps=50)
    task = jobs.lease(worker.store, "w", 60)
    jobs.cancel_job(worker.store, job, LOCAL)
    worker.do(task)
    assert 1 <= engine.steps_run < 20


def test_a_batch_that_was_drawn_whole_before_a_crash_is_not_drawn_again(worker, monkeypatch):
    engine = ScriptedEngine()
    monkeypatch.setattr(worker.engines, "get", lambda card: engine)
    job = add(worker, draft=2)
    task = jobs.lease(worker.store, "w", 60)
    for number in (1, 2):
        with worker.store.write() as db:
            images.mark_drawn(db, job, number, path="x.png", width=8, height=8, seconds=0, details={})
    worker.do(task)
    assert engine.batches == []
    assert jobs.lease(worker.store, "w", 60).kind == "judge"


def test_only_one_engine_is_loaded_and_the_old_one_freed_first(worker, shipped):
    closed = []
    worker.engines.get("embedded").close = lambda: closed.append("embedded")  # type: ignore[method-assign]
    assert worker.engines.get("embedded") is worker.engines.get("embedded")
    assert closed == []
    worker.engines.get("flux1-dev")
    assert closed == ["embedded"]


def test_a_stopped_studio_ends_its_worker_and_gives_back_its_task_unblamed(start_studio):
    studio: Studio = start_studio(0.2)
    studio.submit({"prompt": "a red mug", "draft": 1, "steps": 100})
    wait_for(lambda: studio.store.db.execute("SELECT 1 FROM tasks WHERE state = 'leased'").fetchone(), "the lease")
    pid, path = studio.worker_pid, studio.store.path
    studio.stop()
    assert pid is not None
    assert not alive(pid)
    left = Store(path)
    assert [tuple(row) for row in left.db.execute("SELECT state, attempts FROM tasks")] == [("waiting", 0)]
    left.close()
