"""What every room's routes share: JSON in and out, who asks, files."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from models.errors import BadInput
from studio.store.people import Who


class Json(JSONResponse):
    """ASCII only: what people typed comes back even where it holds half a character."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises BadInput for whatever else was sent."""
    body = await request.body()
    try:
        data = json.loads(body, parse_int=_whole)
    except RecursionError as error:
        raise BadInput("request", "The request is nested too deeply.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadInput("request", "The request is not JSON.", str(error)[:200]) from error
    if not isinstance(data, dict):
        raise BadInput("request", "The request must be a JSON object.")
    return data


def _whole(digits: str) -> int | float:
    """Python refuses to read numbers of more than 4300 digits; as infinity they reach the field, which says what it takes."""
    return int(digits) if len(digits) < 1000 else float(digits)


Body = Annotated[dict[str, Any], Depends(json_body)]


def who_asks(request: Request) -> Who:
    """Set by the middleware that reads the session; without it nobody gets this far."""
    who = request.scope["who"]
    assert isinstance(who, Who)
    return who


Asking = Annotated[Who, Depends(who_asks)]


def file_answer(request: Request, path: Path, media_type: str, download: str | None) -> Response:
    """A file that the browser asks about each time and fetches once: another data folder has other pictures under the same ids."""
    state = path.stat()
    headers = {"ETag": f'"{state.st_mtime_ns:x}-{state.st_size:x}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=media_type, headers=headers, filename=download)


def only(data: dict[str, Any], *fields: str) -> None:
    for name in data:
        if name not in fields:
            todo = f"The fields are {' and '.join(fields)}." if fields else "It takes none."
            raise BadInput(name[:80], "There is no such field here.", "", todo)
