"""The Models tab's routes: licences, downloads through a real process and a hub on the loopback, the token, removal."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hubs import Hub, Repo, hub
from PIL import Image
from studios import ended, served, wait_for
from test_hub import SIZE, WEIGHTS, model

from models.cards import Catalogue
from models.machine import glance
from models.memory import Machine
from models.weights import model_found
from studio.archive import backup
from studio.licences import licence_of
from studio.store.people import Who
from studio.studio import Studio

CARD = "flux2-klein-4b"
GATED = "flux1-dev"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Catalogue) -> Iterator[Hub]:
    """The hub, and an environment in which a studio's downloads find it; an own cache."""
    with hub() as made:
        for name in (CARD, GATED):
            made.repos[shipped.card(name).repo] = Repo(name.encode().hex()[:12].ljust(40, "a"), model())
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield made


@pytest.fixture
def open_door(server: Hub, tmp_path: Path, shipped: Catalogue) -> Iterator[Callable[..., tuple[Studio, httpx.Client]]]:
    """A studio that draws with real models, without its worker, behind its door."""
    with contextlib.ExitStack() as stack:

        def build(reserve: int = 0, **options: object) -> tuple[Studio, httpx.Client]:
            studio = Studio(tmp_path / "data", shipped, **options)  # type: ignore[arg-type]
            stack.callback(studio.stop)
            studio.shelf.downloads._reserve = reserve
            address = stack.enter_context(served(studio))
            return studio, stack.enter_context(httpx.Client(base_url=address, timeout=20))

        yield build


def card(client: httpx.Client, name: str = CARD) -> dict:
    answer = client.get(f"/api/models/{name}")
    answer.raise_for_status()
    return answer.json()


def do(client: httpx.Client, act: str, name: str = CARD, **data: object) -> dict:
    answer = client.post(f"/api/models/{name}/{act}", json=data)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def refused(client: httpx.Client, act: str, name: str = CARD, **data: object) -> tuple[int, dict]:
    answer = client.post(f"/api/models/{name}/{act}", json=data)
    assert answer.is_client_error, answer.text
    return answer.status_code, answer.json()["error"]


def settled(client: httpx.Client, name: str = CARD) -> dict:
    """The card once its download has come to an end."""
    return wait_for(lambda: (found := card(client, name))["state"] not in ("running", "waiting") and found, "the download to end")


def test_a_click_downloads_and_the_model_is_here(server: Hub, open_door, tmp_path: Path):
    studio, client = open_door()
    before = card(client)
    assert before["state"] == "missing" and before["found"] is None and before["bytes"] == pytest.approx(16e9, rel=0.01)
    assert client.get("/api/models").json()["disk"]["free"] > 0
    assert server.seen == []  # looking at the tab asks nobody
    begun = do(client, "download")
    assert begun["download"]["state"] in ("waiting", "running")
    after = settled(client)
    assert after["state"] == "ready" and after["download"] is None
    assert after["found"]["words"] == "In Hugging Face's cache" and after["found"]["removable"]
    assert after["found"]["revision"] == server.repos["black-forest-labs/FLUX.2-klein-4B"].commit == studio.shelf.downloads.commit_of(CARD)
    assert refused(client, "download")[0] == 409
    assert sum(server.sent.values()) == sum(len(server.repos["black-forest-labs/FLUX.2-klein-4B"].files[path]) for path in server.sent)

    freed = do(client, "remove", confirm=CARD)
    assert freed["freed"] >= SIZE and freed["card"]["state"] == "missing"
    assert not list((tmp_path / "hub").rglob("*.safetensors"))


@pytest.mark.slow
def test_cancel_keeps_what_arrived_resume_goes_on_and_discard_frees_it(server: Hub, open_door, tmp_path: Path):
    server.rate = 1.5e6
    _studio, client = open_door()
    do(client, "download")
    wait_for(lambda: (card(client)["download"] or {}).get("done", 0) > SIZE // 3, "a third to arrive")
    running = card(client)["download"]
    assert running["state"] == "running" and running["rate"] > 0 and running["eta"] > 0 and running["total"] > SIZE
    assert card(client)["state"] == "running"
    stopped = do(client, "cancel")
    assert stopped["state"] == "stopped" and stopped["download"]["error"] is None
    assert refused(client, "cancel")[0] == 409
    kept = sum(path.stat().st_size for path in (tmp_path / "hub").rglob("*.part.incomplete"))
    assert kept > 100_000
    time.sleep(0.3)
    assert sum(path.stat().st_size for path in (tmp_path / "hub").rglob("*.part.incomplete")) == kept  # nobody writes on

    server.rate = None
    do(client, "download")
    assert settled(client)["state"] == "ready"
    assert server.starts[WEIGHTS] == [0, kept]

    do(client, "remove", confirm=CARD)
    server.rate = 1.5e6
    do(client, "download")
    wait_for(lambda: (card(client)["download"] or {}).get("done", 0) > SIZE // 3, "a third to arrive")
    do(client, "cancel")
    gone = do(client, "discard")
    assert gone["freed"] > 100_000 and gone["card"]["state"] == "missing"
    assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.stat().st_size > 10_000]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_page_ends_its_download_and_the_next_start_offers_to_resume(server: Hub, tmp_path: Path, shipped: Catalogue):
    server.rate = 1e6
    code = f"""
import sys, time
from pathlib import Path
from models.presets import load_catalogue
from studio.store.people import LOCAL
from studio.studio import Studio
studio = Studio(Path({str(tmp_path / "data")!r}), load_catalogue())
studio.shelf.downloads._reserve = 0
studio.shelf.download({CARD!r}, LOCAL)
while (studio.shelf.card({CARD!r})["download"] or {{}}).get("done", 0) < 1_000_000:
    time.sleep(0.05)
print(studio.shelf.downloads._running.process.pid, flush=True)
time.sleep(600)
"""
    page = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    assert page.stdout
    child = int(page.stdout.readline())
    page.send_signal(signal.SIGKILL)
    page.wait()
    page.stdout.close()
    wait_for(lambda: not alive(child), "the download's process to end with its page", 10)
    kept = sum(path.stat().st_size for path in (tmp_path / "hub").rglob("*.part.incomplete"))
    assert kept > 500_000

    server.rate = None
    studio = Studio(tmp_path / "data", shipped)
    try:
        studio.shelf.downloads._reserve = 0
        found = studio.shelf.card(CARD)
        assert found["state"] == "stopped" and found["download"]["error"]["kind"] == "interrupted"
        assert server.starts[WEIGHTS] == [0]  # nothing resumes by itself
        studio.shelf.download(CARD, Who("local", admin=True))
        wait_for(lambda: studio.shelf.card(CARD)["state"] == "ready", "the rest")
        assert server.starts[WEIGHTS] == [0, kept]
    finally:
        studio.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody waits for is dead all the same.
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path(f"/proc/{pid}/stat").exists() else True


def test_gated_models_ask_for_licence_then_token_and_the_token_is_never_shown(server: Hub, open_door, tmp_path: Path):
    server.repos["black-forest-labs/FLUX.1-dev"].tokens = {"hf_secret_of_mine"}
    studio, client = open_door()
    status, error = refused(client, "download", GATED)
    assert status == 409 and "has not been accepted" in error["what"] and "Non-Commercial" in error["why"]
    assert card(client, GATED)["state"] == "licence"
    accepted = do(client, "accept", GATED)
    assert accepted["licence"]["accepted"]["person"] == "local"
    assert do(client, "accept", GATED)["licence"]["accepted"] == accepted["licence"]["accepted"]  # once
    rows = studio.store.db.execute("SELECT person, card, licence FROM licences").fetchall()
    assert [tuple(row) for row in rows] == [("local", GATED, "FLUX.1 [dev] Non-Commercial License")]

    do(client, "download", GATED)
    failed = settled(client, GATED)
    assert failed["state"] == "failed" and failed["download"]["error"]["kind"] == "gated"
    assert f"{server.address}/black-forest-labs/FLUX.1-dev" in failed["download"]["error"]["todo"]

    assert client.post("/api/models/token", json={"token": "no good"}).json()["error"]["field"] == "token"
    assert client.post("/api/models/token", json={"token": "hf_secret_of_mine"}).json() == {"token": True}
    file = tmp_path / "data" / ".hub-token"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    do(client, "download", GATED)
    assert settled(client, GATED)["state"] == "ready"
    answers = [client.get(path).text for path in ("/api/models", f"/api/models/{GATED}", "/api/studio", "/api/settings")]
    assert client.get("/api/models").json()["token"] is True
    backup(tmp_path / "data", tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert not any("token" in name for name in archive.namelist())
    written = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file() and path != file]
    assert not any("hf_secret" in answer for answer in answers) and not any(b"hf_secret" in data for data in written)
    assert client.post("/api/models/token", json={"token": ""}).json() == {"token": False}
    assert not file.exists()


def test_a_model_whose_licence_was_not_accepted_is_refused_at_the_door(studio: Studio, door: httpx.Client):
    asked = {"prompt": "a red mug", "family": "flux1", "tier": "standard"}
    answer = door.post("/api/jobs", json=asked)
    assert answer.status_code == 409
    assert answer.json()["error"]["what"] == "The licence of FLUX.1-dev has not been accepted here."
    assert door.post("/api/jobs", json=asked | {"tier": "preview"}).status_code == 201  # schnell's asks nobody
    do(door, "accept", GATED)
    assert door.post("/api/jobs", json=asked).status_code == 201
    # Another name is another licence.
    card = studio.catalogue.card(GATED)
    assert studio.shelf.licences.accepted(replace(card, licence=replace(card.licence, name="FLUX.1 [dev] 2"))) is None


def test_a_picture_names_its_model_s_licence(start_studio):
    studio = start_studio()
    job = ended(studio, studio.submit({"prompt": "a red mug", "draft": 1, "keep": 1})["id"])
    with Image.open(studio.picture_file(job["images"][0]["id"])) as image:
        own = json.loads(image.text["contact-sheet"])
    assert own["licence"] == licence_of(studio.catalogue.card("embedded")) == {
        "model": "Embedded", "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0",
    }  # fmt: skip


def test_only_an_admin_downloads_removes_accepts_and_sets_the_token(studio: Studio):
    guest = Who("guest")
    acts: list[Callable[[], object]] = [
        lambda: studio.shelf.accept(GATED, guest),
        lambda: studio.shelf.download(CARD, guest),
        lambda: studio.shelf.cancel(CARD, guest),
        lambda: studio.shelf.discard(CARD, guest),
        lambda: studio.shelf.remove(CARD, CARD, guest),
        lambda: studio.shelf.set_token("hf_12345678", guest),
    ]
    for act in acts:
        with pytest.raises(Exception, match="Only an admin"):
            act()
    assert studio.shelf.view(guest)["admin"] is False
    assert studio.store.db.execute("SELECT count(*) FROM downloads").fetchone()[0] == 0


@pytest.mark.slow
def test_no_room_is_said_and_nothing_is_fetched(server: Hub, open_door):
    _, client = open_door(reserve=10**18)
    do(client, "download")
    failed = settled(client)
    assert failed["download"]["error"]["kind"] == "space" and failed["download"]["total"] > SIZE
    assert sum(server.sent.values()) == 0


@pytest.mark.slow
def test_one_after_the_other(server: Hub, open_door):
    server.rate = 2e6
    studio, client = open_door()
    do(client, "accept", GATED)
    do(client, "download")
    assert do(client, "download", GATED)["download"]["state"] == "waiting"
    assert do(client, "cancel")["state"] == "stopped"
    wait_for(lambda: card(client, GATED)["state"] == "running", "its turn")
    server.rate = None
    assert settled(client, GATED)["state"] == "ready"
    assert card(client)["state"] == "stopped"
    assert studio.shelf.downloads.commit_of(CARD) == ""


@pytest.mark.slow
def test_the_models_folder_is_filled_and_emptied_and_no_other(server: Hub, open_door, tmp_path: Path):
    mine, comfy = tmp_path / "models", tmp_path / "ComfyUI"
    (comfy / "models" / "unet").mkdir(parents=True)
    elsewhere = comfy / "models" / "unet" / "notes.safetensors"
    elsewhere.write_bytes(b"x")
    mine.mkdir()
    _, client = open_door(models_dir=mine)
    assert client.post("/api/settings", json={"models.folders": [str(comfy)]}).status_code == 200
    do(client, "download")
    ready = settled(client)
    assert ready["found"]["path"] == str(mine / CARD) and len(ready["found"]["revision"]) == 40
    assert not (tmp_path / "hub").exists() or not list((tmp_path / "hub").rglob("*.safetensors"))
    assert refused(client, "remove")[1]["field"] == "confirm"
    assert do(client, "remove", confirm=CARD)["freed"] > SIZE
    assert mine.is_dir() and not list(mine.iterdir()) and elsewhere.is_file()

    # A link into another studio's folder is not followed.
    whole = tmp_path / "whole"
    do(client, "download")
    settled(client)
    shutil.move(mine / CARD, whole)
    (mine / CARD).symlink_to(whole)
    status, error = refused(client, "remove", confirm=CARD)
    assert status == 409 and "link" in error["what"]
    assert (whole / WEIGHTS).is_file()


@pytest.mark.slow
def test_what_another_studio_has_is_not_fetched(server: Hub, open_door, tmp_path: Path, shipped: Catalogue):
    import singles as made
    import tiny
    from safetensors.torch import load_file, save_file

    repo = Repo.of_folder(Path(tiny.klein(tmp_path / "klein", distilled=True).repo))
    server.repos[shipped.card(CARD).repo] = repo
    name = "transformer/diffusion_pytorch_model.safetensors"
    unet = tmp_path / "ComfyUI" / "models" / "unet"
    unet.mkdir(parents=True)
    save_file(made.flux2_as_made(load_file(tmp_path / "klein" / name)), unet / "flux-2-klein-4b.safetensors")
    _, client = open_door()
    assert client.post("/api/settings", json={"models.folders": [str(tmp_path / "ComfyUI")]}).status_code == 200
    before = card(client)
    assert before["nearby"][0]["path"] == str(unet / "flux-2-klein-4b.safetensors")
    assert before["bytes"] == pytest.approx(8.2e9, rel=0.01)  # without the transformer
    do(client, "download")
    ready = settled(client)
    assert ready["state"] == "ready", ready
    assert [one["part"] for one in ready["found"]["files"]] == ["transformer"]
    assert server.sent[name] == 0 and server.sent["text_encoder/model.safetensors"] == len(repo.files["text_encoder/model.safetensors"])
    do(client, "remove", confirm=CARD)
    assert (unet / "flux-2-klein-4b.safetensors").is_file()


@pytest.mark.slow
def test_a_model_in_use_is_not_removed(server: Hub, open_door):
    _, client = open_door()
    do(client, "download")
    settled(client)
    job = client.post("/api/jobs", json={"prompt": "a red mug", "family": "flux2-klein"})
    assert job.status_code == 201, job.text
    status, error = refused(client, "remove", confirm=CARD)
    assert status == 409 and "in use" in error["what"]
    client.post(f"/api/jobs/{job.json()['id']}/cancel", json={})
    assert do(client, "remove", confirm=CARD)["freed"] > SIZE


def test_what_a_machine_needs_is_said_in_words(studio: Studio):
    shelf = studio.shelf
    for machine, expected in (
        (Machine("cuda", "RTX 4090", 23.6, 64, 16), {"embedded": "fits", CARD: "fits", GATED: "offload", "flux2-dev": "no"}),
        (Machine("cuda", "GTX", 8, 32, 8), {CARD: "offload"}),
        (Machine("cpu", "CPU", 64, 64, 8), {"embedded": "fits", CARD: "slow"}),
    ):
        shelf._seen = machine
        shelf.machine_is(vars(machine))
        found = {one["name"]: one["needs"] for group in shelf.view(Who("local", admin=True))["groups"] for one in group["cards"]}
        assert {name: found[name]["state"] for name in expected} == expected, machine
    assert "many minutes" in found[CARD]["words"]
    assert "Does not fit: it needs" in found["flux2-dev"]["words"] and "here are 48 GB" in found["flux2-dev"]["words"]


def test_without_a_family_the_best_one_here_is_chosen_and_said(server: Hub, tmp_path: Path, shipped: Catalogue, monkeypatch):
    gpu = Machine("cuda", "RTX 4090", 23.6, 64, 16)
    monkeypatch.setattr("studio.shelf.glance", lambda device=None, low=False: gpu)

    def chosen(**options: object) -> tuple[str, str]:
        studio = Studio(tmp_path / "data", shipped, family=None, **options)  # type: ignore[arg-type]
        try:
            return studio.family, studio.shelf.view(Who("local", admin=True))["chosen"]
        finally:
            studio.stop()

    assert chosen() == ("embedded", "Started with Embedded: it ships with the studio.")
    mine = tmp_path / "models"
    for name in (CARD, "flux2-klein-base-4b", "flux1-schnell", GATED):
        for path, data in model(10).items():
            (mine / name / path).parent.mkdir(parents=True, exist_ok=True)
            (mine / name / path).write_bytes(data)
        assert model_found(shipped.card(name), mine)
    assert chosen(models_dir=mine) == ("flux2-klein", "Started with FLUX.2 klein: its weights are here and fit this machine.")
    shutil.rmtree(mine / CARD)
    assert chosen(models_dir=mine)[0] == "embedded"  # FLUX.1-dev is here, but its licence was not accepted
    studio = Studio(tmp_path / "data", shipped)
    studio.shelf.accept(GATED, Who("local", admin=True))
    studio.stop()
    assert chosen(models_dir=mine)[0] == "flux1"
    monkeypatch.setattr("studio.shelf.glance", lambda device=None, low=False: Machine("cpu", "CPU", 64, 64, 8))
    assert chosen(models_dir=mine)[0] == "embedded"


@pytest.mark.slow
def test_events_tell_of_a_download(server: Hub, open_door):
    _, client = open_door()
    with client.stream("GET", "/api/events", timeout=20) as stream:
        lines = stream.iter_lines()
        next(lines)
        do(client, "download")
        told = [json.loads(line[6:]) for line in until(lines, lambda line: '"state": "done"' in line) if line.startswith("data: ")]
    downloads = [one for one in told if "total" in one]
    assert {one["card"] for one in downloads} == {CARD}
    assert downloads[-1]["state"] == "done" and downloads[-1]["done"] == downloads[-1]["total"]


def until(lines: Iterator[str], met: Callable[[str], bool]) -> Iterator[str]:
    for line in lines:
        yield line
        if met(line):
            return


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for the driver's tool")
def test_a_glance_finds_the_gpu_that_the_driver_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4090, 24564'\necho 'NVIDIA T4, 15360'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    seen = glance()
    assert (seen.kind, seen.name, round(seen.gib, 1)) == ("cuda", "NVIDIA GeForce RTX 4090", 24.0)
    assert glance("cpu").kind == "cpu"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert glance("cuda").kind == "cpu"
