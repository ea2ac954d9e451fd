"""The seed library: a seed is kept with its picture and its template, is its person's, and outlives the picture."""
from __future__ import annotations

import io
import json

import pytest
from histories import ANNA, ask, bulk, draw
from PIL import Image

from models.errors import NotFound
from studio.seeds import Seeds


def pin(door, image: int, status: int = 201, **given):
    return ask(door.post("/api/seeds", json={"image": image} | given), status)


def test_a_seed_is_pinned_with_its_picture_and_outlives_it(door, studio):
    image = draw(studio, 2, seed=41, size="1:1")[1]
    kept = pin(door, image, title="  the good   angle ")
    assert (kept["seed"], kept["title"], kept["template"], kept["card"], kept["image"]) == (42, "the good angle", "", "embedded", image)
    bulk(door, "trash", [image])
    bulk(door, "delete", [image])
    again = ask(door.get("/api/seeds"))["seeds"][0]
    assert again["image"] is None and again["seed"] == 42
    answer = door.get(again["picture"])
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "WEBP" and min(picture.size) > 0


def test_pinned_again_it_is_there_once_and_can_be_renamed_and_taken_out(door, studio):
    image = draw(studio, 1)[0]
    first, again = pin(door, image, title="one"), pin(door, image)
    assert again["id"] == first["id"] and again["title"] == "one"
    assert ask(door.post(f"/api/seeds/{first['id']}", json={"title": "two"}))["title"] == "two"
    assert pin(door, image, template="hero")["id"] != first["id"]  # for another template it is another
    ask(door.post(f"/api/seeds/{first['id']}/delete", json={}))
    assert [one["template"] for one in ask(door.get("/api/seeds"))["seeds"]] == ["hero"]
    ask(door.post(f"/api/seeds/{first['id']}/delete", json={}), 404)


def test_those_of_the_template_come_first_and_its_own_template_is_known(door, studio):
    plain, made = draw(studio, 1, seed=1)[0], draw(studio, 1, seed=2)[0]
    other = draw(studio, 1, seed=3)[0]
    job = studio.image(made)["job"]
    with studio.store.write() as db:
        told = json.dumps({"template": {"name": "hero", "version": 1}})
        db.execute("UPDATE jobs SET request = json_patch(request, ?) WHERE id = ?", [told, job])
    pin(door, other, template="lifestyle")
    pin(door, plain)
    assert pin(door, made)["template"] == "hero"
    listed = ask(door.get("/api/seeds", params={"template": "hero"}))["seeds"]
    assert [one["template"] for one in listed] == ["hero", "", "lifestyle"]


def test_what_is_wrong_is_named_and_others_see_nothing(door, studio):
    image = draw(studio, 1)[0]
    assert ask(door.post("/api/seeds", json={}), 422)["error"]["field"] == "image"
    assert pin(door, image, 422, colour=1)["error"]["field"] == "colour"
    assert pin(door, image, 422, title="x" * 81)["error"]["field"] == "title"
    pin(door, 9999, 404)
    kept = pin(door, image)
    library = Seeds(studio)
    assert library.list("", ANNA) == {"seeds": []}
    number = kept["id"]
    for deed in (lambda: library.picture(number, ANNA), lambda: library.remove(number, ANNA), lambda: library.pin({"image": image}, ANNA)):
        with pytest.raises(NotFound):
            deed()
