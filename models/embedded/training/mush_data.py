"""Pictures for the detector of mush: what the embedded model draws when all goes well, and the same spoiled in the ways it fails.

    WORK/mush/PART/good/NNNN.png            drawn by the shipped checkpoint, as the tiers draw
    WORK/mush/PART/KIND/NNNN.png            spoiled, one of KINDS or of UNSEEN

PART is "train" (training triples) or "test" (held-out triples, other seeds). Whatever is there already is not made again.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

from models.embedded.captions import caption
from models.embedded.world import Scene, sample_scene
from models.latents import Flux1Latents, decode
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.spec import ImageSpec, Picture

PARTS = ("train", "test")
KINDS = ("few", "blend", "smear", "half", "swapped", "melted")
UNSEEN = ("ghost",)  # in the test only: a way of failing that no training saw
GUIDANCE = 3.0
EVERY = 3  # each way spoils a third of the pictures
_FIRST_SEED = {"train": 3_000_000, "test": 7_000_000}


def make(work: Path, part: str, scenes: int, seconds: float) -> bool:
    """Go on making the pictures of one part, two a scene; False when `seconds` ran out before all were there."""
    until = time.monotonic() + seconds
    folder = work / "mush" / part
    asked = _asked(part, scenes)
    engine = LocalEngine(load_catalogue().card("embedded"), probe("cpu"), previews=False)
    for _ in _drawn(engine, folder / "good", asked, part):
        if time.monotonic() > until:
            return False
    spoiler = Spoiler(engine, folder / "good", asked)
    for place, kind in enumerate((*KINDS, *UNSEEN) if part == "test" else KINDS):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for index in range(2 * scenes):
            file = folder / kind / f"{index:04}.png"
            if index % EVERY != place % EVERY or file.exists():
                continue
            spoiler.spoiled(kind, index).save(file)
            if time.monotonic() > until:
                return False
    (folder / "prompts.json").write_text(json.dumps([prompt for _, prompt in asked]))
    return True


def _asked(part: str, scenes: int) -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(_FIRST_SEED[part])
    chosen = [sample_scene(rng, held_out=part == "test") for _ in range(scenes)]
    return [(scene, caption(scene, rng)) for scene in chosen]


def _drawn(engine: LocalEngine, folder: Path, asked: list[tuple[Scene, str]], part: str) -> Iterator[None]:
    """As a draft is drawn (4 steps), every fifth scene as standard does (20)."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (scene, prompt) in enumerate(asked):
        files = [folder / f"{2 * index + i:04}.png" for i in range(2)]
        if not all(file.exists() for file in files):
            seeds = tuple(_FIRST_SEED[part] + 2 * index + i for i in range(2))
            spec = ImageSpec(prompt, *scene.size, steps=20 if index % 5 == 0 else 4, guidance=GUIDANCE, seeds=seeds)
            for file, picture in zip(files, _pictures(engine, spec), strict=True):
                picture.save(file)
        yield


def _pictures(engine: LocalEngine, spec: ImageSpec) -> list[Image.Image]:
    return [event.image for event in engine.generate(spec) if isinstance(event, Picture)]


class Spoiler:
    """Spoils the pictures of `good`, which is in the order of `asked`, two a scene. The same index gives the same picture."""

    def __init__(self, engine: LocalEngine, good: Path, asked: list[tuple[Scene, str]]) -> None:
        self._engine, self._good, self._asked = engine, good, asked
        _pictures(engine, ImageSpec("a red mug", 64, 64, steps=1, guidance=1.0, seeds=(0,)))  # loads the pipeline
        self._pipe: Any = engine._pipe
        self._latents = Flux1Latents(self._pipe)

    def spoiled(self, kind: str, index: int) -> Image.Image:
        """kind: one of KINDS or UNSEEN; index: of the good picture."""
        rng = np.random.default_rng([index, *kind.encode()])
        make: Callable[[int, np.random.Generator], Image.Image] = getattr(self, f"_{kind}")
        return make(index, rng)

    def _few(self, index: int, rng: np.random.Generator) -> Image.Image:
        """One step only: the model's first guess, which is a mean over all that it could draw."""
        scene, prompt = self._asked[index // 2]
        spec = ImageSpec(prompt, *scene.size, steps=1, guidance=1.0, seeds=(int(rng.integers(2**31)),))
        return _pictures(self._engine, spec)[0]

    def _blend(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Two pictures through each other."""
        return Image.blend(self._open(index), self._other(index, rng), float(rng.uniform(0.3, 0.7)))

    def _smear(self, index: int, rng: np.random.Generator) -> Image.Image:
        bent = _picture(smeared(_tensor(self._open(index)), rng))
        return bent.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.5)))) if rng.random() < 0.5 else bent

    def _half(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Decoded with noise still in it: x = (1 - sigma) x0 + sigma noise, as on the way along the flow."""
        clean = self._encoded(index)
        sigma = float(rng.uniform(0.25, 0.6))
        return self._decoded((1 - sigma) * clean + sigma * _normal(rng, clean.shape), index)

    def _swapped(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Latents of another picture in half of the cells, single or in clumps."""
        one, other = self._encoded(index), self._encode(self._other(index, rng), index)
        _, _, rows, columns = one.shape
        clump = int(rng.integers(1, 4))
        field = _normal(rng, (1, 1, -(-rows // clump), -(-columns // clump)))
        mask = functional.interpolate(field, size=(rows, columns), mode="nearest") > float(rng.uniform(-0.3, 0.5))
        return self._decoded(torch.where(mask, other, one), index)

    def _melted(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Two latents mixed and then drawn over a little: mush as the model itself paints it."""
        scene, prompt = self._asked[index // 2]
        share = float(rng.uniform(0.35, 0.65))
        mixed = self._decoded(torch.lerp(self._encoded(index), self._encode(self._other(index, rng), index), share), index)
        spec = ImageSpec(prompt, *scene.size, steps=16, guidance=1.0, seeds=(int(rng.integers(2**31)),), role="img2img", strength=0.2)
        (picture,) = [event.image for event in self._engine.redraw([mixed], spec) if isinstance(event, Picture)]
        return picture

    def _ghost(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Exposed twice, the second time moved by a twelfth of the picture or more, and mirrored."""
        picture = self._open(index)
        moved = np.roll(np.asarray(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), int(picture.width * rng.uniform(0.08, 0.3)), axis=1)
        return Image.blend(picture, Image.fromarray(moved), float(rng.uniform(0.35, 0.65)))

    def _open(self, index: int) -> Image.Image:
        with Image.open(self._good / f"{index:04}.png") as image:
            return image.convert("RGB")

    def _other(self, index: int, rng: np.random.Generator) -> Image.Image:
        """A picture of another product, in this one's size."""
        mine = self._asked[index // 2][0]
        places = [place for place, (scene, _) in enumerate(self._asked) if scene.object != mine.object]
        return self._open(2 * int(rng.choice(places))).resize(mine.size, Image.Resampling.LANCZOS)

    def _encoded(self, index: int) -> torch.Tensor:
        return self._encode(self._open(index), index)

    def _encode(self, picture: Image.Image, index: int) -> torch.Tensor:
        """Latents of unit variance, as the flow sees them."""
        with torch.no_grad():
            return self._latents.encode([picture], *self._asked[index // 2][0].size).float()

    def _decoded(self, latents: torch.Tensor, index: int) -> Image.Image:
        vae = self._pipe.vae.config
        return decode(self._pipe, latents / vae.scaling_factor + vae.shift_factor)


def smeared(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(1, 3, height, width) bent by a random field, all over or in one place that covers much of the middle."""
    _, _, height, width = pixels.shape
    cells = int(rng.integers(4, 9))
    field = functional.interpolate(_normal(rng, (1, 2, cells, cells)), size=(height, width), mode="bicubic")
    if rng.random() < 0.6:
        field = field * _blob(rng, height, width)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = torch.stack((x, y), -1)[None] + float(rng.uniform(0.15, 0.28)) * field.permute(0, 2, 3, 1)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=True)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal(tuple(shape)).astype(np.float32))


def _blob(rng: np.random.Generator, height: int, width: int) -> torch.Tensor:
    """(height, width) in 0..1: a soft spot near the middle."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    cy, cx, radius = rng.uniform(-0.2, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.4, 0.7)
    return torch.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / radius**2) ** 2)


def _tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def _picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8))
