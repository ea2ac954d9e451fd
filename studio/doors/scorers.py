"""Scorers over HTTP: what each measures and needs; downloads and removal, which are an admin's."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/scorers")
    shelf = studio.scorers

    @router.get("")
    def scorers(who: Asking) -> Any:
        view = shelf.view(who)
        for scorer in view["scorers"]:
            scorer["lacking"] = studio.rescoring.lacking(scorer["name"], who) if scorer["found"] else 0
        return Json(view)

    @router.get("/{name}")
    def scorer(name: str, who: Asking) -> Any:
        return Json(shelf.scorer(name))

    @router.post("/{name}/download")
    def download(name: str, data: Body, who: Asking) -> Any:
        only(data, "opt_in")
        return Json(shelf.download(name, data.get("opt_in"), who), status_code=202)

    @router.post("/{name}/cancel")
    def cancel(name: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.cancel(name, who))

    @router.post("/{name}/discard")
    def discard(name: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.discard(name, who))

    @router.post("/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data, "confirm")
        return Json(shelf.remove(name, data.get("confirm"), who))

    return router
