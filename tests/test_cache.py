"""The exact cache: the same inputs are served from history, anything else is drawn; only what a person may see, never the trash."""
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studios import ended

from models.cards import Finish
from models.errors import BadInput
from models.presets import load_catalogue
from models.spec import LoraUse
from pipelines.plan import plan_for
from pipelines.request import Request
from pipelines.tasks import Draft
from studio.cache import Cache, file_hash, inputs_of, key_of
from studio.store.db import days_ago
from studio.store.people import Who

CATALOGUE = load_catalogue()
ASKED = {"prompt": "a red mug", "draft": 3, "keep": 1, "seed": 100}


@pytest.fixture
def drawn(start_studio):
    """A running studio in which ASKED has been drawn, and that job."""
    studio = start_studio()
    return studio, ended(studio, studio.submit(ASKED)["id"])


def seeds_drawn(studio, job: dict) -> list[int]:
    return [image["seed"] for image in studio.job(job["id"])["images"] if image["served_from"] is None]


def age(studio, days: float) -> None:
    studio.store.db.execute("UPDATE cache SET used = ?", [days_ago(days)])


def test_the_same_request_is_served_at_once(drawn):
    studio, first = drawn
    again = studio.submit(ASKED)
    assert (again["state"], again["cached"], again["served"], again["done"]) == ("done", True, 3, 3)
    assert [image["served_from"] for image in again["images"]] == [image["id"] for image in first["images"]]
    assert [image["verdict"] for image in again["images"]] == [image["verdict"] for image in first["images"]]
    values = [[(score["dimension"], score["value"], score["passed"]) for score in image["scores"]] for image in again["images"]]
    assert values == [[(score["dimension"], score["value"], score["passed"]) for score in image["scores"]] for image in first["images"]]
    for old, new in zip(first["images"], again["images"], strict=True):
        assert studio.picture_file(old["id"]).read_bytes() == studio.picture_file(new["id"]).read_bytes()
        assert studio.thumb_file(new["id"]).is_file()
    # A served picture stands on its own: the one it came from may go.
    studio.picture_file(first["images"][0]["id"]).unlink()
    assert studio.picture_file(again["images"][0]["id"]).is_file()
    third = studio.submit(ASKED)
    assert third["cached"] and third["images"][0]["served_from"] == again["images"][0]["id"]


def test_generate_again_draws(drawn):
    studio, _ = drawn
    again = ended(studio, studio.submit(ASKED | {"again": True})["id"])
    assert (again["cached"], again["served"]) == (False, 0)
    assert seeds_drawn(studio, again) == [100, 101, 102]
    with pytest.raises(BadInput) as refused:
        studio.submit(ASKED | {"again": "yes"})
    assert refused.value.field == "again"


def test_candidate_by_candidate(drawn):
    studio, first = drawn
    more = ended(studio, studio.submit(ASKED | {"draft": 6, "keep": 2, "seed": 98})["id"])
    assert (more["state"], more["served"], more["done"]) == ("done", 3, 6)
    assert seeds_drawn(studio, more) == [98, 99, 103]
    served = [image for image in more["images"] if image["served_from"]]
    assert [image["seed"] for image in served] == [image["seed"] for image in first["images"]] == [100, 101, 102]
    # Served and drawn ones were compared with each other.
    assert sum(image["verdict"] == "kept" for image in more["images"]) == 2
    assert all(image["scores"] for image in more["images"])


def test_another_input_is_drawn_and_what_changes_no_picture_does_not_matter(drawn):
    studio, _ = drawn
    changes = {"prompt": "a red mug.", "negative": "dust", "steps": 5, "guidance": 3.5, "size": "4:5", "seed": 200}
    for name, value in changes.items():
        assert not studio.submit(ASKED | {name: value})["cached"], name
    assert not studio.submit(ASKED | {"tier": "standard", "ladder": False})["cached"]
    again = studio.submit(ASKED | {"keep": 3, "note": "for Ada"})
    assert (again["served"], again["keep"]) == (3, 3)
    assert {image["verdict"] for image in again["images"]} <= {"kept", "rejected"}, "keep 3 leaves nothing to spare"


def test_never_from_the_trash_and_never_anothers(drawn):
    studio, first = drawn
    ada = Who("ada")
    studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES ('ada', 'Ada', '2026-11-21')")
    assert not studio.submit(ASKED | {"again": False}, ada)["cached"]
    studio.store.db.execute("UPDATE images SET shared = '*' WHERE id = ?", [first["images"][1]["id"]])
    hers = studio.submit(ASKED | {"seed": 101, "draft": 1}, ada)
    assert [image["served_from"] for image in hers["images"]] == [first["images"][1]["id"]]
    assert hers["images"][0]["person"] == "ada" and hers["images"][0]["mine"]

    studio.store.db.execute("UPDATE images SET trashed = ? WHERE job_id = ?", [days_ago(0), first["id"]])
    again = studio.submit(ASKED)
    assert again["served"] == 0


def test_expiry_by_use_and_pins(drawn):
    studio, first = drawn
    studio.settings.set({"cache.days": 10}, Who("local", admin=True))
    age(studio, 9)
    assert studio.submit(ASKED)["served"] == 3  # which counts as use
    assert studio.submit(ASKED)["served"] == 3
    age(studio, 11)
    pinned = first["images"][2]["id"]
    studio.similar.pin(pinned, {"pinned": True}, Who("local"))
    job = studio.submit(ASKED)
    assert [image["served_from"] for image in job["images"] if image["served_from"]] == [pinned]
    # Nor is one served whose file is gone.
    for image in (pinned, job["images"][2]["id"]):
        studio.picture_file(image).unlink()
    assert studio.submit(ASKED | {"seed": 102, "draft": 1})["served"] == 0


def test_start_pictures_count_by_what_is_in_them(drawn, tmp_path):
    studio, first = drawn
    from foreign import png

    one, other = (studio.imports.take(png(seed=seed, size=(256, 256)), {}, Who("local"))["upload"] for seed in (1, 2))
    start = {"prompt": "a red mug", "draft": 1, "seed": 5, "role": "img2img", "strength": 0.5}
    ended(studio, studio.submit(start | {"image": one})["id"])
    assert studio.submit(start | {"image": one})["cached"]
    assert not studio.submit(start | {"image": other})["cached"]
    assert not studio.submit(start | {"image": one, "strength": 0.6})["cached"]
    assert not studio.submit(start | {"image": first["images"][0]["id"]})["cached"]

    # Another precision, or another device, draws other pictures.
    studio.store.db.execute("UPDATE drawn_as SET precision = 'fp8'")
    assert not studio.submit(ASKED)["cached"]
    studio.store.db.execute("UPDATE drawn_as SET precision = '', device = 'another'")
    assert not studio.submit(ASKED)["cached"]


def test_weights_are_told_apart(studio, tmp_path):
    """The real fingerprint, over a folder that stands in for a model: any change of its files changes the key."""
    folder = tmp_path / "weights"
    (folder / "transformer").mkdir(parents=True)
    for path, content in {"model_index.json": json.dumps({"transformer": ["diffusers", "X"]}), "transformer/config.json": "{}"}.items():
        (folder / path).write_text(content)
    weights = folder / "transformer" / "model.safetensors"
    weights.write_bytes(b"0" * 64)
    cards = dict(CATALOGUE.cards) | {"embedded": replace(CATALOGUE.card("embedded"), repo=str(folder))}
    cache = Cache(studio.store, tmp_path, replace(CATALOGUE, cards=cards), "local", lambda: None, lambda: "CPU")
    request = Request.from_dict(ASKED, CATALOGUE)
    [draft, *_] = plan_for(request, CATALOGUE).first(request.seeds)
    key = cache.key(draft, 100, {"precision": "fp32"})
    assert key and key == cache.key(draft, 100, {"precision": "fp32"})
    assert cache.key(draft, 100, {"precision": "bf16"}) != key
    os.utime(weights, (1, 1))
    changed = cache.key(draft, 100, {"precision": "fp32"})
    assert changed != key
    weights.unlink()
    assert cache.key(draft, 100, {"precision": "fp32"}) is None


def base() -> Draft:
    request = Request.from_dict(ASKED | {"tier": "premium", "ladder": False}, CATALOGUE)
    [draft, *_] = plan_for(request, CATALOGUE).first(request.seeds)
    return draft


CHANGES = {
    "card": lambda draft: replace(draft, card="flux1-dev"),
    "finish": lambda draft: replace(draft, finish=Finish(3, "resample", 0.25, 20)),
    "no finish": lambda draft: replace(draft, finish=None),
} | {
    name: lambda draft, name=name, value=value: replace(draft, spec=replace(draft.spec, **{name: value}))
    for name, value in {
        "prompt": "b", "negative": "c", "width": 320, "height": 320, "steps": 9, "guidance": 1.25, "role": "img2img", "strength": 0.25,
    }.items()
}  # fmt: skip


def test_every_input_is_in_the_key(tmp_path):
    keys = {key_of(inputs_of(change(base()), 100, "local", "r", "fp32")) for change in CHANGES.values()}
    keys |= {key_of(inputs_of(base(), 101, "local", "r", "fp32")), key_of(inputs_of(base(), 100, "scripted", "r", "fp32"))}
    keys |= {key_of(inputs_of(base(), 100, "local", "s", "fp32")), key_of(inputs_of(base(), 100, "local", "r", "bf16"))}
    for content in (b"one", b"two"):
        path = tmp_path / f"{content.decode()}.safetensors"
        path.write_bytes(content)
        for weight in (1.0, 0.5):
            spec = replace(base().spec, loras=(LoraUse(path, weight),))
            keys.add(key_of(inputs_of(replace(base(), spec=spec), 100, "local", "r", "fp32")))
        keys.add(key_of(inputs_of(replace(base(), spec=replace(base().spec, image=path)), 100, "local", "r", "fp32")))
    keys.add(key_of(inputs_of(base(), 100, "local", "r", "fp32")))
    assert len(keys) == len(CHANGES) + 4 + 6 + 1
    # The batch a candidate rides in is no input, nor is what a file is called.
    assert key_of(inputs_of(replace(base(), numbers=(7,)), 100, "local", "r", "fp32")) in keys
    (tmp_path / "one.safetensors").rename(tmp_path / "three.safetensors")
    spec = replace(base().spec, loras=(LoraUse(tmp_path / "three.safetensors", 1),))
    assert key_of(inputs_of(replace(base(), spec=spec), 100, "local", "r", "fp32")) in keys


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.integers(0, 2**63 - 1), st.floats(0, 30))
def test_keys_are_sha256_and_the_same_each_time(prompt, seed, guidance):
    draft = replace(base(), spec=replace(base().spec, prompt=prompt, guidance=guidance))
    key = key_of(inputs_of(draft, seed, "local", "r", "fp32"))
    assert len(key) == 64 and key == key_of(inputs_of(Draft.from_dict(json.loads(json.dumps(draft.to_dict()))), seed, "local", "r", "fp32"))


def test_a_file_is_hashed_again_when_it_changed(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"1")
    before = file_hash(path)
    path.write_bytes(b"22")
    assert file_hash(path) != before
