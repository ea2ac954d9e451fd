"""Pictures from the shell: `python launch.py generate`, with a worker of its own and beside a studio that runs."""
from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from studios import wait_for

from models.errors import BadInput
from studio.generate import main
from studio.generateflags import make_parser, read_recipe, read_values, request_data
from studio.production import Production
from studio.store.people import LOCAL
from studio.studio import Studio

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def start(data: Path, out: Path, *flags: str, engine: str = "scripted:0.01") -> subprocess.Popen[str]:
    command = [sys.executable, "launch.py", "generate", "--data-dir", str(data), "--out", str(out), "--engine", engine, *flags]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def generate(data: Path, out: Path, *flags: str, engine: str = "scripted:0.01") -> tuple[int, list[str], str]:
    """-> (exit status, lines of standard output, standard error)."""
    process = start(data, out, *flags, engine=engine)
    said, told = process.communicate(timeout=120)
    return process.returncode, said.splitlines(), told


def ask(data: Path, question: str) -> tuple | None:
    """A row of the database; None while it is not there yet."""
    if not (data / "studio.db").exists():
        return None
    with closing(sqlite3.connect(f"file:{data / 'studio.db'}?mode=ro", uri=True)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone() is None:
            return None
        return db.execute(question).fetchone()


# Flags.


def data_of(*flags: str) -> dict:
    return request_data(make_parser().parse_args(list(flags)), {"family": "embedded"})


def test_flags_become_a_request():
    values = ["--set", "product=running shoes", "colour=", "--set", "x=a=b"]
    data = data_of("--template", "hero@2", *values, "--keep", "2", "--no-ladder", "--text", "SALE")
    assert data == {
        "family": "embedded", "template": {"name": "hero", "version": 2}, "values": {"product": "running shoes", "colour": "", "x": "a=b"},
        "prompt": None, "keep": 2, "ladder": False, "texts": ["SALE"],
    }  # fmt: skip
    assert data_of("--prompt", "a mug", "--image", "7")["role"] == "img2img"
    assert data_of("--prompt", "a mug", "--family", "flux1")["family"] == "flux1"
    with pytest.raises(BadInput, match="nothing to draw"):
        data_of("--tier", "standard")
    for wrong in (["nothing"], ["=x"]):
        with pytest.raises(BadInput):
            read_values(wrong)
    with pytest.raises(BadInput, match="version"):
        data_of("--template", "hero@two")


def test_a_recipe_is_read_and_flags_win_over_it(tmp_path):
    recipe = {"format": "contact-sheet-recipe", "request": {"prompt": "masterpiece, a mug", "seed": 4, "source": {"prompt": "a mug"}}}
    path = tmp_path / "r.json"
    path.write_text(json.dumps(recipe))
    assert data_of("--recipe", str(path))["source"] == {"prompt": "a mug"}
    assert data_of("--recipe", str(path), "--seed", "9")["seed"] == 9
    # Another prompt is composed anew.
    changed = data_of("--recipe", str(path), "--prompt", "a {red|blue} mug")
    assert "source" not in changed and changed["prompt"] == "a {red|blue} mug"
    for name, text in (("x.json", "{"), ("x.toml", "a = "), ("x.json", "[1]"), ("x.json", '{"format": "contact-sheet-recipe"}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput):
            read_recipe(tmp_path / name)
    with pytest.raises(BadInput):
        read_recipe(tmp_path / "gone.toml")


@pytest.mark.slow
def test_help_names_every_exit_status():
    done = subprocess.run([sys.executable, "launch.py", "generate", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"\n    {status}  " in done.stdout for status in range(6))
    assert subprocess.run([sys.executable, "launch.py", "generate", "--no-such-flag"], cwd=ROOT, capture_output=True).returncode == 2


# Runs.


def test_a_template_is_drawn_by_a_worker_of_its_own(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    flags = ["--template", "ecommerce-hero", "--set", "product=running shoes", "--profile", "generic", "--tier", "preview", "--seed", "4"]
    status, lines, told = generate(data, out, *flags, "--draft", "4", "--keep", "2")
    assert status == 0, told
    report = json.loads((out / "000001.json").read_text())
    assert (report["exit"], report["state"], report["kept"], report["asked"]) == (0, "done", 2, 2)
    assert report["request"]["template"] == {"name": "ecommerce-hero", "version": 0}
    assert "running shoes" in report["request"]["prompt"]
    assert lines == [picture["file"] for picture in report["pictures"] if picture["verdict"] == "kept"]
    assert len(lines) == 2 and len(report["pictures"]) == 4
    for line in lines:
        with Image.open(line) as image:
            assert image.size == (1600, 1600) and image.format == "JPEG"  # as the template says
    scores = {score["dimension"]: score for score in report["pictures"][0]["scores"]}
    assert scores["sharpness"]["passed"] is True and scores["sharpness"]["value"] > 0
    # The data folder is free again, and the history has it.
    with FileLock(data / "studio.lock", timeout=0):
        assert ask(data, "SELECT count(*) FROM images WHERE state = 'drawn'") == (4,)


@pytest.mark.slow
def test_json_on_standard_output(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    status, lines, told = generate(data, out, "--prompt", "a red mug", "--draft", "2", "--keep", "1", "--json", "-", "--all", "--strip")
    assert status == 0, told
    report = json.loads("\n".join(lines))
    assert all(Path(picture["file"]).is_file() for picture in report["pictures"])
    with Image.open(report["pictures"][0]["file"]) as image:
        assert image.text == {}
    assert not list(out.glob("*.json"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--prompt", "a mug", "--keep", "9", "--draft", "2"], "keep"),
        (["--template", "ecomerce-hero"], "template"),
        (["--template", "ecommerce-hero", "--set", "product=x", "produkt=y"], "produkt"),
        (["--prompt", "a mug", "--person", "nobody"], "nobody"),
        (["--prompt", "a mug", "--image", "no-such-file.png"], "image"),
        (["--tier", "standard"], "nothing to draw"),
    ],
)
def test_what_is_not_acceptable_queues_nothing(tmp_path, capsys, monkeypatch, flags, said):
    monkeypatch.setattr("studio.generate.quiet_libraries", lambda: None)  # the environment of other tests
    assert main(["--data-dir", str(tmp_path), "--engine", "scripted", *flags]) == 2
    told = capsys.readouterr()
    assert told.out == "" and said in told.err
    assert ask(tmp_path, "SELECT count(*) FROM jobs") == (0,)


@pytest.mark.slow
def test_fewer_than_asked_is_told_by_the_exit_status(tmp_path):
    # The scripted engine cannot show words, so nothing passes a profile of words.
    flags = ["--prompt", "a mug", "--profile", "banner-text", "--text", "SALE", "--draft", "2", "--keep", "1"]
    status, lines, told = generate(tmp_path / "data", tmp_path / "out", *flags)
    assert (status, lines) == (3, []), told
    assert "0 of 1 passed" in told
    assert json.loads((tmp_path / "out" / "000001.json").read_text())["exit"] == 3


@pytest.mark.slow
def test_templates_and_their_variables_are_listed(tmp_path):
    status, lines, _ = generate(tmp_path / "data", tmp_path, "--list")
    assert status == 0 and any(line.startswith("ecommerce-hero ") for line in lines)
    status, lines, _ = generate(tmp_path / "data", tmp_path, "--list", "--template", "ecommerce-hero")
    assert any(line.startswith("  --set product=...") and "required" in line for line in lines)


@pytest.mark.slow
def test_a_studio_that_runs_draws_it_and_a_recipe_draws_the_same_picture(start_studio: Callable[..., Studio], tmp_path):
    data = tmp_path / "data"
    with FileLock(data / "studio.lock"):  # as launch.py holds it
        studio = start_studio(0.02, data)
        worker = wait_for(lambda: studio.device()["device"]["state"] == "ready" and studio.worker_pid, "the worker")
        status, lines, told = generate(data, tmp_path / "out", "--prompt", "a red mug", "--draft", "2", "--keep", "1", "--seed", "6")
        assert status == 0, told
        assert studio.worker_pid == worker  # no second one, and the first was left alone
        assert studio.job(1)["state"] == "done"
        taken = Production(studio).take({"image": studio.job(1)["images"][1]["id"], "as": "toml"}, LOCAL)
        (tmp_path / taken.name).write_text(taken.text)
        status, lines, told = generate(data, tmp_path / "out", "--recipe", str(tmp_path / taken.name), "--again")
        assert status == 0, told
        with Image.open(lines[0]) as mine, Image.open(studio.picture_file(studio.job(1)["images"][1]["id"])) as theirs:
            assert mine.tobytes() == theirs.tobytes()


@pytest.mark.slow
def test_who_comes_second_takes_over_when_the_first_ends(tmp_path):
    data = tmp_path / "data"
    first = FileLock(data / "studio.lock")
    data.mkdir()
    with first:
        process = start(data, tmp_path / "out", "--prompt", "a red mug", "--draft", "2", "--keep", "1")
        wait_for(lambda: ask(data, "SELECT 1 FROM jobs"), "the job")
        time.sleep(0.5)
        assert ask(data, "SELECT state FROM jobs") == ("queued",)  # nobody draws, and it starts no worker
        assert not (data / "worker.lock").exists()
    said, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert len(said.splitlines()) == 1


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_job(tmp_path, number, status):
    data = tmp_path / "data"
    process = start(data, tmp_path / "out", "--prompt", "a red mug", "--steps", "100", "--draft", "8", engine="scripted:0.5")
    wait_for(lambda: ask(data, "SELECT 1 FROM jobs WHERE state = 'running'"), "the job to run")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert ask(data, "SELECT state FROM jobs") == ("cancelled",)


@pytest.mark.slow
def test_a_timeout_cancels_the_job(tmp_path):
    flags = ["--prompt", "a red mug", "--steps", "100", "--timeout", "1"]
    status, _, told = generate(tmp_path / "data", tmp_path / "out", *flags, engine="scripted:0.5")
    assert status == 5 and "cancelled" in told


@pytest.mark.slow
def test_another_studio_is_told_what_holds_the_folder(tmp_path):
    data = tmp_path / "data"
    process = start(data, tmp_path / "out", "--prompt", "a red mug", "--steps", "100", engine="scripted:0.5")
    wait_for((data / "studio.json").exists, "the note")
    done = subprocess.run([sys.executable, "launch.py", "--data-dir", str(data), "--no-open"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "from the shell" in done.stderr
    process.terminate()
    process.communicate(timeout=60)
