"""Settings over HTTP: what there is with its bounds and values, and changes."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/settings")
    def settings(who: Asking) -> Any:
        return Json({"admin": who.admin, "settings": studio.settings.view(who)})

    @router.post("/settings")
    def change(data: Body, who: Asking) -> Any:
        studio.settings.set(data, who)
        if any(name.startswith("cloud.") for name in data):
            studio.cloud.configured()
        return Json({"admin": who.admin, "settings": studio.settings.view(who)})

    return router
