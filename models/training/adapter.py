"""The LoRA that is trained: put into the transformer, switched off and on, taken out as tensors."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer

from models.training.families import linear_names
from models.training.recipe import Recipe, TrainingError

NAME, ASSISTANT = "default", "assistant"


class Adapter:
    """The trained weights by diffusers' names ("transformer_blocks.0.attn.to_q.lora_A.weight"), float32, and their averages."""

    def __init__(self, transformer: Any, recipe: Recipe) -> None:
        try:
            names = linear_names(transformer, recipe.targets)
        except KeyError as error:
            raise TrainingError(
                "settings", f"This model has no layers {error.args[0]!r}.", "", "Name groups or ends of layer names.", "targets"
            ) from error
        config = LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=names, init_lora_weights=True)
        transformer.requires_grad_(False)
        transformer.add_adapter(config, adapter_name=NAME)
        self.transformer, self.recipe = transformer, recipe
        self.layers: dict[str, Any] = {
            name: module for name, module in transformer.named_modules() if isinstance(module, LoraLayer)
        }
        self.weights: dict[str, torch.nn.Parameter] = {}
        for name, layer in self.layers.items():
            for part in ("lora_A", "lora_B"):
                linear = getattr(layer, part)[NAME]
                linear.to(torch.float32)  # Under 16 bits small updates would be lost.
                self.weights[f"{name}.{part}.weight"] = linear.weight.requires_grad_(True)
        self._start(recipe.seed)
        # An average of the weights (https://arxiv.org/abs/2411.18704); at step n it forgets with min(ema, (1 + n) / (10 + n)).
        self.averages = {name: weight.detach().clone() for name, weight in self.weights.items()} if recipe.ema else {}

    def _start(self, seed: int) -> None:
        """A from a seed alone, so that every process and every machine starts alike; B at 0: no effect yet."""
        generator = torch.Generator("cpu").manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.weights.items():
                if ".lora_A." in name:
                    bound = 1 / math.sqrt(weight.shape[1])
                    weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))
                else:
                    weight.zero_()

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Called after every step, the first being 1."""
        if self.averages:
            keep = min(self.recipe.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.averages.values()), list(self.weights.values()), 1 - keep)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """With the averages in place of the weights, if there are any."""
        kept = {name: weight.detach().clone() for name, weight in self.weights.items()} if self.averages else {}
        self._put(self.averages)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            self.weights[name].copy_(tensor)

    @contextmanager
    def off(self, name: str = NAME) -> Iterator[None]:
        """The model without this adapter."""
        kept = [(layer, layer.scaling[name]) for layer in self.layers.values() if name in layer.scaling]
        for layer, _ in kept:
            layer.scaling[name] = 0.0
        try:
            yield
        finally:
            for layer, scaling in kept:
                layer.scaling[name] = scaling

    def assist(self, file: Path) -> None:
        """Load a frozen second adapter that is active while training. Raises TrainingError."""
        try:
            self.transformer.load_lora_adapter(str(file), adapter_name=ASSISTANT, prefix="transformer", local_files_only=True)
        except Exception as error:  # diffusers and peft raise a dozen kinds here; all of them mean: this file does not fit.
            raise TrainingError(
                "settings", f"{file.name} does not fit this model.", f"{type(error).__name__}: {error}"[:300], "", "training_adapter"
            ) from error
        for name, module in self.transformer.named_modules():
            if isinstance(module, LoraLayer):
                self.layers.setdefault(name, module)
                module.set_adapter([adapter for adapter in (NAME, ASSISTANT) if adapter in module.scaling])
                if ASSISTANT in module.scaling:
                    module.lora_A[ASSISTANT].requires_grad_(False)
                    module.lora_B[ASSISTANT].requires_grad_(False)

    def best(self) -> dict[str, torch.Tensor]:
        """What training has arrived at (the averages, if there are any), on the CPU."""
        return {name: tensor.detach().cpu().clone() for name, tensor in (self.averages or self.weights).items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the next step rests on, on the CPU."""
        found: dict[str, torch.Tensor] = {f"weights.{name}": weight for name, weight in self.weights.items()}
        found |= {f"averages.{name}": average for name, average in self.averages.items()}
        return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(state[f"weights.{name}"])
        for name, average in self.averages.items():
            average.copy_(state[f"averages.{name}"])

