"""Captions with words left out: what a trigger means must not hang on the words that happened to stand beside it.

With a few dozen captions a model learns them by heart; with random parts of them the trigger is what they have in common (the "tag dropout"
of other trainers, https://github.com/kohya-ss/sd-scripts, for sentences).
"""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from models.training.recipe import Example, Recipe

VARIANTS = 12  # of a caption: each is read by the text encoders once
LEAST = 0.2  # the smallest share of words that a variant leaves out, on average; the largest is all of them


@lru_cache(maxsize=4096)  # asked for every row of every step
def shortened(caption: str, trigger: str, seed: int) -> tuple[str, ...]:
    """The different shorter forms of a caption, the same in every run; every word of it that holds the trigger stays. () where nothing
    can be left out. Without a trigger at least one word stays."""
    words = caption.split()
    kept = [bool(trigger) and trigger.lower() in word.lower() for word in words]
    rng = np.random.default_rng([seed, *caption.encode()])
    found: dict[str, None] = {}
    for _ in range(VARIANTS):
        share = rng.uniform(LEAST, 1.0)
        chosen = [word for word, stays in zip(words, kept, strict=True) if stays or rng.random() >= share]
        if chosen and len(chosen) < len(words):
            found[" ".join(chosen)] = None
    return tuple(found)


def texts_of(examples: Iterable[Example], recipe: Recipe) -> set[str]:
    """Everything that a training reads of its dataset: captions with and without the trigger, and the shorter forms where it uses them."""
    found: set[str] = set()
    for example in examples:
        found |= {example.caption, example.plain}
        if recipe.word_dropout:
            found.update(shortened(example.caption, recipe.trigger, recipe.seed))
    return found
