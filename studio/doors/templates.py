"""Templates over HTTP: to see, save, compare, restore, copy, bring and take; and what a submission would come to, while it is written."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from models.errors import BadInput, NotFound
from pipelines.fields import text, whole
from pipelines.templatetoml import template_toml, to_data
from studio.composing import view
from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.store.people import Who
from studio.store.versions import NOTE_LIMIT
from studio.studio import Studio
from studio.templates import Gallery

VERSIONS = 2**31
TITLE_LIMIT = 80


def _text(data: Mapping[Any, Any], name: str, limit: int) -> str:
    return text(data, name, limit)


def _number(data: Mapping[Any, Any], name: str) -> int | None:
    return whole(data, name, 0, VERSIONS, None)


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    templates = studio.templates
    gallery = Gallery(studio.store, templates)

    def changed(name: str, who: Who) -> Json:
        studio.hub.publish("templates", {"name": name})
        return Json(gallery.view(name, None, who))

    @router.get("/templates")
    def overview(who: Asking) -> Any:
        return Json(gallery.overview(who))

    @router.post("/templates")
    def create(data: Body, who: Asking) -> Any:
        """A new template: `toml` or `template` under `name`, or a copy of `from`."""
        only(data, "name", "toml", "template", "from", "title", "note")
        name, source = _text(data, "name", 40), _text(data, "from", 40)
        if source:
            templates.duplicate(source, name, _text(data, "title", TITLE_LIMIT), who)
        else:
            templates.create(name, gallery.read(data, name), who, _text(data, "note", NOTE_LIMIT))
        return changed(name, who)

    @router.post("/templates/import")
    def bring(data: Body, who: Asking) -> Any:
        """The templates of a file of this studio, A1111, Fooocus or InvokeAI: all of them, or none."""
        only(data, "file", "content")
        found = gallery.bring(data, who)
        studio.hub.publish("templates", {"name": found["names"][0]})
        return Json(found, status_code=201)

    @router.post("/templates/export")
    def take(data: Body, who: Asking) -> Any:
        only(data, "names", "format")
        return Json(gallery.take(data))

    @router.get("/templates/{name}")
    def template(name: str, who: Asking, version: int | None = None) -> Any:
        return Json(gallery.view(name, version, who))

    @router.get("/templates/{name}/toml")
    def toml(name: str, who: Asking, version: int | None = None) -> Any:
        headers = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
        return PlainTextResponse(templates.text(name, version), media_type="application/toml", headers=headers)

    @router.get("/templates/{name}/thumb.webp")
    def thumb(request: Request, name: str, who: Asking) -> Any:
        path = templates.thumb(name)
        if path is None:
            raise NotFound("No picture ships with this template.")
        return file_answer(request, path, "image/webp", None)

    @router.get("/templates/{name}/changes")
    def changes(name: str, old: int, new: int, who: Asking) -> Any:
        return Json({"changes": gallery.changes(name, old, new)})

    @router.post("/templates/{name}")
    def save(name: str, data: Body, who: Asking) -> Any:
        only(data, "toml", "template", "note", "base")
        templates.current(name)
        base = _number(data, "base")
        templates.save(name, gallery.read(data, name), who, _text(data, "note", NOTE_LIMIT), base)
        return changed(name, who)

    @router.post("/templates/{name}/preview")
    def preview(name: str, data: Body, who: Asking) -> Any:
        """What a template that is being written would come to with its example, or what is wrong with it: no failure of the request."""
        only(data, "toml", "template", "values", "family")
        try:
            draft = templates.parse(gallery.read(data, name), name)
            composed = studio.composer.preview_of(draft, data, who)
        except BadInput as error:
            return Json({"wrong": error.as_dict()})
        words = studio.words({"prompt": composed.assembled.text, "family": data.get("family"), "tier": composed.data.get("tier")})
        return Json(view(composed, words) | {"wrong": None, "template": to_data(draft), "toml": template_toml(draft)})

    @router.post("/templates/{name}/restore")
    def restore(name: str, data: Body, who: Asking) -> Any:
        only(data, "version", "note")
        version = _number(data, "version")
        if version is None:
            raise BadInput("version", "The version to restore is missing.", "", "0 is the template as shipped.")
        templates.restore(name, version, who, _text(data, "note", NOTE_LIMIT))
        return changed(name, who)

    @router.post("/templates/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data)
        templates.remove(name, who)
        studio.hub.publish("templates", {"name": name})
        return Json(gallery.overview(who))

    return router


def composing(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/compose")
    def compose(data: Body, who: Asking) -> Any:
        """What a submission would come to, or what is wrong with it: no failure of the request, for whoever asks is still writing."""
        try:
            composed = studio.composer.preview(data, who)
        except BadInput as error:
            return Json({"wrong": error.as_dict()})
        request = composed.data
        words = studio.words({"prompt": composed.assembled.text, "family": request.get("family"), "tier": request.get("tier")})
        return Json(view(composed, words) | {"wrong": None})

    return router
