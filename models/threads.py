"""Work that reports from a thread, read as an iterator. No torch."""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Raised by `emit` in the working thread once nobody listens any more."""


def listen(work: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """Run `work(emit)` in a thread and yield what it emits, in order.

    What `work` raises is raised here, after everything emitted before. When the caller closes the iterator the next `emit` raises
    Stopped in the thread; closing waits until the thread has ended, so what it used is free afterwards.
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

    thread = threading.Thread(target=run, name="engine", daemon=True)
    thread.start()
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
        thread.join()
