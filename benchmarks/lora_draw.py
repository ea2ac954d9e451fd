"""Pictures with and without a LoRA, and what they say: how often the concept is there, and what ordinary prompts lost."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from benchmarks.lora_oracle import LoraOracle, Seen
from benchmarks.lora_world import Asked
from benchmarks.oracle import Oracle
from models.embedded.captions import caption
from models.embedded.world import Scene, triples
from models.local import LocalEngine
from models.presets import load_catalogue
from models.spec import ImageSpec, LoraUse, Picture

_STANDARD = load_catalogue().tier("embedded", "standard")[0]
STEPS, GUIDANCE = _STANDARD.steps, _STANDARD.guidance


@dataclass(frozen=True)
class Concept:
    """How often the concept was clearly there, and with it all else that was asked; of `n` pictures."""

    hits: int
    right: int
    n: int


@dataclass(frozen=True)
class Drift:
    """Ordinary prompts in pairs of one seed, without and with the LoRA: `lost` were right only without it, `won` only with it.

    unasked: with the LoRA, how many show its concept though nothing asked for it.
    """

    pairs: int
    right: int
    lost: int
    won: int
    unasked: int

    @property
    def share(self) -> float:
        """What the LoRA costs: the share of right pictures that is lost, less what is won."""
        return (self.lost - self.won) / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `share`: the adjusted Wald interval for paired shares (Bonett and Price, J. Educ. Behav. Stat. 37, 2012)."""
        n = self.pairs + 2
        lost, won = (self.lost + 1) / n, (self.won + 1) / n
        half = 1.96 * math.sqrt((lost + won - (lost - won) ** 2) / n)
        return lost - won - half, lost - won + half


def draw(engine: LocalEngine, prompts: Sequence[str], lora: Path | None, weight: float = 1.0, seed: int = 1000) -> list[Image]:
    """One picture a prompt; the i-th has the seed `seed` + i, with whatever LoRA."""
    loras = (LoraUse(lora, weight),) if lora else ()
    found = []
    for i, prompt in enumerate(prompts):
        spec = ImageSpec(prompt, 256, 256, STEPS, GUIDANCE, (seed + i,), loras=loras)
        found += [event.image for event in engine.generate(spec) if isinstance(event, Picture)]
    return found


def concept_share(oracle: LoraOracle, concept: str, asked: Sequence[Asked], pictures: Sequence[Image]) -> Concept:
    seen: list[Seen] = oracle.read(pictures)
    right = sum(s.right(concept, a.scene) for s, a in zip(seen, asked, strict=True))
    return Concept(sum(s.hit(concept) for s in seen), right, len(seen))


def ordinary(count: int) -> list[tuple[Scene, str]]:
    """Held-out triples of the world in everyday wordings, square, without signs."""
    rng = np.random.default_rng(6_061)
    held = triples(True)
    chosen = [held[i] for _ in range(count // len(held) + 1) for i in rng.permutation(len(held))][:count]
    return [(scene, caption(scene, rng)) for scene in (Scene(*triple) for triple in chosen)]


def drift(
    world: Oracle, oracle: LoraOracle, concept: str, scenes: Sequence[Scene], without: Sequence[Image], with_it: Sequence[Image]
) -> Drift:
    """`without`, `with_it`: pictures of the same prompts and seeds."""
    was, now = (
        [r.right(s.object, s.colour, s.scene) for r, s in zip(world.read(list(pictures)), scenes, strict=True)]
        for pictures in (without, with_it)
    )
    lost = sum(a and not b for a, b in zip(was, now, strict=True))
    won = sum(b and not a for a, b in zip(was, now, strict=True))
    return Drift(len(scenes), sum(was), lost, won, sum(s.hit(concept) for s in oracle.read(with_it)))
