"""What every request passes before anything looks at it: who may ask, from where, and how much they may send."""
from __future__ import annotations

import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_LIMIT = 256 * 2**10  # bytes of a body below /api/: the longest prompt is 4000 characters
PICTURE_LIMIT = 32 * 2**20  # and of a picture's file
PICTURES = ("/api/import", "/api/datasets/picture")  # what takes one, raw: neither can a form send image/*
# What takes another file, raw, and its bytes: no form can send octet-stream.
TABLES = {"/api/batches/catalogues": 16 * 2**20, "/api/datasets/zip": 2**30}
TABLES |= {"/api/loras/import": 4 * 2**30}  # which is written down as it comes
LONGER = {"/api/templates/import": 12 * 2**20}  # bytes of JSON that hold a file's text
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# Gradio's page has inline scripts and styles and compiles functions; nothing may be loaded from, or sent to, anywhere else.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class _TooLarge(Exception):
    pass


class Guard:
    """ASGI middleware. hosts: names and addresses this studio answers to ("*.example.com": all below); another Host is a page that
    rebinds its name to us.

    What changes something must come from our own page (Origin), and below /api/ as application/json, which no form can send.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                # Gradio would allow any other site to read its answers.
                found = MutableHeaders(raw=[pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")])
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
                message = {**message, "headers": found.raw}
            await send(message)

        try:
            await self.app(scope, _limited(receive, _limit(scope["path"])), with_headers)
        except _TooLarge:
            if started:
                raise
            await _refuse(scope, send, 413, "The request is too large.", f"At most {_limit(scope['path']) // 1024} KiB are read.")

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            return 400, "This studio does not answer to that host name.", "Use the address that launch.py printed."
        if scope["type"] == "websocket" or scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "This came from another site's page.", "Only the studio's own page may change anything."
        if origin is None and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "This came from another site's page.", "Only the studio's own page may change anything."
        if not scope["path"].startswith("/api/"):
            return None
        kind, limit = headers.get("content-type", "").split(";")[0].strip().lower(), _limit(scope["path"])
        if scope["path"] in PICTURES and not kind.startswith("image/"):
            return 415, "The request is not a picture.", "Send the file itself with Content-Type: image/png, image/jpeg or image/webp."
        if scope["path"] in TABLES and kind != "application/octet-stream":
            return 415, "The request is not a file.", "Send the file itself with Content-Type: application/octet-stream."
        if scope["path"] not in (*PICTURES, *TABLES) and kind != "application/json":
            return 415, "The request is not JSON.", "Send it with Content-Type: application/json."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > limit:
            return 413, "The request is too large.", f"At most {limit // 1024} KiB are read."
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self.hosts or any(f"*.{parent}" in self.hosts for parent in _parents(name))


def _parents(name: str) -> list[str]:
    """ "a.b.c" -> ["b.c", "c"]."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels))]


def _name(host: str) -> str:
    """The host without its port: "localhost:7860" -> "localhost", "[::1]:7860" -> "[::1]"."""
    host = host.lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.split(":")[0]


def _limit(path: str) -> int:
    return PICTURE_LIMIT if path in PICTURES else TABLES.get(path) or LONGER.get(path, JSON_LIMIT)


def _limited(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _TooLarge
        return message

    return limited


async def _refuse(scope: Scope, send: Send, status: int, what: str, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": {"field": None, "what": what, "why": why, "todo": ""}}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"} | HEADERS
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
