"""Bands, black frames and colour spaces: found where they were made, and not in clean renders or photographs."""
from __future__ import annotations

import io
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from models.embedded.render import render
from models.embedded.world import sample_scene
from models.scorers.technical import Technical, banding, blackness, colour_space
from models.scripted import seed_picture
from models.spec import ScoreContext

BANDED = 2.0  # per cent


@pytest.fixture(scope="module")
def clean() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(render(sample_scene(rng, held_out=None))) for _ in range(40)]


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    folder = Path(find_spec("gradio").origin).parent / "media_assets" / "images"
    return [Image.open(folder / name).convert("RGB") for name in ("tower.jpg", "cheetah.jpg", "lion.jpg", "groot.jpeg")]


def bands(picture: Image.Image) -> float:
    return banding(np.asarray(picture.convert("L")))


def in_bits(values: np.ndarray, bits: int) -> Image.Image:
    """8 bits of which the lower ones are lost."""
    step = 2 ** (8 - bits)
    return Image.fromarray((np.clip(values, 0, 255) // step * step + step / 2).astype(np.uint8)).convert("RGB")


def sky(size: int = 512) -> np.ndarray:
    """A vignette: smooth in every direction."""
    y, x = np.mgrid[0:size, 0:size] / size
    return 40 + 150 * np.hypot(x - 0.4, y - 0.5)


def test_clean_pictures_have_no_bands(clean, photographs):
    assert max(bands(picture) for picture in [*clean, *photographs, *(seed_picture(seed, 256, 256) for seed in range(10))]) < BANDED
    assert bands(Image.fromarray(sky().astype(np.uint8))) == 0, "8 bits draw a smooth tone in steps of one level"


@pytest.mark.parametrize("bits", [4, 5, 6, 7])
def test_a_smooth_tone_in_few_bits_has_bands(bits):
    assert bands(in_bits(sky(), bits)) > 40


def test_bands_are_found_in_pictures(clean):
    found = [bands(in_bits(np.asarray(picture), 5)) for picture in clean]
    assert np.mean(np.array(found) > BANDED) >= 0.6, "the rest are flat or grainy: no smooth tone that could fall into stairs"


def test_bands_survive_doubling():
    assert bands(in_bits(sky(), 6).resize((1024, 1024), Image.Resampling.LANCZOS)) > 40


def test_grain_hides_bands():
    rng = np.random.default_rng(0)
    assert bands(in_bits(sky() + rng.uniform(-4, 4, (512, 512)), 5)) < BANDED


def test_areas_of_a_drawing_are_no_stairs():
    """Near tones side by side, as flat illustration has them, with nothing that climbs."""
    y, x = np.mgrid[0:512, 0:512]
    for pattern in ((x // 64 + y // 64) % 2, (x // 40) % 2, np.hypot(x - 256, y - 256) < 150):
        assert banding((120 + 8 * pattern).astype(np.uint8)) == 0


def test_black_frames_and_lost_parts_are_found(clean, photographs):
    assert blackness(np.zeros((64, 64, 3), np.uint8)) == 100
    rng = np.random.default_rng(0)
    assert blackness(rng.integers(0, 4, (64, 64, 3), dtype=np.uint8)) == 100, "noise of a failed decode"
    assert max(blackness(np.asarray(picture)) for picture in [*clean, *photographs]) < 60
    half = np.asarray(photographs[1]).copy()
    half[half.shape[0] // 2 :] = 0
    assert blackness(half) >= 50


def saved(picture: Image.Image, **options: object) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return Image.open(file)


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def named(name: str) -> bytes:
    """An RGB profile under another name: the description of sRGB's own, in place, in the same length."""
    data, old = profile("sRGB"), "sRGB".encode("utf-16-be")
    assert old in data
    return data.replace(old, name[:4].ljust(4).encode("utf-16-be"))


def test_what_every_screen_shows_as_meant_passes(photographs):
    assert colour_space(photographs[0]) == (100, "")
    assert colour_space(photographs[0].convert("L")) == (100, "")
    assert colour_space(saved(photographs[0], icc_profile=profile("sRGB"))) == (100, "")


def test_other_colours_are_told_apart(photographs):
    value, words = colour_space(saved(photographs[0], icc_profile=named("Wide")))
    assert value == 50 and "Wide" in words
    value, words = colour_space(saved(photographs[0].convert("CMYK")))
    assert value == 0 and "CMYK" in words
    value, words = colour_space(saved(photographs[0], icc_profile=profile("LAB")))
    assert value == 0 and "Lab" in words
    value, words = colour_space(saved(photographs[0], icc_profile=b"no profile at all"))
    assert value == 0 and "cannot be read" in words


def test_the_scorer_says_which_colours_they_are(photographs):
    (scores,) = Technical().score([saved(photographs[0].convert("CMYK"))], ScoreContext("", 8, 8))
    (found,) = [score for score in scores if score.dimension == "colour_space"]
    assert (found.value, found.note) == (0, "The colours are CMYK, not RGB.")


def test_a_megapixel_is_measured_quickly(photographs):
    """<= 15 ms each on one idle core; four times that processor time here, in the best of a few runs."""
    rgb = np.asarray(photographs[0].resize((1024, 1024)))
    for measure, pixels in ((banding, np.ascontiguousarray(rgb[..., 1])), (blackness, rgb)):
        best = 1.0
        for _ in range(5):
            start = time.process_time()
            measure(pixels)
            best = min(best, time.process_time() - start)
        assert best <= 0.06, measure.__name__


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90), st.integers(1, 8))
def test_every_measure_stays_in_its_range(seed, width, height, bits):
    grey = np.random.default_rng(seed).integers(0, 2**bits, (height, width), dtype=np.uint8)
    assert 0 <= banding(grey) <= 100
    assert 0 <= blackness(np.stack([grey] * 3, axis=-1)) <= 100
