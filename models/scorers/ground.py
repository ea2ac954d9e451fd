"""What stands in front of the background: found without weights, by what no smooth way leads to from the picture's border.

After Wei et al., "Geodesic saliency using background priors" (ECCV 2012): each pixel's distance is the least sum of colour steps on
any way from the border, small steps free, so that gradients and shadows cost nothing. What repeats (bricks, tiles) is cut off from
the border by its joints and yet no object: a pixel counts only as far as its colour is none that the borders show at its height.
Objects that the border cuts, and scenes full of things, are beyond it. numpy, scipy and cv2; about 10 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.scorers.colour import Array, Colours, ciede2000, colours_of, lab, small

SIDE = 96  # pixels of the longest side
FREE = 1.0  # a step in L*a*b* that costs nothing
STANDS_OUT = 11.0
STRANGE = 2.0
SMALLEST = 0.012  # of the picture's area
SMALL_SISTER = 0.4  # of the area of the main object
ALIKE = 9.0  # dE between the colours of two objects that are of one kind


@dataclass(frozen=True)
class Thing:
    """An object: its mask (SIDE-sized picture, bool), its share of the picture's area and its colours."""

    mask: Array
    share: float
    colours: Colours


@dataclass(frozen=True)
class Ground:
    """rgb: the reduced picture (height, width, 3) uint8. things: the objects, the most prominent first. background: bool, what is
    none of them."""

    rgb: Array
    things: tuple[Thing, ...]
    background: Array

    def box(self, thing: Thing, size: tuple[int, int], margin: float = 0.04) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of a thing in pixels of the picture of `size`, with a margin as a share of the longest side."""
        rows, columns = np.flatnonzero(thing.mask.any(axis=1)), np.flatnonzero(thing.mask.any(axis=0))
        height, width = thing.mask.shape
        air = margin * max(size)
        x, y = size[0] / width, size[1] / height
        left, top = columns[0] * x - air, rows[0] * y - air
        right, bottom = (columns[-1] + 1) * x + air, (rows[-1] + 1) * y + air
        return max(0, int(left)), max(0, int(top)), min(size[0], int(right) + 1), min(size[1], int(bottom) + 1)


def ground_of(picture: Image.Image) -> Ground:
    """The objects of a picture and its background."""
    import cv2

    rgb = np.asarray(small(picture, SIDE))
    height, width = rgb.shape[:2]
    if min(height, width) < 8:
        return Ground(rgb, (), np.ones((height, width), bool))
    out = prominence(lab(rgb))
    mask = _filled(out > STANDS_OUT)
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    things = []
    for number in range(1, count):
        share = stats[number, cv2.CC_STAT_AREA] / mask.size
        if share >= SMALLEST:
            own = label == number
            things.append((share * min(40.0, float(np.median(out[own]))), Thing(own, float(share), colours_of(rgb[own]))))
    things.sort(key=lambda thing: -thing[0])
    return Ground(rgb, tuple(thing for _, thing in things), ~mask)


def alike(one: Colours, other: Colours) -> float:
    """How far two sets of colours are apart, in dE: each colour to the nearest of the other, by its share, the worse way round."""
    apart = ciede2000(one.lab[:, None], other.lab[None], lightness=2)
    there, back = float(one.share @ apart.min(axis=1)), float(other.share @ apart.min(axis=0))
    return max(there, back)


def sisters(ground: Ground, kind: Colours | None = None) -> int:
    """How many objects are of one kind: of the one whose colours are nearest to `kind`, else of that with the most large ones."""
    if not ground.things:
        return 0
    if kind:
        return _of_kind(ground, min(ground.things, key=lambda thing: alike(thing.colours, kind)))
    largest = max(thing.share for thing in ground.things)
    return max(_of_kind(ground, thing) for thing in ground.things if thing.share >= SMALL_SISTER * largest)


def _of_kind(ground: Ground, first: Thing) -> int:
    return sum(
        thing is first or (thing.share >= SMALL_SISTER * first.share and alike(thing.colours, first.colours) <= ALIKE)
        for thing in ground.things
    )


def prominence(pixels: Array) -> Array:
    """How far each pixel stands out, in units of L*a*b*: (height, width) float64. pixels: (height, width, 3) in L*a*b*."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    frame = _frame(pixels)
    if frame:
        whole = np.zeros(pixels.shape[:2])
        whole[frame:-frame, frame:-frame] = prominence(pixels[frame:-frame, frame:-frame])
        return whole
    height, width = pixels.shape[:2]
    place = np.arange(height * width).reshape(height, width)
    pairs: list[tuple[Any, Any]] = [
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ]
    start = np.concatenate([place[one].ravel() for one, _ in pairs])
    end = np.concatenate([place[other].ravel() for _, other in pairs])
    steps = np.concatenate([np.linalg.norm(pixels[one] - pixels[other], axis=-1).ravel() for one, other in pairs])
    # An explicit 0 would be no edge to scipy.
    graph = csr_matrix((np.maximum(steps - FREE, 0) + 1e-3, (start, end)), shape=(place.size, place.size))
    border = np.unique(np.concatenate([place[0], place[-1], place[:, 0], place[:, -1]]))
    far = dijkstra(graph, directed=False, indices=border, min_only=True).reshape(height, width)
    return np.minimum(far, STRANGE * _strange(pixels))


def _frame(pixels: Array) -> int:
    """How wide a passe-partout is in pixels, 0 where there is none: a border of one colour and another picture within."""
    width = round(0.08 * min(pixels.shape[:2]))
    if width < 2:
        return 0
    outer, inner = _ring(pixels, 0), _ring(pixels, width)
    paper = np.median(outer, axis=0)
    plain = np.linalg.norm(outer - paper, axis=-1) < 6
    other = np.linalg.norm(inner - paper, axis=-1) > 10
    return width if plain.mean() > 0.95 and other.mean() > 0.6 else 0


def _ring(pixels: Array, inset: int) -> Array:
    within = pixels[inset : pixels.shape[0] - inset, inset : pixels.shape[1] - inset]
    return np.concatenate([within[0], within[-1], within[:, 0], within[:, -1]])


def _strange(pixels: Array) -> Array:
    """The distance of each pixel to the nearest colour of the left and right border within an eighth of the height above and below."""
    height, width = pixels.shape[:2]
    reach, strip = max(2, height // 8), max(1, width // 32)
    edges = np.concatenate([pixels[:, :strip], pixels[:, -strip:]], axis=1)
    nearest = np.full((height, width), np.inf)
    for row in range(height):
        near = edges[max(0, row - reach) : row + reach + 1].reshape(-1, 3)
        near = np.unique(np.round(near / 3), axis=0) * 3
        nearest[row] = np.linalg.norm(pixels[row][:, None] - near[None], axis=-1).min(axis=1)
    return nearest


def _filled(mask: Array) -> Array:
    """Without specks of a pixel and with small holes closed."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel).astype(bool)
