"""The checkpoint that ships: plain diffusers loads it, prompts steer it, seeds vary it, and it stays small."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors import safe_open
from tokenizers import Tokenizer

import models.embedded
from models.embedded.captions import vocabulary
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.spec import ImageSpec, Picture

HERE = Path(models.embedded.__file__).parent
CHECKPOINT = HERE / "checkpoint"
PROMPT = "a red mug on a wooden table"


@pytest.fixture(scope="module")
def pipe() -> Any:
    loaded = FluxPipeline.from_pretrained(CHECKPOINT)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(load_catalogue().card("embedded"), probe("cpu"))


def draw(engine: LocalEngine, prompt: str, seeds: tuple[int, ...], steps: int = 6) -> list[np.ndarray]:
    spec = ImageSpec(prompt, 256, 256, steps=steps, guidance=3.0, seeds=seeds)
    return [np.asarray(event.image, float) for event in engine.generate(spec) if isinstance(event, Picture)]


def test_a_plain_from_pretrained_draws(pipe: Any) -> None:
    assert type(pipe.scheduler) is FlowMatchEulerDiscreteScheduler
    image = pipe(PROMPT, width=256, height=256, num_inference_steps=2, max_sequence_length=48).images[0]
    assert image.size == (256, 256)


def test_the_engine_draws_what_the_bare_pipeline_draws(pipe: Any, engine: LocalEngine) -> None:
    ours = draw(engine, PROMPT, (5,))[0]
    bare = pipe(
        PROMPT, negative_prompt="", true_cfg_scale=3.0, guidance_scale=0.0, width=256, height=256, num_inference_steps=6,
        max_sequence_length=48, generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert np.abs(ours - np.asarray(bare, float)).mean() <= 1


def test_a_seed_gives_the_same_picture_in_any_batch(engine: LocalEngine) -> None:
    alone, together = draw(engine, PROMPT, (3,))[0], draw(engine, PROMPT, (1, 2, 3))[2]
    assert np.abs(alone - together).mean() <= 1
    assert np.array_equal(draw(engine, PROMPT, (3,))[0], alone)


def test_seeds_vary_and_prompts_steer(engine: LocalEngine) -> None:
    one, two = draw(engine, PROMPT, (1, 2))
    assert np.abs(one - two).mean() > 1
    middle = np.s_[100:200, 90:160]
    red = draw(engine, "a red box on a wooden table", (1,))[0][middle].mean((0, 1))
    blue = draw(engine, "a blue box on a wooden table", (1,))[0][middle].mean((0, 1))
    assert red[0] > red[2] + 40 and blue[2] > blue[0] + 40
    night, snow = draw(engine, "a red mug in a city at night", (1,))[0], draw(engine, "a red mug in the snow", (1,))[0]
    assert snow[:80].mean() > night[:80].mean() + 60


def test_every_word_of_the_world_is_one_token_of_t5() -> None:
    tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer_2" / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    for word in vocabulary():
        ids = tokenizer.encode(word.upper()).ids
        assert len(ids) == 2 and unknown not in ids, word


def test_all_that_ships_is_sixteen_bit_and_small() -> None:
    files = [file for part in ("checkpoint", "clips") for file in (HERE / part).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 32e6
    for part in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        file = next((CHECKPOINT / part).glob("*.safetensors"))
        with safe_open(file, "pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118
