"""What people add to pictures, and how pictures leave: ratings, notes, tags, the trash and what follows it.

Everything here works inside the caller's transaction on ids that were checked to be the caller's.
"""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence

from studio.store import signals, verdicts
from studio.store.db import now

TAGS_LIMIT = 50  # of one picture

# A picture that people said they want: retention never takes it. What is on a board of anybody's counts.
PROTECTED = (
    "(images.shown IS 'kept' OR coalesce(images.rating, 0) >= 1"
    " OR EXISTS (SELECT 1 FROM board_images WHERE board_images.image_id = images.id)"
    " OR EXISTS (SELECT 1 FROM pins WHERE pins.image_id = images.id))"
)
# Nothing is left to be drawn or scored for the picture's job.
SETTLED = (
    "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = images.job_id AND jobs.state IN ('queued', 'running'))"
    " AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.job_id = images.job_id AND tasks.state IN ('waiting', 'leased'))"
)


def rate(db: sqlite3.Connection, images: Collection[int], rating: int | None) -> None:
    signals.rated(db, images, rating)
    db.executemany("UPDATE images SET rating = ? WHERE id = ?", [(rating, image) for image in images])


def keep(db: sqlite3.Connection, images: Collection[int], choice: bool | None) -> None:
    signals.flagged(db, images, choice)
    verdicts.flagged(db, images, choice)
    db.executemany("UPDATE images SET kept_by_person = ? WHERE id = ?", [(choice, image) for image in images])


def share(db: sqlite3.Connection, images: Iterable[int], shared: str | None) -> None:
    db.executemany("UPDATE images SET shared = ? WHERE id = ?", [(shared, image) for image in images])


def note(db: sqlite3.Connection, image: int, text: str) -> None:
    db.execute("UPDATE images SET note = ? WHERE id = ?", [text, image])


def tags_of(row: sqlite3.Row) -> list[str]:
    tags: list[str] = json.loads(row["tags"])
    return tags


def set_tags(db: sqlite3.Connection, image: int, tags: Sequence[str]) -> None:
    """Replaces a picture's tags."""
    # As itself, not as \\u escapes: the full-text index reads it.
    db.execute("UPDATE images SET tags = ? WHERE id = ?", [json.dumps(list(tags), ensure_ascii=False), image])
    db.execute("DELETE FROM tags WHERE image_id = ?", [image])
    db.executemany("INSERT INTO tags (tag, image_id) VALUES (?, ?)", [(tag, image) for tag in tags])


def trash(db: sqlite3.Connection, images: Iterable[int]) -> None:
    """Out of sight, and still there."""
    at = now()
    db.executemany("UPDATE images SET trashed = ? WHERE id = ? AND trashed IS NULL", [(at, image) for image in images])


def restore(db: sqlite3.Connection, images: Collection[int]) -> None:
    signals.restored(db, images)
    db.executemany("UPDATE images SET trashed = NULL WHERE id = ?", [(image,) for image in images])


def purge(db: sqlite3.Connection, images: Sequence[int], unlink: Callable[[str], None]) -> None:
    """Deletes pictures that are in the trash for good, with all that was said of them; with the last one of a job the job goes too.

    `unlink(path)` removes the files. It is called when the rows are gone but not committed: should the studio be killed in between,
    what remains is a picture in the trash without its file, which can be deleted again.
    """
    jobs = set()
    paths = []
    for image in images:
        # Asked again here: it may have been taken out of the trash since it was chosen.
        select = "SELECT job_id, path, post_path FROM images WHERE id = ? AND trashed IS NOT NULL"
        row = db.execute(f"{select} AND {SETTLED}", [image]).fetchone()
        if row is None:
            continue
        jobs.add(row["job_id"])
        paths += [path for path in (row["path"], row["post_path"]) if path]
        db.execute("UPDATE images SET parent = NULL WHERE parent = ?", [image])
        db.execute("UPDATE jobs SET parent = NULL WHERE parent = ?", [image])
        db.execute("DELETE FROM scores WHERE image_id = ?", [image])
        db.execute("DELETE FROM images WHERE id = ?", [image])
    for job in jobs:
        if db.execute("SELECT 1 FROM images WHERE job_id = ? AND state = 'drawn'", [job]).fetchone() is None:
            db.execute("DELETE FROM images WHERE job_id = ?", [job])  # candidates that were never drawn
            db.execute("DELETE FROM tasks WHERE job_id = ?", [job])
            db.execute("DELETE FROM jobs WHERE id = ?", [job])
    for path in paths:
        unlink(path)
