"""Jobs and the tasks a worker leases. Every change of state is one transaction."""
from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import NotFound, StudioError
from pipelines.funnel import End
from pipelines.plan import Plan
from pipelines.request import Request
from pipelines.tasks import Draft
from studio.store.db import Store, now
from studio.store.people import Who, visible
from studio.store.rounds import add_batches
from studio.store.turns import ACTIVE, next_task

ATTEMPTS = 3
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Task:
    """A leased task. `payload` is a Draft as a dict, or {"numbers": [...]} to judge."""

    id: int
    job: int
    kind: str
    position: int
    attempts: int
    payload: dict[str, Any]


class NotNow(StudioError):
    """The record is in a state in which this cannot be done."""


@dataclass(frozen=True)
class Placing:
    """Where a new job stands. front: before the other jobs of its person and priority. not_before: UTC, as `now` writes it."""

    priority: int = 0
    front: bool = False
    not_before: str | None = None


AS_IT_COMES = Placing()


def add_job(
    store: Store,
    request: Request,
    plan: Plan,
    person: str,
    placing: Placing = AS_IT_COMES,
    then: Callable[[sqlite3.Connection, int, Mapping[int, Draft]], None] | None = None,
) -> int:
    """Queues a job with its first round; its id. then: called in the same transaction, with it and its batches by position."""
    created = now()
    card = plan.final.card
    before_mine = f"SELECT min(coalesce(place, id)) - 1 FROM jobs WHERE state IN {ACTIVE} AND person = ? AND priority = ?"
    with store.write() as db:
        job = db.execute(
            "INSERT INTO jobs (person, state, request, prompt, family, tier, card, draft, keep, steps, guidance, profile, created, parent,"
            " priority, not_before, ladder, rounds, plan, place) VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
            f" CASE WHEN ? THEN ({before_mine}) END)",
            [person, json.dumps(request.to_dict()), request.prompt, request.family, request.tier, card, request.draft, request.keep,
             request.steps, request.guidance, request.profile, created, request.parent, placing.priority, placing.not_before,
             request.ladder, request.retries + 1, json.dumps(plan.to_dict()), placing.front, person, placing.priority],
        ).lastrowid  # fmt: skip
        assert job is not None
        drafts = plan.first(request.seeds)
        placed = add_batches(db, job, person, drafts, {number: request.parent for draft in drafts for number in draft.numbers})
        if then is not None:
            then(db, job, placed)
    return job


def job_row(store: Store, job: int, who: Who | None = None, own: bool = False) -> sqlite3.Row:
    """Raises NotFound, also for a job that `who` may not see, or with `own` is not theirs."""
    row = None
    if 0 < job <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM jobs WHERE id = ?", [job]).fetchone()
    if row is None or (who is not None and not (row["person"] == who.name if own else who.sees(row["person"], row["shared"]))):
        raise NotFound(f"There is no job {job if 0 < job <= LARGEST_ID else 'of that number'}.")
    return row


def list_jobs(store: Store, who: Who, active: bool = False, limit: int = 100) -> list[sqlite3.Row]:
    """Those they may see, newest first."""
    seen, values = visible(who, "jobs")
    only = f" AND state IN {ACTIVE}" if active else ""
    return store.db.execute(f"SELECT * FROM jobs WHERE {seen}{only} ORDER BY id DESC LIMIT ?", [*values, limit]).fetchall()


def all_open(store: Store) -> list[sqlite3.Row]:
    """Everybody's jobs that have not ended: for the queue, which shows of others' only that they are there."""
    return store.db.execute(f"SELECT * FROM jobs WHERE state IN {ACTIVE} ORDER BY id").fetchall()


def asked_for(store: Store, card: str) -> bool:
    """Whether a job that has not ended draws with this card."""
    drawn_by = "jobs.card = ?1 OR EXISTS (SELECT 1 FROM images WHERE images.job_id = jobs.id AND images.card = ?1)"
    return store.db.execute(f"SELECT 1 FROM jobs WHERE state IN {ACTIVE} AND ({drawn_by}) LIMIT 1", [card]).fetchone() is not None


def count_queued(store: Store) -> int:
    return store.db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]


def cancel_job(store: Store, job: int, who: Who) -> None:
    """What waits is dropped now; the worker sees it within one step. Candidates drawn stay, and are still judged.

    Raises NotFound (an admin may cancel anybody's), and NotNow for a job that has ended.
    """
    job_row(store, job, None if who.admin else who, own=True)
    with store.write() as db:
        row = db.execute(
            f"UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state IN {ACTIVE} RETURNING id", [now(), job]
        ).fetchone()
        if row is None:
            state = db.execute("SELECT state FROM jobs WHERE id = ?", [job]).fetchone()["state"]
            raise NotNow(f"Job {job} cannot be cancelled.", f"It is {state}.")
        drop_waiting(db, job)


def request_of(row: sqlite3.Row) -> dict[str, Any]:
    """What a job's request was, as Request.to_dict gave it."""
    return json.loads(row["request"])


def has_ended(store: Store, job: int) -> bool:
    """True for a job that has no use for another candidate, whether it was cancelled or failed."""
    return store.db.execute(f"SELECT 1 FROM jobs WHERE id = ? AND state IN {ACTIVE}", [job]).fetchone() is None


def lease(store: Store, worker: str, seconds: float, loaded: str | None = None, scoring: bool = False) -> Task | None:
    """The next task for `worker`, held until `seconds` from now; None when nothing waits, or may be taken now.

    Whose turn it is says `turns.next_task`, where `loaded` and `scoring` are explained. A job's first lease sets it running.
    """
    with store.write() as db:
        found = next_task(db, now(), loaded, scoring)
        if found is None:
            return None
        row = db.execute(
            "UPDATE tasks SET state = 'leased', worker = ?, lease_until = ?, attempts = attempts + 1 WHERE id = ?"
            " RETURNING id, job_id, kind, position, attempts, payload",
            [worker, time.time() + seconds, found],
        ).fetchone()
        task = _task(row)
        db.execute("UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ? AND state = 'queued'", [now(), task.job])
        if task.kind == "draft":
            numbers = Draft.from_dict(task.payload).numbers
            db.execute(
                f"UPDATE images SET state = 'drawing' WHERE job_id = ? AND state = 'waiting' AND number IN ({_marks(numbers)})",
                [task.job, *numbers],
            )
    return task


def renew(store: Store, task: int, worker: str, seconds: float) -> None:
    store.db.execute("UPDATE tasks SET lease_until = ? WHERE id = ? AND worker = ?", [time.time() + seconds, task, worker])


def overdue(store: Store) -> bool:
    """True when a task of the device worker's has passed its deadline: it hangs."""
    late = "SELECT 1 FROM tasks WHERE state = 'leased' AND place IS NULL AND lease_until < ?"
    return store.db.execute(late, [time.time()]).fetchone() is not None


def release_leases(store: Store, blame: bool) -> list[int]:
    """Gives back every lease of the device's (its one worker is gone); the jobs touched.

    blame: the worker died by itself, so the task it held has used up an attempt; at ATTEMPTS its job fails. False when the page
    went first or the worker was told to stop, which is no fault of the task's.
    """
    touched = []
    with store.write() as db:
        held = "SELECT id, job_id, kind, position, attempts, payload FROM tasks WHERE state = 'leased' AND place IS NULL"
        for row in db.execute(held).fetchall():
            touched.append(row["job_id"])
            attempts = row["attempts"] if blame else max(0, row["attempts"] - 1)
            db.execute(
                "UPDATE tasks SET state = 'waiting', worker = NULL, lease_until = NULL, attempts = ? WHERE id = ?", [attempts, row["id"]]
            )
            if attempts >= ATTEMPTS:
                doing = "drawing" if row["kind"] == "draft" else "scoring"
                fail_in(
                    db, _task(row),
                    f"The worker stopped {attempts} times while {doing} this job.",
                    "The same batch ended it each time; memory is the usual cause.",
                    "Try a smaller size or fewer candidates; logs/worker.out in the data folder may say more.",
                )  # fmt: skip
        db.execute("UPDATE images SET state = 'waiting' WHERE state = 'drawing' AND place = ''")
        # Left over from a cancel that nobody was there to see.
        _drop_waiting(db, f"job_id IN (SELECT id FROM jobs WHERE state NOT IN {ACTIVE})", [], "place IS NULL", "place = ''")
    return sorted(set(touched))


def fail_task(store: Store, task: Task, what: str, why: str = "", todo: str = "") -> None:
    """Ends a task's job with the reason. What was drawn stays, and is still scored."""
    with store.write() as db:
        fail_in(db, task, what, why, todo)


def fail_in(db: sqlite3.Connection, task: Task, what: str, why: str, todo: str) -> None:
    """As `fail_task`, inside a transaction of the caller's."""
    error = json.dumps({"what": what, "why": why, "todo": todo})
    db.execute(f"UPDATE jobs SET state = 'failed', finished = ?, error = ? WHERE id = ? AND state IN {ACTIVE}", [now(), error, task.job])
    if task.kind == "draft":
        close_draft(db, task, stopped=True)
    db.execute("UPDATE tasks SET state = 'failed', worker = NULL, lease_until = NULL WHERE id = ?", [task.id])
    drop_waiting(db, task.job)


def missing(store: Store, job: int, numbers: Iterable[int]) -> set[int]:
    """Those of `numbers` that are not drawn yet."""
    numbers = list(numbers)
    rows = store.db.execute(
        f"SELECT number FROM images WHERE job_id = ? AND state != 'drawn' AND number IN ({_marks(numbers)})", [job, *numbers]
    )
    return {row["number"] for row in rows}


def count_waiting(store: Store, job: int) -> int:
    """Candidates of a job that no worker has taken yet."""
    return store.db.execute("SELECT count(*) FROM images WHERE job_id = ? AND state = 'waiting'", [job]).fetchone()[0]


def made_progress(db: sqlite3.Connection, task: Task) -> None:
    """A batch that gives pictures is not the one that ends workers: its attempts are forgotten."""
    db.execute("UPDATE tasks SET attempts = 0 WHERE id = ?", [task.id])


def close_draft(db: sqlite3.Connection, task: Task, stopped: bool) -> bool:
    """Ends a draft task inside the caller's transaction and queues the scoring of what it drew; False while pictures are missing.

    stopped: the job was cancelled or failed, so what is missing will not come.
    """
    numbers = Draft.from_dict(task.payload).numbers
    marks = _marks(numbers)
    rows = db.execute(f"SELECT number, state FROM images WHERE job_id = ? AND number IN ({marks})", [task.job, *numbers]).fetchall()
    drawn = [row["number"] for row in rows if row["state"] == "drawn"]
    if len(drawn) < len(numbers) and not stopped:
        return False
    if stopped:
        where = f"job_id = ? AND state IN ('waiting', 'drawing') AND number IN ({marks})"
        db.execute(f"UPDATE images SET state = 'failed' WHERE {where}", [task.job, *numbers])
    ended = db.execute(
        "UPDATE tasks SET state = ?, worker = NULL, lease_until = NULL WHERE id = ? AND state IN ('waiting', 'leased') RETURNING position",
        ["cancelled" if stopped else "done", task.id],
    ).fetchone()
    if ended and drawn:
        db.execute(
            "INSERT INTO tasks (job_id, kind, position, payload, state) VALUES (?, 'judge', ?, ?, 'waiting')",
            [task.job, ended["position"], json.dumps({"numbers": sorted(drawn)})],
        )
    return True


def drop_waiting(db: sqlite3.Connection, job: int) -> None:
    """Ends those batches of a job that nobody holds, inside the caller's transaction: what was not drawn yet will not come."""
    _drop_waiting(db, "job_id = ?", [job])


def _drop_waiting(db: sqlite3.Connection, where: str, values: Sequence[object], tasks: str = "1", pictures: str = "1") -> None:
    """Ends the batches of ended jobs that no worker holds. What a worker that is gone had drawn of them is still scored."""
    left = f"state = 'waiting' AND kind = 'draft' AND {where} AND {tasks}"
    for row in db.execute(f"SELECT id, job_id, kind, position, attempts, payload FROM tasks WHERE {left}", values).fetchall():
        close_draft(db, _task(row), stopped=True)
    db.execute(f"UPDATE images SET state = 'failed' WHERE state = 'waiting' AND {where} AND {pictures}", values)


def close_judge(db: sqlite3.Connection, task: Task) -> bool:
    """Ends a scoring task inside the caller's transaction; True when nothing of the job is left to do."""
    db.execute("UPDATE tasks SET state = 'done', worker = NULL, lease_until = NULL WHERE id = ?", [task.id])
    left = db.execute("SELECT count(*) FROM tasks WHERE job_id = ? AND state IN ('waiting', 'leased')", [task.job]).fetchone()[0]
    return left == 0


def finish_job(db: sqlite3.Connection, job: int, end: End | None = None) -> None:
    """Ends a job that is open, with what became of it, inside the caller's transaction."""
    db.execute(
        f"UPDATE jobs SET state = 'done', started = coalesce(started, ?), finished = ?, outcome = ? WHERE id = ? AND state IN {ACTIVE}",
        [now(), now(), json.dumps(end.to_dict()) if end else None, job],
    )


def draft_of(store: Store, task: Task) -> dict[str, Any]:
    """The batch, as a Draft's dict, that a scoring task is about."""
    where = "job_id = ? AND kind = 'draft' AND position = ?"
    return json.loads(store.db.execute(f"SELECT payload FROM tasks WHERE {where}", [task.job, task.position]).fetchone()[0])


def _task(row: sqlite3.Row) -> Task:
    return Task(row["id"], row["job_id"], row["kind"], row["position"], row["attempts"], json.loads(row["payload"]))


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
