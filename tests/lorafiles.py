"""LoRA files for tests, written without torch: of the right layers, with values of chance."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

EMBEDDED = Path(__file__).parent.parent / "models" / "embedded" / "checkpoint" / "transformer" / "config.json"


def embedded_lora(path: Path, seed: int = 1, rank: int = 2, metadata: dict[str, str] | None = None) -> Path:
    """A LoRA for the model that ships, in diffusers' naming."""
    config = json.loads(EMBEDDED.read_text(encoding="utf-8"))
    return lora(path, config["num_attention_heads"] * config["attention_head_dim"], seed, rank, metadata)


def lora(path: Path, width: int, seed: int = 1, rank: int = 2, metadata: dict[str, str] | None = None) -> Path:
    """A LoRA for a FLUX.1 transformer so wide: 3072 is that of dev and schnell."""
    chance = np.random.default_rng(seed)
    tensors = {}
    for target in ("to_q", "to_v"):
        layer = f"transformer.transformer_blocks.0.attn.{target}"
        tensors[f"{layer}.lora_A.weight"] = (0.1 * chance.standard_normal((rank, width))).astype(np.float32)
        tensors[f"{layer}.lora_B.weight"] = (0.1 * chance.standard_normal((width, rank))).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    return path
