"""Models over HTTP: what there is and what it needs; licences, downloads, removal and the token, which are an admin's."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/models")
    shelf = studio.shelf

    @router.get("")
    def models(who: Asking) -> Any:
        return Json(shelf.view(who))

    @router.post("/token")
    def token(data: Body, who: Asking) -> Any:
        only(data, "token")
        shelf.set_token(data.get("token"), who)
        return Json({"token": bool(data.get("token"))})

    @router.get("/{card}")
    def model(card: str, who: Asking) -> Any:
        return Json(shelf.card(card))

    @router.post("/{card}/accept")
    def accept(card: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.accept(card, who))

    @router.post("/{card}/download")
    def download(card: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.download(card, who), status_code=202)

    @router.post("/{card}/cancel")
    def cancel(card: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.cancel(card, who))

    @router.post("/{card}/discard")
    def discard(card: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(shelf.discard(card, who))

    @router.post("/{card}/remove")
    def remove(card: str, data: Body, who: Asking) -> Any:
        only(data, "confirm")
        return Json(shelf.remove(card, data.get("confirm"), who))

    return router
