"""Refinement of prompts by a language model; the models that can do it on this machine, whose downloads are an admin's."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.refining import Refining
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/refine")
    refining, shelf = Refining(studio), studio.languages

    @router.get("")
    def about(who: Asking) -> Any:
        return Json(refining.about(who))

    @router.post("")
    def propose(data: Body, who: Asking) -> Any:
        only(data, "prompt", "family", "tier")
        return _answer(refining.propose(data, who))

    @router.get("/asked/{id}")
    def asked(id: str, who: Asking) -> Any:
        return _answer(refining.asked(id, who))

    @router.post("/asked/{id}/drop")
    def drop(id: str, data: Body, who: Asking) -> Any:
        only(data)
        studio.questions.drop(id, who)
        return Json({})

    @router.post("/settings")
    def settings(data: Body, who: Asking) -> Any:
        only(data, "url", "model", "key", "local")
        return Json(refining.set(data, who))

    @router.get("/models")
    def models(who: Asking) -> Any:
        return Json({"models": shelf.view()})

    @router.post("/models/{name}/download")
    def download(name: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.download(name, who), status_code=202)

    @router.post("/models/{name}/cancel")
    def cancel(name: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.cancel(name, who))

    @router.post("/models/{name}/discard")
    def discard(name: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.discard(name, who))

    @router.post("/models/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data, "confirm")
        return Json(shelf.remove(name, data.get("confirm"), who))

    return router


def _answer(found: dict[str, Any]) -> Json:
    return Json(found, status_code=202 if "asked" in found else 200)
