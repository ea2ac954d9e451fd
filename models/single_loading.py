"""Parts of a model from single files (see `models.singles`), by diffusers' and transformers' own readers. Only a worker imports this."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file

from models.errors import Unavailable
from models.singles import GGUF_INSTALL, Single
from models.weights import Found

PREFIX = "model.diffusion_model."  # What checkpoints of several parts put before the transformer's names.


def load_single(found: Found, part: str, dtype: torch.dtype) -> torch.nn.Module:
    """The part as a module in main memory, float8 and 16 bits alike as `dtype`, GGUF quantised as it is and computed in `dtype`.

    Its configuration is that of `found.folder`. Raises Unavailable when tensors are missing, and what the readers raise (OSError,
    ValueError, KeyError) for a file that does not fit.
    """
    single = found.files[part]
    module = _transformer(found, single, dtype) if part == "transformer" else _encoder(found, single, dtype)
    missing = [name for name, tensor in module.named_parameters() if tensor.is_meta]
    if missing:
        raise _not_whole(single, missing)
    return module.eval()


def _transformer(found: Found, single: Single, dtype: torch.dtype) -> torch.nn.Module:
    cls = getattr(diffusers, _class_name(found.folder, "transformer"))
    options: dict[str, Any] = {"config": str(found.folder), "subfolder": "transformer", "dtype": dtype, "local_files_only": True}
    if single.format == "gguf":
        if not diffusers.utils.is_gguf_available():
            raise Unavailable(f"{single.path.name} cannot be read.", "The package gguf is missing.", f"Run `{GGUF_INSTALL}`.")
        quantised = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
        return cls.from_single_file(str(single.path), quantization_config=quantised, **options)
    tensors = load_file(single.path)  # Mapped, not read: what is taken out of it below costs nothing.
    return cls.from_single_file({name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, **options)


def _encoder(found: Found, single: Single, dtype: torch.dtype) -> torch.nn.Module:
    cls = getattr(transformers, _class_name(found.folder, single.part))
    config = transformers.AutoConfig.from_pretrained(found.folder / single.part, local_files_only=True)
    module, about = cls.from_pretrained(None, config=config, state_dict=load_file(single.path), dtype=dtype, output_loading_info=True)
    if about["missing_keys"]:  # They were made up at random.
        raise _not_whole(single, sorted(about["missing_keys"]))
    return module


def _class_name(folder: Path, part: str) -> str:
    return json.loads((folder / "model_index.json").read_text(encoding="utf-8"))[part][1]


def _not_whole(single: Single, missing: list[str]) -> Unavailable:
    why = f"{len(missing)} of its tensors are missing, {missing[0]} first."
    return Unavailable(f"{single.path.name} is not whole.", why, "Download it again.")
