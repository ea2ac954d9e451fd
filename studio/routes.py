"""The HTTP door: JSON, pictures and events. Handlers that touch SQLite are plain functions, which FastAPI runs in threads."""
from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from models.errors import BadInput, NotFound, OutOfMemory, StudioError, Unavailable
from studio.guard import Guard
from studio.store.jobs import NotNow
from studio.studio import PERSON, Studio

log = logging.getLogger(__name__)

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
STATUS: dict[type[StudioError], int] = {BadInput: 422, NotFound: 404, NotNow: 409, Unavailable: 503, OutOfMemory: 503}


class Json(JSONResponse):
    """ASCII only: what people typed comes back even where it holds half a character."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def make_app(studio: Studio, hosts: Collection[str] = LOCAL_HOSTS, mount: Callable[[FastAPI, Studio], object] | None = None) -> FastAPI:
    """The whole application over a studio. hosts: names it answers to. mount: adds the page at "/".

    The studio is stopped when the application is.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            studio.stop()

    app = FastAPI(title="Contact Sheet", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, default_response_class=Json)
    app.add_middleware(Guard, hosts=hosts)
    app.add_exception_handler(StudioError, _studio_error)
    app.add_exception_handler(RequestValidationError, _not_a_number)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    app.include_router(api(studio))
    app.include_router(pictures(studio))
    if mount is not None:
        mount(app, studio)
    return app


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises BadInput for whatever else was sent."""
    body = await request.body()
    try:
        data = json.loads(body, parse_int=_whole)
    except RecursionError as error:
        raise BadInput("request", "The request is nested too deeply.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadInput("request", "The request is not JSON.", str(error)[:200]) from error
    if not isinstance(data, dict):
        raise BadInput("request", "The request must be a JSON object.")
    return data


def _whole(digits: str) -> int | float:
    """Python refuses to read numbers of more than 4300 digits; as infinity they reach the field, which says what it takes."""
    return int(digits) if len(digits) < 1000 else float(digits)


Body = Annotated[dict[str, Any], Depends(json_body)]


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api", default_response_class=Json)

    @router.get("/studio")
    def about() -> Any:
        return Json(studio.about())

    @router.post("/words")
    def words(data: Body) -> Any:
        return Json(studio.words(data))

    @router.post("/jobs")
    def submit(data: Body) -> Any:
        return Json(studio.submit(data), status_code=201)

    @router.get("/jobs")
    def list_jobs(active: bool = False) -> Any:
        return Json({"jobs": studio.jobs(active)})

    @router.get("/jobs/{job}")
    def job(job: int) -> Any:
        return Json(studio.job(job))

    @router.post("/jobs/{job}/cancel")
    def cancel(job: int) -> Any:
        return Json(studio.cancel(job))

    @router.get("/images")
    def list_images(before: int | None = None, limit: int = 60) -> Any:
        return Json(studio.images(before, limit))

    @router.get("/images/{image}")
    def image(image: int) -> Any:
        return Json(studio.image(image))

    @router.post("/images/{image}/keep")
    def keep(image: int, data: Body) -> Any:
        _only(data, "keep")
        if "keep" not in data:
            raise BadInput("keep", "keep is missing: it must be true, false or null.")
        return Json(studio.keep(image, data["keep"]))

    @router.post("/images/{image}/promote")
    def promote(image: int, data: Body) -> Any:
        _only(data, "tier", "draft")
        return Json(studio.promote(image, data.get("tier"), data.get("draft")), status_code=201)

    @router.get("/events")
    async def events() -> Any:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(studio.hub.watch(PERSON), media_type="text/event-stream", headers=headers)

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(path: str) -> Any:
        raise NotFound("There is no such address.")

    return router


def pictures(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/image/{image}.png")
    def picture(request: Request, image: int, download: bool = False) -> Any:
        path = studio.picture_file(image)
        return _file(request, path, "image/png", f"contact-sheet-{path.name}" if download else None)

    @router.get("/thumb/{image}.webp")
    def thumb(request: Request, image: int) -> Any:
        return _file(request, studio.thumb_file(image), "image/webp", None)

    return router


def _file(request: Request, path: Path, media_type: str, download: str | None) -> Response:
    """A file that the browser asks about each time and fetches once: another data folder has other pictures under the same ids."""
    state = path.stat()
    headers = {"ETag": f'"{state.st_mtime_ns:x}-{state.st_size:x}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=media_type, headers=headers, filename=download)


def _only(data: dict[str, Any], *fields: str) -> None:
    for name in data:
        if name not in fields:
            raise BadInput(name[:80], "There is no such field here.", "", f"The fields are {' and '.join(fields)}.")


# The one place where errors become answers.


def _answer(error: StudioError) -> Json:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 409)
    return Json({"error": error.as_dict() | {"field": error.field or None}}, status_code=status)


async def _studio_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StudioError)
    return _answer(error)


async def _not_a_number(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    where, *_, name = error.errors()[0]["loc"]
    if where == "path":
        return _answer(NotFound(f"There is no such {name}."))
    return _answer(BadInput(str(name), f"{name} is not acceptable.", error.errors()[0]["msg"]))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"error": {"field": None, "what": str(error.detail), "why": "", "todo": ""}}, status_code=error.status_code)


async def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    what = {"field": None, "what": "A bug in the studio.", "why": type(error).__name__, "todo": "See logs/studio.log in the data folder."}
    return Json({"error": what}, status_code=500)
