"""The time that demo providers live in: the machine's, or one that a test turns by hand."""
from __future__ import annotations

import asyncio
import threading
import time

START = 1_800_000_000.0  # where a turned clock begins, seconds since 1970


class Clock:
    """Real time. `now` is seconds since 1970."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TurnedClock(Clock):
    """Stands still until `advance`; whoever sleeps wakes when the time has come. Turned from any thread, slept on in any loop."""

    def __init__(self, now: float = START) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sleepers: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._sleepers.append((self._now + seconds, loop, woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass at once."""
        with self._lock:
            self._now += seconds
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._now]
        for _, loop, woken in due:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, woken)

    @property
    def sleeping(self) -> int:
        """How many wait for the clock to be turned."""
        with self._lock:
            return sum(not woken.done() for _, _, woken in self._sleepers)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():  # its sleeper may have been cancelled
        woken.set_result(None)
