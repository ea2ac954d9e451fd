"""Prompts as vectors: "a red cup on a wooden desk" lies near "a red mug on a wooden table".

The vectors are those of the text tower that scores adherence, so nothing is loaded for them. The worker makes them (`Reading`): one by
one for what a person types, in passing for the prompts in the history. The page's process only compares them (`Meanings`).
"""
from __future__ import annotations

import base64
import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.words import read_prompt
from studio.store import Store
from studio.store.people import Who, visible

if TYPE_CHECKING:
    from models.cards import ModelCard
    from models.weights import Where

log = logging.getLogger(__name__)

AT_ONCE = 32  # prompts that are read between two looks at the queue
MOST = 50_000  # prompts, the newest, that are compared
KEPT = 256  # prompts a person typed
WAIT_SECONDS = 0.15  # for the worker to read a prompt: who types on must not wait
NEAREST = 0.3  # cosine below which two prompts have nothing in common


class Encodes(Protocol):
    """`models.scorers.adherence.Adherence`, as far as it reads prompts."""

    name: str
    version: str

    def missing(self) -> str: ...

    def prompts(self, prompts: Sequence[str]) -> np.ndarray: ...


class Reading:
    """In the worker: gives prompts their vectors. `encoder` is the one of the model `card`; it may have no weights here. `tell` sends
    an answer to the page.

    A closed vocabulary reads words that it never learnt as if they were all the same one, so prompts that have any are left out.
    """

    def __init__(self, store: Store, card: ModelCard, where: Where, encoder: Encodes, tell: Callable[..., None]) -> None:
        self._store, self._card, self._where, self._encoder, self._tell = store, card, where, encoder, tell
        self._done = 0  # the prompts up to this id were read
        self._asked: str | None = None
        self._came = threading.Condition()
        threading.Thread(target=self._answer, name="reading", daemon=True).start()

    @property
    def space(self) -> str:
        """Vectors of one space can be compared."""
        return f"{self._encoder.name} {self._encoder.version}"

    def ask(self, prompt: str) -> None:
        """Reads a prompt that a person types, as soon as the device is free, and tells {"event": "meaning", "prompt", "space",
        "vector": base64 of float16, None for a prompt that cannot be read}. Of several that wait only the last is read."""
        with self._came:
            self._asked = prompt
            self._came.notify()

    def catch_up(self) -> int:
        """Reads some of the prompts in the history that were not read yet; how many there were."""
        if self._encoder.missing():
            return 0
        rows = self._store.db.execute(
            "SELECT id, prompt FROM prompts WHERE id > ? AND NOT EXISTS (SELECT 1 FROM prompt_vectors WHERE prompt_id = prompts.id"
            " AND space = ?) ORDER BY id LIMIT ?",
            [self._done, self.space, AT_ONCE],
        ).fetchall()
        if rows:
            read = [row["prompt"] for row in rows if self._reads(row["prompt"])]
            vectors = dict(zip(read, self._encoder.prompts(read), strict=True)) if read else {}
            with self._store.write() as db:
                for row in rows:
                    found = vectors.get(row["prompt"])
                    # What cannot be read is written down too, or every start would try again. It may have been deleted meanwhile.
                    db.execute(
                        "INSERT OR IGNORE INTO prompt_vectors (prompt_id, space, vector) SELECT id, ?, ? FROM prompts WHERE id = ?",
                        [self.space, None if found is None else _packed(found), row["id"]],
                    )
            self._done = rows[-1]["id"]
        return len(rows)

    def _answer(self) -> None:
        while True:
            with self._came:
                self._came.wait_for(lambda: self._asked is not None)
                prompt, self._asked = self._asked, None
            assert prompt is not None
            try:
                vector = _packed(self._encoder.prompts([prompt])[0]) if not self._encoder.missing() and self._reads(prompt) else None
            except Exception:
                log.exception("a prompt could not be read")  # The page goes by the words then.
                continue
            told = base64.b64encode(vector).decode() if vector else None
            self._tell("meaning", prompt=prompt, space=self.space, vector=told)

    def _reads(self, prompt: str) -> bool:
        return bool(prompt.strip()) and (self._card.vocabulary != "embedded" or not read_prompt(self._card, prompt, self._where).unknown)


class Meanings:
    """In the page's process: how near prompts are by their vectors. ask: sends a prompt to the worker, False while there is none that
    could read it at once; `heard` takes the answer. Any thread may call anything."""

    def __init__(self, store: Store, ask: Callable[[str], bool]) -> None:
        self._store, self._ask = store, ask
        self._typed: OrderedDict[str, tuple[str, np.ndarray | None]] = OrderedDict()  # prompt -> space and vector
        self._came = threading.Condition()
        self._space, self._last = "", 0
        self._ids, self._matrix = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
        self._lock = threading.Lock()

    def heard(self, answer: dict[str, Any]) -> None:
        vector = None if answer["vector"] is None else _unpacked(base64.b64decode(answer["vector"]))
        with self._came:
            self._typed[answer["prompt"]] = answer["space"], vector
            while len(self._typed) > KEPT:
                self._typed.popitem(last=False)
            self._came.notify_all()

    def near(self, prompt: str, who: Who, limit: int) -> dict[str, float]:
        """Up to `limit` earlier prompts that a person may see, nearest first, with their cosine (NEAREST..1). Empty while the worker
        has not read this prompt: it is asked, and answers the next time."""
        space, vector = self._vector_of(prompt)
        if vector is None:
            return {}
        db = self._store.db
        ids, matrix = self._compared(db, space)
        if not len(ids):
            return {}
        cosines = matrix @ vector
        # More than are asked for: some may be another person's.
        order = np.argsort(-cosines)[: 8 * limit]
        nearest = {int(ids[place]): float(min(1.0, cosines[place])) for place in order if cosines[place] >= NEAREST}
        seen, values = visible(who)
        marks = ", ".join("?" * len(nearest))
        rows = db.execute(
            f"""SELECT prompt_vectors.id, prompts.prompt FROM prompt_vectors JOIN prompts ON prompts.id = prompt_id
            WHERE prompt_vectors.id IN ({marks}) AND EXISTS (SELECT 1 FROM images
                WHERE images.prompt = prompts.prompt AND {seen} AND images.state = 'drawn' AND images.trashed IS NULL)""",
            [*nearest, *values],
        )
        found = sorted(((nearest[row["id"]], row["prompt"]) for row in rows), reverse=True)[:limit]
        return {other: cosine for cosine, other in found}

    def _vector_of(self, prompt: str) -> tuple[str, np.ndarray | None]:
        with self._came:
            if prompt not in self._typed and self._ask(prompt):
                self._came.wait_for(lambda: prompt in self._typed, WAIT_SECONDS)
            return self._typed.get(prompt, ("", None))

    def _compared(self, db: sqlite3.Connection, space: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids of rows and their vectors, (n,) and (n, dim) float32: only what is new is read."""
        with self._lock:
            if space != self._space:
                self._space, self._last = space, 0
                self._ids, self._matrix = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
            rows = db.execute(
                "SELECT id, vector FROM prompt_vectors WHERE space = ? AND id > ? AND vector IS NOT NULL ORDER BY id DESC LIMIT ?",
                [space, self._last, MOST],
            ).fetchall()[::-1]
            if rows:
                self._last = rows[-1]["id"]
                new = np.stack([_unpacked(row["vector"]) for row in rows])
                self._ids = np.concatenate([self._ids, [row["id"] for row in rows]])[-MOST:]
                self._matrix = np.concatenate([self._matrix, new])[-MOST:] if len(self._matrix) else new
            return self._ids, self._matrix


def _packed(vector: np.ndarray) -> bytes:
    return vector.astype("<f2").tobytes()


def _unpacked(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f2").astype(np.float32)
