"""Who routes the simulated day of `benchmarks.routing_day`: this studio's router, one provider alone, round robin, and two who knew."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from benchmarks.routing_day import FAMILY, MINUTE, RETRY_AFTER, SLOWER, Day, Fate, Task
from models.cloud.catalogue import CloudModel
from pipelines.fallback import after
from pipelines.health import Healths, Outcome
from pipelines.offers import Load, as_now, listed
from pipelines.route import Ask, Here, Offer, Route, Share, hedge, route
from pipelines.routepolicy import Policy
from pipelines.tasks import even_batches

AWAY = Here(able=False, why="this machine is off.")
LOOKED_AT = 3  # batches in a row that find no place, after which the rest of the queue is left for later
SOONEST = 0.25  # seconds between two looks at the queue for one that waits
# Calls of one provider answer at once or not at all: nothing can be asked for again by its number.
WITHOUT_NUMBERS = frozenset({"together"})
GIVES_UP, TRIES = 60.0, 8  # of round robin: seconds without an answer, and calls a picture


@dataclass
class Batch:
    """Pictures of one task that have yet to be drawn."""

    task: Task
    pictures: tuple[int, ...]
    attempts: int = 0
    paid: int = 0
    avoid: frozenset[str] = frozenset()


@dataclass
class Call:
    """One on its way. open: its caller waits for it."""

    batch: Batch
    share: Share
    model: CloudModel
    sent: float
    fate: Fate
    open: bool = True
    counted: bool = True
    hedged: Call | None = None


@dataclass
class Ledger:
    """What a day came to, by picture. cost: micro-dollars that were billed. quality: of the model that drew it."""

    delivered: dict[int, float] = field(default_factory=dict)
    cost: Counter[int] = field(default_factory=Counter)
    paid: Counter[int] = field(default_factory=Counter)
    quality: dict[int, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    hedged: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    words: str = ""

    @property
    def dollars(self) -> float:
        return self.cost.total() / 1e6

    @property
    def twice(self) -> set[int]:
        """Paid twice though nobody had decided to: neither hedged, nor held as uncertain with both reserved."""
        return {number for number, times in self.paid.items() if times > 1} - self.hedged - self.held

    def percentile(self, share: float, numbers: Iterable[int] | None = None) -> float:
        """Of the seconds from request to picture, over what was delivered (of `numbers`); NaN where nothing was."""
        chosen = self.delivered if numbers is None else [number for number in numbers if number in self.delivered]
        seconds = sorted(self.delivered[number] for number in chosen)
        return seconds[min(len(seconds) - 1, math.ceil(share * len(seconds)) - 1)] if seconds else math.nan


class Router:
    """This studio's, over the providers of the day that are named; all of them by default.

    told: it knows the day: when providers are down, slow or over their limit, how quick each model is, and which calls would fail; it
    follows the same rules.
    """

    def __init__(self, day: Day, policy: Policy, names: Sequence[str] = (), told: bool = False) -> None:
        self.day, self.policy, self.told = day, policy, told
        self.providers = [provider for provider in day.providers if not names or provider.name in names]
        self.models = {(provider.name, model.id): model for provider in day.providers for model in provider.models.values()}
        self.healths = Healths(policy.health)
        self.in_flight: dict[str, Counter[str]] = {provider.name: Counter() for provider in self.providers}
        self.sent: dict[str, deque[float]] = {provider.name: deque() for provider in self.providers}
        self.queues: dict[str, deque[Batch]] = {}
        self._listed: dict[tuple[str, int, int], Sequence[Offer]] = {}
        self.tries: Counter[tuple[int, str]] = Counter()
        self.ledger = Ledger()
        self.now, self._wakes = 0.0, math.inf
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def run(self) -> Ledger:
        for task in self.day.tasks:
            self._at(task.at, lambda task=task: self._arrive(task))
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()
        for queue in self.queues.values():
            self.ledger.lost.update(number for batch in queue for number in batch.pictures)
        return self.ledger

    # Decisions.

    def decide(self, batch: Batch) -> Route:
        ask = self._ask(batch)
        return route(ask, AWAY, self._offers(ask), self.policy, None, self.now)

    def _ask(self, batch: Batch) -> Ask:
        task = batch.task
        return Ask(
            task.tier, FAMILY, task.width, task.height, task.steps, len(batch.pictures),
            where="cloud allowed", waited=self.now - task.at, avoid=batch.avoid,
        )  # fmt: skip

    def _offers(self, ask: Ask) -> Sequence[Offer]:
        loads = {}
        for provider in self.providers:
            sent = self.sent[provider.name]
            while sent and sent[0] <= self.now - MINUTE:
                sent.popleft()
            loads[provider.name] = Load(self.in_flight[provider.name], sent)
        key = (ask.tier, ask.width, ask.height)
        if key not in self._listed:
            self._listed[key] = listed(ask, self.providers)
        found = as_now(self._listed[key], self.providers, self.healths, loads, self.now)
        return [self._truly(offer) for offer in found] if self.told else found

    def _truly(self, offer: Offer) -> Offer:
        model = self.models[offer.provider, offer.model]
        middle, tail = self.day.median(model), model.seconds[1] / model.seconds[0]
        slow = self.day.spell(offer.provider, self.now)
        factor = SLOWER if slow is not None and slow.kind == "slow" else 1.0
        offer = replace(offer, seconds_p50=middle * factor, seconds_p95=middle * tail * factor)
        for spell in self.day.spells[offer.provider]:
            if spell.kind != "slow" and spell.start < self.now + offer.seconds_p95 and self.now < spell.end:
                return replace(offer, health="open", resets_at=spell.end)
        return offer

    # What happens.

    def _arrive(self, task: Task) -> None:
        self.queues.setdefault(task.tier, deque()).append(Batch(task, task.pictures))
        self._pump()

    def _pump(self) -> None:
        for queue in self.queues.values():
            left: list[Batch] = []
            idle = 0
            while queue and idle < LOOKED_AT:
                batch = queue.popleft()
                found = self.decide(batch)
                self.ledger.words = self.ledger.words or found.words
                if found.refused:
                    self.ledger.lost.update(batch.pictures)
                    continue
                rest = batch.pictures
                for share in found.shares:
                    self._send(batch, rest[: share.count], share, found.hedge_after)
                    rest = rest[share.count :]
                idle = 0 if found.shares else idle + 1
                if rest:
                    left.append(replace(batch, pictures=rest))
                    self._wake(max(self.now + SOONEST, found.again_at or 0.0))
            queue.extendleft(reversed(left))

    def _wake(self, when: float) -> None:
        if when < self._wakes:
            self._wakes = when
            self._at(when, self._woken)

    def _woken(self) -> None:
        if self.now >= self._wakes:
            self._wakes = math.inf
            self._pump()

    def _send(self, batch: Batch, pictures: tuple[int, ...], share: Share, hedge_after: float | None) -> None:
        """The calls of a share."""
        for start, end in even_batches(len(pictures), -(-len(pictures) // share.calls)):
            part = replace(batch, pictures=pictures[start:end], attempts=batch.attempts + 1)
            price = share.price_micro // share.count * (end - start)
            call = self._begin(part, replace(share, count=end - start, calls=1, price_micro=price))
            if hedge_after is not None:
                self._at(self.now + hedge_after, lambda call=call: self._hedge(call))

    def _begin(self, batch: Batch, share: Share) -> Call:
        model = self.models[share.provider, share.model]
        key = (batch.pictures[0], f"{share.provider} {share.model}")
        self.tries[key] += 1
        fate = self.day.fate(model, batch.pictures[0], self.tries[key], share.count, self.now, self.told)
        call = Call(batch, share, model, self.now, fate)
        self.in_flight[share.provider][share.model] += 1
        self.sent[share.provider].append(self.now)
        self.healths = self.healths.began(share.provider, share.model, self.now)
        self._at(self.now + fate.ends, lambda: self._ends(call))
        if fate.told is not None and fate.told < fate.ends:
            self._at(self.now + fate.told, lambda: self._silent(call))
        self._at(self.now + share.late, lambda: self._late(call))
        self._at(self.now + share.deadline, lambda: self._deadline(call))
        return call

    def _ends(self, call: Call) -> None:
        """The provider is done with it, whoever still waits."""
        if call.fate.billed:
            for number in call.batch.pictures:
                if number not in self.day.refused:
                    self.ledger.paid[number] += 1
                    self.ledger.cost[number] += call.share.price_micro // call.share.count
        self._leave(call)
        if not call.open:
            return
        call.open = False
        if call.fate.kind == "ok":
            self._observe(call, "ok")
            self._deliver(call)
        elif call.fate.kind == "throttled":
            self._observe(call, "throttled")
            self._failed(call, "throttled", "no")
        else:
            self._observe(call, "failed")
            self._failed(call, "capacity", "yes", billed=0)
        self._pump()

    def _deliver(self, call: Call) -> None:
        for number in call.batch.pictures:
            if number in self.day.refused:
                self.ledger.refused.add(number)
            elif number not in self.ledger.delivered:
                self.ledger.delivered[number] = self.now - call.batch.task.at
                self.ledger.quality[number] = call.model.quality
        if call.hedged is not None and call.hedged.open:
            # Nobody waits for the other any more; what it draws is billed all the same.
            call.hedged.open = False

    def _failed(self, call: Call, kind: str, sent: str, billed: int | None = None) -> None:
        """What comes next for its pictures, unless another call is under way for them."""
        numbered = sent == "yes" and call.share.provider not in WITHOUT_NUMBERS
        request = "id" if numbered else None
        attempts = call.batch.attempts
        step = after(kind, sent, request, billed, attempts=attempts, paid=call.batch.paid, covered=True, policy=self.policy)  # type: ignore[arg-type]
        if step.go == "resume":
            call.open = True
            return
        paid = call.batch.paid
        if step.charge == "hold":
            self.ledger.held.update(call.batch.pictures)
            paid += 1
        if call.hedged is not None and call.hedged.open:
            return
        if step.go == "stop":
            self.ledger.lost.update(call.batch.pictures)
            return
        avoid = call.batch.avoid | {call.share.provider} if step.avoid else call.batch.avoid
        attempts -= kind == "throttled"
        self.queues[call.batch.task.tier].appendleft(replace(call.batch, avoid=avoid, attempts=attempts, paid=paid))

    def _silent(self, call: Call) -> None:
        """The connection broke after the submit, and nobody knows whether it was taken."""
        if call.open:
            call.open = False
            self._leave(call)
            self._observe(call, "failed")
            self._failed(call, "capacity", "maybe")
            self._pump()

    def _late(self, call: Call) -> None:
        if call.open:
            self._observe(call, "late")

    def _deadline(self, call: Call) -> None:
        if call.open:
            self._silent(call) if call.share.provider in WITHOUT_NUMBERS else self._failed(call, "capacity", "yes")

    def _hedge(self, call: Call) -> None:
        if not call.open or call.hedged is not None or self.told:
            return
        ask = self._ask(call.batch)
        second = hedge(ask, call.share, self._offers(ask), self.policy, None, self.now)
        if second is not None:
            self.ledger.hedged.update(call.batch.pictures)
            call.hedged = self._begin(call.batch, second)
            call.hedged.hedged = call

    def _leave(self, call: Call) -> None:
        if call.counted:
            call.counted = False
            self.in_flight[call.share.provider][call.share.model] -= 1

    def _observe(self, call: Call, outcome: Outcome) -> None:
        name, model, seconds = call.share.provider, call.share.model, self.now - call.sent
        self.healths = self.healths.observe(name, model, outcome, seconds, self.now, retry_after=RETRY_AFTER)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))


class RoundRobin(Router):
    """The next provider in turn that has room, whatever is known of it; another one when a call fails, or gave no answer for a minute."""

    _turn = -1

    def decide(self, batch: Batch) -> Route:
        ask = self._ask(batch)
        names = [provider.name for provider in self.providers]
        self._turn = turn = (self._turn + 1) % len(names)
        best: dict[str, Offer] = {}
        for offer in self._offers(ask):
            if not offer.lacks and offer.free_slots and offer.price_micro < best.get(offer.provider, _DEAREST).price_micro:
                best[offer.provider] = offer
        for name in [*names[turn:], *names[:turn]]:
            if name in best and (name not in batch.avoid or not set(best) - batch.avoid):
                offer = best[name]
                number = min(len(batch.pictures), offer.free_slots * offer.batch)
                calls = min(number, offer.free_slots)
                share = Share(name, offer.model, number, number * offer.price_micro, calls, offer.seconds_p50, GIVES_UP, math.inf)
                return Route(shares=(share,), waiting=len(batch.pictures) - number)
        return Route(waiting=len(batch.pictures), again_at=self.now + 1)

    def _failed(self, call: Call, kind: str, sent: str, billed: int | None = None) -> None:
        if call.batch.attempts >= TRIES:
            self.ledger.lost.update(call.batch.pictures)
            return
        call.open = False
        avoid = call.batch.avoid | {call.share.provider}
        self.queues[call.batch.task.tier].appendleft(replace(call.batch, avoid=avoid))

    def _observe(self, call: Call, outcome: Outcome) -> None:
        pass


_DEAREST = Offer("", "", 10**12, 1.0, 1.0)


def cheapest_in_time(day: Day, policy: Policy, made: Ledger, as_good: bool = True) -> Ledger:
    """Each picture for as little as it could be had, by one who knew every call of the day: no later than `made` has it, where anybody
    could, and drawn as well; as_good False: that only where the tier is for quality. A pool of single pictures stands for each provider's
    calls at a time, which is more than it allows."""
    ledger = Ledger(refused=set(made.refused))
    pools = {
        provider.name: [0.0] * (provider.limits.concurrency * max(model.capabilities.batch for model in provider.models.values()))
        for provider in day.providers
    }
    known: dict[tuple[object, ...], Sequence[Offer]] = {}
    models = {(provider.name, model.id): model for provider in day.providers for model in provider.models.values()}
    for task in day.tasks:
        key = (task.tier, task.width, task.height, task.steps)
        if key not in known:
            ask = Ask(task.tier, FAMILY, task.width, task.height, task.steps, 1, where="cloud allowed")
            known[key] = [offer for offer in listed(ask, day.providers) if not offer.lacks]
        for number in task.pictures:
            if number not in made.delivered:
                continue
            choices = []
            for offer in known[key]:
                if offer.quality < made.quality[number] and (as_good or policy.tiers[task.tier].rule == "best"):
                    continue
                start = max(task.at, pools[offer.provider][0])
                down = day.spell(offer.provider, start)
                start = down.end if down is not None and down.kind != "slow" else start
                fate = day.fate(models[offer.provider, offer.model], number, 1, 1, start, told=True)
                if fate.kind == "ok":
                    seconds = start + fate.ends - task.at
                    in_time = seconds <= made.delivered[number]
                    choices.append((not in_time, offer.price_micro if in_time else seconds, seconds, offer))
            _, _, seconds, offer = min(choices, key=lambda choice: choice[:3])
            heapq.heapreplace(pools[offer.provider], task.at + seconds)
            ledger.delivered[number], ledger.quality[number] = seconds, offer.quality
            ledger.cost[number], ledger.paid[number] = offer.price_micro, 1
    return ledger


def unfilled(day: Day, ledger: Ledger) -> int:
    """Pictures that were neither delivered nor refused for their content."""
    return day.count - len(ledger.delivered) - len(ledger.refused - set(ledger.delivered))
