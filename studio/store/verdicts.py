"""What people said of pictures: the backlog they are asked about, who looks at which, and their verdicts.

The backlog is asked of the pictures each time, so nothing in it can be out of date. Which of those that were decided are drawn for it
is told by a hash of their id: the same ones whoever asks, however often.
"""
from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from studio.store.db import Store, now
from studio.store.people import Who, visible

CLAIM_SECONDS = 300.0  # how long a picture is kept for who was handed it and does nothing
PASSED_ON_SECONDS = 8 * 3600.0
RECENT = 2000  # of the pictures decided last, those close to a bar are asked about
WIDTH = 0.25  # standard deviations from a bar that count as close to it
BACKLOG = 5000

Scored = tuple[str, str, str]  # dimension, scorer, version


@dataclass(frozen=True)
class Waiting:
    """A picture that waits for a person. why: "undecided", "borderline" or "sample". chance: with which one like it comes to wait."""

    image: int
    why: str
    chance: float


# Pictures nobody has said anything of. A draft that passes, or was finished, is looked at as its final.
_OPEN = """images.state = 'drawn' AND images.kept_by_person IS NULL AND images.trashed IS NULL AND {seen}
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.image_id = images.id AND verdicts.undone IS NULL)"""
_WHOLE = """(images.stage = 'final'
    OR NOT EXISTS (SELECT 1 FROM images AS made WHERE made.parent = images.id AND made.job_id = images.job_id))"""
# Fibonacci hashing (Knuth, "The art of computer programming" 6.4) spreads neighbouring ids evenly over 0 .. 2**32 - 1.
_HASH = "(images.id * 2654435761 & 4294967295)"
_DRAWN = f"{_HASH} < :share * 4294967296 AND (images.verdict = 'rejected' OR (images.verdict = 'kept' AND images.stage = 'final'))"
_BACKLOG = """WITH widths(dimension, scorer, version, width) AS ({widths}),
    recent AS (
        SELECT images.id, images.job_id FROM images
        WHERE {open} AND (images.verdict = 'rejected' OR (images.verdict IN ('kept', 'spare') AND images.stage = 'final'))
        ORDER BY images.id DESC LIMIT {recent}),
    close AS (
        SELECT recent.id, recent.job_id, abs(scores.value - scores.threshold) / widths.width AS distance, scores.passed
        FROM recent CROSS JOIN scores ON scores.image_id = recent.id AND scores.hard = 1 AND scores.value IS NOT NULL
        LEFT JOIN widths USING (dimension, scorer, version)),
    waiting AS (
        SELECT id, job_id, 'undecided' AS why, 2 AS sure, 1.0 AS chance FROM images WHERE {open} AND verdict = 'review' AND {whole}
        UNION ALL
        SELECT id, job_id, 'borderline', 1, 1.0 FROM close GROUP BY id
            HAVING min(distance) <= 1 AND max(CASE WHEN passed = 0 THEN coalesce(distance, 9) ELSE 0 END) <= 1
        UNION ALL
        SELECT id, job_id, 'sample', 0, :share FROM images WHERE {open} AND {drawn})
    SELECT id, why, chance, max(sure) FROM waiting GROUP BY id
    ORDER BY job_id DESC, (id * 2246822519 >> 7 & 65535) LIMIT :limit"""


def backlog(store: Store, who: Who, share: float, widths: Mapping[Scored, float]) -> list[Waiting]:
    """What waits for `who` or anybody else who may see it, at most BACKLOG: the newest job's first, within a job in an order that
    tells nothing of what the studio thinks of them.

    share: of the decided ones that are asked about whatever they scored. widths: how far from its bar a value is close to it.
    """
    seen, values = visible(who)
    names = [f":v{place}" for place in range(len(values))]
    seen = _named(seen, names)
    rows = [f"(:d{i}, :s{i}, :r{i}, :w{i})" for i in range(len(widths))]
    given: dict[str, object] = {"share": share, "limit": BACKLOG} | {name[1:]: value for name, value in zip(names, values, strict=True)}
    for i, ((dimension, scorer, version), width) in enumerate(widths.items()):
        given |= {f"d{i}": dimension, f"s{i}": scorer, f"r{i}": version, f"w{i}": width}
    sql = _BACKLOG.format(
        widths=f"VALUES {', '.join(rows)}" if rows else "SELECT '', '', '', 1.0 WHERE 0",
        open=_OPEN.format(seen=seen), whole=_WHOLE, drawn=_DRAWN, recent=RECENT,
    )  # fmt: skip
    return [Waiting(row["id"], row["why"], row["chance"]) for row in store.db.execute(sql, given)]


def _named(sql: str, names: Sequence[str]) -> str:
    for name in names:
        sql = sql.replace("?", name, 1)
    return sql


def close_widths(store: Store) -> dict[Scored, float]:
    """For each dimension that decides, as it is measured now: how far from its bar is close, by the spread of its recent values."""
    latest = "SELECT dimension, scorer, version FROM scores WHERE hard = 1 AND value IS NOT NULL ORDER BY id DESC LIMIT 5000"
    found: dict[Scored, float] = {}
    for row in store.db.execute(f"SELECT DISTINCT dimension, scorer, version FROM ({latest})").fetchall():
        key: Scored = (row["dimension"], row["scorer"], row["version"])
        one = "dimension = ? AND scorer = ? AND version = ? AND value IS NOT NULL"
        recent = store.db.execute(f"SELECT value FROM scores WHERE {one} ORDER BY id DESC LIMIT ?", [*key, RECENT])
        values = sorted(value for (value,) in recent)
        # By the quartiles, for a few wild values would make everything close.
        spread = (values[3 * len(values) // 4] - values[len(values) // 4]) / 1.349
        if spread > 0:
            found[key] = WIDTH * spread
    return found


# Who is looking at which.


def claim(store: Store, who: Who, seat: str, waiting: Sequence[Waiting], count: int) -> list[int]:
    """Hands `seat` the next pictures of the backlog, those that it has already first: at most `count`, which nobody else is handed
    before CLAIM_SECONDS have passed without a word from it."""
    left = {one.image: one for one in waiting}
    with store.write() as db:
        db.execute("DELETE FROM claims WHERE until < ?", [time.time()])
        mine = []
        others = set()
        for row in db.execute("SELECT image_id, seat, passed_on FROM claims ORDER BY place").fetchall():
            if row["seat"] == seat and not row["passed_on"] and row["image_id"] in left:
                mine.append(row["image_id"])
            elif row["seat"] == seat or not row["passed_on"]:
                others.add(row["image_id"])
        mine = mine[:count]
        place = db.execute("SELECT coalesce(max(place), 0) FROM claims WHERE seat = ?", [seat]).fetchone()[0]
        until = time.time() + CLAIM_SECONDS
        db.executemany("UPDATE claims SET until = ? WHERE image_id = ?", [(until, image) for image in mine])
        free = (image for image in left if image not in others and image not in set(mine) and _still_open(db, image))
        fresh = list(itertools.islice(free, count - len(mine)))
        db.executemany(
            "INSERT OR REPLACE INTO claims (image_id, person, seat, until, place, why, chance) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(image, who.name, seat, until, place + i, left[image].why, left[image].chance) for i, image in enumerate(fresh, start=1)],
        )
    return mine + fresh


def _still_open(db: sqlite3.Connection, image: int) -> bool:
    """Whether nobody has said anything of a picture, also since the backlog was read."""
    said = "SELECT 1 FROM verdicts WHERE image_id = images.id AND undone IS NULL"
    sql = f"SELECT 1 FROM images WHERE id = ? AND kept_by_person IS NULL AND trashed IS NULL AND NOT EXISTS ({said})"
    return db.execute(sql, [image]).fetchone() is not None


def claim_of(db: sqlite3.Connection, image: int) -> sqlite3.Row | None:
    """Who is looking at a picture; None when nobody is, or has not been heard of for too long."""
    return db.execute("SELECT * FROM claims WHERE image_id = ? AND until >= ?", [image, time.time()]).fetchone()


def show(db: sqlite3.Connection, image: int, who: Who, seat: str) -> None:
    """They have seen what the studio thinks of it: what they say from now on is not blind."""
    _put(db, image, who, seat, CLAIM_SECONDS, "shown = 1")


def pass_on(db: sqlite3.Connection, image: int, who: Who, seat: str) -> None:
    """Whoever else looks may have it; this seat does not see it again for hours."""
    _put(db, image, who, seat, PASSED_ON_SECONDS, "passed_on = 1")


def _put(db: sqlite3.Connection, image: int, who: Who, seat: str, seconds: float, what: str) -> None:
    until = time.time() + seconds
    db.execute(
        "INSERT INTO claims (image_id, person, seat, until, place, why, chance) VALUES (?, ?, ?, ?, 0, 'chosen', 1) ON CONFLICT DO NOTHING",
        [image, who.name, seat, until],
    )
    db.execute(f"UPDATE claims SET until = ?, {what} WHERE image_id = ? AND seat = ?", [until, image, seat])


def reviewers(store: Store, seat: str) -> int:
    """How many others are looking at pictures."""
    sql = "SELECT count(DISTINCT seat) FROM claims WHERE seat != ? AND until >= ? AND NOT passed_on"
    return int(store.db.execute(sql, [seat, time.time()]).fetchone()[0])


# What they said.


def standing(db: sqlite3.Connection, image: int) -> sqlite3.Row | None:
    """The reviewer's verdict on a picture, if one was given and not taken back."""
    return db.execute("SELECT * FROM verdicts WHERE image_id = ? AND source = 'review' AND undone IS NULL", [image]).fetchone()


def say(db: sqlite3.Connection, row: sqlite3.Row, who: Who, seat: str, approved: bool, reasons: Sequence[str]) -> int:
    """A reviewer's verdict on the picture of `row`, inside the caller's transaction; its id. It decides about a picture that is to be
    delivered or not, as if its owner had; a spare one that is approved stays spare, for it was good and not needed."""
    claimed = claim_of(db, row["id"])
    held = claimed if claimed is not None and claimed["seat"] == seat else None
    settles = row["stage"] == "final" and row["kept_by_person"] is None and not (approved and row["verdict"] == "spare")
    made = db.execute(
        "INSERT INTO verdicts (image_id, person, seat, approved, reasons, blind, source, why, chance, machine, settled, created)"
        " VALUES (?, ?, ?, ?, ?, ?, 'review', ?, ?, ?, ?, ?) RETURNING id",
        [row["id"], who.name, seat, approved, json.dumps(list(reasons)), 0 if held is None else not held["shown"],
         held["why"] if held is not None else "chosen", held["chance"] if held is not None else 1.0, row["verdict"], settles, now()],
    ).fetchone()  # fmt: skip
    if settles:
        db.execute("UPDATE images SET kept_by_person = ? WHERE id = ?", [approved, row["id"]])
    db.execute("DELETE FROM claims WHERE image_id = ? AND seat = ?", [row["id"], seat])
    return int(made["id"])


def take_back(db: sqlite3.Connection, seat: str, who: Who) -> sqlite3.Row | None:
    """Takes the last verdict of their seat back, inside the caller's transaction; as it was, or None when there is none."""
    last = db.execute(
        "SELECT * FROM verdicts WHERE seat = ? AND person = ? AND source = 'review' AND undone IS NULL ORDER BY id DESC LIMIT 1",
        [seat, who.name],
    ).fetchone()
    if last is None:
        return None
    db.execute("UPDATE verdicts SET undone = ? WHERE id = ?", [now(), last["id"]])
    if last["settled"]:  # unless its owner has said something else meanwhile
        db.execute("UPDATE images SET kept_by_person = NULL WHERE id = ? AND kept_by_person = ?", [last["image_id"], last["approved"]])
    # In front of what the seat has: it is looked at again at once, by somebody who may have seen more than before.
    first = db.execute("SELECT coalesce(min(place), 0) FROM claims WHERE seat = ?", [seat]).fetchone()[0]
    db.execute(
        "INSERT OR REPLACE INTO claims (image_id, person, seat, until, place, why, chance, shown) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [last["image_id"], last["person"], seat, time.time() + CLAIM_SECONDS, first - 1, last["why"], last["chance"], not last["blind"]],
    )
    return last


def flagged(db: sqlite3.Connection, images: Iterable[int], choice: bool | None) -> None:
    """The owner's word on pictures on the sheet, inside the caller's transaction: kept, rejected, or (None) taken back."""
    images = list(images)
    at = now()
    before = "UPDATE verdicts SET undone = ? WHERE image_id = ? AND source = 'sheet' AND undone IS NULL"
    db.executemany(before, [(at, one) for one in images])
    if choice is not None:
        db.executemany(
            "INSERT INTO verdicts (image_id, person, approved, blind, source, why, machine, created)"
            " SELECT id, person, ?, 0, 'sheet', 'chosen', verdict, ? FROM images WHERE id = ?",
            [(choice, at, one) for one in images],
        )


def given_since(store: Store, seat: str, moment: str) -> int:
    """How many verdicts a seat has given since then (UTC, as `now` writes it)."""
    sql = "SELECT count(*) FROM verdicts WHERE seat = ? AND source = 'review' AND undone IS NULL AND created >= ?"
    return int(store.db.execute(sql, [seat, moment]).fetchone()[0])


# What can be learned from it.


def judged_cards(store: Store) -> list[sqlite3.Row]:
    """profile, card, and how many reviewers' and owners' verdicts stand, the most first."""
    return store.db.execute(
        "SELECT jobs.profile, images.card, sum(verdicts.source = 'review') AS review, sum(verdicts.source = 'sheet') AS sheet"
        " FROM verdicts JOIN images ON images.id = verdicts.image_id JOIN jobs ON jobs.id = images.job_id"
        " WHERE verdicts.undone IS NULL GROUP BY jobs.profile, images.card ORDER BY review DESC, sheet DESC, jobs.profile, images.card"
    ).fetchall()


def measured_now(store: Store, card: str) -> dict[str, tuple[str, str]]:
    """Scorer and version that measured each dimension of this model's pictures last."""
    latest = "SELECT id FROM images WHERE card = ? AND state = 'drawn' ORDER BY id DESC LIMIT 100"
    rows = store.db.execute(
        f"SELECT dimension, scorer, version FROM scores WHERE image_id IN ({latest}) AND value IS NOT NULL ORDER BY id", [card]
    )
    return {row["dimension"]: (row["scorer"], row["version"]) for row in rows}


def judged(store: Store, profile: str, card: str, sheet: bool) -> list[sqlite3.Row]:
    """The standing verdicts on pictures of a model that were asked for with a profile, of a picture the last one: image_id, prompt,
    approved, reasons, chance, machine, and scores as JSON [[dimension, scorer, version, value]]. sheet: also what owners flagged."""
    return store.db.execute(
        "SELECT verdicts.image_id, images.prompt, verdicts.approved, verdicts.reasons, verdicts.chance, verdicts.machine, max(verdicts.id),"
        " (SELECT json_group_array(json_array(dimension, scorer, version, value)) FROM scores"
        "  WHERE scores.image_id = images.id AND value IS NOT NULL) AS scores"
        " FROM verdicts JOIN images ON images.id = verdicts.image_id JOIN jobs ON jobs.id = images.job_id"
        " WHERE verdicts.undone IS NULL AND jobs.profile = ? AND images.card = ? AND (verdicts.source = 'review' OR ?)"
        " GROUP BY verdicts.image_id ORDER BY verdicts.image_id",
        [profile, card, sheet],
    ).fetchall()
