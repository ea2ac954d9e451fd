"""Taking pictures and templates to production: as TOML, JSON or a Python program, with the files that belong beside it."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from studio.doors.base import Asking, Body, Json, only
from studio.production import Production
from studio.studio import Studio

FIELDS = ("image", "template", "values", "seed", "family", "tier", "as", "provider", "model")


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/export")
    production = Production(studio)

    @router.post("")
    def text(data: Body, who: Asking) -> Any:
        only(data, *FIELDS)
        return Json(production.take(data, who).view())

    @router.get("/providers")
    def providers(_who: Asking) -> Any:
        return Json(production.cloud.providers())

    @router.post("/zip")
    def packed(data: Body, who: Asking) -> Any:
        only(data, *FIELDS)
        name, pieces = production.take(data, who).packed()
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    return router
