"""One call to a provider from its reservation to its end, with every way it can end, in an order that survives a crash at any line.

    reserved          the batch was chosen; nothing left this machine
    begun             committed right before the submit: from here on it may be billed
    submitted         the provider's number for it is kept; after a crash it is asked for by that
    spooled           what the provider sent lies in a file of ours
    settled, drawn    files, rows, bill and batch, in one transaction
"""
from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from models.cloud.keys import hide
from models.cloud.spec import CloudEngine, CloudError, Result, Ticket
from models.errors import StudioError
from pipelines.fallback import Next, after
from pipelines.health import outcome_of
from pipelines.offers import offers
from pipelines.route import Route, Share, hedge
from studio.calls import ask_of, call_of, lora_addresses
from studio.clouddelivery import Delivery, observe, told_by
from studio.cloudengines import Engines
from studio.dispatch import loads
from studio.providers import Providers
from studio.spool import Spool
from studio.store import Store, cloudhealth, cloudtasks, jobs, ledger
from studio.store.cloudtasks import Errand, Travel

log = logging.getLogger(__name__)

Made = TypeVar("Made")
LATER_SECONDS = 300.0  # how long a call that did not end in time is asked for, before it is held as uncertain
USUAL_DEADLINE, USUAL_LATE = 120.0, 60.0  # of a share that says nothing
ENDED = "The job was ended."


@dataclass(eq=False)
class Run:
    """A call under way. ticket: once it was submitted; result: once its pictures are here. cancelled: it was asked to end, once."""

    errand: Errand
    ticket: Ticket | None = None
    cancelled: bool = False
    result: Result | None = None
    task: asyncio.Task[None] | None = None


class Caller:
    """Makes calls, all in one event loop. database: runs what blocks on it, one after the other. later: see LATER_SECONDS."""

    def __init__(
        self,
        store: Store,
        providers: Providers,
        engines: Engines,
        spool: Spool,
        delivery: Delivery,
        tell: Callable[..., None],
        database: Callable[[Callable[[], Any]], Awaitable[Any]],
        later: float = LATER_SECONDS,
    ) -> None:
        self._later = later
        self._store, self._providers, self._engines = store, providers, engines
        self._spool, self._delivery, self._tell, self._database = spool, delivery, tell, database
        self.runs: set[Run] = set()

    # Beginning.

    def start(self, errand: Errand, ticket: Ticket | None = None, result: Result | None = None) -> Run:
        """A call in a task of its own; with a ticket it is only waited for, with a result only written down."""
        run = Run(errand, ticket)
        self.runs.add(run)
        run.task = asyncio.create_task(self._run(run, result), name=f"charge {errand.charge}")
        return run

    async def _run(self, run: Run, result: Result | None) -> None:
        errand = run.errand
        try:
            if result is None:
                result = await self._result(run)
            run.result = result
            if result is not None:
                await self._deliver(run, result)
        except asyncio.CancelledError:
            raise
        except CloudError as error:
            await self._failed(run, error)
        except StudioError as error:
            await self._broken(run, error)
        except Exception as error:
            log.exception("job %d, charge %d", errand.task.job, errand.charge)
            what, why = f"A bug stopped a call to {errand.provider}: see logs/cloud.log.", hide(f"{type(error).__name__}: {error}")[:500]
            await self._broken(run, StudioError(what, why, "Please report it."))
        finally:
            self.runs.discard(run)
            self._tell("job", id=errand.task.job)

    async def _result(self, run: Run) -> Result | None:
        """Submits where that was not done yet, and waits; None where there is nothing to be done any more. Raises CloudError."""
        errand, started = run.errand, time.monotonic()
        share = share_of(errand)
        async with self._engines.engine(errand.provider) as engine:
            deadline = self._engines.clock() + (share.deadline or USUAL_DEADLINE)
            if run.ticket is None:
                provider = self._providers.one(errand.provider)
                model = provider.model(errand.model)
                loras = await self._in_database(lambda db: lora_addresses(db, errand.draft, _request(db, errand)))
                webhook = self._engines.webhook(provider)
                call = await asyncio.to_thread(call_of, errand.draft, provider, model, loras, webhook)
                source = await asyncio.to_thread(self._providers.key_source, provider)
                if not await self._in_transaction(lambda db: self._begin(db, errand, source or "")):
                    return None
            # Before the submit, for some providers answer it only when they have drawn.
            hedging = asyncio.create_task(self._hedge(run, started, share)) if not errand.hedge else None
            try:
                if run.ticket is None:
                    run.ticket = await self._taken(run, await engine.submit(call, deadline))
                with self._engines.hearing(errand.provider, run.ticket.request_id):
                    return await self._collected(run, engine, deadline)
            finally:
                if hedging is not None:
                    hedging.cancel()

    def _begin(self, db: sqlite3.Connection, errand: Errand, key_source: str) -> bool:
        """The last look before money is spent; False when the batch is not to be drawn there any more."""
        if ledger.one(db, errand.charge)["state"] != "reserved":
            return False
        row = db.execute("SELECT person, shared FROM jobs WHERE id = ?", [errand.task.job]).fetchone()
        wanted = cloudtasks.is_wanted(db, errand)
        stays = cloudtasks.stays(db, row["person"], row["shared"], _request(db, errand))
        if wanted and not stays:
            ledger.begin(db, errand.charge, key_source)
            cloudhealth.began(db, errand.provider, errand.model)
            return True
        ledger.release(db, errand.charge, stays or ENDED)
        self._hand_back(db, errand, errand.travel)
        return False

    async def _taken(self, run: Run, ticket: Ticket) -> Ticket:
        """The provider has it: first what it sent, then its number."""
        errand = run.errand
        if ticket.pictures is not None:
            await asyncio.to_thread(self._spool.keep_ticket, errand.charge, ticket)
        await self._in_transaction(lambda db: self._record_ticket(db, errand.charge, ticket))
        return ticket

    def _record_ticket(self, db: sqlite3.Connection, charge: int, ticket: Ticket) -> None:
        """A provider that names a higher price than the table's has that much held, whatever comes of it."""
        ledger.submitted(db, charge, ticket.to_dict())
        db.execute("UPDATE charges SET reserved = max(reserved, ?) WHERE id = ?", [ticket.billed_micro or 0, charge])

    # Waiting.

    async def _collected(self, run: Run, engine: CloudEngine, deadline: float) -> Result:
        """Waits for a call; one that is late is asked to end, and asked for all the same for a while longer."""
        assert run.ticket is not None
        errand, last = run.errand, deadline + self._later

        def on_state(words: str) -> None:
            self._tell("cloudstate", job=errand.task.job, numbers=list(errand.draft.numbers), place=errand.place, words=words)

        while True:
            try:
                result = await engine.collect(run.ticket, deadline, on_state)
                break
            except CloudError as error:
                step = self._after(error, errand, paid=0, covered=True)
                if step.go != "resume" or error.final or self._engines.clock() >= last:
                    raise
                log.info("charge %d: %s", errand.charge, error)
                await self._in_transaction(lambda db: observe(db, errand, "late", 0.0))
                await self.cancel(run)
                deadline = min(last, max(self._engines.clock(), deadline) + (share_of(errand).deadline or USUAL_DEADLINE))
        await asyncio.to_thread(self._spool.keep_result, errand.charge, result)
        return result

    async def cancel(self, run: Run) -> None:
        """Asks the provider to end a call, once. What it makes of it shows in what is collected."""
        if run.cancelled or run.ticket is None:
            return
        run.cancelled = True
        try:
            async with self._engines.engine(run.errand.provider) as engine:
                await engine.cancel(run.ticket)
        except StudioError as error:
            log.info("charge %d could not be cancelled: %s", run.errand.charge, error)

    async def _hedge(self, run: Run, started: float, share: Share) -> None:
        """Sends a second call of the same batch once the first takes longer than most; both are reserved."""
        route = Route.from_dict(run.errand.travel.route) if run.errand.travel.route else Route()
        if route.hedge_after is None:
            return
        await asyncio.sleep(max(0.0, started + route.hedge_after - time.monotonic()))
        # Not to be torn apart when the first call ends now: what is reserved must be sent or given back.
        await asyncio.shield(self._send_second(run.errand, share))

    async def _send_second(self, errand: Errand, share: Share) -> None:
        try:
            usable = await asyncio.to_thread(self._providers.usable)
            second = await self._in_transaction(lambda db: self._reserve_second(db, errand, share, usable))
        except StudioError as error:
            log.info("charge %d is not hedged: %s", errand.charge, error)
            return
        if second is not None:
            self.start(second)

    def _reserve_second(self, db: sqlite3.Connection, errand: Errand, slow: Share, usable: Any) -> Errand | None:
        if not cloudtasks.is_wanted(db, errand) or len(cloudtasks.live(db, errand.task.id)) > 1:
            return None
        row, request = db.execute("SELECT * FROM jobs WHERE id = ?", [errand.task.job]).fetchone(), _request(db, errand)
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

    # Ending.

    async def _deliver(self, run: Run, result: Result) -> None:
        errand = run.errand
        delivered = await self._database(lambda: self._delivery.deliver(errand, result))
        await asyncio.to_thread(self._spool.drop, errand.charge)
        for image in delivered.images:
            self._tell("image", id=image)
        self._tell("scoring")
        for other in list(self.runs):  # the slower of a pair is not wanted any more
            if delivered.closed and other is not run and other.errand.task.id == errand.task.id:
                await self.cancel(other)

    def _after(self, error: CloudError, errand: Errand, paid: int, covered: bool) -> Next:
        return after(
            error.kind, error.sent, error.request_id, error.billed_micro,
            attempts=errand.travel.attempts + 1, paid=paid, covered=covered, policy=cloudhealth.policy(),
        )  # fmt: skip

    async def _failed(self, run: Run, error: CloudError) -> None:
        """A call that brought nothing: its money, what is learned, and who is asked next, in one transaction."""
        log.info("job %d, charge %d: %s (%s, sent %s)", run.errand.task.job, run.errand.charge, error, error.kind, error.sent)
        await self._in_transaction(lambda db: self.record_failure(db, run.errand, error))
        await asyncio.to_thread(self._spool.drop, run.errand.charge)

    def record_failure(self, db: sqlite3.Connection, errand: Errand, error: CloudError) -> None:
        charge = ledger.one(db, errand.charge)
        if charge["state"] in ("settled", "released"):
            return
        row = db.execute("SELECT person, shared FROM jobs WHERE id = ?", [errand.task.job]).fetchone()
        left = ledger.left(db, row["person"], ledger.project_of(row["shared"]))
        step = self._after(error, errand, cloudtasks.paid_before(db, errand), covered=(left or 0) >= errand.expected)
        if step.charge == "settle":
            assert error.billed_micro is not None
            ledger.settle(db, errand.charge, error.billed_micro, told=None if errand.provider == "bfl" else False)
        elif step.charge == "release":
            ledger.release(db, errand.charge, error)
        else:  # also one that was asked for long enough
            ledger.uncertain(db, errand.charge, error)
        outcome = outcome_of(error.kind)
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
        self._hand_back(db, errand, travel, home=step.go == "stop")

    def _hand_back(self, db: sqlite3.Connection, errand: Errand, travel: Travel, home: bool = False) -> None:
        """A batch of which nothing came: to whoever is next, or to its end where nobody wants it any more."""
        if errand.hedge and [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]:
            return
        if cloudtasks.is_wanted(db, errand):
            cloudtasks.back(db, errand, travel, home)
        elif db.execute("SELECT 1 FROM tasks WHERE id = ? AND state IN ('waiting', 'leased')", [errand.task.id]).fetchone():
            jobs.close_draft(db, errand.task, stopped=True)

    async def _broken(self, run: Run, error: StudioError) -> None:
        """What is no answer of a provider's: a full disk, a picture that is gone, a bug. Its money is held unless it surely never left."""
        await self._in_transaction(lambda db: self._record_broken(db, run, error))

    def _record_broken(self, db: sqlite3.Connection, run: Run, error: StudioError) -> None:
        errand = run.errand
        charge = ledger.one(db, errand.charge)
        if charge["state"] == "reserved" and charge["begun"] is None:
            ledger.release(db, errand.charge, error)
        elif run.result is not None:  # it was drawn and is paid for; its pictures lie in the spool until they can be written
            ledger.settle(db, errand.charge, run.result.billed_micro, run.result.seconds, told=told_by(run.result, errand))
        elif charge["state"] in ("reserved", "submitted"):
            ledger.uncertain(db, errand.charge, error)
        if not [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]:
            jobs.fail_in(db, errand.task, hide(error.what), hide(error.why), error.todo)

    # The database.

    async def _in_database(self, work: Callable[[sqlite3.Connection], Made]) -> Made:
        return await self._database(lambda: work(self._store.db))

    async def _in_transaction(self, work: Callable[[sqlite3.Connection], Made]) -> Made:
        def whole() -> Made:
            with self._store.write() as db:
                return work(db)

        return await self._database(whole)


def share_of(errand: Errand) -> Share:
    """The share of the route that the call is for."""
    shares = Route.from_dict(errand.travel.route).shares if errand.travel.route else ()
    own = [share for share in shares if (share.provider, share.model) == (errand.provider, errand.model)]
    count = len(errand.draft.numbers)
    share = own[-1] if own else Share(errand.provider, errand.model, count, errand.expected, deadline=USUAL_DEADLINE, late=USUAL_LATE)
    return replace(share, count=count, price_micro=errand.expected, calls=1)


def _request(db: sqlite3.Connection, errand: Errand) -> Any:
    return jobs.request_of(db.execute("SELECT request FROM jobs WHERE id = ?", [errand.task.job]).fetchone())
