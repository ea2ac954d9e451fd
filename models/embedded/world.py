"""The world the embedded model learns: which scenes exist, which are held out, and how training samples them.

A scene is one product (object and colour) in one of eight places, with a light, a framing, a style, perhaps a sign,
and a picture size. `render` draws a scene, `captions` words it; both read only the tables of this module.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

OBJECTS = ("mug", "bottle", "bowl", "vase", "lamp", "chair", "shoe", "bag", "clock", "candle", "box", "teapot")

# sRGB, 0..255: chosen far apart from each other, so that a warm or cool light never turns one into another.
COLOURS = {
    "red": (204, 22, 34),
    "orange": (247, 126, 14),
    "yellow": (252, 214, 32),
    "green": (34, 146, 52),
    "teal": (0, 164, 164),
    "blue": (28, 78, 214),
    "purple": (118, 44, 164),
    "pink": (250, 140, 186),
    "brown": (112, 66, 34),
    "black": (26, 26, 30),
    "white": (248, 248, 248),
    "grey": (132, 134, 138),
}

SCENES = ("studio", "table", "kitchen", "beach", "garden", "snow", "street", "night")
LIGHTS = ("soft", "dramatic", "warm", "cool")
FRAMINGS = ("centre", "close", "wide", "left", "right")
STYLES = ("photo", "illustration", "watercolour")
SIGNS = (None, "SALE", "NEW", "HOT", "OPEN", "GIFT", "BEST")

# (width, height) in pixels, all multiples of 16 or 32 so that an f16 autoencoder divides them evenly.
SIZES = {
    "1:1": (256, 256),
    "4:5": (224, 288),
    "3:2": (320, 224),
    "16:9": (352, 192),
    "9:16": (192, 352),
    "banner": (448, 160),
}

HELD_OUT_SHARE = 0.15


@dataclass(frozen=True)
class Scene:
    """One picture of the world. `size` is (width, height) in pixels; `jitter_seed` moves what no caption tells:
    a few pixels of position, a few percent of scale and shade."""

    object: str
    colour: str
    scene: str
    light: str = "soft"
    framing: str = "centre"
    style: str = "photo"
    sign: str | None = None
    size: tuple[int, int] = (256, 256)
    jitter_seed: int = 0


def held_out(object: str, colour: str, scene: str) -> bool:
    """Whether the triple is kept away from training (173 of 1152, 15 %), the same on every platform and every run.

    Every object, colour and scene, and every pair of them, still occurs in training triples.
    """
    return (object, colour, scene) in _held_out_triples()


@cache
def _held_out_triples() -> frozenset[tuple[str, str, str]]:
    """The first 15 % of all triples in the order of their digests."""
    every = [(o, c, s) for o in OBJECTS for c in COLOURS for s in SCENES]
    every.sort(key=lambda triple: hashlib.sha256("/".join(("contact-sheet", *triple)).encode()).digest())
    return frozenset(every[: round(len(every) * HELD_OUT_SHARE)])


def triples(held: bool | None = None) -> list[tuple[str, str, str]]:
    """All (object, colour, scene): 1152 with None, only the held-out ones with True, only the others with False."""
    every = [(o, c, s) for o in OBJECTS for c in COLOURS for s in SCENES]
    return every if held is None else [triple for triple in every if held_out(*triple) is held]


_TRIPLES = {held: triples(held) for held in (None, True, False)}


def sample_scene(
    rng: np.random.Generator,
    *,
    held_out: bool | None = False,
    size: tuple[int, int] | None = None,
    default_share: float = 0.58,
    sign_share: float = 0.15,
    square_share: float = 0.70,
) -> Scene:
    """Draw a scene as training does: 70 % square, light, framing and style default in `default_share`, signs in 15 %.

    held_out: False for training triples, True for held-out ones, None for any.
    size: (width, height) in pixels to fix the size; None draws one of SIZES.
    """
    pool = _TRIPLES[held_out]
    object, colour, scene = pool[int(rng.integers(len(pool)))]
    sign = str(rng.choice(SIGNS[1:])) if rng.random() < sign_share else None
    framing = _default_or_other(rng, FRAMINGS, default_share)
    if sign and framing == "close":
        framing = "centre"  # a close object leaves no room for a sign above it
    if size is None:
        size = SIZES[_default_or_other(rng, tuple(SIZES), square_share)]
    return Scene(
        object=object,
        colour=colour,
        scene=scene,
        light=_default_or_other(rng, LIGHTS, default_share),
        framing=framing,
        style=_default_or_other(rng, STYLES, default_share),
        sign=sign,
        size=size,
        jitter_seed=int(rng.integers(2**31)),
    )


def _default_or_other(rng: np.random.Generator, names: tuple[str, ...], default_share: float) -> str:
    """The first name with probability `default_share`, else one of the others."""
    return names[0] if rng.random() < default_share else names[1 + int(rng.integers(len(names) - 1))]
