"""Comments on pictures as people use them: read by whoever may see the picture, told to them as they are written."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput
from pipelines.fields import text
from studio.store import comments, images
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

TEXT_LIMIT = 4000


class Comments:
    """What the comments' routes call; each answers with all comments on the picture. All raise NotFound, the changes NotYours."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def of_image(self, image: int, who: Who) -> Json:
        """{"image", "comments": [{id, person, title, text, created, edited, mine, may_delete}]}, oldest first."""
        owner = images.image_row(self._store, image, who)["person"]
        same = ("id", "person", "title", "text", "created", "edited")
        found = [
            {name: row[name] for name in same} | {"mine": row["person"] == who.name, "may_delete": who.name in (row["person"], owner)}
            for row in comments.of_image(self._store, image, who)
        ]
        return {"image": image, "comments": found}

    def add(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """text. Raises BadInput."""
        comments.add(self._store, image, who, _text(data))
        return self._changed(image, who)

    def edit(self, comment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """text. Raises BadInput."""
        return self._changed(comments.edit(self._store, comment, who, _text(data))["image_id"], who)

    def delete(self, comment: int, who: Who) -> Json:
        return self._changed(comments.delete(self._store, comment, who)["image_id"], who)

    def restore(self, comment: int, who: Who) -> Json:
        return self._changed(comments.restore(self._store, comment, who)["image_id"], who)

    def _changed(self, image: int, who: Who) -> Json:
        row = images.image_row(self._store, image, who)
        shared = row["shared"] if row["trashed"] is None else None
        self._studio.hub.publish("comment", {"id": image}, (row["person"], shared))
        self._studio.tell_image(image)  # its frame says how many there are
        return self.of_image(image, who)


def _text(data: Mapping[Any, Any]) -> str:
    words = text(data, "text", TEXT_LIMIT)
    if not words:
        raise BadInput("text", "text is missing or empty.", todo="Write something.")
    return words
