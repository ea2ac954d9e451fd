"""How fast a batch goes: measures its steps, estimates what is left of its job, and teaches the next estimate."""
from __future__ import annotations

import time
from dataclasses import replace

from models.spec import Step
from pipelines.tasks import Draft
from studio.store import Store, jobs, rounds
from studio.store.timings import Timing, learn, learn_loading, timing


class Pace:
    """One batch on its way. device: the words its timings are kept under."""

    def __init__(self, store: Store, device: str, draft: Draft, job: int) -> None:
        self._store, self._device, self._draft = store, device, draft
        self._known: Timing = timing(store, device, draft.card, draft.spec.width, draft.spec.height)
        self._others = jobs.count_waiting(store, job)
        self._finals = self._of_finals(job) if draft.stage == "draft" else 0.0
        self.longest = 0.0  # seconds of a step of the whole batch
        self._steps: list[float] = []  # seconds a step and picture
        self._last = time.monotonic()
        self._first: float | None = None  # seconds until the first step was done
        self.loading: float | None = None
        self._total, self._steps_left = draft.spec.steps, draft.spec.steps
        self._rest, self._pictures = 0.0, 0

    def step(self, step: Step) -> float | None:
        """Takes in a step; seconds left of the job, None while nothing is known."""
        seconds, self._last = time.monotonic() - self._last, time.monotonic()
        if self._first is None:  # it also loads weights and reads the prompt
            self._first = seconds
        else:
            self._steps.append(seconds / len(step.seeds))
            self.longest = max(self.longest, seconds)
        self._total, self._steps_left = step.total, step.total - step.index
        return self.left()

    def left(self) -> float | None:
        """Seconds left of the job, scoring included."""
        rate = sum(self._steps) / len(self._steps) if self._steps else self._known.step
        now = replace(self._known, step=rate)
        here = now.of_draft(len(self._draft.numbers) - self._pictures, self._steps_left)
        there = now.of_draft(self._others, self._total)
        return None if here is None or there is None else round(here + there + self._finals, 2)

    def _of_finals(self, job: int) -> float:
        """Seconds that the finals of a ladder will take, if the first that are chosen pass."""
        plan = rounds.plan_of(jobs.job_row(self._store, job))
        if plan is None:
            return 0.0
        spec = plan.final.spec
        known = timing(self._store, self._device, plan.final.card, spec.width, spec.height)
        return known.of_draft(plan.goal.keep, spec.steps) or 0.0

    def picture(self) -> None:
        """Takes in a picture that is decoded and finished."""
        self._rest += time.monotonic() - self._last
        self._last = time.monotonic()
        self._pictures += 1

    def learn(self, loaded: bool) -> None:
        """Keeps what this batch took. loaded: its card was loaded before; else `loading` says afterwards how long that took."""
        measured = {}
        if self._steps:
            measured["step"] = sorted(self._steps)[len(self._steps) // 2]
            if not loaded and self._first is not None:
                self.loading = max(0.0, self._first - self.longest)
                learn_loading(self._store, self._device, self._draft.card, self.loading)
        if self._pictures:
            measured["rest"] = self._rest / self._pictures
        spec = self._draft.spec
        learn(self._store, self._device, self._draft.card, spec.width, spec.height, **measured)
