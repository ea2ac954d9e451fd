"""What a step learns from: batches, noise and noise levels from the training's seed and the step alone, and the flow-matching loss.

Nothing here keeps a state: step n draws the same in a resumed run, and micro-batch m of a step the same on whichever process computes it.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.reading import Embeddings
from models.training.adapter import Adapter
from models.training.families import Family, shifted
from models.training.material import Sample
from models.training.recipe import Recipe
from models.training.wording import form_of

SIGMAS = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the validation loss


class Batches:
    """An endless, shuffled row of batches, each of pictures of one size. A size whose pictures do not fill its last batch of a round
    fills it with others of its own."""

    def __init__(self, sizes: Sequence[tuple[int, int]], batch: int, seed: int) -> None:
        self._buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, size in enumerate(sizes):
            self._buckets[size].append(index)
        self._batch, self._seed = batch, seed
        self.round = sum(-(-len(members) // batch) for members in self._buckets.values())
        self._kept: tuple[int, list[list[int]]] = (-1, [])

    def __getitem__(self, index: int) -> list[int]:
        number, place = divmod(index, self.round)
        if self._kept[0] != number:
            self._kept = (number, self._shuffled(number))
        return self._kept[1][place]

    def _shuffled(self, number: int) -> list[list[int]]:
        rng = np.random.default_rng([self._seed, number])
        batches = []
        for members in self._buckets.values():
            order = rng.permutation(members).tolist()
            short = -len(order) % self._batch
            order += [order[i % len(order)] for i in range(short)]
            batches += [order[i : i + self._batch] for i in range(0, len(order), self._batch)]
        return [batches[i] for i in rng.permutation(len(batches))]


class Flow:
    """The losses of one transformer under one adapter."""

    def __init__(
        self, family: Family, adapter: Adapter, recipe: Recipe, texts: Mapping[str, Embeddings], device: torch.device,
        embedded: bool = False,
    ) -> None:
        self.family, self.adapter, self.recipe, self.device = family, adapter, recipe, device
        self._texts, self._embedded = texts, embedded
        self._scheduler: Any = family.pipe.scheduler.config

    def concept(self, samples: Sequence[Sample], rng: np.random.Generator) -> torch.Tensor:
        """Mean squared error of the velocity noise - x0 at z = (1 - s) x0 + s noise (https://arxiv.org/abs/2209.03003)."""
        recipe = self.recipe
        captions = ["" if rng.random() < recipe.caption_dropout else form_of(s.caption, recipe, self._embedded, rng) for s in samples]
        clean, noise, sigma = self._drawn(samples, rng)
        found = self._velocity(clean, noise, sigma, captions)
        return (found - self.family.pack(noise - clean).float()).square().mean()

    def prior(self, samples: Sequence[Sample], captions: Sequence[str], rng: np.random.Generator) -> torch.Tensor:
        """The same where the trigger is absent, or the distance to what the base answers there."""
        clean, noise, sigma = self._drawn(samples, rng)
        if self.recipe.prior.kind == "images":
            target = self.family.pack(noise - clean).float()
        else:
            with torch.no_grad(), self.adapter.off():
                target = self._velocity(clean, noise, sigma, captions)
        return (self._velocity(clean, noise, sigma, captions) - target).square().mean()

    @torch.no_grad()
    def validation(self, sample: Sample, index: int) -> float:
        """The loss of one picture over fixed noise levels, each with noise of its own that never changes."""
        total, at_once = 0.0, self.recipe.batch
        noises = [self._noise(sample.mean.shape, np.random.default_rng([self.recipe.seed, index, place])) for place in range(len(SIGMAS))]
        for start in range(0, len(SIGMAS), at_once):
            noise = torch.cat(noises[start : start + at_once])
            levels = torch.tensor(SIGMAS[start : start + at_once], device=self.device)
            clean = sample.mean.to(self.device).expand_as(noise)
            found = self._velocity(clean, noise, levels, [sample.caption] * len(noise))
            total += float((found - self.family.pack(noise - clean).float()).square().flatten(1).mean(1).sum())
        return total / len(SIGMAS)

    def _drawn(self, samples: Sequence[Sample], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean = torch.cat([sample.mean for sample in samples]).to(self.device)
        deviation = torch.cat([sample.deviation for sample in samples]).to(self.device)
        clean = mean + deviation * self._noise(mean.shape, rng)
        noise = self._noise(mean.shape, rng)
        normal = torch.from_numpy(rng.standard_normal(len(samples)).astype(np.float32))
        sigma = torch.sigmoid(normal * self.recipe.sigma_std + self.recipe.sigma_mean)
        if self.recipe.sigma_uniform:
            even = rng.random((2, len(samples))).astype(np.float32)
            sigma = torch.where(torch.from_numpy(even[0] < self.recipe.sigma_uniform), torch.from_numpy(even[1]), sigma)
        return clean, noise, shifted(sigma.to(self.device), self._scheduler, self.family.tokens(mean))

    def _noise(self, shape: Sequence[int], rng: np.random.Generator) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32)).to(self.device)

    def _velocity(self, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
        level = sigma.view(-1, 1, 1, 1)
        noisy = (1 - level) * clean + level * noise
        names = self._texts[captions[0]]
        text = {name: torch.cat([self._texts[caption][name] for caption in captions]).to(self.device) for name in names}
        bf16 = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.family.velocity(noisy, sigma, text).float()
