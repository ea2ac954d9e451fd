"""The LoRA as a file that others load."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.cards import ModelCard
from models.training.adapter import exported
from models.training.checkpoint import Progress, sync
from models.training.recipe import Job


def write_lora(file: Path, tensors: Mapping[str, torch.Tensor], job: Job, card: ModelCard, progress: Progress) -> None:
    """In diffusers' naming, alpha folded in, whole or not at all."""
    recipe = job.recipe
    metadata = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": recipe.name,
        "modelspec.implementation": "diffusers",
        "modelspec.trigger_phrase": recipe.trigger,
        "modelspec.license": card.licence.name,
        "ss_output_name": recipe.name,
        "trained_words": recipe.trigger,
        "contact_sheet.card": card.name,
        "contact_sheet.step": str(progress.step),
        "contact_sheet.dataset": job.hash,
        **job.metadata,
    }
    temporary = file.with_name(f".{file.name}.tmp")
    save_file(exported(tensors, recipe.rank, recipe.alpha), temporary, metadata=metadata)
    sync(temporary)
    os.replace(temporary, file)
