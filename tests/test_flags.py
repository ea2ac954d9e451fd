"""The flags that people expect, each by what it does."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from studios import wait_for

from models.cards import Catalogue
from models.memory import Machine, plan, smaller
from models.weights import embedded_folder
from studio import __version__
from studio.config import EVERYWHERE, LOOPBACK, WorkerSetup, parse
from studio.engines import Engines
from studio.serve import _announce, _beyond
from studio.studio import Studio

ROOT = Path(__file__).parents[1]


def test_what_nobody_asked_for():
    config = parse([])
    assert (config.host, config.port, config.open, config.login, config.lowvram) == (LOOPBACK, 7860, True, False, False)
    assert config.data_dir == Path("data").absolute()


def test_flags_that_make_no_sense_are_refused(capsys):
    for flags in (["--port", "99999"], ["--device", "abacus"], ["--auth", "a:b", "--auth-file", "f"], ["--nonsense"]):
        with pytest.raises(SystemExit) as caught:
            parse(flags)
        assert caught.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_hosts_are_taken_as_people_paste_them():
    flags = ["--allow-host", "Studio.lan", "http://box.local:7860/", "--allow-host", "[::1]:80", "*.example.com"]
    assert parse(flags).allow_hosts == ("studio.lan", "box.local", "[::1]", "*.example.com")


@pytest.mark.parametrize(("host", "beyond"), [(LOOPBACK, False), ("127.0.0.5", False), ("::1", False), ("localhost", False), ("::", True),
                                              (EVERYWHERE, True), ("192.168.1.5", True), ("studio.lan", True)])  # fmt: skip
def test_who_is_beyond_this_machine(host, beyond):
    assert _beyond(host) is beyond


def test_listening_without_a_login_is_warned_of_in_words(capsys):
    said = {}
    for name, flags in {"open": ["--listen"], "closed": ["--listen", "--auth", "ada:secret words"], "here": []}.items():
        _announce(parse([*flags, "--no-open"]), "http://127.0.0.1:7860", "")
        out, err = capsys.readouterr()
        assert "http://127.0.0.1:7860" in out and "secret words" not in out + err
        said[name] = err
    assert "there is no login" in said["open"] and "--auth-file" in said["open"]
    assert said["closed"] == said["here"] == ""


@pytest.mark.parametrize(("gib", "less"), [(80, 48), (79.1, 48), (24, 16), (23.6, 16), (15.7, 12), (12, 8), (3, 1.5), (64, 48)])
def test_the_class_below(gib, less):
    assert smaller(gib) == less


def test_lowvram_plans_as_on_the_next_smaller_device(shipped: Catalogue):
    for card in shipped.cards.values():
        for gib, less in ((80, 48), (24, 16), (16, 12)):
            low, small = plan(card, Machine("cuda", "GPU", gib, 64, 8, low=True)), plan(card, Machine("cuda", "GPU", less, 64, 8))
            if small.fits:
                assert low == small
            else:  # the device itself may still hold it, in the most sparing way
                whole = plan(card, Machine("cuda", "GPU", gib, 64, 8))
                assert low.fits == whole.fits and (not low.fits or low.resident <= whole.resident)
    card = shipped.card("flux2-klein-4b")
    low, whole = (plan(card, Machine("cuda", "GPU", 16, 64, 8, low)) for low in (True, False))
    assert low.resident + low.working < whole.resident + whole.working


def test_lowvram_reaches_the_engine_of_the_worker(tmp_path, shipped):
    setup = WorkerSetup("w", ("127.0.0.1", 1), "00", str(tmp_path), "embedded", "cpu", None, "local", lowvram=True)
    again = WorkerSetup.from_line(setup.to_line())
    assert again == setup and not replace(again, lowvram=False).lowvram
    studio = Studio(tmp_path / "data", shipped, engine="scripted", lowvram=parse(["--lowvram"]).lowvram)
    try:
        assert studio._supervisor._setup.lowvram
    finally:
        studio.stop()
    engines = Engines("local", shipped, "cpu", None, again.lowvram)
    engines.prepare()
    assert engines.machine is not None and engines.machine.low


def test_version():
    said = subprocess.run([sys.executable, "launch.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"Contact Sheet {__version__}"


@contextlib.contextmanager
def launched(*flags: str, env: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """launch.py as a person starts it, the scripted engine aside; its address and what it has said."""
    command = [sys.executable, "launch.py", "--engine", "scripted", "--port", "0", *flags]
    surroundings = os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {})
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=surroundings)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(iter(process.stdout.readline, "")))
    reader.start()
    try:
        line = wait_for(lambda: process.poll() is not None or next((one for one in said if "is at http" in one), None), "the studio", 120)
        assert isinstance(line, str), said
        yield line.split("is at ")[1].split()[0], said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        reader.join()
        process.stdout.close()


@pytest.mark.slow
def test_a_studio_for_the_house(tmp_path):
    people, browser, opened = tmp_path / "people", tmp_path / "browser.sh", tmp_path / "opened"
    people.write_text("ada:her own words\nbob:his own words\n")
    people.chmod(0o644)
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    flags = ["--listen", "--auth-file", str(people), "--allow-host", "studio.lan", "--data-dir", str(tmp_path / "D"),
             "--family", "embedded", "--device", "cpu", "--lowvram", "--models-dir", str(tmp_path / "M"), "--open"]  # fmt: skip
    with launched(*flags, env={"BROWSER": f"{browser} %s"}) as (url, said):
        wait_for(opened.exists, "a browser to open", 30)
        assert url in wait_for(opened.read_text, "its address")
        assert any("chmod 600" in line for line in said) and not any("there is no login" in line for line in said)
        assert (tmp_path / "D" / "studio.db").exists()
        port = int(url.rsplit(":", 1)[1])
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.get("/api/studio").status_code == 401
            for host, status in (("studio.lan", 200), (f"studio.lan:{port}", 200), ("127.0.0.1", 200), ("evil.example", 400)):
                assert client.get("/login", headers={"Host": host}).status_code == status, host
            assert client.post("/login", data={"name": "ada", "password": "her own words"}).headers["location"] == "/"
            about = client.get("/api/studio").json()
            assert (about["person"], about["admin"], about["family"]) == ("ada", True, "embedded")
            page = client.get("/")
            assert page.status_code == 200 and "cs-account" in page.text
            for off in ("/docs", "/redoc", "/openapi.json", "/gradio_api/openapi.json", "/gradio_api/runs", "/gradio_api/mcp"):
                assert client.get(off).status_code == 404, off
            config = client.get("/config").json()
            assert not config.get("analytics_enabled") and not config.get("mcp_server") and not config.get("run_history")
            evil = client.get("/config", headers={"Origin": "https://evil.example", "Host": "studio.lan"})
            assert not any(name.startswith("access-control") for name in evil.headers)


@pytest.mark.slow
def test_a_studio_of_one_s_own(tmp_path):
    opened = tmp_path / "opened"
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    with launched("--data-dir", str(tmp_path / "D"), "--no-open", env={"BROWSER": f"{browser} %s"}) as (url, said):
        assert url.startswith("http://127.0.0.1:") and httpx.get(f"{url}/api/studio").json()["person"] == "local"
        time.sleep(0.5)
        assert not opened.exists() and not any("Warning" in line for line in said)


@pytest.mark.slow
def test_family_device_and_models_dir_are_obeyed(tmp_path):
    shutil.copytree(embedded_folder(), tmp_path / "M" / "flux1-schnell")  # whole, in the layout of a FluxPipeline
    flags = ["--family", "flux1", "--device", "mps", "--models-dir", str(tmp_path / "M"), "--data-dir", str(tmp_path / "D"), "--no-open"]
    with launched(*flags, "--engine", "local") as (url, _), httpx.Client(base_url=url, timeout=30) as client:
        assert client.get("/api/studio").json()["family"] == "flux1"
        schnell = client.get("/api/models/flux1-schnell").json()
        assert str(tmp_path / "M" / "flux1-schnell") in json.dumps(schnell)
        note = wait_for(lambda: client.get("/api/studio").json()["device"]["note"], "the worker's word on the device", 120)
        assert "mps" in note


@pytest.mark.slow
def test_a_bad_auth_file_stops_the_start_and_says_where(tmp_path):
    people = tmp_path / "people"
    people.write_text("ada:secret words\nno colon here\n")
    flags = ["--engine", "scripted", "--port", "0", "--no-open", "--data-dir", str(tmp_path / "D"), "--auth-file", str(people)]
    said = subprocess.run([sys.executable, "launch.py", *flags], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1 and "line 2" in said.stderr and "secret words" not in said.stderr and "Traceback" not in said.stderr
