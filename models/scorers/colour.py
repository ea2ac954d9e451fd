"""Colours as people see them: CIE L*a*b*, CIEDE2000, light in stops, and the colours of a picture with their shares. numpy and PIL only.

sRGB by IEC 61966-2-1; L*a*b* (1976) and CIEDE2000 for the white point D65, 2 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

Array = np.ndarray

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = _TO_XYZ.sum(axis=1)
MEASURED_SIDE = 192  # pixels of the longest side in which colours are counted


def linear(rgb: Array) -> Array:
    """Light, 0..1, of sRGB values 0..255 of any shape."""
    share = np.asarray(rgb, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def luminance(rgb: Array) -> Array:
    """Relative luminance Y, 0..1, of sRGB (..., 3) 0..255."""
    return linear(rgb) @ _TO_XYZ[1]


def stops(light: float, than: float) -> float:
    """How many times `light` is the double of `than`; both are at least a 4096th, twelve stops below white."""
    return float(np.log2(max(light, 2**-12) / max(than, 2**-12)))


def lab(rgb: Array) -> Array:
    """L* 0..100, a*, b* of sRGB (..., 3) 0..255: float64 of the same shape."""
    ratio = linear(rgb) @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def hex_lab(colour: str) -> Array:
    """L*a*b* of "#RRGGBB", shape (3,)."""
    return lab(np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]))


def ciede2000(one: Array, other: Array, lightness: float = 1.0) -> Array:
    """The difference of two colours in L*a*b*, (..., 3) each, broadcast against each other: 1 is just visible side by side, 5 is seen
    at a glance, 100 is black to white.

    lightness: the parametric factor kL; 2 counts differences in lightness half, as is done where things are lit unevenly.
    Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (Color Research & Application 2005).
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(np.asarray(one, float), -1, 0), np.moveaxis(np.asarray(other, float), -1, 0)
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360

    coloured = (c1 * c2) > 0
    turn = np.where(coloured, (h2 - h1 + 180) % 360 - 180, 0.0)
    hue_step = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    far = np.abs(h1 - h2) > 180
    hue = np.where(coloured, (h1 + h2 + np.where(far, np.where(h1 + h2 < 360, 360.0, -360.0), 0.0)) / 2, h1 + h2)
    light, strong = (l1 + l2) / 2, (c1 + c2) / 2

    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    s_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_chroma, s_hue = 1 + 0.045 * strong, 1 + 0.015 * strong * t
    rotation = -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * 2 * np.sqrt(strong**7 / (strong**7 + 25.0**7))
    dl, dc, dh = (l2 - l1) / (lightness * s_light), (c2 - c1) / s_chroma, hue_step / s_hue
    return np.sqrt(np.maximum(0, dl**2 + dc**2 + dh**2 + rotation * dc * dh))


def _cos(degrees: Array) -> Array:
    return np.cos(np.radians(degrees))


@dataclass(frozen=True)
class Colours:
    """The colours of a picture: lab (n, 3) and their shares of its area (n,), which sum to 1; the largest first."""

    lab: Array
    share: Array


def small(picture: Image.Image, side: int = MEASURED_SIDE) -> Image.Image:
    """RGB, averaged down to at most `side` pixels; what is smaller stays as it is."""
    rgb = picture.convert("RGB")
    factor = -(-max(rgb.size) // side)
    return rgb.reduce(factor) if factor > 1 else rgb


def colours_of(rgb: Array) -> Colours:
    """Of sRGB pixels (n, 3) uint8, n > 0: those within the same sixteenth of each channel count as one colour, their mean."""
    bins = (rgb.astype(np.int32) >> 4) @ np.array([256, 16, 1])
    _, place, counts = np.unique(bins, return_inverse=True, return_counts=True)
    mean = np.stack([np.bincount(place, rgb[:, channel]) / counts for channel in range(3)], axis=-1)
    order = np.argsort(-counts, kind="stable")
    return Colours(lab(mean[order]), counts[order] / counts.sum())
