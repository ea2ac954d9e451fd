"""Batches: every candidate once, small enough that first pictures come early, and the same again after a round through JSON."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.presets import load_catalogue
from models.scripted import ScriptedEngine
from models.spec import Picture
from pipelines.plan import plan_for
from pipelines.request import Request
from pipelines.tasks import Draft, even_batches

CATALOGUE = load_catalogue()


def tasks(**data) -> list[Draft]:
    request = Request.from_dict({"prompt": "a red mug", "seed": 100, **data}, CATALOGUE, loras=("foil",))
    plan = plan_for(request, CATALOGUE, lambda image: Path(f"{image}.png"), lambda lora: Path(f"{lora.name}.safetensors"))
    return plan.first(request.seeds)


def test_eight_previews_of_the_embedded_family_ride_together():
    (task,) = tasks()
    assert task.numbers == tuple(range(1, 9))
    assert task.spec.seeds == tuple(range(100, 108))
    assert (task.card, task.spec.width, task.spec.height, task.finish) == ("embedded", 256, 256, None)


@pytest.mark.parametrize("family", ["embedded", "flux1", "flux2-klein"])
@pytest.mark.parametrize("tier", ["preview", "standard", "premium"])
def test_every_candidate_is_in_one_small_batch(family, tier):
    batches = tasks(family=family, tier=tier, draft=23, ladder=False)
    assert [number for task in batches for number in task.numbers] == list(range(1, 24))
    assert all(seed == 99 + number for task in batches for number, seed in zip(task.numbers, task.spec.seeds, strict=True))
    most = 8 if (family, tier) == ("embedded", "preview") else 4
    assert all(1 <= len(task.numbers) <= most for task in batches)


def test_premium_is_finished():
    finish = tasks(tier="premium", ladder=False)[0].finish
    assert finish is not None
    assert finish.scale == 2


def test_pictures_and_loras_become_files():
    (task, *_) = tasks(role="img2img", image=12, strength=0.4, loras=[{"name": "foil", "weight": 0.7}])
    assert (task.spec.image, task.spec.role, task.spec.strength) == (Path("12.png"), "img2img", 0.4)
    assert [(lora.path, lora.weight) for lora in task.spec.loras] == [(Path("foil.safetensors"), 0.7)]


@pytest.mark.parametrize(
    "data", [{}, {"tier": "premium"}, {"role": "img2img", "image": 3}, {"loras": [{"name": "foil"}], "size": "banner"}]
)
def test_a_task_survives_json(data):
    for task in tasks(**data):
        assert Draft.from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_what_a_crash_left_keeps_numbers_and_seeds_together():
    left = tasks()[0].only({2, 7})
    assert (left.numbers, left.spec.seeds) == ((2, 7), (101, 106))


def test_an_engine_takes_a_task():
    (task,) = tasks(draft=2)
    pictures = [event for event in ScriptedEngine().generate(task.spec) if isinstance(event, Picture)]
    assert [(picture.seed, picture.image.size) for picture in pictures] == [(100, (256, 256)), (101, (256, 256))]


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 20))
def test_batches_are_few_and_even(count, size):
    batches = even_batches(count, size)
    lengths = [end - start for start, end in batches]
    assert sum(lengths) == count
    assert len(batches) == -(-count // size)
    assert not lengths or (max(lengths) <= size and max(lengths) - min(lengths) <= 1 and min(lengths) >= 1)
    assert all(end == start for (_, end), (start, _) in pairwise(batches))
