"""The HTTP door: JSON, pictures and events. Handlers that touch SQLite are plain functions, which FastAPI runs in threads."""
from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from models.errors import BadInput, NotFound, OutOfMemory, StudioError, Unavailable
from studio.doors import (
    archive,
    batches,
    brands,
    cloud,
    comments,
    datasets,
    evaluations,
    experiments,
    grids,
    history,
    imports,
    insights,
    login,
    loras,
    models,
    money,
    people,
    post,
    production,
    profiles,
    queue,
    refine,
    rescoring,
    review,
    safety,
    scorers,
    seeds,
    settings,
    templates,
    trainings,
    wildcards,
    work,
)
from studio.doors.base import Json
from studio.gate import Gate
from studio.guard import Guard
from studio.login import TooMany, WrongPassword
from studio.store.jobs import NotNow
from studio.store.ledger import OverBudget
from studio.store.people import NotYours
from studio.studio import Studio

log = logging.getLogger(__name__)

# A room is a function from the studio to its routes.
ROOMS: tuple[Callable[[Studio], APIRouter], ...] = (
    work.api, work.pictures, brands.api, queue.api, history.api, history.boards, comments.api, insights.api, archive.api, imports.api,
    experiments.api, production.api, cloud.api,
    imports.pictures, models.api, people.api, post.api, post.pictures, profiles.api, review.api, review.thresholds, rescoring.api,
    safety.api, scorers.api, refine.api,
    settings.api, wildcards.api, money.api,
    templates.api, templates.composing,
    grids.api, seeds.api, seeds.failures,
    loras.api, datasets.api, datasets.pictures, trainings.api, evaluations.api, evaluations.trials,
    batches.variants, batches.api,
    login.pages,
)  # fmt: skip
PATROL_SECONDS = 20.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
STATUS: dict[type[StudioError], int] = {
    BadInput: 422, NotFound: 404, NotYours: 403, WrongPassword: 403, TooMany: 429, NotNow: 409, Unavailable: 503, OutOfMemory: 503,
    OverBudget: 402,
}  # fmt: skip


def make_app(studio: Studio, hosts: Collection[str] = LOCAL_HOSTS, mount: Callable[[FastAPI, Studio], object] | None = None) -> FastAPI:
    """The whole application over a studio. hosts: names it answers to. mount: adds the page at "/".

    The studio is stopped when the application is.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        patrol = asyncio.create_task(_end_sessions(studio)) if studio.login else None
        try:
            yield
        finally:
            if patrol is not None:
                patrol.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await patrol
            studio.stop()

    app = FastAPI(title="Contact Sheet", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, default_response_class=Json)
    app.add_middleware(Gate, sessions=studio.sessions if studio.login else None)
    app.add_middleware(Guard, hosts=hosts)  # outermost: what comes from elsewhere is not even asked who it is
    app.add_exception_handler(StudioError, _studio_error)
    app.add_exception_handler(RequestValidationError, _not_a_number)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    for room in ROOMS:
        app.include_router(room(studio))
    app.include_router(nowhere())
    if mount is not None:
        mount(app, studio)
    return app


async def _end_sessions(studio: Studio) -> None:
    """Ends sessions whose time is up, and with them the streams that would outlive them."""
    while True:
        await asyncio.sleep(PATROL_SECONDS)
        await asyncio.to_thread(studio.sessions.sweep)


def nowhere() -> APIRouter:
    """A plain answer for addresses below /api/ that are none."""
    router = APIRouter(prefix="/api")

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(path: str) -> Any:
        raise NotFound("There is no such address.")

    return router


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
