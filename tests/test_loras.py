"""The registry of LoRAs: versions that never change, aliases, who may what, what a request wears, what comes in and what goes."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from logins import ADA, BOB, browser
from lorafiles import embedded_lora, lora
from PIL import Image
from safetensors.numpy import load_file
from studios import ended, served

from models.errors import BadInput, NotFound
from pipelines.metadata import read, texts_of
from pipelines.metadata.form import fill
from pipelines.request import LoraChoice
from studio import lorafolder, retention
from studio.loras import Made, read_triggers, slug
from studio.store import loras
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who
from studio.studio import Studio

ROOT = Path(__file__).parent.parent
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version is ready for production: what that asks for is under test in test_evaluations.py."""
    monkeypatch.setattr("studio.evaluations.Evaluations.gate", lambda self, name, number: "")


@pytest.fixture
def make(studio: Studio, tmp_path: Path):
    """Registers `versions` versions of a LoRA for the model that ships, each another file."""

    def made(name: str = "ceramic", versions: int = 1, who: Who = LOCAL, **fields) -> str:
        if name not in studio.loras.names(who):
            studio.loras.create({"name": name, "title": fields.pop("title", name)}, who)
        for _ in range(versions):
            seed = studio.store.db.execute("SELECT count(*) + 1 FROM lora_versions").fetchone()[0]
            studio.loras.register(name, Made(embedded_lora(tmp_path / f"{seed}.safetensors", seed), "embedded", **fields), who)
        return name

    return made


def asked(studio: Studio, *worn: object, who: Who = LOCAL, **fields) -> dict:
    usual = {"prompt": "a mug", "tier": "standard", "draft": 1, "keep": 1, "ladder": False}
    return studio.submit({**usual, "loras": list(worn), **fields}, who)


def refused(studio: Studio, *worn: object, who: Who = LOCAL, **fields) -> BadInput:
    with pytest.raises(BadInput) as error:
        asked(studio, *worn, who=who, **fields)
    return error.value


# Versions.


def test_a_version_is_a_folder_with_everything_in_it(studio: Studio, tmp_path: Path):
    studio.loras.create({"name": "ceramic", "title": "Ceramic glaze", "about": "Of our potters", "kind": "product"}, LOCAL)
    Image.new("RGB", (32, 32), "red").save(tmp_path / "shot.png")
    made = Made(
        embedded_lora(tmp_path / "best.safetensors"), "embedded", "abc123", ["cera"], "CC-BY-4.0", None,
        {"images": [{"sha256": "1" * 64, "caption_sha256": "2" * 64}]}, {"rank": 2, "rate": 1e-4}, 7, {"peft": "0.21"},
        [tmp_path / "shot.png"], {"validation": 0.25}, "17", 81.5, "first",
    )  # fmt: skip
    assert studio.loras.register("ceramic", made, LOCAL) == 1
    folder = studio.data_dir / "loras" / "ceramic" / "v1"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "ceramic-v1.safetensors", "manifest.json", "samples/1.png",
    ]  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    whole = studio.lora_rack.version("ceramic", 1, LOCAL)
    for said in (manifest, whole):
        assert (said["card"], said["base_revision"], said["licence"]) == ("embedded", "abc123", "CC-BY-4.0")
        assert (said["seed"], said["training"]) == (7, "17")
        assert (said["rank"], said["alpha"], said["gpu_seconds"], said["note"], said["triggers"]) == (2, 2.0, 81.5, "first", ["cera"])
        assert (said["dataset"], said["config"], said["packages"]) == (made.dataset, made.config, made.packages)
        assert said["scores"] == {"validation": 0.25} and said["bytes"] == made.file.stat().st_size
    assert manifest["name"] == "ceramic" and manifest["kind"] == "product"
    assert studio.loras.file("ceramic", 1, LOCAL).read_bytes() == made.file.read_bytes()
    assert not list((studio.data_dir / "loras").glob(".coming-*"))


def test_a_version_never_changes_nor_goes(studio: Studio, make):
    make()
    for statement in ("UPDATE lora_versions SET note = 'x'", "DELETE FROM lora_versions"):
        with pytest.raises(sqlite3.IntegrityError):
            studio.store.db.execute(statement)


@pytest.mark.parametrize("content", [b"", b"weights", b"\x80\x04pickle", (2**40).to_bytes(8, "little") + b"{"])
def test_what_is_no_lora_leaves_nothing_behind(studio: Studio, tmp_path: Path, content: bytes):
    studio.loras.create({"name": "ceramic"}, LOCAL)
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(BadInput) as error:
        studio.loras.register("ceramic", Made(tmp_path / "bad.safetensors", "embedded"), LOCAL)
    assert error.value.field == "file" and "bad.safetensors" in error.value.what
    assert not (studio.data_dir / "loras").exists() and studio.loras.names(LOCAL) == []


def test_one_for_another_model_is_refused_with_the_reason(studio: Studio, tmp_path: Path):
    studio.loras.create({"name": "wide"}, LOCAL)
    with pytest.raises(BadInput) as error:
        studio.loras.register("wide", Made(lora(tmp_path / "wide.safetensors", 3072), "embedded"), LOCAL)
    assert "3072 wide" in error.value.why


def test_a_sample_that_is_no_picture_keeps_the_version_out(studio: Studio, tmp_path: Path):
    studio.loras.create({"name": "ceramic"}, LOCAL)
    (tmp_path / "shot.png").write_bytes(b"no picture")
    with pytest.raises(Exception, match="could not be written"):
        made = Made(embedded_lora(tmp_path / "a.safetensors"), "embedded", samples=[tmp_path / "shot.png"])
        studio.loras.register("ceramic", made, LOCAL)
    assert not list((studio.data_dir / "loras").iterdir())


def test_two_at_once_get_two_numbers(studio: Studio, tmp_path: Path):
    studio.loras.create({"name": "ceramic"}, LOCAL)
    files = [embedded_lora(tmp_path / f"{seed}.safetensors", seed) for seed in range(6)]
    numbers: list[int] = []


    def register(file: Path) -> None:
        numbers.append(studio.loras.register("ceramic", Made(file, "embedded"), LOCAL))

    threads = [threading.Thread(target=register, args=[file]) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    hashes = {version["sha256"] for version in studio.lora_rack.view("ceramic", LOCAL)["versions"]}
    assert len(hashes) == 6


def test_a_folder_without_a_row_is_put_aside(studio: Studio, make):
    """The power went between the two."""
    left = studio.data_dir / "loras" / "ceramic" / "v1"
    left.mkdir(parents=True)
    (left / "something.txt").write_text("mine", encoding="utf-8")
    make()
    assert studio.loras.file("ceramic", 1, LOCAL).is_file()
    assert [path.read_text() for path in left.parent.glob("v1.lost-*/v1/something.txt")] == ["mine"]


KILLED = """
import os, sys
from pathlib import Path
from models.presets import load_catalogue
from studio import lorafolder
from studio.loras import Loras, Made
from studio.store import Store
from studio.store.people import LOCAL
at, data, file = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
count = 0
def tick(real):
    def wrapped(*given, **named):
        global count
        count += 1
        if count == at:
            os._exit(9)
        return real(*given, **named)
    return wrapped
os.fsync, os.replace = tick(os.fsync), tick(os.replace)
Loras(Store(data / "studio.db"), data, load_catalogue()).register("ceramic", Made(file, "embedded"), LOCAL)
print("registered after", count)
"""


@pytest.mark.slow
def test_killed_anywhere_a_version_is_there_whole_or_not_at_all(studio: Studio, tmp_path: Path):
    studio.loras.create({"name": "ceramic"}, LOCAL)
    file = embedded_lora(tmp_path / "a.safetensors")
    for at in range(1, 40):
        command = [sys.executable, "-c", KILLED, str(at), str(studio.data_dir), str(file)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        there = studio.lora_rack.view("ceramic", LOCAL)["versions"]
        assert len(there) == (0 if ran.returncode == 9 else 1), (at, ran.stderr)
        lorafolder.sweep(studio.data_dir)
        if ran.returncode == 0:
            break
        assert ran.returncode == 9, ran.stderr
    assert at > 6 and studio.loras.file("ceramic", 1, LOCAL).read_bytes() == file.read_bytes()
    assert not list((studio.data_dir / "loras").glob(".coming-*"))


# Aliases.


def test_none_named_means_production_or_else_the_newest(studio: Studio, make):
    make(versions=3)
    card = studio.catalogue.card("embedded")
    assert studio.loras.resolve(LoraChoice("ceramic", 0.5), LOCAL, card) == LoraChoice("ceramic", 0.5, 3)
    studio.loras.move("ceramic", "production", 2, LOCAL)
    assert studio.loras.resolve(LoraChoice("ceramic"), LOCAL, card).version == 2
    assert studio.loras.resolve(LoraChoice("ceramic", version=1), LOCAL, card).version == 1
    studio.loras.move("ceramic", "production", None, LOCAL)
    assert studio.loras.resolve(LoraChoice("ceramic"), LOCAL, card).version == 3
    studio.loras.trial = lambda name, who: 1
    assert studio.loras.resolve(LoraChoice("ceramic"), LOCAL, card).version == 1


def test_rollbacks_go_back_one_by_one_and_not_to_and_fro(studio: Studio, make):
    make(versions=4)
    for number in (1, 2, 2, 3):
        studio.loras.move("ceramic", "production", number, LOCAL, "better")
    assert studio.loras.rollback("ceramic", "production", LOCAL, "spoils mugs") == 2
    studio.loras.move("ceramic", "production", 4, LOCAL)
    assert [studio.loras.rollback("ceramic", "production", LOCAL) for _ in range(2)] == [2, 1]
    with pytest.raises(NotNow):
        studio.loras.rollback("ceramic", "production", LOCAL)
    moves = studio.lora_rack.view("ceramic", LOCAL)["moves"]
    assert [(one["from"], one["to"], one["back"]) for one in reversed(moves)] == [
        (None, 1, False), (1, 2, False), (2, 2, False), (2, 3, False), (3, 2, True), (2, 4, False), (4, 2, True), (2, 1, True),
    ]  # fmt: skip
    assert moves[3]["reason"] == "spoils mugs" and moves[3]["by"] == "local"


def test_what_is_not_ready_for_production_is_forced_with_a_reason(studio: Studio, make):
    make(versions=2)
    studio.loras.gate = lambda name, number: "Nobody has looked at its samples." if number == 2 else ""
    studio.loras.move("ceramic", "candidate", 2, LOCAL)
    with pytest.raises(NotNow, match="looked"):
        studio.loras.move("ceramic", "production", 2, LOCAL, "because")
    with pytest.raises(BadInput) as error:
        studio.loras.move("ceramic", "production", 2, LOCAL, " ", forced=True)
    assert error.value.field == "reason"
    studio.loras.move("ceramic", "production", 2, LOCAL, "the customer waits", forced=True)
    view = studio.lora_rack.view("ceramic", LOCAL)
    assert view["aliases"] == {"production": 2}, "what became production is no candidate any more"
    assert [(one["alias"], one["to"], one["forced"]) for one in view["moves"][:2]] == [("candidate", None, False), ("production", 2, True)]
    studio.loras.move("ceramic", "production", 1, LOCAL, forced=True)
    assert studio.lora_rack.view("ceramic", LOCAL)["moves"][0]["forced"] is False, "there was nothing to force"


def test_the_newest_verdict_holds(studio: Studio, make):
    make(versions=1, scores={"validation": 0.5})
    studio.loras.judge("ceramic", 1, "worse", "It hits the concept less often.", {"concept": 0.4}, 3)
    studio.loras.judge("ceramic", 1, "better", "It hits the concept more often.", {"concept": 0.9}, 4)
    [version] = studio.lora_rack.view("ceramic", LOCAL)["versions"]
    assert (version["verdict"], version["verdict_kind"], version["evaluation"]) == ("It hits the concept more often.", "better", 4)
    assert version["scores"] == {"validation": 0.5, "concept": 0.9}


# Requests.


def test_a_job_keeps_the_exact_version(studio: Studio, make):
    make(versions=2)
    studio.loras.move("ceramic", "production", 1, LOCAL)
    first = asked(studio, {"name": "ceramic", "weight": 0.8})
    studio.loras.move("ceramic", "production", 2, LOCAL)
    second = asked(studio, {"name": "ceramic"})
    assert first["request"]["loras"] == [{"name": "ceramic", "weight": 0.8, "version": 1}] and first["loras"] == ["ceramic/v1"]
    assert second["loras"] == ["ceramic/v2"] and asked(studio, {"name": "ceramic/v1"})["loras"] == ["ceramic/v1"]
    assert first["images"][0]["loras"] == ["ceramic/v1"] and studio.job(first["id"])["loras"] == ["ceramic/v1"]
    assert asked(studio)["images"][0]["loras"] == []


def test_it_is_drawn_with_that_file_and_the_picture_says_so(start_studio, tmp_path: Path):
    studio = start_studio()
    studio.loras.create({"name": "ceramic"}, LOCAL)
    for seed in (1, 2):
        studio.loras.register("ceramic", Made(embedded_lora(tmp_path / f"{seed}.safetensors", seed), "embedded"), LOCAL)
    job = ended(studio, asked(studio, {"name": "ceramic", "weight": 0.8, "version": 1}, seed=5)["id"])
    [image] = job["images"]
    with Image.open(studio.picture_file(image["id"])) as picture:
        texts = texts_of(picture)
        found = read(texts)
    assert json.loads(texts["contact-sheet"])["loras"] == ["ceramic/v1"]
    assert "<lora:ceramic-v1:0.8>" in texts["parameters"] and image["loras"] == ["ceramic/v1"]
    assert found is not None
    form = fill(found, studio.catalogue, "embedded", loras=["ceramic"]).form
    assert form["loras"] == [{"name": "ceramic", "version": 1, "weight": 0.8}]
    assert studio.submit(form | {"draft": 1, "keep": 1, "ladder": False})["cached"], "the same file: the same picture"
    other = asked(studio, {"name": "ceramic", "weight": 0.8, "version": 2}, seed=5)
    assert not other["cached"], "the cache goes by what is in the file"
    assert studio.image(image["id"])["request"]["loras"][0]["version"] == 1


def test_rollback_brings_the_same_pictures_back(start_studio, tmp_path: Path):
    studio = start_studio()
    studio.loras.create({"name": "ceramic"}, LOCAL)
    for seed in (1, 2):
        studio.loras.register("ceramic", Made(embedded_lora(tmp_path / f"{seed}.safetensors", seed), "embedded"), LOCAL)
    studio.loras.move("ceramic", "production", 1, LOCAL)
    first = ended(studio, asked(studio, {"name": "ceramic"}, seed=5)["id"])
    studio.loras.move("ceramic", "production", 2, LOCAL)
    second = ended(studio, asked(studio, {"name": "ceramic"}, seed=5)["id"])
    studio.loras.rollback("ceramic", "production", LOCAL)
    third = ended(studio, asked(studio, {"name": "ceramic"}, seed=5, again=True)["id"])
    assert [job["loras"] for job in (first, second, third)] == [["ceramic/v1"], ["ceramic/v2"], ["ceramic/v1"]]
    drawn = [Image.open(studio.picture_file(job["images"][0]["id"])).tobytes() for job in (first, third)]
    assert drawn[0] == drawn[1] and not third["cached"]


def test_what_a_request_may_not_wear_is_named(studio: Studio, make, tmp_path: Path):
    make("one")
    make("two")
    make("three")
    studio.loras.create({"name": "empty"}, LOCAL)
    assert refused(studio, {"name": "nope"}).field == "loras.0.name"
    assert refused(studio, {"name": "empty"}).field == "loras.0.name"
    assert refused(studio, {"name": "one", "version": 9}).field == "loras.0.version"
    assert refused(studio, {"name": "one", "version": 0}).field == "loras.0.version"
    assert refused(studio, {"name": "one"}, {"name": "one", "weight": 0.2}).field == "loras.1.name"
    preview = refused(studio, {"name": "one"}, tier="preview")
    assert (preview.field, preview.todo) == ("loras", "Leave some out, or choose Standard or Premium.")
    assert refused(studio, {"name": "one"}, {"name": "two"}, {"name": "three"}).field == "loras"
    assert len(asked(studio, {"name": "one"}, {"name": "two"}, {"name": "three"}, tier="premium")["loras"]) == 3
    studio.loras.create({"name": "wide"}, LOCAL)
    studio.loras.register("wide", Made(lora(tmp_path / "wide.safetensors", 3072), "flux1-dev"), LOCAL)
    misfit = refused(studio, {"name": "wide"})
    assert misfit.field == "loras.0.name" and "3072 wide" in misfit.why
    os.remove(studio.loras.file("two", 1, LOCAL))
    assert "cannot be read" in refused(studio, {"name": "two"}).why


def test_a_picture_with_a_lora_can_be_promoted(studio: Studio, make):
    make()
    job = asked(studio, {"name": "ceramic", "weight": 0.5}, ladder=True, draft=4)
    row = studio.store.db.execute("SELECT * FROM images WHERE job_id = ?", [job["id"]]).fetchone()
    path = studio.data_dir / "outputs" / "x.png"
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)
    drawn = "UPDATE images SET state = 'drawn', path = 'outputs/x.png', drawn = '2026-11-21T00:00:00.000Z' WHERE id = ?"
    studio.store.db.execute(drawn, [row["id"]])
    promoted = studio.promote(row["id"], "premium")
    assert promoted["request"]["loras"] == [{"name": "ceramic", "weight": 0.5, "version": 1}]


# Trigger words.


def test_triggers_are_said_once(studio: Studio, make):
    make(triggers=["cera glaze", "TOK"])
    worn = {"name": "ceramic"}
    assert asked(studio, worn)["prompt"] == "a mug, cera glaze, TOK"
    assert asked(studio, worn, prompt="a Cera Glaze tok mug")["prompt"] == "a Cera Glaze tok mug"
    assert asked(studio, worn, prompt="a tokay mug, cera glaze")["prompt"] == "a tokay mug, cera glaze, TOK"
    assert asked(studio, {"name": "ceramic", "weight": 0})["prompt"] == "a mug", "nothing is called that has no effect"
    assert asked(studio, prompt="a mug <lora:ceramic:0.7>")["prompt"] == "a mug, cera glaze, TOK"
    job = asked(studio, worn)
    assert job["request"]["source"] == {"prompt": "a mug"}, "what was typed is kept, for the form"
    composed = studio.composer.preview({"prompt": "a mug", "tier": "standard", "loras": [worn]}, LOCAL)
    assert [(piece.kind, piece.text) for piece in composed.assembled.pieces][-1] == ("trigger", "cera glaze, TOK")
    edited = studio.composer.preview({"prompt": "a mug", "edit": "a blue TOK mug", "tier": "standard", "loras": [worn]}, LOCAL)
    assert edited.assembled.text == "a blue TOK mug" and any("does not say cera glaze," in note for note in edited.assembled.notes)


def test_a_brand_s_stay_away_where_the_tier_wears_none(studio: Studio, make):
    make("one", triggers=["uno"])
    make("two")
    toml = 'title = "Acme"\nusual = true\n' + "".join(f'[[loras]]\nname = "{name}"\nweight = 0.5\n' for name in ("one", "two"))
    studio.brands.create("acme", toml, LOCAL)
    assert asked(studio, tier="preview")["loras"] == []
    assert sorted(asked(studio)["loras"]) == ["one/v1", "two/v1"]
    make("three")
    composed = studio.composer.preview({"prompt": "a mug", "tier": "standard", "loras": [{"name": "three"}]}, LOCAL)
    assert [one["name"] for one in composed.data["loras"]] == ["three", "one"] and "uno" in composed.assembled.text
    assert any("without two" in note for note in composed.assembled.notes)


# Who may.


@pytest.fixture
def people(guarded: Studio):
    """cara's project "spring", of which bob is; ada is the admin."""
    from test_crawl import CARA, add_people

    add_people(guarded)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(served(guarded))
        cara, bob, ada = (stack.enter_context(browser(address, *one)) for one in (("cara", CARA), ("bob", BOB), ("ada", ADA)))
        project = cara.post("/api/projects", json={"title": "Spring"}).raise_for_status().json()["name"]
        cara.post(f"/api/projects/{project}", json={"add": ["bob"]}).raise_for_status()
        yield cara, bob, ada, project


def bring(client: httpx.Client, path: Path, **asked: str) -> httpx.Response:
    return client.post("/api/loras/import", params=asked, content=path.read_bytes(), headers=RAW)


def test_private_project_everyone(guarded: Studio, people, tmp_path: Path):
    cara, bob, ada, project = people
    bring(cara, embedded_lora(tmp_path / "a.safetensors"), name="glaze").raise_for_status()
    paths = ["/api/loras/glaze", "/api/loras/glaze/versions", "/api/loras/glaze/versions/1", "/api/loras/glaze/versions/1/file"]
    request = {"prompt": "a mug", "tier": "standard", "loras": [{"name": "glaze"}]}

    def seen(client: httpx.Client) -> set[int]:
        listed = any(one["name"] == "glaze" for one in client.get("/api/loras").json()["loras"])
        answers = {client.get(path).status_code for path in paths} | {client.post("/api/jobs", json=request).status_code}
        assert listed == (answers != {404, 422}), answers
        return answers

    assert seen(cara) <= {200, 201} and seen(bob) == {404, 422} and seen(ada) == {404, 422}
    assert cara.post("/api/loras/glaze", json={"access": "project"}).status_code == 422
    cara.post("/api/loras/glaze", json={"project": project}).raise_for_status()
    assert seen(bob) <= {200, 201} and seen(ada) == {404, 422}
    moved = bob.post("/api/loras/glaze/alias", json={"alias": "candidate", "version": 1})
    assert moved.status_code == 200, "a project works on it together"
    assert bob.post("/api/loras/glaze", json={"access": "everyone"}).status_code == 403, "but its owner says who may"
    cara.post(f"/api/projects/{project}/remove", json={}).raise_for_status()
    assert guarded.store.db.execute("SELECT access, project FROM loras").fetchone()[:] == ("private", None)
    assert seen(bob) == {404, 422}
    cara.post("/api/loras/glaze", json={"access": "everyone"}).raise_for_status()
    assert seen(bob) <= {200, 201}
    for path, body in (("", {"title": "Mine"}), ("/alias", {"alias": "production", "version": 1}), ("/trash", {"version": 1})):
        assert bob.post(f"/api/loras/glaze{path}", json=body).status_code == 403
    assert ada.post("/api/loras/glaze/alias", json={"alias": "production", "version": 1}).status_code == 200


def test_a_private_name_is_taken_but_not_told(people, tmp_path: Path):
    cara, bob, _, _ = people
    bring(cara, embedded_lora(tmp_path / "a.safetensors"), name="glaze").raise_for_status()
    assert bob.post("/api/loras", json={"name": "glaze"}).status_code == 422
    came = bring(bob, embedded_lora(tmp_path / "b.safetensors", 2), file="glaze.safetensors").raise_for_status().json()
    assert came["name"] == "glaze-2"
    same = bring(bob, tmp_path / "a.safetensors", file="my.safetensors").raise_for_status().json()
    assert (same["name"], same["known"]) == ("my", False), "that cara has this very file is hers to tell"


def test_folders_are_an_admin_s(people):
    cara, _, ada, _ = people
    assert cara.get("/api/loras/folders").status_code == 403 and cara.post("/api/loras/folders/look", json={}).status_code == 403
    assert ada.get("/api/loras/folders").json() == {"folders": [], "files": []}


def test_it_goes_along_when_a_person_s_things_do(studio: Studio, make):
    from studio.people import hand_over

    studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES ('ann', 'Ann', '2026')")
    make(who=Who("ann"))
    with studio.store.write() as db:
        hand_over(db, "ann", "local")
    assert studio.loras.file("ceramic", 1, LOCAL).is_file()
    with pytest.raises(NotFound):
        studio.loras.file("ceramic", 1, Who("ann"))


# What comes in.


def test_a_file_is_dropped(studio: Studio, door: httpx.Client, tmp_path: Path):
    said = {"modelspec.title": "Foil Look (v2)", "trained_words": '["foil", "shiny wrap"]', "modelspec.license": "MIT"}
    file = embedded_lora(tmp_path / "x.safetensors", 1, 4, said)
    answer = bring(door, file, file="x.safetensors", kind="style", note="from the web")
    came = answer.json()
    assert (answer.status_code, came["name"], came["version"], came["known"]) == (201, "foil-look-v2", 1, False)
    shown = came["lora"]
    assert (shown["title"], shown["triggers"], shown["licence"], shown["card"], shown["base"]) == (
        "Foil Look (v2)", ["foil", "shiny wrap"], "MIT", "embedded", "Embedded",
    )  # fmt: skip
    again = bring(door, file, file="copy.safetensors")
    assert (again.status_code, again.json()["known"], again.json()["notes"]) == (200, True, ["It is here already, as foil-look-v2/v1."])
    more = bring(door, embedded_lora(tmp_path / "y.safetensors", 2), name="foil-look-v2", triggers="foil, foil , gold  leaf").json()
    assert (more["version"], more["lora"]["triggers"]) == (2, ["foil", "gold leaf"])
    assert not list((studio.data_dir / "loras").glob(".coming-*"))
    assert studio.lora_rack.version("foil-look-v2", 1, LOCAL)["config"]["metadata"] == said


def test_what_is_dropped_wrong_is_named(door: httpx.Client, studio: Studio, tmp_path: Path):
    good = embedded_lora(tmp_path / "x.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-9])
    narrow = lora(tmp_path / "n.safetensors", 96)

    def field(file: Path, **asked: str) -> tuple[int, str]:
        answer = bring(door, file, **asked)
        return answer.status_code, answer.json()["error"]["field"]

    assert field(tmp_path / "cut.safetensors") == (422, "file")
    assert field(narrow) == (422, "file")
    assert field(good, card="flux1-dev") == (422, "card")
    assert field(good, colour="red") == (422, "colour")
    assert field(good, name="Not A Name") == (422, "name")
    assert field(good, kind="nonsense") == (422, "kind")
    assert door.post("/api/loras/import", content=good.read_bytes(), headers={"Content-Type": "text/plain"}).status_code == 415
    assert door.get("/api/loras").json()["loras"] == []
    top = studio.data_dir / "loras"
    assert not top.exists() or not list(top.iterdir())


def test_a_full_disk_is_said_before_the_file_is_read(door: httpx.Client, studio: Studio, monkeypatch, tmp_path: Path):
    monkeypatch.setattr("studio.folders.free", lambda place: 2**20)
    answer = bring(door, embedded_lora(tmp_path / "x.safetensors"))
    assert answer.status_code == 409 and "no room" in answer.json()["error"]["what"]


def test_exports_load_elsewhere(door: httpx.Client, tmp_path: Path):
    bring(door, embedded_lora(tmp_path / "x.safetensors"), name="foil", triggers="foil").raise_for_status()
    plain = door.get("/api/loras/foil/versions/1/file")
    assert plain.content == (tmp_path / "x.safetensors").read_bytes() and "foil-v1.safetensors" in plain.headers["content-disposition"]
    for tool in ("diffusers", "comfyui", "kohya"):
        answer = door.get("/api/loras/foil/versions/1/file", params={"tool": tool}).raise_for_status()
        (tmp_path / tool).write_bytes(answer.content)
        assert load_file(tmp_path / tool) and f"foil-v1-{tool}.safetensors" in answer.headers["content-disposition"]
    assert door.get("/api/loras/foil/versions/1/file", params={"tool": "paint"}).status_code == 422


def test_watched_folders(studio: Studio, tmp_path: Path, monkeypatch):
    watched = tmp_path / "ComfyUI" / "loras"
    file = embedded_lora(watched / "flux" / "Foil_v2.safetensors")
    (watched / "broken.safetensors").write_bytes(b"no weights")
    (watched / "flux" / "Foil_v2.civitai.info").write_text(json.dumps({"trainedWords": ["foil, shiny"]}), encoding="utf-8")
    Image.new("RGB", (16, 16)).save(watched / "flux" / "Foil_v2.preview.png")
    studio.settings.set({"loras.folders": [str(watched)]}, LOCAL)
    assert studio.lora_watch.look() == 0, "it may still be on its way"
    monkeypatch.setattr("studio.lorawatch.SETTLED_SECONDS", 0)
    assert studio.lora_watch.look() == 1 and studio.lora_watch.look() == 0
    view = studio.lora_rack.view("foil-v2", LOCAL)
    assert (view["access"], view["triggers"], len(view["versions"][0]["samples"])) == ("everyone", ["foil", "shiny"], 1)
    broken, fine = studio.lora_watch.view(LOCAL)["files"]
    assert "broken.safetensors" in broken["refused"] and (fine["lora"], fine["version"]) == ("foil-v2", 1)
    before = studio.loras.file("foil-v2", 1, LOCAL).read_bytes()
    embedded_lora(file, 2)
    assert studio.lora_watch.look() == 1
    assert studio.loras.file("foil-v2", 1, LOCAL).read_bytes() == before, "what came in does not change with what is there"
    assert [one["number"] for one in studio.lora_rack.view("foil-v2", LOCAL)["versions"]] == [2, 1]
    shutil.rmtree(watched)
    assert studio.lora_watch.look() == 0 and studio.loras.file("foil-v2", 2, LOCAL).is_file()


# What goes.


def test_what_history_needs_stays(studio: Studio, make):
    make(versions=3)
    job = asked(studio, {"name": "ceramic", "version": 1})
    with pytest.raises(NotNow, match="1 job is waiting"):
        studio.lora_bin.throw("ceramic", 1, LOCAL)
    studio.store.db.execute("UPDATE jobs SET state = 'done'")
    studio.store.db.execute("UPDATE images SET state = 'drawn', path = 'outputs/x.png' WHERE job_id = ?", [job["id"]])
    with pytest.raises(NotNow, match="1 picture of the history"):
        studio.lora_bin.throw("ceramic", 1, LOCAL)
    with pytest.raises(NotNow):
        studio.lora_bin.throw("ceramic", None, LOCAL)
    assert len(studio.lora_rack.view("ceramic", LOCAL)["versions"]) == 3, "all or none"
    studio.loras.move("ceramic", "production", 2, LOCAL)
    with pytest.raises(NotNow, match="production"):
        studio.lora_bin.throw("ceramic", 2, LOCAL)
    studio.lora_bin.throw("ceramic", 3, LOCAL)
    assert [one["number"] for one in studio.lora_rack.view("ceramic", LOCAL)["versions"]] == [2, 1]
    assert refused(studio, {"name": "ceramic", "version": 3}).field == "loras.0.version"
    make()
    assert [one["number"] for one in studio.lora_rack.view("ceramic", LOCAL)["versions"]] == [4, 2, 1], "no number is given twice"
    studio.lora_bin.restore("ceramic", 3, LOCAL)
    assert studio.loras.file("ceramic", 3, LOCAL).is_file()


def test_the_trash_is_emptied_by_age(studio: Studio, make):
    make(versions=2)
    studio.lora_bin.throw("ceramic", None, LOCAL)
    assert studio.lora_rack.overview({}, LOCAL)["loras"][0]["versions"] == [] and studio.loras.names(LOCAL) == []
    assert [one["number"] for one in studio.lora_rack.overview({}, LOCAL)["trash"]] == [2, 1]
    retention.retire(studio)
    assert (studio.data_dir / "loras" / "ceramic" / "v1").is_dir(), "not yet"
    studio.store.db.execute("UPDATE lora_trash SET trashed = '2020-01-01' WHERE number = 1")
    retention.retire(studio)
    assert not (studio.data_dir / "loras" / "ceramic" / "v1").exists() and (studio.data_dir / "loras" / "ceramic" / "v2").is_dir()
    with pytest.raises(NotNow, match="deleted"):
        studio.lora_bin.restore("ceramic", 1, LOCAL)
    assert studio.lora_rack.version("ceramic", 1, LOCAL)["sha256"], "what it was stays known"


# What is shown.


def test_those_that_fit_come_first_and_words_find_them(studio: Studio, make, tmp_path: Path):
    make("zebra", title="Zebra", triggers=["stripes"])
    make("mug", title="Mug")
    studio.loras.create({"name": "alpine", "title": "Alpine", "about": "Mountains"}, LOCAL)
    studio.loras.register("alpine", Made(lora(tmp_path / "w.safetensors", 3072), "flux1-dev"), LOCAL)
    found = studio.lora_rack.overview({"family": "embedded", "tier": "standard"}, LOCAL)
    assert [(one["name"], one["fits"]) for one in found["loras"]] == [("mug", True), ("zebra", True), ("alpine", False)]
    assert found["limit"] == 2 and "3072 wide" in found["loras"][-1]["misfit"]
    assert studio.lora_rack.overview({"family": "flux1"}, LOCAL)["loras"][0]["name"] == "alpine"
    every = ["alpine", "mug", "zebra"]
    for words, names in (("stripes", ["zebra"]), ("MOUNT", ["alpine"]), ("flux.1-dev", ["alpine"]), ("zebra mug", []), ("", every)):
        assert [one["name"] for one in studio.lora_rack.overview({"q": words}, LOCAL)["loras"]] == names
    with pytest.raises(BadInput):
        studio.lora_rack.overview({"family": "nope"}, LOCAL)


def test_over_http(door: httpx.Client, tmp_path: Path):
    bring(door, embedded_lora(tmp_path / "a.safetensors"), name="foil").raise_for_status()
    bring(door, embedded_lora(tmp_path / "b.safetensors", 2), name="foil").raise_for_status()
    for number in (1, 2):
        moved = door.post("/api/loras/foil/alias", json={"alias": "production", "version": number}).raise_for_status().json()
    assert moved["aliases"] == {"production": 2} and moved["current"] == 2
    back = door.post("/api/loras/foil/alias", json={"alias": "production", "rollback": True, "reason": "spoils"}).raise_for_status().json()
    assert back["aliases"] == {"production": 1} and back["moves"][0]["reason"] == "spoils"
    for body in ({"alias": "x", "version": 1}, {}, {"version": -1}, {"version": 1, "forced": 3}, {"rollback": "yes"}):
        assert door.post("/api/loras/foil/alias", json={"alias": "production", **body}).status_code == 422, body
    assert door.post("/api/loras/foil/alias", json={"alias": "production", "version": 9}).status_code == 404
    assert door.post("/api/loras/foil/trash", json={"version": 2}).json()["trash"][0]["number"] == 2
    assert len(door.post("/api/loras/foil/restore", json={"version": 2}).json()["versions"]) == 2
    for path in ("nope", "foil/versions/9", "foil/versions/9/file", "foil/versions/1/samples/1", "foil/versions/99999999999999999999/file"):
        assert door.get(f"/api/loras/{path}").status_code == 404, path
    assert door.post("/api/loras", json={"name": "new", "title": "New", "kind": "quality"}).status_code == 201
    assert door.post("/api/loras/new", json={"title": "Newer", "access": "everyone"}).json()["access"] == "everyone"


def test_names():
    given = ("Foil v2 (final)", "\u00dcmlaut_x", "\u65e5\u672c", "a" * 90, "-x-")
    assert [slug(one) for one in given] == ["foil-v2-final", "mlaut-x", "lora", "a" * 60, "x"]
    assert read_triggers([" a  b ", "", "a b"]) == ("a b",)
    assert loras.words("ceramic", 3) == "ceramic/v3" and loras.words("ceramic", None) == "ceramic"
