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
from dataclasses import dataclass
from typing import Any, TypeVar

from models.cloud.keys import hide
from models.cloud.spec import Call, CloudEngine, CloudError, Recording, Result, Ticket
from models.errors import StudioError
from pipelines.route import Route, Share
from studio.calls import call_of, lora_addresses
from studio.clouddelivery import Delivery, observe
from studio.cloudendings import (
    USUAL_DEADLINE,
    hand_back,
    record_broken,
    record_failure,
    request_of,
    reserve_second,
    share_of,
    step_after,
)
from studio.cloudengines import Engines
from studio.cloudrecords import Records, known_numbers, surely_absent, unix
from studio.providers import Providers
from studio.spool import Spool
from studio.store import Store, cloudhealth, cloudtasks, ledger
from studio.store.cloudtasks import Errand

log = logging.getLogger(__name__)

Made = TypeVar("Made")
LATER_SECONDS = 300.0  # how long a call that did not end in time is asked for, before it is held as uncertain
ENDED = "The job was ended."


@dataclass(eq=False)
class Run:
    """A call under way. ticket: once it was submitted; result: once its pictures are here. cancelled: it was asked to end, once.
    asking: it may have been taken, and its number is not kept yet. searching: its answer was lost, and it is looked for."""

    errand: Errand
    ticket: Ticket | None = None
    cancelled: bool = False
    asking: bool = False
    searching: bool = False
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
        self.leaving = False  # nothing is begun any more
        self.answered: set[int] = set()  # charges of which the provider has said what it ever will
        self._records = Records(self._alone, lambda provider: self._in_database(lambda db: known_numbers(db, provider)))

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
                loras = await self._in_database(lambda db: lora_addresses(db, errand.draft, request_of(db, errand)))
                webhook = self._engines.webhook(provider)
                call = await asyncio.to_thread(call_of, errand.draft, provider, model, loras, webhook)
                source = await asyncio.to_thread(self._providers.key_source, provider)
                if self.leaving:
                    raise asyncio.CancelledError  # whoever comes after this worker sends it
                run.asking = True
                if not await self._in_transaction(lambda db: self._begin(db, errand, source or "")):
                    return None
            # Before the submit, for some providers answer it only when they have drawn.
            hedging = asyncio.create_task(self._hedge(run, started, share)) if not errand.hedge else None
            try:
                if run.ticket is None:
                    run.ticket = await self._taken(run, await self._submitted(run, engine, call, deadline))
                    run.asking = False
                with self._engines.hearing(errand.provider, run.ticket.request_id):
                    return await self._collected(run, engine, deadline)
            finally:
                run.asking = False
                if hedging is not None:
                    hedging.cancel()

    async def _submitted(self, run: Run, engine: CloudEngine, call: Call, deadline: float) -> Ticket:
        """Submits; what was sent and never answered is looked for in the provider's record, where it has one."""
        begun = time.time()
        try:
            return await engine.submit(call, deadline)
        except CloudError as error:
            if error.sent != "maybe":
                raise
            run.searching = True
            ticket = await self._records.wait_for(engine, call, begun)
            if ticket is None:
                raise
            log.info("charge %d: %s; its record has it", run.errand.charge, error)
            return ticket
        finally:
            run.searching = False

    def _alone(self, provider: str) -> bool:
        return not any(run.asking and not run.searching for run in self.runs if run.errand.provider == provider)

    async def look_up(self, errand: Errand, charge: sqlite3.Row) -> None:
        """Asks the provider's record, where it has one, for a charge that is uncertain and has no number: it is collected by what is found
        there, and given back where it surely never came."""
        try:
            async with self._engines.engine(errand.provider) as engine:
                if not isinstance(engine, Recording):
                    return
                provider = self._providers.one(errand.provider)
                loras = await self._in_database(lambda db: lora_addresses(db, errand.draft, request_of(db, errand)))
                call = await asyncio.to_thread(call_of, errand.draft, provider, provider.model(errand.model), loras)
                ticket = await self._records.find(engine, call, unix(charge["begun"]))
            if ticket is not None:
                await self._in_transaction(lambda db: ledger.found(db, errand.charge, ticket.to_dict()))
        except StudioError as error:
            log.info("charge %d cannot be looked up: %s", errand.charge, error)
            return
        if ticket is not None:
            self.start(errand, ticket)
        elif surely_absent(charge):
            why = f"{provider.title} has no record of it: it never came there."
            await self._in_transaction(lambda db: ledger.release(db, errand.charge, why))
            self._tell("job", id=errand.task.job)

    def _begin(self, db: sqlite3.Connection, errand: Errand, key_source: str) -> bool:
        """The last look before money is spent; False when the batch is not to be drawn there any more."""
        if ledger.one(db, errand.charge)["state"] != "reserved":
            return False
        row = db.execute("SELECT person, shared FROM jobs WHERE id = ?", [errand.task.job]).fetchone()
        wanted = cloudtasks.is_wanted(db, errand)
        stays = cloudtasks.stays(db, row["person"], row["shared"], request_of(db, errand))
        if wanted and not stays:
            ledger.begin(db, errand.charge, key_source)
            cloudhealth.began(db, errand.provider, errand.model)
            return True
        ledger.release(db, errand.charge, stays or ENDED)
        hand_back(db, errand, errand.travel)
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
                step = step_after(error, errand, paid=0, covered=True)
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
            second = await self._in_transaction(lambda db: reserve_second(db, errand, share, usable))
        except StudioError as error:
            log.info("charge %d is not hedged: %s", errand.charge, error)
            return
        if second is not None:
            self.start(second)

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

    async def _failed(self, run: Run, error: CloudError) -> None:
        """A call that brought nothing: its money, what is learned, and who is asked next, in one transaction."""
        if run.ticket is not None and error.sent == "no":  # a key that is gone, say: that tells nothing about what was sent before
            error.sent, error.billed_micro, error.request_id = "yes", None, run.ticket.request_id
        log.info("job %d, charge %d: %s (%s, sent %s)", run.errand.task.job, run.errand.charge, error, error.kind, error.sent)
        if run.ticket is not None and error.kind in ("moderation", "validation"):
            self.answered.add(run.errand.charge)
        await self._in_transaction(lambda db: record_failure(db, run.errand, error, ours=run.cancelled and error.final))
        await asyncio.to_thread(self._spool.drop, run.errand.charge)

    async def _broken(self, run: Run, error: StudioError) -> None:
        """What is no answer of a provider's: a full disk, a picture that is gone, a bug. Its money is held unless it surely never left."""
        await self._in_transaction(lambda db: record_broken(db, run.errand, run.result, error))

    # The database.

    async def _in_database(self, work: Callable[[sqlite3.Connection], Made]) -> Made:
        return await self._database(lambda: work(self._store.db))

    async def _in_transaction(self, work: Callable[[sqlite3.Connection], Made]) -> Made:
        def whole() -> Made:
            with self._store.write() as db:
                return work(db)

        return await self._database(whole)
