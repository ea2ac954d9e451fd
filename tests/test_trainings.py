"""Trainings in the studio: what is proposed and refused, who gets the device when, how they end, and what becomes of them."""
from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from studios import ended, served, wait_for

from models.errors import BadInput, NotFound
from studio import archive
from studio.store import loras, trainings
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who
from studio.trainer import folder_of
from studio.trainingviews import POINTS, thinned

FAKE = Path(__file__).parent / "faketrainer.py"


def drawing(seed: int) -> bytes:
    """A picture with edges, like no other seed's."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (320, 320), tuple(int(one) for one in rng.integers(60, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        x, y = rng.uniform(0, 320, 2)
        size = rng.uniform(25, 110)
        draw.rectangle((x - size, y - size, x + size, y + size), fill=tuple(int(one) for one in rng.integers(0, 255, 3)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def dataset_of(studio, count: int = 4) -> int:
    dataset = studio.datasets.create({"title": "Blue ceramic", "kind": "product", "trigger": "blucer", "card": "embedded"}, LOCAL)["id"]
    images = [studio.datasets.bring(dataset, drawing(seed), f"{seed}.png", LOCAL)["id"] for seed in range(count)]
    studio.datasets.caption(dataset, {"captions": {str(image): f"a mug on table {image}" for image in images}}, LOCAL)
    return dataset


def fake(studio, **script: object) -> None:
    """The studio's trainings are played by a script from now on."""

    def command(folder: Path) -> list[str]:
        (folder / "script.json").write_text(json.dumps(script), encoding="utf-8")
        return [sys.executable, str(FAKE), str(folder)]

    studio.trainings.trainer.command = command
    studio.trainings.trainer.quiet = 0.2


@pytest.fixture
def training_studio(start_studio):
    def start(**script: object):
        studio = start_studio()
        fake(studio, **script)
        return studio

    return start


def begin(studio, **more: object) -> int:
    dataset = more.pop("dataset", None) or dataset_of(studio)
    settings = {"steps": 30} | dict(more.pop("settings", {}))
    return studio.trainings.create({"dataset": dataset, "lora": "ceramic", "settings": settings, **more}, LOCAL)["id"]


def state(studio, training: int) -> str:
    return trainings.row_of(studio.store, training)["state"]


def reached(studio, training: int, *states: str) -> dict:
    wait_for(lambda: state(studio, training) in states, f"training {training} to be {' or '.join(states)}")
    return studio.trainings.views.view(training, LOCAL)


def learning(studio, training: int, step: int = 1) -> None:
    wait_for(lambda: (studio.trainings.views.view(training, LOCAL)["step"] or 0) >= step, f"step {step}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    path = Path(f"/proc/{pid}/stat")
    return not path.is_file() or path.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


# What is proposed, and what is refused.


def test_a_dataset_comes_with_settings_that_fit(studio):
    dataset = dataset_of(studio)
    found = studio.trainings.propose({"dataset": dataset}, LOCAL)
    assert found["lora"] == "blue-ceramic" and found["dataset"]["count"] == 4
    assert found["settings"]["rank"] >= 1 and found["settings"]["steps"] >= 1
    assert "training_adapter" not in found["settings"] and "card" not in found["settings"]
    prompts = [sample["prompt"] for sample in found["settings"]["samples"]]
    assert "blucer" in prompts[0] and "blucer" not in prompts[-1]
    assert found["parent"] is None and found["stale"] is None
    with pytest.raises(BadInput) as refused:
        studio.trainings.propose({}, LOCAL)
    assert refused.value.field == "dataset"
    with pytest.raises(NotFound):
        studio.trainings.propose({"dataset": dataset}, Who("somebody"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"rank": 0}, "settings.rank"), ({"rate": "fast"}, "settings.rate"), ({"speed": 1}, "settings.speed"),
        ({"training_adapter": "/etc/passwd"}, "settings.training_adapter"), ({"card": "flux1-dev"}, "settings.card"),
        ({"samples": [{"seed": 1}]}, "settings.samples.0.prompt"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named_before_anything_is_written(studio, settings, field):
    with pytest.raises(BadInput) as refused:
        begin(studio, settings=settings)
    assert refused.value.field == field
    assert not studio.trainings.views.overview(LOCAL)["trainings"]
    assert not list((studio.data_dir / "training").glob("*")) and not loras.names(studio.store, LOCAL)
    with pytest.raises(NotFound):
        studio.loras.own("ceramic", LOCAL)


def test_what_is_asked_for_lies_in_its_folder(studio):
    training = begin(studio, toml="rank = 4\nrate = 0.002\n", note="thinner", title="Ceramic", gives_way="never")
    view = studio.trainings.views.view(training, LOCAL)
    assert (view["settings"]["rank"], view["settings"]["rate"], view["settings"]["steps"]) == (4, 0.002, 30)
    assert (view["state"], view["note"], view["title"], view["gives_way"]) == ("queued", "thinner", "Ceramic", "never")
    folder = folder_of(studio.data_dir, training)
    assert json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["images"] and len(list((folder / "images").iterdir())) == 4
    with pytest.raises(NotNow, match="being trained already"):
        begin(studio, dataset=view["dataset"]["id"])


def test_others_see_that_there_is_one_and_no_more(studio):
    training = begin(studio)
    bob, admin = Who("bob"), Who("ada", admin=True)
    for who in (bob, admin):
        seen = studio.trainings.views.overview(who)
        assert not seen["trainings"] and seen["others"][0]["id"] == training and "lora" not in seen["others"][0]
        with pytest.raises(NotFound):
            studio.trainings.views.view(training, who)
        with pytest.raises(NotFound):
            studio.trainings.stop_one(training, who)
    with pytest.raises(NotFound):
        studio.trainings.cancel(training, bob)
    assert studio.trainings.cancel(training, admin)["state"] == "cancelled"


def test_a_folder_that_belongs_to_no_training_is_cleared_away(studio):
    training = begin(studio)
    for name in ("77", ".coming-abc"):
        (studio.data_dir / "training" / name).mkdir()
    studio.trainings._sweep()
    assert [path.name for path in (studio.data_dir / "training").iterdir()] == [str(training)]


def test_a_backup_takes_a_training_along_without_its_cache(studio, tmp_path):
    training = begin(studio)
    folder = folder_of(studio.data_dir, training)
    (folder / "events.jsonl").write_text('{"event": "step", "step": 1, "loss": 2.0}\n', encoding="utf-8")
    (folder / "cache").mkdir()
    (folder / "cache" / "latents.safetensors").write_bytes(b"x" * 100)
    archive.backup(studio.data_dir, tmp_path / "all.zip")
    studio.stop()
    archive.restore(studio.data_dir, tmp_path / "all.zip")
    assert (folder / "events.jsonl").is_file() and (folder / "run.toml").is_file() and not (folder / "cache").exists()


# From the queue to a version.


def test_a_training_becomes_the_candidate_with_all_that_it_was_made_from(training_studio):
    studio = training_studio()
    training = begin(studio)
    view = reached(studio, training, "done", "failed")
    assert view["state"] == "done" and view["number"] == 1 and view["step"] == 30 and view["can"] == ["remove"]
    assert view["curves"]["loss"][-1] == [30, pytest.approx(1 / 30)] and [one["step"] for one in view["samples"]] == [10, 20, 30]
    lora = studio.lora_rack.view("ceramic", LOCAL)
    assert lora["aliases"] == {"candidate": 1} and lora["triggers"] == ["blucer"]
    version = studio.lora_rack.version("ceramic", 1, LOCAL)
    assert version["training"] == str(training) and version["seed"] == view["settings"]["seed"] and version["config"]["steps"] == 30
    assert len(version["dataset"]["images"]) == 4 and version["packages"]["torch"] and len(version["samples"]) == 1
    assert version["gpu_seconds"] == pytest.approx(view["device_seconds"], abs=0.2) and version["gpu_seconds"] > 0.5
    assert version["scores"] == {"steps": 30.0, "validation": pytest.approx(1 / 30)}
    assert not (folder_of(studio.data_dir, training) / "images").exists()
    assert trainings.holder(studio.store) is None
    # The device is the generator's again.
    assert ended(studio, studio.submit({"prompt": "a mug", "draft": 1, "keep": 1})["id"])["state"] == "done"

    # What changed since is told, and the next training begins where this one was.
    images = studio.datasets.views.view(view["dataset"]["id"], LOCAL)["images"]
    studio.datasets.caption(view["dataset"]["id"], {"captions": {str(images[0]["id"]): "a blue mug"}}, LOCAL)
    again = studio.trainings.propose({"lora": "ceramic"}, LOCAL)
    assert again["settings"]["steps"] == 30 and again["parent"] == 1 and again["stale"]["recaptioned"] == 1 and again["seconds"] > 0
    second = studio.trainings.create({"lora": "ceramic"}, LOCAL)["id"]
    assert reached(studio, second, "done", "failed")["number"] == 2
    assert studio.lora_rack.version("ceramic", 2, LOCAL)["parent"] == 1
    assert studio.trainings.propose({"lora": "ceramic"}, LOCAL)["stale"] is None
    studio.trainings.remove(training, LOCAL)
    assert not folder_of(studio.data_dir, training).exists() and studio.loras.file("ceramic", 1, LOCAL).is_file()


def test_previews_make_it_give_way_and_it_goes_on_afterwards(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 60})
    learning(studio, training, 12)
    job = studio.submit({"prompt": "a mug", "draft": 1, "keep": 1, "tier": "preview"})["id"]
    assert ended(studio, job)["state"] == "done"
    assert state(studio, training) in ("queued", "starting", "running")
    view = reached(studio, training, "done", "failed")
    assert view["state"] == "done" and [one["ended"] for one in view["stretches"]] == ["gave way", "done"]
    assert any("Going on from step" in note for note in view["notes"])
    assert view["device_seconds"] == pytest.approx(sum(one["seconds"] for one in view["stretches"]), abs=0.2)


@pytest.mark.slow
def test_other_pictures_wait_unless_it_was_told_to_give_way_to_all(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 100})
    learning(studio, training)
    job = studio.submit({"prompt": "a mug", "draft": 1, "keep": 1, "tier": "standard", "ladder": False})["id"]
    learning(studio, training, 40)
    assert studio.job(job)["state"] == "queued"
    view = reached(studio, training, "done")
    assert [one["ended"] for one in view["stretches"]] == ["done"]
    assert ended(studio, job)["state"] == "done"


def test_a_training_stands_in_line_with_the_jobs_that_came_before_it(studio):
    job = studio.submit({"prompt": "a mug", "draft": 1, "keep": 1, "tier": "standard", "ladder": False})["id"]
    time.sleep(0.01)
    row = trainings.row_of(studio.store, begin(studio))
    assert trainings.something_waits(studio.store, "previews", row["created"])
    assert not trainings.something_waits(studio.store, "previews") and trainings.something_waits(studio.store, "jobs")
    assert studio.trainings.views.view(row["id"], LOCAL)["waits"] == "Pictures go first."
    studio.cancel(job)
    assert not trainings.something_waits(studio.store, "previews", row["created"])


# By itself.


def test_a_lora_is_trained_again_by_itself_when_it_is_told_to_and_only_then(training_studio, monkeypatch):
    studio = training_studio()
    retraining = studio.trainings.retraining
    training = begin(studio)
    dataset = reached(studio, training, "done")["dataset"]["id"]
    hour = datetime.now().astimezone().hour
    night = {"retraining.from": hour, "retraining.until": hour}  # all day
    studio.settings.set(night, LOCAL)
    retraining.set("ceramic", True, LOCAL)
    with pytest.raises(NotFound):
        retraining.set("ceramic", False, Who("bob"))
    images = studio.datasets.views.view(dataset, LOCAL)["images"]
    assert retraining.look() is None, "no minutes are allowed"
    studio.settings.set({"retraining.minutes": 10}, LOCAL)
    assert retraining.look() is None, "nothing has changed"
    time.sleep(0.01)
    studio.datasets.caption(dataset, {"captions": {str(images[0]["id"]): "a blue mug"}}, LOCAL)
    assert retraining.view(LOCAL)["loras"] == [{"name": "ceramic", "person": "local", "stale": "1 picture recaptioned"}]
    second = retraining.look()
    view = reached(studio, second, "done", "failed")
    assert (view["state"], view["automatic"], view["gives_way"], view["number"]) == ("done", True, "jobs", 2)
    assert 0 < retraining.view(LOCAL)["used"] < 10 and retraining.look() is None
    # What the budget ends goes on when there is one again.
    monkeypatch.setattr(retraining, "_used", lambda since: 601.0)
    time.sleep(0.01)
    studio.datasets.caption(dataset, {"captions": {str(images[0]["id"]): "a green mug"}}, LOCAL)
    assert retraining.look() is None and not retraining.may_go_on()
    retraining.set("ceramic", False, LOCAL)
    assert retraining.view(LOCAL)["loras"] == []


@pytest.mark.parametrize(
    ("clock", "start", "end", "began"),
    [(2, 1, 6, 2 - 1), (6, 1, 6, None), (0, 22, 6, 2), (23, 22, 6, 1), (12, 22, 6, None), (3, 3, 3, 0), (2, 3, 3, 23)],
)
def test_hours_that_go_over_midnight(studio, monkeypatch, clock, start, end, began):
    class At(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 6, 10, clock, tzinfo=tz) if tz else cls(2026, 6, 10, clock)

    monkeypatch.setattr("studio.retraining.datetime", At)
    studio.settings.set({"retraining.minutes": 5, "retraining.from": start, "retraining.until": end}, LOCAL)
    found = studio.trainings.retraining.began()
    hours = None if found is None else (At.now().astimezone() - found.astimezone()).total_seconds() / 3600
    assert hours == began


# How it ends otherwise.


@pytest.mark.slow
def test_stopped_resumed_and_kept(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 2000})
    with pytest.raises(NotNow, match="nothing to keep"):
        studio.trainings.keep(training, LOCAL)
    learning(studio, training, 12)
    studio.trainings.stop_one(training, LOCAL)
    view = reached(studio, training, "stopped")
    assert view["can"] == ["resume", "keep", "cancel", "remove"] and trainings.holder(studio.store) is None
    studio.trainings.resume(training, LOCAL)
    learning(studio, training, view["step"] + 3)
    studio.trainings.keep(training, LOCAL)
    view = reached(studio, training, "done", "failed")
    assert view["number"] == 1 and view["step"] < 2000
    with pytest.raises(NotNow):
        studio.trainings.resume(training, LOCAL)


def test_cancelled_it_ends_at_once_and_what_was_learnt_can_still_be_kept(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 2000})
    learning(studio, training, 12)
    studio.trainings.cancel(training, LOCAL)
    assert reached(studio, training, "cancelled")["number"] is None and loras.names(studio.store, LOCAL) == []
    assert studio.trainings.keep(training, LOCAL)["number"] == 1


def test_a_failure_is_shown_by_its_cause(training_studio):
    studio = training_studio(fail=5)
    training = begin(studio)
    view = reached(studio, training, "failed")
    assert view["failure"]["cause"] == "nan" and view["failure"]["field"] == "rate" and view["failure"]["todo"]
    assert "resume" in view["can"] and trainings.holder(studio.store) is None
    fake(studio)
    studio.trainings.resume(training, LOCAL)
    assert reached(studio, training, "done", "failed")["state"] == "done"


@pytest.mark.slow
def test_a_version_that_cannot_be_written_is_told_and_tried_again(training_studio, monkeypatch):
    studio = training_studio()
    register = studio.loras.register

    def full(*_: object) -> int:
        raise NotNow("The disk is full.")

    monkeypatch.setattr(studio.loras, "register", full)
    training = begin(studio)
    assert reached(studio, training, "failed")["failure"]["what"] == "The disk is full."
    monkeypatch.setattr(studio.loras, "register", register)
    studio.trainings.resume(training, LOCAL)
    view = reached(studio, training, "done")
    assert view["number"] == 1 and len(view["stretches"]) == 1, "nothing was trained twice"


@pytest.mark.slow
def test_one_that_does_not_give_way_is_ended_and_goes_on(training_studio):
    studio = training_studio(hang=0)
    studio.trainings.trainer.patience = 0.3
    training = begin(studio, settings={"steps": 100})
    learning(studio, training, 11)
    studio.trainings.stop_one(training, LOCAL)
    assert [one["ended"] for one in reached(studio, training, "stopped")["stretches"]] == ["killed"]


# Whatever is killed.


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_that_was_killed_by_hand_goes_on_from_its_checkpoint(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 60})
    learning(studio, training, 12)
    os.kill(studio.trainings.trainer.pid, signal.SIGKILL)
    view = reached(studio, training, "done", "failed")
    assert view["state"] == "done" and [one["ended"] for one in view["stretches"]] == ["killed", "done"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_was_killed_leaves_the_device_to_the_training(training_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 300})
    learning(studio, training, 5)
    os.kill(studio.worker_pid, signal.SIGKILL)
    first = trainings.row_of(studio.store, training)["freed"]
    wait_for(lambda: trainings.row_of(studio.store, training)["freed"] not in (None, first), "the next worker to let go too")
    assert [one["ended"] for one in studio.trainings.views.view(training, LOCAL)["stretches"]] == [""]
    studio.trainings.cancel(training, LOCAL)
    reached(studio, training, "cancelled")


@pytest.mark.slow
def test_the_studio_ends_and_the_next_one_goes_on(training_studio, start_studio):
    studio = training_studio()
    training = begin(studio, settings={"steps": 120})
    learning(studio, training, 12)
    pid = studio.trainings.trainer.pid
    studio.stop()
    assert not alive(pid)
    after = start_studio()
    fake(after)
    view = reached(after, training, "done", "failed")
    assert view["state"] == "done" and [one["ended"] for one in view["stretches"]] == ["gave way", "done"]


KILLED = """
import sys, json
sys.path[:0] = {paths!r}
from pathlib import Path
from models.presets import load_catalogue
from studio.studio import Studio
from test_trainings import begin, fake, learning
studio = Studio(Path({folder!r}), load_catalogue(), engine="scripted")
studio.start()
fake(studio)
training = begin(studio, settings={{"steps": 5000}})
learning(studio, training, 12)
print(training, studio.trainings.trainer.pid, studio.worker_pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_studio_that_was_killed_leaves_no_process_and_finds_its_training_queued(tmp_path, start_studio):
    import subprocess

    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    program = KILLED.format(paths=paths, folder=str(tmp_path / "data"))
    page = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with contextlib.ExitStack() as stack:
        stack.callback(page.wait)
        stack.callback(page.kill)
        assert page.stdout is not None and page.stdin is not None
        training, pid, worker = (int(one) for one in page.stdout.readline().split())
        page.kill()
        wait_for(lambda: not alive(pid) and not alive(worker), "the orphans to end")
        page.stdout.close()
        page.stdin.close()
    after = start_studio(data_dir=tmp_path / "data")
    fake(after)
    # Not by its step: it may have come far before the studio was killed.
    wait_for(lambda: len(after.trainings.views.view(training, LOCAL)["stretches"]) == 2, "it to go on")
    learning(after, training, 20)
    after.trainings.keep(training, LOCAL)
    view = reached(after, training, "done", "failed")
    assert view["state"] == "done" and [one["ended"] for one in view["stretches"]] == ["killed", "done"]


# Over HTTP.


def test_over_http(training_studio):
    studio = training_studio()
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as door:
        dataset = dataset_of(studio)
        proposal = door.get("/api/trainings/proposal", params={"dataset": dataset}).raise_for_status().json()
        body = {"dataset": dataset, "lora": "ceramic", "settings": proposal["settings"] | {"steps": 40}}
        training = door.post("/api/trainings", json=body).raise_for_status().json()["id"]
        heard: list[dict] = []
        with door.stream("GET", "/api/events", timeout=60) as stream:
            name = ""
            for line in stream.iter_lines():
                name = line.removeprefix("event: ") if line.startswith("event: ") else name
                if name == "training" and line.startswith("data: "):
                    heard.append(json.loads(line.removeprefix("data: ")))
                    if heard[-1].get("state") in ("done", "failed"):
                        break
        assert heard[-1]["state"] == "done" and all(one["id"] == training for one in heard)
        view = door.get(f"/api/trainings/{training}").raise_for_status().json()
        assert door.get(view["samples"][-1]["pictures"][0]).headers["content-type"] == "image/png"
        assert door.get(f"/api/trainings/{training}/events", params={"after": view["next"]}).json()["events"] == []
        assert door.get(f"/api/trainings/{training}/samples/30/9").status_code == 404
        assert door.get("/api/trainings", params={"lora": "ceramic"}).json()["trainings"][0]["id"] == training
        assert door.post(f"/api/trainings/{training}/keep", json={}).status_code == 409
        assert door.post("/api/trainings", json={"dataset": dataset, "speed": 1}).status_code == 422
        assert door.post(f"/api/trainings/{training}/remove", json={}).json() == {"removed": training}
        assert door.get(f"/api/trainings/{training}").status_code == 404


def test_a_long_curve_is_thinned_to_what_a_screen_shows():
    points = [(step, float(step % 2)) for step in range(1, 10 * POINTS + 3)]
    found = thinned(points)
    assert len(found) <= POINTS + 1 and found[-1][0] == points[-1][0]
    assert all(0 <= value <= 1 for _, value in found)
