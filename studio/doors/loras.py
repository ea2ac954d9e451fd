"""LoRAs over HTTP: to choose from, bring, take, change, promote, roll back, throw away."""
from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from models.errors import BadInput
from pipelines.fields import text, whole
from studio import lorafolder
from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.loraarrivals import FIELDS
from studio.loras import REASON_LIMIT
from studio.store.people import Who
from studio.studio import Studio

VERSIONS = 2**31 - 1


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/loras")
    registry, rack, arrivals = studio.loras, studio.lora_rack, studio.lora_arrivals

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

    @router.post("/import")
    async def bring(request: Request, who: Asking) -> Any:
        """A file, raw, written down as it comes; what is said of it stands in the address (`loraarrivals.FIELDS`, and `file`: its name)."""
        asked = dict(request.query_params)
        for name in asked:
            if name not in (*FIELDS, "file"):
                raise BadInput(name[:80], "There is no such field here.", "", f"The fields are {', '.join(FIELDS)} and file.")
        await asyncio.to_thread(arrivals.room_for, int(request.headers.get("content-length") or 0))
        with lorafolder.coming(studio.data_dir) as folder:
            path = folder / "brought.safetensors"
            with open(path, "wb") as file:
                async for piece in request.stream():
                    await asyncio.to_thread(file.write, piece)
            called = text(asked, "file", 200)
            came = await asyncio.to_thread(arrivals.take, path, asked, who, (), called)
        answer = await asyncio.to_thread(rack.view, came["name"], who)
        studio.hub.publish("loras", {"changed": True})
        return Json(came | {"lora": answer}, status_code=200 if came["known"] else 201)

    @router.get("/folders")
    def folders(who: Asking) -> Any:
        """An admin's: the watched folders, and what was found in them."""
        return Json(studio.lora_watch.view(who))

    @router.post("/folders/look")
    def look(data: Body, who: Asking) -> Any:
        only(data)
        studio.lora_watch.view(who)
        return Json({"came": studio.lora_watch.look()} | studio.lora_watch.view(who))

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

    @router.post("/{lora}/versions/{version}")
    def describe(lora: str, version: int, data: Body, who: Asking) -> Any:
        """{"triggers": [words], "licence", "note"}: what is said of it; the version itself never changes."""
        only(data, "triggers", "licence", "note")
        registry.describe(lora, version, data, who)
        return changed(lora, who)

    @router.get("/{lora}/versions/{version}/file")
    def file(request: Request, lora: str, version: int, who: Asking, tool: str = "") -> Any:
        """tool: diffusers, comfyui, forge or kohya, for a file as that one loads it; the file as it is without."""
        path = registry.file(lora, version, who)
        if not tool:
            return file_answer(request, path, "application/octet-stream", path.name)
        folder = Path(tempfile.mkdtemp(prefix="lora-"))
        try:
            rack.export(lora, version, tool, folder / path.name, who)
        except BaseException:
            shutil.rmtree(folder)
            raise
        name, gone = f"{path.stem}-{tool}.safetensors", BackgroundTask(shutil.rmtree, folder)
        return FileResponse(folder / path.name, media_type="application/octet-stream", filename=name, background=gone)

    @router.get("/{lora}/versions/{version}/samples/{place}")
    def sample(request: Request, lora: str, version: int, place: int, who: Asking) -> Any:
        path, kind = rack.sample(lora, version, place, who)
        return file_answer(request, path, kind, None)

    @router.post("/{lora}/trash")
    def throw(lora: str, data: Body, who: Asking) -> Any:
        """{"version": a number, null for all of them}."""
        only(data, "version")
        if "version" not in data:
            raise BadInput("version", "The version is missing.", "", "Give its number, or null for all of them.")
        studio.lora_bin.throw(lora, whole(data, "version", 1, VERSIONS, None), who)
        return changed(lora, who)

    @router.post("/{lora}/restore")
    def restore(lora: str, data: Body, who: Asking) -> Any:
        only(data, "version")
        number = whole(data, "version", 1, VERSIONS, None)
        if number is None:
            raise BadInput("version", "The version is missing.")
        studio.lora_bin.restore(lora, number, who)
        return changed(lora, who)

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
