"""Who asks: the session's cookie read before anything else sees the request. Nobody gets further than the login page.

Everything passes here, Gradio's own routes included, and of those only what the page itself uses is let through at all.
"""
from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.sessions import Sessions
from studio.store.people import LOCAL, Who

# What nobody may ask for, letter by letter.
OPEN = frozenset({"/login", "/static/page/login.css", "/static/page/favicon.png"})
GRADIO = "/gradio_api/"
# The page is drawn by these; running, queueing, uploading, proxying and reading of files by path are not the studio's way to do anything.
GRADIO_USED = ("/gradio_api/startup-events", "/gradio_api/heartbeat/", "/gradio_api/info", "/gradio_api/app_id", "/gradio_api/theme.css")
GRADIO_REST = frozenset({"/monitoring", "/login_check", "/token", "/user", "/runs", "/logout/", "/login/", "/manifest.json"})


class Gate:
    """ASGI middleware: sets scope["who"]. sessions: None where there is no login and whoever asks is LOCAL."""

    def __init__(self, app: ASGIApp, sessions: Sessions | None) -> None:
        self.app, self.sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        who = LOCAL if self.sessions is None else await self._who(scope)
        if who is None and path not in OPEN:
            await _turn_away(scope, send)
        elif path not in OPEN and _is_closed(path):
            await _answer(scope, send, 404, "There is no such address.")
        else:
            if who is not None:
                scope["who"] = who
            await self.app(scope, receive, send)

    async def _who(self, scope: Scope) -> Who | None:
        assert self.sessions is not None
        cookies = cookie_parser("; ".join(Headers(scope=scope).getlist("cookie")))
        token = cookies.get(self.sessions.cookie)
        who = self.sessions.who(token) if token else None
        if who is not None and token is not None and self.sessions.stale(token):
            await asyncio.to_thread(self.sessions.touch, token)
        return who


def _is_closed(path: str) -> bool:
    if path.startswith(GRADIO):
        return not path.startswith(GRADIO_USED)
    return path.rstrip("/") in GRADIO_REST or path in GRADIO_REST or path.startswith("/monitoring/")


async def _turn_away(scope: Scope, send: Send) -> None:
    """A person's browser to the login page, with the way back; everything else with an error."""
    accepts = Headers(scope=scope).get("accept", "")
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and "text/html" in accepts:
        query = scope.get("query_string", b"").decode("latin-1")
        back = scope["path"] + (f"?{query}" if query else "")
        where = "/login" if back == "/" else f"/login?next={quote(back, safe='/')}"
        headers = [(b"location", where.encode("ascii")), (b"cache-control", b"no-store"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    await _answer(scope, send, 401, "You are not logged in.", "Your session may have ended.", "Log in again.")


async def _answer(scope: Scope, send: Send, status: int, what: str, why: str = "", todo: str = "") -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": {"field": None, "what": what, "why": why, "todo": todo}}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
