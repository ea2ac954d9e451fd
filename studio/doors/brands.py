"""Brands over HTTP: to see, save, compare, restore, remove, and to carry as TOML from studio to studio."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from models.errors import BadInput
from pipelines.fields import text, whole
from studio.brands import Shelf
from studio.doors.base import Asking, Body, Json, only
from studio.store.versions import NOTE_LIMIT
from studio.studio import Studio

VERSIONS = 2**31


def _text(data: Mapping[Any, Any], name: str, limit: int) -> str:
    return text(data, name, limit)


def _number(data: Mapping[Any, Any], name: str, low: int) -> int | None:
    return whole(data, name, low, VERSIONS, None)


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/brands")
    brands = studio.brands
    shelf = Shelf(studio.store, brands, studio.profiles.names)

    def changed(name: str) -> Json:
        studio.hub.publish("brands", {"name": name})
        return Json(shelf.view(name))

    @router.get("")
    def overview(who: Asking) -> Any:
        return Json(shelf.overview(who))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, "name", "toml", "brand", "note")
        name = _text(data, "name", 40)
        brands.create(name, shelf.read(data, name), who, _text(data, "note", NOTE_LIMIT))
        return changed(name)

    @router.get("/{name}")
    def brand(name: str, who: Asking, version: int | None = None) -> Any:
        return Json(shelf.view(name, version))

    @router.get("/{name}/toml")
    def toml(name: str, who: Asking, version: int | None = None) -> Any:
        headers = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
        return PlainTextResponse(brands.text(name, version), media_type="application/toml", headers=headers)

    @router.get("/{name}/changes")
    def changes(name: str, old: int, new: int, who: Asking) -> Any:
        return Json({"changes": shelf.changes(name, old, new)})

    @router.post("/{name}")
    def save(name: str, data: Body, who: Asking) -> Any:
        only(data, "toml", "brand", "note", "base")
        brands.current(name)
        brands.save(name, shelf.read(data, name), who, _text(data, "note", NOTE_LIMIT), _number(data, "base", 0))
        return changed(name)

    @router.post("/{name}/restore")
    def restore(name: str, data: Body, who: Asking) -> Any:
        only(data, "version", "note")
        version = _number(data, "version", 1)
        if version is None:
            raise BadInput("version", "The version to restore is missing.")
        brands.restore(name, version, who, _text(data, "note", NOTE_LIMIT))
        return changed(name)

    @router.post("/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data)
        brands.remove(name, who)
        studio.hub.publish("brands", {"name": name})
        return Json(shelf.overview(who))

    return router
