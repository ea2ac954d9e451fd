"""Optimizers and how their rate runs."""
from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch

from models.training.recipe import Recipe, TrainingError

BETAS = (0.9, 0.99)
# Packages that are asked for only where they are wanted: (package, module, class).
_OTHERS = {
    "adamw8bit": ("bitsandbytes", "bitsandbytes.optim", "AdamW8bit"),
    "prodigy": ("prodigyopt", "prodigyopt", "Prodigy"),
}
FALL = 1 / 3  # the share of the steps in which "linear" falls


def optimizer_of(weights: list[torch.nn.Parameter], recipe: Recipe) -> Any:
    """Raises TrainingError where the package of the optimizer is not installed."""
    told: dict[str, Any] = {"lr": recipe.rate, "betas": BETAS, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(weights, **told)
    package, module, name = _OTHERS[recipe.optimizer]
    try:
        other = getattr(import_module(module), name)
    except ImportError as error:
        raise TrainingError(
            "settings", f"The optimizer {recipe.optimizer} is not installed.", str(error),
            f"Run `pip install {package}`, or choose adamw.", "optimizer",
        ) from error  # fmt: skip
    if recipe.optimizer == "prodigy":  # It finds the rate itself; the one asked for is a factor on it.
        told |= {"use_bias_correction": True, "safeguard_warmup": True}
    return other(weights, **told)


def rate_at(step: int, recipe: Recipe) -> float:
    """The factor on the rate in step `step`, the first being 0: it rises over the warm-up, then runs as the schedule says."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup))
    if recipe.schedule == "linear":
        return warm * min(1.0, (recipe.steps - step) / max(1.0, recipe.steps * FALL))
    if recipe.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * step / max(1, recipe.steps)))
    return warm
