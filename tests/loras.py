"""LoRA files made for tests: random pairs for the layers of a model, under the names of whoever keeps them so. No torch."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from models.cards import ModelCard
from models.lora_export import About, save_lora
from models.presets import load_catalogue
from models.tensorfile import from_float, write

CATALOGUE = load_catalogue()
# Some layers of the embedded model (192 wide, 2 + 4 blocks): rows and columns.
EMBEDDED = {
    "transformer.transformer_blocks.1.attn.to_q": (192, 192),
    "transformer.transformer_blocks.1.attn.to_k": (192, 192),
    "transformer.transformer_blocks.1.attn.to_v": (192, 192),
    "transformer.transformer_blocks.0.attn.add_k_proj": (192, 192),
    "transformer.transformer_blocks.0.ff.net.0.proj": (768, 192),
    "transformer.transformer_blocks.0.ff_context.net.2": (192, 768),
    "transformer.transformer_blocks.0.norm1.linear": (1152, 192),
    "transformer.single_transformer_blocks.3.attn.to_q": (192, 192),
    "transformer.single_transformer_blocks.3.proj_mlp": (768, 192),
    "transformer.single_transformer_blocks.3.proj_out": (192, 960),
    "transformer.norm_out.linear": (384, 192),
    "transformer.proj_out": (64, 192),
    "transformer.x_embedder": (192, 64),
    "transformer.time_text_embed.text_embedder.linear_1": (192, 64),
}
TEXT = {
    "text_encoder.encoder.layers.0.self_attn.q_proj": (64, 64),
    "text_encoder.encoder.layers.1.mlp.fc1": (192, 64),
}


def tensors(layers: dict[str, tuple[int, int]], rank: int = 4, seed: int = 0, size: float = 1.0) -> dict[str, np.ndarray]:
    """Random pairs by PEFT's names, float32."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, (outs, ins) in layers.items():
        found[f"{name}.lora_A.weight"] = (size * generator.standard_normal((rank, ins)) / ins**0.5).astype(np.float32)
        found[f"{name}.lora_B.weight"] = (size * generator.standard_normal((outs, rank)) / rank**0.5).astype(np.float32)
    return found


def embedded_lora(
    path: Path, seed: int = 0, rank: int = 4, size: float = 1.0, text: bool = False, triggers: tuple[str, ...] = ("zibble",)
) -> Path:
    """A LoRA for the embedded model; `text`: for its CLIP text encoder too."""
    save_lora(path, tensors(EMBEDDED | (TEXT if text else {}), rank, seed, size), card(), About(path.stem, triggers))
    return path


def card() -> ModelCard:
    return CATALOGUE.card("embedded")


def raw_file(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None, kind: str = "F32") -> Path:
    """Tensors under whatever names."""
    write(path, {name: from_float(np.asarray(array, np.float32), kind) for name, array in arrays.items()}, metadata or {})
    return path


def as_kohya(path: Path, alpha: float, rank: int = 4, seed: int = 0, metadata: dict[str, str] | None = None) -> Path:
    """sd-scripts' file for two layers of the embedded model, q, k and v as one, with an alpha that is not the rank."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for stem, outs, ins in (("double_blocks_0_img_attn_qkv", 576, 192), ("single_blocks_1_linear1", 1344, 192)):
        arrays[f"lora_unet_{stem}.lora_down.weight"] = generator.standard_normal((rank, ins))
        arrays[f"lora_unet_{stem}.lora_up.weight"] = generator.standard_normal((outs, rank))
        arrays[f"lora_unet_{stem}.alpha"] = np.array(alpha)
    return raw_file(path, arrays, metadata)
