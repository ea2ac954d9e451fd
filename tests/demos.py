"""What tests of the cloud draw with, and how they wait for a demo provider."""
from __future__ import annotations

import io

from PIL import Image


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    """A PNG of one colour, from the seed."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (seed % 251, seed // 251 % 251, 90)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def size(data: bytes) -> tuple[int, int]:
    """Of a picture that decodes whole."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.size
