"""Measuring again over HTTP: pictures of which something could not be measured."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.rescoring import FIELDS
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/images/score")
    def score(data: Body, who: Asking) -> Any:
        only(data, *FIELDS)
        return Json({"queued": studio.rescoring.ask(data, who), "waiting": studio.rescoring.waiting()}, status_code=202)

    return router
