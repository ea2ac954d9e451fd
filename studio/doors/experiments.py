"""Experiments over HTTP: designs, what they show, and blind votes."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.experiments import Experiments
from studio.studio import Studio
from studio.voting import Voting


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/experiments")
    room, voting = Experiments(studio), Voting(studio)

    @router.get("")
    def overview(who: Asking) -> Any:
        return Json(room.overview(who))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, "design", "note")
        return Json(room.save(None, data, who), status_code=201)

    @router.post("/plan")
    def plan(data: Body, who: Asking) -> Any:
        """What a design would cost and could find, or what is wrong with it; whoever asks is still writing."""
        only(data, "design")
        return Json(room.tried(data.get("design"), who))

    @router.get("/{experiment}")
    def view(experiment: int, who: Asking, version: int | None = None) -> Any:
        return Json(room.view(experiment, who, version))

    @router.get("/{experiment}/changes")
    def changes(experiment: int, old: int, new: int, who: Asking) -> Any:
        return Json({"changes": room.changes(experiment, old, new, who)})

    @router.post("/{experiment}/design/restore")
    def restore_version(experiment: int, data: Body, who: Asking) -> Any:
        """An earlier design of a draft becomes its newest version."""
        only(data, "version", "note")
        return Json(room.restore_version(experiment, data, who))

    @router.get("/{experiment}/pairs")
    def pairs(experiment: int, who: Asking, after: int = 0) -> Any:
        return Json(room.pairs(experiment, who, after))

    @router.get("/{experiment}/csv")
    def table(experiment: int, who: Asking) -> Any:
        headers = {"Content-Disposition": f'attachment; filename="experiment-{experiment}.csv"'}
        return Response(room.table(experiment, who).encode("utf-8", "replace"), media_type="text/csv; charset=utf-8", headers=headers)

    @router.post("/{experiment}")
    def save(experiment: int, data: Body, who: Asking) -> Any:
        only(data, "design", "note", "base")
        return Json(room.save(experiment, data, who))

    @router.post("/{experiment}/start")
    def start(experiment: int, data: Body, who: Asking) -> Any:
        only(data, "safety")
        return Json(room.start(experiment, data, who))

    @router.post("/{experiment}/pause")
    def pause(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(room.pause(experiment, who))

    @router.post("/{experiment}/stop")
    def stop(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(room.stop(experiment, who))

    @router.post("/{experiment}/extend")
    def extend(experiment: int, data: Body, who: Asking) -> Any:
        only(data, "pairs")
        return Json(room.extend(experiment, data, who))

    @router.post("/{experiment}/duplicate")
    def duplicate(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(room.duplicate(experiment, who), status_code=201)

    @router.post("/{experiment}/remove")
    def remove(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(room.remove(experiment, who))

    @router.post("/{experiment}/restore")
    def restore(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(room.restore(experiment, who))

    @router.post("/{experiment}/share")
    def share(experiment: int, data: Body, who: Asking) -> Any:
        only(data, "with")
        return Json(room.share(experiment, data, who))

    @router.get("/{experiment}/votes")
    def waiting(experiment: int, who: Asking) -> Any:
        return Json(voting.next(experiment, who))

    @router.post("/{experiment}/votes")
    def vote(experiment: int, data: Body, who: Asking) -> Any:
        only(data, "pair", "choice")
        return Json(voting.vote(experiment, data, who))

    @router.post("/{experiment}/votes/undo")
    def undo(experiment: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(voting.undo(experiment, who))

    @router.get("/{experiment}/pairs/{number}/{side}")
    def picture(request: Request, experiment: int, number: int, side: str, who: Asking) -> Any:
        return file_answer(request, voting.picture(experiment, number, side, who), "image/png", None)

    return router
