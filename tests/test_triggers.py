"""Trigger words: which of them the text encoders tell from all others, before anything is trained."""
from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from models.machine import probe
from models.memory import plan
from models.presets import load_catalogue
from models.reading import Embeddings, Reader
from models.training import triggers
from models.training.recipe import Recipe
from pipelines.training.presets import preset_of

CARD = load_catalogue().card("embedded")


@pytest.fixture(scope="module")
def reader():
    one = Reader(CARD, plan(CARD, probe("cpu")), None)
    yield one
    one.close()


@lru_cache(maxsize=1)
def pairs(word: str, seed: int = 1) -> list[triggers.Pair]:
    return triggers.pairs_of([], Recipe("lora", "style", "embedded", word, seed=seed), True)


def share(reader: Reader, word: str) -> float:
    texts: dict[str, Embeddings] = {one: reader.read([one], lambda: None)[0] for pair in pairs(word) for one in pair}
    found = triggers.heard(texts, pairs(word))
    assert found is not None
    return found


@pytest.mark.parametrize("word", preset_of("embedded").triggers)
def test_every_word_that_is_offered_is_heard_well(reader, word):
    assert share(reader, word) >= 0.87


@pytest.mark.parametrize("word", ["qriso", "vexpo", "sunan"])
def test_a_word_that_is_hardly_heard_is_told(reader, word):
    found = share(reader, word)
    assert found < triggers.POOR
    assert f"“{word}”" in triggers.words(word, found)


def test_what_the_vector_does_not_say_at_all_is_chance():
    torch.manual_seed(5)
    some = [(f"x, {number}", str(number)) for number in range(200)]
    texts = {one: {triggers.POOLED: torch.randn(1, 8)} for pair in some for one in pair}
    found = triggers.heard(texts, some)
    assert found is not None and 0.38 < found < 0.62
    said = {one: {triggers.POOLED: value[triggers.POOLED] + (4.0 if one.startswith("x") else 0.0)} for one, value in texts.items()}
    assert triggers.heard(said, some) == 1.0 and triggers.words("x", 1.0) == ""


def test_nothing_is_said_of_few_captions_or_of_a_model_without_such_a_vector():
    some = [(f"x, {number}", str(number)) for number in range(30)]
    texts: dict[str, Embeddings] = {one: {"prompt_embeds": torch.zeros(1, 2, 2)} for pair in some for one in pair}
    assert triggers.heard(texts, some) is None
    assert triggers.heard({}, []) is None
    assert triggers.pairs_of([], Recipe("lora", "style", "embedded", ""), True) == []
