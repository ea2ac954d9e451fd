"""Noise, latents and pixels of the two FLUX generations. Only a worker imports this.

FLUX.1 denoises 16-channel latents packed into 2 x 2 patches; FLUX.2 denoises 32-channel latents patchified to 128 channels and
normalised by the statistics of its autoencoder's batch norm. "VAE latents" below are what `vae.decode` takes.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

_SIDE = 4  # A preview pixel stands for 4 x 4 pixels of the picture.


def noise(seeds: tuple[int, ...], shape: tuple[int, ...]) -> torch.Tensor:
    """Gaussian noise (len(seeds), *shape), float32, on the CPU: the same for a seed in every batch and on every device."""
    return torch.stack([torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])


class Flux1Latents:
    """Latents of FluxPipeline and its kin (B, tokens, 64) for pictures of width x height pixels."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self.vae = pipe, pipe.vae

    def start(self, seeds: tuple[int, ...], width: int, height: int) -> torch.Tensor:
        """What to hand the pipeline as `latents`."""
        cell = self._pipe.vae_scale_factor * 2
        channels, rows, columns = self._pipe.transformer.config.in_channels // 4, 2 * (height // cell), 2 * (width // cell)
        return self._pipe._pack_latents(noise(seeds, (channels, rows, columns)), len(seeds), channels, rows, columns)

    def to_vae(self, packed: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """Latents as the pipeline steps through them -> VAE latents (B, 16, height/f, width/f)."""
        latents = self._pipe._unpack_latents(packed, height, width, self._pipe.vae_scale_factor)
        return latents / self.vae.config.scaling_factor + self.vae.config.shift_factor

    def finished(self, output: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """The pipeline's output with output_type="latent" -> VAE latents."""
        return self.to_vae(output, width, height)

    def encode(self, images: list[Image.Image], width: int, height: int) -> torch.Tensor:
        """Pictures -> start latents for img2img (B, 16, height/f, width/f): the mode of the posterior, so that no seed is used up."""
        pixels = self._pipe.image_processor.preprocess(images, height=height, width=width)
        pixels = pixels.to(self.vae.device, self.vae.dtype)
        latents = torch.cat([self.vae.encode(one[None]).latent_dist.mode() for one in pixels])
        return (latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor


class Flux2Latents:
    """Latents of Flux2Pipeline and Flux2KleinPipeline (B, tokens, 128)."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self.vae = pipe, pipe.vae

    def start(self, seeds: tuple[int, ...], width: int, height: int) -> torch.Tensor:
        cell = self._pipe.vae_scale_factor * 2
        return noise(seeds, (self._pipe.transformer.config.in_channels, height // cell, width // cell))

    def to_vae(self, packed: torch.Tensor, width: int, height: int) -> torch.Tensor:
        cell = self._pipe.vae_scale_factor * 2
        latents = packed.transpose(1, 2).reshape(packed.shape[0], -1, height // cell, width // cell)
        mean = self.vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
        std = torch.sqrt(self.vae.bn.running_var.view(1, -1, 1, 1) + self.vae.config.batch_norm_eps).to(latents)
        return self._pipe._unpatchify_latents(latents * std + mean)

    def finished(self, output: torch.Tensor, width: int, height: int) -> torch.Tensor:
        # Flux2KleinPipeline has already normalised and unpatchified them, Flux2Pipeline has not.
        return self.to_vae(output, width, height) if output.ndim == 3 else output


def latents_of(pipe: Any) -> Flux1Latents | Flux2Latents:
    return Flux2Latents(pipe) if hasattr(pipe, "_unpatchify_latents") else Flux1Latents(pipe)


def decode(pipe: Any, latents: torch.Tensor) -> Image.Image:
    """VAE latents of one picture (1, C, h, w) -> the picture. One at a time, so that its neighbours in a batch change nothing."""
    with torch.no_grad():
        pixels = pipe.vae.decode(latents.to(pipe.vae.device, pipe.vae.dtype), return_dict=False)[0]
    return pipe.image_processor.postprocess(pixels.float(), output_type="pil")[0]


def estimate(before: torch.Tensor | None, now: torch.Tensor, sigma_before: float, sigma: float) -> torch.Tensor:
    """The model's present idea of the clean latents, from two neighbouring states of an Euler step along a rectified flow:
    x = x0 + sigma v, so v is their slope and x0 = now - sigma v. Without a state before it is the noisy state itself."""
    if before is None or sigma_before == sigma:
        return now
    return now.float() - sigma * (now.float() - before.float()) / (sigma - sigma_before)


class Previewer:
    """VAE latents -> small pictures, by a linear map: 3 x 3 latent cells give one cell of RGB pixels (a 3 x 3 convolution and a
    pixel shuffle). Fitted by least squares on a few drawn pictures for whatever autoencoder it meets; `file` keeps the result."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self.weight, self.bias = weight, bias

    @classmethod
    def of(cls, vae: Any, file: Path | None = None) -> Previewer:
        """Read from `file` if it is there, else fitted (well under a second for a small autoencoder)."""
        if file is not None and file.is_file():
            from safetensors.torch import load_file

            tensors = load_file(file)
            return cls(tensors["weight"].to(vae.device), tensors["bias"].to(vae.device))
        return cls.fit(vae)

    @classmethod
    def fit(cls, vae: Any, count: int = 6, size: int = 192) -> Previewer:
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        side = max(1, scale // _SIDE)
        pixels = torch.from_numpy(np.stack([_drawn(seed, size) for seed in range(count)])).permute(0, 3, 1, 2)
        with torch.no_grad():
            given = torch.cat([vae.encode(one[None].to(vae.device, vae.dtype)).latent_dist.mode() for one in pixels * 2 - 1]).float().cpu()
        small = functional.interpolate(pixels, size=(size // scale * side,) * 2, mode="area")
        wanted = functional.pixel_unshuffle(small, side) if side > 1 else small
        patches = functional.unfold(functional.pad(given, (1, 1, 1, 1), mode="replicate"), 3)
        rows = patches.transpose(1, 2).reshape(-1, patches.shape[1])
        rows = torch.cat([rows, torch.ones(len(rows), 1)], 1).double()
        target = wanted.flatten(2).transpose(1, 2).reshape(-1, wanted.shape[1]).double()
        # Ridge: the latents of a few pictures do not fill all directions.
        ridge = 1e-3 * len(rows) * torch.eye(rows.shape[1], dtype=torch.float64)
        solved = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ target).float().T
        weight = solved[:, :-1].reshape(-1, given.shape[1], 3, 3)
        return cls(weight.to(vae.device), solved[:, -1].to(vae.device))

    def save(self, file: Path) -> None:
        from safetensors.torch import save_file

        save_file({"weight": self.weight.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}, file)

    def __call__(self, latents: torch.Tensor) -> list[Image.Image]:
        """VAE latents (B, C, h, w) -> B pictures of a quarter of the final width and height."""
        padded = functional.pad(latents.float(), (1, 1, 1, 1), mode="replicate")
        pixels = functional.conv2d(padded, self.weight, self.bias)
        pixels = functional.pixel_shuffle(pixels, int((pixels.shape[1] // 3) ** 0.5))
        array = pixels.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(one) for one in array]


def _drawn(seed: int, size: int) -> np.ndarray:
    """A picture (size, size, 3) in 0..1 of soft colour fields with hard-edged ellipses: colours and edges to fit on."""
    rng = np.random.default_rng(seed)
    field = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    picture = np.asarray(field, dtype=np.float32) / 255
    y, x = np.mgrid[0:size, 0:size] / size
    for _ in range(8):
        cx, cy, rx, ry = *rng.random(2), *(0.05 + 0.2 * rng.random(2))
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
        picture[inside] = rng.random(3).astype(np.float32)
    return np.clip(picture, 0, 1)
