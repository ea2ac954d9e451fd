"""Post-processing: exact pixels, colour and file format of a finished picture, as a template's [post] says. Pillow only.

The order is fixed, whatever the order of the keys: white balance, brightness, contrast, saturation, then crop, pad or resize, then the
file. The original stays as it was drawn; `apply` gives a new picture.
"""
from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from PIL import Image, ImageColor, ImageEnhance

from models.errors import BadInput
from pipelines.fields import listed, one_of, real, safe, shown, whole

Fit = Literal["crop", "pad", "resize"]
Format = Literal["png", "jpeg", "webp"]
FITS, FORMATS = ("crop", "pad", "resize"), ("png", "jpeg", "webp")
ANCHORS = {"centre": (0.5, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0), "left": (0.0, 0.5), "right": (1.0, 0.5)}
SIDE_LIMIT = 8192  # pixels
AREA_LIMIT = 40_000_000  # pixels
QUALITY = 90  # of JPEG and WebP, where none is given
ENDING: dict[Format, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
# What 100 does: twice the light, twice the contrast, twice the saturation; -100 halves light and contrast and leaves no colour.
_STOPS_PER_100 = 1.0
_WARMTH_PER_100 = 0.30


@dataclass(frozen=True)
class Post:
    """What is done to a picture. The defaults do nothing but write a PNG.

    width, height: pixels, 1..8192. With both, fit says how: "crop" fills them and cuts what hangs over, "pad" shows all and fills the
    rest with the background, "resize" is as large as fits inside. With one, the other follows from the picture. anchor: which part of
    the picture stays ("crop") or where it stands ("pad"). quality: 1..100, of JPEG and WebP. brightness, contrast, saturation: -100..100
    (100 doubles, 0 leaves as it is). white_balance: -100 (cooler) .. 100 (warmer). background: "#RRGGBB" or "transparent", below what is
    transparent and around what is padded; None: white where one is needed.
    """

    width: int | None = None
    height: int | None = None
    fit: Fit = "crop"
    anchor: str = "centre"
    format: Format = "png"
    quality: int = QUALITY
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    white_balance: float = 0.0
    background: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether the picture and its format stay as they are."""
        return self == Post()

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults; `read_post` gives an equal one back."""
        usual = Post()
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != getattr(usual, one.name)}


def read_post(data: object, name: str = "post") -> Post:
    """Reads a [post] table or a JSON object. Raises BadInput with the dotted field, whatever the value."""
    if data is None:
        return Post()
    if not isinstance(data, Mapping):
        raise BadInput(name, f"{name} must be an object like {{\"width\": 1080}}; this is {shown(data)}.")
    known = [one.name for one in fields(Post)]
    for key in data:
        if key not in known:
            raise BadInput(f"{name}.{safe(str(key)[:40])}", f"Post-processing has no {shown(str(key))}.", todo=f"It has {listed(known)}.")
    try:
        return _read(data)
    except BadInput as error:
        raise BadInput(f"{name}.{error.field}", error.what, error.why, error.todo) from error


def _read(data: Mapping[Any, Any]) -> Post:
    width, height = (whole(data, side, 1, SIDE_LIMIT, None) for side in ("width", "height"))
    if width and height and width * height > AREA_LIMIT:
        raise BadInput("height", f"{width} x {height} are {width * height / 1e6:.0f} megapixels; {AREA_LIMIT // 10**6} are the most.")
    fit = cast(Fit, one_of(data, "fit", FITS, "crop" if width and height else "resize", "ways to fit"))
    if not (width and height):
        if fit != "resize" and data.get("fit") is not None:
            raise BadInput("fit", f'"{fit}" needs both a width and a height.', todo="Give both, or leave fit out.")
        fit = "resize" if width or height else "crop"
    file = cast(Format, one_of(data, "format", FORMATS, "png", "formats"))
    background = data.get("background")
    if background is not None and not (isinstance(background, str) and (background == "transparent" or _COLOUR.fullmatch(background))):
        raise BadInput("background", f'background must be like "#FFFFFF", or "transparent"; this is {shown(background)}.')
    if background == "transparent" and file == "jpeg":
        raise BadInput("background", "A JPEG cannot be transparent.", todo="Choose PNG or WebP, or a colour.")
    degrees = {one: real(data, one, -100.0, 100.0, 0.0) for one in ("brightness", "contrast", "saturation", "white_balance")}
    return Post(
        width=width,
        height=height,
        fit=fit,
        anchor=one_of(data, "anchor", ANCHORS, "centre", "anchors"),
        format=file,
        quality=whole(data, "quality", 1, 100, QUALITY),
        background=background.upper() if isinstance(background, str) and background.startswith("#") else background,
        **degrees,
    )


def apply(image: Image.Image, post: Post) -> Image.Image:
    """The picture with everything done but the file: RGB, or RGBA where something of it is transparent."""
    transparent = "A" in image.mode or "transparency" in image.info
    done = image.convert("RGBA" if transparent else "RGB")
    alpha = done.getchannel("A") if transparent else None
    colours = _adjusted(done.convert("RGB"), post)
    if alpha is not None:
        colours.putalpha(alpha)
    done = _fitted(colours, post)
    if done.mode == "RGBA" and (post.format == "jpeg" or post.background not in (None, "transparent")):
        done = Image.alpha_composite(Image.new("RGBA", done.size, _fill(post)), done).convert("RGB")
    return done


def encode(image: Image.Image, post: Post) -> bytes:
    """The file of a picture that was processed. A WebP at quality 100 is lossless."""
    buffer = io.BytesIO()
    if post.format == "jpeg":
        # Full chroma from 90 on: thin red type on white is what 4:2:0 spoils first.
        image.convert("RGB").save(buffer, "JPEG", quality=post.quality, subsampling=0 if post.quality >= 90 else 2, optimize=True)
    elif post.format == "webp":
        image.save(buffer, "WEBP", quality=post.quality, lossless=post.quality == 100, method=4)
    else:
        image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def size_after(width: int, height: int, post: Post) -> tuple[int, int]:
    """(width, height) in pixels of what `apply` makes of a picture of this size."""
    if post.width and post.height and post.fit != "resize":
        return post.width, post.height
    return _inside(width, height, post)


def _adjusted(image: Image.Image, post: Post) -> Image.Image:
    if post.white_balance:
        image = _balanced(image, post.white_balance)
    if post.brightness:
        gain = 2.0 ** (_STOPS_PER_100 * post.brightness / 100)
        # A shoulder instead of clipping: white stays white, and what is near it keeps its drawing.
        image = image.point([round(255 * _lifted(value / 255, gain)) for value in range(256)] * 3)
    for degree, enhance in ((post.contrast, ImageEnhance.Contrast), (post.saturation, ImageEnhance.Color)):
        if degree:
            image = enhance(image).enhance(_factor(degree, keeps_some=enhance is ImageEnhance.Contrast))
    return image


def _factor(degree: float, keeps_some: bool) -> float:
    """-100..100 to a factor: 100 doubles; -100 halves, or takes all."""
    return 2.0 ** (degree / 100) if degree > 0 or keeps_some else 1.0 + degree / 100


def _lifted(value: float, gain: float) -> float:
    """Black and white stay, the slope at black is `gain`; a gain of 1/g takes back one of g."""
    return gain * value / (1.0 + (gain - 1.0) * value)


def _balanced(image: Image.Image, degree: float) -> Image.Image:
    """Warmer or cooler: red against blue in linear light, the luminance of grey kept (a von Kries diagonal, with Rec. 709 weights)."""
    ratio = math.exp(_WARMTH_PER_100 * degree / 100)
    red, green, blue = ratio, 1.0, 1.0 / ratio
    level = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    table: list[int] = []
    for gain in (red / level, green / level, blue / level):
        table += [round(255 * _encoded(min(1.0, gain * _linear(value / 255)))) for value in range(256)]
    return image.point(table)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _fitted(image: Image.Image, post: Post) -> Image.Image:
    if not (post.width or post.height):
        return image
    if post.fit == "resize" or not (post.width and post.height):
        return _resized(image, _inside(*image.size, post))
    wanted = (post.width, post.height)
    across, down = ANCHORS[post.anchor]
    if post.fit == "crop":
        ratio = max(wanted[0] / image.width, wanted[1] / image.height)
        kept = (min(image.width, wanted[0] / ratio), min(image.height, wanted[1] / ratio))
        left, top = (image.width - kept[0]) * across, (image.height - kept[1]) * down
        # One resampling of exactly that part: no row is rounded away first.
        return image.resize(wanted, Image.Resampling.LANCZOS, box=(left, top, left + kept[0], top + kept[1]))
    small = _resized(image, _inside(*image.size, post))
    clear = post.background == "transparent"
    whole = Image.new("RGBA" if clear or small.mode == "RGBA" else "RGB", wanted, _fill(post))
    place = (round((wanted[0] - small.width) * across), round((wanted[1] - small.height) * down))
    if small.mode == "RGBA" and not clear:
        whole.alpha_composite(small, place)
    else:
        whole.paste(small, place)
    return whole


def _inside(width: int, height: int, post: Post) -> tuple[int, int]:
    """As large as fits, with the picture's own proportions; never without a pixel, nor beyond the limit."""
    ratios = [wanted / given for wanted, given in ((post.width, width), (post.height, height)) if wanted]
    ratio = min([*ratios, SIDE_LIMIT / max(width, height)]) if ratios else 1.0
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if post.fit != "resize" and post.width and post.height:
        return min(size[0], post.width), min(size[1], post.height)
    return size


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _fill(post: Post) -> tuple[int, ...]:
    if post.background == "transparent":
        return (0, 0, 0, 0)
    return (*ImageColor.getrgb(post.background or "#FFFFFF"), 255)
