"""The seed library: seeds that people keep, each with the picture it gave and where it gives it."""
from __future__ import annotations

import sqlite3
from typing import Any

from models.errors import NotFound
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who

COLUMNS = "id, person, seed, template, title, card, tier, width, height, prompt, image_id, created"


def pin(store: Store, who: Who, image: sqlite3.Row, template: str, title: str, picture: bytes) -> int:
    """Keeps a picture's seed; pinned again it takes the newer title and picture. Its id."""
    values: dict[str, Any] = {
        "person": who.name, "seed": image["seed"], "template": template, "title": title, "card": image["card"], "tier": image["tier"],
        "width": image["width"], "height": image["height"], "prompt": image["prompt"], "image_id": image["id"], "picture": picture,
        "created": now(),
    }  # fmt: skip
    row = store.db.execute(
        f"INSERT INTO seeds ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        " ON CONFLICT (person, template, seed, card, width, height) DO UPDATE SET title = CASE excluded.title WHEN '' THEN title"
        " ELSE excluded.title END, tier = excluded.tier, prompt = excluded.prompt, image_id = excluded.image_id, picture = excluded.picture"
        " RETURNING id",
        list(values.values()),
    ).fetchone()
    return row["id"]


def rows_of(store: Store, who: Who, limit: int) -> list[sqlite3.Row]:
    """A person's, newest first, without the pictures."""
    return store.db.execute(f"SELECT {COLUMNS} FROM seeds WHERE person = ? ORDER BY id DESC LIMIT ?", [who.name, limit]).fetchall()


def seed_row(store: Store, seed: int, who: Who) -> sqlite3.Row:
    """One with its picture. Raises NotFound, also for somebody else's."""
    row = None
    if 0 < seed <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM seeds WHERE id = ? AND person = ?", [seed, who.name]).fetchone()
    if row is None:
        raise NotFound(f"There is no seed {seed if 0 < seed <= LARGEST_ID else 'of that number'} in the library.")
    return row


def rename(store: Store, seed: int, title: str) -> None:
    store.db.execute("UPDATE seeds SET title = ? WHERE id = ?", [title, seed])


def remove(store: Store, seed: int) -> None:
    store.db.execute("DELETE FROM seeds WHERE id = ?", [seed])
