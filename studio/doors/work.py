"""The way through: requests in, jobs, pictures and events out."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from models.errors import BadInput
from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.store import signals
from studio.strip import stripped
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/studio")
    def about(who: Asking) -> Any:
        return Json(studio.about(who))

    @router.post("/words")
    def words(data: Body) -> Any:
        return Json(studio.words(data))

    @router.post("/jobs")
    def submit(data: Body, who: Asking) -> Any:
        job = studio.trials.submit(data, who)
        signals.asked_again(studio.store, job["id"], who.name)
        return Json(job, status_code=201)

    @router.get("/jobs")
    def list_jobs(who: Asking, active: bool = False) -> Any:
        return Json({"jobs": studio.jobs(active, who)})

    @router.get("/jobs/{job}")
    def job(job: int, who: Asking) -> Any:
        return Json(studio.job(job, who))

    @router.post("/jobs/{job}/cancel")
    def cancel(job: int, who: Asking) -> Any:
        return Json(studio.cancel(job, who))

    @router.get("/images/{image}")
    def image(image: int, who: Asking) -> Any:
        return Json(studio.image(image, who))

    @router.post("/images/{image}/keep")
    def keep(image: int, data: Body, who: Asking) -> Any:
        only(data, "keep")
        if "keep" not in data:
            raise BadInput("keep", "keep is missing: it must be true, false or null.")
        return Json(studio.keep(image, data["keep"], who))

    @router.post("/images/{image}/promote")
    def promote(image: int, data: Body, who: Asking) -> Any:
        only(data, "tier", "draft")
        return Json(studio.promote(image, data.get("tier"), data.get("draft"), who), status_code=201)

    @router.get("/events")
    async def events(who: Asking) -> Any:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(studio.hub.watch(who), media_type="text/event-stream", headers=headers)

    return router


def pictures(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/image/{image}.png")
    def picture(request: Request, image: int, who: Asking, download: bool = False, strip: bool | None = None) -> Any:
        path = studio.picture_file(image, who)
        if download:
            with studio.store.write() as db:
                signals.note(db, [image], who.name, "download")
        if strip or (strip is None and download and studio.settings.get("export.strip", who)):
            name = f'attachment; filename="contact-sheet-{path.name}"' if download else "inline"
            headers = {"Cache-Control": "private, no-cache", "Content-Disposition": name}
            return Response(stripped(path), media_type="image/png", headers=headers)
        return file_answer(request, path, "image/png", f"contact-sheet-{path.name}" if download else None)

    @router.get("/thumb/{image}.webp")
    def thumb(request: Request, image: int, who: Asking) -> Any:
        return file_answer(request, studio.thumb_file(image, who), "image/webp", None)

    return router
