"""Whose turn it is: the rule by which the next batch is chosen, and what holds the whole queue back.

Priority first. Within a priority the person who was served longest ago comes next, batch by batch, so that nobody's hundred jobs
make the others wait. Within a person's jobs their own order counts.
"""
from __future__ import annotations

import sqlite3

from studio.store.db import Store

ACTIVE = "('queued', 'running')"
_WAITING = "FROM tasks WHERE tasks.job_id = jobs.id AND tasks.kind = 'draft' AND tasks.state = 'waiting' AND tasks.place IS NULL"

# Settings with the reason as their value; "" or absent: not paused. An admin's word and the studio's own (a disk nearly full) are
# apart, so that neither takes back what the other said.
PAUSED, PAUSED_BECAUSE = "queue.paused", "queue.paused_because"


def why_paused(store: Store) -> str:
    """Why nothing is taken from the queue; "" while it runs."""
    return _why_paused(store.db)


def _why_paused(db: sqlite3.Connection) -> str:
    rows = db.execute("SELECT value FROM settings WHERE key IN (?, ?) AND value != '' ORDER BY key DESC", [PAUSED_BECAUSE, PAUSED])
    return " ".join(row[0] for row in rows)


def next_task(db: sqlite3.Connection, at: str, loaded: str | None = None, scoring: bool = False) -> int | None:
    """The id of the task that the device takes now, inside the caller's transaction; None when nothing may be. A batch counts as a turn.

    at: now, as `store.now` writes it. loaded: a card that is to be kept while it has work of the highest priority that waits.
    scoring: only what is drawn already is to be seen to.
    """
    if _why_paused(db):
        return None
    # What is drawn is scored first: it takes a moment, and scores stream in between the batches of a job.
    judge = db.execute("SELECT id FROM tasks WHERE state = 'waiting' AND kind = 'judge' ORDER BY job_id, position LIMIT 1").fetchone()
    if judge is not None:
        return judge["id"]
    if scoring:
        return None
    job = db.execute(
        f"""SELECT jobs.id, jobs.person FROM jobs LEFT JOIN turns ON turns.person = jobs.person
        WHERE jobs.state IN {ACTIVE} AND NOT jobs.paused AND (jobs.not_before IS NULL OR jobs.not_before <= ?)
            AND EXISTS (SELECT 1 {_WAITING})
        ORDER BY jobs.priority DESC, coalesce((SELECT tasks.card {_WAITING} ORDER BY position LIMIT 1), jobs.card) IS NOT ?,
            coalesce(turns.served, 0), jobs.person, coalesce(jobs.place, jobs.id), jobs.id
        LIMIT 1""",
        [at, loaded],
    ).fetchone()
    if job is None:
        return None
    db.execute(
        "INSERT INTO turns VALUES (?, (SELECT coalesce(max(served), 0) + 1 FROM turns))"
        " ON CONFLICT (person) DO UPDATE SET served = excluded.served",
        [job["person"]],
    )
    drafts = "SELECT id FROM tasks WHERE job_id = ? AND kind = 'draft' AND state = 'waiting' AND place IS NULL ORDER BY position LIMIT 1"
    return db.execute(drafts, [job["id"]]).fetchone()["id"]


def anything_waits(db: sqlite3.Connection, at: str) -> bool:
    """Whether `next_task` would find something now. Changes nothing."""
    if _why_paused(db):
        return False
    judge = "SELECT 1 FROM tasks WHERE state = 'waiting' AND kind = 'judge'"
    draft = f"""SELECT 1 FROM jobs WHERE state IN {ACTIVE} AND NOT paused AND (not_before IS NULL OR not_before <= ?)
        AND EXISTS (SELECT 1 {_WAITING})"""
    return bool(db.execute(f"SELECT EXISTS ({judge}) OR EXISTS ({draft})", [at]).fetchone()[0])


def served(store: Store) -> dict[str, int]:
    """The number of each person's latest turn; the lowest is served next."""
    return {row["person"]: row["served"] for row in store.db.execute("SELECT person, served FROM turns")}


def open_jobs(store: Store) -> list[sqlite3.Row]:
    """What the device has left of each open job, a row a job and kind of batch.

    Columns: id, person, priority, place, paused, not_before, card, steps, width, height; `pictures` not drawn yet; `tasks` and
    `leased`: batches that wait and batches under way. Of a job that drafts first also what will be finished of it: `finals` pictures
    (0 for the others) by `final_card`, with `final_steps`, `final_width` and `final_height`.
    """
    return store.db.execute(
        f"""WITH open AS (SELECT * FROM jobs WHERE state IN {ACTIVE}),
        batches AS (SELECT job_id, sum(state = 'waiting') AS tasks, sum(state = 'leased') AS leased
            FROM tasks WHERE state IN ('waiting', 'leased') AND kind = 'draft' AND place IS NULL GROUP BY job_id)
        SELECT open.id, open.person, open.priority, coalesce(open.place, open.id) AS place, open.paused, open.not_before,
            images.card, images.steps, images.width, images.height, count(*) AS pictures, coalesce(batches.tasks, 0) AS tasks,
            coalesce(batches.leased, 0) AS leased, CASE images.stage WHEN 'draft' THEN open.keep ELSE 0 END AS finals,
            open.card AS final_card, open.steps AS final_steps, json_extract(open.plan, '$.final.spec.width') AS final_width,
            json_extract(open.plan, '$.final.spec.height') AS final_height
        FROM open JOIN images ON images.job_id = open.id AND images.state IN ('waiting', 'drawing') AND images.place = ''
            LEFT JOIN batches ON batches.job_id = open.id
        GROUP BY open.id, images.card, images.steps, images.width, images.height ORDER BY open.id"""
    ).fetchall()
