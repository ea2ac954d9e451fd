"""From files on disk to diffusers pipelines on a device, as a plan for memory says. Only a worker imports this.

A pipeline is loaded in two halves, so that each can come and go by itself: *reading* (tokenizers and text encoders) and *drawing*
(transformer, autoencoder, scheduler). Nothing here opens a network connection.
"""
from __future__ import annotations

import gc
from typing import Any, Literal

import diffusers
import torch
import transformers
from diffusers.hooks.group_offloading import apply_group_offloading
from diffusers.hooks.layerwise_casting import apply_layerwise_casting

from models.adapters import DTYPES
from models.cards import ModelCard
from models.errors import Unavailable
from models.memory import MemoryPlan
from models.single_loading import load_single
from models.weights import Where, find_model

READING = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
DRAWING = ("transformer", "vae")
# Linear layers kept at 16 bits when the rest is stored in 8: small ones where errors show, and T5's `wo`, whose dtype T5 looks at.
# The modulation layers (`norm1.linear`, 27 % of FLUX.1) are stored in 8, unlike in diffusers' default: without them nothing is won.
_PRECISE = ("embed", "shared", "norm_out", "lm_head$", "^proj_in$", "^proj_out$", r"\bwo$", "vision_tower")


def load_pipeline(
    card: ModelCard, plan: MemoryPlan, where: Where = None, part: Literal["all", "reading", "drawing"] = "all"
) -> Any:
    """The card's diffusers pipeline: whole, or one half with None for the parts of the other. Raises Unavailable.

    On the plan's device, but for encoders that take turns ("swapped"): those are left in main memory.
    """
    quiet()
    found = find_model(card, where)
    folder = found.folder
    cls = getattr(diffusers, card.pipeline)
    names = set(cls._get_signature_keys(cls)[0])
    left_out = {"all": (), "reading": DRAWING, "drawing": READING}[part]
    device = torch.device(plan.device)
    precision = plan.text if part == "reading" else plan.precision
    swapped = part == "reading" and plan.encoders == "swapped"
    # Weights go from the file to the GPU without a copy in main memory; 8 bits and streaming need them there first, and diffusers does
    # not move a pipeline that was loaded so, as encoders that take turns ask for.
    direct = device.type == "cuda" and precision != "fp8" and plan.encoders == "kept" and not found.files
    try:
        own = {name: load_single(found, name, DTYPES[precision]) for name in found.files if name in names and name not in left_out}
        pipe = cls.from_pretrained(
            folder,
            dtype=DTYPES[precision],
            local_files_only=True,
            **({"device_map": "cuda"} if direct else {}),
            **{name: None for name in left_out if name in names},
            **own,
        )
    except (OSError, ValueError, KeyError) as error:
        why = f"{type(error).__name__}: {error}"
        source = ", ".join(str(single.path) for single in found.files.values()) or str(folder)
        raise Unavailable(f"{card.title} could not be loaded from {source}.", why, "Download it again.") from error
    pipe.set_progress_bar_config(disable=True)
    parts = [module for name in READING + DRAWING if isinstance(module := getattr(pipe, name, None), torch.nn.Module)]
    for module in parts:
        module.requires_grad_(False)
        if (plan.text == "fp8" and module in _encoders(pipe)) or (plan.precision == "fp8" and module is getattr(pipe, "transformer", None)):
            _store_in_8_bits(module)
    if plan.vae_tiling and getattr(pipe, "vae", None) is not None:
        pipe.vae.enable_tiling()
    if plan.streamed:
        for module in parts:
            _stream(module, device)
    elif not swapped and not direct:
        pipe.to(device)
    return pipe


def _encoders(pipe: Any) -> list[torch.nn.Module]:
    return [module for name in READING[:2] if isinstance(module := getattr(pipe, name, None), torch.nn.Module)]


def _store_in_8_bits(module: torch.nn.Module) -> None:
    """float8 (e4m3) in memory, cast to 16 bits layer by layer when used."""
    apply_layerwise_casting(module, storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16, skip_modules_pattern=_PRECISE)


def _stream(module: torch.nn.Module, device: torch.device) -> None:
    """Weights stay in main memory and follow the computation, the next ones being copied while the present ones are at work."""
    if isinstance(module, diffusers.AutoencoderKL | diffusers.AutoencoderKLFlux2):
        module.to(device)
        return
    stream = device.type == "cuda"
    apply_group_offloading(module, device, torch.device("cpu"), offload_type="leaf_level", use_stream=stream, non_blocking=stream)


def free(device: torch.device) -> None:
    """Give memory of dropped weights back to the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def quiet() -> None:
    """No progress bars on the console: progress is shown on the page."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
