"""Datasets: what is read and refused, what is found wrong, crops and buckets, captions, versions, and what a training gets."""
from __future__ import annotations

import contextlib
import io
import json
import struct
import time
import warnings
import zipfile
import zlib

import foreign
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, ImageFilter
from studios import ended, served, wait_for

from models.errors import BadInput, NotFound
from pipelines import datasetfiles
from pipelines.dataset import Sample, Sizes, buckets, load_kinds, place, read_crop, read_picture, written
from pipelines.datasetcheck import Looks, Reads, check, examine
from studio.loras import Made
from studio.store.db import days_ago
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who

ADA = Who("ada")
KINDS, LIMITS = load_kinds()


def drawing(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """A picture with edges, like no other seed's."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(one) for one in rng.integers(60, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        size = rng.uniform(0.08, 0.35) * min(width, height)
        box = (x - size, y - size, x + size, y + size)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=tuple(int(one) for one in rng.integers(0, 255, 3)))
    return image


def packed(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def zipped(entries: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


@pytest.fixture
def new(studio):
    """A dataset of the embedded model for whoever sits here; its id."""

    def make(**given: object) -> int:
        fields = {"title": "Blue ceramic", "kind": "product", "trigger": "blucer", "card": "embedded"} | given
        return studio.datasets.create(fields, LOCAL)["id"]

    return make


def fill(studio, dataset: int, count: int = 4) -> list[int]:
    return [studio.datasets.bring(dataset, packed(drawing(seed)), f"{seed}.png", LOCAL)["id"] for seed in range(count)]


# Pictures.


def test_a_plain_picture_keeps_its_bytes():
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")):
        data = packed(drawing(1), kind)
        brought = read_picture(data, "a")
        assert (brought.data, brought.suffix, brought.notes) == (data, suffix, ())


def test_a_photograph_on_its_side_is_stored_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    brought = read_picture(packed(drawing(1, 200, 100), "JPEG", exif=exif.tobytes()), "a.jpg")
    assert brought.image.size == (100, 200) and brought.notes == ("turned upright",)
    with Image.open(io.BytesIO(brought.data)) as again:
        assert again.size == (100, 200) and again.getexif().get(0x0112, 1) == 1


def test_transparent_becomes_white_and_odd_modes_rgb():
    clear = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
    brought = read_picture(packed(clear), "a.png")
    assert brought.image.getpixel((40, 40)) == (255, 255, 255) and "put on white where it was transparent" in brought.notes
    for image in (drawing(1).convert("L"), drawing(1).quantize(8), drawing(1).convert("1")):
        assert read_picture(packed(image), "a.png").image.mode == "RGB"
    deep = Image.fromarray(np.linspace(0, 65535, 80 * 80).astype(np.uint16).reshape(80, 80))
    levels = np.asarray(read_picture(packed(deep), "a.png").image)
    assert levels[0, 0, 0] == 0 and levels[-1, -1, 0] == 255 and abs(int(levels[40, 0, 0]) - 128) < 3  # not clipped
    inks = drawing(1).convert("CMYK")
    assert read_picture(packed(inks, "JPEG"), "a.jpg").image.mode == "RGB"
    assert read_picture(packed(drawing(1), "TIFF"), "a.tif").suffix == "png"


def test_another_profile_is_converted_and_srgb_is_not():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_picture(packed(drawing(1), icc_profile=srgb), "a.png").notes == ()
    lab = read_picture(packed(drawing(1), icc_profile=b"junk"), "a.png")
    assert np.array_equal(np.asarray(lab.image), np.asarray(drawing(1)))


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 50, b"<svg xmlns='http://www.w3.org/2000/svg'/>", packed(drawing(1))[:200]])
def test_what_is_no_picture_is_refused_by_name(data):
    with pytest.raises(BadInput, match="mug") as refused:
        read_picture(data, "mug.png")
    assert refused.value.field == "file"


def test_heic_says_what_to_do():
    with pytest.raises(BadInput) as refused:
        read_picture(b"\0\0\0\x18ftypheic" + b"\0" * 50, "IMG_1.HEIC")
    assert refused.value.todo == "Export it as JPEG."


def test_too_small_and_too_large():
    with pytest.raises(BadInput, match="40 x 200"):
        read_picture(packed(drawing(1, 40, 200)), "a.png")
    for side in (60_000, 8_000):
        parts = {b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b"\0" * 100_000), b"IEND": b""}
        chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts.items()]
        with pytest.raises(BadInput, match="pixels"):
            read_picture(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), "a.png")


WHOLE = [packed(drawing(1, 90, 80), kind) for kind in ("PNG", "JPEG", "TIFF", "BMP")]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.data())
def test_any_bytes_are_read_or_refused_in_words(whole, data):
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        if not broken:
            break
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(BadInput):
        brought = read_picture(bytes(broken), "a")
        assert brought.image.mode == "RGB" and read_picture(brought.data, "a").notes == ()  # what is kept needs nothing done to it


# Crops and buckets.


@settings(max_examples=200, deadline=None)
@given(
    st.integers(64, 6000), st.integers(64, 6000), st.sampled_from([(256, 32), (512, 16), (512, 64), (1024, 64)]),
    st.sampled_from(["bucket", "square"]),
)  # fmt: skip
def test_every_picture_has_a_bucket(width, height, sides, fit):
    sizes = Sizes(*sides, fit)
    box, (wide, high) = place(width, height, None, sizes)
    left, top, right, bottom = box or (0, 0, width, height)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert wide % sizes.multiple == 0 and high % sizes.multiple == 0 and wide * high <= sizes.resolution**2
    # The crop has the bucket's shape to within a pixel, and as much of the picture as that allows.
    assert abs((right - left) * high - (bottom - top) * wide) <= max(wide, high)
    assert right - left >= width - 1 or bottom - top >= height - 1
    if fit == "square":
        assert wide == high


def test_buckets_are_the_usual_ones():
    assert {(1024, 1024), (832, 1216), (1216, 832), (768, 1344)} <= set(buckets(Sizes(1024, 64)))
    assert buckets(Sizes(256, 32, "square")) == ((256, 256),)
    assert place(1500, 1000, None, Sizes(1024, 64))[1] == (1216, 832)


def test_a_person_s_crop_holds():
    box, size = place(1000, 800, (100, 100, 500, 500), Sizes(256, 32))
    assert (box, size) == ((100, 100, 500, 500), (256, 256))
    assert place(256, 256, None, Sizes(256, 32)) == (None, (256, 256))
    assert read_crop([0, 0, 1000, 800], 1000, 800) is None


@pytest.mark.parametrize(
    "crop", [[0, 0, 10, 10], [-1, 0, 500, 500], [0, 0, 1001, 500], [0, 0, "5", 500], [0, 0], "x", {}, [True, 0, 500, 500], 7]
)
def test_crops_that_are_none(crop):
    with pytest.raises(BadInput) as refused:
        read_crop(crop, 1000, 800)
    assert refused.value.field == "crop"


# What is wrong.


def looked(images: list[Image.Image]) -> tuple[list[Sample], list[Looks]]:
    samples = [Sample(str(n), f"{n}.png", one.width, one.height, f"a thing in place {n}") for n, one in enumerate(images)]
    return samples, [examine(one) for one in images]


def found(images: list[Image.Image], trigger: str = "blucer", sizes: Sizes = Sizes(256, 32)):  # noqa: B008
    samples, looks = looked(images)
    return check(samples, looks, KINDS["product"], trigger, sizes, LIMITS, lambda words: Reads((), 0))


def codes(findings) -> set[str]:
    return {one.code for one in findings}


def test_copies_are_found_and_other_pictures_are_not():
    first = drawing(1, 512, 384)
    small = first.resize((256, 192), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(packed(first, "JPEG", quality=40))) as pressed:
        pressed = pressed.convert("RGB")
    got = found([first, drawing(2, 512, 384), small, drawing(3, 512, 384), pressed])
    assert got.like == [None, None, 0, None, 0]
    assert "duplicate" in codes(got.by_image[2]) and "0.png" in got.by_image[4][0].what
    assert "duplicate" not in codes(got.by_image[1])


def test_blur_is_told_at_the_size_that_is_trained():
    sharp = drawing(5, 1024, 1024)
    soft = sharp.filter(ImageFilter.GaussianBlur(4))
    assert "blurry" in codes(found([soft], sizes=Sizes(1024, 64)).by_image[0])
    assert "blurry" not in codes(found([sharp], sizes=Sizes(1024, 64)).by_image[0])
    assert "blurry" not in codes(found([soft], sizes=Sizes(256, 32)).by_image[0])  # four pixels of 1024 are one of 256
    assert "flat" in codes(found([Image.new("RGB", (256, 256), "grey")]).by_image[0])


def test_small_and_cut_pictures_are_told():
    assert "small" in codes(found([drawing(1, 200, 200)], sizes=Sizes(512, 64)).by_image[0])
    assert "small" not in codes(found([drawing(1, 600, 600)], sizes=Sizes(512, 64)).by_image[0])
    assert "cut" in codes(found([drawing(1, 900, 300)], sizes=Sizes(256, 32, "square")).by_image[0])


def test_too_few_trigger_and_captions():
    assert codes(found([]).whole) >= {"few"} and not found([]).ready
    same = drawing(1, 256, 256)
    copies = found([same] * 6)
    assert not copies.ready, "six copies are one picture"
    assert found([drawing(seed, 256, 256) for seed in range(4)]).ready
    assert "trigger" in codes(found([same], trigger="").whole)
    samples, looks = looked([drawing(seed, 256, 256) for seed in range(4)])
    samples = [Sample(one.sha256, one.name, one.width, one.height, "a mug") for one in samples]

    def reads(words: str) -> Reads:
        return Reads(tuple(word for word in words.replace(",", "").split() if word not in ("a", "mug")), 3 if "mug" in words else 0)

    got = check(samples, looks, KINDS["product"], "mug", Sizes(256, 32), LIMITS, reads)
    assert {"captions", "trigger"} <= codes(got.whole), "all the same; an ordinary word"
    assert "long" in codes(got.by_image[0])


def test_looks_survive_being_written_down():
    looks = examine(drawing(1))
    again = Looks.from_dict(json.loads(json.dumps(looks.as_dict())))
    assert again.as_dict() == looks.as_dict() and again.sharp_at(4096) == looks.sharp_at(256)


# Captions.


@pytest.mark.parametrize(
    ("caption", "trigger", "said"),
    [
        ("on a table", "blucer", "blucer, on a table"), ("a BluCer on a table", "blucer", "a BluCer on a table"),
        ("a blucers shop", "blucer", "blucer, a blucers shop"), ("[trigger] on a table", "blucer", "blucer on a table"),
        ("[trigger] on a table", "", "on a table"), ("", "blucer", "blucer"), ("on a table", "", "on a table"),
    ],
)  # fmt: skip
def test_captions_as_they_are_trained(caption, trigger, said):
    assert written(caption, trigger) == said


def test_sidecars_find_their_pictures():
    names = ["set/a.PNG", "set/b.jpg", "other/b.jpg", "c.webp"]
    captions = {"set/a.txt": "1", "set/b.caption": "2", "b.txt": "3", "deep/c.txt": "4", "c.webp.txt": "5", "d.txt": "6"}
    assert datasetfiles.match(captions, names) == {"set/a.PNG": "1", "set/b.jpg": "2", "c.webp": "5"}
    assert datasetfiles.caption_of(b"\xef\xbb\xbfa  red\r\nmug\n") == "a red mug"
    assert datasetfiles.caption_of("caf\u00e9".encode("latin-1")) == "caf\u00e9"
    lines = b'{"file_name": "a.png", "text": "x"}\nnonsense\n{"file_name": 3}\n{"file_name": "b.png", "caption": "y"}'
    assert datasetfiles.listed(lines) == {"a.png": "x", "b.png": "y"}


# ZIP files.


def test_a_zip_brings_pictures_captions_and_says_what_it_left(studio, new):
    dataset = new()
    entries = {f"mugs/{seed}.png": packed(drawing(seed)) for seed in range(5)}
    entries |= {"mugs/0.txt": b"in a studio", "mugs/metadata.jsonl": b'{"file_name": "1.png", "text": "on a beach"}'}
    entries |= {"__MACOSX/mugs/._0.png": b"x", "mugs/.DS_Store": b"x", "mugs/bad.png": b"not a picture", "mugs/read.me": b"x"}
    entries |= {"mugs/again.png": packed(drawing(0))}
    got = studio.datasets.bring_zip(dataset, zipped(entries), LOCAL)
    assert (got["added"], got["captions"], got["left_count"]) == (5, 2, 3)
    assert {one["name"] for one in got["left"]} == {"mugs/bad.png", "mugs/read.me", "mugs/again.png"}
    captions = {one["name"]: one["caption"] for one in got["dataset"]["images"]}
    assert captions["mugs/0.png"] == "in a studio" and captions["mugs/1.png"] == "on a beach"


@pytest.mark.parametrize("name", ["../../../../tmp/out.png", "/etc/out.png", "C:\\out.png", "..\\out.png", "a/../../out.png"])
def test_a_zip_never_writes_where_it_says(studio, new, name):
    dataset = new()
    got = studio.datasets.bring_zip(dataset, zipped({name: packed(drawing(1))}), LOCAL)
    (one,) = got["dataset"]["images"]
    assert ".." not in one["name"] and not one["name"].startswith("/") and one["name"].endswith("out.png")
    path = studio.datasets.file(dataset, one["id"], LOCAL)
    assert path.resolve().is_relative_to((studio.data_dir / "datasets").resolve()) and path.stem == one["sha256"]


def test_zips_that_are_bombs_or_none(studio, new, monkeypatch):
    dataset = new()
    for data in (b"", b"PK\x03\x04" + b"\0" * 100, packed(drawing(1))):
        with pytest.raises(BadInput) as refused:
            studio.datasets.bring_zip(dataset, io.BytesIO(data), LOCAL)
        assert refused.value.field == "file"
    monkeypatch.setattr(datasetfiles, "FILE_LIMIT", 10_000)
    got = studio.datasets.bring_zip(dataset, zipped({"a.png": b"\0" * 5_000_000, "b.png": packed(drawing(1, 80, 80))}), LOCAL)
    assert got["added"] == 1 and "larger" in got["left"][0]["why"]
    monkeypatch.setattr(datasetfiles, "TOTAL_LIMIT", 20_000)
    with pytest.raises(BadInput, match="unpacks"):
        list(datasetfiles.members(zipped({f"{n}.txt": b"x" * 9_000 for n in range(9)})))
    monkeypatch.setattr(datasetfiles, "ENTRIES_LIMIT", 3)
    with pytest.raises(BadInput, match="at most 3"):
        list(datasetfiles.members(zipped({f"{n}.txt": b"x" for n in range(9)})))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_broken_zip_is_read_or_refused_in_words(data):
    entries = {"a.png": packed(drawing(1, 70, 70)), "a.txt": b"a mug" * 40, "metadata.jsonl": b'{"file_name": 1}'}
    broken = bytearray(zipped(entries).getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        if not broken:
            break
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(BadInput):
        for member in datasetfiles.members(io.BytesIO(bytes(broken))):
            assert member.why or member.data is not None or member.captions is not None


# In the studio.


def test_pictures_come_over_http(door, studio, new):
    dataset = new()
    headers = {"Content-Type": "image/png"}
    got = door.post(f"/api/datasets/picture?dataset={dataset}&name=mug.png", content=packed(drawing(1)), headers=headers)
    assert got.status_code == 201
    one = got.json()
    assert (one["name"], one["width"], one["height"], one["size"], one["written"]) == ("mug.png", 400, 300, [288, 224], "blucer")
    assert door.get(one["thumb"]).headers["content-type"] == "image/webp"
    assert door.get(one["file"]).content == packed(drawing(1))
    again = door.post(f"/api/datasets/picture?dataset={dataset}&name=mug2.png", content=packed(drawing(1)), headers=headers)
    assert again.status_code == 409 and "already" in again.text
    bad = door.post(f"/api/datasets/picture?dataset={dataset}&name=x.png", content=b"x", headers=headers)
    assert bad.status_code == 422 and bad.json()["error"]["what"].startswith("x.png")
    raw = {"Content-Type": "application/octet-stream"}
    brought = door.post(f"/api/datasets/zip?dataset={dataset}", content=zipped({"b.png": packed(drawing(2))}).read(), headers=raw)
    assert brought.status_code == 201 and brought.json()["added"] == 1
    assert door.post(f"/api/datasets/zip?dataset={dataset}", content=b"x", headers=raw).status_code == 422
    assert door.post(f"/api/datasets/zip?dataset={dataset}", content=b"x", headers=headers).status_code == 415
    assert door.post("/api/datasets/picture?dataset=99", content=packed(drawing(3)), headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"title": ""}, "title"), ({"kind": "portrait"}, "kind"), ({"card": "flux9"}, "card"), ({"trigger": "a, b"}, "trigger"),
        ({"trigger": "x" * 41}, "trigger"), ({"resolution": 64}, "resolution"), ({"fit": "stretch"}, "fit"), ({"title": 3}, "title"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(studio, new, given, field):
    with pytest.raises(BadInput) as refused:
        new(**given)
    assert refused.value.field == field


def test_captions_typed_outlive_sidecars_and_crops_are_kept(studio, new):
    dataset = new()
    a, b, *_ = fill(studio, dataset)
    studio.datasets.caption(dataset, {"captions": {str(a): " a mug\non a table "}}, LOCAL)
    view = studio.datasets.caption(dataset, {"sidecars": {"0.txt": "from a file", "1.txt": "from a file"}}, LOCAL)
    assert [(one["caption"], one["source"]) for one in view["images"][:2]] == [("a mug on a table", "typed"), ("from a file", "sidecar")]
    for wrong in ({"captions": {"99": "x"}}, {"captions": {str(a): 3}}, {"captions": []}, {"captions": {str(a): "x" * 2001}}):
        with pytest.raises(BadInput):
            studio.datasets.caption(dataset, wrong, LOCAL)
    view = studio.datasets.crop(dataset, b, {"crop": [10, 10, 210, 210]}, LOCAL)
    assert (view["images"][1]["box"], view["images"][1]["size"]) == ([10, 10, 210, 210], [256, 256])
    view = studio.datasets.crop(dataset, b, {"crop": None}, LOCAL)
    assert view["images"][1]["crop"] is None


def test_the_embedded_model_s_words_are_checked(studio, new):
    dataset = new()
    (one, *_) = fill(studio, dataset)
    view = studio.datasets.caption(dataset, {"captions": {str(one): "a flamingo on a wooden table"}}, LOCAL)
    said = [found["what"] for found in view["images"][0]["findings"]]
    assert said == ["The model does not know flamingo."], "the trigger word is not told as unknown"
    view = studio.datasets.change(dataset, {"trigger": "mug"}, LOCAL)
    assert "trigger" in {found["code"] for found in view["findings"]}


def test_leaving_out_and_putting_back(studio, new):
    dataset = new()
    ids = fill(studio, dataset)
    assert studio.datasets.views.view(dataset, LOCAL)["ready"]
    view = studio.datasets.leave_out(dataset, {"images": ids[:2]}, LOCAL)
    assert not view["ready"] and [one["id"] for one in view["images"]] == ids[2:] and len(view["removed_images"]) == 2
    with pytest.raises(NotNow, match="cannot be trained"):
        studio.datasets.require(dataset, LOCAL)
    assert studio.datasets.leave_out(dataset, {"images": ids[:2]}, LOCAL, removed=False)["ready"]
    # Brought again, a picture that was taken out is back with its caption.
    studio.datasets.caption(dataset, {"captions": {str(ids[0]): "a mug"}}, LOCAL)
    studio.datasets.leave_out(dataset, {"images": ids[:1]}, LOCAL)
    assert studio.datasets.bring(dataset, packed(drawing(0)), "0.png", LOCAL)["caption"] == "a mug"


def test_what_a_training_gets(studio, new, tmp_path):
    dataset = new()
    a, *_ = fill(studio, dataset)
    studio.datasets.caption(dataset, {"captions": {str(a): "on a table"}}, LOCAL)
    told = studio.datasets.write(dataset, tmp_path, LOCAL)
    written_ = json.loads((tmp_path / "dataset.json").read_text())
    assert written_["hash"] == told["hash"] and (told["dataset"], told["version"]) == (dataset, 1)
    first = written_["images"][0]
    assert (first["caption"], first["size"], first["crop"]) == ("blucer, on a table", [288, 224], [7, 0, 393, 300])
    assert (tmp_path / first["file"]).read_bytes() == packed(drawing(0))
    for one in written_["images"]:
        with Image.open(tmp_path / one["file"]) as image:
            assert image.size == (one["width"], one["height"])
    # The same again is the same version; at another size too, for the pictures and captions are the same.
    assert studio.datasets.write(dataset, tmp_path / "again", LOCAL, resolution=512)["version"] == 1
    studio.datasets.caption(dataset, {"captions": {str(a): "on a beach"}}, LOCAL)
    assert studio.datasets.write(dataset, tmp_path / "third", LOCAL)["version"] == 2
    view = studio.datasets.restore(dataset, {"version": 1}, LOCAL)
    assert view["images"][0]["caption"] == "on a table" and view["hash"] == told["hash"]
    empty = new(title="Empty")
    with pytest.raises(NotNow):
        studio.datasets.write(empty, tmp_path / "none", LOCAL)


def test_the_trainer_reads_what_is_written(studio, new, tmp_path):
    config = pytest.importorskip("pipelines.training.config")
    dataset = new()
    fill(studio, dataset)
    studio.datasets.write(dataset, tmp_path, LOCAL)
    (tmp_path / "run.toml").write_text('name = "a"\nkind = "product"\ncard = "embedded"\ntrigger = "blucer"\n')
    job = config.read_job(tmp_path, ("embedded",))
    assert len(job.examples) == 4 and job.examples[0].size == (288, 224) and job.examples[0].caption == "blucer"


def test_a_restored_version_brings_back_forgotten_pictures(studio, new, tmp_path):
    dataset = new()
    a, *_ = fill(studio, dataset)
    before = studio.datasets.write(dataset, tmp_path, LOCAL)["hash"]
    studio.datasets.leave_out(dataset, {"images": [a]}, LOCAL)
    studio.store.db.execute("UPDATE dataset_images SET removed = ? WHERE removed IS NOT NULL", [days_ago(60)])
    studio.datasets.sweep()
    assert not studio.store.db.execute("SELECT 1 FROM dataset_images WHERE id = ?", [a]).fetchone()
    assert studio.datasets.restore(dataset, {"version": 1}, LOCAL)["hash"] == before


def test_sweeping_deletes_what_nobody_has(studio, new):
    dataset = new()
    a, b, *_ = fill(studio, dataset)
    gone, stays = studio.datasets.file(dataset, a, LOCAL), studio.datasets.file(dataset, b, LOCAL)
    studio.datasets.leave_out(dataset, {"images": [a]}, LOCAL)
    studio.datasets.sweep()
    assert gone.is_file(), "it can still be put back"
    studio.store.db.execute("UPDATE dataset_images SET removed = ? WHERE removed IS NOT NULL", [days_ago(60)])
    studio.datasets.sweep()
    assert not gone.exists() and stays.is_file()


def test_which_loras_are_stale(studio, new, tmp_path):
    dataset = new()
    a, *_ = fill(studio, dataset)
    told = studio.datasets.write(dataset, tmp_path, LOCAL)
    assert studio.datasets.stale("ceramic") is None
    register(studio, "ceramic", told)
    assert studio.datasets.stale("ceramic") is None
    assert studio.datasets.views.view(dataset, LOCAL)["loras"] == [{"name": "ceramic", "title": "ceramic", "version": 1, "stale": False}]
    studio.datasets.caption(dataset, {"captions": {str(a): "on a table"}}, LOCAL)
    studio.datasets.bring(dataset, packed(drawing(20)), "20.png", LOCAL)
    stale = studio.datasets.stale("ceramic")
    assert (stale["dataset"], stale["added"], stale["recaptioned"], stale["removed"]) == (dataset, 1, 1, 0)
    assert stale["words"] == "1 picture added, 1 picture recaptioned"
    assert studio.datasets.views.view(dataset, LOCAL)["loras"][0]["stale"]
    register(studio, "ceramic", studio.datasets.write(dataset, tmp_path / "again", LOCAL))
    assert studio.datasets.stale("ceramic") is None, "the newest version was trained on what it is now"


def register(studio, name: str, told: dict) -> None:
    """A version as a training registers one, by its row alone: its weights are another test's."""
    made = Made(file=studio.data_dir, card="embedded", dataset=told)
    db = studio.store.db
    if not db.execute("SELECT 1 FROM loras WHERE name = ?", [name]).fetchone():
        db.execute(
            "INSERT INTO loras (name, title, kind, owner, access, created) VALUES (?, ?, 'product', 'local', 'private', '')", [name, name]
        )
    lora = db.execute("SELECT id FROM loras WHERE name = ?", [name]).fetchone()["id"]
    number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM lora_versions WHERE lora_id = ?", [lora]).fetchone()[0]
    values = {
        "lora_id": lora, "number": number, "path": "x", "sha256": "x", "bytes": 1, "card": made.card, "base_revision": "", "triggers": "[]",
        "licence": "", "dataset": json.dumps(made.dataset), "samples": "[]", "scores": "{}", "note": "", "person": "local", "created": "",
    }  # fmt: skip
    db.execute(f"INSERT INTO lora_versions ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values()))


def test_each_sees_their_own_and_what_is_shared(studio, new):
    studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES ('ada', 'Ada', '2026-11-21')")
    dataset = new()
    (one, *_) = fill(studio, dataset, 1)
    datasets = studio.datasets
    for call in (
        lambda: datasets.views.view(dataset, ADA), lambda: datasets.thumb(dataset, one, ADA), lambda: datasets.change(dataset, {}, ADA),
        lambda: datasets.bring(dataset, packed(drawing(9)), "9.png", ADA), lambda: datasets.write(dataset, studio.data_dir / "x", ADA),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            call()
    assert datasets.views.overview(ADA)["datasets"] == []
    datasets.share(dataset, {"with": "*"}, LOCAL)
    assert datasets.views.view(dataset, ADA)["mine"] is False and datasets.thumb(dataset, one, ADA).is_file()
    with pytest.raises(NotFound):
        datasets.caption(dataset, {"captions": {}}, ADA)
    other = datasets.create({"title": "Ada's", "card": "embedded"}, ADA)["id"]
    with pytest.raises(NotFound):
        datasets.file(other, one, ADA)  # a picture of another dataset


def test_put_away_and_back(studio, new):
    dataset = new()
    studio.datasets.remove(dataset, LOCAL)
    assert studio.datasets.views.overview(LOCAL)["datasets"] == []
    assert [one["id"] for one in studio.datasets.views.overview(LOCAL, removed=True)["datasets"]] == [dataset]
    assert studio.datasets.bring_back(dataset, LOCAL)["removed"] is False
    studio.datasets.remove(dataset, LOCAL)
    studio.store.db.execute("UPDATE datasets SET removed = ?", [days_ago(60)])
    studio.datasets.sweep()
    with pytest.raises(NotFound):
        studio.datasets.views.view(dataset, LOCAL)


def test_pictures_of_the_history(start_studio):
    studio = start_studio()
    job = ended(studio, studio.submit({"prompt": "a red mug on a wooden table", "draft": 2})["id"])
    dataset = studio.datasets.create({"title": "From history", "card": "embedded"}, LOCAL)["id"]
    ids = [image["id"] for image in job["images"]]
    view = studio.datasets.take(dataset, {"images": ids}, LOCAL)
    assert [one["caption"] for one in view["images"]] == ["a red mug on a wooden table"] * len(view["images"]) and view["images"]
    assert len(studio.datasets.take(dataset, {"images": ids}, LOCAL)["images"]) == len(view["images"])


def test_a_thousand_pictures_are_checked_quickly(studio, new):
    dataset = new()
    fill(studio, dataset, 1)
    row = dict(studio.store.db.execute("SELECT * FROM dataset_images").fetchone())
    columns = [name for name in row if name != "id"]
    prints = [examine(drawing(seed, 96, 96)).as_dict() for seed in range(40)]
    insert = f"INSERT INTO dataset_images ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    with studio.store.write() as db:
        for n in range(999):
            one = row | {"sha256": f"{n:064x}", "name": f"{n}.png", "caption": f"a mug {n}", "looks": json.dumps(prints[n % 40])}
            db.execute(insert, [one[name] for name in columns])
    start = time.thread_time()
    view = studio.datasets.views.view(dataset, LOCAL)
    assert len(view["images"]) == 1000 and time.thread_time() - start < 3.0
    assert sum(one["like"] is not None for one in view["images"]) >= 900


# Captions that are proposed.


@pytest.mark.slow
def test_the_worker_proposes_captions(start_studio):
    from models.embedded.render import render
    from models.embedded.world import Scene

    studio = start_studio()
    dataset = studio.datasets.create({"title": "Mugs", "kind": "style", "trigger": "blucer", "card": "embedded"}, LOCAL)["id"]
    for colour in ("red", "blue"):
        picture = Image.fromarray(np.asarray(render(Scene("mug", colour, "beach"))))
        studio.datasets.bring(dataset, packed(picture), f"{colour}.png", LOCAL)
    with served(studio):
        assert studio.datasets.propose(dataset, {}, LOCAL)["asked"] == 2
        wait_for(lambda: not studio.datasets.views.view(dataset, LOCAL)["asked"], "captions", 240)
    images = studio.datasets.views.view(dataset, LOCAL)["images"]
    assert [one["caption"] for one in images] == ["[trigger], a blue mug on a beach", "[trigger], a red mug on a beach"]
    assert images[1]["written"] == "blucer, a red mug on a beach" and images[0]["source"] == "proposed"


def test_nothing_is_proposed_where_nobody_could(studio, new, tmp_path):
    from models.errors import Unavailable

    dataset = new(card="flux1-dev")
    fill(studio, dataset, 1)
    with pytest.raises(Unavailable, match="SmolVLM"):
        studio.datasets.propose(dataset, {}, LOCAL)
    assert "SmolVLM" in studio.datasets.views.view(dataset, LOCAL)["captioner"]["missing"]


def test_what_was_typed_while_a_caption_was_on_its_way_stays(studio, new):
    from studio.store import datasets as rows

    dataset = new()
    (one, *_) = fill(studio, dataset, 1)
    studio.datasets.propose(dataset, {}, LOCAL)
    (asked,) = rows.next_asked(studio.store, 4)
    studio.datasets.caption(dataset, {"captions": {str(one): "mine"}}, LOCAL)
    rows.propose(studio.store, one, asked["asked"], "theirs")
    assert studio.datasets.views.view(dataset, LOCAL)["images"][0]["caption"] == "mine"


def test_sidecar_of_foreign_pictures_are_no_settings(studio, new):
    """A picture that another studio drew is trained on like any other; what its file says of settings is not its caption."""
    dataset = new()
    got = studio.datasets.bring(dataset, foreign.png({"parameters": foreign.A1111}, size=(128, 128)), "x.png", LOCAL)
    assert got["caption"] == ""
