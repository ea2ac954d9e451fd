"""Pictures for the classifier of the embedded world (`models/scorers/recognised.py`): renders at half resolution, softened as an
autoencoder and a hasty sampler leave them, and nearly half of them spoiled in ways of its own.

    WORK/recognised/PART-NN.npz      uint8 pictures, names and ways of spoiling, by size

They share nothing with the pictures that the project's claims are judged by: other seeds, another renderer of faults.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

from models.embedded.render import render, render_with_mask, spoil
from models.embedded.world import COLOURS, OBJECTS, SCENES, SIZES, Scene, sample_scene

Array = np.ndarray
CHUNK = 500  # pictures a file
SHAPES = ("1:1", "1:1", "1:1", "1:1", "4:5", "3:2", "16:9", "9:16", "banner")
WRONG_SHARE = 0.45
FAR = 110.0  # levels of red, green and blue together between two colours that nobody takes for each other
_FIRST_SEED = {"train": 21_000_000, "test": 29_000_000}


@dataclass(frozen=True)
class Drawn:
    """picture: uint8 (h, w, 3). kind: "" or one of KINDS. names: places in OBJECTS, COLOURS and SCENES."""

    picture: Array
    kind: str
    names: tuple[int, int, int]


def make(work: Path, part: str, count: int) -> list[Path]:
    """The files of a part ("train", or "test" with held-out scenes); what is there is not made again."""
    folder = work / "recognised"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{part}-{number:02}.npz" for number in range(-(-count // CHUNK))]
    for number, file in enumerate(files):
        if file.exists():
            continue
        rng = np.random.default_rng([_FIRST_SEED[part], number])
        drawn = [draw(rng, held_out=part == "test") for _ in range(CHUNK)]
        arrays: dict[str, Array] = {}
        for shape in sorted({one.picture.shape for one in drawn}):
            same = [one for one in drawn if one.picture.shape == shape]
            stem = f"{shape[1]}x{shape[0]}"
            arrays[f"{stem}:pictures"] = np.stack([one.picture for one in same])
            arrays[f"{stem}:kinds"] = np.array([one.kind for one in same])
            arrays[f"{stem}:names"] = np.array([one.names for one in same])
        temporary = file.with_suffix(".tmp.npz")
        np.savez(temporary, **arrays)  # type: ignore[arg-type]  # keyword arrays
        os.replace(temporary, file)
    return files


def draw(rng: np.random.Generator, held_out: bool) -> Drawn:
    width, height = SIZES[SHAPES[int(rng.integers(len(SHAPES)))]]
    size = (width // 2, height // 2)
    scene = sample_scene(rng, held_out=held_out, size=size, default_share=0.45, sign_share=0.25)
    kind = str(rng.choice(list(KINDS))) if rng.random() < WRONG_SHARE else ""
    picture = KINDS[kind](scene, rng) if kind else _slightly(scene, rng)
    names = (OBJECTS.index(scene.object), list(COLOURS).index(scene.colour), SCENES.index(scene.scene))
    return Drawn(_softened(picture, rng), kind, names)


# The ways of spoiling.


def _lumpy(scene: Scene, rng: np.random.Generator) -> Array:
    return _warped(scene, rng, rng.uniform(0.08, 0.25), rng.uniform(0.045, 0.12))


def _stretched(scene: Scene, rng: np.random.Generator) -> Array:
    return _warped(scene, rng, rng.uniform(0.3, 0.6), rng.uniform(0.14, 0.28))


def _missing(scene: Scene, rng: np.random.Generator) -> Array:
    """Parts of the product that are not there."""
    picture, mask = render_with_mask(scene)
    empty = spoil(scene, "empty", rng)
    for _ in range(int(rng.integers(1, 4))):
        picture = _mixed(picture, empty, _patch(mask, rng, 0.12, 0.35))
    return picture


def _grown(scene: Scene, rng: np.random.Generator) -> Array:
    """Parts of the product where none should be."""
    whole, mask = render_with_mask(scene)
    extent, picture = _extent(mask), whole
    for _ in range(int(rng.integers(1, 4))):
        patch = _patch(mask, rng, 0.1, 0.25)
        move = tuple(int(extent * rng.uniform(-0.55, 0.55)) for _ in range(2))
        there = np.clip(np.roll(mask, move, (0, 1)) * 1.2, 0, 1)
        picture = _mixed(picture, np.roll(whole, move, (0, 1)), np.roll(patch, move, (0, 1)) * there)
    return picture


def _chimera(scene: Scene, rng: np.random.Generator) -> Array:
    """Half one product, half another."""
    picture, mask = render_with_mask(scene)
    other = render(replace(scene, object=_other(OBJECTS, scene.object, rng)))
    if rng.random() < 0.5:
        return _mixed(picture, other, _patch(mask, rng, 0.35, 0.6))
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    rows, columns = np.nonzero(mask > 0.5)
    beyond = (x - columns.mean()) * np.cos(angle) + (y - rows.mean()) * np.sin(angle)
    return _mixed(picture, other, np.clip(beyond / (_extent(mask) * rng.uniform(0.05, 0.3)) + 0.5, 0, 1))


def _crossed(scene: Scene, rng: np.random.Generator) -> Array:
    """Two products through each other."""
    other = replace(scene, object=_other(OBJECTS, scene.object, rng), jitter_seed=int(rng.integers(2**31)))
    return _mixed(render(scene), render(other), rng.uniform(0.3, 0.7))


def _patched(scene: Scene, rng: np.random.Generator) -> Array:
    """Two colours."""
    picture, mask = render_with_mask(scene)
    here = np.array(COLOURS[scene.colour], float)
    far = [name for name, level in COLOURS.items() if np.linalg.norm(np.array(level, float) - here) > FAR]
    return _mixed(picture, render(replace(scene, colour=far[int(rng.integers(len(far)))])), _patch(mask, rng, 0.3, 0.5))


def _doubled(scene: Scene, rng: np.random.Generator) -> Array:
    return spoil(scene, "doubled", rng)


def _empty(scene: Scene, rng: np.random.Generator) -> Array:
    return spoil(scene, "empty", rng)


def _backdrops(scene: Scene, rng: np.random.Generator) -> Array:
    """Two places through each other, or side by side."""
    picture = render(scene)
    other = render(replace(scene, scene=_other(SCENES, scene.scene, rng)))
    if rng.random() < 0.6:
        return _mixed(picture, other, rng.uniform(0.35, 0.65))
    return _mixed(picture, other, np.clip(0.5 + 2 * _noise(picture.shape[:2], 30, rng), 0, 1))


def _faint(scene: Scene, rng: np.random.Generator) -> Array:
    return _mixed(render(scene), spoil(scene, "empty", rng), rng.uniform(0.5, 0.75))


def _blurred(scene: Scene, rng: np.random.Generator) -> Array:
    picture, mask = render_with_mask(scene)
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(_extent(mask) * rng.uniform(0.06, 0.2))))


def _swapped(scene: Scene, rng: np.random.Generator) -> Array:
    """Cells of a latent's size from another picture."""
    picture = render(scene)
    other = render(replace(scene, object=_other(OBJECTS, scene.object, rng), colour=_other(tuple(COLOURS), scene.colour, rng)))
    height, width = picture.shape[:2]
    cells = rng.random((height // 16 + 1, width // 16 + 1)) < rng.uniform(0.15, 0.5)
    return _mixed(picture, other, np.kron(cells, np.ones((16, 16)))[:height, :width])


def _split(scene: Scene, rng: np.random.Generator) -> Array:
    """A strip of the background right through the product."""
    picture, mask = render_with_mask(scene)
    rows, columns = np.nonzero(mask > 0.5)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    across = rng.random() < 0.7
    along, middle = (x, columns.mean()) if across else (y, rows.mean())
    half = _extent(mask) * rng.uniform(0.04, 0.14)
    away = np.abs(along - middle - _extent(mask) * rng.uniform(-0.2, 0.2))
    return _mixed(picture, spoil(scene, "empty", rng), np.clip((half - away) / (0.3 * half) + 0.5, 0, 1))


KINDS: dict[str, Callable[[Scene, np.random.Generator], Array]] = {
    "lumpy": _lumpy, "stretched": _stretched, "missing": _missing, "grown": _grown, "chimera": _chimera, "crossed": _crossed,
    "patched": _patched, "doubled": _doubled, "empty": _empty, "backdrops": _backdrops, "faint": _faint, "blurred": _blurred,
    "swapped": _swapped, "split": _split,
}  # fmt: skip
# What cannot be told of a picture that was spoiled so: those heads learn nothing from it.
LOST = {
    "object": ("stretched", "chimera", "crossed", "empty", "faint", "blurred", "swapped"),
    "colour": ("patched", "crossed", "empty", "faint", "swapped"),
    "scene": ("backdrops", "swapped"),
}


# With what it is done.


def _slightly(scene: Scene, rng: np.random.Generator) -> Array:
    """What is no fault: a little out of shape, a little soft."""
    picture = _warped(scene, rng, rng.uniform(0.2, 0.5), rng.uniform(0, 0.02)) if rng.random() < 0.5 else render(scene)
    return _resampled(picture, rng.uniform(0.45, 0.9)) if rng.random() < 0.4 else picture


def _softened(picture: Array, rng: np.random.Generator) -> Array:
    share = rng.uniform(0.4, 1.0)
    soft = (_resampled(picture, share) if share < 0.9 else picture).astype(np.float32)
    waves = np.stack([_noise(picture.shape[:2], rng.uniform(4, 14), rng) for _ in range(3)], -1)
    return (soft + rng.uniform(0, 9) * waves + rng.normal(0, 6, 3)).clip(0, 255).astype(np.uint8)


def _resampled(picture: Array, share: float) -> Array:
    image = Image.fromarray(picture)
    small = (max(8, round(image.width * share)), max(8, round(image.height * share)))
    return np.asarray(image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC))


def _warped(scene: Scene, rng: np.random.Generator, cell: float, reach: float) -> Array:
    """The product bent by a random field. cell, reach: of its waves, and how far they move, as shares of the product's extent."""
    picture, mask = render_with_mask(scene)
    height, width = mask.shape
    extent = _extent(mask)
    wide = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(extent * 0.1))
    near = np.clip(np.asarray(wide, np.float32) / 255 * 3, 0, 1)
    dy, dx = (_noise((height, width), cell * extent, rng) * reach * extent * near for _ in range(2))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grid = np.stack((np.clip(x + dx, 0, width - 1) / (width - 1) * 2 - 1, np.clip(y + dy, 0, height - 1) / (height - 1) * 2 - 1), -1)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    bent = functional.grid_sample(pixels, torch.from_numpy(grid)[None].float(), align_corners=True)
    return bent[0].permute(1, 2, 0).numpy().round().astype(np.uint8)


def _patch(mask: Array, rng: np.random.Generator, low: float, high: float) -> Array:
    """(h, w) in 0..1: a soft spot somewhere on the product, of low..high of its extent."""
    rows, columns = np.nonzero(mask > 0.5)
    place, radius = int(rng.integers(len(rows))), _extent(mask) * rng.uniform(low, high)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    away = np.hypot(y - rows[place], (x - columns[place]) * rng.uniform(0.6, 1.6)) + _noise(mask.shape, radius, rng) * radius * 0.35
    return np.clip((radius - away) / (0.15 * radius) + 0.5, 0, 1)


def _noise(shape: tuple[int, ...], cell: float, rng: np.random.Generator) -> Array:
    """Smooth noise of unit variance or so, with waves of `cell` pixels."""
    height, width = shape[:2]
    coarse = rng.standard_normal((max(2, int(height / cell) + 2), max(2, int(width / cell) + 2))).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _mixed(one: Array, other: Array, share: Array | float) -> Array:
    weight = np.asarray(share, np.float32)
    weight = weight[..., None] if weight.ndim == 2 else weight
    return (one + (other.astype(np.float32) - one) * weight + 0.5).clip(0, 255).astype(np.uint8)


def _extent(mask: Array) -> float:
    """The side of a square of the product's area, in pixels; at least 4."""
    return max(4.0, float(np.sqrt(mask.sum())))


def _other(names: tuple[str, ...], one: str, rng: np.random.Generator) -> str:
    rest = [name for name in names if name != one]
    return rest[int(rng.integers(len(rest)))]
