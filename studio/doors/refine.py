"""Refinement of prompts by a language model."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.refining import Refining
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/refine")
    refining = Refining(studio)

    @router.get("")
    def about(who: Asking) -> Any:
        return Json(refining.about(who))

    @router.post("")
    def propose(data: Body, who: Asking) -> Any:
        only(data, "prompt", "family", "tier")
        return Json(refining.propose(data))

    @router.post("/settings")
    def settings(data: Body, who: Asking) -> Any:
        only(data, "url", "model", "key")
        return Json(refining.set(data, who))

    return router
