"""Text encoders that know what the captions say before the flow sees them.

Encoders trained from nothing by the flow's loss are slow to become useful, so T5 and CLIP first learn to name every attribute of a
scene from its caption, through linear heads that are thrown away. After that they are frozen.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from models.embedded.captions import caption
from models.embedded.training.loop import Loop
from models.embedded.training.tokenizers import CLIP_TOKENS, T5_TOKENS, clip_tokenizer, t5_tokenizer
from models.embedded.world import COLOURS, FRAMINGS, LIGHTS, OBJECTS, SCENES, SIGNS, STYLES, Scene, sample_scene

BATCH = 192
ATTRIBUTES = {
    "object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES, "light": LIGHTS, "framing": FRAMINGS, "style": STYLES, "sign": SIGNS,
}


class TextEncoders(nn.Module):
    """CLIP for the pooled vector (B, 64), T5 for the sequence (B, L, 128); both read padding too, as FluxPipeline does."""

    def __init__(self) -> None:
        super().__init__()
        self.clip_tokenizer, self.t5_tokenizer = clip_tokenizer(), t5_tokenizer()
        clip, t5 = self.clip_tokenizer, self.t5_tokenizer
        self.clip = CLIPTextModel(CLIPTextConfig(
            vocab_size=len(clip), hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, projection_dim=64,
            max_position_embeddings=CLIP_TOKENS, bos_token_id=clip.bos_token_id, eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        ))
        self.t5 = T5EncoderModel(T5Config(
            vocab_size=len(t5), d_model=128, d_kv=32, num_heads=4, d_ff=256, num_layers=3, feed_forward_proj="gated-gelu", dropout_rate=0.0,
            pad_token_id=t5.pad_token_id, eos_token_id=t5.eos_token_id, tie_word_embeddings=False,
        ))

    def forward(self, prompts: list[str], device: str, tokens: int = T5_TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
        """-> (sequence (B, tokens, 128), pooled (B, 64))."""
        clip = self.clip_tokenizer(prompts, padding="max_length", max_length=CLIP_TOKENS, truncation=True, return_tensors="pt").input_ids
        t5 = self.t5_tokenizer(prompts, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt").input_ids
        return self.t5(t5.to(device))[0], self.clip(clip.to(device)).pooler_output


class _Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sequence = nn.ModuleDict({name: nn.Linear(128, len(values)) for name, values in ATTRIBUTES.items()})
        self.pooled = nn.ModuleDict({name: nn.Linear(64, len(values)) for name, values in ATTRIBUTES.items()})


def labels(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, values in ATTRIBUTES.items()}


def caption_or_nothing(scene: Scene, rng: np.random.Generator, dropout: float) -> str:
    return "" if rng.random() < dropout else caption(scene, rng)


def train_text(folder: Path, *, steps: int, seed: int, device: str) -> TextEncoders:
    torch.manual_seed(seed)
    encoders, heads = TextEncoders().to(device), _Heads().to(device)
    parameters = [*encoders.parameters(), *heads.parameters()]
    adam = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    loop = Loop("text", {"encoders": encoders, "heads": heads}, [adam], steps=steps, folder=folder, seed=seed, ema=0.99)
    for _, rng in loop:
        scenes = [sample_scene(rng, held_out=None) for _ in range(BATCH)]  # words, not pictures: no triple is held out here
        truth = labels(scenes)
        length = int(rng.choice((32, T5_TOKENS)))
        sequence, pooled = encoders([caption(scene, rng) for scene in scenes], device, length)
        loss, right = torch.zeros((), device=device), []
        for name, target in truth.items():
            target = target.to(device)
            answers = heads.sequence[name](sequence.mean(1)), heads.pooled[name](pooled)
            loss = loss + sum(F.cross_entropy(answer, target) for answer in answers)
            right += [(answer.argmax(1) == target).float().mean() for answer in answers]
        loop.update(loss)
        if loop.step % 100 == 0:
            print(f"text step {loop.step}: attributes named {float(torch.stack(right).mean()):.4f}", flush=True)
    encoders.load_state_dict(loop.averaged("encoders"))
    return encoders.eval().requires_grad_(False)


def load_text(folder: Path, device: str) -> TextEncoders:
    """The frozen, averaged encoders of a finished text stage."""
    encoders = TextEncoders()
    encoders.load_state_dict(torch.load(folder / "text.pt", map_location="cpu", weights_only=True)["averages"]["encoders"])
    return encoders.to(device).eval().requires_grad_(False)
