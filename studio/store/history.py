"""Finding pictures again: what is asked for, as SQL that stays quick with a hundred thousand of them.

Two ways lead to a page, and `_plan` takes the cheaper one. When anything asked for is known by an index to leave FEW pictures, those
are gathered and the rest is checked on each. Otherwise an index is walked in the order of the page, checking each picture, until the
page is full: nothing leaves only few, so that is soon. Both check on `images_shelf`, a narrow index that holds all that can be
filtered by, so that the wide rows of `images` are read for the page that is shown and no other. Keys, never offsets.
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
COUNTED = 1_000  # matches are counted up to here on a first page
FEW = 12_000  # so many pictures are gathered and checked within some 15 ms

Key = tuple[int | float, int]  # where a page ended: the value sorted by and the id


@dataclass(frozen=True)
class Search:
    """What is asked of the history. Each field narrows; within a field any of the values will do, but all `tags` and `scores` must fit.

    text: as a person types it. verdicts: of VERDICTS, as shown (a person's word wins). scores: (dimension, least, most).
    least_rating: 1..5; 0 means "not rated". since, until: UTC as `now` writes it, `until` excluded. sort: of SORTS, or "best:DIMENSION".
    failed: dimensions, any of which was the reason that a picture was rejected. pinned: only the library of
    pins. trashed: the trash of the person who asks, and nothing else.
    """

    text: str = ""
    tiers: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    scores: tuple[tuple[str, float | None, float | None], ...] = ()
    least_rating: int | None = None
    persons: tuple[str, ...] = ()
    board: int | None = None
    tags: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    pinned: bool = False
    trashed: bool = False
    sort: str = "newest"


@dataclass(frozen=True)
class Page:
    """rows: of `images`, whole, in the order asked for. next: where the next page begins, None at the end. total: how many match,
    at least COUNTED when not `exact`; None but for a first page."""

    rows: list[sqlite3.Row]
    next: Key | None
    total: int | None
    exact: bool | None


def page(store: Store, who: Who, search: Search, after: Key | None, limit: int) -> Page:
    """Up to `limit` pictures from `after` on."""
    plan = _plan(store, who, search)
    if after is not None:
        plan.after(after)
    # The first page counts too: going on to COUNTED costs less than asking again.
    most = max(limit, COUNTED) if after is None else limit
    found = store.db.execute(plan.sql(f"{plan.value} AS value, {plan.id} AS id", f"ORDER BY {plan.order} LIMIT {most + 1}"), plan.values)
    keys = [(row["value"], row["id"]) for row in found.fetchall()]
    rows = rows_of(store, [image for _, image in keys[:limit]])
    total, exact = (min(len(keys), most), len(keys) <= most) if after is None else (None, None)
    return Page(rows, keys[limit - 1] if len(keys) > limit else None, total, exact)


def ids(store: Store, who: Who, search: Search, limit: int) -> list[int]:
    """The ids of the first `limit` matches, in the order asked for."""
    plan = _plan(store, who, search)
    return [row[0] for row in store.db.execute(plan.sql(plan.id, f"ORDER BY {plan.order} LIMIT {limit}"), plan.values)]


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


@dataclass
class _Need:
    """A condition on `images`; `few` gives the ids that fit by an index of their own, None where only the shelf tells."""

    condition: str
    values: list[Any]
    few: str | None = None


def _plan(store: Store, who: Who, search: Search) -> _Plan:
    shelf, needs = _shelf_needs(who, search), _other_needs(search)
    text = match(search.text)
    if text is not None:
        gathered = "SELECT rowid FROM images_fts WHERE images_fts MATCH ?"
        needs.append(_Need(f"images.id IN ({gathered})", [text], gathered))
    if search.trashed:
        needs.append(_Need("images.trashed IS NOT NULL", [], "SELECT id FROM images INDEXED BY images_trash WHERE trashed IS NOT NULL"))
    by_id = search.sort in ("newest", "oldest")
    core = _fewest(store, needs)
    if core is None and (text is not None or not by_id):
        # The order to walk in is not the shelf's own: does the shelf leave few?
        where = " AND ".join(need.condition for need in shelf)
        core = _fewest(store, [_Need("", [value for need in shelf for value in need.values], f"SELECT id FROM {_SHELF} WHERE {where}")])
    plan = _sorted(store, search, gathered=core is not None)
    if core is not None:
        plan.need(f"images.id IN ({core.few})", *core.values)
    elif text is not None and by_id:
        plan.walk = f"images_fts CROSS JOIN {_SHELF} ON images.id = images_fts.rowid"
        plan.id = "images_fts.rowid"
        plan.need("images_fts MATCH ?", text)
        needs.pop(next(place for place, need in enumerate(needs) if need.values == [text]))
    for need in [*shelf, *needs]:
        if need is not core:
            plan.need(need.condition, *need.values)
    return plan


def _fewest(store: Store, needs: Sequence[_Need]) -> _Need | None:
    """Of those with an index, the one that leaves the fewest pictures, when that is fewer than FEW."""
    best, least = None, FEW
    for need in needs:
        if need.few is not None:
            size = store.db.execute(f"SELECT count(*) FROM (SELECT 1 FROM ({need.few}) LIMIT {least})", need.values).fetchone()[0]
            if size < least:
                best, least = need, size
    return best


def _sorted(store: Store, search: Search, gathered: bool) -> _Plan:
    """The order of the page, and the walk that gives it; what is gathered is walked as it comes, and sorted then."""
    if search.sort == "board":
        walk = f"board_images b INDEXED BY board_order CROSS JOIN {_SHELF} ON images.id = b.image_id"
        plan = _Plan(walk, "b.image_id", "b.position", down=False)
        plan.need("b.board_id = ?", search.board)
    elif search.sort == "rating":
        walk = f"images r INDEXED BY images_stars CROSS JOIN {_SHELF} ON images.id = r.id"
        if gathered:
            walk = f"{_SHELF} CROSS JOIN images r ON r.id = images.id"
        plan = _Plan(walk, "r.id", "r.stars", down=True)
        plan.need("r.state = 'drawn'")
    elif search.sort.startswith("best:"):
        dimension = search.sort.removeprefix("best:")
        bound = store.db.execute("SELECT bound FROM dimensions WHERE name = ?", [dimension]).fetchone()
        walk = f"marks s INDEXED BY marks_by_value CROSS JOIN {_SHELF} ON images.id = s.image_id"
        if gathered:
            walk = f"{_SHELF} CROSS JOIN marks s ON s.image_id = images.id"
        plan = _Plan(walk, "s.image_id", "s.value", down=bound is None or bound["bound"] != "<=")
        plan.need("s.dimension = ?", dimension)
    else:
        plan = _Plan(_SHELF, "images.id", "0", down=search.sort == "newest")
    return plan


def _shelf_needs(who: Who, search: Search) -> list[_Need]:
    """What the narrow index answers by itself."""
    seen, persons = visible(who)
    needs = [_Need("images.state = 'drawn'", [])]
    if search.trashed:
        needs.append(_Need("images.trashed IS NOT NULL AND images.person = ?", [who.name]))
    else:
        needs.append(_Need(f"images.trashed IS NULL AND {seen}", list(persons)))
    for column, wanted in (("tier", search.tiers), ("card", search.cards), ("shown", search.verdicts), ("person", search.persons)):
        if wanted:
            needs.append(_Need(f"images.{column} IN ({_marks(wanted)})", list(wanted)))
    if search.least_rating:
        needs.append(_Need("images.rating >= ?", [search.least_rating]))
    elif search.least_rating == 0:
        needs.append(_Need("images.rating IS NULL", []))
    if search.since is not None:
        needs.append(_Need("images.drawn >= ?", [search.since]))
    if search.until is not None:
        needs.append(_Need("images.drawn < ?", [search.until]))
    return needs


def _other_needs(search: Search) -> list[_Need]:
    """What has tables of its own."""
    needs = []
    if search.loras:
        jobs = f"SELECT job_id FROM job_loras WHERE lora IN ({_marks(search.loras)})"
        few = f"SELECT id FROM images WHERE job_id IN ({jobs})"
        needs.append(_Need(f"images.job_id IN ({jobs})", list(search.loras), few))
    if search.templates:
        jobs = f"SELECT id FROM jobs WHERE template IN ({_marks(search.templates)})"
        few = f"SELECT id FROM images WHERE job_id IN ({jobs})"
        needs.append(_Need(f"images.job_id IN ({jobs})", list(search.templates), few))
    if search.failed:
        failing = f"FROM scores WHERE hard IS 1 AND passed IS 0 AND dimension IN ({_marks(search.failed)})"
        few = f"SELECT DISTINCT image_id {failing}"
        needs.append(_Need(f"EXISTS (SELECT 1 {failing} AND image_id = images.id)", list(search.failed), few))
    if search.board is not None:
        few = "SELECT image_id FROM board_images WHERE board_id = ?"
        needs.append(_Need(f"EXISTS ({few} AND image_id = images.id)", [search.board], few))
    if search.pinned:
        few = "SELECT image_id FROM pins WHERE true"
        needs.append(_Need(f"EXISTS ({few} AND image_id = images.id)", [], few))
    for tag in search.tags:
        few = "SELECT image_id FROM tags WHERE tag = ?"
        needs.append(_Need(f"EXISTS ({few} AND image_id = images.id)", [tag], few))
    for dimension, low, high in search.scores:
        between, bounds = _between("m.value", low, high)
        where = f"WHERE m.dimension = ?{between}"
        few = f"SELECT m.image_id FROM marks m INDEXED BY marks_by_value {where}"
        needs.append(_Need(f"EXISTS (SELECT 1 FROM marks m {where} AND m.image_id = images.id)", [dimension, *bounds], few))
    return needs


def _between(column: str, low: float | None, high: float | None) -> tuple[str, list[float]]:
    conditions = "".join(f" AND {column} {sign} ?" for sign, value in ((">=", low), ("<=", high)) if value is not None)
    return conditions, [value for value in (low, high) if value is not None]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def facets(store: Store, who: Who) -> dict[str, Any]:
    """What there is to filter by among the pictures that `who` may see: {"tiers": {name: pictures}, "cards", "verdicts", "persons", "tags",
    "loras": [names], "dimensions": [{"name", "least", "most", "bound"}]}, and how many pictures are in all, pinned, and in the trash."""
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
    pins = f"SELECT count(*) FROM pins JOIN images ON images.id = pins.image_id WHERE {seen} AND images.trashed IS NULL"
    pinned = store.db.execute(pins, values).fetchone()[0]
    trashed = store.db.execute("SELECT count(*) FROM images WHERE trashed IS NOT NULL AND person = ?", [who.name]).fetchone()[0]
    return counts | {
        "tags": dict(tuple(row) for row in tags),
        "loras": [row["lora"] for row in loras],
        "dimensions": [_extent(store, row) for row in store.db.execute("SELECT * FROM dimensions ORDER BY name").fetchall()],
        "total": total,
        "pinned": pinned,
        "trashed": trashed,
    }


def _extent(store: Store, row: sqlite3.Row) -> dict[str, Any]:
    ends = [
        store.db.execute(f"SELECT {end}(value) FROM marks INDEXED BY marks_by_value WHERE dimension = ?", [row["name"]]).fetchone()[0]
        for end in ("min", "max")
    ]
    return {"name": row["name"], "least": ends[0], "most": ends[1], "bound": row["bound"]}
