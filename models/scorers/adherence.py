"""How well a picture fits its prompt: the cosine between its embedding and the prompt's, by a CLIP in open_clip's format.

Hessel et al., "CLIPScore" (EMNLP 2021), without its rescaling: the value is cosine x 100, raw, and means something only beside
other pictures scored by the same weights; `version` tells the weights apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.scorers.clip import WEIGHTS, Clip, clip_in, fingerprint, lacking
from models.scorers.downloaded import Downloaded
from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class NotHere:
    """In the place of a verifier that there is none of for a model: *not scored*, for the reason `why`."""

    version = ""

    def __init__(self, name: str, dimension: str, why: str) -> None:
        self.name, self._why = name, why
        self.dimensions: tuple[str, ...] = (dimension,)

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        return [[Score(self.dimensions[0], None, self.name, self.version, self._why)] for _ in pictures]


class Adherence:
    """One CLIP that ships, from its folder, under the dimension `name`; loaded when it first scores."""

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self.name = f"clip-{folder.name}"
        self.dimensions: tuple[str, ...] = (name,)
        self.version = fingerprint(folder / WEIGHTS)
        self._clip: Clip | None = None

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One score a picture; *not scored* when the folder is not whole, and the note says what is missing."""
        missing = self.missing()
        if missing:
            return [[Score(self.dimensions[0], None, self.name, self.version, missing)] for _ in pictures]
        values = compute(lambda: self._loaded().cosines(pictures, context))
        return [[Score(self.dimensions[0], round(100 * value, 2), self.name, self.version)] for value in values]

    def prompts(self, prompts: Sequence[str]) -> np.ndarray:
        """Where the text tower places each prompt: (n, dim) float32 of length 1, comparable by their dot products."""
        return compute(lambda: _places(self._loaded(), prompts))

    def looks(self, pictures: Sequence[Image]) -> np.ndarray:
        """Where the picture tower places each picture, in the space of `prompts`: (n, dim) float32 of length 1."""
        return compute(lambda: _looks(self._loaded(), pictures))

    def missing(self) -> str:
        """What the folder lacks, in words; "" when it is whole."""
        if not self.folder.is_dir():
            return f"There is no adherence model in {self.folder}."
        files = lacking(self.folder)
        return f"The adherence model in {self.folder} lacks {' and '.join(files)}." if files else ""

    def close(self) -> None:
        """Free the weights; the next picture loads them again."""
        self._clip = None

    def _loaded(self) -> Clip:
        if self._clip is None:
            self._clip = clip_in(self.folder, self.device)
            self.version = self._clip.name
        return self._clip


class DownloadedAdherence(Downloaded[Clip]):
    """The same by a CLIP that is downloaded, for models whose world is the whole one. Its card names one dimension."""

    digits = 2

    def prompts(self, prompts: Sequence[str]) -> np.ndarray:
        """As `Adherence.prompts`; to be asked only while nothing is `missing`."""
        if self._ready() is None:
            raise RuntimeError(self.missing())
        return compute(lambda: _places(self._loaded(), prompts))

    def looks(self, pictures: Sequence[Image]) -> np.ndarray:
        """As `Adherence.looks`; to be asked only while nothing is `missing`."""
        if self._ready() is None:
            raise RuntimeError(self.missing())
        return compute(lambda: _looks(self._loaded(), pictures))

    def _load(self, folder: Path) -> Clip:
        return clip_in(folder, self.device)

    def _measure(self, model: Clip, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        return [[100 * value] for value in model.cosines(pictures, context)]


def _places(clip: Clip, prompts: Sequence[str]) -> np.ndarray:
    import torch

    return torch.stack([clip.prompt(prompt) for prompt in prompts]).float().cpu().numpy()


def _looks(clip: Clip, pictures: Sequence[Image]) -> np.ndarray:
    return clip.pictures(pictures, ScoreContext("", 0, 0)).float().cpu().numpy()
