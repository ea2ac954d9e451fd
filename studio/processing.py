"""Post-processing of pictures as people use it. The original stays as it was drawn; the processed file lies beside it, made when it is
first asked for. It holds the picture alone: prompts and settings are in the original."""
from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from models.errors import NotFound
from pipelines.post import ENDING, Post, apply, encode, read_post, size_after
from studio import files
from studio.store import images, posts
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

PREVIEW_SIDE = 720
MEDIA = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class Processing:
    """What the routes call. All raise NotFound; the changes are the owner's, and raise BadInput for what cannot be done."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def of_image(self, image: int, who: Who) -> Json:
        """{"post", "own", "url", "width", "height", "template"}: what is done, and the pixels that come out. template: whether the job's
        template says anything, which can be gone back to."""
        row = images.image_row(self._store, image, who)
        found = posts.posts_of(self._store, [image]).get(image)
        post = found[0] if found else Post()
        width, height = size_after(row["width"], row["height"], post)
        said = self._store.db.execute("SELECT post FROM jobs WHERE id = ?", [row["job_id"]]).fetchone()["post"]
        shown = posts.post_view(image, found) or {"post": None, "own": row["post"] is not None, "url": None}
        return shown | {"width": width, "height": height, "template": said is not None and row["stage"] == "final"}

    def set(self, image: int, data: Any, who: Who) -> Json:
        """Processes a picture from its original; its view. What changes nothing is the same as taking it back."""
        post = read_post(data)
        self._changed(image, who, None if post.nothing else post)
        if not post.nothing:
            self.file(image, who)  # now, so that what goes wrong is told to whoever asked
        return self._told(image, who)

    def undo(self, image: int, who: Who) -> Json:
        """The picture as it was drawn."""
        self._changed(image, who, None)
        return self._told(image, who)

    def reset(self, image: int, who: Who) -> Json:
        """As its template says, whatever a person said since."""
        self._changed(image, who, None, own=False)
        return self._told(image, who)

    def preview(self, image: int, data: Any, who: Who) -> tuple[bytes, int, int]:
        """-> (a WebP of at most PREVIEW_SIDE pixels, width, height of the real one). Nothing is kept. Raises BadInput."""
        post = read_post(data)
        row = images.image_row(self._store, image, who)
        with Image.open(files.find_picture(self._studio.data_dir, row["path"])) as original:
            done = apply(original, post)
        small = done.copy()
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=90, method=2)
        return buffer.getvalue(), done.width, done.height

    def file(self, image: int, who: Who) -> tuple[Path, str]:
        """-> (the processed file, its media type), made again when it is gone. Raises NotFound where the picture stays as drawn."""
        row = images.image_row(self._store, image, who)
        found = posts.posts_of(self._store, [image]).get(image)
        if found is None:
            raise NotFound(f"Picture {image} is not processed.", "It is as it was drawn.")
        post = found[0]
        path = f"{row['path'].removesuffix('.png')}.post.{ENDING[post.format]}"
        if row["post_path"] != path or not (self._studio.data_dir / path).is_file():
            with Image.open(files.find_picture(self._studio.data_dir, row["path"])) as original:
                data = encode(apply(original, post), post)
            files.write_whole(self._studio.data_dir / path, data)
            with self._store.write() as db:
                # Only if nobody said otherwise meanwhile: then the next one who asks makes it anew.
                db.execute("UPDATE images SET post_path = ? WHERE id = ? AND post IS ?", [path, image, row["post"]])
        return self._studio.data_dir / path, MEDIA[post.format]

    def _told(self, image: int, who: Who) -> Json:
        self._studio.tell_image(image)
        return self._studio.image(image, who)

    def _changed(self, image: int, who: Who, post: Post | None, own: bool = True) -> None:
        row = images.image_row(self._store, image, who, own=True)
        said = self._store.db.execute("SELECT post FROM jobs WHERE id = ?", [row["job_id"]]).fetchone()["post"]
        with self._store.write() as db:
            old = posts.set_post(db, image, post, own and (post is not None or said is not None))
        if old:
            (self._studio.data_dir / old).unlink(missing_ok=True)
