"""What a provider's own record says of a submit whose answer was lost: that it has it, by which number, or that it never came.

Only some providers have a record that can be asked (`Recording`). One entry stands for one charge: what another charge is known to be is
left out, and nothing is looked for while another submit to the same provider has no number yet, for it might be that one's.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from models.cloud.spec import Call, CloudEngine, CloudError, Recording, Ticket

log = logging.getLogger(__name__)

LOOKS = (0.3, 1.0, 3.0)  # seconds before each look of a call that still waits
SEARCH_SECONDS = 10.0  # that it takes at the most
CLOCKS_APART = 60.0  # seconds that a provider's clock may differ from this one's
LATEST = 120.0  # seconds after which a submit that was sent cannot arrive any more
SURE_SECONDS = 300.0  # after which what is in no record surely never came
TELLS_SECONDS = 3000.0  # for how long a record tells what was asked for


class Records:
    """Of one event loop. alone(provider): whether no other submit to it is without a number. known(provider): numbers of charges."""

    def __init__(self, alone: Callable[[str], bool], known: Callable[[str], Awaitable[set[str]]]) -> None:
        self._alone, self._known = alone, known
        self._found: set[str] = set()  # that were given to a charge, which may not have it written down yet

    async def wait_for(self, engine: CloudEngine, call: Call, begun: float) -> Ticket | None:
        """Looks a few times, for a call that has just lost its answer. None where it is not there, or cannot be told."""
        if not isinstance(engine, Recording):
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEARCH_SECONDS):
                for pause in LOOKS:
                    await asyncio.sleep(pause)
                    try:
                        found = await self.find(engine, call, begun)
                    except CloudError as error:
                        log.info("the record of %s: %s", call.provider, error)
                        continue
                    if found is not None:
                        return found
        return None

    async def find(self, engine: Recording, call: Call, begun: float) -> Ticket | None:
        """Looks once. begun: Unix time of the submit. None: it is not there. Raises CloudError, also where it cannot be told now."""
        before = await self._known(call.provider)
        found = await engine.recorded(call, begun - CLOCKS_APART, begun + LATEST + CLOCKS_APART, before | self._found)
        # Whatever was begun while the record was read has its number by now, or is still without one.
        after = await self._known(call.provider)
        if not self._alone(call.provider):
            raise CloudError("throttled", f"Another call to {call.provider} has no number yet.", sent="yes")
        fresh = [ticket for ticket in found if ticket.request_id not in after | self._found]
        if not fresh:
            return None
        self._found.add(fresh[0].request_id)
        return fresh[0]


def tells(charge: sqlite3.Row) -> bool:
    """Whether a record may still tell of a charge that has no number."""
    return charge["ticket"] is None and charge["begun"] is not None and seconds_since(charge["begun"]) < TELLS_SECONDS


def surely_absent(charge: sqlite3.Row) -> bool:
    """Whether what is in no record now never comes into one."""
    return seconds_since(charge["begun"]) > SURE_SECONDS


def known_numbers(db: sqlite3.Connection, provider: str) -> set[str]:
    """Requests that charges are known to be."""
    rows = db.execute("SELECT request_id FROM charges WHERE provider = ? AND request_id IS NOT NULL AND request_id != ''", [provider])
    return {row["request_id"] for row in rows}


def seconds_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def unix(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else time.time()
