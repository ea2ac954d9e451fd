"""Pictures and captions out of a ZIP file, and which caption belongs to which picture. Nothing is ever written where a ZIP says."""
from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from models.errors import BadInput
from pipelines.dataset import CAPTION_LIMIT

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
SIDECARS = (".txt", ".caption")
LISTS = ("metadata.jsonl", "captions.jsonl")  # as Hugging Face's image folders have them
ENTRIES_LIMIT = 5000
FILE_LIMIT = 64 * 2**20  # bytes of one file, unpacked
TOTAL_LIMIT = 4 * 2**30  # and of all
TEXT_LIMIT = 64 * 2**10
LIST_LIMIT = 8 * 2**20
NAME_LIMIT = 200


@dataclass(frozen=True)
class Member:
    """A file of a ZIP. data: a picture's bytes. captions: by name of a picture, of a sidecar or a list. why: it was left out."""

    name: str
    data: bytes | None = None
    captions: Mapping[str, str] | None = None
    why: str = ""


def members(file: IO[bytes] | Path) -> Iterator[Member]:
    """The files of a ZIP one by one, in the order of their names; what is no picture and no caption is left out, and says why.

    Raises BadInput (field "file") for what is no ZIP, or unpacks to more than TOTAL_LIMIT bytes: sizes are counted as they are read,
    never believed.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadInput("file", "This is not a ZIP file that can be read.", str(error)[:200], "Pack the folder again.") from error
    with archive:
        entries = [info for info in archive.infolist() if not info.is_dir()]
        if len(entries) > ENTRIES_LIMIT:
            raise BadInput("file", f"The ZIP holds {len(entries)} files; at most {ENTRIES_LIMIT} are read.", todo="Pack fewer.")
        total = 0
        for info in sorted(entries, key=lambda info: info.filename):
            name = clean(info.filename)
            path = PurePosixPath(name)
            if not name or any(part.startswith((".", "__MACOSX")) for part in path.parts):
                continue  # what systems leave behind: nobody put it there
            kind = path.suffix.lower()
            limit = FILE_LIMIT if kind in PICTURES else LIST_LIMIT if path.name.lower() in LISTS else TEXT_LIMIT
            if kind not in (*PICTURES, *SIDECARS) and path.name.lower() not in LISTS:
                yield Member(name, why="It is neither a picture nor a caption.")
                continue
            data, why = _read(archive, info, limit)
            total += len(data)
            if total > TOTAL_LIMIT:
                raise BadInput("file", f"The ZIP unpacks to more than {TOTAL_LIMIT // 2**30} GiB.", todo="Bring it in parts.")
            if why:
                yield Member(name, why=why)
            elif kind in PICTURES:
                yield Member(name, data=data)
            else:
                captions = listed(data) if path.name.lower() in LISTS else {name: caption_of(data)}
                beside = "" if str(path.parent) == "." else f"{path.parent}/"
                yield Member(name, captions={one if one == name else beside + one: said for one, said in captions.items()})


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> tuple[bytes, str]:
    """(the bytes, why not)."""
    if info.flag_bits & 1:
        return b"", "It is locked with a password."
    try:
        with archive.open(info) as file:
            data = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        return b"", f"It cannot be unpacked ({type(error).__name__})."
    return (b"", f"It is larger than {limit // 1024} KiB.") if len(data) > limit else (data, "")


def caption_of(data: bytes) -> str:
    """The text of a sidecar, on one line."""
    for coding in ("utf-8-sig", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            return tidy(data.decode(coding))
        except UnicodeDecodeError:
            continue
    return tidy(data.decode("latin-1"))


def listed(data: bytes) -> dict[str, str]:
    """Captions by file name out of JSON lines with "file_name" and "text" (or "caption"); lines that say neither are passed over."""
    found = {}
    for line in data.decode("utf-8-sig", "replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("file_name"), str):
            said = next((row[key] for key in ("text", "caption", "prompt") if isinstance(row.get(key), str)), None)
            if said is not None:
                found[clean(row["file_name"])] = tidy(said)
    return found


def tidy(text: str) -> str:
    """One line without control characters, at most CAPTION_LIMIT long."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(plain.split())[:CAPTION_LIMIT]


def clean(name: str) -> str:
    """A name that is shown and compared, never opened: "C:\\\\a\\\\../b.png" -> "a/b.png"."""
    plain = "".join(one for one in name.replace("\\", "/") if one.isprintable())
    return "/".join(part for part in plain.split("/") if part not in ("", ".", "..") and not part.endswith(":"))[-NAME_LIMIT:]


def match(captions: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Captions by the name of the picture that each is of: the same path but for its ending, else the same file name where only one picture
    has it. "a/1.txt" is of "a/1.png", also where it was brought as "1.png"."""
    by_path: dict[str, str] = {}
    by_file: dict[str, list[str]] = {}
    for name in names:
        by_path.setdefault(stem(name), name)
        by_file.setdefault(stem(name).split("/")[-1], []).append(name)
    found = {}
    for name, caption in captions.items():
        path = stem(name)
        alone = by_file.get(path.split("/")[-1], [])
        picture = by_path.get(path) or (alone[0] if len(alone) == 1 else None)
        if picture is not None:
            found[picture] = caption
    return found


def stem(name: str) -> str:
    """"A/1.PNG" -> "a/1", also "a/1.png.txt"."""
    name = clean(name).casefold()
    for endings in (SIDECARS, PICTURES):
        name = next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)
    return name
