"""The runner of batches: keeps a few rows of each in the queue, behind everything that people wait for, and ends those that are done.

It holds nothing: what is to be done stands in SQLite, so it goes on after a restart where it was. A row's job and the row's own state
are written in one transaction; of two runners on the same data one finds the row taken.
"""
from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound, StudioError
from pipelines.batch import Setup, read_off_peak
from studio.store import batches
from studio.store.batches import Taken
from studio.store.db import days_ago
from studio.store.people import LOCAL, Who, person_row, projects_of

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

AHEAD = 8  # rows of a batch that are in the queue at once: enough that the worker never waits, and a pause acts soon
QUICK_SECONDS, IDLE_SECONDS = 0.2, 15.0
LOWEST = -1
CATALOGUE_DAYS = 7

Submission = Callable[[sqlite3.Row, sqlite3.Row, Setup], dict[str, Any]]  # of a batch and a row of it


class Runner:
    """A thread that feeds the queue. request: what is submitted for a row. changed: told the batches that moved on."""

    def __init__(self, studio: Studio, request: Submission, changed: Callable[[int], None]) -> None:
        self._studio, self._request, self._changed = studio, request, changed
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        batches.forget_catalogues(self._studio.store, days_ago(CATALOGUE_DAYS))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """There is something to begin."""
        self._wake.set()

    def look(self, now: datetime | None = None) -> bool:
        """Ends what has ended and begins what may begin; whether anything is under way. now: this machine's clock, for the hours."""
        store = self._studio.store
        touched = dict.fromkeys(batches.settle(store))
        for batch in batches.running(store):
            if self._feed(batch, now or datetime.now()):
                touched[batch["id"]] = None
        for batch_id in touched:
            self._changed(batch_id)
        return bool(touched) or store.db.execute("SELECT 1 FROM batch_rows WHERE state = 'open' LIMIT 1").fetchone() is not None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                busy = self.look()
            except Exception:
                # The database may be busy, or the disk full: the thread that minds the batches outlives it and looks again.
                log.exception("batches: looking after them failed, and is tried again")
                busy = False
            self._wake.wait(QUICK_SECONDS if busy else IDLE_SECONDS)

    def _feed(self, batch: sqlite3.Row, now: datetime) -> bool:
        """Puts rows of a batch into the queue; whether any changed."""
        store = self._studio.store
        version, setup = batches.setup_of(store, batch["id"])
        hours = read_off_peak(setup)
        if hours is not None:
            inside = hours.holds(now.time())
            if held := batches.hold_jobs(store, batch["id"], not inside):
                self._studio.queue_changed(held)
            if not inside:
                return bool(held)
        room = AHEAD - batches.open_rows(store, batch["id"])
        if room <= 0:
            return False
        who = _who(self._studio, batch["person"])
        if who is None:
            batches.hold(store, batch["id"], True, f"{batch['person']} is not here any more.")
            return True
        rows = batches.rows_of(store, batch["id"], ("waiting",), limit=room)
        for row in rows:
            if self._stopping.is_set() or not self._begin(batch, row, Setup.from_dict(setup), version, who):
                break
        return bool(rows)

    def _begin(self, batch: sqlite3.Row, row: sqlite3.Row, setup: Setup, version: int, who: Who) -> bool:
        """Queues a row, or ends it where it cannot be queued; False when its batch has to wait."""
        store = self._studio.store

        def then(db: sqlite3.Connection, job: int) -> None:
            batches.begin_row(db, row["id"], row["attempt"], version, job)

        def refuse(error: dict[str, Any]) -> bool:
            try:
                with store.write() as db:
                    batches.refuse_row(db, row["id"], row["attempt"], version, error)
            except Taken:
                return False
            return True

        try:
            self._studio.submit(self._request(batch, row, setup) | {"priority": LOWEST}, who, then)
        except Taken:
            return False  # a person paused the batch just now
        except (BadInput, NotFound) as error:
            return refuse(error.as_dict())
        except StudioError as error:  # weights, licences, the disk: no row would fare better
            batches.hold(store, batch["id"], True, str(error))
            return False
        except sqlite3.OperationalError:
            raise
        except Exception as error:
            log.exception("batch %d, row %d", batch["id"], row["number"])
            return refuse({"what": "A bug in the studio.", "why": type(error).__name__, "todo": "See logs/studio.log in the data folder."})
        return True


def _who(studio: Studio, person: str) -> Who | None:
    """As whom a row is queued; None for somebody who was removed."""
    if person == LOCAL.name and not studio.login:
        return LOCAL
    row = person_row(studio.store, person)
    return None if row is None else Who(person, bool(row["admin"]), projects_of(studio.store, person))

