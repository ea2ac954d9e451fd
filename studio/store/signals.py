"""Signals: what people do with pictures, noted each time. They say more of what is good than any number, and learning reads them.

All but `asked_again` work inside the caller's transaction, before the change that they are about: what changes nothing is no signal.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal, get_args

from studio.store.db import Store, now

Kind = Literal["star", "unstar", "pick", "reject", "unflag", "download", "regenerate", "keep-anyway", "restore"]
KINDS: tuple[str, ...] = get_args(Kind)
# Of a request: the same again has other seeds, and may ask for more or fewer.
_ONLY_LUCK = ("seed", "seeds", "draft", "keep")


def note(db: sqlite3.Connection, images: Iterable[int], person: str, kind: Kind) -> None:
    """`person` did this to each of the pictures, which were checked to be there."""
    if kind not in KINDS:
        raise ValueError(f"there is no signal {kind!r}")
    rows = [(image, person, kind, now()) for image in images]
    db.executemany("INSERT INTO signals (image_id, person, kind, created) VALUES (?, ?, ?, ?)", rows)


def flagged(db: sqlite3.Connection, images: Iterable[int], choice: bool | None) -> None:
    """Their owner picks (True), rejects (False) or unflags (None) pictures. Picking what the scores rejected, or left to a person, is
    keeping it anyway."""
    kind = {True: "CASE WHEN verdict IN ('rejected', 'review') THEN 'keep-anyway' ELSE 'pick' END", False: "'reject'", None: "'unflag'"}
    _each(db, images, kind[choice], "kept_by_person IS NOT ?", choice)


def rated(db: sqlite3.Connection, images: Iterable[int], rating: int | None) -> None:
    """Their owner gives pictures 0 to 5 stars, or takes them back (None): a signal is that they have any now, or none any more."""
    starred = bool(rating)
    _each(db, images, "'star'" if starred else "'unstar'", "(coalesce(rating, 0) > 0) IS NOT ?", starred)


def restored(db: sqlite3.Connection, images: Iterable[int]) -> None:
    """Their owner takes pictures out of the trash."""
    _each(db, images, "'restore'", "trashed IS NOT NULL AND ?", True)


def _each(db: sqlite3.Connection, images: Iterable[int], kind: str, changes: str, value: object) -> None:
    at = now()
    db.executemany(
        f"INSERT INTO signals (image_id, person, kind, created) SELECT id, person, {kind}, ? FROM images WHERE id = ? AND {changes}",
        [(at, image, value) for image in images],
    )


def asked_again(store: Store, job: int, person: str) -> None:
    """Notes as regenerated what a new job asks for once more: the pictures of the person's last job before it with the same prompt,
    when that asked for the same in everything but luck (seeds and counts)."""
    rest = "json_remove({{}}.request, {})".format(", ".join(f"'$.{name}'" for name in _ONLY_LUCK))
    with store.write() as db:
        found = db.execute(
            "SELECT images.job_id FROM jobs JOIN images ON images.prompt = jobs.prompt AND images.person = ? AND images.job_id < jobs.id"
            " WHERE jobs.id = ? AND images.state = 'drawn' ORDER BY images.id DESC LIMIT 1",
            [person, job],
        ).fetchone()
        if found is None:
            return
        same = f"SELECT {rest.format('one')} = {rest.format('other')} FROM jobs AS one, jobs AS other WHERE one.id = ? AND other.id = ?"
        if db.execute(same, [found["job_id"], job]).fetchone()[0]:
            drawn = db.execute("SELECT id FROM images WHERE job_id = ? AND state = 'drawn' ORDER BY number", [found["job_id"]])
            note(db, [row["id"] for row in drawn.fetchall()], person, "regenerate")
