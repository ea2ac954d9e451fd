"""The folders of LoRAs: DATA/loras/NAME/vN/ with NAME-vN.safetensors, manifest.json and samples/. One is there whole, or not at all.

Whatever takes long (copying, hashing) happens in a folder of its own that nobody looks into; the last step is a rename.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

TOP = "loras"
COMING = ".coming-"  # what is not whole yet
CHUNK = 4 * 2**20


def place(name: str, number: int) -> str:
    """A version's folder below the data folder: "loras/ceramic/v3"."""
    return f"{TOP}/{name}/v{number}"


def file_name(name: str, number: int) -> str:
    return f"{name}-v{number}.safetensors"


@contextlib.contextmanager
def coming(data_dir: Path) -> Iterator[Path]:
    """An empty folder for a version on its way in, on the same disk; gone at the end unless it was settled."""
    top = data_dir / TOP
    top.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{COMING}{os.getpid()}-", dir=top))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_in(source: Path, folder: Path) -> tuple[str, int]:
    """Copies a file to `folder`/file.safetensors and hashes what was copied; SHA-256 (hex) and bytes. Raises OSError.

    A file that came into a folder of ours (`coming`) is moved: nobody else knows of it.
    """
    target = folder / "file.safetensors"
    if source.parent.name.startswith(COMING) and source.parent.parent == folder.parent:
        os.replace(source, target)
        _flush(target)
        with open(target, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), target.stat().st_size
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as coming_in, open(target, "wb") as file:
        while chunk := coming_in.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def add_samples(folder: Path, samples: Sequence[Path]) -> list[str]:
    """Copies pictures to `folder`/samples; their paths below it, in their order. Raises OSError, also for what is no picture."""
    names = []
    for number, sample in enumerate(samples, start=1):
        with Image.open(sample) as image:
            image.verify()
        target = folder / "samples" / f"{number}{sample.suffix.lower()}"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(sample, target)
        _flush(target)
        names.append(target.relative_to(folder).as_posix())
    return names


def settle(data_dir: Path, folder: Path, name: str, number: int, manifest: Mapping[str, Any]) -> str:
    """Puts a folder that came in into its place; the file's path below the data folder. Raises OSError.

    To be called while the number is held for it. A folder that is there already belongs to no version (the power went between it and its
    row): it is put aside, not deleted.
    """
    target = data_dir / place(name, number)
    target.parent.mkdir(exist_ok=True)
    os.replace(folder / "file.safetensors", folder / file_name(name, number))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _flush(folder / "manifest.json")
    for changed in (folder / "samples", folder):
        _flush(changed)
    if target.exists():
        aside = tempfile.mkdtemp(prefix=f"v{number}.lost-", dir=target.parent)
        os.replace(target, Path(aside) / target.name)
    os.replace(folder, target)
    _flush(target.parent)
    _flush(target.parent.parent)
    return f"{place(name, number)}/{file_name(name, number)}"


def remove(data_dir: Path, name: str, number: int) -> None:
    """Deletes a version's files: renamed first, so that half a folder never stands in a version's place."""
    target = data_dir / place(name, number)
    if target.is_dir():
        going = Path(tempfile.mkdtemp(prefix=f"{COMING}{os.getpid()}-", dir=data_dir / TOP))
        os.replace(target, going / target.name)
        shutil.rmtree(going, ignore_errors=True)


def sweep(data_dir: Path) -> None:
    """Clears away what a process that was killed had half copied. To be called when nobody else can be copying."""
    for left in (data_dir / TOP).glob(f"{COMING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _flush(path: Path) -> None:
    """A file to the disk, or where the system can a folder's names; a path that is not there is nothing to flush."""
    if not path.exists() or (path.is_dir() and os.name != "posix"):
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
