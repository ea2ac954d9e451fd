"""Quality profiles over HTTP: to see, try, save, compare, restore, copy, and to carry as TOML from studio to studio."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from models.errors import BadInput
from pipelines.fields import shown, text, whole
from pipelines.rules import RULE_LIMIT
from studio.doors.base import Asking, Body, Json, only
from studio.profiles import NOTE_LIMIT
from studio.quality import Quality
from studio.studio import Studio

VERSIONS = 2**31


def _text(data: Mapping[Any, Any], name: str, limit: int) -> str:
    return text(data, name, limit)


def _number(data: Mapping[Any, Any], name: str) -> int | None:
    return whole(data, name, 0, VERSIONS, None)


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    profiles = studio.profiles
    quality = Quality(studio.store, profiles, studio.catalogue)

    def changed(name: str) -> Json:
        studio.hub.publish("profiles", {"name": name})
        return Json(quality.view(name))

    @router.get("/profiles")
    def overview(who: Asking) -> Any:
        return Json(quality.overview())

    @router.post("/profiles")
    def create(data: Body, who: Asking) -> Any:
        """A new profile: `toml` under `name`, or a copy of `from`."""
        only(data, "name", "toml", "profile", "from", "title", "note")
        name, source = _text(data, "name", 40), _text(data, "from", 40)
        if source:
            profiles.duplicate(source, name, _text(data, "title", 60), who)
        else:
            profiles.create(name, quality.read(data, name), who, _text(data, "note", NOTE_LIMIT) or "Imported")
        return changed(name)

    @router.get("/profiles/{name}")
    def profile(name: str, who: Asking, version: int | None = None) -> Any:
        return Json(quality.view(name, version))

    @router.get("/profiles/{name}/toml")
    def toml(name: str, who: Asking, version: int | None = None) -> Any:
        headers = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
        return PlainTextResponse(profiles.text(name, version), media_type="application/toml", headers=headers)

    @router.get("/profiles/{name}/changes")
    def changes(name: str, old: int, new: int, who: Asking) -> Any:
        return Json({"changes": quality.changes(name, old, new)})

    @router.post("/profiles/{name}")
    def save(name: str, data: Body, who: Asking) -> Any:
        only(data, "toml", "profile", "note", "base")
        profiles.current(name)
        base = _number(data, "base")
        profiles.save(name, quality.read(data, name), who, _text(data, "note", NOTE_LIMIT), base)
        return changed(name)

    @router.post("/profiles/{name}/preview")
    def preview(name: str, data: Body, who: Asking) -> Any:
        """What a change would do, or what is wrong with it: no failure of the request, for whoever tries is still writing."""
        only(data, "toml", "profile")
        try:
            return Json(quality.preview(quality.read(data, name), name, who) | {"wrong": None})
        except BadInput as error:
            return Json({"wrong": error.as_dict()})

    @router.post("/profiles/{name}/restore")
    def restore(name: str, data: Body, who: Asking) -> Any:
        only(data, "version", "note")
        version = _number(data, "version")
        if version is None:
            raise BadInput("version", "The version to restore is missing.", "", "0 is the profile as shipped.")
        profiles.restore(name, version, who, _text(data, "note", NOTE_LIMIT))
        return changed(name)

    @router.post("/profiles/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data)
        profiles.remove(name, who)
        studio.hub.publish("profiles", {"name": name})
        return Json(quality.overview())

    @router.post("/rules")
    def rule(data: Body, who: Asking) -> Any:
        """How a sentence is understood, or why it is not."""
        only(data, "text")
        if not isinstance(data.get("text"), str):
            raise BadInput("text", f"A rule is a sentence; this is {shown(data.get('text'))}.")
        try:
            return Json(quality.rule(_text(data, "text", 5 * RULE_LIMIT)) | {"wrong": None})
        except BadInput as error:
            return Json({"wrong": error.as_dict()})

    return router
