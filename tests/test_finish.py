"""Enlarging pictures: tiles, blending, and what the details say."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.cards import Finish
from models.finish import OVERLAP, blend, finish, starts
from models.memory import Machine
from models.spec import Event, ImageSpec, Picture, Step

SPEC = ImageSpec("a red mug", 64, 96, 3, 1.0, (5,))
TILES = Finish(2.0, "img2img-tiles", 0.3, 10)


@given(st.integers(8, 3000), st.integers(8, 1100))
def test_tiles_cover_a_side_and_overlap(length: int, tile: int):
    found = starts(length, tile)
    if tile >= length:
        assert found == [0]
        return
    assert found[0] == 0
    assert found[-1] == length - tile
    assert all(0 < b - a <= tile * (1 - OVERLAP) + 1 for a, b in itertools.pairwise(found))


@given(st.integers(16, 60), st.integers(16, 60))
def test_blending_untouched_tiles_gives_the_picture_back(width: int, height: int):
    rng = np.random.default_rng(width * 100 + height)
    picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    tiles = [((x, y), picture.crop((x, y, x + 16, y + 16))) for y in starts(height, 16) for x in starts(width, 16)]
    assert np.array_equal(np.asarray(blend(tiles, picture.size)), np.asarray(picture))


def test_a_seam_is_feathered():
    dark, light = Image.new("RGB", (32, 8), (0, 0, 0)), Image.new("RGB", (32, 8), (200, 200, 200))
    row = np.asarray(blend([((0, 0), dark), ((16, 0), light)], (48, 8)))[4, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 200
    assert np.all(np.diff(row) >= 0)
    assert np.diff(row).max() < 40


class Redrawing:
    """An engine whose img2img turns every tile red, three steps a batch of all tiles."""

    def __init__(self) -> None:
        self.specs: list[ImageSpec] = []
        self.closed = False

    def redraw(self, images: list[Image.Image], spec: ImageSpec) -> Iterator[Event]:
        self.specs.append(spec)
        assert all(image.size == (spec.width, spec.height) for image in images)
        try:
            for index in range(3):
                yield Step(spec.seeds, index + 1, 3)
            for seed, image in zip(spec.seeds, images, strict=True):
                yield Picture(seed, Image.new("RGB", image.size, (200, 0, 0)), 0.5)
        finally:
            self.closed = True


def drawn(seed: int = 5) -> Picture:
    return Picture(seed, Image.new("RGB", (64, 96), (0, 0, 200)), 1.0, {"model": "tiny"})


def test_tiles_go_through_img2img():
    engine, steps = Redrawing(), []
    done = finish(engine, drawn(), TILES, SPEC, lambda *step: steps.append(step))
    assert done.image.size == (128, 192)
    assert done.image.getpixel((60, 90)) == (200, 0, 0)
    assert done.details["model"] == "tiny"
    assert done.details["finish"] == {
        "method": "img2img-tiles", "from": [64, 96], "to": [128, 192], "strength": 0.3, "steps": 10, "tiles": 9
    }  # fmt: skip
    assert done.seconds == 1.0 + 9 * 0.5
    assert done.seed == 5
    spec = engine.specs[0]
    assert (spec.steps, spec.strength, spec.prompt, len(set(spec.seeds))) == (10, 0.3, "a red mug", 9)
    assert steps[-1] == (27, 27)
    assert steps == sorted(steps)


def test_the_resampler_says_so():
    done = finish(Redrawing(), drawn(), Finish(1.5, "resample", 0.3, 10), SPEC)
    assert done.image.size == (96, 144)
    assert done.image.getpixel((5, 5)) == (0, 0, 200)
    assert done.details["finish"] == {"method": "resample", "from": [64, 96], "to": [96, 144]}


def test_an_engine_without_img2img_gets_the_resampler():
    done = finish(object(), drawn(), TILES, SPEC)
    assert done.details["finish"]["method"] == "resample"
    assert "img2img" in done.details["finish"]["why"]


def test_a_stop_while_tiles_are_drawn_stops_the_device():
    engine = Redrawing()

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(engine, drawn(), TILES, SPEC, stop)
    assert engine.closed


def test_a_real_pipeline_finishes_in_tiles(tmp_path: Path):
    pytest.importorskip("torch")
    from models.local import LocalEngine

    engine = LocalEngine(tiny.flux1(tmp_path), Machine("cpu", "CPU", 16, 16, 2))
    picture = next(event for event in engine.generate(SPEC) if isinstance(event, Picture))
    done = finish(engine, picture, TILES, SPEC)
    again = finish(engine, picture, TILES, SPEC)
    other = finish(engine, replace(picture, seed=6), TILES, SPEC)
    assert done.image.size == (128, 192)
    assert done.details["finish"]["tiles"] == 9
    assert np.array_equal(np.asarray(done.image), np.asarray(again.image))
    assert not np.array_equal(np.asarray(done.image), np.asarray(other.image))
