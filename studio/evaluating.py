"""Takes evaluations through: asks for pictures a few jobs at a time, notes what was measured of them, and judges when all is there.

What is under way is in the queue, as anybody's jobs (of those that wait until nothing else does); what was seen is in the store. So a
studio that was killed goes on where it was, and what was drawn before, for this evaluation or an earlier one, comes from history.
"""
from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import StudioError, Unavailable
from models.scorers.catalogue import load_scorers
from pipelines.evaluation import Cell, Setup, cells
from pipelines.measuring import Seen, measure
from pipelines.verdicts import scores, told
from studio.patrol import Patrol
from studio.store import evaluations, loras
from studio.store.evaluations import Row
from studio.store.jobs import NotNow
from studio.store.people import EVERYONE
from studio.trainer import person_of

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

AHEAD = 4  # jobs that are asked for together
PATROL_SECONDS = 30.0  # news may be lost; then it is noticed after this long
PRIORITY = -1  # when nothing else waits
LOST_MOST = 0.25  # share of the pictures without which a verdict is still given


class Evaluator:
    """One for a studio. `advance` may be called from any thread. wished: sees to what is to be evaluated by itself."""

    def __init__(self, studio: Studio, wished: Callable[[], None]) -> None:
        self._studio, self._store, self._wished = studio, studio.store, wished
        self._patrol = Patrol("evaluator", self._look, PATROL_SECONDS)
        self._lock = threading.Lock()

    def start(self) -> None:
        self._patrol.start()

    def stop(self) -> None:
        self._patrol.stop()

    def wake(self) -> None:
        """To be called when a job has changed, the worker has looked at something, or a training has ended."""
        self._patrol.wake()

    def advance(self, evaluation: int) -> None:
        """Goes on with an evaluation as far as it can by now."""
        with self._lock:
            changed = bool(evaluations.take_down(self._store, evaluation))
            row = evaluations.row_of(self._store, evaluation)
            if row["state"] == "running":
                try:
                    changed = self._decide(row) or changed
                except StudioError as error:
                    changed = self._fail(row, error.as_dict())
        if changed:
            self.tell(evaluation)

    def cancel(self, row: Row) -> bool:
        """Ends one that runs, and takes what is not drawn yet out of the queue; whether it ran."""
        with self._lock:
            with self._store.write() as db:
                ended = evaluations.end(db, row["id"], "cancelled")
            self._let_go(row)
        return ended

    def tell(self, evaluation: int) -> None:
        """Tells the browsers of those who may see it."""
        row = evaluations.row_of(self._store, evaluation)
        shared = {"everyone": EVERYONE, "project": row["project"]}.get(row["access"])
        self._studio.hub.publish("evaluation", {"id": evaluation, "state": row["state"], "lora": row["lora"]}, (row["person"], shared))
        if row["state"] == "done":
            self._studio.hub.publish("loras", {"changed": True})

    def fields(self, row: Row, setup: Setup, cell: Cell, pictures: Sequence[int]) -> dict[str, Any]:
        """What is submitted for pictures of one prompt: drawn as they are asked for, with no ladder and no second try."""
        prompt = setup.prompts(cell.part)[cell.prompt]
        number = {"base": None, "version": row["number"], "against": row["against"]}[cell.arm]
        worn = [] if number is None else [{"name": row["lora"], "version": number, "weight": cell.weight}]
        return {
            "prompt": prompt, "source": {"prompt": prompt},  # as it stands: composing would add the trigger word
            "family": row["family"], "tier": row["tier"], "seeds": [seed_of(setup, cell.prompt, one) for one in pictures],
            "keep": 1, "ladder": False, "retries": 0, "loras": worn,
        }  # fmt: skip

    # How it is done.

    def _look(self) -> None:
        self._wished()
        for evaluation in evaluations.running(self._store):
            self._go_on(evaluation)

    def _go_on(self, evaluation: int) -> None:
        try:
            self.advance(evaluation)
        except Exception as error:
            if self._patrol.ending:  # the store was closed meanwhile
                return
            # One that a bug stops must not stop the others, nor come up for ever.
            log.exception("evaluation %d did not go on", evaluation)
            why = f"{type(error).__name__}: {error}"[:500]
            what = {"what": "A bug stopped this evaluation.", "why": why, "todo": "See logs/studio.log."}
            self._fail(evaluations.row_of(self._store, evaluation), what)
            self.tell(evaluation)

    def _decide(self, row: Row) -> bool:
        """Asks for more pictures, or judges; whether anything changed. Raises StudioError where it cannot go on."""
        setup = Setup.from_dict(json.loads(row["setup"]))
        order, known = cells(setup, row["against"] is not None), evaluations.cells(self._store, row["id"])
        seen = {one["number"]: json.loads(one["seen"]) for one in known if one["seen"]}
        lost = [one["why"] for one in seen.values() if "why" in one]
        if len(lost) > LOST_MOST * len(order):
            raise NotNow(f"{len(lost)} of {len(order)} pictures could not be drawn.", lost[0], "Mend the cause, then go on with it.")
        waiting = [one["number"] for one in known if one["job_id"] is None and not one["seen"]]
        if waiting:
            return self._ask(row, setup, order, waiting)
        if len(seen) < len(order):
            return False
        vectors, left, why = evaluations.vectors(self._store, row["id"])
        if left:
            self._studio.wake_worker()
            return False
        if not vectors["cell"]:
            raise Unavailable("The pictures could not be looked at.", why, "Get what it takes in the Quality tab, then go on with it.")
        self._judge(row, setup, order, seen, vectors)
        return True

    def _ask(self, row: Row, setup: Setup, order: Sequence[Cell], waiting: Sequence[int]) -> bool:
        """Queues pictures, those of one prompt in one job; each job is noted in the transaction that queues it."""
        room = AHEAD - evaluations.waiting_jobs(self._store, row["id"])
        groups: dict[tuple[str, str, float, int], list[int]] = {}
        for number in waiting:
            cell = order[number]
            groups.setdefault((cell.part, cell.arm, cell.weight, cell.prompt), []).append(number)
        owner = person_of(self._studio, row["person"])
        for numbers in list(groups.values())[: max(0, room)]:
            cell = order[numbers[0]]
            fields = self.fields(row, setup, cell, [order[number].picture for number in numbers])
            fields |= {"priority": PRIORITY, "note": f"Evaluation {row['id']} of {row['lora']}/v{row['number']}", "safety": "confirmed"}
            self._studio.submit(fields, owner, partial(_place, row["id"], numbers))
        return room > 0

    def _judge(
        self, row: Row, setup: Setup, order: Sequence[Cell], seen: dict[int, Any], vectors: dict[str, dict[int, np.ndarray]]
    ) -> None:
        pictures = [
            Seen(cell, vectors["cell"].get(number), tuple(seen[number]["flaws"]), seen[number]["values"])
            for number, cell in enumerate(order) if "why" not in seen[number]
        ]  # fmt: skip
        prompts = {
            part: np.stack([found[place] for place in range(len(setup.prompts(part)))])
            for part in ("concept", "ordinary") if len(found := vectors[part]) == len(setup.prompts(part))
        }  # fmt: skip
        dataset = np.stack(list(vectors["dataset"].values())) if vectors["dataset"] else None
        finding = measure(setup, pictures, prompts, dataset)
        titles = {name: one.title.lower() for name, one in load_scorers().by_name.items()}
        words = told(finding, setup, f"v{row['against']}" if row["against"] else "", titles)
        with self._store.write() as db:
            if evaluations.end(db, row["id"], "done", result=finding, verdict=finding["verdict"], words=words):
                loras.add_verdict(db, row["lora_id"], row["number"], finding["verdict"], words, scores(finding), row["id"])

    def _fail(self, row: Row, error: dict[str, Any]) -> bool:
        with self._store.write() as db:
            ended = evaluations.end(db, row["id"], "failed", error=error)
        self._let_go(row)
        return ended

    def _let_go(self, row: Row) -> None:
        owner = person_of(self._studio, row["person"])
        for job in evaluations.open_jobs(self._store, row["id"]):
            try:
                self._studio.cancel(job, owner)
            except NotNow:
                log.debug("job %d of evaluation %d had just ended", job, row["id"])


def seed_of(setup: Setup, prompt: int, picture: int) -> int:
    """The same for every arm and weight; no two prompts share one."""
    return setup.seed + 10 * prompt + picture


def _place(evaluation: int, numbers: Sequence[int], db: Any, job: int) -> None:
    evaluations.place(db, evaluation, numbers, job)
