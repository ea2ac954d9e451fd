"""Bold sign letters drawn from strokes, so that no system font is needed."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

# Strokes on a grid 4 wide and 6 high, y downwards; every stroke is a polyline.
_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 6), (2, 0), (4, 6)], [(0.8, 4.1), (3.2, 4.1)]],
    "B": [[(0, 0), (2.6, 0), (3.6, 0.7), (3.6, 2.1), (2.6, 2.9), (0, 2.9)], [(2.6, 2.9), (3.9, 3.7), (3.9, 5.2), (2.7, 6), (0, 6), (0, 0)]],
    "E": [[(3.7, 0), (0, 0), (0, 6), (3.7, 6)], [(0, 2.9), (3.1, 2.9)]],
    "F": [[(3.7, 0), (0, 0), (0, 6)], [(0, 2.9), (3.1, 2.9)]],
    "G": [[(4, 1.3), (3.2, 0.2), (2.1, 0), (0.9, 0.4), (0, 2), (0, 4), (0.9, 5.6), (2.1, 6), (3.2, 5.8), (4, 5), (4, 3.4), (2.4, 3.4)]],
    "H": [[(0, 0), (0, 6)], [(4, 0), (4, 6)], [(0, 3), (4, 3)]],
    "I": [[(2, 0), (2, 6)]],
    "L": [[(0, 0), (0, 6), (3.7, 6)]],
    "N": [[(0, 6), (0, 0), (4, 6), (4, 0)]],
    "O": [[(2, 0), (0.9, 0.4), (0, 2), (0, 4), (0.9, 5.6), (2, 6), (3.1, 5.6), (4, 4), (4, 2), (3.1, 0.4), (2, 0)]],
    "P": [[(0, 6), (0, 0), (2.7, 0), (3.9, 0.9), (3.9, 2.5), (2.7, 3.4), (0, 3.4)]],
    "S": [[(3.8, 1.0), (2.9, 0.1), (1.2, 0), (0.2, 0.8), (0.2, 2), (1, 2.7), (3, 3.3), (3.9, 4.1), (3.8, 5.2), (2.8, 6), (1.1, 6), (0, 5)]],
    "T": [[(0, 0), (4, 0)], [(2, 0), (2, 6)]],
    "W": [[(-0.4, 0), (0.8, 6), (2, 1.4), (3.2, 6), (4.4, 0)]],
}
_NARROW = {"I": 1.2}
_STROKE = 1.15  # in grid units
_GAP = 1.75
_OVER = 6  # supersampling


@lru_cache(maxsize=256)
def word_mask(word: str, height: int) -> np.ndarray:
    """Coverage of a word in capitals, float32 (height, n) in 0..1; height in pixels is that of the letters."""
    unit = height * _OVER / (6 + _STROKE)
    widths = [_NARROW.get(letter, 4.8 if letter == "W" else 4.0) for letter in word]
    total = sum(widths) + _GAP * (len(word) - 1) + _STROKE
    image = Image.new("L", (round(total * unit / _OVER) * _OVER, height * _OVER), 0)
    draw = ImageDraw.Draw(image)
    r = _STROKE / 2
    left = r
    for letter, width in zip(word, widths, strict=True):
        offset = left + (width - 4.0) / 2
        for stroke in _LETTERS[letter]:
            points = [((offset + px) * unit, (r + py) * unit) for px, py in stroke]
            draw.line(points, fill=255, width=round(_STROKE * unit), joint="curve")
            for px, py in points:
                draw.ellipse([px - r * unit, py - r * unit, px + r * unit, py + r * unit], fill=255)
        left += width + _GAP
    small = image.resize((image.width // _OVER, height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255.0
