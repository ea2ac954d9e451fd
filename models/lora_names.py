"""What the layers of a FLUX transformer are called by those who train LoRAs, and what each name means in diffusers' model. Pure.

Three namings, each with its own way to say the two halves of a pair:

    diffusers   transformer.transformer_blocks.0.attn.to_q.lora_A.weight                      (PEFT; ai-toolkit for FLUX.1)
    bfl         diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight                    (the makers' names; ai-toolkit for FLUX.2)
    kohya       lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight, with .alpha          (sd-scripts; dots become underscores)

The makers keep q, k and v (and in FLUX.1's single blocks the MLP's input) as one matrix, so one pair of theirs is several of
diffusers'. Names follow diffusers' `loaders/lora_conversion_utils.py`, sd-scripts' `networks/lora_flux.py` and ComfyUI's `comfy/lora.py`.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Architecture = Literal["flux1", "flux2"]
Naming = Literal["diffusers", "bfl", "kohya"]
Part = Literal["transformer", "text_encoder"]
ARCHITECTURES: tuple[Architecture, ...] = ("flux1", "flux2")

# Within a block, the makers' name -> diffusers' names, in the order of the rows.
_ATTENTION = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
}
_DOUBLE: Mapping[Architecture, Mapping[str, tuple[str, ...]]] = {
    "flux1": _ATTENTION
    | {
        "img_mlp.0": ("ff.net.0.proj",),
        "img_mlp.2": ("ff.net.2",),
        "txt_mlp.0": ("ff_context.net.0.proj",),
        "txt_mlp.2": ("ff_context.net.2",),
        "img_mod.lin": ("norm1.linear",),
        "txt_mod.lin": ("norm1_context.linear",),
    },
    "flux2": _ATTENTION
    | {
        "img_mlp.0": ("ff.linear_in",),
        "img_mlp.2": ("ff.linear_out",),
        "txt_mlp.0": ("ff_context.linear_in",),
        "txt_mlp.2": ("ff_context.linear_out",),
    },
}
_SINGLE: Mapping[Architecture, Mapping[str, tuple[str, ...]]] = {
    "flux1": {
        "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
        "linear2": ("proj_out",),
        "modulation.lin": ("norm.linear",),
    },
    "flux2": {"linear1": ("attn.to_qkv_mlp_proj",), "linear2": ("attn.to_out",)},
}
_TOP_BOTH = {"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out"}
ADA = "norm_out.linear"  # The makers keep shift before scale here, diffusers scale before shift.
_TOP: Mapping[Architecture, Mapping[str, str]] = {
    "flux1": _TOP_BOTH
    | {
        "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        "final_layer.adaLN_modulation.1": ADA,
    },
    "flux2": _TOP_BOTH
    | {
        "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
        "guidance_in.in_layer": "time_guidance_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_guidance_embed.guidance_embedder.linear_2",
        "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
        "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
        "single_stream_modulation.lin": "single_stream_modulation.linear",
        "final_layer.adaLN_modulation.1": ADA,
    },
}
# XLabs' attention processors, as the makers' layers they sit on. Theirs on single blocks are q, k and v without the MLP.
_XLABS = {
    "double": {
        "processor.qkv_lora1": "img_attn.qkv", "processor.qkv_lora2": "txt_attn.qkv",
        "processor.proj_lora1": "img_attn.proj", "processor.proj_lora2": "txt_attn.proj",
    },
    "single": {"processor.qkv_lora": "linear1", "processor.proj_lora": "linear2"},
}  # fmt: skip
CLIP = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")

PREFIXES = ("base_model.model.transformer.", "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "")
HALVES = (
    (".lora_A.weight", ".lora_B.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"),
    (".lora_down.weight", ".lora_up.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    (".down.weight", ".up.weight"),
)
_BLOCK = re.compile(r"(double_blocks|single_blocks|single_transformer_blocks|transformer_blocks)\.(0|[1-9][0-9]{0,3})\.(.+)", re.ASCII)
_FLAT = re.compile(r"(double_blocks|single_blocks|single_transformer_blocks|transformer_blocks)_(0|[1-9][0-9]{0,3})_(.+)", re.ASCII)
_CLIP = re.compile(
    r"(?:text_encoder\.|text_encoders\.clip_l\.transformer\.)(?:text_model\.)?encoder\.layers\.(0|[1-9][0-9]{0,2})\.(.+)", re.ASCII
)
_CLIP_FLAT = re.compile(r"lora_te1?_text_model_encoder_layers_(0|[1-9][0-9]{0,2})_(.+)", re.ASCII)
# Rows and columns of a layer in units of the transformer's width; 0 where they do not depend on it.
_SIZES: Mapping[Architecture, Mapping[str, tuple[int, int]]] = {
    "flux1": {
        "ff.net.0.proj": (4, 1), "ff.net.2": (1, 4), "ff_context.net.0.proj": (4, 1), "ff_context.net.2": (1, 4), "norm1.linear": (6, 1),
        "norm1_context.linear": (6, 1), "norm.linear": (3, 1), "proj_mlp": (4, 1), "single.proj_out": (1, 5),
    },
    "flux2": {
        "ff.linear_in": (6, 1), "ff.linear_out": (1, 3), "ff_context.linear_in": (6, 1), "ff_context.linear_out": (1, 3),
        "attn.to_qkv_mlp_proj": (9, 1), "single.attn.to_out": (1, 4), "double_stream_modulation_img.linear": (6, 1),
        "double_stream_modulation_txt.linear": (6, 1), "single_stream_modulation.linear": (3, 1),
    },
}  # fmt: skip
_BLOCKS = {"double_blocks": "double", "transformer_blocks": "double", "single_blocks": "single", "single_transformer_blocks": "single"}


@dataclass(frozen=True)
class Meaning:
    """What a name stands for in a model of `architecture`: `targets` in diffusers' naming, without the part, in the order of the rows.

    block: "double", "single" or "" (top level, text encoder), index: of that block. partial: rows for q, k and v alone, of a matrix that
    has more. swapped: shift comes before scale in it.
    """

    architecture: Architecture
    part: Part
    naming: Naming
    targets: tuple[str, ...]
    block: str = ""
    index: int = 0
    partial: bool = False
    swapped: bool = False


def split_key(key: str) -> tuple[str, str] | None:
    """A tensor's name as (stem, "down" | "up" | "alpha"), or None if it is no half of a pair."""
    if key.endswith(".alpha"):
        return key.removesuffix(".alpha"), "alpha"
    for down, up in HALVES:
        if key.endswith(down):
            return key.removesuffix(down), "down"
        if key.endswith(up):
            return key.removesuffix(up), "up"
    return None


def meanings(stem: str) -> list[Meaning]:
    """What the stem of a pair may mean: none for a name nobody uses, several where architectures share it."""
    clip = _clip(stem)
    if clip is not None:
        return [clip]
    for prefix, kohya in (("lora_unet_", True), ("lora_transformer_", True), ("lycoris_", True), *((one, False) for one in PREFIXES)):
        if stem.startswith(prefix):
            rest = stem.removeprefix(prefix)
            found = [one for arch in ARCHITECTURES if (one := _transformer(rest, arch, flat=kohya)) is not None]
            if found:
                return found
    return []


def _transformer(rest: str, arch: Architecture, flat: bool) -> Meaning | None:
    match = (_FLAT if flat else _BLOCK).fullmatch(rest)
    if match is None:
        top = _TOP[arch]
        ours = {(one.replace(".", "_") if flat else one): one for one in top.values()}
        theirs = {(one.replace(".", "_") if flat else one): one for one in top}
        if rest in theirs:
            target = top[theirs[rest]]
            return Meaning(arch, "transformer", "kohya" if flat else "bfl", (target,), swapped=target == ADA)
        if rest in ours:
            return Meaning(arch, "transformer", "kohya" if flat else "diffusers", (ours[rest],))
        return None
    kind, index, inner = match[1], int(match[2]), match[3]
    block = _BLOCKS[kind]
    table = (_DOUBLE if block == "double" else _SINGLE)[arch]
    start = ("transformer_blocks" if block == "double" else "single_transformer_blocks") + f".{index}."
    if kind.endswith("transformer_blocks"):
        known = {(one.replace(".", "_") if flat else one): one for names in table.values() for one in names}
        if inner not in known:
            return None
        return Meaning(arch, "transformer", "kohya" if flat else "diffusers", (start + known[inner],), block, index)
    xlabs = inner in _XLABS[block] and not flat and arch == "flux1"
    inner = _XLABS[block][inner] if xlabs else inner
    known = {(one.replace(".", "_") if flat else one): one for one in table}
    if inner not in known:
        return None
    names = table[known[inner]]
    partial = xlabs and len(names) == 4
    targets = tuple(start + name for name in (names[:3] if partial else names))
    return Meaning(arch, "transformer", "kohya" if flat else "bfl", targets, block, index, partial)


def _clip(stem: str) -> Meaning | None:
    match, flat = _CLIP.fullmatch(stem), False
    if match is None:
        match, flat = _CLIP_FLAT.fullmatch(stem), True
    if match is None:
        return None
    inner = next((name for name in CLIP if match[2] == (name.replace(".", "_") if flat else name)), None)
    if inner is None:
        return None
    target = f"encoder.layers.{match[1]}.{inner}"
    return Meaning("flux1", "text_encoder", "kohya" if flat else "diffusers", (target,), "text", int(match[1]))


@dataclass(frozen=True)
class Fused:
    """A layer of the makers' and the diffusers' layers that its rows are, in order."""

    name: str
    targets: tuple[str, ...]
    swapped: bool = False


def fused(target: str, arch: Architecture) -> Fused:
    """The makers' layer that a transformer's layer of diffusers is a part of. Raises KeyError for no layer of the architecture."""
    match = _BLOCK.fullmatch(target)
    if match is None:
        name = {ours: theirs for theirs, ours in _TOP[arch].items()}[target]
        return Fused(name, (target,), target == ADA)
    block, start = _BLOCKS[match[1]], f"{match[1]}.{match[2]}."
    name, names = _parents(block, arch)[match[3]]
    return Fused(f"{block}_blocks.{match[2]}.{name}", tuple(start + one for one in names))


def factors(target: str, arch: Architecture) -> tuple[int, int]:
    """Rows and columns of a transformer's layer in units of its width, 0 where they do not depend on it."""
    match = _BLOCK.fullmatch(target)
    sizes = _SIZES[arch]
    if match is not None:
        single = _BLOCKS[match[1]] == "single" and sizes.get(f"single.{match[3]}")
        return single or sizes.get(match[3], (1, 1))
    if target in ("x_embedder", "context_embedder") or target.endswith("_embedder.linear_1"):
        return 1, 0
    if target == "proj_out":
        return 0, 1
    return (2, 1) if target == ADA else sizes.get(target, (1, 1))


@cache
def _parents(block: str, arch: Architecture) -> dict[str, tuple[str, tuple[str, ...]]]:
    table = (_DOUBLE if block == "double" else _SINGLE)[arch]
    return {ours: (theirs, names) for theirs, names in table.items() for ours in names}


def halves(name: str, part: Part, naming: Naming) -> tuple[str, str]:
    """The names of a pair's two tensors, down and up. name: diffusers' for naming "diffusers" and for a text encoder, else the makers'."""
    if part == "text_encoder":
        name = f"text_model.{name}"  # As every LoRA has it, whatever the installed transformers calls it.
        if naming == "kohya":
            name = "lora_te1_" + name.replace(".", "_")
        else:
            name = f"text_encoder.{name}"
    else:
        flat = "lora_unet_" + name.replace(".", "_")
        name = {"diffusers": f"transformer.{name}", "bfl": f"diffusion_model.{name}", "kohya": flat}[naming]
    down, up = (".lora_down.weight", ".lora_up.weight") if naming == "kohya" else (".lora_A.weight", ".lora_B.weight")
    return name + down, name + up
