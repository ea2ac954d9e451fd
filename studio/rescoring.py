"""Measuring again what could not be measured: pictures whose scorers lacked a model that is here by now.

Who asks for it (`Rescoring`) writes the pictures down; the worker takes them up when nothing waits to be drawn (`Rescorer`), a few at a
time, so that drawing never waits for it. What is written down outlives both processes.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import BadInput
from models.scorers.catalogue import load_scorers
from pipelines.fields import shown
from studio.store import Store, images, jobs
from studio.store.db import now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.judging import Judge

log = logging.getLogger(__name__)

AT_ONCE = 4  # pictures between two looks at the queue
LIMIT = 5000  # pictures that one request may name, or find by a scorer
FIELDS = ("images", "job", "scorer")
# Only pictures that were judged once: of an open job the others are measured anyway.
_READY = "images.state = 'drawn' AND images.trashed IS NULL AND images.verdict IS NOT NULL"
_OPEN = "EXISTS (SELECT 1 FROM scores WHERE scores.image_id = images.id AND scores.value IS NULL)"


class Rescoring:
    """What can be asked. wake: tells the worker that there is something to do."""

    def __init__(self, store: Store, wake: Callable[[], object]) -> None:
        self._store, self._wake = store, wake
        self._catalogue = load_scorers()

    def ask(self, data: Mapping[str, Any], who: Who) -> int:
        """Queues pictures of `who` to be measured again where something of them could not be; how many.

        data: one of "images" (ids), "job" (its id) or "scorer" (its name: the newest pictures that lack one of its dimensions).
        Raises BadInput, NotFound.
        """
        given = [name for name in FIELDS if data.get(name) is not None]
        if len(given) != 1:
            raise BadInput("images", "Say which pictures are to be measured again.", f"Give one of {', '.join(FIELDS)}.")
        ids = {"images": self._named, "job": self._of_job, "scorer": self._of_scorer}[given[0]](data[given[0]], who)
        with self._store.write() as db:
            before = db.execute("SELECT count(*) FROM rescores").fetchone()[0]
            db.executemany(
                f"INSERT OR IGNORE INTO rescores (image_id, asked) SELECT id, ? FROM images WHERE id = ? AND {_READY} AND {_OPEN}",
                [(now(), image) for image in ids],
            )
            queued = int(db.execute("SELECT count(*) FROM rescores").fetchone()[0]) - int(before)
        if queued:
            self._wake()
        return queued

    def waiting(self) -> int:
        return int(self._store.db.execute("SELECT count(*) FROM rescores").fetchone()[0])

    def lacking(self, scorer: str, who: Who) -> int:
        """How many pictures of `who` a scorer could not measure. Raises NotFound for an unknown one."""
        return len(self._of_scorer(scorer, who))

    def _named(self, ids: object, who: Who) -> list[int]:
        good = isinstance(ids, list) and 0 < len(ids) <= LIMIT and all(isinstance(one, int) and not isinstance(one, bool) for one in ids)
        if not good:
            raise BadInput("images", f"images must be 1 to {LIMIT} ids of pictures; this is {shown(ids)}.")
        assert isinstance(ids, list)
        return [images.image_row(self._store, image, who, own=True)["id"] for image in ids]

    def _of_job(self, job: object, who: Who) -> list[int]:
        if not isinstance(job, int) or isinstance(job, bool) or not 0 < job <= LARGEST_ID:
            raise BadInput("job", f"job must be the number of a job; this is {shown(job)}.")
        jobs.job_row(self._store, job, who, own=True)
        return [row["id"] for row in images.of_job(self._store, job)]

    def _of_scorer(self, scorer: object, who: Who) -> list[int]:
        if not isinstance(scorer, str) or scorer not in self._catalogue.scorers:
            raise BadInput("scorer", f"There is no scorer {shown(scorer)}.", f"Known: {', '.join(sorted(self._catalogue.scorers))}.")
        names = list(self._catalogue.scorers[scorer].dimensions)
        rows = self._store.db.execute(
            f"""SELECT DISTINCT images.id FROM scores JOIN images ON images.id = scores.image_id
            WHERE scores.dimension IN ({", ".join("?" * len(names))}) AND scores.value IS NULL AND images.person = ? AND {_READY}
            ORDER BY images.id DESC LIMIT {LIMIT}""",
            [*names, who.name],
        )
        return [row["id"] for row in rows]


class Rescorer:
    """In the worker."""

    def __init__(self, store: Store, judge: Judge) -> None:
        self._store, self._judge = store, judge

    def catch_up(self) -> Sequence[int]:
        """Measures the next few pictures again; the ids of those that were looked at, () when none waits."""
        rows = self._store.db.execute("SELECT image_id FROM rescores ORDER BY asked, image_id LIMIT ?", [AT_ONCE])
        waiting = [row["image_id"] for row in rows]
        for image in waiting:
            row = self._store.db.execute(f"SELECT * FROM images WHERE id = ? AND {_READY}", [image]).fetchone()
            try:
                if row is not None:
                    self._judge.again(row)
            except Exception:  # one that cannot be opened must neither come up for ever nor stop the others; its marks stay as they are
                log.exception("picture %d could not be measured again", image)
            self._store.db.execute("DELETE FROM rescores WHERE image_id = ?", [image])
        return waiting
