"""The two FLUX generations as a trainer sees them: pictures to latents, latents to a velocity.

The names follow diffusers' pipelines, which are the reference: what they feed their transformers while drawing is fed here while
training. Latents below are (B, C, h, w); `velocity` packs and unpacks.
"""
from __future__ import annotations

import re
from typing import Any

import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from PIL import Image

from models.reading import Embeddings

# Linear layers by what they do, in the names of both generations. A bare "proj_out" would also be FLUX.1's last layer.
GROUPS = {
    "attention": r"(single_)?transformer_blocks\.\d+\.attn\.(to_[qkv]|to_out(\.0)?|add_[qkv]_proj|to_add_out|to_qkv_mlp_proj)",
    "feedforward": r"transformer_blocks\.\d+\.ff(_context)?\.(net\.0\.proj|net\.2|linear_in|linear_out)",
    "single": r"single_transformer_blocks\.\d+\.(proj_mlp|proj_out)",
    "modulation": r"(single_)?transformer_blocks\.\d+\.norm(1|1_context)?\.linear|(double|single)_stream_modulation(_img|_txt)?\.linear",
    "embedders": r"(x|context)_embedder|time_text_embed\.text_embedder\.linear_[12]",
}


def linear_names(transformer: torch.nn.Module, targets: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers that `targets` (groups, or ends of names) mean. Raises KeyError with a target that means none."""
    linears = [name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)]
    found: list[str] = []
    for target in targets:
        if target in GROUPS:
            matching = [name for name in linears if re.fullmatch(GROUPS[target], name)]
        else:
            matching = [name for name in linears if name == target or name.endswith(f".{target}")]
        # FLUX.2's single blocks have their feed-forward layers inside the attention: nothing of its own is left for "single".
        if not matching and target != "single":
            raise KeyError(target)
        found += matching
    return [name for name in linears if name in set(found)]


class Flux1:
    """FLUX.1: 16-channel latents packed in 2 x 2 patches, T5 and a pooled CLIP embedding."""

    def __init__(self, pipe: Any, guidance: float) -> None:
        self.pipe, self.transformer, self.vae, self.guidance = pipe, pipe.transformer, pipe.vae, guidance

    def encode(self, image: Image.Image, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of the latents (1, C, h, w), float32: a sample of them is what the transformer learns."""
        pixels = self.pipe.image_processor.preprocess(image, height=size[1], width=size[0])
        found = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        scale, shift = self.vae.config.scaling_factor, self.vae.config.shift_factor
        return (found.mean.float() - shift) * scale, found.std.float() * scale

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        return self.pipe._pack_latents(latents, *latents.shape)

    def unpacked(self, packed: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The pipeline's output with output_type="latent" -> latents."""
        return self.pipe._unpack_latents(packed, size[1], size[0], self.pipe.vae_scale_factor)

    def velocity(self, noisy: torch.Tensor, sigma: torch.Tensor, text: Embeddings) -> torch.Tensor:
        """What the transformer takes noise - x0 to be, packed. sigma: (B,) in [0, 1]."""
        batch, _, height, width = noisy.shape
        device, dtype = noisy.device, self.transformer.dtype
        embeds = text["prompt_embeds"]
        guided = self.transformer.config.guidance_embeds
        return self.transformer(
            hidden_states=self.pack(noisy).to(dtype),
            timestep=sigma,
            guidance=torch.full((batch,), self.guidance, device=device) if guided else None,
            pooled_projections=text["pooled_prompt_embeds"],
            encoder_hidden_states=embeds,
            txt_ids=torch.zeros(embeds.shape[1], 3, device=device, dtype=dtype),
            img_ids=self.pipe._prepare_latent_image_ids(batch, height // 2, width // 2, device, dtype),
            return_dict=False,
        )[0]

    def tokens(self, latents: torch.Tensor) -> int:
        return latents.shape[-2] * latents.shape[-1] // 4


class Flux2:
    """FLUX.2: 32-channel latents patchified to 128 and normalised by the autoencoder's batch norm; 4-D positions; no pooled input."""

    def __init__(self, pipe: Any, guidance: float) -> None:
        self.pipe, self.transformer, self.vae, self.guidance = pipe, pipe.transformer, pipe.vae, guidance

    def encode(self, image: Image.Image, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents (1, 128, h, w), float32, and no deviation: these models learn the posterior's mode."""
        pixels = self.pipe.image_processor.preprocess(image, height=size[1], width=size[0])
        latents = self.pipe._encode_vae_image(pixels.to(self.vae.device, self.vae.dtype), generator=None).float()
        return latents, torch.zeros_like(latents)

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.flatten(2).transpose(1, 2)

    def unpacked(self, finished: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The pipeline's output with output_type="latent" (decodable latents) -> latents as the transformer has them."""
        latents = self.pipe._patchify_latents(finished)
        mean = self.vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
        return (latents - mean) / torch.sqrt(self.vae.bn.running_var.view(1, -1, 1, 1) + self.vae.config.batch_norm_eps).to(latents)

    def velocity(self, noisy: torch.Tensor, sigma: torch.Tensor, text: Embeddings) -> torch.Tensor:
        """What the transformer takes noise - x0 to be, packed. sigma: (B,) in [0, 1]."""
        device, dtype = noisy.device, self.transformer.dtype
        embeds = text["prompt_embeds"]
        guided = getattr(self.transformer.config, "guidance_embeds", False)
        return self.transformer(
            hidden_states=self.pack(noisy).to(dtype),
            timestep=sigma,
            guidance=torch.full((len(noisy),), self.guidance, device=device) if guided else None,
            encoder_hidden_states=embeds,
            txt_ids=self.pipe._prepare_text_ids(embeds).to(device),
            img_ids=self.pipe._prepare_latent_ids(noisy).to(device),
            return_dict=False,
        )[0]

    def tokens(self, latents: torch.Tensor) -> int:
        return latents.shape[-2] * latents.shape[-1]


Family = Flux1 | Flux2


def family_of(pipe: Any, guidance: float) -> Family:
    return Flux2(pipe, guidance) if hasattr(pipe, "_unpatchify_latents") else Flux1(pipe, guidance)


def shifted(sigma: torch.Tensor, config: Any, tokens: int) -> torch.Tensor:
    """Noise levels moved as the model's scheduler moves them: larger pictures need more noise to lose the same share of what they
    show (https://arxiv.org/abs/2403.03206, section 5.3.2)."""
    if config.get("use_dynamic_shifting"):
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        given = [config[name] for name in names]
        factor = torch.exp(torch.tensor(calculate_shift(tokens, *given), dtype=sigma.dtype)).to(sigma)
    else:
        factor = torch.tensor(float(config.get("shift", 1.0))).to(sigma)
    return factor * sigma / (1 + (factor - 1) * sigma)
