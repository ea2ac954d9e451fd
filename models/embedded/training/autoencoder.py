"""The embedded autoencoder: diffusers' AutoencoderKL, f16, 16 latent channels, so that 256 x 256 is 64 image tokens.

Trained on random crops (the network is convolutional: the same cost buys more variety), with an L1 + MSE + gradient loss,
a light KL term, and one norm group: norms over few channels forget the colour of plain areas. The decoder sees sampled latents,
so it forgives the small errors that the flow will make.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn

from models.embedded.training.data import Renders
from models.embedded.training.loop import Loop

CROP, BATCH, KL = 96, 16, 2e-4


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=16, layers_per_block=1, block_out_channels=(16, 32, 64, 112, 160),
        down_block_types=("DownEncoderBlock2D",) * 5, up_block_types=("UpDecoderBlock2D",) * 5, norm_num_groups=1, sample_size=256,
        mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False, force_upcast=False,
    )


def train_autoencoder(
    renders: list[Renders], folder: Path, *, steps: int, seed: int, device: str, freeze_encoder: bool = False,
    compiled: bool = False,
) -> AutoencoderKL:
    """With `freeze_encoder` only the decoder learns on: the latents that the flow was trained on stay what they are."""
    torch.manual_seed(seed)
    vae = new_autoencoder().to(device)
    start_as_thumbnail(vae)
    loop = Loop("autoencoder", {"vae": vae}, [torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.0)],
                steps=steps, folder=folder, seed=seed)
    if freeze_encoder:
        vae.encoder.requires_grad_(False)
    reconstruct = torch.compile(_reconstruct) if compiled else _reconstruct
    for _, rng in loop:
        x = _crops(renders, rng).to(device)
        with torch.autocast(device, torch.bfloat16):
            y, kl = reconstruct(vae, x)
        loss = _reconstruction_loss(y, x) + KL * kl
        loop.update(loss)
        if loop.step % 250 == 0:
            print(f"autoencoder step {loop.step}: {_decibel(F.mse_loss(y, x)):.2f} dB, kl {float(kl):.2f}", flush=True)
    vae.load_state_dict(loop.averaged("vae"))
    return vae.eval()


def _reconstruct(vae: AutoencoderKL, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (picture (B, 3, H, W), KL divergence from the unit normal, nats a latent value)."""
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.mean + posterior.std * torch.randn_like(posterior.mean)).sample.float()
    return y, posterior.kl().mean() / posterior.mean[0].numel()


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


def _reconstruction_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """L1 over lightness and two opponent colours, L1 at an eighth of the size (both because colour is learned last), MSE, gradients."""
    d = y - x
    red, green, blue = d.unbind(1)
    opponent = torch.stack((d.mean(1), red - blue, green - (red + blue) / 2), 1)
    return opponent.abs().mean() + d.pow(2).mean() + F.avg_pool2d(d, 8).abs().mean() + 0.3 * _gradient_loss(y, x)


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
    x = torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.autocast(device, torch.bfloat16):
        return vae.encode(x).latent_dist.mode().float()


@torch.no_grad()
def start_as_thumbnail(vae: AutoencoderKL) -> None:
    """Set the weights so that the untrained network already passes a thumbnail of the picture through.

    Six channels carry +R -R +G -G +B -B from end to end (silu(a) - silu(-a) = a undoes the activations), and residual branches start
    at nothing. From a random start colour is what convolutions learn last; from here it is there at step 0.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.mul_(0.05)
            module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut, torch.eye(6))
        elif isinstance(module, (Downsample2D, Upsample2D)):
            _carry(module.conv, torch.eye(6), average=isinstance(module, Downsample2D))
    double = torch.tensor([[1.0], [-1.0]])
    spread = torch.block_diag(double, double, double)  # (6, 3): a colour to its two signs
    _carry(vae.encoder.conv_in, spread)
    _carry(vae.encoder.conv_out, 0.4 * spread.T)
    _carry(vae.decoder.conv_in, spread)
    _carry(vae.decoder.conv_out, 0.37 * spread.T)  # the last norm gives its channels a deviation of about 1
    vae.encoder.conv_out.weight[16:].mul_(0.1)
    vae.encoder.conv_out.bias[16:].fill_(-4.0)  # log variance: little noise to begin with


def _carry(conv: nn.Conv2d, matrix: torch.Tensor, average: bool = False) -> None:
    """Make the first outputs of `conv` the given mix of its first inputs, at the middle tap or (stride 2) as the mean of 2 x 2."""
    rows, columns = matrix.shape
    conv.weight[:rows].zero_()
    assert conv.bias is not None
    conv.bias[:rows].zero_()
    size = conv.weight.shape[-1]
    taps = [(0, 0), (0, 1), (1, 0), (1, 1)] if average else [(size // 2, size // 2)]
    for y, x in taps:
        conv.weight[:rows, :columns, y, x] = matrix / len(taps)
