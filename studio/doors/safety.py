"""Safety over HTTP: the list of rules, its versions, a prompt tried out on it, and what was found lately."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from models.errors import BadInput
from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/safety")
    safety = studio.safety

    @router.get("")
    def view(who: Asking) -> Any:
        return Json(safety.view(who))

    @router.post("")
    def save(data: Body, who: Asking) -> Any:
        only(data, "list", "note", "base")
        if "list" not in data:
            raise BadInput("list", "list is missing.")
        return Json(safety.save(data["list"], data.get("note"), who, data.get("base")))

    @router.post("/try")
    def try_out(data: Body, who: Asking) -> Any:
        only(data, "prompt", "list")
        return Json({"findings": safety.try_out(data.get("prompt"), data.get("list"))})

    @router.post("/restore")
    def restore(data: Body, who: Asking) -> Any:
        only(data, "version")
        return Json(safety.restore(data.get("version"), who))

    @router.get("/versions/{version}")
    def version(version: int, who: Asking) -> Any:
        return Json({"version": version, "toml": safety.text(version)})

    return router
