"""Contrast: a render fits its own prompt better than its neighbours, and a prompt of another thing worse."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from models.embedded.captions import caption
from models.embedded.render import render
from models.embedded.world import Scene, sample_scene
from models.presets import load_catalogue
from models.scorers import scorers_for
from models.scorers.contrast import Contrast, named, neighbours
from models.spec import ScoreContext

SCENE = Scene("chair", "blue", "night")
PROMPT = "a photo of a blue chair in a city at night"


def of(scorer_for: str) -> Contrast:
    [found] = [one for one in scorers_for(load_catalogue().card(scorer_for)) if isinstance(one, Contrast)]
    return found


def test_neighbours_change_one_thing_and_keep_the_rest():
    found = neighbours("A glossy Red coffee mug, on a wooden table.")
    assert {kind: len(texts) for kind, texts in found.items()} == {"object": 11, "colour": 11, "scene": 7}
    assert "a glossy red bowl, on a wooden table." in found["object"]
    assert "a glossy blue coffee mug, on a wooden table." in found["colour"]
    assert "a glossy red coffee mug, on a beach." in found["scene"]
    assert neighbours("a portrait of my aunt") == {}


def test_a_prompt_names_what_its_scene_is_of():
    rng = np.random.default_rng(11)
    for _ in range(2000):
        scene = sample_scene(rng, held_out=None)
        asked = caption(scene, rng)
        assert named(asked) == {"object": scene.object, "colour": scene.colour, "scene": scene.scene}, asked
    told = {"a black mug on a white background": "black", "a vase with a white sign, teal": "teal", "red, a box": "red"}
    for prompt, colour in told.items():
        assert named(prompt)["colour"] == colour
    assert named("a table lamp at night") == {"object": "lamp", "scene": "night"}


@pytest.mark.parametrize("change", [{}, {"object": "lamp"}, {"colour": "red"}, {"scene": "beach"}])
def test_it_falls_below_zero_for_exactly_the_wrong_thing(change: dict[str, str]):
    scorer, context = of("embedded"), ScoreContext(PROMPT, 256, 256, "embedded")
    picture = Image.fromarray(render(replace(SCENE, **change)))
    [[score]] = scorer.score([picture], context)
    assert score.value is not None and (score.value < 0) == bool(change)
    assert (score.dimension, score.version) == ("contrast", scorer.version) and scorer.version


def test_what_it_does_not_know_is_not_scored():
    picture = Image.new("RGB", (64, 64))
    [[score]] = of("flux1-dev").score([picture], ScoreContext(PROMPT, 64, 64, "flux1-dev"))
    assert score.value is None and "embedded" in score.note
    assert of("flux1-dev").score([picture], ScoreContext(PROMPT, 64, 64, "flux1-dev", asked=frozenset())) == [[]]
    [[score]] = of("embedded").score([picture], ScoreContext("a portrait of my aunt", 64, 64, "embedded"))
    assert score.value is None and "names no object" in score.note
