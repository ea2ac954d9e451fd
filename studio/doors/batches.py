"""Batches over HTTP: catalogues in, checks, batches with their rows, what is done with them, files and tables out."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from studio.batchfiles import BatchFiles
from studio.doors.base import Asking, Body, Json, only
from studio.studio import Studio
from studio.variants import Variants

SETUP = ("catalogue", "templates", "columns", "fields", "label", "off_peak")


async def raw_body(request: Request) -> bytes:
    """The bytes of a file; the guard has seen to their number and kind."""
    return await request.body()


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/batches")
    catalogues, batches = studio.catalogues, studio.batches
    files = BatchFiles(studio)

    @router.post("/catalogues")
    def bring(data: Annotated[bytes, Depends(raw_body)], who: Asking, name: str = "") -> Any:
        return Json(catalogues.bring(data, name, who), status_code=201)

    @router.post("/catalogues/from")
    def bring_from(data: Body, who: Asking) -> Any:
        """An admin's: a file of the machine that the studio runs on."""
        only(data, "path")
        return Json(catalogues.bring_from(data.get("path"), who), status_code=201)

    @router.get("/catalogues/{catalogue}")
    def catalogue(catalogue: int, who: Asking) -> Any:
        return Json(catalogues.view(catalogue, who))

    @router.get("/catalogues/{catalogue}/rows")
    def catalogue_rows(catalogue: int, who: Asking, after: int = 0, limit: int = 50, lines: str = "") -> Any:
        """lines: "3,17": these alone."""
        wanted = {int(one) for one in lines.split(",") if one.isascii() and one.isdigit() and len(one) < 10}
        return Json(catalogues.rows(catalogue, who, after, limit, wanted))

    @router.post("/catalogues/{catalogue}/rows/{line}")
    def change_catalogue_row(catalogue: int, line: int, data: Body, who: Asking) -> Any:
        """Mends a row before anything is drawn of it."""
        only(data, "cells")
        return Json(catalogues.change_row(catalogue, line, data, who))

    @router.post("/catalogues/{catalogue}/guess")
    def guess(catalogue: int, data: Body, who: Asking) -> Any:
        only(data, "templates")
        return Json(catalogues.guess(catalogue, data, who))

    @router.post("/catalogues/{catalogue}/pictures")
    def pictures(catalogue: int, data: Body, who: Asking) -> Any:
        only(data, "pictures", "folder")
        return Json(catalogues.add_pictures(catalogue, data, who))

    @router.post("/check")
    def check(data: Body, who: Asking) -> Any:
        """With `quote`, as the Cloud tab's, of all rows together where `fields` lets providers draw them ("where": "cloud allowed")."""
        only(data, *SETUP, "lines")
        return Json(batches.check(data, who))

    @router.get("")
    def everything(who: Asking, removed: bool = False) -> Any:
        return Json({"batches": batches.all(who, removed)})

    @router.post("")
    def create(data: Body, who: Asking) -> Any:
        only(data, *SETUP, "title", "leave_out", "paused")
        return Json(batches.create(data, who), status_code=201)

    @router.get("/{batch}")
    def view(batch: int, who: Asking) -> Any:
        return Json(batches.view(batch, who))

    @router.post("/{batch}")
    def change(batch: int, data: Body, who: Asking) -> Any:
        only(data, "title", "fields", "off_peak", "note", "base")
        return Json(batches.change(batch, data, who))

    @router.get("/{batch}/rows")
    def rows(batch: int, who: Asking, state: str = "", after: int = 0, limit: int = 100) -> Any:
        return Json(batches.rows(batch, who, [one for one in state.split(",") if one], after, limit))

    @router.get("/{batch}/rows/{number}")
    def row(batch: int, number: int, who: Asking) -> Any:
        return Json(batches.row(batch, number, who))

    @router.post("/{batch}/rows/{number}")
    def change_row(batch: int, number: int, data: Body, who: Asking) -> Any:
        only(data, "cells")
        return Json(batches.change_row(batch, number, data, who))

    @router.post("/{batch}/setup")
    def setup(batch: int, data: Body, who: Asking) -> Any:
        """The start of a new batch: this one's rows as a catalogue, and its setup; of advertisements the variations as they were."""
        only(data)
        variants = batches.view(batch, who)["kind"] == "variants"
        return Json(Variants(studio).same(batch, who) if variants else catalogues.of_batch(batch, who), status_code=201)

    @router.post("/{batch}/pause")
    def pause(batch: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(batches.pause(batch, True, who))

    @router.post("/{batch}/resume")
    def resume(batch: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(batches.pause(batch, False, who))

    @router.post("/{batch}/stop")
    def stop(batch: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(batches.stop(batch, who))

    @router.post("/{batch}/again")
    def again(batch: int, data: Body, who: Asking) -> Any:
        only(data, "states", "row")
        return Json(batches.again(batch, data, who))

    @router.post("/{batch}/restore")
    def restore(batch: int, data: Body, who: Asking) -> Any:
        """Makes an earlier version of the setup the newest."""
        only(data, "version")
        return Json(batches.restore_version(batch, data.get("version"), who))

    @router.post("/{batch}/remove")
    def remove(batch: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(batches.put_away(batch, True, who))

    @router.post("/{batch}/bring_back")
    def bring_back(batch: int, data: Body, who: Asking) -> Any:
        only(data)
        return Json(batches.put_away(batch, False, who))

    @router.get("/{batch}/results.csv")
    def table(batch: int, who: Asking) -> Any:
        name, text = files.table(batch, who)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=headers)

    @router.get("/{batch}/files.zip")
    def archive(batch: int, who: Asking, what: str = "kept", strip: bool | None = None) -> Any:
        name, pieces = files.archive(batch, what, strip, who)
        return _download(name, pieces)

    return router


def variants(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/batches")
    room = Variants(studio)

    @router.get("/variants/axes")
    def axes(who: Asking) -> Any:
        return Json(room.axes())

    @router.post("/variants/plan")
    def plan(data: Body, who: Asking) -> Any:
        """Variations of a brief, to be looked at and changed before anything is drawn."""
        only(data, "brief", "axes", "count", "seed", "template", "fields")
        return Json(room.plan(data, who))

    @router.post("/variants/check")
    def check(data: Body, who: Asking) -> Any:
        """What they would cost at providers, before they are drawn."""
        only(data, "brief", "axes", "variations", "template", "fields", "title", "off_peak", "parent")
        return Json(room.check(data, who))

    @router.post("/variants")
    def start(data: Body, who: Asking) -> Any:
        only(data, "brief", "axes", "variations", "template", "fields", "title", "off_peak", "parent")
        return Json(room.start(data, who), status_code=201)

    @router.post("/{batch}/winner")
    def winner(batch: int, data: Body, who: Asking) -> Any:
        only(data, "row", "winner")
        return Json(room.mark(batch, data, who))

    @router.post("/{batch}/results")
    def results(batch: int, data: Body, who: Asking) -> Any:
        """What the advertisements brought, as the text of a CSV."""
        only(data, "csv")
        return Json(room.take_results(batch, data, who))

    @router.get("/{batch}/standing")
    def standing(batch: int, who: Asking) -> Any:
        return Json(room.standing(batch, who))

    @router.post("/{batch}/more")
    def more(batch: int, data: Body, who: Asking) -> Any:
        """Variations around the winners, to be looked at before anything is drawn."""
        only(data, "count", "seed")
        return Json(room.more(batch, data, who))

    return router


def _download(name: str, pieces: Iterator[bytes]) -> StreamingResponse:
    """The first piece is made before the answer begins, so that what is wrong at once is still said as an error."""
    first = next(pieces, b"")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(itertools.chain([first], pieces), media_type="application/zip", headers=headers)
