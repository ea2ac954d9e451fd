"""Webhooks: a provider says that a picture is done, and its poll wakes at once instead of at its next turn.

They are a doorbell, nothing more. A delivery that is proven (`models.cloud.signatures`) rings the bell of its request; the poll that was
asleep looks now, over its own connection and with its own key, and whatever the delivery's body says is not read. So a delivery that
comes twice, late, from the past or not at all changes nothing but the moment of the next look, and polling needs no webhooks to work.

The listener is its own socket, on a port of its own, in the cloud worker: it answers POST .../fal and POST .../replicate, and nothing of
the studio can be reached through it. It is meant to stand behind something that speaks https to the world, under `cloud.webhook.url`.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import uvicorn

from models.cloud.signatures import ENGINES, TOLERANCE, Unproven
from models.cloud.signers import Signers
from studio.webhooksetup import Setup

log = logging.getLogger(__name__)

BODY_LIMIT = 2**20
BODY_SECONDS = 10.0
CONNECTIONS = 64
EARLY_SECONDS, EARLY_LIMIT = 120.0, 1000  # bells rung before anybody listened
SEEN_LIMIT = 10_000
LOOK_SECONDS, RETRY_SECONDS = 5.0, 30.0

_hears: ContextVar[asyncio.Event | None] = ContextVar("hears", default=None)


# Bells.


class Bells:
    """Between the listener and the polls, in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._events: dict[tuple[str, str], list[asyncio.Event]] = {}
        self._early: OrderedDict[tuple[str, str], float] = OrderedDict()

    @contextlib.contextmanager
    def hearing(self, provider: str, request_id: str) -> Iterator[None]:
        """Inside, `sleep` ends when the bell of this request rings; at once where it rang in the two minutes before."""
        name, event = (provider, request_id), asyncio.Event()
        self._events.setdefault(name, []).append(event)
        rang = self._early.pop(name, None)
        if rang is not None and self._clock() - rang <= EARLY_SECONDS:
            event.set()
        token = _hears.set(event)
        try:
            yield
        finally:
            _hears.reset(token)
            self._events[name].remove(event)
            if not self._events[name]:
                del self._events[name]

    async def sleep(self, seconds: float) -> None:
        """As asyncio.sleep, until the bell that is heard here rings. One ring ends one sleep."""
        event = _hears.get()
        if event is None or seconds <= 0:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        event.clear()

    def ring(self, provider: str, request_id: str) -> bool:
        """False where nobody listens (yet)."""
        name = (provider, request_id)
        for event in self._events.get(name, ()):
            event.set()
        if name in self._events:
            return True
        self._early[name] = self._clock()
        self._early.move_to_end(name)
        while len(self._early) > EARLY_LIMIT:
            self._early.popitem(last=False)
        return False


# The listener.


class Listener:
    """An ASGI application of two addresses. counts: what became of deliveries, by word: "rang", "early", "repeated", "refused", "waits"."""

    def __init__(self, bells: Bells, signers: Signers, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._bells, self._signers, self._clock = bells, signers, clock
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status = await self._answer(scope, receive)
        # A connection serves one delivery: what comes behind a body that was not read whole is nobody's request.
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Any, receive: Any) -> int:
        engine = scope["path"].rstrip("/").rpartition("/")[2]  # a proxy may leave its own prefix before it
        if engine not in ENGINES:
            return 404
        if scope["method"] != "POST":
            return 405
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            return 408
        if body is None:
            return 413
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        return await self._deliver(engine, headers, body)

    async def _deliver(self, engine: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            delivery = await self._signers.prove(engine, headers, body)
        except Unproven as error:
            self.counts["refused"] += 1
            log.info("a webhook for %s was not believed: %s", engine, error)
            return 401
        except LookupError:
            self.counts["waits"] += 1
            return 503  # the provider tries again later; until then there is polling
        if self._known_already(engine, delivery.mark):
            self.counts["repeated"] += 1
        else:
            self.counts["rang" if self._bells.ring(engine, delivery.request_id) else "early"] += 1
        return 200

    def _known_already(self, engine: str, mark: str) -> bool:
        """Remembers marks for as long as their deliveries would pass as fresh."""
        now = self._clock()
        while self._seen and (len(self._seen) > SEEN_LIMIT or now - next(iter(self._seen.values())) > 2 * TOLERANCE):
            self._seen.popitem(last=False)
        if (engine, mark) in self._seen:
            return True
        self._seen[engine, mark] = now
        return False


async def _body(receive: Any) -> bytes | None:
    """None where it is too long, or never ended."""
    read = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        read += message.get("body", b"")
        if len(read) > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return bytes(read)


class _Server(uvicorn.Server):
    """Signals are the worker's, not its."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(app: Listener, host: str, port: int) -> AsyncIterator[int]:
    """Serves on a socket; yields its port (0 asks for a free one). Raises OSError where it cannot be had."""
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=CONNECTIONS) as listener:
        options = uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
            limit_concurrency=CONNECTIONS, timeout_keep_alive=2, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=2**14,
        )  # fmt: skip
        server = _Server(options)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def keep_listening(app: Listener, setup: Callable[[], Setup], say: Callable[[str], None] = lambda words: None) -> None:
    """Listens wherever the settings say, and elsewhere when they change, until it is cancelled. setup: asked in a thread, every 5 s.

    say: told in words where it listens, why it cannot, or "" where it does not. Whatever befalls it, pictures come by polling.
    """
    while True:
        try:
            await _listen_once(app, setup, say)
        except Exception:
            # A busy database, a bug: whatever it is, webhooks are only a doorbell, and are tried again.
            log.exception("webhooks are not awaited for the moment")
            await asyncio.sleep(RETRY_SECONDS)


async def _listen_once(app: Listener, setup: Callable[[], Setup], say: Callable[[str], None]) -> None:
    """Until the settings are others."""
    wanted = await asyncio.to_thread(setup)
    if not wanted.port:
        say("")
        await _until_changed(setup, wanted)
        return
    try:
        async with listening(app, wanted.host, wanted.port):
            say(f"Webhooks are awaited on port {wanted.port} of {wanted.host}.")
            await _until_changed(setup, wanted)
    except OSError as error:
        log.warning("webhooks cannot be awaited on port %d of %s: %s", wanted.port, wanted.host, error)
        say(f"Port {wanted.port} of {wanted.host} cannot be used for webhooks ({error.strerror}), so pictures are polled for.")
        await asyncio.sleep(RETRY_SECONDS)


async def _until_changed(setup: Callable[[], Setup], wanted: Setup) -> None:
    while await asyncio.to_thread(setup) == wanted:
        await asyncio.sleep(LOOK_SECONDS)
