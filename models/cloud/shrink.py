"""Pictures that a provider is shown, made no larger than it needs: they travel as base64 inside a JSON body."""

from __future__ import annotations

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from models.cloud.catalogue import INPUT_MEGAPIXELS, MEGAPIXEL
from models.cloud.spec import CloudError, Reference

QUALITIES = (95, 90, 82, 72, 60)
SMALLER = 0.8  # of each side, where no quality is enough
LEAST = 64  # px


def shrink(reference: Reference, limit: int, size: tuple[int, int] | None = None) -> Reference:
    """The picture in at most `limit` bytes and one megapixel, upright, without metadata; PNG where it fits, else JPEG.

    size: exactly these pixels, for a picture to start from: it is cropped from its middle to their shape. What is transparent becomes
    white. Raises CloudError where it does not decode.
    """
    try:
        with Image.open(io.BytesIO(reference.data), formats=("PNG", "JPEG", "WEBP")) as opened:
            image = _flat(ImageOps.exif_transpose(opened))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CloudError("validation", "A reference picture does not decode.", str(error), sent="no") from error
    if size is not None:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    elif image.width * image.height > INPUT_MEGAPIXELS * MEGAPIXEL:
        image = _scaled(image, (INPUT_MEGAPIXELS * MEGAPIXEL / (image.width * image.height)) ** 0.5)
    data = _png(image)
    if len(data) <= limit:
        return Reference(data, "image/png")
    while True:
        for quality in QUALITIES:
            data = _jpeg(image, quality)
            if len(data) <= limit:
                return Reference(data, "image/jpeg")
        if size is not None or min(image.size) * SMALLER < LEAST:
            raise CloudError("validation", "A reference picture is too large.", f"It does not fit into {limit} bytes.", sent="no")
        image = _scaled(image, SMALLER)


def _flat(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
