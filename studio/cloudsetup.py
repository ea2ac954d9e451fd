"""What the page's process hands to the cloud worker."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class CloudSetup:
    """One line of JSON on the worker's standard input, without any key; the pipe stays open, and its end is the end of the worker."""

    name: str
    address: tuple[str, int]
    key: str  # of the socket between the two, hex
    data_dir: str

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> CloudSetup:
        data = json.loads(line)
        return cls(**data | {"address": tuple(data["address"])})
