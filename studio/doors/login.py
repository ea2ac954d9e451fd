"""The login page: plain HTML that works without scripts, and the two forms' answers."""
from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from models.errors import StudioError
from studio.login import Login, TooMany
from studio.sessions import DAY
from studio.studio import Studio

FORM_LIMIT = 8 * 2**10  # bytes

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in · Contact Sheet</title>
<link rel="icon" href="/static/page/favicon.png">
<link rel="stylesheet" href="/static/page/login.css">
</head>
<body>
<main>
<h1><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 3h16v14H2z"/>
<path d="M4.5 6h4.6v3.4H4.5zm6.4 0h4.6v3.4h-4.6zm-6.4 4.9h4.6v3.4H4.5zm6.4 0h4.6v3.4h-4.6z"/></svg>Contact Sheet</h1>
<form method="post" action="/login">
{error}<input type="hidden" name="next" value="{next}">
<label for="name">Name</label>
<input id="name" name="name" value="{name}" autocomplete="username" autocapitalize="none" required {focus_name}{described}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required {focus_password}{described}>
<button type="submit">Log in</button>
</form>
</main>
</body>
</html>
"""
# No script at all; and the form's POST says where it comes from, which the guard asks.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def pages(studio: Studio) -> APIRouter:
    router = APIRouter()
    login, sessions = Login(studio.store), studio.sessions

    @router.get("/login")
    def show(request: Request, next: str = "/") -> Any:
        if "who" in request.scope:
            return RedirectResponse(_inside(next), status_code=303)
        return _page(next)

    @router.post("/login")
    async def enter(request: Request) -> Any:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_LIMIT:
                return _page("/", error="That was too long.", status=413)
        fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).items()}
        return await run_in_threadpool(_enter, request, fields)

    def _enter(request: Request, fields: dict[str, str]) -> Response:
        name, back = fields.get("name", ""), fields.get("next", "/")
        if not studio.login:
            return RedirectResponse("/", status_code=303)
        try:
            person = login.check(name, fields.get("password", ""), request.client.host if request.client else "")
        except TooMany as error:
            page = _page(back, name, str(error), 429)
            page.headers["Retry-After"] = str(error.seconds)
            return page
        except StudioError as error:
            return _page(back, name, error.what, 403)
        # Never the token that was there before: somebody else may have put it there.
        _close(request)
        answer = RedirectResponse(_inside(back), status_code=303, headers={"Cache-Control": "no-store"})
        answer.set_cookie(
            sessions.cookie,
            sessions.open(person),
            max_age=int(sessions.longest_days * DAY),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            # Not "strict": a link to the studio in a chat would always land here. Whatever changes anything is a POST, and the
            # guard asks where that comes from.
            samesite="lax",
        )
        return answer

    @router.post("/logout")
    def leave(request: Request) -> Any:
        _close(request)
        answer = RedirectResponse("/login" if studio.login else "/", status_code=303, headers={"Cache-Control": "no-store"})
        answer.delete_cookie(sessions.cookie, path="/", secure=request.url.scheme == "https", httponly=True, samesite="lax")
        return answer

    def _close(request: Request) -> None:
        token = request.cookies.get(sessions.cookie)
        if token:
            sessions.close(token)

    return router


def _page(back: str, name: str = "", error: str = "", status: int = 200) -> HTMLResponse:
    told = f'<p id="error" role="alert">{escape(error)}</p>\n' if error else ""
    html = PAGE.format(
        error=told,
        next=escape(_inside(back)),
        name=escape(name[:80]),
        focus_name="" if name else "autofocus ",
        focus_password="autofocus " if name else "",
        described='aria-describedby="error" aria-invalid="true"' if error else "",
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def _inside(back: str) -> str:
    """`back` if it is an address of this studio, else its front page: nobody is sent elsewhere after logging in."""
    plain = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isascii() and back.isprintable() and "\\" not in back
    return back if plain and len(back) < 2000 and not back.startswith(("/login", "/logout")) else "/"
