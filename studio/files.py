"""Picture files. A file is whole or not there: it is written beside its place, flushed to the disk, then renamed.

A candidate's name follows from its job and number, so drawing it again after a crash replaces a file that no row knew of.
"""
from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from models.errors import NotFound, StudioError
from models.spec import ImageSpec
from studio import __version__

KEY = "contact-sheet"  # our own text chunk, beside A1111's "parameters"
THUMB_SIDE = 384
PREVIEW_SIDE = 256
PNG_LEVEL = 4  # half the time of PIL's default 6 for 2 % more bytes on photographs


def picture_path(created: str, job: int, number: int) -> str:
    """Where candidate `number` of a job lies, below the data folder: "outputs/2026-11-21/000012-003.png"."""
    return f"outputs/{created[:10]}/{job:06d}-{number:03d}.png"


def thumb_path(path: str) -> str:
    """The thumbnail's place below the data folder, from the picture's."""
    return "thumbs/" + path.removeprefix("outputs/").removesuffix(".png") + ".webp"


def write_picture(folder: Path, path: str, image: Image.Image, text: Mapping[str, str]) -> None:
    """Writes the PNG with its text chunks and its thumbnail. Raises StudioError when the disk is full or not writable."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        # tEXt where latin-1 holds it, iTXt otherwise: what A1111 and its readers do.
        chunks.add_text(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=chunks, compress_level=PNG_LEVEL)
    try:
        write_whole(folder / path, buffer.getvalue())
        write_thumb(folder / thumb_path(path), image)
    except OSError as error:
        raise StudioError(
            f"The picture could not be written to {folder / path}.", str(error.strerror or error), "Make room on the disk, then try again."
        ) from error


def write_thumb(path: Path, image: Image.Image) -> None:
    """A WebP of at most THUMB_SIDE pixels a side. It can be made again from the picture, so it is not flushed."""
    small = image.convert("RGB")
    small.thumbnail((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82, method=2)
    write_whole(path, buffer.getvalue(), flush=False)


def find_thumb(folder: Path, path: str) -> Path:
    """The thumbnail of a picture, made again when it is gone. Raises NotFound when the picture itself is."""
    thumb = folder / thumb_path(path)
    if not thumb.exists() or not thumb.stat().st_size:  # empty: not flushed when the power went
        with Image.open(find_picture(folder, path)) as image:
            write_thumb(thumb, image)
    return thumb


def find_picture(folder: Path, path: str) -> Path:
    """Raises NotFound when the file is gone."""
    if not (folder / path).is_file():
        raise NotFound(f"The file {folder / path} is gone.", "It was moved or deleted outside the studio.", "Put it back or draw it again.")
    return folder / path


def write_whole(path: Path, data: bytes, flush: bool = True) -> None:
    """Writes `data` so that `path` is never seen half written, not even after a power cut when `flush`. Raises OSError."""
    is_new = not path.parent.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if flush and os.name == "posix":
        for changed in (path.parent, path.parent.parent) if is_new else (path.parent,):
            directory = os.open(changed, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def sweep(folder: Path, since: float, process: int | None = None) -> None:
    """Removes what a process that was killed had half written after `since` (unix seconds).

    process: only what that one wrote; None when nobody else can be writing.
    """
    mark = "*" if process is None else f"*.{process}-*"
    for part in ("outputs", "thumbs"):
        for day in (folder / part).glob("*"):
            # A folder tells when a name in it was last added or taken away. A few seconds more: clocks of file systems are coarse.
            if day.is_dir() and day.stat().st_mtime >= since - 5:
                for left in day.glob(f"{mark}.tmp"):
                    left.unlink(missing_ok=True)


def preview_jpeg(image: Image.Image) -> bytes:
    """A preview as a small JPEG, at most PREVIEW_SIDE pixels a side."""
    small = image.convert("RGB")
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def metadata(
    spec: ImageSpec, seed: int, number: int, image: Image.Image, model: str, job: Mapping[str, Any], details: Mapping[str, object]
) -> dict[str, str]:
    """Both text chunks of a picture. `job`: id, request (a dict), card, licence (of the card), lineage (ids, oldest first).

    Scores are written as known, and at this moment none are: they are measured from this very file and kept in the database.
    """
    own = {
        "version": __version__,
        "job": job["id"],
        "number": number,
        "seed": seed,
        "card": job["card"],
        "licence": job.get("licence"),
        "request": job["request"],
        "loras": [f"{lora['name']}/v{lora['version']}" for lora in job["request"].get("loras") or () if lora.get("version")],
        "lineage": list(job["lineage"]),
        "scores": [],
        "details": dict(details),
    }
    return {"parameters": parameters(spec, seed, image, model), KEY: json.dumps(own, default=str)}


def parameters(spec: ImageSpec, seed: int, image: Image.Image, model: str) -> str:
    """The settings in the grammar of A1111, which other studios and viewers read."""
    loras = "".join(f" <lora:{lora.path.stem}:{lora.weight:g}>" for lora in spec.loras)
    settings = {
        "Steps": spec.steps,
        "Sampler": "Euler",
        "CFG scale": f"{spec.guidance:g}",
        "Seed": seed,
        "Size": f"{image.width}x{image.height}",
        "Model": model,
    }
    if spec.strength is not None:
        settings["Denoising strength"] = f"{spec.strength:g}"
    settings["Version"] = f"Contact Sheet {__version__}"
    lines = [spec.prompt + loras]
    if spec.negative:
        lines.append(f"Negative prompt: {spec.negative}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in settings.items()))
    return "\n".join(lines)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(character in text for character in ",:\n") else text
