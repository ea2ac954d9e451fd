"""People, projects and sharing over HTTP."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from studio.doors.base import Asking, Body, Json, only
from studio.people import People
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    people = People(studio)

    @router.get("/people")
    def list_people(who: Asking) -> Any:
        return Json({"people": people.everybody(who)})

    @router.post("/people")
    def add(data: Body, who: Asking) -> Any:
        only(data, "name", "title", "password", "admin")
        return Json(people.add(data, who), status_code=201)

    @router.post("/people/{name}")
    def change(name: str, data: Body, who: Asking) -> Any:
        only(data, "title", "admin")
        return Json(people.change(name, data, who))

    @router.post("/people/{name}/password")
    def password(request: Request, name: str, data: Body, who: Asking) -> Any:
        only(data, "old", "password")
        people.set_password(name, data, who, request.client.host if request.client else "")
        return Json({"person": people.one(name, who)})

    @router.post("/people/{name}/remove")
    def remove(name: str, data: Body, who: Asking) -> Any:
        only(data, "to")
        return Json(people.remove(name, data, who))

    @router.post("/people/{name}/restore")
    def restore(name: str, data: Body, who: Asking) -> Any:
        only(data, "password")
        return Json(people.restore(name, data, who))

    @router.get("/projects")
    def list_projects(who: Asking) -> Any:
        return Json({"projects": people.projects(who)})

    @router.post("/projects")
    def add_project(data: Body, who: Asking) -> Any:
        only(data, "title")
        return Json(people.add_project(data, who), status_code=201)

    @router.post("/projects/{name}")
    def change_project(name: str, data: Body, who: Asking) -> Any:
        only(data, "title", "add", "remove", "local_only")
        return Json(people.change_project(name, data, who))

    @router.post("/projects/{name}/remove")
    def remove_project(name: str, data: Body, who: Asking) -> Any:
        only(data)
        people.remove_project(name, who)
        return Json({"projects": people.projects(who)})

    @router.post("/images/{image}/share")
    def share_image(image: int, data: Body, who: Asking) -> Any:
        only(data, "with")
        return Json(people.share_image(image, data, who))

    @router.post("/jobs/{job}/share")
    def share_job(job: int, data: Body, who: Asking) -> Any:
        only(data, "with")
        return Json(people.share_job(job, data, who))

    return router
