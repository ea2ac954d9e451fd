"""The world of the embedded family: what is held out, that renders repeat, and that captions say what the picture shows."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.embedded.captions import MAX_TOKENS, caption, tokens, vocabulary
from models.embedded.render import render, render_with_mask, spoil
from models.embedded.world import COLOURS, FRAMINGS, LIGHTS, OBJECTS, SCENES, SIGNS, SIZES, STYLES, Scene, held_out, sample_scene, triples

scenes = st.builds(
    Scene, st.sampled_from(OBJECTS), st.sampled_from(tuple(COLOURS)), st.sampled_from(SCENES), st.sampled_from(LIGHTS),
    st.sampled_from(FRAMINGS), st.sampled_from(STYLES), st.sampled_from(SIGNS), st.sampled_from(tuple(SIZES.values())),
    st.integers(0, 2**31 - 1),
)


def test_the_world_is_as_large_as_promised() -> None:
    assert len(OBJECTS) >= 12 and len(COLOURS) >= 12 and len(SCENES) >= 8


def test_fifteen_percent_of_the_triples_are_held_out_and_every_pair_is_seen() -> None:
    held, seen = triples(True), triples(False)
    assert len(held) == round(0.15 * len(triples())) and not set(held) & set(seen)
    assert {t[:2] for t in seen} == {t[:2] for t in triples()}
    assert {(t[0], t[2]) for t in seen} == {(t[0], t[2]) for t in triples()}
    assert {t[1:] for t in seen} == {t[1:] for t in triples()}


def test_training_never_draws_a_held_out_triple() -> None:
    rng = np.random.default_rng(3)
    for _ in range(3000):
        scene = sample_scene(rng, held_out=False)
        assert not held_out(scene.object, scene.colour, scene.scene)


@settings(max_examples=60, deadline=None)
@given(scenes)
def test_any_scene_renders_the_same_twice_and_shows_its_object(scene: Scene) -> None:
    picture, mask = render_with_mask(scene)
    width, height = scene.size
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8
    assert mask.shape == (height, width) and mask.min() >= 0 and mask.max() <= 1
    assert 0.01 < mask.mean() < 0.8
    assert np.array_equal(picture, render(scene))


@pytest.mark.parametrize("colour", ["red", "green", "blue", "yellow"])
def test_the_object_has_the_colour_it_is_asked_for(colour: str) -> None:
    picture, mask = render_with_mask(Scene("mug", colour, "studio"))
    mean = picture[mask > 0.9].mean(0)
    distance = {name: np.linalg.norm(mean - np.array(value)) for name, value in COLOURS.items()}
    assert min(distance, key=distance.__getitem__) == colour


@pytest.mark.parametrize("kind", ["corrupted", "doubled", "empty", "mixed"])
def test_a_spoiled_picture_differs_where_the_object_is(kind: str) -> None:
    scene = Scene("teapot", "blue", "beach")
    picture, mask = render_with_mask(scene)
    spoiled = spoil(scene, kind, np.random.default_rng(0))
    assert spoiled.shape == picture.shape
    assert np.abs(spoiled.astype(float) - picture)[mask > 0.5].mean() > 8


@settings(max_examples=200, deadline=None)
@given(scenes, st.integers(0, 2**32 - 1))
def test_captions_use_known_words_and_fit(scene: Scene, seed: int) -> None:
    found = tokens(caption(scene, np.random.default_rng(seed)))
    assert len(found) <= MAX_TOKENS
    assert set(found) <= set(vocabulary())
    if scene.sign:
        assert scene.sign.lower() in found
