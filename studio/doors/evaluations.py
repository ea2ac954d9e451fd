"""Evaluations of LoRA versions over HTTP, who looked at their pictures, and candidates tried out in live use."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.evaluations import FIELDS
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/evaluations")
    evaluations = studio.evaluations

    @router.get("")
    def everything(who: Asking, lora: str = "") -> Any:
        return Json(evaluations.overview(who, lora))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, *FIELDS)
        return Json(evaluations.create(data, who), status_code=201)

    @router.get("/proposal")
    def proposal(who: Asking, lora: str = "", version: int | None = None, against: int | None = None) -> Any:
        """What an evaluation of a version would draw; against 0: without a comparison."""
        asked = {"lora": lora, "version": version} | ({} if against is None else {"against": against or None})
        return Json(evaluations.propose(asked, who))

    @router.post("/look")
    def look(data: Body, who: Asking) -> Any:
        """{"lora", "version"}: they have looked at what it draws."""
        only(data, "lora", "version")
        return Json(evaluations.look(data, who))

    @router.get("/{evaluation}")
    def view(evaluation: int, who: Asking) -> Any:
        return Json(evaluations.view(evaluation, who))

    @router.get("/{evaluation}/pictures/{cell}")
    def picture(request: Request, evaluation: int, cell: int, who: Asking, small: bool = False) -> Any:
        path = evaluations.picture(evaluation, cell, small, who)
        return file_answer(request, path, "image/webp" if small else "image/png", None)

    @router.post("/{evaluation}/cancel")
    def cancel(evaluation: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(evaluations.cancel(evaluation, who))

    @router.post("/{evaluation}/resume")
    def resume(evaluation: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(evaluations.resume(evaluation, who))

    @router.post("/{evaluation}/remove")
    def remove(evaluation: int, data: Body, who: Asking) -> Any:
        only(data)
        evaluations.remove(evaluation, who)
        return Json({"removed": evaluation})

    return router


def trials(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/trials")

    @router.get("/{lora}")
    def trial(lora: str, who: Asking) -> Any:
        return Json(studio.trials.of(lora, who))

    @router.post("")
    def set_trial(data: Body, who: Asking) -> Any:
        """{"lora", "share": 0 to 0.5 of the requests that would get production}."""
        only(data, "lora", "share")
        return Json(studio.trials.set(data, who))

    return router
