"""The seed library's routes, and that of the failure modes."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from studio.doors.base import Asking, Body, Json, only
from studio.failures import Failures
from studio.seeds import Seeds
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/seeds")
    library = Seeds(studio)

    @router.get("")
    def listed(who: Asking, template: str = "") -> Any:
        return Json(library.list(template, who))

    @router.post("")
    def pin(data: Body, who: Asking) -> Any:
        only(data, "image", "template", "title")
        return Json(library.pin(data, who), status_code=201)

    @router.get("/{seed}/picture.webp")
    def picture(seed: int, who: Asking) -> Any:
        return Response(library.picture(seed, who), media_type="image/webp", headers={"Cache-Control": "private, no-cache"})

    @router.post("/{seed}/delete")
    def remove(seed: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(library.remove(seed, who))

    @router.post("/{seed}")
    def rename(seed: int, data: Body, who: Asking) -> Any:
        only(data, "title")
        return Json(library.rename(seed, data, who))

    return router


def failures(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/failures")
    modes = Failures(studio)

    @router.get("")
    def view(request: Request, who: Asking) -> Any:
        return Json(modes.view(request.query_params.multi_items(), who))

    return router
