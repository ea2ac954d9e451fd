"""Enlarging a drawn picture: a resampler, and where the model has img2img a second, gentle pass over it in overlapping tiles.

The tiles are of the size the picture was drawn in, which the model knows best; where they overlap they are blended with weights that
fall off towards their edges (as in MultiDiffusion, Bar-Tal et al. 2023, but on finished pixels). Only numpy and Pillow here.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from PIL import Image

from models.cards import Finish
from models.spec import Event, ImageSpec, Picture, Step

OVERLAP = 0.25  # Least share of a tile that its neighbour covers too.


class Redraws(Protocol):
    """An engine with img2img from memory (`LocalEngine`)."""

    def redraw(self, images: list[Image.Image], spec: ImageSpec) -> Iterator[Event]: ...


def finish(
    engine: object, picture: Picture, finish: Finish, spec: ImageSpec, on_step: Callable[[int, int], None] = lambda done, total: None
) -> Picture:
    """`picture` enlarged by `finish.scale`. `details["finish"]` tells the method that was used, sizes in pixels and tiles.

    spec: what the picture was drawn with (prompt, size, guidance, LoRAs). on_step(done, total) is called while tiles are drawn; what
    it raises stops the device. An engine without `redraw` gets the resampler, and the details say so.
    """
    width, height = round(picture.image.width * finish.scale), round(picture.image.height * finish.scale)
    large = picture.image.resize((width, height), Image.Resampling.LANCZOS)
    told: dict[str, object] = {"method": "resample", "from": list(picture.image.size), "to": [width, height]}
    seconds = picture.seconds
    if finish.method == "img2img-tiles":
        if hasattr(engine, "redraw"):
            large, tiles, seconds = _tiled(engine, large, picture, finish, spec, on_step)
            told |= {"method": "img2img-tiles", "strength": finish.strength, "steps": finish.steps, "tiles": tiles}
        else:
            told["why"] = "this engine has no img2img"
    return replace(picture, image=large, seconds=seconds, details={**picture.details, "finish": told})


def _tiled(
    engine: Redraws, large: Image.Image, picture: Picture, finish: Finish, spec: ImageSpec, on_step: Callable[[int, int], None]
) -> tuple[Image.Image, int, float]:
    """-> the picture, how many tiles, seconds in all."""
    size = picture.image.size
    corners = [(x, y) for y in starts(large.height, size[1]) for x in starts(large.width, size[0])]
    crops = [large.crop((x, y, x + size[0], y + size[1])) for x, y in corners]
    seeds = tuple((picture.seed + 1 + index) % 2**63 for index in range(len(crops)))
    task = replace(
        spec, width=size[0], height=size[1], seeds=seeds, steps=finish.steps, strength=finish.strength, image=None, role="none"
    )
    drawn: dict[int, Image.Image] = {}
    seconds, total = picture.seconds, len(crops)
    events = engine.redraw(crops, task)
    try:
        for event in events:
            if isinstance(event, Step):
                on_step(len(drawn) * event.total + event.index * len(event.seeds), total * event.total)
            elif isinstance(event, Picture):
                drawn[seeds.index(event.seed)] = event.image
                seconds += event.seconds
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()  # At once, not when the garbage collector finds it: the device is still at work.
    return blend([(corner, drawn[index]) for index, corner in enumerate(corners)], large.size), total, seconds


def starts(length: int, tile: int) -> list[int]:
    """First pixels of the tiles along a side: evenly spread, neighbours overlapping by at least OVERLAP."""
    if tile >= length:
        return [0]
    count = math.ceil((length - tile) / (tile * (1 - OVERLAP))) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def blend(tiles: list[tuple[tuple[int, int], Image.Image]], size: tuple[int, int]) -> Image.Image:
    """Tiles at their corners (x, y) -> one picture, averaged with weights that fall linearly from a tile's middle to its edge."""
    total = np.zeros((size[1], size[0], 3), np.float32)
    weights = np.zeros((size[1], size[0], 1), np.float32)
    for (x, y), tile in tiles:
        weight = np.minimum.outer(_ramp(tile.height), _ramp(tile.width))[..., None]
        area = slice(y, y + tile.height), slice(x, x + tile.width)
        total[area] += np.asarray(tile.convert("RGB"), np.float32) * weight
        weights[area] += weight
    return Image.fromarray(np.clip(np.rint(total / weights), 0, 255).astype(np.uint8))


def _ramp(length: int) -> np.ndarray:
    """1 in the middle, falling to just above 0 at both ends."""
    place = np.arange(length, dtype=np.float32) + 0.5
    return np.minimum(place, length - place) / (length / 2)
