"""Post-processing: exact pixels and colour as asked, refused where it cannot be, beside the original, and taken back."""
from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from histories import ask, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import BadInput
from pipelines.post import ANCHORS, FITS, FORMATS, Post, apply, encode, read_post, size_after
from studio.store import posts
from studio.store.people import LOCAL


def gradient(width: int = 96, height: int = 64) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8))


def mean(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), float).mean(axis=(0, 1))


SIDES = st.none() | st.integers(1, 300)
DEGREES = st.integers(-100, 100) | st.floats(-100, 100, allow_nan=False)
POSTS = st.fixed_dictionaries(
    {},
    optional={
        "width": SIDES, "height": SIDES, "fit": st.sampled_from(FITS), "anchor": st.sampled_from(sorted(ANCHORS)),
        "format": st.sampled_from(FORMATS), "quality": st.integers(1, 100), "brightness": DEGREES, "contrast": DEGREES,
        "saturation": DEGREES, "white_balance": DEGREES, "background": st.sampled_from(["transparent", "#12aBcD", None]),
    },
)  # fmt: skip


@given(POSTS, st.integers(1, 90), st.integers(1, 90), st.booleans())
@settings(max_examples=80, deadline=None)
def test_what_is_read_is_done_in_the_pixels_that_are_told(data, width, height, transparent):
    try:
        post = read_post(data)
    except BadInput as error:
        field = error.field or ""
        post = None
    else:
        field = "post."
    assert field.startswith("post.")
    if post is None:
        return
    assert read_post(post.to_dict()) == post and read_post(json.loads(json.dumps(post.to_dict()))) == post
    image = gradient(width, height)
    if transparent:
        image.putalpha(100)
    done = apply(image, post)
    assert done.size == size_after(width, height, post)
    if post.fit != "resize" and post.width and post.height:
        assert done.size == (post.width, post.height)
    assert image.size == (width, height)
    with Image.open(io.BytesIO(encode(done, post))) as file:
        file.load()
        assert (file.format or "").lower() == post.format and file.size == done.size


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda one: st.lists(one, max_size=3)
    | st.dictionaries(st.sampled_from(["width", "fit", "background", "x", "quality", "contrast"]), one, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(JUNK)
@settings(max_examples=150, deadline=None)
def test_junk_is_refused_with_its_place(data):
    try:
        read_post(data)
    except BadInput as error:
        field = error.field or ""
    else:
        field = "post"
    assert field.startswith("post")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"width": 8000, "height": 8000}, "post.height"),
        ({"width": 100, "fit": "pad"}, "post.fit"),
        ({"format": "jpeg", "background": "transparent"}, "post.background"),
        ({"background": "white"}, "post.background"),
        ({"contrast": 101}, "post.contrast"),
        ({"sharpen": 3}, "post.sharpen"),
    ],
)
def test_what_cannot_be_done_is_refused(data, field):
    with pytest.raises(BadInput) as refused:
        read_post(data)
    assert refused.value.field == field


def test_pad_shows_all_of_the_picture_on_the_background():
    done = apply(Image.new("RGB", (40, 20), "#FF0000"), read_post({"width": 80, "height": 80, "fit": "pad", "background": "#00FF00"}))
    assert [done.getpixel((40, y)) for y in (5, 40, 75)] == [(0, 255, 0), (255, 0, 0), (0, 255, 0)]
    top = apply(Image.new("RGB", (40, 20), "#FF0000"), read_post({"width": 80, "height": 80, "fit": "pad", "anchor": "top"}))
    assert top.getpixel((40, 5)) == (255, 0, 0) and top.getpixel((40, 75)) == (255, 255, 255)
    clear = apply(Image.new("RGB", (40, 20), "#FF0000"), read_post({"width": 80, "height": 80, "fit": "pad", "background": "transparent"}))
    assert clear.mode == "RGBA" and clear.getpixel((40, 5))[3] == 0 and clear.getpixel((40, 40)) == (255, 0, 0, 255)


def test_crop_keeps_the_part_at_the_anchor_and_its_proportions():
    picture = Image.new("RGB", (100, 50), "#000000")
    picture.paste("#FFFFFF", (0, 0, 50, 50))
    share = {side: mean(apply(picture, read_post({"width": 50, "height": 50, "anchor": side})))[0] for side in ("left", "centre", "right")}
    assert share["left"] > 250 and share["right"] < 5 and 120 < share["centre"] < 135


def test_a_transparent_picture_lies_on_its_background():
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert apply(picture, read_post({"format": "jpeg"})).getpixel((1, 1)) == (255, 255, 255)
    assert apply(picture, read_post({"background": "#102030"})).getpixel((1, 1)) == (16, 32, 48)
    assert apply(picture, Post()).getpixel((1, 1))[3] == 0


@given(st.integers(0, 255), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_each_slider_does_what_it_says(level, degree):
    grey = Image.new("RGB", (2, 2), (level,) * 3)
    (red, _, blue), (cool_red, _, cool_blue) = (mean(apply(grey, Post(white_balance=sign * degree))) for sign in (1, -1))
    assert red >= blue and cool_red <= cool_blue and (not 40 < level < 215 or degree < 20 or red > blue)
    assert mean(apply(grey, Post(brightness=degree)))[0] >= level >= mean(apply(grey, Post(brightness=-degree)))[0]
    picture = gradient()
    assert np.ptp(mean(apply(picture, Post(saturation=-100)))) < 1.5
    spread = [np.asarray(apply(picture, Post(contrast=c)).convert("L"), float).std() for c in (-degree, 0, degree)]
    assert spread == sorted(spread)
    for end in (0, 255):  # black and white stay
        assert mean(apply(Image.new("RGB", (1, 1), (end,) * 3), Post(brightness=degree)))[0] == end


def test_a_picture_is_processed_beside_its_original_and_taken_back(studio, door):
    [image] = draw(studio, 1, LOCAL)
    assert ask(door.get(f"/api/images/{image}"))["processed"] is None
    assert ask(door.get(f"/processed/{image}.jpg"), 404)["error"]["why"]
    original = door.get(f"/image/{image}.png").content
    wanted = {"width": 300, "height": 200, "fit": "pad", "format": "jpeg", "quality": 80, "contrast": 20}
    view = ask(door.post(f"/api/images/{image}/post", json=wanted))
    assert view["processed"]["post"] == wanted and view["processed"]["own"]
    told = ask(door.get(f"/api/images/{image}/post"))
    assert (told["width"], told["height"], told["template"]) == (300, 200, False)
    answer = door.get(view["processed"]["url"], params={"download": 1})
    assert answer.headers["content-type"] == "image/jpeg" and ".jpg" in answer.headers["content-disposition"]
    with Image.open(io.BytesIO(answer.content)) as file:
        assert file.size == (300, 200) and file.format == "JPEG" and not file.getexif()
    assert door.get(f"/image/{image}.png").content == original
    [first] = studio.data_dir.glob("outputs/*/*.post.jpg")
    first.unlink()  # gone from outside: made again
    assert door.get(view["processed"]["url"]).content == answer.content
    ask(door.post(f"/api/images/{image}/post", json={"width": 64}))
    assert not list(studio.data_dir.glob("outputs/*/*.post.jpg")) and len(list(studio.data_dir.glob("outputs/*/*.post.png"))) == 1
    assert ask(door.request("DELETE", f"/api/images/{image}/post", json={}))["processed"] is None
    assert not list(studio.data_dir.glob("outputs/*/*.post.*")) and door.get(f"/image/{image}.png").content == original


def test_a_try_shows_and_keeps_nothing(studio, door):
    [image] = draw(studio, 1, LOCAL)
    answer = door.post(f"/api/images/{image}/post/preview", json={"width": 1500, "height": 1000})
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.size == (720, 480)
    assert answer.headers["x-size"] == "1500x1000" and not list(studio.data_dir.glob("outputs/*/*.post.*"))
    assert ask(door.post(f"/api/images/{image}/post/preview", json={"width": 0}), 422)["error"]["field"] == "post.width"


def test_what_the_template_says_holds_until_a_person_says_otherwise(studio, door):
    [image] = draw(studio, 1, LOCAL)
    with studio.store.write() as db:
        posts.stamp(db, 1, {"width": 40, "format": "webp"})
    view = ask(door.get(f"/api/images/{image}"))["processed"]
    assert view["post"] == {"width": 40, "fit": "resize", "format": "webp"} and not view["own"] and view["url"].endswith(".webp")
    with Image.open(io.BytesIO(door.get(view["url"]).content)) as file:
        assert file.width == 40
    assert ask(door.request("DELETE", f"/api/images/{image}/post", json={}))["processed"] is None
    told = ask(door.get(f"/api/images/{image}/post"))
    assert told["template"] and told["own"] and told["post"] is None
    assert ask(door.post(f"/api/images/{image}/post/reset", json={}))["processed"] == view


def test_deleted_for_good_means_the_processed_file_too(studio, door):
    [image] = draw(studio, 1, LOCAL)
    ask(door.post(f"/api/images/{image}/post", json={"width": 64}))
    assert list(studio.data_dir.glob("outputs/*/*.post.png"))
    ask(door.post("/api/images/bulk", json={"ids": [image], "do": "trash"}))
    ask(door.post("/api/images/bulk", json={"ids": [image], "do": "delete"}))
    assert not list(studio.data_dir.glob("outputs/*/*.png"))


def test_a_job_of_a_template_is_processed_as_the_template_says(studio, door):
    [image] = draw(studio, 1, LOCAL, prompt=None, template={"name": "social-x-post"}, values={"product": "mug"})
    view = ask(door.get(f"/api/images/{image}"))["processed"]
    assert not view["own"] and (view["post"]["width"], view["post"]["height"]) == (1600, 900)
    with Image.open(io.BytesIO(door.get(view["url"]).content)) as file:
        assert file.size == (1600, 900) and file.format == "JPEG"


def test_a_zip_holds_the_processed_file_beside_the_original(studio, door):
    [image] = draw(studio, 1, LOCAL)
    ask(door.post(f"/api/images/{image}/post", json={"width": 32, "format": "webp"}))
    order = ask(door.post("/api/exports", json={"ids": [image], "as": "zip"}), 201)
    with zipfile.ZipFile(io.BytesIO(door.get(order["url"]).content)) as file:
        assert sorted(file.namelist()) == ["000001-001.png", "manifest.json", "processed/000001-001.webp"]
