"""Pictures of the model in training: samples for people to look at, and what the base draws to remember itself by.

diffusers' own pipeline draws, over the transformer that is being trained.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from models.cards import ModelCard
from models.latents import decode, latents_of
from models.reading import Embeddings
from models.training.families import Family
from models.training.material import Cache, Sample, Step
from models.training.recipe import Recipe, SamplePrompt


class Drawer:
    """steps: of a picture. texts: embeddings of every prompt that will be asked for, and of ""."""

    def __init__(self, family: Family, card: ModelCard, recipe: Recipe, texts: Mapping[str, Embeddings], device: torch.device) -> None:
        self.family, self.card, self.recipe, self.device, self._texts = family, card, recipe, device, texts

    def sample(self, asked: SamplePrompt, size: tuple[int, int]) -> Image.Image:
        """One picture. The autoencoder visits the device."""
        size = (asked.width or size[0], asked.height or size[1])
        vae = self.family.vae
        vae.to(self.device)
        try:
            output = self._draw([asked.prompt], (asked.seed,), size, self.recipe.sample_steps or self.card.steps)
            return decode(self.family.pipe, latents_of(self.family.pipe).finished(output, *size))
        finally:
            if self.device.type != "cpu":
                vae.to("cpu")

    def remembered(self, prompts: list[str], sizes: list[tuple[int, int]], revision: str, cache: Cache, between: Step) -> list[Sample]:
        """What the base draws for `prompts` (seeded by their places), as latents; made once. Sizes are taken in turn."""
        found = []
        prior = self.recipe.prior
        steps = min(prior.steps, self.card.steps_range[1])
        for seed, prompt in enumerate(prompts):
            size = sizes[seed % len(sizes)]
            key = (prompt, seed, size, steps, revision)
            kept = cache.get("prior", *key)
            if kept is None:
                between()
                self.family.vae.to(self.device)
                output = self._draw([prompt], (seed,), size, steps)
                kept = {"mean": self.family.unpacked(output, size).float().cpu()}
                cache.put(kept, "prior", *key)
            found.append(Sample(kept["mean"], torch.zeros_like(kept["mean"]), prompt, prompt, size))
        if self.device.type != "cpu":
            self.family.vae.to("cpu")
        return found

    def _draw(self, prompts: list[str], seeds: tuple[int, ...], size: tuple[int, int], steps: int) -> torch.Tensor:
        pipe = self.family.pipe
        text = {name: torch.cat([self._texts[prompt][name] for prompt in prompts]).to(self.device) for name in self._texts[""]}
        told: dict[str, Any] = dict(text)
        card = self.card
        if card.guidance_kind == "cfg":
            empty = {f"negative_{name}": tensor.to(self.device) for name, tensor in self._texts[""].items()}
            told |= {name: tensor.expand(len(prompts), *tensor.shape[1:]) for name, tensor in empty.items()}
        told |= {"true_cfg_scale": card.guidance} if card.guidance_kind == "cfg" and card.clip_tokens else {
            "guidance_scale": 0.0 if card.guidance_kind == "none" else card.guidance
        }
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return pipe(
                **told, width=size[0], height=size[1], num_inference_steps=steps,
                latents=latents_of(pipe).start(seeds, *size), output_type="latent",
            ).images
