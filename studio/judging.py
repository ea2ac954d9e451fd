"""Scoring tasks: measures a batch of pictures, and when nothing of their job is left to measure, goes on with it."""
from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from PIL import Image

from models.cards import Catalogue, ModelCard
from models.scorers import score_all, scorers_for
from models.scorers.catalogue import load_scorers
from models.scorers.duplicates import fingerprint
from models.spec import Score, ScoreContext, Scorer
from pipelines.judge import Profile, judge
from pipelines.tasks import Draft
from pipelines.wishes import quoted
from studio import files
from studio.choosing import as_scores, for_stage, record
from studio.funnel import Funnel
from studio.profiles import Profiles
from studio.safety import PictureIncidents, Safety
from studio.store import Store, images, jobs, rounds
from studio.store.jobs import Task
from studio.store.timings import learn

MakeScorers = Callable[[ModelCard, Collection[str]], list[Scorer]]


class Judge:
    """Keeps the scorers of each model and profile loaded. `device` is what timings are kept under."""

    def __init__(
        self, store: Store, folder: Path, catalogue: Catalogue, profiles: Profiles, funnel: Funnel, scorers: MakeScorers | None = None
    ) -> None:
        self._store, self._folder, self._catalogue = store, folder, catalogue
        self._profiles, self._funnel = profiles, funnel
        self._make_scorers: MakeScorers = scorers or (lambda card, asked: scorers_for(card, asked=asked))
        self._scorers: dict[str, dict[tuple[str, ...], Scorer]] = {}  # by card and dimensions
        self._cards = load_scorers()
        self._incidents = PictureIncidents(Safety(store))
        self.device = ""

    def warm_up(self, picture: Image.Image, card: str) -> None:
        """Loads the scorers of a card by measuring one picture, which is then forgotten."""
        context = ScoreContext("a red mug", picture.width, picture.height, card, asked=frozenset())
        score_all([picture], context, self._scorers_of(card, ()))
        fingerprint(picture)

    def judge(self, task: Task) -> list[int]:
        """Does a scoring task; the ids of the pictures whose scores or verdicts changed, or that are new.

        A picture that fails by itself is rejected now; which of the others are finished or kept is known when all are measured.
        """
        job = jobs.job_row(self._store, task.job)
        draft = Draft.from_dict(jobs.draft_of(self._store, task))
        profile = for_stage(self._profiles.of_job(job), rounds.plan_of(job), draft.stage)
        rows = [row for row in images.of_job(self._store, task.job) if row["number"] in task.payload["numbers"]]

        started = time.perf_counter()
        pictures = [self._open(row["path"]) for row in rows]
        scores = self._measure(pictures, self._context(job, draft, profile), profile)
        passing = [judge(measured, profile, draft.card).verdict != "rejected" for measured in scores]
        prints = [fingerprint(picture).as_text() if passes else None for picture, passes in zip(pictures, passing, strict=True)]
        del pictures
        seconds = (time.perf_counter() - started) / max(1, len(rows))

        changed = [row["id"] for row in rows]
        with self._store.write() as db:
            for row, measured, text in zip(rows, scores, prints, strict=True):
                record(db, row["id"], measured, profile, draft.card)
                self._incidents.note(db, row["id"], row["person"], measured)
                if text is not None:
                    rounds.keep_fingerprint(db, row["id"], text)
            jobs.close_judge(db, task)
            self._funnel.hold_to_budget(db, task.job)
            changed += self._funnel.settle(db, task.job)
        learn(self._store, self.device, draft.card, draft.spec.width, draft.spec.height, judge=seconds)
        return list(dict.fromkeys(changed))

    def again(self, row: images.Row) -> None:
        """Measures what could not be measured of a picture that has its verdict.

        What fails by it is rejected; what passes by it is spare, for what was delivered stays delivered.
        """
        job = jobs.job_row(self._store, row["job_id"])
        draft = rounds.batch_of(self._store, row["job_id"])[row["number"]]
        profile = for_stage(self._profiles.of_job(job), rounds.plan_of(job), draft.stage)
        rows = images.scores_of(self._store, [row["id"]])[row["id"]]
        stored = as_scores(rows)
        known = {score.dimension for score in stored if score.value is not None}
        lacking = [one for one in self._scorers_of(draft.card, profile.asked()) if not _plain(known).issuperset(one.dimensions)]
        (measured,) = score_all([self._open(row["path"])], self._context(job, draft, profile), lacking)
        self._forget_idle(draft.card, [measured])
        new = [score for score in measured if score.value is not None and score.dimension not in known]
        if not new:
            return
        verdict = judge([*stored, *new], profile, draft.card)
        names = {score.dimension for score in new}
        with self._store.write() as db:
            images.forget_unscored(db, row["id"], names)
            images.add_marks(db, row["id"], [mark for mark in verdict.marks if mark.dimension in names])
            self._incidents.note(db, row["id"], row["person"], new)
            # What it failed by is kept with it: in a round in doubt that is a stricter bar than the profile's usual one.
            failed = any(one["hard"] and one["passed"] == 0 for one in rows)
            if not failed and (verdict.verdict == "spare") != (row["verdict"] in ("kept", "spare")):
                images.set_verdict(db, row["id"], verdict.verdict, verdict.reasons, None)

    def _measure(self, pictures: Sequence[Image.Image], context: ScoreContext, profile: Profile) -> list[list[Score]]:
        """Every score; what is slow to measure only of those that pass the rest."""
        scorers = self._scorers_of(context.card, profile.asked())
        quick = [scorer for scorer in scorers if not self._slow(scorer)]
        scores = score_all(pictures, context, quick)
        slow = [scorer for scorer in scorers if self._slow(scorer)]
        if slow:
            asked = {name for scorer in slow for name in scorer.dimensions}
            left = [place for place, measured in enumerate(scores) if not _fails(measured, profile, context.card, asked)]
            for place, more in zip(left, score_all([pictures[place] for place in left], context, slow), strict=True):
                scores[place] += more
        self._forget_idle(context.card, scores)
        return scores

    def _context(self, job: sqlite3.Row, draft: Draft, profile: Profile) -> ScoreContext:
        request = jobs.request_of(job)
        scale = draft.finish.scale if draft.finish else 1.0
        return ScoreContext(
            prompt=job["prompt"],
            width=round(draft.spec.width * scale),
            height=round(draft.spec.height * scale),
            card=draft.card,
            texts=tuple(request.get("texts") or quoted(job["prompt"])),
            palette=tuple(request.get("palette") or ()),
            likeness=self._likeness(request),
            asked=frozenset(profile.asked()),
        )

    def _likeness(self, request: dict[str, object]) -> Image.Image | None:
        """The picture that the result must resemble: the one named for it, else the reference picture. None when it is gone since:
        what needs it is then not scored, and says so."""
        wanted = request.get("likeness") or (request.get("image") if request.get("role") == "reference" else None)
        if wanted is None:
            return None
        table, key = ("images", "id") if isinstance(wanted, int) else ("uploads", "hash")
        row = self._store.db.execute(f"SELECT path FROM {table} WHERE {key} = ?", [wanted]).fetchone()
        if row is None or row["path"] is None or not (self._folder / row["path"]).is_file():
            return None
        return self._open(row["path"])

    def _open(self, path: str) -> Image.Image:
        with Image.open(files.find_picture(self._folder, path)) as image:
            return image.convert("RGB")

    def _scorers_of(self, card: str, asked: Collection[str]) -> list[Scorer]:
        """Those that a profile asks for. What is loaded serves every profile."""
        loaded = self._scorers.setdefault(card, {})
        made = self._make_scorers(self._catalogue.card(card), asked)
        return [loaded.setdefault(scorer.dimensions, scorer) for scorer in made]

    def _forget_idle(self, card: str, scores: Sequence[Sequence[Score]]) -> None:
        """Those that measured nothing are made anew the next time: their weights may be here by then."""
        said = [(score.dimension.partition(":")[0], score.value is not None) for row in scores for score in row]
        silent = {name for name, _ in said} - {name for name, answered in said if answered}
        loaded = self._scorers[card]
        for dimensions in [names for names in loaded if silent.issuperset(names)]:
            del loaded[dimensions]

    def _slow(self, scorer: Scorer) -> bool:
        return self._cards.scorers[self._cards.dimension(scorer.dimensions[0]).scorer].slow


def _fails(measured: Sequence[Score], profile: Profile, card: str, later: Collection[str]) -> bool:
    """Whether a picture is rejected by what is measured of it already."""
    return judge([score for score in measured if score.dimension not in later], profile, card).verdict == "rejected"


def _plain(dimensions: Collection[str]) -> set[str]:
    """Their names without arguments."""
    return {name.partition(":")[0] for name in dimensions}
