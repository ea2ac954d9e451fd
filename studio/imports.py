"""Pictures that people bring: read for their settings, and kept to start from or to be shown to a model.

A file lies at `uploads/ab/<SHA-256>.png` below the data folder, once, whoever brought it. Each person sees only what they brought
themselves. One that no job started from is swept away after a week.
"""
from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from models.cards import Catalogue
from models.errors import BadInput, NotFound
from pipelines.fields import text
from pipelines.metadata import Found, read, texts_of
from pipelines.metadata.form import fill
from pipelines.request import UPLOAD
from studio import files
from studio.guard import PICTURE_LIMIT as FILE_LIMIT
from studio.store import Store
from studio.store.db import days_ago, now
from studio.store.people import Who

Json = dict[str, Any]

PIXEL_LIMIT = 50_000_000
SIDE_LIMIT = 16_384
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
IDLE_DAYS = 7


class Imports:
    """Any thread may ask. loras: names of those that somebody may use."""

    def __init__(
        self, store: Store, folder: Path, catalogue: Catalogue, loras: Callable[[Who], Collection[str]] = lambda who: ()
    ) -> None:
        self._store, self._folder, self._catalogue, self._loras = store, folder, catalogue, loras

    def take(self, data: bytes, asked: Mapping[Any, Any], who: Who) -> Json:
        """Reads and keeps a file. asked: the `family` and `tier` that the form shows. Raises BadInput (field "file") for no picture.

        `tool` and `form` are None for a picture without settings; `upload` is its id for a Request's `image`.
        """
        family, tier = text(asked, "family", 80), text(asked, "tier", 80)
        image, kind, found = open_picture(data)
        upload = self._keep(data, image, kind, who)
        answer: Json = {
            "tool": None, "form": None, "unmapped": [], "upload": upload, "thumb": f"/upload/{upload}.webp",
            "width": image.width, "height": image.height,
        }  # fmt: skip
        if found is None:
            return answer
        filled = fill(found, self._catalogue, family, tier, self._loras(who))
        unmapped = [{"name": name, "value": value, "why": why} for name, value, why in filled.unmapped]
        return answer | {"tool": found.tool, "form": filled.form, "unmapped": unmapped}

    def file(self, upload: str, who: Who) -> Path:
        """The file of one's own upload. Raises NotFound."""
        row = None
        if UPLOAD.fullmatch(upload):
            row = self._store.db.execute("SELECT path FROM uploads WHERE hash = ? AND person = ?", [upload, who.name]).fetchone()
        if row is None or not (self._folder / row["path"]).is_file():
            raise NotFound("There is no such uploaded picture.", "", "Drop the file on the page again.")
        return self._folder / row["path"]

    def thumb(self, upload: str, who: Who) -> Path:
        """A small WebP of one's own upload, upright. Raises NotFound."""
        path = self.file(upload, who)
        thumb = self._folder / "thumbs" / "uploads" / upload[:2] / f"{upload}.webp"
        if not thumb.exists():
            with Image.open(path) as image:
                files.write_thumb(thumb, ImageOps.exif_transpose(image))
        return thumb

    def used(self, upload: str, who: Who) -> None:
        """A job starts from it, so it stays."""
        self._store.db.execute("UPDATE uploads SET used = ? WHERE hash = ? AND person = ?", [now(), upload, who.name])

    def sweep(self) -> None:
        """Forgets what was only looked at, and deletes files that nobody has any more."""
        with self._store.write() as db:
            idle = "DELETE FROM uploads WHERE used IS NULL AND created < ? RETURNING hash, path"
            gone = db.execute(idle, [days_ago(IDLE_DAYS)]).fetchall()
            left = {row["hash"] for row in db.execute("SELECT DISTINCT hash FROM uploads")}
        for row in gone:
            if row["hash"] not in left:
                (self._folder / row["path"]).unlink(missing_ok=True)
                (self._folder / "thumbs" / "uploads" / row["hash"][:2] / f"{row['hash']}.webp").unlink(missing_ok=True)

    def _keep(self, data: bytes, image: Image.Image, kind: str, who: Who) -> str:
        upload = hashlib.sha256(data).hexdigest()
        path = f"uploads/{upload[:2]}/{upload}.{SUFFIXES[kind]}"
        if not (self._folder / path).is_file():
            files.write_whole(self._folder / path, data)
        # Brought again, it is as good as new.
        self._store.db.execute(
            "INSERT INTO uploads (hash, person, path, width, height, bytes, created) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (hash, person) DO UPDATE SET created = excluded.created",
            [upload, who.name, path, image.width, image.height, len(data), now()],
        )
        return upload


def open_picture(data: bytes) -> tuple[Image.Image, str, Found | None]:
    """(the decoded picture, upright; "PNG", "JPEG" or "WEBP"; the settings in it). Raises BadInput, for any bytes."""
    if len(data) > FILE_LIMIT:
        raise _refused("The file is too large.", f"At most {FILE_LIMIT // 2**20} MB are read.", "Make it smaller.")
    try:
        # Nothing is decoded yet: the header alone says how large it will be.
        image = Image.open(io.BytesIO(data), formats=tuple(SUFFIXES))
        width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many() from error
    except Exception as error:  # whatever a decoder makes of bytes that are no picture
        raise _refused("This file is not a picture that can be read.", "PNG, JPEG and WebP are.", "Save it as one of those.") from error
    if width * height > PIXEL_LIMIT or max(width, height) > SIDE_LIMIT:
        raise _too_many()
    kind = str(image.format)
    try:
        image.load()
        found = read(texts_of(image))
        return ImageOps.exif_transpose(image), kind, found
    except Exception as error:  # as above: Pillow's plugins raise whatever their parsing trips over
        raise _refused("This picture is damaged.", f"It cannot be decoded ({type(error).__name__}).", "Try another copy of it.") from error


def _too_many() -> BadInput:
    most = f"At most {PIXEL_LIMIT // 1_000_000} megapixels and {SIDE_LIMIT} pixels a side are decoded."
    return _refused("This picture has too many pixels.", most, "Make it smaller.")


def _refused(what: str, why: str, todo: str) -> BadInput:
    return BadInput("file", what, why, todo)
