"""Where scorers' weights lie, their downloads from a hub on the loopback, and measuring again what lacked them."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hubs import Hub, Repo, hub
from studios import ended, served, wait_for

from models.cards import Catalogue
from models.scorers import weights
from models.scorers.catalogue import load_scorers
from studio.store.people import Who
from studio.studio import Studio

CARDS = load_scorers().scorers
NAME = "safety"
NEEDED = CARDS[NAME].weights
assert NEEDED is not None
BIG = b"\1" * 60_000
FILES = {"config.json": b"{}", "model.safetensors": BIG, "pytorch_model.bin": b"\2" * 90_000, "README.md": b"read me"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, and an environment in which downloads find it."""
    with hub() as made:
        for name in (NAME, "safety_exposed"):
            needed = CARDS[name].weights
            assert needed
            made.repos[needed.repo] = Repo(needed.revision if len(needed.revision) == 40 else "e" * 40, FILES | {"320n.onnx": BIG})
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield made


@pytest.fixture
def door(server: Hub, tmp_path: Path, shipped: Catalogue) -> Iterator[httpx.Client]:
    studio = Studio(tmp_path / "data", shipped, engine="scripted")
    studio.shelf.downloads._reserve = 0
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client
    studio.stop()


def scorer(door: httpx.Client, name: str = NAME) -> dict:
    return door.get(f"/api/scorers/{name}").json()


def post(door: httpx.Client, act: str, name: str = NAME, **data: object) -> httpx.Response:
    return door.post(f"/api/scorers/{name}/{act}", json=data)


# Where they lie.


@pytest.mark.parametrize("place", ["Marqo/nsfw-image-detection-384", "nsfw-image-detection-384"])
def test_weights_are_found_in_the_models_folder_when_all_files_are_there(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.part").write_bytes(BIG)
    assert weights.found(NEEDED, tmp_path) is None
    assert "22 MB" in weights.missing(CARDS[NAME], tmp_path) and "Apache-2.0" in weights.missing(CARDS[NAME], tmp_path)
    (folder / "model.safetensors").write_bytes(BIG)
    assert weights.found(NEEDED, tmp_path) == folder
    assert weights.missing(CARDS[NAME], tmp_path) == ""
    assert weights.version(NEEDED, folder) == NEEDED.revision[:12], "nothing else tells which they are"


def test_what_needs_no_weights_lacks_none(tmp_path):
    assert weights.missing(CARDS["technical"], tmp_path) == ""


@pytest.mark.parametrize("card", [card for card in CARDS.values() if card.weights], ids=lambda card: card.name)
def test_every_card_says_what_it_costs_and_under_which_licence(card):
    needed = card.weights
    assert needed.repo.count("/") == 1 and needed.files and needed.megabytes > 0
    assert needed.licence and needed.licence_url.startswith("https://")
    permissive = any(name in needed.licence for name in ("Apache-2.0", "MIT", "BSD-3-Clause")) and "GPL" not in needed.licence
    assert permissive or needed.opt_in, "what is not permissive is asked for knowingly"
    assert not any(name.endswith((".pkl", ".ckpt")) for name in needed.files)


# Downloads.


def test_one_click_brings_the_files_that_are_needed_and_no_others(door, server, tmp_path):
    before = scorer(door)
    assert before["state"] == "missing" and before["weights"]["size"] == "22 MB"
    assert before["weights"]["licence"]["name"] == "Apache-2.0" and before["weights"]["page"].endswith(NEEDED.repo)
    assert post(door, "download").status_code == 202
    after = wait_for(lambda: (now := scorer(door))["state"] == "ready" and now, "the download to end")
    assert weights.found(NEEDED, None) == Path(after["found"]["path"])
    assert after["found"]["revision"] == NEEDED.revision[:12] and after["found"]["bytes"] == len(BIG) + 2
    assert sorted(path.name for path in Path(after["found"]["path"]).iterdir()) == ["config.json", "model.safetensors"]
    assert post(door, "download").status_code == 409

    assert post(door, "remove", confirm="nothing").status_code == 422
    removed = post(door, "remove", confirm=NAME).json()
    assert removed["freed"] >= len(BIG) and removed["scorer"]["state"] == "missing"


def test_a_download_whose_connection_broke_arrives_whole(door, server):
    server.drop["model.safetensors"] = [20_000]
    post(door, "download")
    wait_for(lambda: scorer(door)["state"] == "ready", "the download to end")
    assert (Path(scorer(door)["found"]["path"]) / "model.safetensors").read_bytes() == BIG


def test_a_file_that_the_repository_lacks_is_named(door, server):
    del server.repos[NEEDED.repo].files["model.safetensors"]
    post(door, "download")
    failed = wait_for(lambda: (now := scorer(door))["state"] == "failed" and now, "the download to fail")
    assert "model.safetensors" in failed["download"]["error"]["what"]
    assert post(door, "discard").json()["scorer"]["state"] == "missing"


def test_what_is_not_permissive_is_asked_for_knowingly(door, server):
    refused = post(door, "download", "safety_exposed")
    assert refused.status_code == 409 and "AGPL-3.0" in refused.json()["error"]["why"]
    assert scorer(door, "safety_exposed")["state"] == "missing"
    assert post(door, "download", "safety_exposed", opt_in=True).status_code == 202
    wait_for(lambda: scorer(door, "safety_exposed")["state"] == "ready", "the download to end")


def test_what_cannot_be_done_says_why(door):
    assert post(door, "download", "nothing").status_code == 404
    assert post(door, "download", "technical").status_code == 409
    assert post(door, "cancel").status_code == 409


def test_only_an_admin_downloads(tmp_path, shipped):
    studio = Studio(tmp_path / "data", shipped, engine="scripted")
    try:
        with pytest.raises(Exception, match="Only an admin"):
            studio.scorers.download(NAME, None, Who("ada"))
        assert studio.scorers.view(Who("ada"))["admin"] is False
    finally:
        studio.stop()


# Measuring again.


def test_pictures_that_lacked_a_scorer_are_measured_again_by_the_worker(start_studio):
    studio = start_studio()
    job = ended(studio, studio.submit({"prompt": "a red mug", "tier": "preview", "draft": 3, "ladder": False})["id"])
    ids = [image["id"] for image in job["images"]]
    verdicts = {image["id"]: image["verdict"] for image in job["images"]}
    before = {image["id"]: {score["dimension"]: score["value"] for score in image["scores"]} for image in job["images"]}
    with studio.store.write() as db:  # as if it had not been here
        db.execute("UPDATE scores SET value = NULL, passed = NULL, note = 'not here', version = '' WHERE dimension = 'exposure'")
    assert studio.rescoring.lacking("technical", Who("local")) == 3

    assert studio.rescoring.ask({"job": job["id"]}, Who("local")) == 3
    wait_for(lambda: studio.rescoring.waiting() == 0, "the worker to measure again")
    for image in studio.job(job["id"])["images"]:
        scores = [score for score in image["scores"] if score["dimension"] == "exposure"]
        assert [score["value"] for score in scores] == [before[image["id"]]["exposure"]] and scores[0]["note"] == ""
        assert (image["verdict"] in ("kept", "spare")) == (verdicts[image["id"]] in ("kept", "spare"))
    assert studio.rescoring.lacking("technical", Who("local")) == 0
    studio.store.db.execute("DELETE FROM scores WHERE value IS NULL")  # what this kind of picture never gets
    assert studio.rescoring.ask({"images": ids}, Who("local")) == 0, "nothing of them lacks"


def test_what_a_round_in_doubt_was_rejected_for_stays_so_when_more_is_measured(start_studio):
    studio = start_studio()
    bars = "".join(f'[dimensions.{name}]\nbound = ">="\nthreshold = 1\ngate = "measured"\n' for name in ("adherence", "exposure"))
    doubt = "[doubt.embedded]\nshare = 1.0\nadherence = 99\n"
    studio.profiles.create("doubting", f'title = "Doubting"\n{bars}{doubt}', Who("local"))
    asked = {"prompt": "a red mug", "tier": "preview", "draft": 4, "profile": "doubting", "retries": 0}
    job = ended(studio, studio.submit(asked)["id"])
    assert {image["verdict"] for image in job["images"]} == {"rejected"}
    with studio.store.write() as db:
        db.execute("UPDATE scores SET value = NULL, passed = NULL, note = 'not here', version = '' WHERE dimension = 'exposure'")
    assert studio.rescoring.ask({"job": job["id"]}, Who("local")) == 4
    wait_for(lambda: studio.rescoring.waiting() == 0, "the worker to measure again")
    assert {image["verdict"] for image in studio.job(job["id"])["images"]} == {"rejected"}


@pytest.mark.parametrize(
    "data", [{}, {"images": []}, {"images": [True]}, {"images": "1"}, {"job": "x"}, {"scorer": "nothing"}, {"images": [1], "job": 1}]
)
def test_what_names_no_pictures_is_refused(door, data):
    assert door.post("/api/images/score", json=data).status_code == 422


def test_pictures_of_others_are_not_measured(door):
    assert door.post("/api/images/score", json={"images": [99]}).status_code == 404
    assert door.post("/api/images/score", json={"job": 99}).status_code == 404
    assert door.post("/api/images/score", json={"scorer": NAME}).json() == {"queued": 0, "waiting": 0}
