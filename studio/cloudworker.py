"""The cloud worker: a process that asks providers for pictures. `python -m studio.cloudworker`, started by the cloud's supervisor.

It alone reads keys, and it imports no torch. One event loop makes all the calls; the database is one thread beside it. It ends when its
standard input does, for then the page is gone; whatever it was at, the next one goes on with from the ledger.
"""
from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from filelock import FileLock

from models.cards import Catalogue
from models.cloud.keys import guard_logs, key_of
from models.cloud.signers import Signers, replicate_secret
from models.cloud.spec import CloudError, Ticket
from models.cloud.transport import TransportLimits
from models.presets import load_catalogue
from studio import events
from studio.cloudcalls import LATER_SECONDS, Caller
from studio.clouddelivery import Delivery
from studio.cloudendings import record_failure
from studio.cloudengines import Engines
from studio.cloudrecords import seconds_since, tells
from studio.cloudsetup import CloudSetup
from studio.config import quiet_libraries
from studio.providers import Providers
from studio.settings import Settings
from studio.spool import Spool
from studio.store import Store, cloudtasks, jobs, ledger
from studio.webhooks import Bells, Listener, keep_listening
from studio.webhooksetup import Setup

log = logging.getLogger("studio.cloudworker")

Made = TypeVar("Made")
MOST_CALLS = 64  # at a time, over all providers; each has its own limit besides
IDLE_SECONDS = 1.0
WEBHOOK_SECONDS = 20.0  # to fetch what proves webhooks
BUSY_SECONDS = 0.5
ADOPT_SECONDS = 20.0  # between two looks for calls that nobody waits for any more
UNCERTAIN_SECONDS = 120.0  # between two looks at what is uncertain: at the least, and
UNCERTAIN_SHARE = 0.1  # ... so much of how old it is
UNCERTAIN_AGE = 7 * 86400.0  # after which it is for people: pictures are kept for an hour, what became of a request for longer
LEAVE_SECONDS = 15.0  # for answers that would be lost with this process


class CloudWorker:
    """One loop over one database. limits: of the transport. later: seconds that a call which did not end in time is asked for."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        catalogue: Catalogue,
        name: str,
        limits: TransportLimits | None = None,
        later: float = LATER_SECONDS,
    ) -> None:
        self.store, self.name = store, name
        self._limits, self._later = limits, later
        self.settings = Settings(store)
        self.providers = Providers(self.settings)
        self.spool = Spool(folder)
        self._delivery = Delivery(store, folder, self.providers)
        self.link: events.Link | None = None
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._looked = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._asked: dict[int, float] = {}  # when an uncertain charge was asked for
        self._adopted = time.monotonic()

    def tell(self, event: str, **message: object) -> None:
        if self.link is not None:
            self.link.send({"event": event, **message})

    def hear(self, message: dict[str, Any]) -> None:
        """From the page, on the link's thread."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._heard, message)

    def _heard(self, message: dict[str, Any]) -> None:
        if "configured" in message:
            self.engines.forget()
            self._looked = 0.0
        assert self._wake is not None
        self._wake.set()

    async def run(self) -> None:
        """Works until it is cancelled, or the process ends."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        bells = Bells()
        self.engines = Engines(self.providers, self.settings, bells, self._limits)
        self.caller = Caller(
            self.store, self.providers, self.engines, self.spool, self._delivery, self.tell, self._in_database, self._later
        )
        listener = asyncio.create_task(self._listen(bells))
        try:
            await self._resume()
            self.tell("ready")
            while True:
                await self._look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS)
                self._wake.clear()
        finally:
            listener.cancel()
            if self._asking is not None:
                self._asking.cancel()
            for run in list(self.caller.runs):
                if run.task is not None:
                    run.task.cancel()
            await self.engines.aclose()

    def leave(self, seconds: float) -> None:
        """Begins nothing more, and waits until no answer would be lost if this process ended. From another thread than the loop's."""
        caller = getattr(self, "caller", None)
        if caller is None:
            return
        caller.leaving = True
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(run.asking for run in list(caller.runs)):
            time.sleep(0.02)

    async def _look(self) -> None:
        """Takes what was sent, and ends what nobody wants any more."""
        room = 0 if self.caller.leaving else MOST_CALLS - len(self.caller.runs)
        if room > 0:
            for errand in await self._in_database(lambda: self._lease(room)):
                self.caller.start(errand)
                self.tell("job", id=errand.task.job)
        ended = await self._in_database(lambda: {run for run in list(self.caller.runs) if jobs.has_ended(self.store, run.errand.task.job)})
        for run in ended:
            await self.caller.cancel(run)
        if time.monotonic() - self._adopted > ADOPT_SECONDS:
            self._adopted = time.monotonic()
            await self._adopt()
        if time.monotonic() - self._looked > UNCERTAIN_SECONDS or not self._looked:
            self._looked = time.monotonic()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_for_uncertain())

    def _lease(self, room: int) -> list[cloudtasks.Errand]:
        if not cloudtasks.anything_sent(self.store.db):  # without a write lock each second
            return []
        with self.store.write() as db:
            return cloudtasks.lease(db, self.name, room)

    # After a crash.

    async def _resume(self) -> None:
        """Goes on with what a worker that is gone had begun."""
        self.spool.sweep()
        kept = set(self.spool.charges())
        for charge in await self._in_database(lambda: ledger.open_charges(self.store.db)):
            if charge["state"] != "uncertain" and charge["task_id"] is not None:
                await self._resume_one(charge)
        # What lies here of charges that have ended was delivered, or could not be: the disk may have room by now.
        for number in sorted(kept - {run.errand.charge for run in self.caller.runs}):
            await self._deliver_again(number)
        await self._in_database(self._free_leases)

    async def _adopt(self) -> None:
        """Goes on with calls whose run ended without writing down how, as one may whose disk failed."""
        for charge in await self._in_database(lambda: ledger.open_charges(self.store.db)):
            known = {run.errand.charge for run in self.caller.runs}
            if charge["state"] != "uncertain" and charge["begun"] is not None and charge["task_id"] and charge["id"] not in known:
                log.warning("charge %d is waited for again", charge["id"])
                await self._resume_one(charge)

    async def _resume_one(self, charge: sqlite3.Row) -> None:
        errand = await self._in_database(lambda: cloudtasks.errand_of(self.store.db, charge))
        if errand is None:
            await self._in_database(lambda: self._close(charge["id"], "Its batch is gone."))
            return
        result = await asyncio.to_thread(self.spool.result, charge["id"])
        ticket = await asyncio.to_thread(self.spool.ticket, charge["id"])
        if ticket is None and charge["ticket"] is not None:
            ticket = Ticket.from_dict(json.loads(charge["ticket"]))
        if charge["begun"] is None:
            await self._in_database(lambda: self._not_begun(charge, errand))
        elif ticket is not None or result is not None:
            if charge["state"] == "reserved" and ticket is not None:  # its pictures were here before its number was kept
                await self._in_database(lambda: self._submitted(charge["id"], ticket))
            self.caller.start(errand, ticket, result)
        else:
            what = f"{errand.provider} may have been asked for it when the studio was stopped."
            why = "No answer was kept, so nobody here knows whether it was drawn and billed."
            error = CloudError("capacity", what, why, "Look it up at the provider, then settle it in the Cloud tab.", sent="maybe")
            await self._in_database(lambda: self._uncertain(errand, error))

    def _errand_of(self, charge: sqlite3.Row) -> cloudtasks.Errand | None:
        return cloudtasks.errand_of(self.store.db, charge)

    def _not_begun(self, charge: sqlite3.Row, errand: cloudtasks.Errand) -> None:
        with self.store.write() as db:
            if errand.hedge:
                ledger.release(db, charge["id"], "It was not sent.")
            else:
                db.execute("UPDATE tasks SET state = 'waiting', worker = NULL WHERE id = ? AND state = 'leased'", [errand.task.id])

    def _submitted(self, charge: int, ticket: Ticket) -> None:
        with self.store.write() as db:
            ledger.submitted(db, charge, ticket.to_dict())

    def _uncertain(self, errand: cloudtasks.Errand, error: CloudError) -> None:
        with self.store.write() as db:
            record_failure(db, errand, error)

    def _close(self, charge: int, why: str) -> None:
        with self.store.write() as db:
            row = ledger.one(db, charge)
            if row["begun"] is None:
                ledger.release(db, charge, why)
            else:
                ledger.uncertain(db, charge, why)

    async def _deliver_again(self, number: int) -> None:
        charge = await self._in_database(lambda: ledger.one(self.store.db, number))
        errand = await self._in_database(lambda: cloudtasks.errand_of(self.store.db, charge))
        result = await asyncio.to_thread(self.spool.result, number)
        if errand is not None and result is not None and charge["state"] in ("settled", "uncertain"):
            self.caller.start(errand, None, result)
        elif charge["state"] in ("settled", "released"):
            await asyncio.to_thread(self.spool.drop, number)

    def _free_leases(self) -> None:
        """Batches that are leased and have no call any more: nothing is asked for them, so they wait again."""
        with self.store.write() as db:
            cloudtasks.free_orphans(db)

    async def _ask_for_uncertain(self) -> None:
        """What may have been drawn is asked for again by its number, or looked for in the provider's record; the older, the less often."""
        try:
            charges = await self._in_database(lambda: ledger.open_charges(self.store.db, state="uncertain"))
            self._asked = {charge["id"]: self._asked.get(charge["id"], 0.0) for charge in charges}
            for charge in charges:
                if self._is_due(charge):
                    await self._ask_for(charge)
        except Exception:
            log.exception("what is uncertain could not be asked for")

    def _is_due(self, charge: sqlite3.Row) -> bool:
        age, asked = seconds_since(charge["submitted"] or charge["created"]), self._asked[charge["id"]]
        if not charge["task_id"] or age > UNCERTAIN_AGE or len(self.caller.runs) >= MOST_CALLS:
            return False
        if charge["id"] in self.caller.answered | {run.errand.charge for run in self.caller.runs}:
            return False
        return not asked or time.monotonic() - asked > max(UNCERTAIN_SECONDS, UNCERTAIN_SHARE * age)

    async def _ask_for(self, charge: sqlite3.Row) -> None:
        errand = await self._in_database(partial(self._errand_of, charge))
        if errand is not None and charge["ticket"]:
            self._asked[charge["id"]] = time.monotonic()
            self.caller.start(errand, Ticket.from_dict(json.loads(charge["ticket"])))
        elif errand is not None and tells(charge):
            await self.caller.look_up(errand, charge)

    # The rest.

    async def _listen(self, bells: Bells) -> None:
        """Webhooks, where the settings want them; without them everything is polled for."""
        async with httpx.AsyncClient(timeout=WEBHOOK_SECONDS) as client:
            replicate = self.providers.all().get("replicate")
            secret = replicate_secret(client, replicate.base_url if replicate else "", lambda: key_of(replicate) if replicate else None)
            listener = Listener(bells, Signers(client, secret))
            await keep_listening(listener, lambda: Setup.of(self.settings), lambda words: log.info("%s", words))

    async def _in_database(self, work: Callable[[], Made]) -> Made:
        """Runs it on the database's thread. A database that others keep busy is waited for: nothing of `work` was done then."""
        return await asyncio.get_running_loop().run_in_executor(self._database, partial(patiently, work))


def patiently(work: Callable[[], Made]) -> Made:
    """What `work` returns, once others let go of the database. Each piece of work is one transaction, or only reads."""
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            log.warning("the database is kept busy by others; waiting for it")
            time.sleep(BUSY_SECONDS)


def main() -> None:
    quiet_libraries()
    setup = CloudSetup.from_line(sys.stdin.buffer.readline())
    folder = Path(setup.data_dir)
    handler = logging.handlers.RotatingFileHandler(folder / "logs" / "cloud.log", maxBytes=2 * 2**20, backupCount=3)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each poll
    guard_logs()
    worker = CloudWorker(Store(folder / "studio.db"), folder, load_catalogue(), setup.name)
    _end_with_parent(worker)
    # One at a time: a worker of a page that was killed lets go within moments.
    with FileLock(folder / "cloud.lock"):
        worker.link = events.connect(setup.address, bytes.fromhex(setup.key), worker.hear)
        asyncio.run(worker.run())


def _end_with_parent(worker: CloudWorker) -> None:
    """The page's end is ours: what is under way is gone on with by the next worker, but for answers that only this one can hear."""

    def wait() -> None:
        sys.stdin.buffer.read()
        worker.leave(LEAVE_SECONDS)
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


if __name__ == "__main__":
    main()
