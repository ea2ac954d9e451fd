"""What a provider sent and is not yet among the pictures: a file a charge, written whole before anything else is done with it.

So a picture that was paid for outlives a process that is killed between the provider's last byte and the database, and does not depend on
how long the provider keeps it.
"""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.cloud.spec import Drawn, Result, Ticket
from studio.files import write_whole

FOLDER = "cloud"


class Spool:
    """Of one data folder. Methods block on the disk and raise OSError."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def keep_ticket(self, charge: int, ticket: Ticket) -> None:
        """A ticket that has its pictures with it."""
        self._write(charge, {"ticket": ticket.to_dict()}, ticket.pictures or ())

    def keep_result(self, charge: int, result: Result) -> None:
        about = [None if one is None else asdict(one) | {"data": None} for one in result.pictures]
        head = {"result": {"billed_micro": result.billed_micro, "seconds": result.seconds, "pictures": about}}
        self._write(charge, head, tuple(None if one is None else one.data for one in result.pictures))

    def ticket(self, charge: int) -> Ticket | None:
        """With its pictures; None when there is none."""
        head, parts = self._read(charge)
        return None if "ticket" not in head else Ticket(**vars(Ticket.from_dict(head["ticket"])) | {"pictures": parts})

    def result(self, charge: int) -> Result | None:
        head, parts = self._read(charge)
        if "result" not in head:
            return None
        told = head["result"]
        pictures = tuple(
            None if about is None or data is None else Drawn(**about | {"data": data})
            for about, data in zip(told["pictures"], parts, strict=True)
        )
        return Result(pictures, told["billed_micro"], told["seconds"])

    def drop(self, charge: int) -> None:
        self._path(charge).unlink(missing_ok=True)

    def charges(self) -> list[int]:
        """Those of which something is kept."""
        return sorted(int(path.stem) for path in self._folder.glob("*.spool") if path.stem.isdecimal())

    def sweep(self) -> None:
        """Removes what a process that was killed had half written."""
        for left in self._folder.glob("*.tmp"):
            left.unlink(missing_ok=True)

    def _path(self, charge: int) -> Path:
        return self._folder / f"{charge}.spool"

    def _write(self, charge: int, head: dict[str, Any], parts: tuple[bytes | None, ...]) -> None:
        head["sizes"] = [None if part is None else len(part) for part in parts]
        write_whole(self._path(charge), json.dumps(head).encode() + b"\n" + b"".join(part or b"" for part in parts))

    def _read(self, charge: int) -> tuple[dict[str, Any], tuple[bytes | None, ...]]:
        try:
            line, _, rest = self._path(charge).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return {}, ()
        head = json.loads(line)
        parts: list[bytes | None] = []
        at = 0
        for size in head["sizes"]:
            parts.append(None if size is None else rest[at : at + size])
            at += size or 0
        return head, tuple(parts)
