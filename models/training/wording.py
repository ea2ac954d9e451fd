"""Captions in other forms: what a trigger means must not hang on the words that happened to stand beside it.

With a few dozen captions a model learns them by heart. With random parts left out the trigger is what they have in common (the "tag
dropout" of other trainers, https://github.com/kohya-ss/sd-scripts, for sentences); with other words for the same thing it holds beside
words that no picture of the set came with. The second needs a vocabulary, which the embedded model's world has.
"""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from models.training.recipe import Example, Recipe

VARIANTS = 12  # of a caption and kind: each is read by the text encoders once
LEAST = 0.2  # the smallest share of words that a shortened form leaves out, on average; the largest is all of them


def form_of(caption: str, recipe: Recipe, embedded: bool, rng: np.random.Generator) -> str:
    """The caption, or one of its other forms, as often as the recipe says. Rows of a recipe without them draw nothing from `rng`."""
    if recipe.word_dropout and rng.random() < recipe.word_dropout:
        forms = shortened(caption, recipe.trigger, recipe.seed)
    elif recipe.rewording and embedded and rng.random() < recipe.rewording:
        forms = reworded(caption, recipe.trigger, recipe.seed)
    else:
        return caption
    return forms[int(rng.integers(len(forms)))] if forms else caption


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


@lru_cache(maxsize=4096)
def reworded(caption: str, trigger: str, seed: int) -> tuple[str, ...]:
    """The caption in other words of the embedded model's world, the same in every run; only forms that still hold the trigger."""
    from models.training import embedded

    rng = np.random.default_rng([seed, 17, *caption.encode()])
    forms = dict.fromkeys(embedded.reworded(caption, rng) for _ in range(VARIANTS))
    return tuple(form for form in forms if trigger.lower() in form.lower())


def texts_of(examples: Iterable[Example], recipe: Recipe, embedded: bool) -> set[str]:
    """Everything that a training reads of its dataset: captions with and without the trigger, and their other forms where it uses them."""
    found: set[str] = set()
    for example in examples:
        found |= {example.caption, example.plain}
        if recipe.word_dropout:
            found.update(shortened(example.caption, recipe.trigger, recipe.seed))
        if recipe.rewording and embedded:
            found.update(reworded(example.caption, recipe.trigger, recipe.seed))
    return found
