"""What the embedded model knows: captions of its own world, for it to remember itself by."""
from __future__ import annotations

import numpy as np

from models.embedded.captions import caption
from models.embedded.world import sample_scene


def world_prompts(count: int, seed: int) -> list[str]:
    """Captions of `count` scenes drawn at random."""
    rng = np.random.default_rng([seed, 11])
    return [caption(sample_scene(rng, held_out=None), rng) for _ in range(count)]
