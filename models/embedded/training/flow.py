"""The embedded transformer: diffusers' FluxTransformer2DModel, trained by flow matching on cached latents.

Timesteps are logit-normal (https://arxiv.org/abs/2403.03206) with a uniform share, and image tokens that show the object weigh more:
backgrounds are learned first and would otherwise own most of the loss.
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.embedded.training.autoencoder import encode, latent_statistics, new_autoencoder
from models.embedded.training.data import Renders
from models.embedded.training.loop import Loop, optimizers_for
from models.embedded.training.text import caption_or_nothing, load_text
from models.embedded.world import Scene

BATCH, DROPOUT, OBJECT_WEIGHT, UNIFORM = 64, 0.1, 2.0, 0.15


def new_transformer() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=2, num_single_layers=4, attention_head_dim=32, num_attention_heads=6,
        joint_attention_dim=128, pooled_projection_dim=64, guidance_embeds=False, axes_dims_rope=(4, 14, 14),
    )


@dataclass
class Latents:
    """The pictures of one size as the flow sees them: `packed` (n, tokens, 64) at mean 0, deviation 1; `weights` (n, tokens)."""

    size: tuple[int, int]
    packed: torch.Tensor
    weights: torch.Tensor
    scenes: list[Scene]


def load_autoencoder(folder: Path, device: str) -> AutoencoderKL:
    """The averaged autoencoder of the last checkpoint in `folder`."""
    vae = new_autoencoder()
    vae.load_state_dict(torch.load(folder / "autoencoder.pt", map_location="cpu", weights_only=True)["averages"]["vae"])
    return vae.to(device).eval().requires_grad_(False)


def open_latents(renders: list[Renders], folder: Path, device: str) -> list[Latents]:
    """Encode every render once; shift and scale are fixed here and exported with the autoencoder."""
    file = folder / "latents.pt"
    if not file.exists():
        vae = load_autoencoder(folder, device)
        shift, scale = latent_statistics(vae, renders, device)
        print(f"latents: shift {shift:.4f} scale {scale:.4f}", flush=True)
        groups = []
        for group in renders:
            started, parts = time.monotonic(), []
            for i in range(0, len(group.scenes), 64):
                parts.append(((encode(vae, group.pictures[i:i + 64], device) - shift) * scale).half().cpu())
            groups.append(torch.cat(parts))
            print(f"latents {group.size}: {len(group.scenes)} in {time.monotonic() - started:.0f} s", flush=True)
        temporary = file.with_suffix(".tmp")
        torch.save({"shift": shift, "scale": scale, "groups": groups}, temporary)
        temporary.replace(file)
    saved = torch.load(file, weights_only=True)
    found = []
    for group, z in zip(renders, saved["groups"], strict=True):
        n, channels, height, width = z.shape
        weights = 1 + OBJECT_WEIGHT * torch.from_numpy(group.masks.astype(np.float32)).flatten(1)
        packed = FluxPipeline._pack_latents(z, n, channels, height, width)
        found.append(Latents(group.size, packed, weights / weights.mean(), group.scenes))
    return found


def train_flow(
    renders: list[Renders], folder: Path, *, steps: int, seed: int, device: str, compiled: bool = False, rate: float = 2e-3,
) -> FluxTransformer2DModel:
    latents = open_latents(renders, folder, device)
    text = load_text(folder, device)
    torch.manual_seed(seed)
    transformer = new_transformer().to(device)
    if compiled:
        transformer.compile_repeated_blocks()
    loop = Loop("flow", {"transformer": transformer}, optimizers_for([transformer], muon_rate=rate, adam_rate=rate), steps=steps,
                folder=folder, seed=seed, warmup=100, decay=0.35, ema=0.9985)
    shares = np.array([len(group.scenes) for group in latents], float)
    # The flash kernel of the CPU is slower than plain matrix products for sequences this short.
    with sdpa_kernel(SDPBackend.MATH if device == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        for _, rng in loop:
            group = latents[rng.choice(len(latents), p=shares / shares.sum())]
            rows = rng.integers(len(group.scenes), size=BATCH)
            captions = [caption_or_nothing(group.scenes[row], rng, DROPOUT) for row in rows]
            x0, weights = group.packed[rows].float().to(device), group.weights[rows].to(device)
            with torch.autocast(device, torch.bfloat16):
                sequence, pooled = text(captions, device)
            loop.update(_loss(transformer, x0, weights, sequence, pooled, group.size, rng, device))
            if loop.step % 100 == 0:
                print(f"flow step {loop.step}: loss {loop.average_loss:.4f}", flush=True)
    transformer.load_state_dict(loop.averaged("transformer"))
    return transformer.eval()


def _loss(
    transformer: FluxTransformer2DModel, x0: torch.Tensor, weights: torch.Tensor, sequence: torch.Tensor, pooled: torch.Tensor,
    size: tuple[int, int], rng: np.random.Generator, device: str,
) -> torch.Tensor:
    """Weighted squared error of the velocity noise - x0 at zt = (1 - t) x0 + t noise."""
    n = len(x0)
    times = np.where(rng.random(n) < UNIFORM, rng.random(n), 1 / (1 + np.exp(-rng.normal(0.15, 1.0, n))))
    t = torch.from_numpy(times.astype(np.float32)).to(device)
    noise = torch.randn(x0.shape).to(device)
    zt = (1 - t[:, None, None]) * x0 + t[:, None, None] * noise
    with torch.autocast(device, torch.bfloat16):
        velocity = transformer(
            hidden_states=zt, encoder_hidden_states=sequence, pooled_projections=pooled, timestep=t,
            img_ids=FluxPipeline._prepare_latent_image_ids(n, size[1] // 32, size[0] // 32, device, torch.float32),
            txt_ids=torch.zeros(sequence.shape[1], 3, device=device), return_dict=False,
        )[0]
    error = (velocity.float() - (noise - x0)).pow(2).mean(-1)
    return (error * weights).mean()


def load_transformer(folder: Path, device: str) -> FluxTransformer2DModel:
    """The averaged transformer of the last checkpoint in `folder`."""
    transformer = new_transformer()
    transformer.load_state_dict(torch.load(folder / "flow.pt", map_location="cpu", weights_only=True)["averages"]["transformer"])
    return transformer.to(device).eval().requires_grad_(False)
