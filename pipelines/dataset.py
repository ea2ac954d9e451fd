"""A set of pictures to train a LoRA on: how one is read, how it is cropped to a size that can be trained, and what is written down of it.

A picture is kept as it will be trained: upright, RGB, in sRGB. What needs nothing of that done keeps its bytes. No torch here.
"""
from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from PIL import Image, ImageCms, ImageOps

from models.errors import BadInput
from models.presets import presets_folder
from models.toml import Table

Fit = Literal["bucket", "square"]
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels of the upright picture

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}  # what is kept as it came; the others become PNG
PIXEL_LIMIT = 50_000_000
SIDE_LIMIT = 16_384
CAPTION_LIMIT = 2000
TRIGGER_LIMIT = 40
PLACE = "[trigger]"  # in a caption: where the trigger word goes
FILE = "dataset.json"
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Kind:
    """What a LoRA is to learn, and what that means for its pictures; see presets/datasets.toml."""

    name: str
    title: str
    about: str
    advice: str
    fewest: int
    enough: int
    caption: str
    sentence: str


@dataclass(frozen=True)
class Limits:
    """side: pixels. enlarged: times. cut: share. blurry, flat: 0..100."""

    side: int
    enlarged: float
    cut: float
    blurry: float
    flat: float


@dataclass(frozen=True)
class Brought:
    """A picture that was read. data: the file to keep, `suffix` its kind. notes: what was done to it, in words."""

    image: Image.Image
    data: bytes
    suffix: str
    notes: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Sample:
    """One picture of a set with what is said of it. crop: a person's own, else None. path: where its file lies."""

    sha256: str
    name: str
    width: int
    height: int
    caption: str
    crop: Box | None = None
    path: Path = Path()


@dataclass(frozen=True)
class Sizes:
    """What pictures are trained at: buckets of about resolution x resolution pixels, sides multiples of `multiple`; one square bucket with
    fit "square"."""

    resolution: int
    multiple: int
    fit: Fit = "bucket"


@lru_cache(maxsize=1)
def load_kinds() -> tuple[Mapping[str, Kind], Limits]:
    """Raises BadInput with the dotted key."""
    top = Table.of_file(presets_folder() / "datasets.toml")
    checks, kinds = top.table("checks"), top.table("kinds")
    limits = Limits(
        checks.whole("side", low=1),
        checks.number("enlarged", low=1),
        checks.number("cut", low=0, high=1),
        checks.number("blurry", low=0, high=100),
        checks.number("flat", low=0, high=100),
    )
    checks.done()
    found = {name: _kind(name, kinds.table(name)) for name in kinds.data}
    top.done()
    return found, limits


def _kind(name: str, table: Table) -> Kind:
    texts = {key: table.text(key) for key in ("title", "about", "advice", "caption", "sentence")}
    kind = Kind(name, fewest=table.whole("fewest", low=1), enough=table.whole("enough", low=1), **texts)
    table.done()
    return kind


# A picture.


def read_picture(data: bytes, name: str = "") -> Brought:
    """A picture as it will be trained, from the bytes of its file. Raises BadInput (field "file") that names it, for any bytes."""
    try:
        # Nothing is decoded yet: the header alone says how large it will be.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many(name) from error
    except Exception as error:  # whatever a decoder makes of bytes that are no picture
        heic = data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc")
        why = "It is HEIC, as phones save it." if heic else "PNG, JPEG, WebP, TIFF and BMP are."
        todo = "Export it as JPEG." if heic else "Save it as one of those."
        raise _refused(name, "is not a picture that can be read", why, todo) from error
    if width * height > PIXEL_LIMIT or max(width, height) > SIDE_LIMIT:
        raise _too_many(name)
    side = load_kinds()[1].side
    if min(width, height) < side:
        raise _refused(name, f"is too small: {width} x {height}", f"No side may be below {side} pixels.", "Bring a larger copy.")
    kind = str(image.format)
    try:
        image.load()
        upright, notes = _upright(image)
    except Exception as error:  # as above: plugins raise whatever their parsing trips over
        raise _refused(name, "is damaged", f"It cannot be decoded ({type(error).__name__}).", "Try another copy of it.") from error
    if not notes and kind in SUFFIXES and getattr(image, "n_frames", 1) == 1:
        return Brought(upright, data, SUFFIXES[kind], ())
    kept = io.BytesIO()
    upright.save(kept, "PNG", compress_level=4)
    return Brought(upright, kept.getvalue(), "png", tuple(notes))


def _upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    notes = []
    turned = image
    if image.getexif().get(0x0112, 1) != 1:
        turned = ImageOps.exif_transpose(image)
        notes.append("turned upright")
    # The profile is of the pixels as they are in the file: grey, inks or RGB. It goes first.
    profile = image.info.get("icc_profile")
    if profile and turned.mode in ("RGB", "L", "CMYK"):
        converted = _to_srgb(turned, profile)
        if converted is not None:
            turned = converted
            notes.append("converted to sRGB")
    if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
        with_alpha = turned.convert("RGBA")
        if with_alpha.getchannel("A").getextrema()[0] != 255:
            notes.append("put on white where it was transparent")
        white = Image.new("RGBA", with_alpha.size, "white")
        turned = Image.alpha_composite(white, with_alpha).convert("RGB")
        notes = notes or ["made RGB"]
    if turned.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        turned = _eight_bits(turned)
    if turned.mode != "RGB":
        turned = turned.convert("RGB")
        notes.append("made RGB")
    return turned, notes


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """None where the profile is sRGB already, or cannot be read: then the numbers are taken as they are."""
    try:
        own = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return None
        return cast(Image.Image, ImageCms.profileToProfile(image, own, _SRGB, outputMode="RGB"))
    except (OSError, ImageCms.PyCMSError):
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, which Pillow would clip: scaled by what its kind can hold, or by what it holds."""
    import numpy as np

    values = np.asarray(image, np.float64)
    values = values - min(0.0, float(values.min()))
    top = 65535.0 if 255 < values.max() <= 65535 else max(1.0, float(values.max()))
    return Image.fromarray((values * (255 / top)).round().astype(np.uint8))


def _too_many(name: str) -> BadInput:
    most = f"At most {PIXEL_LIMIT // 1_000_000} megapixels and {SIDE_LIMIT} pixels a side are decoded."
    return _refused(name, "has too many pixels", most, "Make it smaller.")


def _refused(name: str, what: str, why: str, todo: str) -> BadInput:
    return BadInput("file", f"{name[:120] or 'This picture'} {what}.", why, todo)


# Crops and buckets.


@lru_cache(maxsize=64)
def buckets(sizes: Sizes) -> tuple[tuple[int, int], ...]:
    """Every (width, height) a picture may be trained at, from the tallest to the widest.

    Areas of at most resolution x resolution, sides from half to twice of it in steps of `multiple`: for each width the tallest that
    fits, and the same turned. The idea is that of aspect ratio bucketing (NovelAI, "Improvements on Stable Diffusion", 2022).
    """
    step, side = sizes.multiple, max(sizes.multiple, sizes.resolution // sizes.multiple * sizes.multiple)
    if sizes.fit == "square":
        return ((side, side),)
    found = {(side, side)}
    for width in range(max(step, side // 2 // step * step), side + 1, step):
        height = min(side * side // width // step * step, 2 * side)
        found |= {(width, height), (height, width)}
    return tuple(sorted(found, key=lambda size: (size[0] / size[1], size)))


def place(width: int, height: int, crop: Box | None, sizes: Sizes) -> tuple[Box | None, tuple[int, int]]:
    """(what of a picture is trained, None for all of it; the bucket it is resized to).

    The bucket is the one whose shape is nearest to the picture's, or to the crop that a person chose; what remains is cut off evenly.
    """
    left, top, right, bottom = crop or (0, 0, width, height)
    wide, high = right - left, bottom - top
    shape = wide / high
    bucket = min(buckets(sizes), key=lambda size: (abs(math.log(size[0] / size[1] / shape)), -size[0] * size[1]))
    wanted = bucket[0] / bucket[1]
    if shape > wanted:
        kept = max(1, round(high * wanted))
        left += (wide - kept) // 2
        right = left + kept
    else:
        kept = max(1, round(wide / wanted))
        top += (high - kept) // 2
        bottom = top + kept
    box = (left, top, min(right, width), min(bottom, height))
    return (None if box == (0, 0, width, height) else box), bucket


def read_crop(value: object, width: int, height: int) -> Box | None:
    """A person's crop: [left, top, right, bottom] in whole pixels within the picture, no side below 64; None for none. Raises BadInput."""
    if value is None:
        return None
    side = load_kinds()[1].side
    whole = isinstance(value, Sequence) and len(value) == 4 and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    if whole:
        left, top, right, bottom = cast(Box, tuple(cast(Sequence[int], value)))
        if min(left, top) >= 0 and right <= width and bottom <= height and min(right - left, bottom - top) >= side:
            return None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom)
    raise BadInput(
        "crop", "This is no crop of the picture.", f"It is {width} x {height}, and no side may be below {side} pixels.",
        "Give left, top, right and bottom in whole pixels.",
    )  # fmt: skip


# Captions.


def has_trigger(caption: str, trigger: str) -> bool:
    """Whether a caption says the trigger word as a word of its own, in whatever case."""
    return bool(trigger) and re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE) is not None


def written(caption: str, trigger: str) -> str:
    """The caption as it is trained: with the trigger word at its [trigger], else in front where it does not say it."""
    if PLACE in caption:
        caption = re.sub(r"\s+", " ", caption.replace(PLACE, trigger)).strip(" ,") if not trigger else caption.replace(PLACE, trigger)
    elif trigger and not has_trigger(caption, trigger):
        caption = f"{trigger}, {caption}" if caption else trigger
    return caption


# What is written down.


def content_hash(samples: Iterable[Sample], trigger: str, fit: Fit) -> str:
    """SHA-256 (hex) of what the set says: files, captions as they are trained, crops of people, fit. The order counts for nothing."""
    rows = sorted([one.sha256, written(one.caption, trigger), list(one.crop) if one.crop else None] for one in samples)
    return hashlib.sha256(json.dumps([fit, rows], ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def manifest(samples: Sequence[Sample], trigger: str, sizes: Sizes) -> dict[str, Any]:
    """{"images": [...], "hash"} of a set, as a training reads it; `file` is below the folder of the run."""
    images = []
    for number, one in enumerate(samples, start=1):
        crop, size = place(one.width, one.height, one.crop, sizes)
        caption = written(one.caption, trigger)
        images.append(
            {
                "file": f"images/{number:04d}-{one.sha256[:12]}{one.path.suffix}",
                "name": one.name,
                "sha256": one.sha256,
                "caption": caption,
                "caption_sha256": hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest(),
                "width": one.width,
                "height": one.height,
                "crop": list(crop) if crop else None,
                "size": list(size),
            }
        )
    return {"images": images, "hash": content_hash(samples, trigger, sizes.fit)}


def write_run(folder: Path, samples: Sequence[Sample], trigger: str, sizes: Sizes) -> dict[str, Any]:
    """Writes `dataset.json` and copies the pictures into a run's folder; the manifest. Raises BadInput that names a file that is gone."""
    found = manifest(samples, trigger, sizes)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for one, entry in zip(samples, found["images"], strict=True):
        target = folder / entry["file"]
        if target.exists():
            continue
        try:
            shutil.copyfile(one.path, target.with_suffix(".part"))
        except FileNotFoundError as error:
            raise BadInput("dataset", f"The file of {one.name} is gone.", str(one.path), "Bring the picture again.") from error
        os.replace(target.with_suffix(".part"), target)
    # Last: a folder with a list in it is whole.
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    os.replace(part, folder / FILE)
    return found
