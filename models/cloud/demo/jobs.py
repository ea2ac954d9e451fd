"""What a demo provider draws and what it charges for."""
from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from models.cloud.demo.faults import Fault

State = Literal["queued", "running", "done", "failed", "canceled", "aborted"]


class Bill(NamedTuple):
    """What a request cost, and for how many pictures."""

    request_id: str
    micro: int
    images: int


@dataclass
class Order:
    """What a submit asks for, whatever the provider calls it."""

    model: str
    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    count: int = 1
    format: str = "png"
    references: int = 0  # pictures that it was shown


@dataclass
class Job:
    """An order on its way. `pictures` are encoded files in order, None for what is not given out; `error` is the provider's own words."""

    id: str
    order: Order
    created: float
    fault: Fault | None = None
    webhook: str = ""
    state: State = "queued"
    started: float = 0.0
    ended: float = 0.0
    pictures: list[bytes] = field(default_factory=list, repr=False)
    flagged: list[bool] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    error: Any = None
    micro: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        return self.state not in ("queued", "running")

    def has(self, *kinds: str) -> bool:
        """Whether one of these faults befalls it."""
        return self.fault is not None and self.fault.kind in kinds
