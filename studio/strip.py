"""A PNG without what it says about itself: the pixels' own chunks are copied as they are, so nothing is encoded anew."""
from __future__ import annotations

import struct
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What pixels need to look as they do; texts, EXIF, times and whatever else a file carries are left out.
KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs"}


def stripped(path: Path) -> bytes:
    """The PNG file at `path` without prompts, settings or any other words. Raises OSError, and ValueError for what is no PNG."""
    return strip_png(path.read_bytes())


def strip_png(data: bytes) -> bytes:
    """`data` without its ancillary chunks but those of colour. Raises ValueError for what is no PNG."""
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    parts, at = [SIGNATURE], len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ValueError("a chunk of the PNG is cut off")
        if kind in KEPT:
            parts.append(data[at:end])
        at = end
        if kind == b"IEND":
            return b"".join(parts)
    raise ValueError("the PNG has no end")
