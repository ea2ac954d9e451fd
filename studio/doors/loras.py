"""LoRAs over HTTP: to choose from, bring, take, change, promote, roll back, throw away."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from models.errors import BadInput
from pipelines.fields import text, whole
from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.loras import REASON_LIMIT
from studio.store.people import Who
from studio.studio import Studio

VERSIONS = 2**31 - 1


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/loras")
    registry, rack = studio.loras, studio.lora_rack

    def changed(name: str, who: Who, status: int = 200) -> Json:
        studio.hub.publish("loras", {"changed": True})  # its name is not everybody's to know
        return Json(rack.view(name, who), status_code=status)

    @router.get("")
    def overview(who: Asking, family: str = "", tier: str = "", q: str = "") -> Any:
        """Those that fit come first."""
        return Json(rack.overview({"family": family, "tier": tier, "q": q}, who))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        """One without a version yet."""
        only(data, "name", "title", "about", "kind", "access", "project")
        return changed(registry.create(data, who), who, 201)

    @router.get("/{lora}")
    def view(lora: str, who: Asking, family: str = "", tier: str = "") -> Any:
        return Json(rack.view(lora, who, {"family": family, "tier": tier}))

    @router.post("/{lora}")
    def change(lora: str, data: Body, who: Asking) -> Any:
        only(data, "title", "about", "kind", "access", "project")
        registry.change(lora, data, who)
        return changed(lora, who)

    @router.get("/{lora}/versions")
    def versions(lora: str, who: Asking) -> Any:
        return Json({"versions": rack.view(lora, who)["versions"]})

    @router.get("/{lora}/versions/{version}")
    def one_version(lora: str, version: int, who: Asking) -> Any:
        return Json(rack.version(lora, version, who))

    @router.get("/{lora}/versions/{version}/file")
    def file(request: Request, lora: str, version: int, who: Asking) -> Any:
        path = registry.file(lora, version, who)
        return file_answer(request, path, "application/octet-stream", path.name)

    @router.get("/{lora}/versions/{version}/samples/{place}")
    def sample(request: Request, lora: str, version: int, place: int, who: Asking) -> Any:
        path, kind = rack.sample(lora, version, place, who)
        return file_answer(request, path, kind, None)

    @router.post("/{lora}/alias")
    def move(lora: str, data: Body, who: Asking) -> Any:
        """{"alias", "version": a number, null takes it off, "reason", "forced"}, or {"alias", "rollback": true, "reason"}."""
        only(data, "alias", "version", "rollback", "reason", "forced")
        alias, reason = text(data, "alias", 40), text(data, "reason", REASON_LIMIT)
        for switch in ("rollback", "forced"):
            if data.get(switch) not in (None, True, False):
                raise BadInput(switch, f"{switch} must be true or false.")
        if data.get("rollback"):
            registry.rollback(lora, alias, who, reason)
        elif "version" not in data:
            raise BadInput("version", "The version is missing.", "", "Give its number, or null to take the alias off.")
        else:
            number = whole(data, "version", 1, VERSIONS, None)
            registry.move(lora, alias, number, who, reason, bool(data.get("forced")))
        return changed(lora, who)

    return router
