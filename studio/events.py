"""What happens, told as it happens: from the worker to the page's process over a local socket, from there to every browser.

Messages are JSON and only hints: SQLite is the truth, so one may be lost without harm. Nothing is unpickled.
"""
from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from studio.store.people import Who

log = logging.getLogger(__name__)

Message = dict[str, Any]
Owner = tuple[str, str | None]  # a person, and whom their job is shared with
HEARTBEAT_SECONDS = 15.0
RETRY_MS = 1000
GATHER_SECONDS = 0.05
BACKLOG = 500  # messages a browser may lag behind before it is told to come again


class Link:
    """One end of the socket between page and worker. `send` may be called from any thread; `on_message` runs on the reader's."""

    def __init__(self, connection: Connection, on_message: Callable[[Message], None]) -> None:
        self._connection = connection
        self._on_message = on_message
        self._lock = threading.Lock()

    def send(self, message: Message) -> bool:
        """False when the other end is gone."""
        data = json.dumps(message).encode()
        try:
            with self._lock:
                self._connection.send_bytes(data)
        except OSError:
            return False
        return True

    def read(self) -> None:
        """Hands every message on until the other end is gone."""
        while True:
            try:
                data = self._connection.recv_bytes(64 * 2**20)
            except (EOFError, OSError):
                return
            try:
                self._on_message(json.loads(data))
            except Exception:
                # A message is a hint, and one that cannot be handled (a busy database, a bug) must not silence those after it.
                log.exception("a message was not understood: %.200r", data)

    def close(self) -> None:
        self._connection.close()


def connect(address: tuple[str, int], key: bytes, on_message: Callable[[Message], None]) -> Link:
    """The worker's end, with its reader thread running. Raises OSError or AuthenticationError."""
    link = Link(Client(address, authkey=key), on_message)
    threading.Thread(target=link.read, name="link", daemon=True).start()
    return link


class Door:
    """The page's end: listens on the loopback for the worker that knows the key."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self.key = secrets.token_bytes(32)
        self._listener = Listener(("127.0.0.1", 0), authkey=self.key)
        self._on_message = on_message
        self._link: Link | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        address = self._listener.address
        assert isinstance(address, tuple)
        return address

    def send(self, message: Message) -> None:
        """To the worker, if one is connected."""
        link = self._link
        if link is not None:
            link.send(message)

    def close(self) -> None:
        self._closed = True
        # accept() does not wake when its socket is closed; a visitor wakes it.
        try:
            Client(self.address, authkey=self.key).close()
        except (OSError, AuthenticationError) as error:
            log.debug("the door was closed already: %s", error)
        self._thread.join(timeout=2)
        self._listener.close()
        if self._link is not None:
            self._link.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError, AuthenticationError) as error:
                if not self._closed:
                    log.warning("a visitor without the key was turned away: %r", error)
                continue
            if self._closed:
                connection.close()
                return
            self._link = Link(connection, self._on_message)
            threading.Thread(target=self._link.read, name="door-reader", daemon=True).start()


def line_of(event: str, data: Message) -> bytes:
    """An event as it is sent."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


class Watcher:
    """One browser's stream. Steps and previews that were not read yet are replaced by newer ones of the same picture."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self._waiting: dict[tuple[object, ...], bytes] = {}
        self._ready = asyncio.Event()
        self._closed = False

    def put(self, event: str, data: Message, line: bytes) -> None:
        """`line` is the event as `line_of` gives it. From the event loop only.

        A browser too far behind is cut off: it comes back and reads the truth.
        """
        key: tuple[object, ...]
        if event == "preview":
            key = (event, data["job"], data["number"])
        elif event == "step":
            key = (event, data["job"], *data["numbers"])
        elif event in ("job", "image", "download", "comment", "batch", "dataset", "training", "evaluation"):
            key = (event, data["id"])
        else:
            key = (event,)
        self._waiting.pop(key, None)
        self._waiting[key] = line
        if len(self._waiting) > BACKLOG:
            self.close()
        self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def lines(self, heartbeat: float = HEARTBEAT_SECONDS) -> AsyncIterator[bytes]:
        """The stream as server-sent events, until closed."""
        yield f"retry: {RETRY_MS}\n\n".encode()
        while not self._closed:
            try:
                await asyncio.wait_for(self._ready.wait(), heartbeat)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            self._ready.clear()
            waiting, self._waiting = self._waiting, {}
            if waiting:
                yield b"".join(waiting.values())
            # What comes in this moment rides together, the older of two steps not at all: fifty browsers cost little.
            await asyncio.sleep(GATHER_SECONDS)


class Hub:
    """Hands each event to every browser of its person. `publish` may be called from any thread."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    def publish(self, event: str, data: Message, owner: Owner | None = None) -> None:
        """To those who may see what is `owner`'s; to everybody when it is None. Written out once, however many watch."""
        if self._watchers:
            line = line_of(event, data)
            self._in_loop(lambda: self._hand_out(event, data, line, owner))

    def close(self) -> None:
        """Ends every stream, so that the server can stop."""
        self._closed = True
        self._in_loop(self._close_all)

    def end(self, match: Callable[[Who], bool]) -> None:
        """Ends the streams of those for whom `match` holds. A browser comes back by itself, and is asked anew who it is."""

        def close() -> None:
            for watcher in self._watchers:
                if match(watcher.who):
                    watcher.close()

        self._in_loop(close)

    async def watch(self, who: Who) -> AsyncIterator[bytes]:
        """One browser's stream; it is forgotten when the browser goes."""
        self._loop = asyncio.get_running_loop()
        watcher = Watcher(who)
        self._watchers.add(watcher)
        if self._closed:
            watcher.close()
        try:
            async for line in watcher.lines():
                yield line
        finally:
            self._watchers.discard(watcher)

    def _hand_out(self, event: str, data: Message, line: bytes, owner: Owner | None) -> None:
        for watcher in self._watchers:
            if owner is None or watcher.who.sees(*owner):
                watcher.put(event, data, line)

    def _close_all(self) -> None:
        for watcher in self._watchers:
            watcher.close()

    def _in_loop(self, call: Callable[[], object]) -> None:
        loop = self._loop
        if loop is None or not self._watchers:
            return
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError as error:  # the loop is closed: nobody is left to tell
            log.debug("not told: %s", error)
