"""The evaluation over the model that ships: a LoRA that was really trained passes, one that is too strong and one of chance do not; and a
rollback restores pictures bit for bit."""
from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from studios import ended, wait_for

from benchmarks.lora import shipped as recipe_of
from benchmarks.lora_runs import BEST, prepare, train
from benchmarks.lora_verdict import changed
from benchmarks.lora_world import ROBOT, TRIGGERS, examples
from models.cards import Catalogue
from studio.loras import Made
from studio.store.jobs import NotNow
from studio.store.people import LOCAL
from studio.studio import Studio

pytestmark = pytest.mark.slow
STEPS = 150
SMALL = {"ordinary": ["a red mug on a wooden table", "a photo of a blue vase on a beach", "a green bottle in a kitchen"], "weights": [1.0]}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the toy robot, trained for a few minutes."""
    folder = tmp_path_factory.mktemp("robot")
    train(prepare(folder, ROBOT, replace(recipe_of(ROBOT), steps=STEPS, sample_every=0)))
    return folder / BEST


@pytest.fixture(scope="module")
def studio(learnt: Path, shipped: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """With three versions of the robot: as trained, five times as strong, and of chance."""
    import torch

    folder = tmp_path_factory.mktemp("studio")
    studio = Studio(folder / "data", shipped)
    dataset = studio.datasets.create({"title": "Robot", "kind": "product", "trigger": TRIGGERS[ROBOT], "card": "embedded"}, LOCAL)["id"]
    captions = {}
    for place, one in enumerate(examples(ROBOT)):
        file = io.BytesIO()
        Image.fromarray(one.picture).save(file, "PNG")
        captions[str(studio.datasets.bring(dataset, file.getvalue(), f"{place:02}.png", LOCAL)["id"])] = one.caption
    studio.datasets.caption(dataset, {"captions": captions}, LOCAL)
    written = studio.datasets.write(dataset, folder / "run", LOCAL)
    rng = torch.Generator().manual_seed(3)
    strong = changed(folder / "strong.safetensors", learnt, lambda name, value: value * 5 if "lora_B" in name else value)
    chance = changed(folder / "chance.safetensors", learnt, lambda _, value: torch.randn(value.shape, generator=rng) * value.float().std())
    studio.loras.create({"name": "robot", "kind": "product"}, LOCAL)
    for file in (learnt, strong, chance):
        studio.loras.register("robot", Made(file, "embedded", triggers=[TRIGGERS[ROBOT]], dataset=written), LOCAL)
    studio.start()
    yield studio
    studio.stop()


def judged(studio: Studio, version: int, against: int | None) -> dict:
    proposal = studio.evaluations.propose({"lora": "robot", "version": version}, LOCAL)
    concept = proposal["setup"]["concept"][::2]
    asked = {"lora": "robot", "version": version, "against": against, "concept": concept, **SMALL}
    evaluation = studio.evaluations.create(asked, LOCAL)["id"]
    return wait_for(
        lambda: (view := studio.evaluations.view(evaluation, LOCAL))["state"] != "running" and view, f"evaluation {evaluation}", 900
    )


def drawn(studio: Studio) -> list[bytes]:
    """What requests that name no version get, pixel by pixel."""
    asked = {"prompt": examples(ROBOT)[0].caption, "tier": "standard", "seeds": [5, 6], "keep": 1, "ladder": False, "again": True}
    job = ended(studio, studio.submit({**asked, "loras": [{"name": "robot"}]}, LOCAL)["id"])
    return [Image.open(studio.picture_file(image["id"])).tobytes() for image in job["images"]]


def test_the_good_one_passes_the_bad_ones_are_caught_and_the_way_back_is_exact(studio: Studio):
    good = judged(studio, 1, None)
    assert good["state"] == "done" and good["verdict"] == "better", json.dumps(good["finding"])
    assert good["finding"]["rows"][1]["hit"]["value"] >= 0.8 and "Good:" in good["words"]
    studio.evaluations.look({"lora": "robot", "version": 1}, LOCAL)
    studio.loras.move("robot", "production", 1, LOCAL)
    before = drawn(studio)

    strong = judged(studio, 2, 1)
    assert strong["verdict"] == "unfit" and "overtrained" in strong["words"], strong["words"]
    assert "leak" in {one["cause"] for one in strong["finding"]["faults"]}
    chance = judged(studio, 3, 1)
    assert chance["verdict"] == "unfit" and "not learnt" in chance["words"], chance["words"]
    with pytest.raises(NotNow):
        studio.loras.move("robot", "production", 2, LOCAL)

    studio.loras.move("robot", "production", 2, LOCAL, "to see what it does", forced=True)
    assert drawn(studio) != before
    assert studio.loras.rollback("robot", "production", LOCAL) == 1
    assert drawn(studio) == before, "bit for bit"
