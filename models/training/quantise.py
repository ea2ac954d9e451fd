"""The frozen base in fewer bits: linear layers kept in 8 or 4 bits, and 16 bits again only while they are used.

Not through a hook that casts whole modules: autograd would find the narrow weight in the backward pass. Here it is kept narrow
and widened once more there.
"""
from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch.nn import functional

BLOCK = 64  # weights that share a scale in "nf4"
# Sixteen levels at the quantiles of a normal distribution (QLoRA, https://arxiv.org/abs/2305.14314, appendix E).
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class NarrowLinear(torch.nn.Module):
    """A frozen linear layer of `kind` "fp8" (e4m3, a scale a row) or "nf4" (a scale a block of 64)."""

    def __init__(self, linear: torch.nn.Linear, kind: str, device: torch.device) -> None:
        super().__init__()
        self.in_features, self.out_features, self.kind, self.dtype = linear.in_features, linear.out_features, kind, linear.weight.dtype
        weight = linear.weight.detach().to(device, torch.float32)
        pack = _pack_fp8 if kind == "fp8" else _pack_nf4
        codes, scales = pack(weight)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().to(device))

    def wide(self) -> torch.Tensor:
        """The weight (out, in) at 16 bits, or as it was."""
        if self.kind == "fp8":
            return self.codes.to(self.dtype) * self.scales.to(self.dtype)
        pairs = _pairs(self.codes.device, self.dtype)[self.codes.int()]  # (blocks, 32, 2)
        wide = pairs.flatten(1) * self.scales.to(self.dtype)
        return wide.flatten()[: self.in_features * self.out_features].view(self.out_features, self.in_features)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return _Narrow.apply(given, self)

    def __getattr__(self, name: str) -> Any:
        # peft and diffusers ask a linear layer for its weight's dtype and device.
        if name == "weight":
            return torch.empty(0, dtype=self.dtype, device=self.codes.device)
        return super().__getattr__(name)


class _Narrow(torch.autograd.Function):
    """y = x W' + b, with W widened in both passes and kept in neither."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, layer: NarrowLinear) -> torch.Tensor:
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(layer.dtype)
        return functional.linear(given.to(layer.dtype), layer.wide(), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ ctx.layer.wide().to(gradients[0].dtype), None


def to_device(transformer: Any, device: torch.device, kind: str) -> None:
    """Move the transformer, its blocks' frozen linear layers narrowed one by one, so that the device never holds them wide."""
    if kind != "none":
        blocks = [name for name, _ in transformer.named_children() if name.endswith("transformer_blocks")]
        for name in blocks:
            _narrow(getattr(transformer, name), kind, device)
    transformer.to(device)


def _narrow(module: torch.nn.Module, kind: str, device: torch.device) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, NarrowLinear(child, kind, device))
        elif isinstance(child, LoraLayer):
            child.base_layer = NarrowLinear(child.base_layer, kind, device)
        else:
            _narrow(child, kind, device)


def _pack_fp8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scales = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / torch.finfo(torch.float8_e4m3fn).max
    return (weight / scales).to(torch.float8_e4m3fn), scales


def _pack_nf4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = weight.flatten()
    flat = functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales = flat.abs().amax(1, keepdim=True).clamp(min=1e-12)
    levels = torch.tensor(NF4, device=weight.device)
    middles = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(flat / scales, middles).to(torch.uint8)
    return codes[:, 0::2] * 16 + codes[:, 1::2], scales


_PAIRS: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}


def _pairs(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The two levels that a byte stands for, by byte (256, 2)."""
    if (device, dtype) not in _PAIRS:
        levels = torch.tensor(NF4, device=device, dtype=dtype)
        _PAIRS[device, dtype] = torch.stack([levels.repeat_interleave(16), levels.repeat(16)], 1)
    return _PAIRS[device, dtype]
