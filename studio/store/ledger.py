"""The ledger: what a provider may be asked for, and what it came to.

    reserved -> submitted -> settled      paid
        |   \\        |   \\-> uncertain -> submitted | settled | released
        |    \\-------|--------^           it may have been billed: held until somebody knows
        \\------------\\-> released         surely not billed

Everything here works inside the caller's transaction (`with store.write() as db`), so that money moves together with the task and the
picture it is for. A transaction holds the write lock, therefore what is read cannot be stale: fifty who ask at once for a budget of ten
get ten. A charge counts against every limit that concerns it (budgets of the studio, the person and the project by day and month, and
the person's credits) with what is reserved until it is settled or released. Without any limit nothing may be spent.
"""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import NotFound, StudioError
from models.money import dollars
from studio.store.db import now
from studio.store.jobs import LARGEST_ID, NotNow

Row = sqlite3.Row
Feature = Literal["generate", "batch", "experiment", "evaluation", "training", "test"]
Scope = Literal["studio", "person", "project", "credit"]

OPEN = ("reserved", "submitted", "uncertain")
EACH = "*"  # the name of a budget that each person, or each project, has that has none of its own
WARN_PERCENT = 80


@dataclass(frozen=True)
class Charge:
    """What is to be reserved. expected: micro-dollars by the table of prices. reserved: what is held, by itself as much. numbers: the
    candidates of the job. project: whom the job is shared with, where that is a project. hedge_of: the charge it runs beside."""

    person: str
    provider: str
    model: str
    expected: int
    reserved: int | None = None
    feature: Feature = "generate"
    job: int | None = None
    task: int | None = None
    numbers: tuple[int, ...] = ()
    project: str | None = None
    tier: str = ""
    template: str = ""
    hedge_of: int | None = None
    key_source: str = ""

    @property
    def micro(self) -> int:
        return self.expected if self.reserved is None else self.reserved


@dataclass(frozen=True)
class Limit:
    """A budget, or the credits of a person (scope "credit", period ""). name: whose, "" of the studio. All amounts in micro-dollars."""

    scope: Scope
    name: str
    period: Literal["day", "month", ""]
    micro: int
    spent: int

    @property
    def left(self) -> int:
        """May be negative: a bill was higher than what was reserved, or the limit was lowered."""
        return self.micro - self.spent

    @property
    def warned(self) -> bool:
        """Whether most of it is gone; credits that were taken back whole are no news."""
        return self.micro > 0 and 100 * self.spent >= WARN_PERCENT * self.micro

    @property
    def title(self) -> str:
        whose = {"studio": "the studio's", "person": f"{self.name}'s", "project": f"project {self.name}'s", "credit": f"{self.name}'s"}
        kind = {"day": "budget for today", "month": "budget for this month", "": "credit"}
        return f"{whose[self.scope]} {kind[self.period]}"

    @property
    def words(self) -> str:
        """ "the studio's budget for today: $4.10 of $5.00 spent"."""
        return f"{self.title}: {dollars(self.spent)} of {dollars(self.micro)} spent"


class OverBudget(StudioError):
    """What cannot be afforded, refused before the call. micro: what was asked for. limit: the one with the least left, None without any."""

    def __init__(self, micro: int, limit: Limit | None) -> None:
        self.micro, self.limit = micro, limit
        if limit is None:
            super().__init__(
                f"This costs {dollars(micro)}, and nothing may be spent yet.", "No budget is set.", "An admin sets one in the Cloud tab."
            )
            return
        todo = f"An admin can raise it; or wait for the next {limit.period}." if limit.period else "An admin can give more credit."
        super().__init__(
            f"This costs {dollars(micro)}, which {limit.title} does not allow.",
            f"Of {dollars(limit.micro)} {dollars(limit.spent)} is spent or reserved: {dollars(max(0, limit.left))} is left.",
            todo,
        )


def of_job(db: sqlite3.Connection, job: int, provider: str, model: str, numbers: Sequence[int], expected: int, **more: Any) -> Charge:
    """A charge for candidates of a job, with what is known from the job. more: other fields of Charge."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", [job]).fetchone()
    found = db.execute("SELECT key FROM insights_groups WHERE job_id = ? AND kind = 'template'", [job]).fetchone()
    template, project = found["key"] if found else "", project_of(row["shared"])
    return Charge(
        row["person"], provider, model, expected, feature=row["feature"], job=job, numbers=tuple(numbers), project=project,
        tier=row["tier"], template=template, **more,
    )  # fmt: skip


def project_of(shared: str | None) -> str | None:
    """Whose budget a job counts against, besides its person's: the project's that it is shared with."""
    return None if shared in (None, "*") else shared


def reserve(db: sqlite3.Connection, charge: Charge) -> int:
    """Holds what a call may cost, of every limit; the charge's id. Raises OverBudget, having changed nothing."""
    assert db.in_transaction, "what is read here must not be stale when it is written"
    assert charge.micro >= 0 and charge.expected >= 0
    moment = now()
    day, month = moment[:10], moment[:7]
    found = limits(db, charge.person, charge.project, day)
    tightest = min(found, key=lambda limit: limit.left, default=None)
    if tightest is None or charge.micro > tightest.left:
        raise OverBudget(charge.micro, tightest)
    credit = any(limit.scope == "credit" for limit in found)
    row = db.execute(
        "INSERT INTO charges (job_id, task_id, numbers, person, project, tier, template, feature, provider, model, state, reserved,"
        " expected, on_credit, hedge_of, key_source, created, day, month)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        [charge.job, charge.task, json.dumps(charge.numbers), charge.person, charge.project, charge.tier, charge.template, charge.feature,
         charge.provider, charge.model, charge.micro, charge.expected, credit, charge.hedge_of, charge.key_source, moment, day, month],
    ).fetchone()  # fmt: skip
    return row["id"]


def begin(db: sqlite3.Connection, charge: int, key_source: str = "") -> None:
    """To be committed right before the submit is sent: from here on it may have been billed, even if this process dies now."""
    _move(db, charge, "reserved", ("reserved",), begun=now(), **({"key_source": key_source} if key_source else {}))


def submitted(db: sqlite3.Connection, charge: int, ticket: Mapping[str, Any]) -> None:
    """The provider has taken it. ticket: JSON-ready, with its request_id; without pictures and without keys."""
    known = {"request_id": ticket.get("request_id"), "ticket": json.dumps(ticket)}
    _move(db, charge, "submitted", ("reserved", "uncertain"), submitted=now(), **known)


def found(db: sqlite3.Connection, charge: int, ticket: Mapping[str, Any]) -> None:
    """The provider's record has an uncertain charge: it is asked for by that from now on. It stays uncertain until it is known how it
    ended, for its batch may be somebody else's by now."""
    known = {"request_id": ticket.get("request_id"), "ticket": json.dumps(ticket)}
    _move(db, charge, "uncertain", ("uncertain",), submitted=now(), **known)


def settle(db: sqlite3.Connection, charge: int, micro: int | None, seconds: float | None = None, told: bool | None = None) -> bool:
    """It is paid. micro: what it came to, None where the provider names no price: what was expected. told: whether `micro` is the
    provider's word, by itself where there is one; only that is held against the table of prices. seconds: from submit to pictures.

    False when it was settled before, which changes nothing. A bill for what was released as not billed is a bill all the same.
    """
    told = (micro is not None) if told is None else told
    row = one(db, charge)
    if row["state"] == "settled":
        return False
    amount = row["expected"] if micro is None else micro
    assert amount >= 0
    more = {} if seconds is None else {"seconds": seconds}
    _move(db, charge, "settled", (*OPEN, "released"), settled=amount, told=int(told), ended=now(), **more)
    return True


def release(db: sqlite3.Connection, charge: int, why: StudioError | str) -> bool:
    """It was surely not billed: what was held is free again. False when it had ended before, which changes nothing."""
    if one(db, charge)["state"] not in OPEN:
        return False
    _move(db, charge, "released", OPEN, ended=now(), error=_error(why))
    return True


def uncertain(db: sqlite3.Connection, charge: int, why: StudioError | str) -> bool:
    """Nobody knows whether it was billed: what is reserved stays held. False when it had ended before."""
    if one(db, charge)["state"] not in OPEN:
        return False
    _move(db, charge, "uncertain", OPEN, error=_error(why))
    return True


def resolve(db: sqlite3.Connection, charge: int, billed: bool, by: str, micro: int | None = None) -> None:
    """A person says what became of an uncertain charge. micro: what the provider's record says, by itself what was expected.

    Raises NotFound, and NotNow for one that is not uncertain.
    """
    row = one(db, charge)
    if row["state"] != "uncertain":
        raise NotNow(f"Charge {charge} is not uncertain.", f"It is {row['state']}.")
    if billed:
        amount = row["expected"] if micro is None else micro
        _move(db, charge, "settled", ("uncertain",), settled=amount, told=int(micro is not None), ended=now(), resolved_by=by)
    else:
        _move(db, charge, "released", ("uncertain",), ended=now(), resolved_by=by)


def one(db: sqlite3.Connection, charge: int) -> Row:
    """A row of charges. Raises NotFound."""
    row = db.execute("SELECT * FROM charges WHERE id = ?", [charge]).fetchone() if 0 < charge <= LARGEST_ID else None
    if row is None:
        raise NotFound(f"There is no charge {charge if 0 < charge <= LARGEST_ID else 'of that number'}.")
    return row


def open_charges(db: sqlite3.Connection, provider: str | None = None, state: str | None = None) -> list[Row]:
    """Those that are neither settled nor released, oldest first: what a worker that starts must look after. provider, state: only its."""
    only = "".join(f" AND {name} = :{name}" for name, value in (("provider", provider), ("state", state)) if value is not None)
    rows = db.execute(f"SELECT * FROM charges WHERE state IN {OPEN}{only} ORDER BY id", {"provider": provider, "state": state})
    return rows.fetchall()


def of_jobs(db: sqlite3.Connection, jobs: Iterable[int]) -> list[Row]:
    """All charges of these jobs, oldest first."""
    ids = list(jobs)
    return db.execute(f"SELECT * FROM charges WHERE job_id IN ({', '.join('?' * len(ids))}) ORDER BY id", ids).fetchall()


def limits(db: sqlite3.Connection, person: str, project: str | None = None, day: str | None = None) -> list[Limit]:
    """Every limit that holds for what this person spends, in a project or none, on a day (UTC, by itself today)."""
    day = day or now()[:10]
    found = []
    for scope, name in (("studio", ""), ("person", person), ("project", project)):
        if name is None:
            continue
        rows = db.execute(
            "SELECT period, micro, coalesce((SELECT spent.micro FROM spent WHERE spent.scope = budgets.scope AND spent.name = ?1"
            " AND spent.period = CASE budgets.period WHEN 'day' THEN ?2 ELSE substr(?2, 1, 7) END), 0) AS spent"
            " FROM budgets WHERE scope = ?3 AND name = CASE WHEN EXISTS (SELECT 1 FROM budgets AS own WHERE own.scope = ?3"
            " AND own.name = ?1 AND own.period = budgets.period) THEN ?1 ELSE ?4 END ORDER BY period",
            [name, day, scope, EACH if name else ""],
        ).fetchall()
        found += [Limit(scope, name, row["period"], row["micro"], row["spent"]) for row in rows]  # type: ignore[arg-type]
    given, spent = credit_of(db, person)
    if given is not None:
        found.append(Limit("credit", person, "", given, spent))
    return found


def credit_of(db: sqlite3.Connection, person: str) -> tuple[int | None, int]:
    """What a person was given, None where they never were given anything, and what of it is spent or reserved."""
    given = db.execute("SELECT sum(micro) FROM credits WHERE person = ?", [person]).fetchone()[0]
    row = db.execute("SELECT micro FROM spent WHERE scope = 'credit' AND name = ? AND period = ''", [person]).fetchone()
    return given, row["micro"] if row else 0


def left(db: sqlite3.Connection, person: str, project: str | None = None) -> int | None:
    """The micro-dollars that this person may still spend now, in a project or none: the least that any limit leaves. None: no limit is
    set, and so nothing may be spent."""
    found = limits(db, person, project)
    return max(0, min(limit.left for limit in found)) if found else None


def warned(db: sqlite3.Connection, person: str, project: str | None = None) -> list[Limit]:
    """Those limits of which WARN_PERCENT or more is gone, the fullest first."""
    return sorted((limit for limit in limits(db, person, project) if limit.warned), key=lambda limit: limit.left)


def _move(db: sqlite3.Connection, charge: int, state: str, before: Sequence[str], **values: Any) -> None:
    """One step of a charge. Raises NotFound, and NotNow from a state that this step does not follow."""
    columns = "".join(f", {name} = ?" for name in values)
    row = db.execute(
        f"UPDATE charges SET state = ?{columns} WHERE id = ? AND state IN ({', '.join('?' * len(before))}) RETURNING id",
        [state, *values.values(), charge, *before],
    ).fetchone()
    if row is None:
        raise NotNow(f"Charge {charge} cannot become {state}.", f"It is {one(db, charge)['state']}.")


def _error(why: StudioError | str) -> str:
    error = why if isinstance(why, StudioError) else StudioError(why)
    return json.dumps({"what": error.what, "why": error.why, "todo": error.todo})
