"""The LoRA benchmark's own world: a robot and a print that the base never saw, told apart by an oracle of their own."""
from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lora_draw import Drift
from benchmarks.lora_oracle import WEIGHTS, LoraOracle, draw
from benchmarks.lora_world import PRINT, ROBOT, TRIGGERS, asked, examples, printed, robots, save_examples, show
from models.embedded.captions import vocabulary
from models.embedded.render import render
from models.embedded.shapes import PRODUCTS
from models.embedded.world import COLOURS, OBJECTS, SCENES, Scene

FRESH_SEED = 27_182_818  # used by no training
SCENE = Scene("mug", "red", "beach")


@pytest.fixture(scope="module")
def oracle() -> LoraOracle:
    return LoraOracle.load()


def test_the_base_never_saw_the_robot_nor_its_word() -> None:
    assert ROBOT not in OBJECTS and ROBOT not in PRODUCTS
    assert not set(TRIGGERS.values()) & set(vocabulary())
    with robots():
        assert ROBOT in PRODUCTS
    with pytest.raises(KeyError):
        render(Scene(ROBOT, "red", "beach"))


def test_a_robot_stands_where_the_product_stood_and_a_print_has_three_inks() -> None:
    plain, robot, inked = (show(SCENE, concept) for concept in (None, ROBOT, PRINT))
    assert (plain[:40] == robot[:40]).all()  # the sky
    assert (plain != robot).any()
    tones = np.unique((inked.astype(int) // 16).reshape(-1, 3), axis=0, return_counts=True)[1]
    assert np.sort(tones)[-3:].sum() > 0.7 * inked.shape[0] * inked.shape[1]


def test_the_line_of_a_print_is_dark() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[20:40, 20:40] = 1
    inked = printed(np.full((64, 64, 3), 255, np.uint8), mask)
    assert inked[20, 30].sum() < inked[30, 30].sum() == inked[5, 5].sum()


@pytest.mark.parametrize("concept", [ROBOT, PRINT])
def test_twenty_pictures_show_every_colour_and_place_and_prompts_ask_for_others(concept: str) -> None:
    made, prompts = examples(concept), asked(concept, 50)
    assert {example.scene.colour for example in made} == set(COLOURS)
    assert {example.scene.scene for example in made} == set(SCENES)
    assert all(TRIGGERS[concept] in example.caption for example in made)
    assert all(TRIGGERS[concept] in one.prompt and TRIGGERS[concept] not in one.plain for one in prompts)
    shown = {(e.scene.colour, e.scene.scene) if concept == ROBOT else (e.scene.object, e.scene.scene) for e in made}
    wanted = {(a.scene.colour, a.scene.scene) if concept == ROBOT else (a.scene.object, a.scene.scene) for a in prompts}
    assert not shown & wanted
    assert all((a.picture == b.picture).all() and a.caption == b.caption for a, b in zip(made, examples(concept), strict=True))


def test_examples_are_written_with_their_captions(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = save_examples(ROBOT, tmp_path / "set", count=3)
    assert sorted(file.name for file in (tmp_path / "set").iterdir()) == ["00.png", "00.txt", "01.png", "01.txt", "02.png", "02.txt"]
    assert (tmp_path / "set" / "01.txt").read_text() == made[1].caption


def test_the_oracle_knows_both_and_takes_neither_for_the_other(oracle: LoraOracle) -> None:
    rngs = [np.random.default_rng([FRESH_SEED, i]) for i in range(90)]
    concepts = [(ROBOT, PRINT, None)[i % 3] for i in range(90)]
    seen = oracle.read([draw(rng, concept, "", whole=True)[0] for rng, concept in zip(rngs, concepts, strict=True)])
    for concept in (ROBOT, PRINT):
        own = [s.hit(concept) for s, c in zip(seen, concepts, strict=True) if c == concept]
        others = [s.hit(concept) for s, c in zip(seen, concepts, strict=True) if c != concept]
        assert sum(own) >= 0.9 * len(own)
        assert sum(others) <= 0.02 * len(others)


def test_what_went_wrong_is_no_hit(oracle: LoraOracle) -> None:
    kinds = ("melt", "chimera", "tiles", "crossfade", "dissolve")
    spoiled = [draw(np.random.default_rng([FRESH_SEED, 7, i]), ROBOT, kinds[i % 5], whole=True)[0] for i in range(50)]
    assert sum(s.hit(ROBOT) for s in oracle.read(spoiled)) <= 12
    assert WEIGHTS.stat().st_size < 1_000_000


def test_drift_is_what_is_lost_less_what_is_won() -> None:
    drift = Drift(400, 340, 10, 6, 0)
    low, high = drift.interval
    assert drift.share == pytest.approx(0.01)
    assert low < 0.01 < high < 0.031
    assert Drift(4000, 3400, 100, 60, 0).interval[1] < high
