"""An engine that draws gradients instead of denoising: for unit and load tests, and for looking at the page without weights.

It answers with the events of a real engine in the real order (per step one `Step`, then a `Preview` a picture; at the end
a `Picture` a seed, in the order of the seeds) and depends on numpy and PIL alone. A seed gives the same picture whatever
batch it rode in, and whatever the prompt: tests compare pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from models.spec import Event, ImageSpec, Picture, Preview, Score, ScoreContext, Step

PREVIEW_SIDE = 64


class ScriptedEngine:
    """Draws `seed_picture` for each seed.

    step_seconds: wall seconds a denoising step takes for the whole batch, >= 0.
    fail_on: seed -> the exception raised in the last step of a batch that holds this seed, as a device would fail:
    after the steps before it were reported, before any picture of the batch.
    preview_seconds: at least so long between the previews of a batch.
    `steps_run` counts the steps run so far over all batches, `batches` keeps every spec asked for.
    """

    def __init__(
        self, step_seconds: float = 0.0, fail_on: Mapping[int, Exception] | None = None, previews: bool = True,
        preview_seconds: float = 0.0,
    ) -> None:
        self.step_seconds = step_seconds
        self.fail_on = dict(fail_on or {})
        self.previews, self.preview_seconds = previews, preview_seconds
        self.steps_run = 0
        self.batches: list[ImageSpec] = []

    def generate(self, spec: ImageSpec) -> Iterator[Event]:
        """Events of one batch. Closing the iterator between two events runs no further step."""
        self.batches.append(spec)
        started = time.perf_counter()
        finished = [seed_picture(seed, spec.width, spec.height) for seed in spec.seeds]
        total = steps_of(spec)
        shown = -math.inf
        for index in range(1, total + 1):
            if self.step_seconds:
                time.sleep(self.step_seconds)
            if index == total:
                for seed in spec.seeds:
                    if seed in self.fail_on:
                        raise self.fail_on[seed]
            self.steps_run += 1
            yield Step(spec.seeds, index, total)
            if self.previews and time.perf_counter() - shown >= self.preview_seconds:
                shown = time.perf_counter()
                for seed, image in zip(spec.seeds, finished, strict=True):
                    yield Preview(seed, index, _rough(image, index / total, seed))
        seconds = (time.perf_counter() - started) / max(1, len(spec.seeds))
        for seed, image in zip(spec.seeds, finished, strict=True):
            yield Picture(seed, image, seconds, {"engine": "scripted", "steps": total})

    def close(self) -> None:
        """Nothing is held."""


class ScriptedAdherence:
    """Scores of the dimension `name`, 55..95, read off the picture's colours: a scripted picture shows no prompt that could be measured."""

    version = "1"

    def __init__(self, name: str, channel: int) -> None:
        self.name, self._channel = f"scripted-{name}", channel
        self.dimensions: tuple[str, ...] = (name,)

    def score(self, pictures: Sequence[Image.Image], context: ScoreContext) -> list[list[Score]]:
        values = [55 + 40 * float(np.asarray(picture.convert("RGB"))[..., self._channel].mean()) / 255 for picture in pictures]
        return [[Score(self.dimensions[0], round(value, 2), self.name, self.version)] for value in values]


class ScriptedLooks:
    """Places pictures by 4 x 4 means of their colours, and prompts anywhere in the same space, always the same."""

    name, version = "scripted-looks", "1"

    def missing(self) -> str:
        return ""

    def looks(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(n, 48) float32 of length 1."""
        small = [np.asarray(picture.convert("RGB").resize((4, 4), Image.Resampling.BOX), np.float32).ravel() - 128 for picture in pictures]
        return np.stack([one / max(1e-6, float(np.linalg.norm(one))) for one in small])

    def prompts(self, prompts: Sequence[str]) -> np.ndarray:
        """(n, 48) float32 of length 1."""
        found = np.stack([np.random.default_rng(list(prompt.encode())).standard_normal(48) for prompt in prompts]).astype(np.float32)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    def close(self) -> None:
        """Nothing is held."""


def steps_of(spec: ImageSpec) -> int:
    """Denoising steps that are really run: `steps`, or steps x strength (at least 1) from a start picture, as diffusers does."""
    if spec.role == "img2img" and spec.strength is not None:
        return max(1, min(spec.steps, int(spec.steps * spec.strength)))
    return spec.steps


def seed_picture(seed: int, width: int, height: int) -> Image.Image:
    """A diagonal gradient between two colours with a sharp-edged disc and its shadow, all from the seed; RGB, (width, height) px."""
    rng = np.random.default_rng(seed)
    near, far, disc = rng.uniform(40, 215, size=(3, 3))
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.18, 0.32)
    centre = rng.uniform(0.35, 0.65, size=2)

    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    along = (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5) + 0.75) / 1.5
    picture = near + (far - near) * np.clip(along, 0, 1)[..., None]

    aspect = width / height
    shadow = np.hypot((x - centre[0] - 0.03) * max(1, aspect), (y - centre[1] - 0.05) * max(1, 1 / aspect)) < radius
    picture[shadow] *= 0.7
    inside = np.hypot((x - centre[0]) * max(1, aspect), (y - centre[1]) * max(1, 1 / aspect)) < radius
    stripes = 0.85 + 0.15 * (np.floor((x + y) * 24) % 2)
    picture[inside] = (disc * stripes[..., None])[inside]
    return Image.fromarray(np.clip(picture, 0, 255).round().astype(np.uint8))


def _rough(image: Image.Image, done: float, seed: int) -> Image.Image:
    """`image` small and buried in noise that thins as `done` (0..1) grows."""
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    noise = np.random.default_rng(seed + 1).integers(0, 256, size=(small.height, small.width, 3))
    mixed = np.asarray(small, dtype=np.float32) * done + noise * (1 - done)
    return Image.fromarray(mixed.round().astype(np.uint8))
