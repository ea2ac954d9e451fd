"""Whether the text encoders tell a trigger word from all other words, which shows before anything is trained.

A small CLIP hears some made-up words hardly at all: its pooled vector of a caption with one looks like that of another caption without.
What a LoRA learns then hangs on the words beside it, and prompts with other words do not call it.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from models.reading import Embeddings
from models.training.recipe import Example, Recipe

POOLED = "pooled_prompt_embeds"
CAPTIONS = 150  # of the embedded model's world, beside the dataset's own
LEAST = 10  # captions with and without it; of fewer nothing is said
POOR = 0.85  # share told apart: of two LoRAs with the same settings .69 called its style in 80 of 100 prompts
Pair = tuple[str, str]


def pairs_of(examples: Iterable[Example], recipe: Recipe, embedded: bool) -> list[Pair]:
    """Captions with the trigger, each with the same without it."""
    if not recipe.trigger:
        return []
    found = {(example.caption, example.plain) for example in examples if example.caption != example.plain}
    if embedded:
        from models.training.embedded import world_prompts

        found |= {(f"{recipe.trigger}, {caption}", caption) for caption in world_prompts(CAPTIONS, recipe.seed)}
    return sorted(found)


def heard(texts: Mapping[str, Embeddings], pairs: list[Pair]) -> float | None:
    """The share of captions, half of them with the trigger, that a linear reading of the pooled vector tells right, each by a reading
    that was fitted to others (five folds by caption). .5 is chance. None for too few captions, or a model without such a vector."""
    if len(pairs) < LEAST or any(POOLED not in texts[one] for pair in pairs for one in pair):
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors = np.concatenate([texts[pair[side]][POOLED].float().numpy() for side in (0, 1) for pair in pairs])
    spoken = np.repeat([1, 0], len(pairs))
    caption = np.tile(np.arange(len(pairs)), 2)
    reading = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(np.mean(cross_val_score(reading, vectors, spoken, groups=caption, cv=GroupKFold(5))))


def words(trigger: str, share: float) -> str:
    """What a person is told of a trigger that is hardly heard; "" for one that is."""
    if share >= POOR:
        return ""
    return (
        f"The text encoders tell captions with “{trigger}” from others in {share * 100:.0f} of 100 cases (50 is chance): prompts in other "
        "words than the captions may not call it. Another made-up word may be heard better."
    )
