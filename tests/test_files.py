"""Picture files: whole or not there, with what they were made from inside them."""
from __future__ import annotations

import io
import json
import os
import re

import pytest
from PIL import Image

from models.errors import NotFound, StudioError
from models.scripted import seed_picture
from models.spec import ImageSpec, LoraUse
from studio import files

SPEC = ImageSpec("a red mug", 64, 48, 4, 3.5, (7, 8))
JOB = {"id": 12, "card": "embedded", "request": {"prompt": "a red mug", "draft": 2}, "lineage": [3, 9]}


def saved(tmp_path, spec=SPEC, seed=7, name="outputs/2026-11-21/000012-001.png"):
    image = seed_picture(seed, spec.width, spec.height)
    files.write_picture(tmp_path, name, image, files.metadata(spec, seed, 1, image, "embedded", JOB, {"engine": "scripted"}))
    return tmp_path / name


def settings(text: str) -> dict[str, str]:
    """The last line of `parameters`, read as A1111 reads it."""
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', text.splitlines()[-1])
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


def test_a_name_follows_from_day_job_and_number():
    assert files.picture_path("2026-11-21T03:04:05.678Z", 12, 3) == "outputs/2026-11-21/000012-003.png"
    assert files.thumb_path("outputs/2026-11-21/000012-003.png") == "thumbs/2026-11-21/000012-003.webp"


def test_a_picture_comes_back_pixel_by_pixel_with_a_thumbnail_and_nothing_beside_it(tmp_path):
    path = saved(tmp_path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.tobytes() == seed_picture(7, 64, 48).tobytes()
    with Image.open(tmp_path / "thumbs/2026-11-21/000012-001.webp") as thumb:
        assert (thumb.format, thumb.size) == ("WEBP", (64, 48))
    assert [file.name for file in path.parent.iterdir()] == ["000012-001.png"]


def test_a1111_reads_the_parameters(tmp_path):
    spec = ImageSpec("a red mug,\non a table", 64, 48, 20, 3.0, (7,), negative="blue", strength=0.5, role="img2img")
    with Image.open(saved(tmp_path, spec)) as image:
        text = image.text["parameters"]
    assert text.splitlines()[:3] == ["a red mug,", "on a table", "Negative prompt: blue"]
    assert settings(text) == {
        "Steps": "20", "Sampler": "Euler", "CFG scale": "3", "Seed": "7", "Size": "64x48", "Model": "embedded",
        "Denoising strength": "0.5", "Version": "Contact Sheet 0.1.0",
    }  # fmt: skip


def test_a_model_name_with_a_comma_is_quoted_and_loras_stand_in_the_prompt(tmp_path):
    spec = ImageSpec("a mug", 64, 48, 4, 1.0, (7,), loras=(LoraUse(tmp_path / "glaze.safetensors", 0.8),))
    text = files.parameters(spec, 7, seed_picture(7, 64, 48), 'dev, "krea"')
    assert text.splitlines()[0] == "a mug <lora:glaze:0.8>"
    assert settings(text)["Model"] == 'dev, "krea"'


def test_the_studio_s_own_key_holds_request_lineage_and_scores(tmp_path):
    with Image.open(saved(tmp_path)) as image:
        own = json.loads(image.text["contact-sheet"])
    assert own == {
        "version": "0.1.0", "job": 12, "number": 1, "seed": 7, "card": "embedded", "request": JOB["request"], "lineage": [3, 9],
        "scores": [], "details": {"engine": "scripted"}, "licence": None, "loras": [],
    }  # fmt: skip


def test_any_script_survives_in_the_metadata(tmp_path):
    prompt = "ein grüner Becher, 緑のマグカップ 🫖"
    spec = ImageSpec(prompt, 64, 48, 4, 1.0, (7,))
    with Image.open(saved(tmp_path, spec)) as image:
        assert image.text["parameters"].splitlines()[0] == prompt


def test_a_failure_half_way_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    files.write_whole(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_is_told_with_what_to_do(tmp_path, monkeypatch):
    def full(_from: object, _to: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StudioError) as told:
        saved(tmp_path)
    assert told.value.why == "No space left on device"
    assert "Make room" in told.value.todo


def test_the_file_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    files.write_whole(tmp_path / "a.bin", b"new")
    assert order[:2] == ["fsync", "replace"]


def test_a_lost_thumbnail_is_made_again_and_a_lost_picture_is_not_found(tmp_path):
    path = saved(tmp_path)
    name = path.relative_to(tmp_path).as_posix()
    thumb = files.find_thumb(tmp_path, name)
    thumb.unlink()
    assert files.find_thumb(tmp_path, name) == thumb
    assert thumb.is_file()
    path.unlink()
    thumb.unlink()
    with pytest.raises(NotFound, match="gone"):
        files.find_thumb(tmp_path, name)


def test_a_large_picture_gets_a_small_thumbnail_and_preview():
    image = Image.new("RGB", (1024, 512), "red")
    with Image.open(io.BytesIO(files.preview_jpeg(image))) as preview:
        assert (preview.format, preview.size) == ("JPEG", (256, 128))
