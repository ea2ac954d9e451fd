"""Pictures that people bring: read over HTTP, kept for themselves alone, refused in words when they are none or too much."""
from __future__ import annotations

import contextlib
import io
import json
import struct
import warnings
import zlib

import foreign
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from studios import ended, served

from models.errors import BadInput, NotFound
from studio import files
from studio.imports import IDLE_DAYS, open_picture
from studio.store.db import days_ago
from studio.store.people import LOCAL, Who
from studio.strip import strip_png

ADA = Who("ada")


def post(door: httpx.Client, data: bytes, kind: str = "image/png", **params: str) -> httpx.Response:
    return door.post("/api/import", content=data, headers={"Content-Type": kind}, params=params)


def test_a_dropped_file_fills_the_form(door):
    answer = post(door, foreign.png({"parameters": foreign.FORGE}), family="embedded", tier="preview")
    assert answer.status_code == 200
    got = answer.json()
    assert (got["tool"], got["form"]["family"], got["form"]["tier"], got["form"]["seed"]) == ("Forge", "flux1", "standard", 1234567)
    assert {"name": "size", "value": "896 x 1152", "why": "The nearest size of Standard is 4:5, 896 x 1120."} in got["unmapped"]
    assert (got["width"], got["height"]) == (64, 48)
    thumb = door.get(got["thumb"])
    assert (thumb.status_code, thumb.headers["content-type"]) == (200, "image/webp")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_jpeg_and_webp(door, kind):
    got = post(door, foreign.with_comment(foreign.FORGE, kind), f"image/{kind.lower()}").json()
    assert got["form"]["prompt"].startswith("a red mug")


def test_a_plain_picture_has_no_settings_and_can_be_used(door):
    got = post(door, foreign.png()).json()
    assert (got["tool"], got["form"], got["unmapped"]) == (None, None, [])
    job = door.post("/api/jobs", json={"prompt": "a mug", "draft": 1, "image": got["upload"], "role": "img2img"})
    assert job.status_code == 201
    assert job.json()["request"]["image"] == got["upload"]


def test_the_form_of_an_import_is_a_request(door):
    for data in (foreign.png({"parameters": foreign.A1111}), foreign.png({"prompt": json.dumps(foreign.COMFY_KSAMPLER)})):
        form = post(door, data, family="embedded", tier="preview").json()["form"]
        assert door.post("/api/jobs", json=form).status_code == 201


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 50, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(door, data):
    answer = post(door, data)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "file"


def test_a_damaged_picture_is_refused(door):
    whole = foreign.png(size=(300, 300))
    assert post(door, whole[: len(whole) // 2]).json()["error"]["what"] == "This picture is damaged."


def bomb(width: int, height: int, packed: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (8000, 8000), (20_000, 10)])
def test_decompression_bombs_are_refused_by_their_header(door, size):
    answer = post(door, bomb(*size, zlib.compress(b"\0" * 100_000)))
    assert answer.status_code == 422
    assert "pixels" in answer.json()["error"]["what"]


def test_a_text_chunk_that_unpacks_to_gigabytes_is_refused(door):
    text = b"parameters\0\0" + zlib.compress(b"a" * 70_000_000, 1)
    whole = foreign.png()
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    assert post(door, whole[:33] + chunk + whole[33:]).status_code == 422


def test_limits_and_kinds(door):
    assert post(door, b"\0" * (33 * 2**20)).status_code == 413
    assert post(door, b"{}", "application/json").status_code == 415
    assert post(door, foreign.png(), "multipart/form-data; boundary=x").status_code == 415  # a form on another site could send that
    assert door.post("/api/jobs", content=foreign.png(), headers={"Content-Type": "image/png"}).status_code == 415
    chunks = (b"\0" * 2**20 for _ in range(40))  # no length said beforehand
    assert door.post("/api/import", content=chunks, headers={"Content-Type": "image/png"}).status_code == 413
    headers = {"Content-Type": "image/png", "Origin": "http://evil.example"}
    assert door.post("/api/import", content=foreign.png(), headers=headers).status_code == 403


def test_each_sees_only_their_own(studio):
    studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES ('ada', 'Ada', '2026-11-21')")
    upload = studio.imports.take(foreign.png(), {}, LOCAL)["upload"]
    with pytest.raises(NotFound):
        studio.imports.thumb(upload, ADA)
    with pytest.raises(BadInput) as refused:
        studio.submit({"prompt": "a mug", "image": upload, "role": "img2img"}, ADA)
    assert refused.value.field == "image"
    assert studio.imports.take(foreign.png(), {}, ADA)["upload"] == upload
    assert studio.imports.file(upload, ADA) == studio.imports.file(upload, LOCAL)


@pytest.mark.parametrize("upload", ["x", "0" * 64, "../" * 10, "A" * 64, "0" * 63 + "\n"])
def test_uploads_that_are_none(studio, upload):
    with pytest.raises(NotFound):
        studio.imports.file(upload, LOCAL)
    with pytest.raises(BadInput) as refused:
        studio.submit({"prompt": "a mug", "image": upload, "role": "img2img"})
    assert refused.value.field == "image"


def test_what_nobody_used_is_swept(studio):
    studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES ('ada', 'Ada', '2026-11-21')")
    looked, used, both = (studio.imports.take(foreign.png(seed=seed), {}, LOCAL)["upload"] for seed in (1, 2, 3))
    studio.submit({"prompt": "a mug", "image": used, "role": "img2img"})
    studio.store.db.execute("UPDATE uploads SET created = ?", [days_ago(IDLE_DAYS + 1)])
    studio.imports.take(foreign.png(seed=3), {}, ADA)
    gone = studio.imports.file(looked, LOCAL)
    thumb = studio.imports.thumb(looked, LOCAL)
    studio.imports.sweep()
    assert not gone.exists() and not thumb.exists()
    assert studio.imports.file(used, LOCAL).is_file()
    assert studio.imports.file(both, ADA).is_file()
    with pytest.raises(NotFound):
        studio.imports.file(both, LOCAL)


def test_a_photograph_on_its_side_is_upright(studio):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    buffer = io.BytesIO()
    foreign.seed_picture(1, 64, 32).save(buffer, "JPEG", exif=exif.tobytes())
    got = studio.imports.take(buffer.getvalue(), {}, LOCAL)
    assert (got["width"], got["height"]) == (32, 64)
    with Image.open(studio.imports.thumb(got["upload"], LOCAL)) as thumb:
        assert thumb.size == (32, 64)


WHOLE = [
    foreign.png({"parameters": foreign.FORGE}), foreign.with_comment(foreign.FORGE, "JPEG"), foreign.with_comment(foreign.FORGE, "WEBP"),
    foreign.fooocus_jpeg(json.dumps(foreign.FOOOCUS), "fooocus"), foreign.comfy_webp(foreign.COMFY_FLUX),
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.data())
def test_any_bytes_are_read_or_refused_in_words(whole, data):
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        if not broken:
            break
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(BadInput):  # the warnings are Pillow's, of damaged EXIF
        image, kind, _ = open_picture(bytes(broken))
        assert kind in ("PNG", "JPEG", "WEBP") and image.tobytes()


# Strip on export.


def chunks_of(data: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append(kind)
        at += 12 + length
    return found


@pytest.fixture
def one(start_studio):
    studio = start_studio()
    job = ended(studio, studio.submit({"prompt": "a secret mug", "draft": 1})["id"])
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield studio, client, job["images"][0]["id"]


def test_strip_on_export(one):
    studio, client, image = one
    plain = client.get(f"/image/{image}.png").content
    assert b"secret" in plain
    bare = client.get(f"/image/{image}.png?strip=1")
    assert bare.headers["content-type"] == "image/png"
    assert b"secret" not in bare.content and set(chunks_of(bare.content)) == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(bare.content)) as after:
        assert before.tobytes() == after.tobytes()

    assert client.get(f"/image/{image}.png?download=1").content == plain
    studio.settings.set({"export.strip": True}, LOCAL)
    answer = client.get(f"/image/{image}.png?download=1")
    assert answer.content == bare.content
    assert answer.headers["content-disposition"].startswith("attachment")
    assert client.get(f"/image/{image}.png?download=1&strip=0").content == plain
    assert client.get(f"/image/{image}.png").content == plain  # what the page itself shows


def test_stripping_keeps_colours_and_refuses_what_is_no_png(tmp_path):
    image = foreign.seed_picture(1, 32, 32).quantize(16)
    image.info["transparency"] = 3
    buffer = io.BytesIO()
    image.save(buffer, "PNG", dpi=(300, 300), exif=Image.Exif().tobytes())
    assert set(chunks_of(strip_png(buffer.getvalue()))) == {b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND"}
    for wrong in (b"", b"JFIF", buffer.getvalue()[:-20]):
        with pytest.raises(ValueError, match="PNG"):
            strip_png(wrong)
    files.write_whole(tmp_path / "x.png", buffer.getvalue())
