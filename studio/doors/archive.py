"""Downloads: exports of pictures, and the backup of the whole data folder."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from studio import archive
from studio.doors.base import Asking, Body, Json, only
from studio.export import Exports
from studio.store.db import now
from studio.store.people import require_admin
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    exports = Exports(studio)

    @router.post("/exports")
    def order(data: Body, who: Asking) -> Any:
        only(data, "ids", "as", "strip")
        return Json(exports.order(data, who), status_code=201)

    @router.get("/exports/{token}")
    def fetch(token: str, who: Asking) -> Any:
        name, kind, pieces = exports.fetch(token, who)
        return _download(name, kind, pieces)

    @router.get("/backup")
    def backup(who: Asking) -> Any:
        require_admin(who, "Only an admin may take a backup.", "It holds everybody's pictures.", todo="")
        return _download(f"contact-sheet-backup-{now()[:10]}.zip", "application/zip", archive.pieces(studio.data_dir))

    return router


def _download(name: str, kind: str, pieces: Iterator[bytes]) -> StreamingResponse:
    """The first piece is made before the answer begins, so that what is wrong at once is still said as an error."""
    first = next(pieces, b"")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(itertools.chain([first], pieces), media_type=kind, headers=headers)
