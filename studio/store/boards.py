"""Boards: a person's own collections of pictures, in an order of their own."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from models.errors import BadInput, NotFound
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who, visible

GAP = 1024  # between two neighbours, so that a picture can move in between


def board_row(store: Store, board: int, who: Who, own: bool = False) -> sqlite3.Row:
    """Raises NotFound, also for a board that `who` may not see (with `own`: that is not theirs)."""
    row = None
    if 0 < board <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM boards WHERE id = ?", [board]).fetchone()
    if row is None or not (row["person"] == who.name if own else who.sees(row["person"], row["shared"])):
        raise NotFound(f"There is no board {board if 0 < board <= LARGEST_ID else 'of that number'}.")
    return row


def list_boards(store: Store, who: Who) -> list[sqlite3.Row]:
    """Their own in their order, then those shared with them; each with the `pictures` on it that they may see and a `cover`."""
    seen, values = visible(who, "boards")
    shown, shown_values = visible(who)
    here = (
        "FROM board_images b CROSS JOIN images INDEXED BY images_shelf ON images.id = b.image_id"
        f" WHERE b.board_id = boards.id AND images.state = 'drawn' AND images.trashed IS NULL AND {shown}"
    )
    return store.db.execute(
        f"SELECT boards.*, (SELECT count(*) {here}) AS pictures,"
        f" (SELECT b.image_id {here} ORDER BY b.position, b.image_id LIMIT 1) AS cover"
        f" FROM boards WHERE {seen} ORDER BY boards.person != ?, boards.position, boards.id",
        [*shown_values, *shown_values, *values, who.name],
    ).fetchall()


def create(store: Store, who: Who, name: str) -> int:
    """A new board at the end; its id. Raises BadInput when they have one of that name."""
    with store.write() as db:
        _free(db, who, name)
        last = db.execute("SELECT coalesce(max(position), 0) FROM boards WHERE person = ?", [who.name]).fetchone()[0]
        made = db.execute(
            "INSERT INTO boards (person, name, position, created) VALUES (?, ?, ?, ?) RETURNING id", [who.name, name, last + GAP, now()]
        ).fetchone()
    return int(made["id"])


def rename(store: Store, board: int, who: Who, name: str) -> None:
    board_row(store, board, who, own=True)
    with store.write() as db:
        _free(db, who, name, board)
        db.execute("UPDATE boards SET name = ? WHERE id = ?", [name, board])


def share(store: Store, board: int, who: Who, shared: str | None) -> None:
    """Lets others see the board; of its pictures they see those that they may see anyway."""
    board_row(store, board, who, own=True)
    store.db.execute("UPDATE boards SET shared = ? WHERE id = ?", [shared, board])


def delete(store: Store, board: int, who: Who) -> None:
    """The pictures stay in the history."""
    board_row(store, board, who, own=True)
    store.db.execute("DELETE FROM boards WHERE id = ?", [board])


def reorder(store: Store, who: Who, boards: Sequence[int]) -> None:
    """Their boards in this order; those not named follow as they were."""
    with store.write() as db:
        mine = [row["id"] for row in db.execute("SELECT id FROM boards WHERE person = ? ORDER BY position, id", [who.name])]
        order = [*(one for one in boards if one in set(mine)), *(one for one in mine if one not in set(boards))]
        db.executemany("UPDATE boards SET position = ? WHERE id = ?", [(GAP * (place + 1), one) for place, one in enumerate(order)])


def add(db: sqlite3.Connection, board: int, images: Iterable[int]) -> int:
    """Puts pictures at the end of a board, inside the caller's transaction; how many were not on it yet."""
    last = db.execute("SELECT coalesce(max(position), 0) FROM board_images WHERE board_id = ?", [board]).fetchone()[0]
    before = db.total_changes
    at = now()
    db.executemany(
        "INSERT OR IGNORE INTO board_images (board_id, image_id, position, added) VALUES (?, ?, ?, ?)",
        [(board, image, last + GAP * (place + 1), at) for place, image in enumerate(images)],
    )
    return db.total_changes - before


def remove(db: sqlite3.Connection, board: int, images: Iterable[int]) -> int:
    before = db.total_changes
    db.executemany("DELETE FROM board_images WHERE board_id = ? AND image_id = ?", [(board, image) for image in images])
    return db.total_changes - before


def move(store: Store, board: int, who: Who, images: Sequence[int], before: int | None) -> None:
    """Places pictures of a board, in the order given, before another one of it, or at its end. Raises NotFound, BadInput."""
    board_row(store, board, who, own=True)
    with store.write() as db:
        there = [row[0] for row in db.execute("SELECT image_id FROM board_images WHERE board_id = ? ORDER BY position, image_id", [board])]
        missing = set(images) - set(there)
        if missing:
            raise BadInput("ids", f"Picture {min(missing)} is not on this board.")
        if before is not None and (before not in there or before in images):
            raise BadInput("before", f"Picture {before} is not another picture of this board.")
        order = _put_before([one for one in there if one not in set(images)], images, before)
        db.executemany(
            "UPDATE board_images SET position = ? WHERE board_id = ? AND image_id = ?",
            [(GAP * (place + 1), board, image) for place, image in enumerate(order)],
        )


def boards_of(store: Store, ids: Sequence[int], who: Who) -> dict[int, list[int]]:
    """The boards of `who`'s own that each picture is on."""
    found: dict[int, list[int]] = {image: [] for image in ids}
    marks = ", ".join("?" * len(ids))
    for row in store.db.execute(
        "SELECT b.image_id, b.board_id FROM board_images b JOIN boards ON boards.id = b.board_id"
        f" WHERE b.image_id IN ({marks}) AND boards.person = ? ORDER BY boards.position, boards.id",
        [*ids, who.name],
    ):
        found[row["image_id"]].append(row["board_id"])
    return found


def _put_before(rest: list[int], moved: Sequence[int], before: int | None) -> list[int]:
    at = len(rest) if before is None else rest.index(before)
    return [*rest[:at], *moved, *rest[at:]]


def _free(db: sqlite3.Connection, who: Who, name: str, board: Any = None) -> None:
    taken = db.execute("SELECT id FROM boards WHERE person = ? AND name = ?", [who.name, name]).fetchone()
    if taken is not None and taken["id"] != board:
        raise BadInput("name", f'You have a board "{name}" already.', todo="Choose another name.")
