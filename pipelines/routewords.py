"""How a route is told: "fal: $0.003, 1.2 s", "over its limit until 12:04"."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from models.money import dollars

if TYPE_CHECKING:
    from pipelines.route import Here, Offer


def at_home(here: Here, busy: bool) -> str:
    cost = f", {dollars(here.price_micro)} a picture" if here.price_micro else ""
    if here.wait_seconds <= 0:
        return f"Here: free{cost}."
    return f"Here: {'busy for' if busy else 'begins in'} {duration(here.wait_seconds)}{cost}."


def numbers(offer: Offer) -> str:
    return f"{dollars(offer.price_micro)}, {duration(offer.seconds_p50)}"


def clock(when: float | None, now: float) -> str:
    """By the clock of this machine; with seconds where it is soon."""
    at = datetime.fromtimestamp(now if when is None else when)
    return at.strftime("%H:%M:%S" if when is not None and when - now < 60 else "%H:%M")


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
