"""The queue over HTTP: what waits in which order, and everything a person or an admin may change about it."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from models.errors import BadInput
from studio.doors.base import Asking, Body, Json, only
from studio.queueing import read_priority, start_time, veiled
from studio.store import jobs, order
from studio.store.order import Move
from studio.store.people import Who, require_admin
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/queue")
    def queue(who: Asking) -> Any:
        why = studio.queue.why_paused()
        return Json({"jobs": in_order(studio, who), "paused": bool(why), "why": why, "yours_to_pause": who.admin})

    @router.post("/queue/pause")
    def pause_queue(data: Body, who: Asking) -> Any:
        only(data)
        _admins_only(who, "pause the queue for everybody")
        order.pause_queue(studio.store, f"{who.name} paused the queue.")
        studio.queue_changed()
        return queue(who)

    @router.post("/queue/resume")
    def resume_queue(data: Body, who: Asking) -> Any:
        only(data)
        _admins_only(who, "let the queue go on")
        order.resume_queue(studio.store)
        studio.queue_changed()
        return queue(who)

    @router.post("/jobs/{job}/pause")
    def pause(job: int, data: Body, who: Asking) -> Any:
        only(data)
        order.pause_job(studio.store, job, True, who)
        return _changed(studio, job, who)

    @router.post("/jobs/{job}/resume")
    def resume(job: int, data: Body, who: Asking) -> Any:
        only(data)
        order.pause_job(studio.store, job, False, who)
        return _changed(studio, job, who)

    @router.post("/jobs/{job}/start_at")
    def start_at(job: int, data: Body, who: Asking) -> Any:
        only(data, "start_at")
        if "start_at" not in data:
            raise BadInput("start_at", "start_at is missing: it must be a time, or null to start at once.")
        order.start_job_at(studio.store, job, start_time(data), who)
        return _changed(studio, job, who)

    @router.post("/jobs/{job}/priority")
    def priority(job: int, data: Body, who: Asking) -> Any:
        only(data, "priority")
        if data.get("priority") is None:
            raise BadInput("priority", "priority is missing: it must be -1, 0 or 1.")
        order.prioritise(studio.store, job, read_priority(data, who), who)
        return _changed(studio, job, who)

    def mover(to: Move) -> None:
        @router.post(f"/jobs/{{job}}/{to}", name=to)
        def move(job: int, data: Body, who: Asking) -> Any:
            only(data)
            order.move(studio.store, job, to, who)
            return _changed(studio, job, who)

    mover("front")
    mover("up")
    mover("down")
    return router


def in_order(studio: Studio, who: Who) -> list[dict[str, Any]]:
    """Every open job, the next one first; those that are paused stand last. Others' jobs are there without what was asked for.

    yours_to_change: one's own, and an admin's any.
    """
    views = []
    for row in jobs.all_open(studio.store):
        mine = row["person"] == who.name
        views.append(veiled(studio.job_view(row), row, who) | {"mine": mine, "yours_to_change": mine or who.admin})
    return sorted(views, key=lambda view: (view["paused"], view["position"] or 0, view["id"]))


def _changed(studio: Studio, job: int, who: Who) -> Json:
    """Tells everybody; the job as the one who changed it may see it."""
    studio.queue_changed([job])
    row = jobs.job_row(studio.store, job)
    return Json(veiled(studio.job_view(row), row, who))


def _admins_only(who: Who, what: str) -> None:
    require_admin(who, f"Only an admin can {what}.", todo="You can pause jobs of your own.")
