"""Colours against a brand's palette, the background, and the harmony of hues. numpy, scipy and PIL; no weights.

Distances are CIEDE2000. Where lit and shaded sides of one thing must count as one colour, differences in lightness count half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.scorers.colour import Array, Colours, ciede2000, colours_of, hex_lab, lab, small
from models.scorers.ground import Ground, ground_of
from models.spec import Score, ScoreContext

NEAR = 12.0  # dE up to which a colour of the picture is one of the palette
FAR = 20.0  # dE from which it is none
PRESENT = 0.01  # of the area
NEUTRAL = 12.0  # chroma below which a colour is a grey
EDGE = 6.0  # a step in L*a*b* between neighbours that is seen as an edge
# Cohen-Or et al., "Color harmonization" (SIGGRAPH 2006): harmonic templates as sectors of the hue circle, (centre, width) in degrees.
# T and X are left out, for they cover half of the circle and call nearly everything harmonic.
TEMPLATES = (
    ((0.0, 93.6),),  # V: neighbouring hues
    ((0.0, 18.0), (90.0, 79.2)),  # L, and its mirror image
    ((0.0, 18.0), (270.0, 79.2)),
    ((0.0, 18.0), (180.0, 18.0)),  # I: two opposite hues
    ((0.0, 93.6), (180.0, 18.0)),  # Y: neighbours and their opposite
)


class Brand:
    """The dimensions of presets/scorers/brand.toml as one scorer; `background_distance:#RRGGBB` for each that was asked for."""

    name = "brand"
    version = "1"
    dimensions: tuple[str, ...] = (
        "palette_distance", "palette_coverage", "off_brand", "background_cleanliness", "coherence", "background_distance",
    )

    def score(self, pictures: Sequence[Image.Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture. Without a palette what needs one is not scored."""
        return [self._one(picture, context) for picture in pictures]

    def _one(self, picture: Image.Image, context: ScoreContext) -> list[Score]:
        colours = colours_of(np.asarray(small(picture)).reshape(-1, 3))
        ground = ground_of(picture)
        palette = np.array([hex_lab(colour) for colour in context.palette]) if context.palette else None
        values: dict[str, float | None] = {
            "palette_distance": None if palette is None else palette_distance(colours, palette),
            "palette_coverage": None if palette is None else palette_coverage(colours, palette),
            "off_brand": None if palette is None else off_brand(colours, palette),
            "background_cleanliness": cleanliness(ground),
            "coherence": coherence(colours),
        }
        for name in sorted(context.asked or ()):
            plain, _, colour = name.partition(":")
            if plain == "background_distance":
                values[name] = background_distance(ground, hex_lab(colour))
        return [self._named(name, value) for name, value in values.items()]

    def _named(self, name: str, value: float | None) -> Score:
        if value is not None:
            return Score(name, round(value, 1), self.name, self.version)
        background = name.startswith("background")
        note = "No background can be told: something fills the picture." if background else "The request names no palette."
        return Score(name, None, self.name, self.version, note)


def palette_distance(colours: Colours, palette: Array) -> float:
    """The mean dE from each colour of the picture to the nearest of the palette, by area. palette: (n, 3) in L*a*b*."""
    return float(colours.share @ ciede2000(colours.lab[:, None], palette[None]).min(axis=1))


def palette_coverage(colours: Colours, palette: Array) -> float:
    """0..100: the share of the palette that is present, each colour on at least PRESENT of the area."""
    apart = ciede2000(colours.lab[:, None], palette[None], lightness=2)
    near = apart.min(axis=1) <= NEAR
    areas = np.bincount(apart.argmin(axis=1)[near], colours.share[near], minlength=len(palette))
    return 100 * float(np.mean(areas >= PRESENT))


def off_brand(colours: Colours, palette: Array) -> float:
    """0..100: the share of the area that has a hue and is further than FAR from all of the palette."""
    apart = ciede2000(colours.lab[:, None], palette[None], lightness=2).min(axis=1)
    coloured = np.hypot(colours.lab[:, 1], colours.lab[:, 2]) >= NEUTRAL
    return 100 * float(colours.share[coloured & (apart > FAR)].sum())


def background_distance(ground: Ground, wanted: Array) -> float | None:
    """The dE to `wanted` (L*a*b*) that nine tenths of the background keep within. None where there is no background."""
    pixels = _background(ground)
    return None if pixels is None else float(np.percentile(ciede2000(pixels, wanted), 90))


def cleanliness(ground: Ground) -> float | None:
    """0..100: 100 less five times the percentage of the background's steps that are edges; a fifth of edges is clutter, 0."""
    pixels = lab(ground.rgb)
    edges = total = 0
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        both = ground.background[first] & ground.background[second]
        edges += int(np.count_nonzero((np.linalg.norm(pixels[first] - pixels[second], axis=-1) >= EDGE) & both))
        total += int(np.count_nonzero(both))
    return None if total < 0.05 * ground.background.size else float(np.clip(100 - 500 * edges / total, 0, 100))


def coherence(colours: Colours) -> float:
    """0..100: how much of the picture's colour (area x chroma) lies in the sectors of the harmonic template that fits it best."""
    chroma = np.hypot(colours.lab[:, 1], colours.lab[:, 2])
    weight = np.where(chroma >= NEUTRAL, chroma * colours.share, 0.0)
    if weight.sum() < 0.01 * NEUTRAL:
        return 100.0
    hue = np.degrees(np.arctan2(colours.lab[:, 2], colours.lab[:, 1])) % 360
    turns = np.arange(0, 360, 6.0)[:, None]
    best = 0.0
    for template in TEMPLATES:
        inside = np.zeros((len(turns), len(hue)), bool)
        for centre, width in template:
            inside |= np.abs((hue[None] - turns - centre + 180) % 360 - 180) <= width / 2
        best = max(best, float((inside @ weight).max()))
    return 100 * best / float(weight.sum())


def _background(ground: Ground) -> Array | None:
    """(n, 3) L*a*b* of the background without the rim of objects, where averaging has mixed colours."""
    import cv2

    rim = cv2.erode(ground.background.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
    return lab(ground.rgb[rim]) if np.count_nonzero(rim) >= 0.02 * rim.size else None
