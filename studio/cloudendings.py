"""How a call ends in the database, other than well: money, health and batch, each in the caller's transaction; and its hedge."""
from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from typing import Any

from models.cloud.keys import hide
from models.cloud.spec import CloudError, Result
from models.errors import StudioError
from pipelines.fallback import Next, after
from pipelines.health import outcome_of
from pipelines.offers import offers
from pipelines.route import Route, Share, hedge
from studio.calls import ask_of, lora_addresses
from studio.clouddelivery import observe, told_by
from studio.dispatch import loads
from studio.store import cloudhealth, cloudtasks, jobs, ledger
from studio.store.cloudtasks import Errand, Travel

USUAL_DEADLINE, USUAL_LATE = 120.0, 60.0  # of a share that says nothing


def record_failure(db: sqlite3.Connection, errand: Errand, error: CloudError, ours: bool = False) -> None:
    """A call that brought nothing: its money, what is learned, and who is asked next. ours: it ended because it was asked to, which says
    nothing about the provider."""
    charge = ledger.one(db, errand.charge)
    if charge["state"] in ("settled", "released"):
        return
    row = db.execute("SELECT person, shared FROM jobs WHERE id = ?", [errand.task.job]).fetchone()
    left = ledger.left(db, row["person"], ledger.project_of(row["shared"]))
    step = step_after(error, errand, cloudtasks.paid_before(db, errand), covered=(left or 0) >= errand.expected)
    if step.charge == "settle":
        assert error.billed_micro is not None
        ledger.settle(db, errand.charge, error.billed_micro, told=None if errand.provider == "bfl" else False)
    elif step.charge == "release":
        ledger.release(db, errand.charge, error)
    else:  # also one that was asked for long enough
        ledger.uncertain(db, errand.charge, error)
    if charge["state"] == "uncertain":
        return  # what was asked for once more: health and batch have had their say
    outcome = outcome_of(error.kind)
    if not (ours and outcome == "failed"):
        observe(db, errand, outcome, 0.0, error.retry_after, error.what.rstrip(".") if outcome == "disabled" else "")
    if [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]:
        return  # the other of the pair may still bring it
    avoid = (*errand.travel.avoid, errand.provider) if step.avoid or step.go == "resume" else errand.travel.avoid
    failed = errand.travel.attempts + (error.kind != "throttled")
    travel = replace(errand.travel, avoid=tuple(dict.fromkeys(avoid)), attempts=failed)
    refused = error.kind in ("moderation", "validation")
    if step.go == "stop" and cloudtasks.is_wanted(db, errand) and (refused or errand.away):
        why = " ".join(part for part in (error.why, f"({step.words}.)" if step.words else "") if part)
        jobs.fail_in(db, errand.task, hide(error.what), hide(why), error.todo)
        return
    cloudtasks.say(db, errand.task.job, hide(f"{error.what} {step.words}".strip()))
    hand_back(db, errand, travel, home=step.go == "stop")


def hand_back(db: sqlite3.Connection, errand: Errand, travel: Travel, home: bool = False) -> None:
    """A batch of which nothing came: to whoever is next, or to its end where nobody wants it any more."""
    if errand.hedge and [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]:
        return
    if cloudtasks.is_wanted(db, errand):
        cloudtasks.back(db, errand, travel, home)
    elif db.execute("SELECT 1 FROM tasks WHERE id = ? AND state IN ('waiting', 'leased')", [errand.task.id]).fetchone():
        jobs.close_draft(db, errand.task, stopped=True)


def record_broken(db: sqlite3.Connection, errand: Errand, result: Result | None, error: StudioError) -> None:
    """What is no answer of a provider's. result: its pictures, where they are here."""
    charge = ledger.one(db, errand.charge)
    if charge["state"] == "reserved" and charge["begun"] is None:
        ledger.release(db, errand.charge, error)
    elif result is not None:  # it was drawn and is paid for; its pictures lie in the spool until they can be written
        ledger.settle(db, errand.charge, result.billed_micro, result.seconds, told=told_by(result, errand))
    elif charge["state"] in ("reserved", "submitted"):
        ledger.uncertain(db, errand.charge, error)
    if not [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]:
        jobs.fail_in(db, errand.task, hide(error.what), hide(error.why), error.todo)


def step_after(error: CloudError, errand: Errand, paid: int, covered: bool) -> Next:
    """paid, covered: see `pipelines.fallback.after`."""
    return after(
        error.kind, error.sent, error.request_id, error.billed_micro,
        attempts=errand.travel.attempts + 1, paid=paid, covered=covered, policy=cloudhealth.policy(),
    )  # fmt: skip


def reserve_second(db: sqlite3.Connection, errand: Errand, slow: Share, usable: Any) -> Errand | None:
    """Reserves a second call of a batch whose first is slow; None where nobody is worth it, or the budget does not allow it."""
    if not cloudtasks.is_wanted(db, errand) or len(cloudtasks.live(db, errand.task.id)) > 1:
        return None
    row, request = db.execute("SELECT * FROM jobs WHERE id = ?", [errand.task.job]).fetchone(), request_of(db, errand)
    loras = lora_addresses(db, errand.draft, request)
    ask = ask_of(errand.draft, len(errand.draft.numbers), row["family"], request, loras, 0.0, errand.travel.avoid)
    now = time.time()
    found = offers(ask, usable.values(), cloudhealth.read(db), loads(db, now), now)
    left = ledger.left(db, row["person"], ledger.project_of(row["shared"]))
    share = hedge(ask, slow, found, cloudhealth.policy(), 0 if left is None else left, now)
    if share is None:
        return None
    charge = ledger.of_job(
        db, errand.task.job, share.provider, share.model, errand.draft.numbers, share.price_micro,
        task=errand.task.id, hedge_of=errand.charge,
    )  # fmt: skip
    try:
        number = ledger.reserve(db, charge)
    except ledger.OverBudget:
        return None
    route = dict(errand.travel.route) | {"shares": [*errand.travel.route.get("shares", ()), vars(share)]}
    db.execute("UPDATE tasks SET route = ? WHERE id = ?", [replace(errand.travel, route=route).text(), errand.task.id])
    return cloudtasks.errand_of(db, ledger.one(db, number))


def share_of(errand: Errand) -> Share:
    """The share of the route that the call is for."""
    shares = Route.from_dict(errand.travel.route).shares if errand.travel.route else ()
    own = [share for share in shares if (share.provider, share.model) == (errand.provider, errand.model)]
    count = len(errand.draft.numbers)
    share = own[-1] if own else Share(errand.provider, errand.model, count, errand.expected, deadline=USUAL_DEADLINE, late=USUAL_LATE)
    return replace(share, count=count, price_micro=errand.expected, calls=1)


def request_of(db: sqlite3.Connection, errand: Errand) -> Any:
    """The request that a batch is drawn for."""
    return jobs.request_of(db.execute("SELECT request FROM jobs WHERE id = ?", [errand.task.job]).fetchone())
