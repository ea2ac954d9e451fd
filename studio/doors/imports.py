"""Pictures that people bring, earlier results for a similar prompt, and the pinned library."""
from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.studio import Studio


async def raw_body(request: Request) -> bytes:
    """The bytes of a picture; the guard has seen to their number and kind."""
    return await request.body()


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/import")
    def take(data: Annotated[bytes, Depends(raw_body)], who: Asking, family: str = "", tier: str = "") -> Any:
        return Json(studio.imports.take(data, {"family": family, "tier": tier}, who))

    @router.post("/similar")
    def similar(data: Body, who: Asking) -> Any:
        only(data, "prompt", "limit")
        return Json(studio.similar.find(data, studio.settings.get("similar.threshold"), who))

    @router.post("/images/{image}/pin")
    def pin(image: int, data: Body, who: Asking) -> Any:
        only(data, "pinned")
        return Json(studio.similar.pin(image, data, who))

    return router


def pictures(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/upload/{upload}.webp")
    def upload(request: Request, upload: str, who: Asking) -> Any:
        return file_answer(request, studio.imports.thumb(upload, who), "image/webp", None)

    return router
