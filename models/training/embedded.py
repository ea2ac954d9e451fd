"""What the embedded model knows: captions of its own world, for it to remember itself by, and other words for the same thing."""
from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from models.embedded.captions import CONTRASTS, MANNERS, caption
from models.embedded.world import sample_scene


def world_prompts(count: int, seed: int) -> list[str]:
    """Captions of `count` scenes drawn at random."""
    rng = np.random.default_rng([seed, 11])
    return [caption(sample_scene(rng, held_out=None), rng) for _ in range(count)]


def reworded(caption: str, rng: np.random.Generator) -> str:
    """The caption with its object, colour and place in any of the words that the world has for them, and with up to two clauses on how
    it is shown (light, qualities), whether or not they are true: they must not undo what a trigger means."""
    # The place first: "wooden table" is one, and no object.
    for kind in ("scene", "object", "colour"):
        caption = _said(caption, CONTRASTS[kind], rng)
    manners = rng.choice(MANNERS, int(rng.integers(3)), replace=False)
    return ", ".join([caption, *map(str, manners)])


def _said(caption: str, wordings: Mapping[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    """With the longest of the wordings that it holds, if any, in another's place."""
    held = [(len(word), word, name) for name, words in wordings.items() for word in words if _whole(word).search(caption)]
    if not held:
        return caption
    _, word, name = max(held)
    return _whole(word).sub(str(rng.choice(_alike(word, wordings[name]))), caption, count=1)


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(words)}\b", re.IGNORECASE)


_PLACED = ("on ", "in ", "at ", "against ", "outside ", "with ")


def _alike(word: str, words: tuple[str, ...]) -> list[str]:
    """Those that can stand where it stood: clauses for a clause ("on a beach"), names for a name ("beach")."""
    return [other for other in words if other.startswith(_PLACED) == word.startswith(_PLACED)]
