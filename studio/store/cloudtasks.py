"""Batches that providers draw, as rows: which may go, how they are cut to calls, who holds them, and how they come back.

One batch for the cloud is one call and has one charge; beside it at the most a hedge, which is another charge of the same batch. A batch
that waits has a charge whose submit surely never left, or none. Everything that changes more than a row works inside the caller's
transaction, together with the ledger.
"""
from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.tasks import Draft
from studio.store import ledger
from studio.store.db import Store, now
from studio.store.jobs import Task
from studio.store.turns import ACTIVE

CLOUD = "cloud"
_NUMBERS = re.compile(r"[0-9][0-9:.]*")
STAY = "cloud.stay"  # a person's own setting
_TASK = "tasks.id, tasks.job_id, tasks.kind, tasks.position, tasks.attempts, tasks.payload"


@dataclass(frozen=True)
class Travel:
    """What a batch knows of its way. route: JSON of a pipelines Route. avoid: providers that are not asked again for it. attempts: calls
    that were made for it. home: providers were tried often enough, and this machine draws it."""

    route: Mapping[str, Any] = field(default_factory=dict)
    avoid: tuple[str, ...] = ()
    attempts: int = 0
    home: bool = False

    @classmethod
    def of(cls, text: str | None) -> Travel:
        if not text:
            return cls()
        data = json.loads(text)
        return cls(data["route"], tuple(data["avoid"]), data["attempts"], data["home"])

    def text(self) -> str:
        return json.dumps({"route": self.route, "avoid": list(self.avoid), "attempts": self.attempts, "home": self.home})


@dataclass(frozen=True)
class Errand:
    """A leased batch with the charge that it is drawn for."""

    task: Task
    draft: Draft
    charge: int
    provider: str
    model: str
    expected: int
    travel: Travel
    away: bool  # its model is not here
    hedge: bool = False

    @property
    def place(self) -> str:
        return f"{self.provider} {self.model}"


# Which may go.


def candidates(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """Batches that wait for a device or for a choice, of jobs that may go and may be drawn now; in the order of their positions.

    Columns: those of the task (id, job_id, kind, position, attempts, payload, route, place) and of its job (person, priority, turn,
    family, shared, created, not_before, plan, request).
    """
    return db.execute(
        f"""SELECT {_TASK}, tasks.route, tasks.place, jobs.person, jobs.priority, coalesce(jobs.place, jobs.id) AS turn, jobs.family,
            jobs.shared, jobs.created, jobs.not_before, jobs.plan, jobs.request
        FROM jobs JOIN tasks ON tasks.job_id = jobs.id
        WHERE jobs.state IN {ACTIVE} AND NOT jobs.paused AND (jobs.not_before IS NULL OR jobs.not_before <= ?)
            AND json_extract(jobs.request, '$.where') = 'cloud allowed' AND tasks.kind = 'draft' AND tasks.state = 'waiting'
            AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.task_id = tasks.id AND charges.state = 'reserved')
        ORDER BY jobs.id, tasks.position""",
        [now()],
    ).fetchall()


def still_waits(db: sqlite3.Connection, tasks: Sequence[int]) -> set[int]:
    """Those of `tasks` that nobody has taken, chosen or ended meanwhile."""
    marks = ", ".join("?" * len(tasks))
    rows = db.execute(
        f"""SELECT tasks.id FROM tasks JOIN jobs ON jobs.id = tasks.job_id WHERE tasks.id IN ({marks}) AND tasks.state = 'waiting'
        AND jobs.state IN {ACTIVE} AND NOT jobs.paused
        AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.task_id = tasks.id AND charges.state = 'reserved')""",
        list(tasks),
    )
    return {row["id"] for row in rows}


def stays(db: sqlite3.Connection, person: str, shared: str | None, request: Mapping[str, Any]) -> str:
    """Why nothing of a job may leave this machine, whatever it allows; "" when it may."""
    if request.get("where") != "cloud allowed":
        return "The request is to be drawn on this machine."
    row = db.execute("SELECT value FROM preferences WHERE person = ? AND name = ?", [person, STAY]).fetchone()
    if row is not None and json.loads(row["value"]):
        return f"Requests of {person} stay on this machine."
    project = ledger.project_of(shared)
    row = db.execute("SELECT title FROM projects WHERE name = ? AND local_only", [project]).fetchone() if project else None
    return f"What belongs to {row['title']} stays on this machine." if row else ""


# How they are cut and sent.


def cut(db: sqlite3.Connection, rows: Sequence[sqlite3.Row], parts: Sequence[Sequence[int]]) -> list[int]:
    """Cuts batches of one job, drawn from one and the same spec, anew: one batch for each of `parts`, which are numbers of candidates
    that together are those of `rows`. The batches' ids, in the order of `parts`."""
    drafts = [Draft.from_dict(json.loads(row["payload"])) for row in rows]
    seeds = {number: seed for draft in drafts for number, seed in zip(draft.numbers, draft.spec.seeds, strict=True)}
    assert sorted(seeds) == sorted(number for part in parts for number in part)
    job, ids = rows[0]["job_id"], [row["id"] for row in rows]
    found = []
    for place, part in enumerate(parts):
        payload = json.dumps(_of_numbers(drafts[0], part, seeds).to_dict())
        if place < len(ids):
            db.execute("UPDATE tasks SET payload = ? WHERE id = ?", [payload, ids[place]])
            found.append(ids[place])
            continue
        row = db.execute(
            "INSERT INTO tasks (job_id, kind, position, payload, state, card, place, route) SELECT job_id, kind,"
            " (SELECT max(position) + 1 FROM tasks WHERE job_id = ?1 AND kind = 'draft'), ?2, 'waiting', card, place, route"
            " FROM tasks WHERE id = ?3 RETURNING id",
            [job, payload, ids[0]],
        ).fetchone()
        found.append(row["id"])
    # What is left over has no candidates any more; its charges, if it ever had any, stay in the ledger.
    db.executemany("DELETE FROM tasks WHERE id = ?", [[task] for task in ids[len(parts) :]])
    return found


def _of_numbers(draft: Draft, numbers: Sequence[int], seeds: Mapping[int, int]) -> Draft:
    spec = replace(draft.spec, seeds=tuple(seeds[number] for number in numbers))
    return replace(draft, spec=spec, numbers=tuple(numbers))


def send(db: sqlite3.Connection, task: int, job: int, numbers: Sequence[int], place: str, travel: Travel) -> None:
    """Marks a batch as a provider's, beside the reservation of its charge."""
    db.execute("UPDATE tasks SET place = ?, route = ? WHERE id = ?", [CLOUD, travel.text(), task])
    set_place(db, job, numbers, place)


def keep_away(db: sqlite3.Connection, job: int, cards: Sequence[str]) -> None:
    """The batches of these cards, now and in later rounds, are for the cloud: the device cannot draw them."""
    db.execute("UPDATE jobs SET away = ? WHERE id = ?", [json.dumps(list(cards)), job])
    marks = ", ".join("?" * len(cards))
    db.execute(f"UPDATE tasks SET place = ? WHERE job_id = ? AND state = 'waiting' AND card IN ({marks})", [CLOUD, job, *cards])
    db.execute(f"UPDATE images SET place = ? WHERE job_id = ? AND state = 'waiting' AND card IN ({marks})", [CLOUD, job, *cards])


def set_place(db: sqlite3.Connection, job: int, numbers: Sequence[int], place: str) -> None:
    marks = ", ".join("?" * len(numbers))
    db.execute(f"UPDATE images SET place = ? WHERE job_id = ? AND number IN ({marks}) AND state != 'drawn'", [place, job, *numbers])


def say(db: sqlite3.Connection, job: int, words: str, always: bool = True) -> bool:
    """Why a job is drawn where it is; False when that was said already. always: also where only numbers in it changed."""
    before = db.execute("SELECT where_words FROM jobs WHERE id = ?", [job]).fetchone()["where_words"]
    if before == words or (not always and _NUMBERS.sub("#", before) == _NUMBERS.sub("#", words)):
        return False
    db.execute("UPDATE jobs SET where_words = ? WHERE id = ?", [words, job])
    return True


def go_home(db: sqlite3.Connection, task: int, job: int, numbers: Sequence[int]) -> None:
    """A batch whose model has come to this machine meanwhile is the device's again."""
    db.execute("UPDATE tasks SET place = NULL WHERE id = ?", [task])
    set_place(db, job, numbers, "")


# In the cloud worker.


def lease(db: sqlite3.Connection, worker: str, limit: int) -> list[Errand]:
    """Takes batches that were sent, in the order in which they were reserved."""
    rows = db.execute(
        f"""SELECT tasks.id FROM tasks JOIN charges ON charges.task_id = tasks.id JOIN jobs ON jobs.id = tasks.job_id
        WHERE tasks.place = ? AND tasks.state = 'waiting' AND charges.state = 'reserved' AND charges.begun IS NULL
            AND charges.hedge_of IS NULL AND jobs.state IN {ACTIVE} AND NOT jobs.paused ORDER BY charges.id LIMIT ?""",
        [CLOUD, limit],
    ).fetchall()
    taken = []
    for row in rows:
        db.execute("UPDATE tasks SET state = 'leased', worker = ?, attempts = attempts + 1 WHERE id = ?", [worker, row["id"]])
        (charge,) = [one for one in live(db, row["id"]) if one["hedge_of"] is None]
        errand = errand_of(db, charge)
        assert errand is not None
        job = errand.task.job
        db.execute("UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ? AND state = 'queued'", [now(), job])
        marks = ", ".join("?" * len(errand.draft.numbers))
        where = f"job_id = ? AND state = 'waiting' AND number IN ({marks})"
        db.execute(f"UPDATE images SET state = 'drawing' WHERE {where}", [job, *errand.draft.numbers])
        taken.append(errand)
    return taken


def anything_sent(db: sqlite3.Connection) -> bool:
    """Whether `lease` may find something. Changes nothing."""
    return db.execute("SELECT 1 FROM tasks WHERE place = 'cloud' AND state = 'waiting' LIMIT 1").fetchone() is not None


def free_orphans(db: sqlite3.Connection) -> None:
    """Batches that are leased although nothing of them is under way wait again."""
    for row in db.execute(
        """SELECT tasks.id, tasks.job_id, tasks.payload, tasks.card, jobs.away FROM tasks JOIN jobs ON jobs.id = tasks.job_id
        WHERE tasks.place = 'cloud' AND tasks.state = 'leased' AND NOT EXISTS
            (SELECT 1 FROM charges WHERE charges.task_id = tasks.id AND charges.state IN ('reserved', 'submitted'))"""
    ).fetchall():
        away = row["card"] in json.loads(row["away"])
        db.execute("UPDATE tasks SET state = 'waiting', worker = NULL, place = ? WHERE id = ?", [CLOUD if away else None, row["id"]])
        numbers = json.loads(row["payload"])["numbers"]
        marks = ", ".join("?" * len(numbers))
        where = f"job_id = ? AND state = 'drawing' AND number IN ({marks})"
        db.execute(f"UPDATE images SET state = 'waiting', place = ? WHERE {where}", [CLOUD if away else "", row["job_id"], *numbers])


def errand_of(db: sqlite3.Connection, charge: sqlite3.Row) -> Errand | None:
    """The batch of a charge; None when it is gone."""
    row = db.execute(
        f"SELECT {_TASK}, tasks.route, tasks.card, jobs.away FROM tasks JOIN jobs ON jobs.id = tasks.job_id WHERE tasks.id = ?",
        [charge["task_id"]],
    ).fetchone()
    if row is None:
        return None
    task = Task(row["id"], row["job_id"], row["kind"], row["position"], row["attempts"], json.loads(row["payload"]))
    draft = Draft.from_dict(task.payload).only(set(json.loads(charge["numbers"])))
    return Errand(
        task, draft, charge["id"], charge["provider"], charge["model"], charge["expected"], Travel.of(row["route"]),
        row["card"] in json.loads(row["away"]), charge["hedge_of"] is not None,
    )  # fmt: skip


def live(db: sqlite3.Connection, task: int) -> list[sqlite3.Row]:
    """The charges of a batch of which something may still come."""
    return db.execute("SELECT * FROM charges WHERE task_id = ? AND state IN ('reserved', 'submitted') ORDER BY id", [task]).fetchall()


def paid_before(db: sqlite3.Connection, errand: Errand) -> int:
    """Earlier calls for candidates of this batch that were billed, or may have been."""
    rows = db.execute(
        "SELECT numbers FROM charges WHERE job_id = ? AND id < ? AND state IN ('settled', 'uncertain')", [errand.task.job, errand.charge]
    )
    return sum(not set(json.loads(row["numbers"])).isdisjoint(errand.draft.numbers) for row in rows)


def is_wanted(db: sqlite3.Connection, errand: Errand) -> bool:
    """Whether the batch is still to be drawn: its job goes on, and nobody has closed it."""
    row = db.execute(
        f"SELECT 1 FROM tasks JOIN jobs ON jobs.id = tasks.job_id WHERE tasks.id = ? AND tasks.state = 'leased' AND jobs.state IN {ACTIVE}",
        [errand.task.id],
    ).fetchone()
    return row is not None


def back(db: sqlite3.Connection, errand: Errand, travel: Travel, home: bool = False) -> None:
    """A batch of which nothing came waits again: for another provider, or (home) for this machine alone."""
    place = CLOUD if errand.away else None
    db.execute(
        "UPDATE tasks SET state = 'waiting', worker = NULL, place = ?, route = ? WHERE id = ? AND state IN ('leased', 'waiting')",
        [place, Travel(travel.route, travel.avoid, travel.attempts, home or travel.home).text(), errand.task.id],
    )
    marks = ", ".join("?" * len(errand.draft.numbers))
    where = f"job_id = ? AND state = 'drawing' AND number IN ({marks})"
    values = [CLOUD if errand.away else "", errand.task.job, *errand.draft.numbers]
    db.execute(f"UPDATE images SET state = 'waiting', place = ? WHERE {where}", values)


def left_over(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """Charges that were reserved for batches which are over, and whose submit surely never left."""
    return db.execute(
        """SELECT * FROM charges WHERE state = 'reserved' AND begun IS NULL AND task_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = charges.task_id AND tasks.place = 'cloud'
            AND tasks.state IN ('waiting', 'leased'))"""
    ).fetchall()


def recall(db: sqlite3.Connection) -> list[int]:
    """Takes back what was chosen and not sent, for the cloud was switched off; the jobs touched."""
    rows = db.execute(
        """SELECT charges.id AS charge, tasks.id AS task, tasks.job_id, tasks.card, charges.numbers, jobs.away FROM charges
        JOIN tasks ON tasks.id = charges.task_id JOIN jobs ON jobs.id = tasks.job_id
        WHERE charges.state = 'reserved' AND charges.begun IS NULL AND tasks.state = 'waiting'"""
    ).fetchall()
    for row in rows:
        away = row["card"] in json.loads(row["away"])
        ledger.release(db, row["charge"], "The cloud was switched off before it was sent.")
        db.execute("UPDATE tasks SET place = ? WHERE id = ?", [CLOUD if away else None, row["task"]])
        set_place(db, row["job_id"], json.loads(row["numbers"]), CLOUD if away else "")
    return [row["job_id"] for row in rows]


def stalled(store: Store) -> list[int]:
    """Jobs that are open although nothing of them is left to draw or to measure: a provider refused the last of their pictures."""
    return [
        row["id"]
        for row in store.db.execute(
            f"""SELECT id FROM jobs WHERE state IN {ACTIVE} AND EXISTS (SELECT 1 FROM charges WHERE charges.job_id = jobs.id)
            AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.job_id = jobs.id AND tasks.state IN ('waiting', 'leased'))"""
        )
    ]


def drawn_of(db: sqlite3.Connection, job: int) -> int:
    return db.execute("SELECT count(*) FROM images WHERE job_id = ? AND state = 'drawn'", [job]).fetchone()[0]


def on_the_way(store: Store, job: int) -> list[sqlite3.Row]:
    """The calls of a job that are under way."""
    return store.db.execute("SELECT * FROM charges WHERE job_id = ? AND state IN ('reserved', 'submitted') ORDER BY id", [job]).fetchall()


def traffic(db: sqlite3.Connection, since: str) -> tuple[list[sqlite3.Row], list[sqlite3.Row]]:
    """(provider, model, calls) that are reserved or under way, and (provider, begun) of the submits since then."""
    calls = "SELECT provider, model, count(*) AS calls FROM charges WHERE state IN ('reserved', 'submitted') GROUP BY provider, model"
    return (
        db.execute(calls).fetchall(),
        db.execute("SELECT provider, begun FROM charges WHERE begun >= ? AND begun IS NOT NULL", [since]).fetchall(),
    )


def last_turns(db: sqlite3.Connection) -> dict[str, int]:
    """The newest charge of each person that is among the newest thousand."""
    rows = db.execute("SELECT person, max(id) AS last FROM charges WHERE id > (SELECT max(id) FROM charges) - 1000 GROUP BY person")
    return {row["person"]: row["last"] for row in rows}


def fail_numbers(db: sqlite3.Connection, job: int, numbers: Sequence[int]) -> None:
    """Candidates that will not come."""
    marks = ", ".join("?" * len(numbers))
    db.execute(f"UPDATE images SET state = 'failed' WHERE job_id = ? AND state != 'drawn' AND number IN ({marks})", [job, *numbers])


def judge_late(db: sqlite3.Connection, task: Task, numbers: Sequence[int]) -> None:
    """Queues the scoring of pictures that came after their batch was closed."""
    db.execute(
        "INSERT OR IGNORE INTO tasks (job_id, kind, position, payload, state) VALUES (?, 'judge', ?, ?, 'waiting')",
        [task.job, task.position, json.dumps({"numbers": sorted(numbers)})],
    )


def end_if_nothing_came(db: sqlite3.Connection, job: int, why: tuple[str, str, str]) -> None:
    """Fails an open job of which nothing was drawn and nothing is left to draw."""
    open_tasks = "SELECT 1 FROM tasks WHERE job_id = ? AND state IN ('waiting', 'leased')"
    if drawn_of(db, job) or db.execute(open_tasks, [job]).fetchone() is not None:
        return
    error = json.dumps(dict(zip(("what", "why", "todo"), why, strict=True)))
    db.execute(f"UPDATE jobs SET state = 'failed', finished = ?, error = ? WHERE id = ? AND state IN {ACTIVE}", [now(), error, job])
