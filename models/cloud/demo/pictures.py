"""Pictures as providers handle them: brought into a format, blackened, read from a data URI."""
from __future__ import annotations

import base64
import binascii
import io

from PIL import Image, UnidentifiedImageError

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}


def converted(png: bytes, name: str) -> bytes:
    """`png` as a file of the format `name`; a PNG stays what it is to the byte."""
    if name == "png":
        return png
    with Image.open(io.BytesIO(png)) as picture:
        return _saved(picture.convert("RGB"), name)


def black(width: int, height: int, name: str) -> bytes:
    """What a safety checker leaves of a picture."""
    return _saved(Image.new("RGB", (width, height)), name)


def read_data_uri(text: str) -> bytes:
    """The picture in a data URI. Raises ValueError where there is none that decodes."""
    head, comma, rest = text.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        raise ValueError("not a base64 data URI")
    try:
        data = base64.b64decode(rest, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    check(data)
    return data


def check(data: bytes) -> tuple[int, int]:
    """Width and height of a picture that decodes whole. Raises ValueError."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            return picture.size
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"not a picture: {error}") from None


def as_data_uri(data: bytes, name: str) -> str:
    return f"data:{FORMATS[name]};base64,{base64.b64encode(data).decode()}"


def _saved(picture: Image.Image, name: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG" if name == "jpg" else name.upper(), quality=92)
    return out.getvalue()
