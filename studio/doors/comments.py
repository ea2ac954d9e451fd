"""Comments on pictures."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.comments import Comments
from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    comments = Comments(studio)

    @router.get("/images/{image}/comments")
    def of_image(image: int, who: Asking) -> Any:
        return Json(comments.of_image(image, who))

    @router.post("/images/{image}/comments")
    def add(image: int, data: Body, who: Asking) -> Any:
        only(data, "text")
        return Json(comments.add(image, data, who), status_code=201)

    @router.post("/comments/{comment}")
    def edit(comment: int, data: Body, who: Asking) -> Any:
        only(data, "text")
        return Json(comments.edit(comment, data, who))

    @router.post("/comments/{comment}/delete")
    def delete(comment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(comments.delete(comment, who))

    @router.post("/comments/{comment}/restore")
    def restore(comment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(comments.restore(comment, who))

    return router
