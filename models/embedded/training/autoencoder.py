"""The embedded autoencoder: diffusers' AutoencoderKL, f16, 16 latent channels, so that 256 x 256 is 64 image tokens.

Trained on random crops (the network is convolutional: the same cost buys more variety), with an L1 + MSE + gradient loss
and a light KL term. The decoder sees sampled latents, so it forgives the small errors that the flow will make.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from models.embedded.training.data import Renders
from models.embedded.training.loop import Loop

CROP, BATCH, KL = 96, 16, 2e-4


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=16, layers_per_block=1, block_out_channels=(16, 32, 64, 96, 128),
        down_block_types=("DownEncoderBlock2D",) * 5, up_block_types=("UpDecoderBlock2D",) * 5, norm_num_groups=4, sample_size=256,
        mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False, force_upcast=False,
    )


def train_autoencoder(
    renders: list[Renders], folder: Path, *, steps: int, seed: int, device: str, freeze_encoder: bool = False,
) -> AutoencoderKL:
    """With `freeze_encoder` only the decoder learns on: the latents that the flow was trained on stay what they are."""
    torch.manual_seed(seed)
    vae = new_autoencoder().to(device)
    loop = Loop("autoencoder", {"vae": vae}, [torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.0)],
                steps=steps, folder=folder, seed=seed)
    if freeze_encoder:
        vae.encoder.requires_grad_(False)
    for _, rng in loop:
        x = _crops(renders, rng).to(device)
        with torch.autocast(device, torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample()).sample.float()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss = F.l1_loss(y, x) + F.mse_loss(y, x) + 0.5 * _gradient_loss(y, x) + KL * kl
        loop.update(loss)
        if loop.step % 250 == 0:
            print(f"autoencoder step {loop.step}: {_decibel(F.mse_loss(y, x)):.2f} dB, kl {float(kl):.2f}", flush=True)
    vae.load_state_dict(loop.averaged("vae"))
    return vae.eval()


def _crops(renders: list[Renders], rng: np.random.Generator) -> torch.Tensor:
    weights = np.array([len(group.scenes) for group in renders], float)
    crops = np.empty((BATCH, CROP, CROP, 3), np.uint8)
    for i, g in enumerate(rng.choice(len(renders), BATCH, p=weights / weights.sum())):
        pictures = renders[g].pictures
        n, height, width, _ = pictures.shape
        top, left = rng.integers(height - CROP + 1), rng.integers(width - CROP + 1)
        crop = pictures[rng.integers(n), top:top + CROP, left:left + CROP]
        crops[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def _gradient_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Differences between neighbours: what L1 alone blurs first."""
    return F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))


def _decibel(mse: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of values in -1..1."""
    return float(10 * torch.log10(4 / mse.detach()))


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, renders: list[Renders], device: str) -> tuple[float, float]:
    """(shift, scale) that give latents a mean of 0 and a deviation of 1, as `vae.config` holds them."""
    square = renders[0].pictures[:256]
    z = torch.cat([encode(vae, square[i:i + 32], device) for i in range(0, len(square), 32)])
    return float(z.mean()), float(1 / z.std())


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> torch.Tensor:
    """uint8 (n, H, W, 3) -> float32 latents (n, 16, H/16, W/16), neither shifted nor scaled."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.autocast(device, torch.bfloat16):
        return vae.encode(x).latent_dist.mode().float()
