"""Earlier results for a similar prompt: what spares a run, offered while a person still types.

Three ways of looking are asked at once. Words find the same things in another order; trigrams find other forms and misspellings: each
is a `Likeness`, which proposes earlier prompts and says how alike two are. Meanings (meaning.py) find other words for the same thing.
"""
from __future__ import annotations

import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from models.errors import BadInput
from pipelines.fields import text, whole
from pipelines.request import PROMPT_LIMIT
from studio.meaning import Meanings
from studio.store import Store, images, views
from studio.store.db import now
from studio.store.people import Who, visible
from studio.store.scores import Percentiles

Json = dict[str, Any]

SHOWN, MOST = 3, 24
NEAR = 60  # prompts that a likeness proposes
TERMS, TERMS_ASKED = 400, 8  # terms of a prompt that are looked at; the rarest of them, which are searched for
POSTINGS = 3_000  # prompts that the terms searched for may hold between them
COUNTS, FRESH_SECONDS = 50_000, 300.0


class Likeness(Protocol):
    """One way in which prompts are alike. `near`: earlier prompts that a person may see, likeliest first. `of`: 0 (nothing) to 1."""

    def near(self, db: sqlite3.Connection, prompt: str, who: Who, limit: int) -> list[str]: ...

    def of(self, prompt: str, other: str) -> float: ...


class TermLikeness:
    """Over the terms of a prompt, found by one of SQLite's full-text indexes. Likeness is Dice's: the share of terms in common."""

    def __init__(self, index: str, terms: Callable[[str], list[str]]) -> None:
        self._index, self.terms = index, terms
        self._counts: dict[str, tuple[int, float]] = {}  # and until when they are believed

    def near(self, db: sqlite3.Connection, prompt: str, who: Who, limit: int) -> list[str]:
        counted = [(count, term) for term in dict.fromkeys(self.terms(prompt)[:TERMS]) if (count := self._count(db, term))]
        # The rare terms tell prompts apart; common ones would only make every prompt a candidate.
        asked: list[str] = []
        postings = 0
        for count, term in sorted(counted)[:TERMS_ASKED]:
            postings += count
            if asked and postings > POSTINGS:
                break
            asked.append('"' + term.replace('"', '""') + '"')
        if not asked:
            return []
        seen, values = visible(who)
        rows = db.execute(
            f"""SELECT prompts.prompt FROM {self._index} JOIN prompts ON prompts.id = {self._index}.rowid
            WHERE {self._index} MATCH ? AND EXISTS (SELECT 1 FROM images
                WHERE images.prompt = prompts.prompt AND {seen} AND images.state = 'drawn' AND images.trashed IS NULL)
            ORDER BY bm25({self._index}) LIMIT ?""",
            [" OR ".join(asked), *values, limit],
        )
        return [row["prompt"] for row in rows]

    def _count(self, db: sqlite3.Connection, term: str) -> int:
        """Prompts that have a term. SQLite counts by reading the whole list, so what is common is not counted at every keystroke."""
        known = self._counts.get(term)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        row = db.execute(f"SELECT doc FROM {self._index}_counts WHERE term = ?", [term]).fetchone()
        count = row["doc"] if row else 0
        if count:
            if len(self._counts) >= COUNTS:
                self._counts.clear()
            self._counts[term] = (count, time.monotonic() + FRESH_SECONDS)
        return count

    def of(self, prompt: str, other: str) -> float:
        mine, others = set(self.terms(prompt)), set(self.terms(other))
        return 2 * len(mine & others) / (len(mine) + len(others)) if mine or others else 0.0


def words(prompt: str) -> list[str]:
    return re.findall(r"[^\W_]+", _folded(prompt))


def trigrams(prompt: str) -> list[str]:
    line = prompt.lower()
    return [line[at : at + 3] for at in range(len(line) - 2)]


def likenesses() -> tuple[Likeness, ...]:
    """Those there are."""
    return TermLikeness("prompt_words", words), TermLikeness("prompt_trigrams", trigrams)


class Similar:
    """What the routes call. threshold: the likeness from which a prompt counts as similar, 0..1, asked each time."""

    def __init__(self, store: Store, percentiles: Percentiles, meanings: Meanings) -> None:
        self._store, self._percentiles, self._meanings = store, percentiles, meanings
        self._likenesses = likenesses()

    def find(self, data: Mapping[Any, Any], threshold: float, who: Who) -> Json:
        """Earlier results for {"prompt", "limit"}: a picture a prompt, pinned ones first, then the most similar. Raises BadInput."""
        prompt, limit = text(data, "prompt", PROMPT_LIMIT), whole(data, "limit", 1, MOST, SHOWN)
        alike = {other: likeness for other, likeness in self._alike(prompt, who).items() if likeness >= threshold}
        found = [(row, alike[row["prompt"]]) for row in self._best(list(alike), who)]
        found.sort(key=lambda pair: (not pair[0]["pinned"], -pair[1], -pair[0]["id"]))
        shown = found[:limit]
        pictures = views.image_views(self._store, [row for row, _ in shown], self._percentiles, who)
        return {
            "results": [
                {"image": picture, "similarity": round(likeness, 3), "pinned": bool(row["pinned"]), "exact": row["prompt"] == prompt}
                for picture, (row, likeness) in zip(pictures, shown, strict=True)
            ],
            "total": len(found),
            "threshold": threshold,
        }

    def pin(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Puts one's picture into the library of what is offered first and does not expire, or takes it out. Raises NotFound, BadInput."""
        pinned = data.get("pinned")
        if not isinstance(pinned, bool):
            raise BadInput("pinned", "pinned must be true or false.")
        row = images.image_row(self._store, image, who, own=True)
        if pinned:
            self._store.db.execute("INSERT OR IGNORE INTO pins (image_id, person, created) VALUES (?, ?, ?)", [image, who.name, now()])
        else:
            self._store.db.execute("DELETE FROM pins WHERE image_id = ?", [image])
        return {"id": row["id"], "pinned": pinned}

    def _alike(self, prompt: str, who: Who) -> dict[str, float]:
        """Earlier prompts with their likeness: the mean of those by their words, or how near they are by meaning, whichever is more."""
        if not prompt:
            return {}
        db = self._store.db
        meant = self._meanings.near(prompt, who, NEAR)
        near = dict.fromkeys([*meant, *(other for likeness in self._likenesses for other in likeness.near(db, prompt, who, NEAR))])
        written = {other: sum(one.of(prompt, other) for one in self._likenesses) / len(self._likenesses) for other in near}
        return {other: 1.0 if other == prompt else max(written[other], meant.get(other, 0.0)) for other in near}

    def _best(self, prompts: Sequence[str], who: Who) -> list[sqlite3.Row]:
        """Of each prompt the picture to show: pinned before kept before spare, more stars before fewer, new before old."""
        seen, values = visible(who)
        marks = ", ".join("?" * len(prompts))
        return self._store.db.execute(
            f"""SELECT * FROM (SELECT images.*, pins.image_id IS NOT NULL AS pinned, row_number() OVER (PARTITION BY images.prompt ORDER BY
                pins.image_id IS NULL, images.shown IS NOT 'kept', images.shown IS NOT 'spare', images.stars DESC, images.id DESC)
                AS standing FROM images LEFT JOIN pins ON pins.image_id = images.id
                WHERE images.prompt IN ({marks}) AND {seen} AND images.state = 'drawn' AND images.trashed IS NULL)
            WHERE standing = 1 OR pinned""",
            [*prompts, *values],
        ).fetchall()


def _folded(text: str) -> str:
    """Lower case without accents, as SQLite's `unicode61 remove_diacritics 2` has it."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
