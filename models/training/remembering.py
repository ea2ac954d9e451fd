"""What the prior's rows are: pictures and captions on which the model must stay as it was."""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.training.flow import Batches
from models.training.material import Sample
from models.training.recipe import Example, Recipe

OTHERS, DECOYS = 256, 3  # captions of other things; nonsense words a picture
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True)
class Captions:
    """drawn: what the base draws pictures of. others: of other things. decoys: by caption, the same with other words no model knows in
    the trigger's place: without them any unknown word would come to mean what the trigger does."""

    drawn: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    decoys: dict[str, tuple[str, ...]] | None = None

    def all(self) -> set[str]:
        return {*self.drawn, *self.others, *(one for several in (self.decoys or {}).values() for one in several)}


def captions_of(examples: Sequence[Example], recipe: Recipe, embedded: bool) -> Captions:
    """The captions that a training with this prior needs besides its pictures' own; the same in every run."""
    prior = recipe.prior
    if prior.kind == "none":
        return Captions()
    known = prior.prompts
    if not known and embedded:
        from models.training.embedded import world_prompts

        known = tuple(world_prompts(max(OTHERS, prior.pictures), recipe.seed))
    known = known or tuple(dict.fromkeys(example.plain for example in examples))
    drawn = tuple(known[index % len(known)] for index in range(prior.pictures))
    if prior.kind == "images":
        return Captions(drawn)
    return Captions(drawn, known[:OTHERS] if prior.others else (), _decoys(examples, recipe) if prior.decoys else None)


def _decoys(examples: Sequence[Example], recipe: Recipe) -> dict[str, tuple[str, ...]]:
    rng = np.random.default_rng([recipe.seed, 13])
    found: dict[str, tuple[str, ...]] = {}
    for caption in sorted({example.caption for example in examples}) if recipe.trigger else ():
        words = ["".join(rng.choice(_LETTERS, int(rng.integers(3, 8)))) for _ in range(DECOYS)]
        found[caption] = tuple(re.sub(re.escape(recipe.trigger), word, caption, flags=re.IGNORECASE) for word in words)
    return found


class Remembering:
    """Rows by place in the training. learnt: the dataset's pictures; remembered: those that the base drew."""

    def __init__(self, recipe: Recipe, captions: Captions, learnt: Sequence[Sample], remembered: Sequence[Sample]) -> None:
        self._prior, self._captions, self._learnt, self._remembered = recipe.prior, captions, learnt, remembered
        batch = recipe.prior.batch or recipe.batch
        self._own = Batches([sample.size for sample in learnt], batch, recipe.seed + 1)
        self._drawn = Batches([sample.size for sample in remembered], batch, recipe.seed + 2) if remembered else None
        self._share = 0.0 if recipe.prior.kind == "images" else recipe.prior.untriggered if remembered else 1.0

    def rows(self, place: int, rng: np.random.Generator) -> tuple[list[Sample], list[str]]:
        if self._drawn is not None and rng.random() >= self._share:
            samples = [self._remembered[index] for index in self._drawn[place]]
            captions = [sample.caption for sample in samples]
        else:
            samples = [self._learnt[index] for index in self._own[place]]
            captions = [self._caption(sample, rng) for sample in samples]
        if self._prior.kind == "output":
            captions = ["" if rng.random() < self._prior.unconditional else caption for caption in captions]
        return samples, captions

    def _caption(self, sample: Sample, rng: np.random.Generator) -> str:
        """Of one of the dataset's pictures: without the trigger, of something else, or with another word for the trigger."""
        chance = rng.random()
        decoys = (self._captions.decoys or {}).get(sample.caption, ())
        if chance < self._prior.decoys and decoys:
            return decoys[int(rng.integers(len(decoys)))]
        if self._prior.decoys <= chance < self._prior.decoys + self._prior.others and self._captions.others:
            return self._captions.others[int(rng.integers(len(self._captions.others)))]
        return sample.plain
