"""The trained LoRA as a file that others load."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from models.cards import ModelCard
from models.lora_export import About, save_lora
from models.training.checkpoint import Progress, sync
from models.training.recipe import Job

_LARGEST = 6e4  # what 16-bit floats hold, about


def write_lora(file: Path, tensors: Mapping[str, torch.Tensor], job: Job, card: ModelCard, progress: Progress) -> None:
    """In diffusers' naming, 16 bits, alpha folded in, with what a file says of itself; whole or not at all."""
    recipe = job.recipe
    wide = any(tensor.abs().max() > _LARGEST for tensor in tensors.values())
    layers = {f"transformer.{name}": tensor.to(torch.float32 if wide else torch.float16) for name, tensor in tensors.items()}
    side = max((max(example.size) for example in job.examples), default=0)
    side = max(recipe.resolutions, default=side)
    extra = {
        "contact_sheet.card": card.name,
        "contact_sheet.kind": recipe.kind,
        "contact_sheet.step": str(progress.step),
        "contact_sheet.dataset": job.hash,
        "ss_num_train_images": str(len(job.examples)),
        "ss_learning_rate": f"{recipe.rate:g}",
        "ss_seed": str(recipe.seed),
    }
    about = About(
        title=recipe.name, triggers=(recipe.trigger,) if recipe.trigger else (), licence=card.licence.name,
        resolution=f"{side}x{side}", tags=(recipe.kind,), extra=extra,
    )  # fmt: skip
    save_lora(file, layers, card, about, recipe.alpha)
    sync(file)
