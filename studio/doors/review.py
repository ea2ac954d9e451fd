"""The review room's routes: pictures that wait for a person, what is said of them, and what can be learned from it."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.doors.base import Asking, Body, Json, only
from studio.learning import Learning
from studio.review import Review
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/review")
    review = Review(studio)

    @router.post("/next")
    def following(data: Body, who: Asking) -> Any:
        only(data, "seat", "count")
        return Json(review.next(data, who))

    @router.post("/undo")
    def undo(data: Body, who: Asking) -> Any:
        only(data, "seat")
        return Json(review.undo(data, who))

    @router.post("/{image}/show")
    def show(image: int, data: Body, who: Asking) -> Any:
        only(data, "seat")
        return Json(review.show(image, data, who))

    @router.post("/{image}/pass")
    def pass_on(image: int, data: Body, who: Asking) -> Any:
        only(data, "seat")
        return Json(review.pass_on(image, data, who))

    @router.post("/{image}")
    def say(image: int, data: Body, who: Asking) -> Any:
        only(data, "seat", "approved", "reasons")
        return Json(review.say(image, data, who))

    return router


def thresholds(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/thresholds")
    learning = Learning(studio)

    @router.get("")
    def view(who: Asking, profile: str = "", card: str = "", sheet: bool = False) -> Any:
        return Json(learning.view(profile, card, sheet))

    @router.post("/apply")
    def apply(data: Body, who: Asking) -> Any:
        only(data, "profile", "card", "dimensions", "sheet")
        return Json(learning.apply(data, who))

    @router.post("/restore")
    def restore(data: Body, who: Asking) -> Any:
        only(data, "profile", "version")
        return Json(learning.restore(data, who))

    return router
