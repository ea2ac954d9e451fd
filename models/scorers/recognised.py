"""Whether what the prompt names is plainly there: how surely a classifier of the embedded model's world sees the object, the colour and the
place that were asked for, and the object whole.

A small residual network that ships with the family (`models/embedded/recognised.safetensors`), trained by
`models/embedded/training/recognised.py` on renders of its own, nearly half of them spoiled. Where a contrast of CLIPs says which wording
fits best, this says whether it could be told at all: a chair in pieces still fits "a chair" better than any other word. It knows no other
world. A picture is looked at in several views (two sizes, each also mirrored) and their answers are averaged, as
https://arxiv.org/abs/1409.1556 (section 3.2) does: one view alone lets about a third more through that is not plainly there.

torch is imported when it first measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.embedded.world import COLOURS, OBJECTS, SCENES
from models.scorers.clip import fingerprint
from models.scorers.contrast import READING, named
from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import nn

WEIGHTS = Path(__file__).parent.parent / "embedded" / "recognised.safetensors"
HEADS: dict[str, tuple[str, ...]] = {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES}
WHOLE = sum(len(names) for names in HEADS.values())  # the place of the last logit: one whole object in one place
KEYS = (*((head, name) for head, names in HEADS.items() for name in names), ("", "whole"))  # what the logits are of, in their order
AREA = 128 * 128  # pixels of the pictures that it was trained on
AREAS = (AREA, 160 * 160)  # that every picture is brought to, its shape kept; whether a thing is whole shows in the first alone
BATCH = 16
WIDTHS, DEPTHS, HIDDEN = (32, 48, 80, 96), (1, 1, 2, 1), 96


class Recognised:
    """`recognised`: 0..100, the least of the probabilities of what the prompt names. `whole`: 0..100, that of one whole object."""

    name = "recognised"
    dimensions: tuple[str, ...] = ("recognised", "whole")

    def __init__(self, embedded: bool, title: str = "", weights: Path = WEIGHTS) -> None:
        self._weights = weights
        self._missing = "" if embedded else f"The classifier knows the embedded model's world only, not pictures of {title}."
        if embedded and not weights.is_file():
            self._missing = f"{weights.name} is missing. Install the studio again."
        self.version = "" if self._missing else f"{fingerprint(weights)}-{2 * len(AREAS)}views-{READING}"
        self._network: Any = None

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """Two scores a picture; `recognised` is *not scored* where the prompt names nothing of this world. Pictures of other models are
        not scored, and have no score at all where nobody asked."""
        if self._missing and context.asked is not None and not context.asked.intersection(self.dimensions):
            return [[] for _ in pictures]
        if self._missing:
            return [[self._score(name, None, self._missing) for name in self.dimensions] for _ in pictures]
        wanted = named(context.prompt)
        rows = compute(lambda: self._probabilities(pictures))
        why = "" if wanted else "The prompt names no object, colour or place of the embedded model's world."
        return [
            [self._score("recognised", min(row[kind, name] for kind, name in wanted.items()) if wanted else None, why),
             self._score("whole", row["", "whole"])]
            for row in rows
        ]  # fmt: skip

    def _score(self, dimension: str, value: float | None, note: str = "") -> Score:
        return Score(dimension, None if value is None else round(100 * value, 1), self.name, self.version, note)

    def _probabilities(self, pictures: Sequence[Image]) -> list[dict[tuple[str, str], float]]:
        import torch

        if self._network is None:
            self._network = load(self._weights)
        rows: list[dict[tuple[str, str], list[float]]] = [{} for _ in pictures]
        for area in AREAS:
            small = [shrunk(picture, area) for picture in pictures]
            for shape in sorted({one.shape for one in small}):
                same = [place for place, one in enumerate(small) if one.shape == shape]
                for start in range(0, len(same), BATCH):
                    places = same[start : start + BATCH]
                    view = torch.stack([small[place] for place in places])
                    with torch.inference_mode():
                        probabilities = (_probabilities(self._network(view)) + _probabilities(self._network(view.flip(3)))) / 2
                    for place, answer in zip(places, probabilities.tolist(), strict=True):
                        for key, value in zip(KEYS, answer, strict=True):
                            if area == AREA or key != ("", "whole"):
                                rows[place].setdefault(key, []).append(value)
        return [{key: sum(views) / len(views) for key, views in row.items()} for row in rows]


def shrunk(picture: Image, area: int = AREA) -> torch.Tensor:
    """(3, height, width) in -1..1, of about `area` pixels, both sides multiples of 16."""
    import torch
    from PIL import Image

    scale = (area / (picture.width * picture.height)) ** 0.5
    size = (max(1, round(picture.width * scale / 16)) * 16, max(1, round(picture.height * scale / 16)) * 16)
    pixels = np.array(picture.convert("RGB").resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


def network() -> nn.Module:
    """(B, 3, h, w) in -1..1 -> (B, WHOLE + 1) logits by head, then `WHOLE`. About 0.5 million weights; any height and width.

    Blocks add to what they are given (https://arxiv.org/abs/1603.05027), and the picture is pooled by mean and maximum: a broken corner
    must show as well as a picture that is wrong all over.
    """
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False))
            self.second = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.second(self.first(x))

    class Pooled(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)

    layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 4, 4, bias=False)]
    for (width, after), depth in zip(pairwise((*WIDTHS, 0)), DEPTHS, strict=True):
        layers += [Block(width) for _ in range(depth)]
        if after:
            layers.append(nn.Conv2d(width, after, 2, 2, bias=False))
    last = WIDTHS[-1]
    answers = (Pooled(), nn.Linear(2 * last, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WHOLE + 1))
    return nn.Sequential(*layers, nn.BatchNorm2d(last), nn.ReLU(), *answers)


def load(file: Path) -> nn.Module:
    """The network with its weights, which are kept in 16 bits."""
    from safetensors.torch import load_file

    made = network()
    made.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in load_file(file).items()})
    return made.eval().requires_grad_(False)


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    """(B, WHOLE + 1) logits -> probabilities in the order of `KEYS`."""
    import torch

    heads = torch.split(logits[:, :WHOLE], [len(names) for names in HEADS.values()], 1)
    return torch.cat([*(head.softmax(1) for head in heads), logits[:, WHOLE:].sigmoid()], 1)
