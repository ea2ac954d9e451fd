"""Scoring tasks: measures a batch of drawn candidates, and when the last one is measured, chooses among them."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from models.cards import Catalogue, ModelCard
from models.scorers import score_all, scorers_for
from models.spec import ScoreContext, Scorer
from pipelines.tasks import Draft
from studio import files
from studio.choosing import choose, record
from studio.profiles import Profiles
from studio.store import Store, images, jobs
from studio.store.jobs import Task
from studio.store.timings import learn


class Judge:
    """Keeps the scorers of each model loaded. `device` is what timings are kept under."""

    def __init__(
        self, store: Store, folder: Path, catalogue: Catalogue, scorers: Callable[[ModelCard], list[Scorer]] = scorers_for
    ) -> None:
        self._store, self._folder, self._catalogue = store, folder, catalogue
        self._profiles, self._make_scorers = Profiles(store), scorers
        self._scorers: dict[str, list[Scorer]] = {}
        self.device = ""

    def warm_up(self, picture: Image.Image, card: str) -> None:
        """Loads the scorers of a card by measuring one picture, which is then forgotten."""
        score_all([picture], ScoreContext("a red mug", picture.width, picture.height, card), self._scorers_of(card))

    def judge(self, task: Task) -> list[int]:
        """Does a scoring task; the ids of the pictures whose scores or verdicts changed.

        A picture that fails by itself is rejected now; which of the others are kept is known when all are measured.
        """
        job = jobs.job_row(self._store, task.job)
        draft = Draft.from_dict(jobs.draft_of(self._store, task))
        scale = draft.finish.scale if draft.finish else 1.0
        width, height = round(draft.spec.width * scale), round(draft.spec.height * scale)
        rows = [row for row in images.of_job(self._store, task.job) if row["number"] in task.payload["numbers"]]

        started = time.perf_counter()
        pictures = [self._open(row["path"]) for row in rows]
        scores = score_all(pictures, ScoreContext(job["prompt"], width, height, job["card"]), self._scorers_of(job["card"]))
        seconds = (time.perf_counter() - started) / max(1, len(rows))

        profile = self._profiles.at(job["profile"], job["profile_version"])
        changed = [row["id"] for row in rows]
        with self._store.write() as db:
            for row, measured in zip(rows, scores, strict=True):
                record(db, row["id"], measured, profile, job["card"])
            if jobs.close_judge(db, task):
                changed = choose(self._store, task.job, job["keep"], job["card"], profile)
                jobs.finish_job(db, task.job)
        learn(self._store, self.device, draft.card, draft.spec.width, draft.spec.height, judge=seconds)
        return changed

    def _open(self, path: str) -> Image.Image:
        with Image.open(files.find_picture(self._folder, path)) as image:
            return image.convert("RGB")

    def _scorers_of(self, card: str) -> list[Scorer]:
        if card not in self._scorers:
            self._scorers[card] = self._make_scorers(self._catalogue.card(card))
        return self._scorers[card]
