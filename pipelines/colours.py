"""Colours by name: models read "teal" where they would not read "#008080"."""
from __future__ import annotations

import re
from functools import lru_cache

# The sRGB values that people mean by the names: the eleven basic terms of Berlin and Kay (1969), and names that shops use besides.
NAMES = {
    "black": "#101010", "white": "#FFFFFF", "grey": "#808080", "light grey": "#C8C8C8", "dark grey": "#404040", "red": "#E01E1E",
    "dark red": "#8B0000", "orange": "#FF8C00", "yellow": "#FFD700", "green": "#2E8B22", "dark green": "#0B4D1E", "blue": "#1F5FE0",
    "light blue": "#9CCBEF", "navy blue": "#14204F", "teal": "#008080", "turquoise": "#40D0C4", "purple": "#7A2BA8", "lavender": "#C9B6EC",
    "pink": "#FF9EBB", "magenta": "#D4158C", "brown": "#7B4A21", "beige": "#E8D9BE", "cream": "#FFF6DC", "gold": "#C8A13A",
    "olive": "#6F7420", "mint green": "#A9E5C2", "coral": "#FF7A5C", "burgundy": "#6B1230", "lime green": "#9ADE2B",
    "terracotta": "#C2633F", "sky blue": "#5DB5F2", "sage green": "#9CAF88",
}  # fmt: skip
_HEX = re.compile(r"#?([0-9A-Fa-f]{6})", re.ASCII)
_SHORT = re.compile(r"#([0-9A-Fa-f]{3})", re.ASCII)


def read_colour(words: str) -> str | None:
    """"#RRGGBB" in capitals, of that, "RRGGBB", "#RGB" or a name; None for what is no colour."""
    words = " ".join(words.split())
    if match := _HEX.fullmatch(words):
        return f"#{match[1].upper()}"
    if match := _SHORT.fullmatch(words):
        return "#" + "".join(2 * one for one in match[1].upper())
    name = words.casefold().replace("gray", "grey")
    return NAMES.get(name)


@lru_cache(maxsize=1024)
def colour_name(colour: str) -> str:
    """The name nearest to "#RRGGBB", by distance in CIELAB (D65), whose axes are lightness and the two opponent pairs."""
    lab = _lab(colour)
    return min(NAMES, key=lambda name: sum((one - other) ** 2 for one, other in zip(lab, _lab(NAMES[name]), strict=True)))


@lru_cache(maxsize=1024)
def _lab(colour: str) -> tuple[float, float, float]:
    """CIE 1976 L*a*b* of an sRGB colour (IEC 61966-2-1)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (_cube_root(one) for one in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _cube_root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116
