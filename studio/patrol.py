"""A thread that looks when it is woken, and every few seconds all the same, for news may be lost."""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Patrol:
    """look: what is done at every turn; what it raises is logged, and the next turn may do better. seconds: between two turns without
    news. begin: done once, on the thread. Any thread may call it."""

    def __init__(self, name: str, look: Callable[[], None], seconds: float, begin: Callable[[], None] | None = None) -> None:
        self._look, self._seconds, self._begin = look, seconds, begin
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def ending(self) -> bool:
        """Whether it was told to stop: then what is not done yet is left."""
        return self._ending.is_set()

    def start(self) -> None:
        """Its first turn begins at once."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when the turn under way has ended."""
        self._ending.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wake(self) -> None:
        self._woken.set()

    def pause(self, seconds: float) -> bool:
        """Waits inside a turn; True when it was told to stop meanwhile."""
        return self._ending.wait(seconds)

    def _run(self) -> None:
        if self._begin is not None:
            self._begin()
        while not self.ending:
            try:
                self._look()
            except Exception:
                if self.ending:  # the store was closed meanwhile
                    return
                log.exception("a turn of %s failed", self._thread.name)
            self._woken.wait(self._seconds)
            self._woken.clear()
