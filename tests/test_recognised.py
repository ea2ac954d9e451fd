"""The classifier of the embedded world that ships: it knows what is there, and a broken thing from a whole one."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.embedded.render import render, render_with_mask, spoil
from models.embedded.training import recognised_data
from models.embedded.training.recognised_data import KINDS
from models.embedded.world import COLOURS, Scene, sample_scene
from models.presets import load_catalogue
from models.scorers import scorers_for
from models.scorers.contrast import named
from models.scorers.recognised import Recognised
from models.spec import ScoreContext


def scenes(count: int, seed: int = 5) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, held_out=True, size=(256, 256), default_share=0.7, sign_share=0.0) for _ in range(count)]


def measured(picture: np.ndarray, prompt: str) -> tuple[float | None, float | None]:
    image = Image.fromarray(picture)
    ((recognised, whole),) = SCORER.score([image], ScoreContext(prompt, image.width, image.height, "embedded"))
    return recognised.value, whole.value


SCORER = Recognised(embedded=True)


def prompt_of(scene: Scene) -> str:
    return f"a {scene.colour} {scene.object}, {PLACES[scene.scene]}"


PLACES = {
    "studio": "studio background", "table": "on a wooden table", "kitchen": "in a kitchen", "street": "on a street",
    "beach": "on the beach", "garden": "in a garden", "night": "in a city at night", "snow": "in the snow",
}  # fmt: skip


def test_a_prompt_names_what_the_world_has():
    assert named("Product photo of a turquoise trainer, sidewalk") == {"colour": "teal", "object": "shoe", "scene": "street"}
    assert named("a portrait") == {}
    for scene in scenes(40):
        assert named(prompt_of(scene)) == {"object": scene.object, "colour": scene.colour, "scene": scene.scene}


def test_it_sees_what_is_there_and_not_what_is_not():
    sound = [measured(render(scene), prompt_of(scene))[0] for scene in scenes(30)]
    assert np.mean(np.array(sound) >= 80) >= 0.9, sound
    other_colour = [measured(render(scene), prompt_of(scene).replace(scene.colour, far(scene.colour)))[0] for scene in scenes(30)]
    assert np.mean(np.array(other_colour) < 50) >= 0.95, other_colour


def far(colour: str) -> str:
    here = np.array(COLOURS[colour], float)
    return max(COLOURS, key=lambda name: float(np.linalg.norm(np.array(COLOURS[name], float) - here)))


def test_a_broken_thing_is_not_whole():
    rng = np.random.default_rng(8)
    whole = [measured(render(scene), prompt_of(scene))[1] for scene in scenes(24)]
    doubled = [measured(spoil(scene, "doubled", rng), prompt_of(scene))[1] for scene in scenes(24)]
    # Cut through with a strip of its background: not one of the ways it was taught by.
    cut = []
    for scene in scenes(24):
        picture, mask = render_with_mask(scene)
        picture = picture.copy()
        _, columns = np.nonzero(mask > 0.5)
        middle, half = int(columns.mean()), max(3, int(0.1 * (columns.max() - columns.min())))
        picture[:, middle - half : middle + half] = spoil(scene, "empty", rng)[:, middle - half : middle + half]
        cut.append(measured(picture, prompt_of(scene))[1])
    assert np.median(whole) >= 85
    assert np.median(doubled) <= 30 and np.median(cut) <= 30, (doubled, cut)


def test_any_shape_and_size_is_read_alike():
    scene = scenes(1)[0]
    small, large = (measured(np.array(Image.fromarray(render(scene)).resize(size)), prompt_of(scene)) for size in ((256, 256), (700, 700)))
    assert small == pytest.approx(large, abs=8)
    wide = Scene(scene.object, scene.colour, scene.scene, size=(448, 160))
    assert measured(render(wide), prompt_of(wide))[1] is not None


def test_what_it_cannot_know_is_not_scored(tmp_path):
    scene = scenes(1)[0]
    recognised, whole = measured(render(scene), "a portrait")
    assert recognised is None and whole is not None
    (scorer,) = [one for one in scorers_for(load_catalogue().card("flux1-dev"), asked=["recognised"]) if one.name == "recognised"]
    picture = [Image.fromarray(render(scene))]
    (row,) = scorer.score(picture, ScoreContext("a red mug", 256, 256, "flux1-dev", asked=frozenset({"recognised"})))
    assert [score.value for score in row] == [None, None] and "FLUX.1" in row[0].note
    assert scorer.score(picture, ScoreContext("a red mug", 256, 256, "flux1-dev", asked=frozenset({"sharpness"}))) == [[]]
    ((gone, _),) = Recognised(embedded=True, weights=tmp_path / "none").score(picture, ScoreContext("a red mug", 256, 256, "embedded"))
    assert gone.value is None and "Install the studio again" in gone.note


def test_every_way_of_spoiling_draws_and_the_same_seed_draws_the_same(tmp_path, monkeypatch):
    for place, kind in enumerate(KINDS):
        for scene in scenes(2, seed=place):
            small = Scene(scene.object, scene.colour, scene.scene, size=(128, 128))
            picture = KINDS[kind](small, np.random.default_rng(place))
            assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    monkeypatch.setattr(recognised_data, "CHUNK", 6)
    (first,) = recognised_data.make(tmp_path / "one", "test", 6)
    (again,) = recognised_data.make(tmp_path / "two", "test", 6)
    with np.load(first) as one, np.load(again) as two:
        assert one.files == two.files and all(np.array_equal(one[name], two[name]) for name in one.files)
