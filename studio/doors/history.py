"""The history's routes: finding, ratings, tags, notes, boards, the trash, bulk actions."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from studio.doors.base import Asking, Body, Json, only
from studio.history import History
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    history = History(studio)

    @router.get("/history")
    def page(request: Request, who: Asking) -> Any:
        return Json(history.page(request.query_params.multi_items(), who))

    @router.get("/history/ids")
    def ids(request: Request, who: Asking) -> Any:
        return Json(history.ids(request.query_params.multi_items(), who))

    @router.get("/history/facets")
    def facets(who: Asking) -> Any:
        return Json(history.facets(who))

    @router.post("/images/bulk")
    def bulk(data: Body, who: Asking) -> Any:
        only(data, "ids", "do", "tag", "rating", "board", "keep", "shared")
        return Json(history.bulk(data, who))

    @router.post("/images/{image}/rate")
    def rate(image: int, data: Body, who: Asking) -> Any:
        only(data, "rating")
        return Json(history.rate(image, data, who))

    @router.post("/images/{image}/note")
    def note(image: int, data: Body, who: Asking) -> Any:
        only(data, "note")
        return Json(history.note(image, data, who))

    @router.post("/images/{image}/tags")
    def tags(image: int, data: Body, who: Asking) -> Any:
        only(data, "tags")
        return Json(history.tag(image, data, who))

    @router.post("/trash/empty")
    def empty_trash(data: Body, who: Asking) -> Any:
        only(data)
        return Json(history.empty_trash(who))

    return router


def boards(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/boards")
    history = History(studio)

    @router.get("")
    def list_boards(who: Asking) -> Any:
        return Json(history.boards(who))

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, "name")
        return Json(history.create_board(data, who), status_code=201)

    @router.post("/order")
    def order(data: Body, who: Asking) -> Any:
        only(data, "ids")
        return Json(history.order_boards(data, who))

    @router.post("/{board}")
    def change(board: int, data: Body, who: Asking) -> Any:
        only(data, "name", "shared")
        return Json(history.change_board(board, data, who))

    @router.post("/{board}/delete")
    def delete(board: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(history.delete_board(board, who))

    @router.post("/{board}/add")
    def add(board: int, data: Body, who: Asking) -> Any:
        only(data, "ids")
        return Json(history.on_board(board, "add", data, who))

    @router.post("/{board}/remove")
    def remove(board: int, data: Body, who: Asking) -> Any:
        only(data, "ids")
        return Json(history.on_board(board, "remove", data, who))

    @router.post("/{board}/move")
    def move(board: int, data: Body, who: Asking) -> Any:
        only(data, "ids", "before")
        return Json(history.on_board(board, "move", data, who))

    return router
