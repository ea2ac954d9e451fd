"""What the small CLIPs learn from: groups of a right picture, its twin with one attribute changed, and a spoiled copy.

Every group has its own render seed, 5 000 000 and above; neither the oracle nor the flow draws from there.
"""
from __future__ import annotations

import dataclasses
import math
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from models.embedded.captions import caption
from models.embedded.render import render, render_with_mask, spoil
from models.embedded.world import COLOURS, OBJECTS, SCENES, SIGNS, Scene, held_out, sample_scene

FIRST_SEED = 5_000_000
SPOILS = {  # kind: share
    "corrupted": 0.14, "doubled": 0.10, "empty": 0.06, "mixed": 0.12, "dissolved": 0.24, "chimera": 0.20, "tiled": 0.14,
}
TOKEN = 32  # pixels, of the generator's image tokens
CHANGES = {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES, "sign": SIGNS}
CHANGE_SHARES = (0.32, 0.30, 0.26, 0.12)
EVERYTHING = frozenset(CHANGES)


@dataclasses.dataclass(frozen=True)
class Group:
    """`twin` differs from `scene` in the one attribute `changed`; `spoiled` names what went wrong in the third picture."""

    scene: Scene
    twin: Scene
    changed: str
    spoiled: str


@dataclasses.dataclass(frozen=True)
class Wording:
    """A caption, the scene it was made from and which of object, colour, scene and sign it tells."""

    text: str
    scene: Scene
    told: frozenset[str]


def sample_group(rng: np.random.Generator, held: bool | None = False, changed: str | None = None, spoiled: str | None = None) -> Group:
    """held: False for training triples only (the twin's too), True for held-out ones (any twin), None for any."""
    scene = sample_scene(rng, held_out=held, sign_share=0.2, square_share=0.6)
    changed = changed or str(rng.choice(list(CHANGES), p=CHANGE_SHARES))
    while (twin := change(scene, changed, rng)) and held is False and held_out(twin.object, twin.colour, twin.scene):
        pass
    if rng.random() < 0.5:
        twin = dataclasses.replace(twin, jitter_seed=int(rng.integers(2**31)))
    return Group(scene, twin, changed, spoiled or str(rng.choice(list(SPOILS), p=list(SPOILS.values()))))


def change(scene: Scene, attribute: str, rng: np.random.Generator) -> Scene:
    """The scene with another value of `attribute` ("object", "colour", "scene" or "sign")."""
    others = [value for value in CHANGES[attribute] if value != getattr(scene, attribute)]
    changed: dict[str, Any] = {attribute: others[int(rng.integers(len(others)))]}
    return dataclasses.replace(scene, **changed)


def draw_group(group: Group, rng: np.random.Generator) -> list[np.ndarray]:
    """Right, twin and spoiled pictures, each uint8 (H, W, 3)."""
    return [render(group.scene), render(group.twin), spoiled(group.scene, group.spoiled, rng)]


def spoiled(scene: Scene, kind: str, rng: np.random.Generator) -> np.ndarray:
    """What `render.spoil` does, and three ways in which a small generator fails: uint8 (H, W, 3).

    "dissolved": parts of the object give way to what is behind; "chimera": one part of this object, one of another; "tiled": some
    image tokens belong to another picture. At least an eighth of the object visibly changes.
    """
    if kind not in ("dissolved", "chimera", "tiled"):
        return spoil(scene, kind, rng)
    for _ in range(20):
        picture, mask = render_with_mask(scene)
        if kind == "dissolved":
            other, weight = spoil(scene, "empty", rng), _patches(mask.shape, rng.uniform(3, 7), rng)
        elif kind == "chimera":
            other = render(change(scene, "object", rng))
            line = np.cumsum(mask.sum(axis := int(rng.integers(2)))) / mask.sum()
            weight = np.clip((line - rng.uniform(0.3, 0.7)) * rng.uniform(6, 30) + 0.5, 0, 1)
            weight = weight[None, :] if axis == 0 else weight[:, None]
        else:
            other = render(change(change(scene, "object", rng), "colour", rng) if rng.random() < 0.5 else change(scene, "object", rng))
            tiles = rng.random((scene.size[1] // TOKEN, scene.size[0] // TOKEN)) < rng.uniform(0.25, 0.6)
            weight = np.kron(tiles, np.ones((TOKEN, TOKEN), np.float32))
        result = (picture + weight[..., None] * (other.astype(np.float32) - picture) + 0.5).astype(np.uint8)
        changed = np.abs(result.astype(np.float32) - picture).max(-1) > 40
        if (changed * mask).sum() > mask.sum() / 8:
            return result
        scene = dataclasses.replace(scene, jitter_seed=int(rng.integers(2**31)))
    return spoil(scene, "corrupted", rng)  # white on white: nothing to see


def _patches(shape: tuple[int, int], cells: float, rng: np.random.Generator) -> np.ndarray:
    """Soft-edged patches, about `cells` of them along a side: float32 (H, W) in 0..1."""
    coarse = Image.fromarray(rng.standard_normal((round(cells), round(cells))).astype(np.float32))
    field = np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC))
    return np.clip(0.5 + rng.uniform(2, 5) * (field - rng.uniform(-0.3, 0.5)), 0, 1)


def squash(picture: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (size, size, 3), as open_clip's preprocessing does with resize_mode "squash"."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


def open_groups(file: Path, count: int, seed: int, size: int) -> tuple[list[Group], np.ndarray]:
    """The training groups and their pictures, uint8 (count, 3, size, size, 3); drawn once, then read from `file`.

    The scenes are drawn first and the pictures after them from one generator, so they are the same on every run.
    """
    rng = np.random.default_rng([FIRST_SEED + seed, 1])
    groups = [sample_group(rng) for _ in range(count)]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        pictures = np.empty((count, 3, size, size, 3), np.uint8)
        for index, group in enumerate(groups):
            pictures[index] = [squash(picture, size) for picture in draw_group(group, rng)]
            if index % 500 == 0:
                print(f"{file.stem}: {index}/{count} groups drawn", flush=True)
        temporary = file.with_suffix(".part.npy")
        np.save(temporary, pictures)
        temporary.replace(file)
    pictures = np.load(file, mmap_mode="r")
    if pictures.shape[:3] != (count, 3, size):
        raise ValueError(f"{file} holds {pictures.shape} but {count} groups of {size} px are wanted; delete it")
    return groups, pictures


def word(scene: Scene, rng: np.random.Generator) -> Wording:
    """Mostly a whole caption; sometimes one that leaves colour or place open, sometimes one with a word nobody knows."""
    draw = rng.random()
    if draw < 0.12:
        told = frozenset(({"object", "colour"}, {"object", "scene"}, {"object"})[int(rng.integers(3))])
        return Wording(_partial(scene, told, rng), scene, told)
    text = caption(scene, rng)
    if draw < 0.24:
        words = text.split()
        unknown = "".join(rng.choice(list(string.ascii_lowercase), int(rng.integers(3, 9))))
        words.insert(int(rng.integers(1, len(words) + 1)), unknown)
        text = " ".join(words)
    return Wording(text, scene, EVERYTHING)


def word_alike(first: Scene, second: Scene, rng: np.random.Generator) -> tuple[Wording, Wording]:
    """Captions of a scene and its twin, half the time in the same wording."""
    if rng.random() < 0.5:
        return word(first, rng), word(second, rng)
    seed = int(rng.integers(2**31))
    return word(first, np.random.default_rng(seed)), word(second, np.random.default_rng(seed))


def _partial(scene: Scene, told: frozenset[str], rng: np.random.Generator) -> str:
    thing = f"{scene.colour} {scene.object}" if "colour" in told else scene.object
    text = f"{('a', 'a photo of a', 'product photo of a')[int(rng.integers(3))]} {thing}" if rng.random() < 0.7 else thing
    if "scene" in told:
        place = {"studio": "white background", "table": "wooden table", "kitchen": "kitchen", "beach": "beach", "garden": "garden",
                 "snow": "snow", "street": "brick wall", "night": "city at night"}[scene.scene]
        text = f"{text}, {place}"
    return text


def compose(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Mush made of pairs of pictures, (n, 3, S, S) in 0..1 with n even -> (n / 2, 3, S, S): crossfades, or patches of one in the other."""
    first, second = pictures.chunk(2)
    size = pictures.shape[-1]
    shares = torch.tensor(rng.uniform(0.35, 0.65, (len(first), 1, 1, 1)), dtype=pictures.dtype)
    field = torch.tensor(rng.standard_normal((len(first), 1, 5, 5)), dtype=pictures.dtype)
    patches = torch.sigmoid(6 * F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True))
    patchy = torch.tensor(rng.random((len(first), 1, 1, 1)) < 0.5)
    shares = torch.where(patchy, patches, shares)
    return first * shares + second * (1 - shares)


def disturb(pictures: torch.Tensor, rng: np.random.Generator, *, warp: tuple[float, float], blur: tuple[float, float],
            noise: float = 0.05) -> torch.Tensor:
    """Shift, scale, warp, blur and make noisy: (n, 3, S, S) in 0..1 -> the same.

    warp, blur: least and greatest amplitude and sigma, as shares of the side. Little of it is what a small generator does to a right
    picture; much of it leaves no picture at all.
    """
    n, _, size, _ = pictures.shape

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, (n, *shape)), dtype=pictures.dtype)

    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack((x, y), -1)[None] * uniform(0.93, 1.05, 1, 1, 1) + uniform(-0.05, 0.05, 1, 1, 2)
    waves = torch.zeros(n, size, size, 2)
    for _ in range(2):
        fx, fy, phase = uniform(-11, 11, 1, 1, 2), uniform(-11, 11, 1, 1, 2), uniform(0, 2 * math.pi, 1, 1, 2)
        waves = waves + torch.sin(fx * x[None, ..., None] + fy * y[None, ..., None] + phase)
    pictures = F.grid_sample(pictures, grid + waves * uniform(*warp, 1, 1, 1), padding_mode="border", align_corners=True)
    pictures = _blurred(pictures, uniform(*blur).flatten() * size)
    coarse = F.interpolate(torch.tensor(rng.standard_normal((n, 3, 12, 12)), dtype=pictures.dtype), size=(size, size), mode="bilinear")
    fine = torch.randn(pictures.shape)
    pictures = pictures + fine * uniform(0, noise, 1, 1, 1) + coarse * uniform(0, 0.6 * noise, 1, 1, 1)
    pictures = (pictures - 0.5) * uniform(0.88, 1.08, 1, 1, 1) + 0.5 + uniform(-0.05, 0.05, 1, 1, 1)
    return pictures.clamp(0, 1)


def _blurred(pictures: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """A Gaussian blur with its own sigma (pixels) for each picture."""
    n, channels, size, _ = pictures.shape
    reach = max(1, min(size // 2, math.ceil(2.5 * float(sigmas.max()))))
    offsets = torch.arange(-reach, reach + 1, dtype=pictures.dtype)
    kernels = torch.exp(-0.5 * (offsets[None] / sigmas.clamp(min=0.15)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = pictures.reshape(1, n * channels, size, size)
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernels[:, None, None, :], groups=n * channels)
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernels[:, None, :, None], groups=n * channels)
    return flat.reshape(pictures.shape)
