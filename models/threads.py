"""The one thread that computes, and work on it that is read as an iterator. No torch.

Every thread that enters an OpenMP region gets a team of its own, and once the teams of a process outnumber the cores libgomp lets
them wait asleep instead of spinning: on two cores all tensor work then takes half as long again, also what runs alone. So a
process's tensor work is done on one thread, whoever asks for it.
"""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


@cache
def _computing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="computing")


def compute(call: Callable[[], T]) -> T:
    """What `call` returns or raises, run on the computing thread; waits for whatever runs there."""
    if threading.current_thread().name.startswith("computing"):
        return call()
    return _computing().submit(call).result()


class Stopped(Exception):
    """Raised by `emit` in the working thread once nobody listens any more."""


def listen(work: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """Run `work(emit)` on the computing thread and yield what it emits, in order.

    What `work` raises is raised here, after everything emitted before. When the caller closes the iterator the next `emit` raises
    Stopped there; closing waits until the work has ended, so what it used is free afterwards. One at a time: a second one waits.
    """
    events: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
    stop = threading.Event()

    def emit(event: T) -> None:
        if stop.is_set():
            raise Stopped
        events.put(("event", event))

    def run() -> None:
        try:
            work(emit)
            events.put(("done", None))
        except Stopped:
            events.put(("done", None))
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is.
            events.put(("error", error))

    running = _computing().submit(run)
    try:
        while True:
            kind, value = events.get()
            if kind == "done":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        running.result()
