"""Trainings over HTTP: proposed, begun, watched, stopped, kept."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from models.errors import BadInput
from pipelines.fields import text
from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.studio import Studio
from studio.trainings import FIELDS


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/trainings")
    trainings = studio.trainings

    @router.get("")
    def everything(who: Asking, lora: str = "") -> Any:
        return Json(trainings.views.overview(who, lora))

    @router.get("/proposal")
    def proposal(who: Asking, dataset: int | None = None, lora: str = "") -> Any:
        """For a dataset, or for a LoRA that was trained here."""
        return Json(trainings.propose({"dataset": dataset, "lora": lora}, who))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, *FIELDS)
        return Json(trainings.create(data, who), status_code=201)

    @router.get("/retraining")
    def by_themselves(who: Asking) -> Any:
        """The LoRAs that are trained again by themselves, and when."""
        return Json(trainings.retraining.view(who))

    @router.post("/retraining")
    def by_itself(data: Body, who: Asking) -> Any:
        """{"lora", "on": true or false}."""
        only(data, "lora", "on")
        if not isinstance(data.get("on"), bool):
            raise BadInput("on", "on must be true or false.")
        return Json(trainings.retraining.set(text(data, "lora", 80), data["on"], who))

    @router.get("/{training}")
    def view(training: int, who: Asking) -> Any:
        return Json(trainings.views.view(training, who))

    @router.get("/{training}/events")
    def events(training: int, who: Asking, after: int = 0) -> Any:
        return Json(trainings.views.events(training, after, who))

    @router.get("/{training}/samples/{step}/{place}")
    def sample(request: Request, training: int, step: int, place: int, who: Asking) -> Any:
        return file_answer(request, trainings.views.sample(training, step, place, who), "image/png", None)

    @router.post("/{training}/stop")
    def stop(training: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(trainings.stop_one(training, who))

    @router.post("/{training}/resume")
    def resume(training: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(trainings.resume(training, who))

    @router.post("/{training}/keep")
    def keep(training: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(trainings.keep(training, who))

    @router.post("/{training}/cancel")
    def cancel(training: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(trainings.cancel(training, who))

    @router.post("/{training}/remove")
    def remove(training: int, data: Body, who: Asking) -> Any:
        only(data)
        trainings.remove(training, who)
        return Json({"removed": training})

    return router
