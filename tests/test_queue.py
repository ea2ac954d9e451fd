"""The queue: what a worker gets, what it holds, and what happens when it is gone."""
from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from models.cards import Catalogue
from pipelines.plan import plan_for
from pipelines.request import Request
from studio.store import Store, images, jobs
from studio.store.jobs import NotNow, Task
from studio.store.people import LOCAL


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "studio.db")
    yield store
    store.close()


def add(store: Store, shipped: Catalogue, **fields) -> int:
    request = Request.from_dict({"prompt": "a red mug"} | fields, shipped)
    return jobs.add_job(store, request, plan_for(request, shipped), LOCAL.name)


def draw(store: Store, task: Task, *numbers: int) -> None:
    """What the saver does for each picture, without a file."""
    for number in numbers:
        with store.write() as db:
            images.mark_drawn(db, task.job, number, path=f"{number}.png", width=8, height=8, seconds=0, details={})
            jobs.made_progress(db, task)
            jobs.close_draft(db, task, stopped=False)


def states(store: Store, job: int) -> list[str]:
    return [row["state"] for row in images.of_job(store, job)]


def task_states(store: Store, job: int) -> list[tuple[str, str]]:
    return [tuple(row) for row in store.db.execute("SELECT kind, state FROM tasks WHERE job_id = ? ORDER BY id", [job])]


def lease(store: Store) -> Task:
    task = jobs.lease(store, "w", 60)
    assert task is not None
    return task


def test_jobs_come_in_order_and_scoring_between_the_batches_of_its_job(store, shipped):
    first, second = add(store, shipped, draft=12), add(store, shipped, draft=2)
    order = []
    while task := jobs.lease(store, "w", 60):
        order.append((task.job, task.kind, task.position))
        if task.kind == "draft":
            draw(store, task, *task.payload["numbers"])
        else:
            with store.write() as db:
                jobs.close_judge(db, task)
    assert order == [
        (first, "draft", 0), (first, "judge", 0), (first, "draft", 1), (first, "judge", 1), (second, "draft", 0), (second, "judge", 0),
    ]  # fmt: skip


def test_the_first_lease_sets_a_job_running_and_its_candidates_drawing(store, shipped):
    job = add(store, shipped, draft=12)
    assert jobs.count_queued(store) == 1
    task = lease(store)
    assert task.attempts == 1
    assert jobs.job_row(store, job)["state"] == "running"
    assert states(store, job) == ["drawing"] * 6 + ["waiting"] * 6
    assert jobs.count_waiting(store, job) == 6
    assert jobs.count_queued(store) == 0


def test_a_batch_is_done_with_its_last_picture_and_then_scored(store, shipped):
    job = add(store, shipped, draft=2)
    task = lease(store)
    draw(store, task, 2)
    assert task_states(store, job) == [("draft", "leased")]
    draw(store, task, 1)
    assert task_states(store, job) == [("draft", "done"), ("judge", "waiting")]
    judge = lease(store)
    assert judge.payload == {"numbers": [1, 2]}
    with store.write() as db:
        assert jobs.close_judge(db, judge)
        jobs.finish_job(db, job)
    assert jobs.job_row(store, job)["state"] == "done"
    assert jobs.lease(store, "w", 60) is None


def test_what_a_dead_worker_held_is_free_at_once_and_only_the_missing_is_drawn_again(store, shipped):
    job = add(store, shipped, draft=4)
    draw(store, lease(store), 1, 3)
    assert jobs.release_leases(store, blame=True) == [job]
    assert states(store, job) == ["drawn", "waiting", "drawn", "waiting"]
    again = lease(store)
    assert jobs.missing(store, job, again.payload["numbers"]) == {2, 4}
    draw(store, again, 2, 4)
    assert task_states(store, job) == [("draft", "done"), ("judge", "waiting")]


def test_a_batch_that_ends_three_workers_fails_its_job_with_the_reason_and_frees_the_rest(store, shipped):
    poison, healthy = add(store, shipped, draft=12), add(store, shipped, draft=1)
    for attempt in range(1, jobs.ATTEMPTS + 1):
        task = lease(store)
        assert (task.job, task.attempts) == (poison, attempt)
        jobs.release_leases(store, blame=True)
    row = jobs.job_row(store, poison)
    assert row["state"] == "failed"
    assert "stopped 3 times while drawing" in row["error"]
    assert states(store, poison) == ["failed"] * 12
    assert lease(store).job == healthy


def test_pictures_of_a_poisoned_batch_stay_and_are_scored(store, shipped):
    job = add(store, shipped, draft=4)
    draw(store, lease(store), 1)
    jobs.release_leases(store, blame=True)
    for _ in range(jobs.ATTEMPTS):
        lease(store)
        jobs.release_leases(store, blame=True)
    assert jobs.job_row(store, job)["state"] == "failed"
    assert states(store, job) == ["drawn", "failed", "failed", "failed"]
    assert lease(store).payload == {"numbers": [1]}


def test_a_picture_forgives_the_attempts_before_it(store, shipped):
    job = add(store, shipped, draft=8)
    for number in range(1, 7):
        draw(store, lease(store), number)
        jobs.release_leases(store, blame=True)
    assert jobs.job_row(store, job)["state"] == "running"


def test_a_page_that_is_killed_again_and_again_blames_no_task(store, shipped):
    job = add(store, shipped, draft=1)
    for _ in range(10):
        assert lease(store).attempts == 1
        jobs.release_leases(store, blame=False)
    assert jobs.job_row(store, job)["state"] == "running"


def test_cancelling_drops_what_waits_and_keeps_what_is_drawn(store, shipped):
    job = add(store, shipped, draft=12)
    task = lease(store)
    draw(store, task, 1)
    jobs.cancel_job(store, job, LOCAL)
    assert jobs.has_ended(store, job)
    assert task_states(store, job) == [("draft", "leased"), ("draft", "cancelled")]
    with store.write() as db:
        assert jobs.close_draft(db, task, stopped=True)
    assert states(store, job) == ["drawn"] + ["failed"] * 11
    judge = lease(store)
    assert (judge.kind, judge.payload) == ("judge", {"numbers": [1]})
    with store.write() as db:
        assert jobs.close_judge(db, judge)
        jobs.finish_job(db, job)
    assert jobs.job_row(store, job)["state"] == "cancelled"


def test_a_cancel_that_no_worker_saw_holds_after_a_restart(store, shipped):
    job = add(store, shipped, draft=4)
    lease(store)
    jobs.cancel_job(store, job, LOCAL)
    jobs.release_leases(store, blame=False)
    assert jobs.lease(store, "w", 60) is None
    assert states(store, job) == ["failed"] * 4


def test_a_job_that_has_ended_cannot_be_cancelled(store, shipped):
    job = add(store, shipped, draft=1)
    jobs.cancel_job(store, job, LOCAL)
    with pytest.raises(NotNow, match="It is cancelled"):
        jobs.cancel_job(store, job, LOCAL)


def test_a_lease_is_overdue_after_its_deadline_unless_renewed_by_its_worker(store, shipped):
    add(store, shipped, draft=1)
    task = jobs.lease(store, "w", -1)
    assert task is not None
    assert jobs.overdue(store)
    jobs.renew(store, task.id, "another", 60)
    assert jobs.overdue(store)
    jobs.renew(store, task.id, "w", 60)
    assert not jobs.overdue(store)


def _take_all(path: Path, name: str, queue: multiprocessing.Queue) -> None:
    store = Store(path)
    taken = []
    while task := jobs.lease(store, name, 60):
        taken.append(task.id)
        time.sleep(0)
    queue.put(taken)


def test_processes_that_lease_at_once_never_get_the_same_task(store, shipped):
    for _ in range(3):
        add(store, shipped, draft=240)
    total = store.db.execute("SELECT count(*) FROM tasks").fetchone()[0]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_take_all, args=(store.path, f"w{index}", queue)) for index in range(3)]
    for worker in workers:
        worker.start()
    taken = [task for _ in workers for task in queue.get(timeout=30)]
    for worker in workers:
        worker.join()
    assert len(taken) == len(set(taken)) == total == 90
