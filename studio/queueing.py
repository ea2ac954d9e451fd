"""The queue as people see it: where a job stands, when it will be done, and what a submission may ask of its place.

The estimate plays the queue forward with the rule by which the worker really chooses (`store.turns`) and with this machine's timings.
"""
from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from models.errors import BadInput
from pipelines.fields import shown, text, whole
from studio.foresight import Outlook, Waiting, foresee
from studio.store import Store
from studio.store.jobs import AS_IT_COMES, Placing
from studio.store.people import Who
from studio.store.timings import Timing, loadings, timing
from studio.store.turns import open_jobs, served, why_paused

LOWEST, HIGHEST = -1, 1  # priorities: when nothing else waits, as usual (0), before all else
FIELDS = ("priority", "start_at", "front")  # of a submission, beside those of the Request
SEEN_BY_ALL = ("id", "state", "tier", "draft", "done", "step", "steps", "eta", "position", "priority", "paused", "not_before")
FRESH_SECONDS = 0.5  # how old an estimate may be ...
COST_RATIO = 20  # ... or this many times what it took to make, so that a queue of thousands costs no more than a short one
LATE_SECONDS = 60  # a start time this far in the past is a slow clock or a slow click, and means now
FURTHEST = timedelta(days=366)

DRAWN = Outlook(None, 0.0, 0.0)


class Queue:
    """What can be said of the queue. Any thread may ask.

    device: the words under which this machine's timings are kept. live: seconds left of each job that is being drawn right now, as
    its own steps tell, with nobody else's work in between.
    """

    def __init__(self, store: Store, device: Callable[[], str], live: Callable[[], Mapping[int, float]] = dict) -> None:
        self._store, self._device, self._live = store, device, live
        self._lock = threading.Lock()
        self._plan: dict[int, Outlook] = {}
        self._made = self._until = 0.0
        self._changes, self._made_for = 0, -1

    def changed(self) -> None:
        """The next answer is made anew: something was submitted, moved, paused or ended."""
        self._changes += 1

    def outlook(self, job: int) -> Outlook:
        """Of an open job. One that is drawn and waits to be scored is as good as done."""
        with self._lock:
            if self._changes != self._made_for or time.monotonic() >= self._until:
                self._foresee()
            seen = self._plan.get(job, DRAWN)
            if seen.eta is None:
                return seen
            return Outlook(seen.position, max(0.0, round(seen.eta - (time.monotonic() - self._made), 2)), seen.others)

    def why_paused(self) -> str:
        return why_paused(self._store)

    def _foresee(self) -> None:
        # Noted before looking, so that a change that comes meanwhile is seen the next time.
        started, changes = time.monotonic(), self._changes
        words, moment, live = self._device(), datetime.now(UTC), self._live()
        known: dict[tuple[str, int, int], Timing] = {}
        waiting = []
        for row in open_jobs(self._store):
            key = (row["card"], row["width"], row["height"])
            if key not in known:
                known[key] = timing(self._store, words, *key)
            batches = row["tasks"] + row["leased"]
            seconds = live.get(row["id"], known[key].of_draft(row["pictures"], row["steps"]))
            if row["finals"] and row["id"] not in live and seconds is not None:
                final = timing(self._store, words, row["final_card"], row["final_width"], row["final_height"])
                seconds += final.of_draft(row["finals"], row["final_steps"]) or 0.0
            waiting.append(
                Waiting(
                    job=row["id"], person=row["person"], priority=row["priority"], place=row["place"], card=row["card"],
                    batches=row["tasks"], running=row["leased"], seconds=None if seconds is None else seconds / max(1, batches),
                    release=_seconds_until(row["not_before"], moment), held=bool(row["paused"]),
                )
            )  # fmt: skip
        plan = foresee(waiting, served(self._store), loadings(self._store, words))
        if why_paused(self._store):
            plan = {job: Outlook(seen.position, None, seen.others) for job, seen in plan.items()}
        self._plan, self._made, self._made_for = plan, started, changes
        self._until = started + max(FRESH_SECONDS, COST_RATIO * (time.monotonic() - started))


def veiled(view: dict[str, Any], row: Any, who: Who) -> dict[str, Any]:
    """A job's view as `who` may see it: of a job that is not shared with them no more than that it is there and how long it takes.

    Whose it is is told to an admin, who looks after the queue but sees no more of others' work than anybody.
    """
    if who.sees(row["person"], row["shared"]):
        return view
    return {name: view[name] for name in SEEN_BY_ALL} | {"person": row["person"] if who.admin else None, "prompt": None}


def take_placing(data: Any, who: Who) -> tuple[Placing, Any]:
    """What a submission asks of the queue, and the rest of it, which is the Request. Raises BadInput.

    "priority": -1, 0 or 1 (1: an admin). "front": true puts it before the person's other jobs. "start_at": see `start_time`.
    """
    if not isinstance(data, Mapping):
        return AS_IT_COMES, data
    front = data.get("front")
    if front is not None and not isinstance(front, bool):
        raise BadInput("front", f"front must be true or false; this is {shown(front)}.")
    placing = Placing(read_priority(data, who), bool(front), start_time(data))
    return placing, {name: value for name, value in data.items() if name not in FIELDS}


def read_priority(data: Mapping[Any, Any], who: Who) -> int:
    """"priority" as a whole number; 0 when absent. Raises BadInput."""
    priority = whole(data, "priority", LOWEST, HIGHEST, 0)
    if priority > 0 and not who.admin:
        raise BadInput("priority", "Only an admin can put a job before everybody else's.", todo='Use "front" to put it before your own.')
    return priority


def start_time(data: Mapping[Any, Any]) -> str | None:
    """"start_at" in UTC as `store.now` writes it; None when absent or null. Raises BadInput.

    It is a date and time (ISO 8601; without an offset: this machine's clock), or a time of day ("02:00"), the next such time here.
    """
    said = text(data, "start_at", 40)
    if not said:
        return None
    now = datetime.now().astimezone()
    try:
        start = _next_time(said, now) or datetime.fromisoformat(said).astimezone()
        late = now - start
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(
            "start_at",
            f"{shown(said)} is no time that this studio can read.",
            todo='Write "02:00", or a date and time as in 2026-11-21T02:00.',
        ) from error
    if late > timedelta(seconds=LATE_SECONDS):
        raise BadInput("start_at", f"{shown(said)} has passed.", todo="Choose a later time, or none to start at once.")
    if -late > FURTHEST:
        raise BadInput("start_at", f"{shown(said)} is more than a year away.", todo="Choose an earlier time.")
    return start.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _next_time(said: str, now: datetime) -> datetime | None:
    """The next time of day "2:00" by the clock of `now`; None when `said` is something else."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", said)
    if found is None:
        return None
    # Without its zone while days are counted: the day on which the clocks change is a day too.
    today = now.replace(tzinfo=None, hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
    start = today.astimezone()
    return start if start > now else (today + timedelta(days=1)).astimezone()


def _seconds_until(moment: str | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (datetime.fromisoformat(moment) - now).total_seconds())
