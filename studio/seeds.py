"""The seed library: a seed that gave a good composition is pinned to its template, with its picture, and used again from the form.

A seed means noise of one model and size: elsewhere it gives another picture. So both are kept with it, and the page says so.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput
from pipelines.fields import NAME_LIMIT, WHOLE_LIMIT, text, whole
from studio.store import images, jobs, seeds
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

TITLE_LIMIT, LISTED = 80, 500


class Seeds:
    """What the library's routes call. Each method takes who asks; all raise BadInput and NotFound."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def list(self, template: str, who: Who) -> Json:
        """One's own; those of `template` first, then those of no template, then others."""
        rows = seeds.rows_of(self._store, who, LISTED)
        rank = {template: 0, "": 1}
        return {"seeds": [_view(row) for row in sorted(rows, key=lambda row: rank.get(row["template"], 2))]}

    def pin(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Keeps the seed of the picture `image`, for `template` (without it that of the picture's own request; "" for none)."""
        number = whole(data, "image", 1, WHOLE_LIMIT - 1, None)
        if number is None:
            raise BadInput("image", "image is missing: the number of a picture.")
        row = images.image_row(self._store, number, who)
        template = text(data, "template", NAME_LIMIT) if data.get("template") is not None else self._template_of(row)
        picture = self._studio.thumb_file(number, who).read_bytes()
        kept = seeds.pin(self._store, who, row, template, _title(data), picture)
        return _view(seeds.seed_row(self._store, kept, who))

    def rename(self, number: int, data: Mapping[Any, Any], who: Who) -> Json:
        seeds.seed_row(self._store, number, who)
        seeds.rename(self._store, number, _title(data))
        return _view(seeds.seed_row(self._store, number, who))

    def remove(self, number: int, who: Who) -> Json:
        seeds.seed_row(self._store, number, who)
        seeds.remove(self._store, number)
        return {"id": number}

    def picture(self, number: int, who: Who) -> bytes:
        """WebP."""
        return seeds.seed_row(self._store, number, who)["picture"]

    def _template_of(self, image: sqlite3.Row) -> str:
        template = jobs.request_of(jobs.job_row(self._store, image["job_id"])).get("template")
        return str(template["name"]) if isinstance(template, Mapping) and template.get("name") else ""


def _title(data: Mapping[Any, Any]) -> str:
    return " ".join(text(data, "title", TITLE_LIMIT).split())


def _view(row: sqlite3.Row) -> Json:
    names = ("id", "seed", "template", "title", "card", "tier", "width", "height", "prompt", "created")
    return {name: row[name] for name in names} | {"image": row["image_id"], "picture": f"/api/seeds/{row['id']}/picture.webp"}
