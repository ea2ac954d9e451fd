"""Near-duplicates: the same picture resized or recompressed is one, another seed or another colour is none."""
from __future__ import annotations

import io
import itertools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models.embedded.render import render
from models.embedded.world import Scene
from models.errors import BadInput
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers.duplicates import SAME, Fingerprint, alike, fingerprint, first_like, same
from models.spec import ImageSpec, Picture


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    folder = Path(find_spec("gradio").origin).parent / "media_assets" / "images"
    return [Image.open(folder / name).convert("RGB") for name in ("tower.jpg", "cheetah.jpg", "lion.jpg", "groot.jpeg")]


def saved(picture: Image.Image, format: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, format, quality=quality)
    return Image.open(file).convert("RGB")


def copies(picture: Image.Image) -> list[Image.Image]:
    width, height = picture.size
    half = picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return [half, picture.resize((2 * width, 2 * height)), saved(picture, "JPEG", 30), saved(picture, "WEBP", 50), saved(half, "JPEG", 60)]


def drawn(colour: str = "red", thing: str = "mug", seed: int = 0) -> Image.Image:
    return Image.fromarray(render(Scene(thing, colour, "kitchen", jitter_seed=seed)))


def test_copies_are_the_same_picture(photographs):
    for picture in [*photographs, drawn(), drawn("blue", "vase")]:
        mark = fingerprint(picture)
        values = [alike(mark, fingerprint(copy)) for copy in copies(picture)]
        assert min(values) >= SAME, values
        assert alike(mark, fingerprint(picture)) == 100


def test_other_pictures_are_not(photographs):
    marks = [fingerprint(picture) for picture in [*photographs, drawn(), drawn(thing="shoe"), drawn("blue", "vase")]]
    assert max(alike(one, other) for one, other in itertools.combinations(marks, 2)) < 20


def test_another_colour_is_another_picture():
    """The pair differs in chroma only: the same grey levels, so no hash tells them apart."""
    ycc = np.asarray(drawn("red").convert("YCbCr"))
    recoloured = Image.fromarray(np.stack([ycc[..., 0], ycc[..., 2], ycc[..., 1]], axis=-1), "YCbCr").convert("RGB")
    one, other = fingerprint(drawn("red")), fingerprint(recoloured)
    assert np.count_nonzero(one.hash != other.hash) <= 12
    assert not same(one, other)


def test_what_moved_or_was_mirrored_or_cropped_is_another_picture(photographs):
    for picture in photographs:
        mark, (width, height) = fingerprint(picture), picture.size
        assert not same(mark, fingerprint(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
        assert not same(mark, fingerprint(picture.crop((0, 0, int(0.9 * width), height))))
        assert not same(mark, fingerprint(picture.resize((width, 2 * height))))


def test_a_thing_more_is_another_picture(photographs):
    picture = photographs[0].copy()
    side = min(picture.size)
    ImageDraw.Draw(picture).ellipse((side // 4, side // 4, side // 2, side // 2), fill=(220, 30, 40))
    assert not same(fingerprint(photographs[0]), fingerprint(picture))


def test_flat_frames_of_one_tone_are_the_same_and_of_another_are_not():
    rng = np.random.default_rng(0)
    noisy = [Image.fromarray((120 + rng.normal(0, 1.5, (256, 256, 3))).astype(np.uint8)) for _ in range(2)]
    assert same(*map(fingerprint, noisy))
    assert not same(fingerprint(noisy[0]), fingerprint(Image.new("RGB", (256, 256), (40, 120, 200))))
    assert not same(fingerprint(noisy[0]), fingerprint(drawn()))


def test_likeness_is_symmetric_and_falls_with_blur():
    picture = drawn()
    marks = [fingerprint(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 2, 6, 16)]
    values = [alike(marks[0], mark) for mark in marks]
    assert values == sorted(values, reverse=True)
    assert values == [alike(mark, marks[0]) for mark in marks]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 17), (64, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_tiny_and_odd_pictures_have_one(size, mode):
    mark = fingerprint(Image.new(mode, size))
    assert same(mark, fingerprint(Image.new(mode, size)))


def test_a_fingerprint_is_kept_as_text(photographs):
    mark = fingerprint(photographs[1])
    read = Fingerprint.from_text(mark.as_text())
    assert alike(mark, read) == 100
    assert len(mark.as_text()) < 2000


@pytest.mark.parametrize("text", ["", "nonsense", "1.0:AAAA", "1.0:?", "x:AAAA"])
def test_what_is_no_fingerprint_is_refused(text):
    with pytest.raises(BadInput, match="fingerprint"):
        Fingerprint.from_text(text)


def test_the_first_that_is_the_same_is_named(photographs):
    marks = [fingerprint(picture) for picture in photographs]
    assert first_like(fingerprint(copies(photographs[2])[0]), marks) == 2
    assert first_like(fingerprint(drawn()), marks) is None


@pytest.mark.slow
def test_seeds_of_the_embedded_family_are_different_pictures():
    engine = LocalEngine(load_catalogue().card("embedded"), probe("cpu"), previews=False)
    found = []
    for prompt in ("a red mug on a wooden table", "a blue vase in the snow", "a green bag on the beach", "a yellow lamp, night city"):
        spec = ImageSpec(prompt, 256, 256, steps=4, guidance=3.0, seeds=tuple(range(50, 58)))
        marks = [fingerprint(event.image) for event in engine.generate(spec) if isinstance(event, Picture)]
        found += [same(one, other) for one, other in itertools.combinations(marks, 2)]
    assert len(found) == 112
    assert sum(found) <= 3
