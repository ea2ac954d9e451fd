"""What goes to the cloud: decides for batches that wait, of jobs that allow it, and marks them together with their reservation.

It lives in the page's process and never calls a provider. This machine goes first: what would begin here within `cloud.wait_seconds` stays.
Of a long job the device draws from the front, and the tail goes. Nobody's hundred jobs take all of the places: while others wait too, the
person with the fewest calls under way comes next, one batch at a time.
"""
from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from models.errors import Unavailable
from pipelines.offers import MINUTE, Load, offers
from pipelines.route import Here, Route, Share, route
from pipelines.tasks import Draft, even_batches
from studio.calls import ask_of, lora_addresses
from studio.patrol import Patrol
from studio.store import cloudhealth, cloudtasks, ledger
from studio.store.cloudtasks import Travel
from studio.store.costs import Rates
from studio.store.db import days_ago
from studio.store.timings import timing
from studio.store.turns import why_paused

if TYPE_CHECKING:
    from models.cards import ModelCard
    from models.cloud.catalogue import Provider
    from pipelines.request import Request
    from pipelines.routepolicy import Policy
    from studio.funnel import Funnel
    from studio.store.people import Who
    from studio.studio import Studio

log = logging.getLogger(__name__)

Ending = Literal["", "full", "stays"]  # "full": no provider has room for more of this kind now; "stays": no more of this job goes
PATROL_SECONDS = 1.0
SAME_NOISE = "Its finals are drawn from the same noise as its drafts, which no other machine has."
NO_CALLS = "The cloud is switched off."


@dataclass(frozen=True)
class Batch:
    """A batch that waits, with its job. wait: seconds until the device would begin it; waited: seconds since it could have been drawn."""

    row: sqlite3.Row
    draft: Draft
    request: Mapping[str, Any]
    travel: Travel
    wait: float
    waited: float

    @property
    def alike(self) -> tuple[object, ...]:
        """What batches have in common that can be cut anew together."""
        plain = replace(self.draft, numbers=(), spec=replace(self.draft.spec, seeds=()))
        return plain, self.travel.avoid, self.travel.attempts, self.row["place"]


class Dispatcher:
    """One thread that looks whenever it is woken, and each second. What a look that fails had begun is not half done.

    funnel: goes on with a job that a provider left nothing of to draw. is_here: whether a card's weights are on this machine. on_sent:
    hears of jobs whose place or words changed.
    """

    def __init__(self, studio: Studio, funnel: Funnel, is_here: Callable[[ModelCard], bool], on_sent: Callable[[list[int]], None]) -> None:
        self._studio, self._store, self._settings = studio, studio.store, studio.settings
        self._funnel, self.is_here, self._on_sent = funnel, is_here, on_sent
        self._looking = threading.Lock()
        self.policy = cloudhealth.policy()
        self._patrol = Patrol("dispatch", self._turn, PATROL_SECONDS)

    def start(self) -> None:
        self._patrol.start()

    def stop(self) -> None:
        self._patrol.stop()

    def wake(self) -> None:
        self._patrol.wake()

    def _turn(self) -> None:
        self.look()

    def look(self) -> list[int]:
        """Sends what may go now; the jobs whose place or words changed."""
        with self._looking:
            changed = self._tidy()
            waiting = self._waiting()
            if waiting:
                changed |= self._send_in_turn(waiting)
        if changed:
            self._on_sent(sorted(changed))
        return sorted(changed)

    # What there is to decide.

    def _tidy(self) -> set[int]:
        """Gives back reservations of batches that are over, and goes on with jobs of which a provider refused the rest."""
        changed = set()
        if cloudtasks.left_over(self._store.db):
            with self._store.write() as db:
                for charge in cloudtasks.left_over(db):
                    ledger.release(db, charge["id"], "The batch was ended before it was sent.")
                    changed.add(charge["job_id"])
        reserved = "SELECT 1 FROM charges WHERE state = 'reserved' AND begun IS NULL LIMIT 1"
        if not self._settings.get("cloud.enabled") and self._store.db.execute(reserved).fetchone():
            with self._store.write() as db:
                changed |= set(cloudtasks.recall(db))
        for job in cloudtasks.stalled(self._store):
            with self._store.write() as db:
                self._funnel.settle(db, job)
            changed.add(job)
        return changed

    def _waiting(self) -> list[Batch]:
        """Batches that the cloud may draw, by job and position."""
        rows = cloudtasks.candidates(self._store.db)
        if not rows or why_paused(self._store):
            return []
        batches: list[Batch] = []
        for job in dict.fromkeys(row["job_id"] for row in rows):
            batches += self._of_job([row for row in rows if row["job_id"] == job])
        return batches

    def _of_job(self, rows: Sequence[sqlite3.Row]) -> list[Batch]:
        first = rows[0]
        request = json.loads(first["request"])
        waited = _age(first["not_before"] or first["created"])
        outlook, down = self._studio.queue.outlook(first["job_id"]), self._studio.device()["device"]["state"] == "down"
        running = self._store.db.execute(
            "SELECT count(*) FROM tasks WHERE job_id = ? AND place IS NULL AND kind = 'draft' AND state = 'leased'", [first["job_id"]]
        ).fetchone()[0]
        own_batches = [row["id"] for row in rows if row["place"] is None]
        own = max(0.0, (outlook.eta or 0.0) - outlook.others) / max(1, len(own_batches) + running)
        found = []
        for row in rows:
            ahead = running + (own_batches.index(row["id"]) if row["place"] is None else 0)
            wait = outlook.others + own * ahead if outlook.eta is not None else 0.0
            if not running:  # what it has waited already is known, whatever was reckoned
                wait = max(wait, waited)
            draft = Draft.from_dict(json.loads(row["payload"]))
            found.append(Batch(row, draft, request, Travel.of(row["route"]), float("inf") if down else wait, waited))
        return found

    # Who goes.

    def _send_in_turn(self, waiting: Sequence[Batch]) -> set[int]:
        """By priority; within one the person with the fewest calls under way, and of theirs the job that comes first."""
        changed: set[int] = set()
        policy, usable = self._policy(), self._studio.providers.usable()
        full: set[tuple[object, ...]] = set()  # what no provider has room for now, whoever asks
        under_way: Counter[str] = Counter()
        for row in self._store.db.execute(
            "SELECT person, count(*) AS calls FROM charges WHERE state IN ('reserved', 'submitted') GROUP BY person"
        ):
            under_way[row["person"]] = row["calls"]
        # Of those with as few, whoever has waited longest for a turn; names decide nothing.
        served: Counter[str] = Counter(cloudtasks.last_turns(self._store.db))
        lines: dict[int, dict[str, list[list[Batch]]]] = {}
        for group in _groups(waiting, policy.busy_seconds):
            row = group[0].row
            lines.setdefault(row["priority"], {}).setdefault(row["person"], []).append(group)
        for priority in sorted(lines, reverse=True):
            people = lines[priority]
            for groups in people.values():
                groups.sort(key=lambda group: (group[0].row["turn"], group[0].row["job_id"], group[0].row["position"]))
            while people:
                person = min(people, key=lambda name: (under_way[name], served[name], name))
                group = people[person][0]
                kind = _kind(group[0])
                if kind in full:
                    people[person].pop(0)
                    if not people[person]:
                        del people[person]
                    continue
                # Alone in the line, a request may take all the places there are; else they are handed out a batch at a time.
                part = group if len(people) == 1 else group[:1]
                sent, job_changed, end = self._decide(part, usable, policy)
                under_way[person] += sent
                served[person] = max(served.values(), default=0) + 1
                if job_changed:
                    changed.add(group[0].row["job_id"])
                if end == "full":
                    full.add(kind)
                del group[: len(part)]
                if end or not group:  # what holds for one batch of a job holds for its next
                    people[person].pop(0)
                if not people[person]:
                    del people[person]
        return changed

    def require(self, batch: Draft, count: int, request: Request, who: Who) -> None:
        """That providers can draw `count` candidates of a batch whose model is not here, and may be paid.

        Raises Unavailable, and OverBudget with the numbers.
        """
        title = self._studio.catalogue.card(batch.card).title
        here = Here(False, why=f"The weights of {title} are not on this machine.")
        asked, db = request.to_dict(), self._store.db
        why = cloudtasks.stays(db, who.name, None, asked) or ("" if self._settings.get("cloud.enabled") else NO_CALLS)
        if why:
            raise Unavailable(here.why, why, "Download them in the Models tab, or choose another family.")
        loras = lora_addresses(db, batch, asked)
        ask = ask_of(batch, count, request.family, asked, loras, 0.0, ())
        now = time.time()
        found = offers(ask, self._studio.providers.usable().values(), cloudhealth.read(db), loads(db, now), now)
        able = [offer for offer in found if not offer.lacks and not (offer.health == "open" and offer.resets_at is None)]
        if not able:
            why = route(ask, here, found, self._policy(), None, now).refused
            raise Unavailable(here.why, why, "Download them in the Models tab, or choose another family or provider.")
        price, left = count * min(offer.price_micro for offer in able), ledger.left(db, who.name)
        if left is None or price > left:
            limits = ledger.limits(db, who.name)
            raise ledger.OverBudget(price, min(limits, key=lambda limit: limit.left, default=None))

    def _policy(self) -> Policy:
        return replace(self.policy, busy_seconds=self._settings.get("cloud.wait_seconds"))

    def _decide(self, group: Sequence[Batch], usable: Mapping[str, Provider], policy: Policy) -> tuple[int, bool, Ending]:
        """Routes batches that are alike: how many calls were sent, whether the job changed, and why nothing more of it goes now."""
        row = group[0].row
        here = self._here(group)
        with self._store.write() as db:
            still = cloudtasks.still_waits(db, [batch.row["id"] for batch in group])
            group = [batch for batch in group if batch.row["id"] in still]
            if not group:
                return 0, False, ""
            if here.able and row["place"] is not None:  # its weights have come meanwhile
                for batch in group:
                    cloudtasks.go_home(db, batch.row["id"], row["job_id"], batch.draft.numbers)
                return 0, True, ""
            found = self._route(db, group, here, usable, policy)
            said = cloudtasks.say(db, row["job_id"], found.refused or found.words, always=bool(found.shares))
            if not found.shares:
                return 0, said, "full" if not found.local and not found.refused else "stays"
            numbers = [number for batch in group for number in batch.draft.numbers]
            parts, shares = _parts(numbers, found.shares, max(len(batch.draft.numbers) for batch in group))
            tasks = cloudtasks.cut(db, [batch.row for batch in group], parts)
            sent = 0
            travel = replace(group[0].travel, route=found.to_dict())
            for task, part, share in zip(tasks, parts, shares, strict=True):
                if share is None:
                    continue
                price = share.price_micro * len(part) // share.count
                charge = ledger.of_job(db, row["job_id"], share.provider, share.model, part, price, task=task)
                try:
                    ledger.reserve(db, charge)
                except ledger.OverBudget as error:
                    cloudtasks.say(db, row["job_id"], str(error))
                    return sent, True, "stays"
                cloudtasks.send(db, task, row["job_id"], part, f"{share.provider} {share.model}", travel)
                sent += 1
        return sent, True, "full" if found.waiting else ""

    def _route(
        self, db: sqlite3.Connection, group: Sequence[Batch], here: Here, usable: Mapping[str, Provider], policy: Policy
    ) -> Route:
        row, draft, request, travel = group[0].row, group[0].draft, group[0].request, group[0].travel
        why = cloudtasks.stays(db, row["person"], row["shared"], request) or self._why_not(row, travel, here)
        if why:
            return Route(local=True, words=f"Here. {why}") if here.able else Route(refused=f"{here.why} {why}")
        count = sum(len(batch.draft.numbers) for batch in group)
        loras = lora_addresses(db, draft, request)
        ask = ask_of(draft, count, row["family"], request, loras, group[0].waited, travel.avoid)
        now = time.time()
        found = offers(ask, usable.values(), cloudhealth.read(db), loads(db, now), now)
        project = ledger.project_of(row["shared"])
        left = ledger.left(db, row["person"], project)
        if left is None:
            # No limit was ever set: nothing may be spent, whatever it costs.
            over = ledger.OverBudget(min((offer.price_micro for offer in found), default=0) * count, None)
            return Route(local=True, words=f"Here. {over}") if here.able else Route(refused=f"{here.why} {over}")
        return route(ask, here, found, policy, left, now)

    def _why_not(self, row: sqlite3.Row, travel: Travel, here: Here) -> str:
        if not self._settings.get("cloud.enabled"):
            return NO_CALLS
        plan = json.loads(row["plan"]) if row["plan"] else None
        if plan and plan["promotion"] == "same-noise":
            return SAME_NOISE
        if travel.home and here.able:
            return "Providers were asked for it in vain."
        return ""

    def _here(self, group: Sequence[Batch]) -> Here:
        draft = group[0].draft
        spec = draft.spec
        count = sum(len(batch.draft.numbers) for batch in group)
        known = timing(self._store, self._studio.device()["device"]["words"], draft.card, spec.width, spec.height)
        seconds = known.of_draft(count, spec.steps)
        rate = Rates(self._store).now
        price = rate.micro((seconds or 0.0) / count) if rate else 0
        card = self._studio.catalogue.card(draft.card)
        if not self.is_here(card):
            return Here(False, why=f"The weights of {card.title} are not on this machine.")
        # Never timed here: a provider is not slower than that.
        return Here(True, min(batch.wait for batch in group), float("inf") if seconds is None else seconds, price)


def loads(db: sqlite3.Connection, now: float) -> dict[str, Load]:
    """What is on its way to each provider, by the ledger."""
    calls, begun = cloudtasks.traffic(db, days_ago(MINUTE / 86400))
    flight: dict[str, dict[str, int]] = {}
    sent: dict[str, list[float]] = {}
    for row in calls:
        flight.setdefault(row["provider"], {})[row["model"]] = row["calls"]
    for row in begun:
        sent.setdefault(row["provider"], []).append(datetime.fromisoformat(row["begun"]).timestamp())
    return {name: Load(flight.get(name, {}), sent.get(name, ())) for name in flight.keys() | sent.keys()}


def _groups(waiting: Sequence[Batch], busy: float) -> list[list[Batch]]:
    """Batches of one job that are alike and that may go: the device would be long in coming, or cannot come at all."""
    found: dict[tuple[object, ...], list[Batch]] = {}
    for batch in waiting:
        if batch.row["place"] is not None or batch.wait > busy:
            found.setdefault((batch.row["job_id"], repr(batch.alike)), []).append(batch)
    return list(found.values())


def _kind(batch: Batch) -> tuple[object, ...]:
    """What decides which providers have room for a batch."""
    spec, row = batch.draft.spec, batch.row
    return row["family"], batch.draft.tier, spec.width, spec.height, spec.steps, spec.role, len(spec.loras), batch.travel.avoid


def _parts(numbers: Sequence[int], shares: Sequence[Share], rest: int) -> tuple[list[list[int]], list[Share | None]]:
    """The candidates of each call, with its share; at the end those that wait (None), in batches of at most `rest`."""
    parts: list[list[int]] = []
    whose: list[Share | None] = []
    at = 0
    for share in shares:
        for start, end in even_batches(share.count, -(-share.count // share.calls)):
            parts.append(list(numbers[at + start : at + end]))
            whose.append(share)
        at += share.count
    left = numbers[at:]
    for start, end in even_batches(len(left), rest):
        parts.append(list(left[start:end]))
        whose.append(None)
    return parts, whose


def _age(moment: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())

