"""What may go wrong at a provider, as a queue that a test fills.

Any request (`at` says which: "submit", "poll", "result", "download", "cancel", "check", "list", "upload") may be answered by
    reset          the connection is reset before the first byte of an answer
    hang           no answer until the asker leaves
    trickle        one byte every `pace` seconds
    short          fewer bytes than Content-Length says
    flood          a body that does not end
    html           200, and a page instead of JSON or a picture
    garbled        200, and JSON that is cut in the middle
    status         `status` with `body` and `headers`, where a test wants its own
    error          `status` 500 in the provider's own shape, 502 as a gateway's page, 503, 504
    throttled      429; `retry_after` seconds, "date" (in `seconds`), or None; in the body where the provider writes it there
    redirect       302 to a foreign host
At a submit the first seven are told of a job that was accepted and will be drawn and billed: what is lost is the answer. With
`accepted=False` the provider never began. `error` and `throttled` never begin, unless `accepted=True`.

Of keys and money, at any request with a key: unauthorized, forbidden, quota.
Of a job, at "submit", told when its turn comes (see each provider's module for those that are its own):
    refused        moderation refuses the prompt       nsfw        `count` (all) pictures are flagged, and what follows from that
    invalid        validation refuses the input        failed      the model fails
    empty          200 and no picture                  slow        drawing takes `seconds`
    stuck          it never leaves the queue (`state`: or "running")      unknown     a state that nobody has heard of
    foreign        polling addresses on a foreign host
    drift          the bill is `factor` times the list's price
Of a picture, at "download": expired (`status` 403 or 404), damaged (its bytes are cut, its length is not), foreign is at "submit".
Of a webhook, at "webhook": duplicate, stale, forged, missing.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

AT_SUBMIT = "submit"
LOST = ("reset", "hang", "trickle", "short", "flood", "html", "garbled")  # the answer, not the job
WIRE = (*LOST, "status", "error", "throttled", "redirect")
KEYED = ("unauthorized", "forbidden", "quota")
OF_A_JOB = ("refused", "nsfw", "invalid", "failed", "empty", "slow", "stuck", "unknown", "foreign", "drift")
OF_A_PICTURE = ("expired", "damaged")
OF_A_WEBHOOK = ("duplicate", "stale", "forged", "missing")


class Fault:
    """kind, at: as above. times: for so many requests in a row. details: what the kind takes, `fault["name"]`."""

    def __init__(self, kind: str, at: str = AT_SUBMIT, times: int = 1, **details: Any) -> None:
        self.kind, self.at, self.times, self.details = kind, at, times, details

    def get(self, name: str, otherwise: Any = None) -> Any:
        return self.details.get(name, otherwise)

    def __repr__(self) -> str:
        more = "".join(f", {name}={value!r}" for name, value in self.details.items())
        return f"Fault({self.kind!r}, at={self.at!r}, times={self.times}{more})"


class Faults(deque[Fault]):
    """The queue: each request takes the first fault of its moment. Filled from any thread."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        super().__init__(faults)
        self._lock = threading.Lock()

    def take(self, *moments: str) -> Fault | None:
        """The next fault of one of `moments`, used up once more."""
        with self._lock:
            for fault in self:
                if fault.at in moments:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.remove(fault)
                    return fault
        return None
