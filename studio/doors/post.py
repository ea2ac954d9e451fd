"""Post-processing of pictures: to see, try, set and take back; and the processed files."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.processing import Processing
from studio.store import signals
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/images/{image}/post")
    processing = Processing(studio)

    @router.get("")
    def of_image(image: int, who: Asking) -> Any:
        return Json(processing.of_image(image, who))

    @router.post("")
    def set_post(image: int, data: Body, who: Asking) -> Any:
        return Json(processing.set(image, data, who))

    @router.delete("")
    def undo(image: int, who: Asking) -> Any:
        return Json(processing.undo(image, who))

    @router.post("/reset")
    def reset(image: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(processing.reset(image, who))

    @router.post("/preview")
    def preview(image: int, data: Body, who: Asking) -> Any:
        """A small picture; its headers tell the pixels of the real one."""
        small, width, height = processing.preview(image, data, who)
        return Response(small, media_type="image/webp", headers={"Cache-Control": "no-store", "X-Size": f"{width}x{height}"})

    return router


def pictures(studio: Studio) -> APIRouter:
    router = APIRouter()
    processing = Processing(studio)

    @router.get("/processed/{image}.{ending}")
    def processed(request: Request, image: int, ending: str, who: Asking, download: bool = False) -> Any:
        path, media = processing.file(image, who)
        if download:
            with studio.store.write() as db:
                signals.note(db, [image], who.name, "download")
        return file_answer(request, path, media, f"contact-sheet-{path.name.replace('.post', '')}" if download else None)

    return router
