"""Comments on pictures: who wrote what when. One that is deleted is out of sight, and whoever deleted it can take it back."""
from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from models.errors import NotFound
from studio.store import images
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import NotYours, Who


def of_image(store: Store, image: int, who: Who) -> list[sqlite3.Row]:
    """Those on a picture that `who` may see, oldest first, with the `title` of their writer. Raises NotFound."""
    images.image_row(store, image, who)
    return store.db.execute(
        "SELECT comments.*, coalesce(persons.title, comments.person) AS title FROM comments LEFT JOIN persons ON name = comments.person"
        " WHERE image_id = ? AND deleted IS NULL ORDER BY id",
        [image],
    ).fetchall()


def counts(store: Store, ids: Sequence[int]) -> dict[int, int]:
    """How many comments the pictures have; those without any are left out."""
    marks = ", ".join("?" * len(ids))
    found = store.db.execute(
        f"SELECT image_id, count(*) FROM comments WHERE image_id IN ({marks}) AND deleted IS NULL GROUP BY image_id", list(ids)
    )
    return dict(tuple(row) for row in found)


def add(store: Store, image: int, who: Who, text: str) -> int:
    """Whoever may see a picture may comment on it. The comment's id. Raises NotFound."""
    with store.write() as db:
        images.image_row(store, image, who)
        made = db.execute("INSERT INTO comments (image_id, person, text, created) VALUES (?, ?, ?, ?)", [image, who.name, text, now()])
        assert made.lastrowid is not None
        return made.lastrowid


def edit(store: Store, comment: int, who: Who, text: str) -> sqlite3.Row:
    """Only its writer may. The comment as it is now. Raises NotFound, NotYours."""
    with store.write() as db:
        row = _row(store, comment, who)
        if row["person"] != who.name:
            raise NotYours("Only who wrote a comment may change it.", "", "Write one of your own.")
        if row["text"] != text:
            db.execute("UPDATE comments SET text = ?, edited = ? WHERE id = ?", [text, now(), comment])
    return _row(store, comment, who)


def delete(store: Store, comment: int, who: Who) -> sqlite3.Row:
    """Its writer may, and whose picture it is. Raises NotFound, NotYours."""
    with store.write() as db:
        row = _row(store, comment, who)
        if who.name not in (row["person"], row["owner"]):
            raise NotYours("Only who wrote a comment, or whose picture it is, may delete it.")
        db.execute("UPDATE comments SET deleted = ?, deleted_by = ? WHERE id = ?", [now(), who.name, comment])
    return row


def restore(store: Store, comment: int, who: Who) -> sqlite3.Row:
    """Whoever deleted it takes it back. Raises NotFound, NotYours."""
    with store.write() as db:
        row = _row(store, comment, who, deleted=True)
        if row["deleted"] is not None:
            if row["deleted_by"] != who.name:
                raise NotYours("Only who deleted a comment may take it back.")
            db.execute("UPDATE comments SET deleted = NULL, deleted_by = NULL WHERE id = ?", [comment])
    return row


def _row(store: Store, comment: int, who: Who, deleted: bool = False) -> sqlite3.Row:
    """With the `owner` of the picture, which `who` must see. deleted: also one that is out of sight."""
    row = None
    if 0 < comment <= LARGEST_ID:
        row = store.db.execute(
            "SELECT comments.*, images.person AS owner FROM comments JOIN images ON images.id = image_id WHERE comments.id = ?", [comment]
        ).fetchone()
    missing = NotFound("There is no such comment.", "It may have been deleted.")
    if row is None or (row["deleted"] is not None and not deleted):
        raise missing
    try:
        images.image_row(store, row["image_id"], who)
    except NotFound:
        raise missing from None
    return row
