"""How much of a picture is the embedded family's typical mush: things through each other, smeared, half denoised.

A small convolutional network that ships with the family (`models/embedded/mush.safetensors`), trained by
`models/embedded/training/mush.py` on what the shipped checkpoint draws and on the same pictures spoiled. It says nothing about what is in
a picture, nor about pictures of other models. torch is imported when it first measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.scorers.clip import fingerprint
from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import nn

WEIGHTS = Path(__file__).parent.parent / "embedded" / "mush.safetensors"
SIDE = 144  # pixels of the square that every picture is squeezed into
BATCH = 16
WIDTHS = (16, 24, 32, 48, 48)


class Mush:
    """0..100: above 50 a picture is more likely mush than not. `card` has to be the embedded family's."""

    name = "mush"
    dimensions: tuple[str, ...] = ("mush",)

    def __init__(self, embedded: bool, title: str = "", weights: Path = WEIGHTS) -> None:
        self._weights = weights
        self._missing = "" if embedded else f"The detector of mush knows the embedded model's pictures only, not those of {title}."
        if embedded and not weights.is_file():
            self._missing = f"{weights.name} is missing. Install the studio again."
        self.version = "" if self._missing else fingerprint(weights)
        self._network: Any = None

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One score a picture; for those of other models *not scored*, or nothing at all where nobody asked by name."""
        if self._missing and context.asked is not None and "mush" not in context.asked:
            return [[] for _ in pictures]
        if self._missing:
            return [[Score("mush", None, self.name, self.version, self._missing)] for _ in pictures]
        return [[Score("mush", round(value, 1), self.name, self.version)] for value in compute(lambda: self._values(pictures))]

    def _values(self, pictures: Sequence[Image]) -> list[float]:
        import torch

        if self._network is None:
            self._network = load(self._weights)
        values: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                batch = torch.stack([squeezed(picture) for picture in pictures[start : start + BATCH]])
                values += (100 * torch.sigmoid(self._network(batch))).tolist()
        return values


def squeezed(picture: Image) -> torch.Tensor:
    """(3, SIDE, SIDE) in -1..1."""
    import torch
    from PIL import Image

    pixels = np.array(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


def network(widths: Sequence[int] = WIDTHS) -> nn.Module:
    """(B, 3, SIDE, SIDE) -> (B,) logits: five convolutions, then the mean and the largest of each channel. About 46,000 weights."""
    from torch import nn

    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
        stride = 2 if index < 4 else 1
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
    return nn.Sequential(*layers, _pooled(), nn.Linear(2 * widths[-1], 1), nn.Flatten(0))


def load(file: Path) -> nn.Module:
    """The network with its weights, which are kept in 16 bits."""
    from safetensors.torch import load_file

    tensors = {name: value.float() for name, value in load_file(file).items()}
    layers = sorted((int(name.split(".")[0]), len(value)) for name, value in tensors.items() if value.ndim == 4)
    made = network([width for _, width in layers])
    made.load_state_dict(tensors)
    return made.eval().requires_grad_(False)


def _pooled() -> nn.Module:
    import torch
    from torch import nn

    class Pooled(nn.Module):
        """A spoiled corner must show as well as a picture that is mush all over."""

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)

    return Pooled()
