"""Files as other studios keep them, made from tiny models: the layout of the makers (`double_blocks...`), float8, GGUF."""
from __future__ import annotations

from pathlib import Path
from typing import Any

# diffusers' names -> those of black-forest-labs/flux2 (src/flux2/model.py). q, k and v are one matrix there.
_FLUX2 = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
    "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
    "single_stream_modulation.linear": "single_stream_modulation.lin",
    "proj_out": "final_layer.linear",
}
_DOUBLE = {
    "attn.norm_q": ("img_attn.norm.query_norm", "scale"),
    "attn.norm_k": ("img_attn.norm.key_norm", "scale"),
    "attn.to_out.0": ("img_attn.proj", "weight"),
    "ff.linear_in": ("img_mlp.0", "weight"),
    "ff.linear_out": ("img_mlp.2", "weight"),
    "attn.norm_added_q": ("txt_attn.norm.query_norm", "scale"),
    "attn.norm_added_k": ("txt_attn.norm.key_norm", "scale"),
    "attn.to_add_out": ("txt_attn.proj", "weight"),
    "ff_context.linear_in": ("txt_mlp.0", "weight"),
    "ff_context.linear_out": ("txt_mlp.2", "weight"),
}
_SINGLE = {
    "attn.to_qkv_mlp_proj": ("linear1", "weight"),
    "attn.to_out": ("linear2", "weight"),
    "attn.norm_q": ("norm.query_norm", "scale"),
    "attn.norm_k": ("norm.key_norm", "scale"),
}


def flux2_as_made(state: dict[str, Any]) -> dict[str, Any]:
    """A Flux2Transformer2DModel's tensors under the names and in the layout of its makers."""
    import torch

    made = {}
    for name, tensor in state.items():
        stem, kind = name.rsplit(".", 1)
        if stem in _FLUX2:
            made[f"{_FLUX2[stem]}.{kind}"] = tensor
        elif stem == "norm_out.linear":  # The makers keep shift before scale.
            scale, shift = tensor.chunk(2)
            made[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
        elif stem.startswith("single_transformer_blocks."):
            _, block, inner = stem.split(".", 2)
            as_made, last = _SINGLE[inner]
            made[f"single_blocks.{block}.{as_made}.{last}"] = tensor
        else:
            _, block, inner = stem.split(".", 2)
            if inner in _DOUBLE:
                as_made, last = _DOUBLE[inner]
                made[f"double_blocks.{block}.{as_made}.{last}"] = tensor
    for block in {name.split(".")[1] for name in state if name.startswith("transformer_blocks.")}:
        for side, parts in (("img", ("to_q", "to_k", "to_v")), ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"))):
            names = [f"transformer_blocks.{block}.attn.{part}.weight" for part in parts]
            made[f"double_blocks.{block}.{side}_attn.qkv.weight"] = torch.cat([state[name] for name in names])
    return made


def flux1_as_made(double: int, single: int, guidance: bool, joint: int, pooled: int, channels: int, seed: int = 0) -> dict[str, Any]:
    """Random tensors in the layout of black-forest-labs/flux (src/flux/model.py), 3072 wide: what diffusers' reader takes for granted."""
    import torch

    width, hidden = 3072, 12288
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"img_in.weight": (width, channels), "txt_in.weight": (width, joint)}
    for name, columns in (("time_in", 256), ("vector_in", pooled), *((("guidance_in", 256),) if guidance else ())):
        shapes |= {f"{name}.in_layer.weight": (width, columns), f"{name}.out_layer.weight": (width, width)}
    for block in range(double):
        for side in ("img", "txt"):
            start = f"double_blocks.{block}.{side}_"
            shapes |= {
                f"{start}mod.lin.weight": (6 * width, width), f"{start}attn.qkv.weight": (3 * width, width),
                f"{start}attn.proj.weight": (width, width),
                f"{start}mlp.0.weight": (hidden, width), f"{start}mlp.2.weight": (width, hidden),
                f"{start}attn.norm.query_norm.scale": (128,), f"{start}attn.norm.key_norm.scale": (128,),
            }  # fmt: skip
    for block in range(single):
        start = f"single_blocks.{block}."
        shapes |= {
            f"{start}modulation.lin.weight": (3 * width, width), f"{start}linear1.weight": (3 * width + hidden, width),
            f"{start}linear2.weight": (width, width + hidden),
            f"{start}norm.query_norm.scale": (128,), f"{start}norm.key_norm.scale": (128,),
        }  # fmt: skip
    shapes |= {"final_layer.linear.weight": (channels, width), "final_layer.adaLN_modulation.1.weight": (2 * width, width)}
    made = {}
    for name, shape in shapes.items():
        # One random row, repeated: a file of 500 MB of fresh randomness would take longer to make than to read.
        row = 0.02 * torch.randn(shape[-1], generator=generator)
        made[name] = row.expand(shape).contiguous() if len(shape) > 1 else 1 + row
        if len(shape) > 1 and not name.endswith(".scale"):
            made[name.replace(".weight", ".bias")] = 0.02 * torch.randn(shape[0], generator=generator)
    return made


def as_gguf(path: Path, tensors: dict[str, Any], arch: str = "flux") -> None:
    """Matrices as Q8_0, the rest as F32: what city96's converter for ComfyUI writes."""
    import gguf

    writer = gguf.GGUFWriter(path, arch)
    for name, tensor in tensors.items():
        data = tensor.detach().float().numpy()
        kind = gguf.GGMLQuantizationType.Q8_0 if data.ndim == 2 and data.shape[1] % 32 == 0 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
