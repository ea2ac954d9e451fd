"""The texts inside a picture's file: PNG text chunks, and EXIF in PNG, JPEG and WebP. Pixels are not decoded."""
from __future__ import annotations

from PIL import Image

from pipelines.metadata.found import TEXT_LIMIT

USER_COMMENT, MAKER_NOTE, SOFTWARE, MAKE, MODEL = 0x9286, 0x927C, 0x0131, 0x010F, 0x0110
EXIF_FOLDER = 0x8769
TEXTS_LIMIT = 32


def texts_of(image: Image.Image) -> dict[str, str]:
    """The texts of an opened picture by their key. A JPEG's or WebP's UserComment is its "parameters", as the tools have it.

    Raises what Pillow raises for a file that is broken: OSError, ValueError, SyntaxError.
    """
    # A PNG's texts may stand behind its pixels, where only loading it finds them: the caller has done so.
    found = {
        key: value[:TEXT_LIMIT]
        for key, value in list(image.info.items())[:TEXTS_LIMIT]
        if isinstance(key, str) and isinstance(value, str)
    }
    exif = image.getexif()
    inner = exif.get_ifd(EXIF_FOLDER)
    comment = _text(inner.get(USER_COMMENT, exif.get(USER_COMMENT)))
    if comment:
        found.setdefault("parameters", comment)
    scheme = _text(inner.get(MAKER_NOTE, exif.get(MAKER_NOTE)))
    if scheme in ("fooocus", "a1111"):
        found.setdefault("fooocus_scheme", scheme)
    # ComfyUI writes its graphs into tags for cameras, each with its name in front.
    for tag in (MODEL, MAKE):
        name, colon, text = _text(exif.get(tag)).partition(":")
        if colon and name.lower() in ("prompt", "workflow"):
            found.setdefault(name.lower(), text)
    return found


def _text(value: object) -> str:
    """EXIF text. A UserComment names its encoding in eight bytes; "UNICODE" is UTF-16, of either order, without a word about which."""
    if isinstance(value, str):
        return value[:TEXT_LIMIT]
    if not isinstance(value, bytes):
        return ""
    head, body = value[:8], value[8 : 2 * TEXT_LIMIT]
    if head == b"UNICODE\0":
        # The tools write mostly ASCII: half of its bytes are zero, and where they stand tells the order.
        little = body[1::2].count(0) > body[::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff").rstrip("\0")
    if head in (b"ASCII\0\0\0", b"\0" * 8):
        return body.decode("utf-8", "replace").rstrip("\0")
    return value[: 2 * TEXT_LIMIT].decode("utf-8", "replace").rstrip("\0")
