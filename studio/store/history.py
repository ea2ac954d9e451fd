"""Finding pictures again: what is asked for, as SQL that stays quick with a hundred thousand of them.

Every query is walked in the order in which its page is shown, and ends when the page is full; keys, never offsets. Which table
is walked (`_walk`) follows from what narrows the most: a word from the full text, a board, a tag, a measured value, else the
narrow index `images_shelf`, from which all other filters are answered too. CROSS JOIN holds SQLite to that order.
"""
from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.store.db import Store
from studio.store.people import Who, visible

VERDICTS = ("kept", "spare", "rejected", "review")
SORTS = ("newest", "oldest", "rating", "board")  # and "best:DIMENSION"
COUNTED = 10_000  # matches are counted up to here on a first page

Key = tuple[int | float, int]  # where a page ended: the value sorted by and the id


@dataclass(frozen=True)
class Search:
    """What is asked of the history. Each field narrows; within a field any of the values will do, but all `tags` and `scores` must fit.

    text: as a person types it. verdicts: of VERDICTS, as shown (a person's word wins). scores: (dimension, least, most).
    least_rating: 1..5; 0 means "not rated". since, until: UTC as `now` writes it, `until` excluded. sort: of SORTS, or "best:DIMENSION".
    trashed: the trash of the person who asks, and nothing else.
    """

    text: str = ""
    tiers: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    scores: tuple[tuple[str, float | None, float | None], ...] = ()
    least_rating: int | None = None
    persons: tuple[str, ...] = ()
    board: int | None = None
    tags: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    trashed: bool = False
    sort: str = "newest"


def page(store: Store, who: Who, search: Search, after: Key | None, limit: int) -> tuple[list[sqlite3.Row], Key | None]:
    """Up to `limit` whole rows of `images` in the order asked for, and the key of the next page (None at the end)."""
    plan = _plan(store, who, search)
    if after is not None:
        plan.after(after)
    found = store.db.execute(plan.sql(f"{plan.value} AS value, {plan.id} AS id", f"ORDER BY {plan.order} LIMIT {limit + 1}"), plan.values)
    keys = [(row["value"], row["id"]) for row in found.fetchall()]
    rows = rows_of(store, [image for _, image in keys[:limit]])
    return rows, keys[limit - 1] if len(keys) > limit else None


def ids(store: Store, who: Who, search: Search, limit: int) -> list[int]:
    """The ids of the first `limit` matches, in the order asked for."""
    plan = _plan(store, who, search)
    return [row[0] for row in store.db.execute(plan.sql(plan.id, f"ORDER BY {plan.order} LIMIT {limit}"), plan.values)]


def count(store: Store, who: Who, search: Search) -> tuple[int, bool]:
    """How many match, and whether that is all of them: counting stops at COUNTED."""
    plan = _plan(store, who, search)
    counted = store.db.execute(f"SELECT count(*) FROM ({plan.sql('1', f'LIMIT {COUNTED + 1}')})", plan.values).fetchone()[0]
    return min(counted, COUNTED), counted <= COUNTED


def rows_of(store: Store, wanted: Sequence[int]) -> list[sqlite3.Row]:
    """Rows of `images` in the order of `wanted`; ids that are none are left out."""
    marks = ", ".join("?" * len(wanted))
    found = {row["id"]: row for row in store.db.execute(f"SELECT * FROM images WHERE id IN ({marks})", list(wanted))}
    return [found[image] for image in wanted if image in found]


def match(text: str) -> str | None:
    """What a person typed as an FTS5 query that cannot be malformed: every word must occur, as itself or as the beginning of a word;
    what stands in double quotes must occur as it stands. None when there is no letter or digit in it."""
    terms = []
    for quoted, word in re.findall(r'"([^"]*)"|([^\s"]+)', text.replace("\0", " ")):
        # A term of nothing but marks has no token, and FTS5 takes it for one that is always there.
        if any(character.isalnum() for character in quoted or word):
            terms.append(f'"{quoted}"' if quoted else f'"{word}"*')
    return " ".join(terms) or None


@dataclass
class _Plan:
    walk: str  # FROM
    id: str
    value: str  # what is sorted by besides the id; 0 when nothing is
    down: bool
    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def need(self, condition: str, *values: Any) -> None:
        self.where.append(condition)
        self.values += values

    def after(self, key: Key) -> None:
        sign = "<" if self.down else ">"
        if self.value == "0":
            self.need(f"{self.id} {sign} ?", key[1])
        else:
            self.need(f"({self.value}, {self.id}) {sign} (?, ?)", *key)

    @property
    def order(self) -> str:
        way = " DESC" if self.down else ""
        return f"{self.id}{way}" if self.value == "0" else f"{self.value}{way}, {self.id}{way}"

    def sql(self, what: str, tail: str) -> str:
        return f"SELECT {what} FROM {self.walk} WHERE {' AND '.join(self.where)} {tail}"


_SHELF = "images INDEXED BY images_shelf"


def _plan(store: Store, who: Who, search: Search) -> _Plan:
    asked = match(search.text)
    tags, scores = list(search.tags), list(search.scores)
    plan = _walk(store, search, asked, tags, scores)
    seen, persons = visible(who)
    if search.trashed:
        plan.need("images.trashed IS NOT NULL AND images.person = ?", who.name)
    else:
        plan.need(f"images.trashed IS NULL AND {seen}", *persons)
    plan.need("images.state = 'drawn'")
    for column, wanted in (("tier", search.tiers), ("card", search.cards), ("shown", search.verdicts), ("person", search.persons)):
        if wanted:
            plan.need(f"images.{column} IN ({_marks(wanted)})", *wanted)
    if search.least_rating:
        plan.need("images.rating >= ?", search.least_rating)
    elif search.least_rating == 0:
        plan.need("images.rating IS NULL")
    if search.since is not None:
        plan.need("images.drawn >= ?", search.since)
    if search.until is not None:
        plan.need("images.drawn < ?", search.until)
    if search.loras:
        plan.need(f"images.job_id IN (SELECT job_id FROM job_loras WHERE lora IN ({_marks(search.loras)}))", *search.loras)
    for tag in tags:
        plan.need("EXISTS (SELECT 1 FROM tags WHERE tag = ? AND image_id = images.id)", tag)
    for dimension, low, high in scores:
        between, bounds = _between("m.value", low, high)
        plan.need(f"EXISTS (SELECT 1 FROM marks m WHERE m.dimension = ? AND m.image_id = images.id{between})", dimension, *bounds)
    return plan


def _walk(
    store: Store, search: Search, asked: str | None, tags: list[str], scores: list[tuple[str, float | None, float | None]]
) -> _Plan:
    """The table to walk, with what it answers by itself; that is taken out of `tags` and `scores`."""
    down = search.sort != "oldest"
    if search.sort == "board" and search.board is not None:
        walk = f"board_images b INDEXED BY board_order CROSS JOIN {_SHELF} ON images.id = b.image_id"
        plan = _Plan(walk, "b.image_id", "b.position", False)
        plan.need("b.board_id = ?", search.board)
    elif search.sort == "rating":
        plan = _Plan(f"images r INDEXED BY images_stars CROSS JOIN {_SHELF} ON images.id = r.id", "r.id", "r.stars", True)
        plan.need("r.state = 'drawn'")
        if search.least_rating:
            plan.need("r.stars >= ?", search.least_rating)
    elif search.sort.startswith("best:"):
        dimension = search.sort.removeprefix("best:")
        bound = store.db.execute("SELECT bound FROM dimensions WHERE name = ?", [dimension]).fetchone()
        down = bound is None or bound["bound"] != "<="
        plan = _Plan(f"marks s INDEXED BY marks_by_value CROSS JOIN {_SHELF} ON images.id = s.image_id", "s.image_id", "s.value", down)
        plan.need("s.dimension = ?", dimension)
        for one in [score for score in scores if score[0] == dimension]:
            scores.remove(one)
            between, bounds = _between("s.value", one[1], one[2])
            plan.need(f"1{between}", *bounds)
    elif asked is not None:
        plan = _Plan(f"images_fts CROSS JOIN {_SHELF} ON images.id = images_fts.rowid", "images_fts.rowid", "0", down)
        plan.need("images_fts MATCH ?", asked)
        asked = None
    elif search.board is not None:
        plan = _Plan(f"board_images b CROSS JOIN {_SHELF} ON images.id = b.image_id", "b.image_id", "0", down)
        plan.need("b.board_id = ?", search.board)
    elif tags:
        plan = _Plan(f"tags t CROSS JOIN {_SHELF} ON images.id = t.image_id", "t.image_id", "0", down)
        plan.need("t.tag = ?", tags.pop(0))
    elif scores:
        dimension, low, high = scores.pop(0)
        between, bounds = _between("s.value", low, high)
        plan = _Plan(f"marks s CROSS JOIN {_SHELF} ON images.id = s.image_id", "s.image_id", "0", down)
        plan.need(f"s.dimension = ?{between}", dimension, *bounds)
    else:
        plan = _Plan(_SHELF, "images.id", "0", down)
    if asked is not None:  # sorted by something else: the matches are gathered once
        plan.need("images.id IN (SELECT rowid FROM images_fts WHERE images_fts MATCH ?)", asked)
    if search.board is not None and "board_images" not in plan.walk:
        plan.need("EXISTS (SELECT 1 FROM board_images WHERE board_id = ? AND image_id = images.id)", search.board)
    return plan


def _between(column: str, low: float | None, high: float | None) -> tuple[str, list[float]]:
    conditions = "".join(f" AND {column} {sign} ?" for sign, value in ((">=", low), ("<=", high)) if value is not None)
    return conditions, [value for value in (low, high) if value is not None]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def facets(store: Store, who: Who) -> dict[str, Any]:
    """What there is to filter by among the pictures that `who` may see: {"tiers": {name: pictures}, "cards", "verdicts", "persons", "tags",
    "loras": [names], "dimensions": [{"name", "least", "most", "bound"}]}, and how many pictures are in all and in the trash."""
    seen, values = visible(who)
    here = f"FROM {_SHELF} WHERE {seen} AND images.state = 'drawn' AND images.trashed IS NULL"
    counts: dict[str, dict[str, int]] = {"tiers": {}, "cards": {}, "verdicts": {}, "persons": {}}
    total = 0
    for *names, pictures in store.db.execute(f"SELECT tier, card, shown, person, count(*) {here} GROUP BY 1, 2, 3, 4", values):
        total += pictures
        for found, name in zip(counts.values(), names, strict=True):
            if name is not None:
                found[name] = found.get(name, 0) + pictures
    tags = store.db.execute(
        f"SELECT t.tag, count(*) FROM tags t CROSS JOIN {_SHELF} ON images.id = t.image_id"
        f" WHERE {seen} AND images.state = 'drawn' AND images.trashed IS NULL GROUP BY t.tag ORDER BY 2 DESC, 1 LIMIT 200",
        values,
    )
    loras = store.db.execute(f"SELECT DISTINCT lora FROM job_loras WHERE job_id IN (SELECT images.job_id {here}) ORDER BY lora", values)
    trashed = store.db.execute("SELECT count(*) FROM images WHERE trashed IS NOT NULL AND person = ?", [who.name]).fetchone()[0]
    return counts | {
        "tags": dict(tuple(row) for row in tags),
        "loras": [row["lora"] for row in loras],
        "dimensions": [_extent(store, row) for row in store.db.execute("SELECT * FROM dimensions ORDER BY name").fetchall()],
        "total": total,
        "trashed": trashed,
    }


def _extent(store: Store, row: sqlite3.Row) -> dict[str, Any]:
    ends = [
        store.db.execute(f"SELECT {end}(value) FROM marks INDEXED BY marks_by_value WHERE dimension = ?", [row["name"]]).fetchone()[0]
        for end in ("min", "max")
    ]
    return {"name": row["name"], "least": ends[0], "most": ends[1], "bound": row["bound"]}
