"""Datasets over HTTP: pictures and ZIPs in, captions, crops, versions; and the models that write captions."""
from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Request

from studio.doors.base import Asking, Body, Json, file_answer, only
from studio.studio import Studio

SETTINGS = ("title", "kind", "trigger", "card", "resolution", "fit")
MEMORY = 8 * 2**20  # bytes of a ZIP that are held in memory; the rest of it goes to a temporary file
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


async def raw_body(request: Request) -> bytes:
    """The bytes of a picture; the guard has seen to their number and kind."""
    return await request.body()


async def spooled(request: Request) -> AsyncIterator[IO[bytes]]:
    """The bytes of a file that may be too large for memory; the guard has seen to their number and kind."""
    with tempfile.SpooledTemporaryFile(MEMORY) as file:
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        yield file


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    datasets = studio.datasets

    @router.get("/datasets")
    def everything(who: Asking, removed: bool = False) -> Any:
        return Json(datasets.views.overview(who, removed) | {"captioners": studio.captioners.view(), "admin": who.admin})

    @router.post("/datasets")
    def create(data: Body, who: Asking) -> Any:
        only(data, *SETTINGS)
        return Json(datasets.create(data, who), status_code=201)

    @router.post("/datasets/picture")
    def bring(data: Annotated[bytes, Depends(raw_body)], who: Asking, dataset: int, name: str = "") -> Any:
        return Json(datasets.bring(dataset, data, name, who), status_code=201)

    @router.post("/datasets/zip")
    def bring_zip(file: Annotated[IO[bytes], Depends(spooled)], who: Asking, dataset: int) -> Any:
        return Json(datasets.bring_zip(dataset, file, who), status_code=201)

    @router.get("/datasets/{dataset}")
    def view(dataset: int, who: Asking) -> Any:
        return Json(datasets.views.view(dataset, who))

    @router.post("/datasets/{dataset}")
    def change(dataset: int, data: Body, who: Asking) -> Any:
        only(data, *SETTINGS)
        return Json(datasets.change(dataset, data, who))

    @router.post("/datasets/{dataset}/take")
    def take(dataset: int, data: Body, who: Asking) -> Any:
        """Pictures of the history."""
        only(data, "images")
        return Json(datasets.take(dataset, data, who))

    @router.post("/datasets/{dataset}/captions")
    def captions(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "captions", "sidecars")
        return Json(datasets.caption(dataset, data, who))

    @router.post("/datasets/{dataset}/propose")
    def propose(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "images", "replace")
        return Json(datasets.propose(dataset, data, who))

    @router.post("/datasets/{dataset}/propose/stop")
    def stop(dataset: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(datasets.stop_proposing(dataset, who))

    @router.post("/datasets/{dataset}/images/{picture}/crop")
    def crop(dataset: int, picture: int, data: Body, who: Asking) -> Any:
        only(data, "crop")
        return Json(datasets.crop(dataset, picture, data, who))

    @router.post("/datasets/{dataset}/leave_out")
    def leave_out(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "images")
        return Json(datasets.leave_out(dataset, data, who))

    @router.post("/datasets/{dataset}/put_back")
    def put_back(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "images")
        return Json(datasets.leave_out(dataset, data, who, removed=False))

    @router.post("/datasets/{dataset}/restore")
    def restore(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "version")
        return Json(datasets.restore(dataset, data, who))

    @router.post("/datasets/{dataset}/share")
    def share(dataset: int, data: Body, who: Asking) -> Any:
        only(data, "with")
        return Json(datasets.share(dataset, data, who))

    @router.post("/datasets/{dataset}/remove")
    def remove(dataset: int, data: Body, who: Asking) -> Any:
        only(data)
        datasets.remove(dataset, who)
        return Json({"removed": dataset})

    @router.post("/datasets/{dataset}/bring_back")
    def bring_back(dataset: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(datasets.bring_back(dataset, who))

    @router.post("/captioners/{captioner}/download")
    def download(captioner: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(studio.captioners.download(captioner, who))

    @router.post("/captioners/{captioner}/cancel")
    def cancel(captioner: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(studio.captioners.cancel(captioner, who))

    return router


def pictures(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/dataset")

    @router.get("/{dataset}/{picture}.webp")
    def thumb(request: Request, dataset: int, picture: int, who: Asking) -> Any:
        return file_answer(request, studio.datasets.thumb(dataset, picture, who), "image/webp", None)

    @router.get("/{dataset}/{picture}/file")
    def file(request: Request, dataset: int, picture: int, who: Asking) -> Any:
        path = studio.datasets.file(dataset, picture, who)
        return file_answer(request, path, TYPES[path.suffix[1:]], None)

    return router
