"""What the embedded model knows: captions of its own world, for it to remember itself by, and other words for the same thing."""
from __future__ import annotations

import numpy as np

from models.embedded.captions import CONTRASTS, MANNERS, caption, read
from models.embedded.world import sample_scene


def world_prompts(count: int, seed: int) -> list[str]:
    """Captions of `count` scenes drawn at random."""
    rng = np.random.default_rng([seed, 11])
    return [caption(sample_scene(rng, held_out=None), rng) for _ in range(count)]


def reworded(caption: str, rng: np.random.Generator) -> str:
    """The caption with its object, colour and place in any of the words that the world has for them, and with up to two clauses on how
    it is shown (light, qualities), whether or not they are true: they must not undo what a trigger means."""
    named = sorted(read(caption).items(), key=lambda item: -item[1].start)  # from the end: places before it stay where they are
    for kind, (start, end, name) in named:
        caption = caption[:start] + str(rng.choice(_alike(caption[start:end], CONTRASTS[kind][name]))) + caption[end:]
    manners = rng.choice(MANNERS, int(rng.integers(3)), replace=False)
    return ", ".join([caption, *map(str, manners)])


_PLACED = ("on ", "in ", "at ", "against ", "outside ", "with ")


def _alike(word: str, words: tuple[str, ...]) -> list[str]:
    """Those that can stand where it stood: clauses for a clause ("on a beach"), names for a name ("beach")."""
    return [other for other in words if other.startswith(_PLACED) == word.lower().startswith(_PLACED)]
