"""The oracle: says what a picture of the embedded world shows, or that it is unclear.

Tests and benchmarks only: no part of the product reads it. It learned from renders and spoiled renders of its own (`train.py`), and
shares no weights and no images with the scorers, so that what they are tuned on is not what they are measured by.
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from models.embedded.world import COLOURS, OBJECTS, SCENES, SIGNS

HERE = Path(__file__).parent
WEIGHTS = HERE / "oracle.safetensors"
UNREADABLE = "?"  # a sign that is there but says none of the words
HEADS: dict[str, tuple[str | None, ...]] = {
    "object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES, "sign": (*SIGNS, UNREADABLE), "clear": ("unclear", "clear"),
}
_WIDTHS = (32, 48, 96, 160)
_HIDDEN = 96
_BATCH = 32


@dataclass(frozen=True)
class Reading:
    """What a picture shows.

    object, colour, scene: the likeliest names, also when the picture is unclear.
    sign: None without one, `UNREADABLE` for one that says no word of the world. It never makes a picture unclear: no prompt is
    judged by it unless it asks for a sign.
    clear: one whole object of one colour in one place, and every one of the three names is sure.
    confidence: for each head of `HEADS` the probability of its answer ("clear": that of being clear), 0..1.
    """

    object: str
    colour: str
    scene: str
    sign: str | None
    clear: bool
    confidence: dict[str, float]

    @property
    def unclear(self) -> bool:
        return not self.clear

    def right(self, object: str, colour: str, scene: str) -> bool:
        """Whether the picture clearly shows this triple; False when it is unclear."""
        return self.clear and (self.object, self.colour, self.scene) == (object, colour, scene)


class Oracle:
    """`thresholds`: the least confidence of each head for a picture to be clear (for "sign": to be readable)."""

    def __init__(self, net: OracleNet, thresholds: dict[str, float]) -> None:
        self.net, self.thresholds = net.eval(), thresholds

    @classmethod
    def load(cls, file: Path = WEIGHTS) -> Oracle:
        with safe_open(file, "pt") as stored:
            thresholds = json.loads(stored.metadata()["thresholds"])
        net = OracleNet()
        net.load_state_dict(load_file(file))
        return cls(net, thresholds)

    def read(self, pictures: Sequence[Image.Image | np.ndarray]) -> list[Reading]:
        """pictures: PIL images or uint8 (H, W, 3), of any size and aspect ratio, also mixed."""
        small = [shrink(picture) for picture in pictures]
        readings: dict[int, Reading] = {}
        for shape in sorted({s.shape for s in small}):
            same = [i for i, s in enumerate(small) if s.shape == shape]
            for start in range(0, len(same), _BATCH):
                batch = same[start:start + _BATCH]
                for i, reading in zip(batch, self._read(np.stack([small[i] for i in batch])), strict=True):
                    readings[i] = reading
        return [readings[i] for i in range(len(small))]

    def probabilities(self, small: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 (n, h, w, 3) as `shrink` makes them -> float (n, classes) for each head."""
        with torch.inference_mode():
            answers = self.net(to_input(torch.from_numpy(small)))
        return {head: logits.softmax(1).numpy() for head, logits in answers.items()}

    def _read(self, small: np.ndarray) -> list[Reading]:
        found = self.probabilities(small)
        readings = []
        for i in range(len(small)):
            names = {head: HEADS[head][int(p[i].argmax())] for head, p in found.items()}
            confidence = {head: float(p[i].max()) for head, p in found.items()} | {"clear": float(found["clear"][i, 1])}
            sure = {head: confidence[head] >= least for head, least in self.thresholds.items()}
            sign = names["sign"] if sure["sign"] else UNREADABLE
            clear = all(sure[head] for head in ("object", "colour", "scene", "clear"))
            readings.append(Reading(str(names["object"]), str(names["colour"]), str(names["scene"]), sign, clear, confidence))
        return readings


class OracleNet(nn.Module):
    """A small residual network (https://arxiv.org/abs/1512.03385), pooled over the picture by mean and maximum: any aspect ratio.

    In (n, 3, h, w) from -1 to 1 at half resolution; out logits (n, classes) by head.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = _WIDTHS
        self.stem = nn.Sequential(_Conv(3, widths[0], 4, 2, 1), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            blocks += [_Block(before, after, 2), _Block(after, after, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.hidden = nn.Linear(2 * widths[-1], _HIDDEN * len(HEADS))  # a part of its own for each head
        self.answers = nn.ModuleList(nn.Linear(_HIDDEN, len(names)) for names in HEADS.values())

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.blocks(self.stem(x))
        pooled = torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)
        parts = torch.relu(self.hidden(pooled)).split(_HIDDEN, 1)
        return {head: answer(part) for head, answer, part in zip(HEADS, self.answers, parts, strict=True)}


class _Conv(nn.Module):
    """A convolution without bias whose weight is kept as a matrix (out, in * size * size), the form that Muon orthogonalises."""

    def __init__(self, before: int, after: int, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.shape, self.stride, self.padding = (after, before, size, size), stride, padding
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(self.shape)).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight.view(self.shape).contiguous(memory_format=torch.channels_last), None, self.stride, self.padding)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Conv(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU(),
            _Conv(after, after, 3, 1, 1), nn.BatchNorm2d(after),
        )
        # ceil_mode: an odd side is halved as the strided convolution halves it
        self.skip = nn.Identity() if stride == 1 else nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True), _Conv(before, after, 1, 1, 0), nn.BatchNorm2d(after))

        nn.init.zeros_(self.body[-1].weight)  # a block begins as its skip alone, which trains faster (https://arxiv.org/abs/1706.02677)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def shrink(picture: Image.Image | np.ndarray) -> np.ndarray:
    """Half resolution for pictures of about 256 x 256 pixels, a quarter for 512 x 512, and so on: uint8 (h, w, 3)."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture.convert("RGB")
    times = max(1, round((image.width * image.height) ** 0.5 / 256))
    return np.asarray(image.reduce(2 * times))


def to_input(small: torch.Tensor) -> torch.Tensor:
    """uint8 (n, h, w, 3) -> float (n, 3, h, w) from -1 to 1, channels last in memory."""
    return small.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def labelled(folder: Path = HERE, use: str | None = "agreement") -> list[dict[str, Any]]:
    """The pictures that a person looked at: {"file", "asked": {...}, "seen": {"object", "colour", "scene"} or "unclear"}.

    use: "agreement" for those that nothing was set by, "thresholds" for those that thresholds are set by, None for all.
    """
    file = folder / "labels.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [row for row in rows if use is None or row.get("use", "agreement") == use]


def agrees(reading: Reading, seen: dict[str, str] | str) -> bool:
    """Both say unclear, or both name the same object, colour and scene."""
    return reading.unclear if isinstance(seen, str) else reading.right(seen["object"], seen["colour"], seen["scene"])


def agreement(oracle: Oracle, folder: Path = HERE) -> tuple[float, int]:
    """(share of labelled pictures on which a person and the oracle agree, how many there are); (0, 0) before any is labelled."""
    rows = labelled(folder)
    if not rows:
        return 0.0, 0
    readings = oracle.read([Image.open(folder / "labelled" / row["file"]) for row in rows])
    return sum(agrees(reading, row["seen"]) for reading, row in zip(readings, rows, strict=True)) / len(rows), len(rows)
