"""A small HTTP/1.1 server on asyncio that can also do what servers should not: reset, hang, trickle, promise more than they send.

No framework, for a framework would mend the very faults that the demo providers are for, and the floors below the page know none.
"""
from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from models.cloud.demo.clock import Clock

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
PIECE = 2**16
GONE = (ConnectionError, asyncio.IncompleteReadError, BrokenPipeError)

Manner = Literal["whole", "reset", "hang", "trickle", "short", "flood"]


@dataclass(frozen=True)
class Asked:
    """A request as it came. server: which listener of a provider got it ("api", "cdn", ...). headers: by lower-case name."""

    server: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False, default=b"")

    @cached_property
    def json(self) -> Any:
        """The body; raises ValueError where it is none."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What is sent, and how: whole; reset (no byte, RST); hang (no byte, until the asker leaves); trickle (`pace` seconds a byte);
    short (fewer bytes than Content-Length says, then the end); flood (a body that does not end)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    manner: Manner = "whole"
    pace: float = 0.05


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})


def as_html(status: int, title: str) -> Answer:
    """What a gateway in front of a provider says."""
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr><center>nginx</center></body></html>"
    return Answer(status, page.encode(), {"content-type": "text/html"})


class Listener:
    """One address on the loopback. `handle` answers; whatever it raises is answered as a plain 500 and logged, for it is our bug."""

    def __init__(self, name: str, handle: Callable[[Asked], Awaitable[Answer]], clock: Clock) -> None:
        self.name, self._handle, self._clock = name, handle, clock
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0  # made so far
        self.most_open = 0  # at once

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def open_now(self) -> int:
        """Connections that nobody has closed. From any thread."""
        return len(self._open)

    async def start(self, port: int = 0) -> None:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._converse, LOOPBACK, port, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        self.most_open = max(self.most_open, len(self._open))
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (asked := await _read(self.name, reader, writer)) is not None:
                if not await self._reply(asked, reader, writer):
                    break
        except GONE:
            pass  # the asker left
        except asyncio.CancelledError:
            pass  # the server stops; the task ends here rather than as cancelled, which asyncio's streams would log
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(*GONE):
                await writer.wait_closed()

    async def _reply(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends the answer; whether the connection may be used again."""
        try:
            answer = await self._handle(asked)
        except Exception:
            log.exception("%s %s of the demo's %s", asked.method, asked.path, asked.server)
            answer = Answer(500, b"the demo itself failed; see the log")
        if answer.manner == "reset":
            # No lingering: the kernel sends RST instead of FIN, as a machine does whose process died.
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if answer.manner == "hang":
            await reader.read()
            return False
        return await self._send(asked, answer, writer)

    async def _send(self, asked: Asked, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        body = b"" if asked.method == "HEAD" else answer.body
        lasting = answer.manner in ("whole", "trickle") and asked.headers.get("connection", "").lower() != "close"
        headers = {
            "date": email.utils.formatdate(self._clock.now(), usegmt=True),
            "content-length": str(len(answer.body)),
            "connection": "keep-alive" if lasting else "close",
            **answer.headers,
        }
        if answer.manner == "short":
            headers["content-length"] = str(len(body) + 1 + len(body) // 2)
        elif answer.manner == "flood":
            del headers["content-length"]
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if answer.manner == "trickle":
            for index in range(len(body)):
                writer.write(body[index : index + 1])
                await writer.drain()
                await self._clock.sleep(answer.pace)
        elif answer.manner == "flood":
            while not writer.transport.is_closing():
                writer.write(body or b" " * PIECE)
                await writer.drain()
        else:
            writer.write(body)
        await writer.drain()
        return lasting


async def _read(server: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked | None:
    """The next request of a connection; None where the asker closed it between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Asked(server, method.upper(), unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(pieces)
