"""ZIP files made as they are sent: no copy on the disk, no more than one chunk of a file in memory."""
from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

CHUNK = 2**20
MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest there is in a ZIP; what has no time of its own gets this one


@dataclass(frozen=True)
class Entry:
    """A file of a ZIP: its name there, and its content as bytes or as a file. pack: whether deflating is worth it (of PNGs it is not)."""

    name: str
    content: bytes | Path
    pack: bool = False


def stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The ZIP of `entries`, piece by piece. A file that is gone when its turn comes raises FileNotFoundError, which cuts the ZIP off:
    half of one must not pass for whole."""
    pipe = _Pipe()
    with zipfile.ZipFile(cast(IO[bytes], pipe), "w", allowZip64=True) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, MOMENT)
            info.compress_type = zipfile.ZIP_DEFLATED if entry.pack else zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            if isinstance(entry.content, bytes):
                info.file_size = len(entry.content)
                archive.writestr(info, entry.content)
                yield from pipe.take()
                continue
            size = entry.content.stat().st_size
            with open(entry.content, "rb") as file, archive.open(info, "w", force_zip64=size > 2**31 - CHUNK) as place:
                while chunk := file.read(CHUNK):
                    place.write(chunk)
                    yield from pipe.take()
            yield from pipe.take()
    yield from pipe.take()


class _Pipe:
    """What ZipFile writes to where it can only go forwards."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def take(self) -> Iterator[bytes]:
        parts, self._parts = self._parts, []
        if parts:
            yield b"".join(parts)
