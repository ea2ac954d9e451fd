"""The routes of X/Y/Z grids: planned, started, looked at, gone on with, and taken away as an image or a table."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from models.errors import BadInput
from studio.doors.base import Asking, Body, Json, only
from studio.grids import PLACING, Grids
from studio.store.people import Who
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/grids")
    grids = Grids(studio)
    deeds = {"pause": grids.pause, "resume": grids.resume, "cancel": grids.cancel, "delete": grids.remove}

    @router.get("")
    def listed(who: Asking) -> Any:
        return Json(grids.listed(who))

    @router.post("/plan")
    def plan(data: Body, who: Asking) -> Any:
        only(data, "title", "base", "x", "y", "z", *PLACING)
        try:
            return Json(grids.plan(data, who))
        except BadInput as error:  # who is still typing is told what is wrong, without a failed request
            return Json({"error": error.as_dict() | {"field": error.field or None}})

    @router.post("")
    def start(data: Body, who: Asking) -> Any:
        only(data, "title", "base", "x", "y", "z", "skip", *PLACING)
        return Json(grids.start(data, who), status_code=201)

    @router.get("/{grid}/sheet.png")
    def sheet(grid: int, who: Asking) -> Any:
        name, content = grids.sheet(grid, who)
        return Response(content, media_type="image/png", headers=_as_file(name))

    @router.get("/{grid}/cells.csv")
    def table(grid: int, who: Asking) -> Any:
        name, text = grids.table(grid, who)
        return Response(text.encode("utf-8"), media_type="text/csv; charset=utf-8", headers=_as_file(name))

    @router.get("/{grid}")
    def view(grid: int, who: Asking) -> Any:
        return Json(grids.view(grid, who))

    for name, deed in deeds.items():
        router.add_api_route(f"/{{grid}}/{name}", _deed(deed), methods=["POST"])
    return router


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def _deed(deed: Callable[[int, Who], Any]) -> Callable[..., Any]:
    def do(grid: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(deed(grid, who))

    return do
