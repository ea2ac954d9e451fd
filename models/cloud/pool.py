"""The HTTP client under the transport: one pool of connections, which is let go of whole once nobody has used it for a while.

httpx looks for connections whose time is over only when the next request comes; after a crowd it would hold its idle ones, long closed by
the other side, for as long as nothing is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import ssl
from collections.abc import AsyncIterator
from functools import cache

import httpx


class Pool:
    """connections: open at the most; idle: of them kept for the next request, for `idle_seconds`. Used in one event loop."""

    def __init__(self, connections: int, idle: int, idle_seconds: float) -> None:
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=idle, keepalive_expiry=idle_seconds)
        self._idle_seconds = idle_seconds
        self._client: httpx.AsyncClient | None = None
        self._in_use = 0
        self._rest: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """For one request."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._client = client = self._client or self._made()
        self._in_use += 1
        try:
            yield client
        finally:
            self._in_use -= 1
            if not self._in_use and self._client is client:
                self._rest = asyncio.get_running_loop().call_later(self._idle_seconds, self._let_go)

    async def aclose(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        await asyncio.gather(*self._closing)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _let_go(self) -> None:
        """Nobody uses it, and nobody can begin to between these lines."""
        self._rest = None
        client, self._client = self._client, None
        if client is not None:
            closing = asyncio.get_running_loop().create_task(client.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _made(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=_certificates(),
            http2=True,
            limits=self._limits,
            follow_redirects=False,
            headers={"User-Agent": "contact-sheet", "Accept-Encoding": "identity"},
            cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
            mounts={f"all://{host}": None for host in ("127.0.0.1", "localhost")},  # no proxy before this machine itself
        )


@cache
def _certificates() -> ssl.SSLContext:
    """Read once a process: it takes a good part of a second."""
    return httpx.create_ssl_context()
