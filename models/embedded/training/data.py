"""Renders kept on disk: drawn once by all cores, read by every stage through a memory map.

    RENDERS/scenes.json     one record a picture
    RENDERS/WxH.npy         uint8 (n, H, W, 3)
    RENDERS/WxH.mask.npy    float16 (n, H / 32, W / 32): the share of the object in each image token
"""
from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from models.embedded.render import render_with_mask
from models.embedded.world import SIZES, Scene, sample_scene

SHARES = {"1:1": 0.70, "4:5": 0.06, "3:2": 0.06, "16:9": 0.06, "9:16": 0.06, "banner": 0.06}
TOKEN_PIXELS = 32  # an f16 latent, packed two by two


@dataclasses.dataclass
class Renders:
    """The pictures of one size. `pictures` uint8 (n, H, W, 3); `masks` float16 (n, H/32, W/32) in 0..1; `scenes` n records."""

    size: tuple[int, int]
    pictures: np.ndarray
    masks: np.ndarray
    scenes: list[Scene]


def open_renders(folder: Path, count: int, seed: int) -> list[Renders]:
    """Draw `count` training pictures over all sizes unless `folder` holds them already."""
    groups = {SIZES[name]: round(count * share) for name, share in SHARES.items()}
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index, (size, n) in enumerate(groups.items()):
        stem = folder / f"{size[0]}x{size[1]}"
        if not stem.with_suffix(".json").exists():
            _draw(stem, size, n, seed + index)
        records = json.loads(stem.with_suffix(".json").read_text())
        scenes = [Scene(**{**record, "size": tuple(record["size"])}) for record in records]
        found.append(Renders(size, np.load(f"{stem}.npy", mmap_mode="r"), np.load(f"{stem}.mask.npy"), scenes))
    return found


def training_scenes(size: tuple[int, int], n: int, seed: int) -> list[Scene]:
    rng = np.random.default_rng([seed, 17])
    return [sample_scene(rng, held_out=False, size=size, default_share=0.68) for _ in range(n)]


def _draw(stem: Path, size: tuple[int, int], n: int, seed: int) -> None:
    """The record file is written last: its presence says that the pictures are whole."""
    width, height = size
    scenes = training_scenes(size, n, seed)
    pictures = np.lib.format.open_memmap(f"{stem}.npy", mode="w+", dtype=np.uint8, shape=(n, height, width, 3))
    masks = np.zeros((n, height // TOKEN_PIXELS, width // TOKEN_PIXELS), np.float16)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for index, (picture, mask) in enumerate(pool.map(_one, scenes, chunksize=32)):
            pictures[index], masks[index] = picture, mask
            if index % 1000 == 0:
                print(f"renders {width}x{height}: {index}/{n}", flush=True)
    pictures.flush()
    np.save(f"{stem}.mask.npy", masks)
    stem.with_suffix(".json").write_text(json.dumps([dataclasses.asdict(scene) for scene in scenes]))


def _one(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    picture, mask = render_with_mask(scene)
    height, width = mask.shape
    tokens = mask.reshape(height // TOKEN_PIXELS, TOKEN_PIXELS, width // TOKEN_PIXELS, TOKEN_PIXELS).mean((1, 3))
    return picture, tokens.astype(np.float16)
