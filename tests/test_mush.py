"""The detector of mush that ships, on pictures that the embedded model draws here and now, from seeds that no training used."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from models.embedded.training import mush_data
from models.embedded.training.mush_data import smeared
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers import scorers_for
from models.scorers.mush import WEIGHTS, Mush, load
from models.spec import ImageSpec, Picture, ScoreContext

PROMPTS = ("a red mug on a wooden table", "a blue vase in the snow", "a green bag on the beach", "a yellow chair in a garden")


def draw(steps: int = 4, guidance: float = 3.0, seeds: tuple[int, ...] = (11, 12)) -> list[Image.Image]:
    engine = LocalEngine(load_catalogue().card("embedded"), probe("cpu"), previews=False)
    specs = [ImageSpec(prompt, 256, 256, steps=steps, guidance=guidance, seeds=seeds) for prompt in PROMPTS]
    return [event.image for spec in specs for event in engine.generate(spec) if isinstance(event, Picture)]


@pytest.fixture(scope="module")
def good() -> list[Image.Image]:
    return draw()


def values(pictures: list[Image.Image]) -> list[float]:
    rows = Mush(embedded=True).score(pictures, ScoreContext("", 256, 256, "embedded"))
    return [row[0].value for row in rows]


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def as_picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255).astype(np.uint8))


def test_what_is_drawn_well_is_no_mush(good):
    found = values(good)
    assert np.median(found) < 40 and np.mean(np.array(found) > 90) == 0, found


def test_pictures_through_each_other_are(good):
    found = values([Image.blend(one, other, 0.5) for one, other in zip(good, good[3:] + good[:3], strict=True)])
    assert np.median(found) > 70 and np.mean(np.array(found) > 50) >= 0.75, found


def test_a_smear_is(good):
    rng = np.random.default_rng(3)
    smears = [as_picture(smeared(as_tensor(picture), rng)) for picture in good for _ in range(2)]
    assert np.median(values(smears)) > np.median(values(good)) + 25


def test_one_file_of_at_most_300_kb_tells_its_version(tmp_path):
    assert WEIGHTS.stat().st_size <= 300_000
    other = tmp_path / "mush.safetensors"
    other.write_bytes(WEIGHTS.read_bytes()[:-4] + b"\0\0\0\1")
    assert Mush(embedded=True).version != Mush(embedded=True, weights=other).version
    assert sum(parameter.numel() for parameter in load(WEIGHTS).parameters()) < 100_000


def test_other_models_pictures_are_not_scored(good):
    (scorer,) = [one for one in scorers_for(load_catalogue().card("flux1-dev"), asked=["mush"]) if one.name == "mush"]
    asked = ScoreContext("", 256, 256, "flux1-dev", asked=frozenset({"mush"}))
    ((score,),) = scorer.score(good[:1], asked)
    assert score.value is None and "FLUX.1" in score.note
    assert scorer.score(good[:2], ScoreContext("", 256, 256, "flux1-dev", asked=frozenset({"sharpness"}))) == [[], []]


def test_weights_that_are_gone_are_told(tmp_path, good):
    ((score,),) = Mush(embedded=True, weights=tmp_path / "none").score(good[:1], ScoreContext("", 256, 256, "embedded"))
    assert score.value is None and "Install the studio again" in score.note


@pytest.mark.slow
def test_the_training_pictures_can_be_made_again(tmp_path):
    """Three scenes, all ways of spoiling: the same files whenever they are made, and going on where it was left off."""
    assert mush_data.make(tmp_path, "test", 3, seconds=0) is False, "out of time at once"
    assert mush_data.make(tmp_path, "test", 3, seconds=120)
    files = sorted((tmp_path / "mush" / "test").rglob("*.png"))
    kinds = {file.parent.name for file in files}
    assert kinds == {"good", *mush_data.KINDS, *mush_data.UNSEEN}
    bytes_of = {file: file.read_bytes() for file in files}
    for file in files[::2]:
        if file.parent.name != "good":
            file.unlink()
    assert mush_data.make(tmp_path, "test", 3, seconds=120)
    assert {file: file.read_bytes() for file in files} == bytes_of
