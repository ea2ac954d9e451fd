"""Lists of words over HTTP, and what the parts of a prompt may be called."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from pipelines.fields import text
from pipelines.phrases import load_presets
from pipelines.wildcards import NAME_LIMIT
from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/parts")
    def parts(who: Asking) -> Any:
        """Uses, places, styles, seasons and qualities, each with what it says to the model."""
        return Json(load_presets().to_dict())

    @router.get("/wildcards")
    def overview(who: Asking) -> Any:
        return Json(studio.wildcards.overview())

    @router.post("/wildcards")
    def save(data: Body, who: Asking) -> Any:
        only(data, "name", "text")
        saved = studio.wildcards.save(data)
        studio.hub.publish("wildcards", {"name": saved["name"]})
        return Json(saved)

    @router.get("/wildcards/{name:path}")
    def view(name: str, who: Asking) -> Any:
        return Json(studio.wildcards.view(name))

    @router.post("/wildcards/remove")
    def remove(data: Body, who: Asking) -> Any:
        only(data, "name")
        name = text(data, "name", NAME_LIMIT)
        studio.wildcards.remove(name)
        studio.hub.publish("wildcards", {"name": name})
        return Json(studio.wildcards.overview())

    return router
