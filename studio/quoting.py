"""What a request is expected to cost at providers, before it is sent: the router is asked as the dispatcher asks it; nothing is reserved.

QUOTE is told in `studio.doors.cloud`. Prices are by the table; which providers would be chosen is as of now.
"""
from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import StudioError
from models.money import dollars
from models.weights import weights_found
from pipelines.offers import offers
from pipelines.plan import Plan
from pipelines.request import Request
from pipelines.route import Here, Offer, Route, route
from pipelines.tasks import Draft
from studio.cache import take_again
from studio.calls import ask_of, lora_addresses
from studio.dispatch import SAME_NOISE, loads
from studio.licences import terms_of
from studio.queueing import take_placing
from studio.safety import take_confirmed
from studio.store import cloudhealth, cloudtasks, ledger
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]


@dataclass
class Part:
    """Pictures of one kind ("draft"). whose: how many, by provider and the price of one. most_micro: with every retry, each as dear as the
    dearest. terms: what they may be used for, in words, where somebody may want to know."""

    most_micro: int = 0
    whose: Counter[tuple[str, int]] = field(default_factory=Counter)
    terms: set[str] = field(default_factory=set)

    @property
    def micro(self) -> int:
        return sum(pictures * price for (_, price), pictures in self.whose.items())

    def words(self, name: str) -> str:
        """"5 drafts by fal at $0.003 and 3 by Together at $0.004"."""
        kinds = name if self.whose.total() == 1 else f"{name}s"
        said = [f"{pictures} {{}}by {by} at {dollars(price)}" for (by, price), pictures in self.whose.items()]
        return " and ".join(one.format("" if place else f"{kinds} ") for place, one in enumerate(said))


class Quotes:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def of(self, data: Mapping[str, Any], who: Who) -> Json:
        """QUOTE of a request as POST /api/jobs takes it. Raises BadInput for what that would refuse."""
        asked: Any = take_confirmed(take_again(take_placing(data, who)[1])[1])[1]
        request = self._studio.read({**asked, "where": "cloud allowed"}, who)
        try:
            plan = self._studio.plan(request, who)
        except StudioError as error:
            if error.field:
                raise
            return _answer(ledger.left(self._store.db, who.name)) | {"why": str(error)}
        return self.of_plans([(plan, request, 1)], who)

    def of_plans(self, plans: Sequence[tuple[Plan, Request, int]], who: Who) -> Json:
        """QUOTE of several requests together, such as a batch's rows: plans with how often each is drawn."""
        left = ledger.left(self._store.db, who.name)
        answer = _answer(left) | {"local_words": next((words for plan, _, _ in plans if (words := self._here(plan))), "")}
        parts: dict[str, Part] = {}
        for plan, request, times in plans:
            if why := self._why_not(plan, request, who, left) or self._add(parts, plan, request, times, left or 0):
                return answer | {"why": why}
        expected = sum(part.micro for part in parts.values())
        if left is not None and expected > left:
            limits = ledger.limits(self._store.db, who.name)
            return answer | {"why": str(ledger.OverBudget(expected, min(limits, key=lambda limit: limit.left)))}
        return answer | {
            "able": bool(parts),
            "expected_micro": expected,
            "at_most_micro": sum(part.most_micro for part in parts.values()),
            "words": ", ".join(part.words(name) for name, part in parts.items()),
            "licence_words": self._terms(plans, set().union(*(part.terms for part in parts.values()))),
        }

    def _here(self, plan: Plan) -> str:
        """What this machine would do first, in words; "" where it cannot draw it."""
        cards = [self._studio.catalogue.card(card) for card in plan.cards]
        if not self._studio.scripted and not all(weights_found(card, self._studio.shelf.where) for card in cards):
            return ""
        waiting = self._studio.device()["queued"]
        return f"This machine has {waiting} to draw first." if waiting else "This machine is free and goes first."

    def _why_not(self, plan: Plan, request: Request, who: Who, left: int | None) -> str:
        settings = self._studio.settings
        if not settings.get("cloud.enabled"):
            return "The cloud is switched off."
        if left is None:
            return "No budget is set."
        if plan.promotion == "same-noise":
            return SAME_NOISE
        return cloudtasks.stays(self._store.db, who.name, None, request.to_dict())

    def _add(self, parts: dict[str, Part], plan: Plan, request: Request, times: int, left: int) -> str:
        """Adds what a plan draws, `times` over; why no provider draws it, or ""."""
        now, db = time.time(), self._store.db
        usable, asked = self._studio.providers.usable(), request.to_dict()
        for name, draft, count, most in _kinds(plan, request):
            loras = lora_addresses(db, draft, asked)
            ask = ask_of(draft, count, request.family, asked, loras, 0.0, ())
            found = offers(ask, usable.values(), cloudhealth.read(db), loads(db, now), now)
            chosen = route(ask, Here(False), found, cloudhealth.policy(), left, now)
            if chosen.refused:  # for money, perhaps: that is looked at, and whose it is told, when all is added
                chosen = route(ask, Here(False), found, cloudhealth.policy(), None, now)
            if chosen.refused:
                return chosen.refused
            whose, part = _shares(chosen, found), parts.setdefault(name, Part())
            micro = sum(pictures * price for pictures, price in whose.values())
            part.most_micro += times * (micro + (most - count) * max(price for _, price in whose.values()))
            for by, (pictures, price) in whose.items():
                part.whose[by, price] += times * pictures
            for one in chosen.shares or [_cheapest(found)]:
                provider, model = usable[one.provider], usable[one.provider].model(one.model)
                if not (model.licence and model.licence.name and model.licence.commercial):  # else nobody need think of it
                    part.terms.add("{model}: {name}.".format_map(terms_of(provider, model)))
        return ""

    def _terms(self, plans: Sequence[tuple[Plan, Request, int]], there: set[str]) -> str:
        names = {name for plan, _, _ in plans if self._here(plan) for name in plan.cards}
        cards = [card for name in sorted(names) if (card := self._studio.catalogue.card(name)).licence.accept]
        return " ".join([*sorted(there), *(f"{card.title} here: {card.licence.name}." for card in cards)])


def _kinds(plan: Plan, request: Request) -> list[tuple[str, Draft, int, int]]:
    """What is drawn: (name, batch, how many in the first round, how many with every retry)."""
    rounds = 1 + request.retries
    if plan.sketch is None:
        return [("picture", plan.final, request.draft, rounds * request.draft)]
    finals = math.ceil(request.keep * plan.goal.finals)
    return [("draft", plan.sketch, request.draft, rounds * request.draft), ("final", plan.finishing, request.keep, rounds * finals)]


def _answer(left: int | None) -> Json:
    """A QUOTE of nothing yet."""
    words = dict.fromkeys(("words", "why", "local_words", "licence_words"), "")
    return {"able": False, "expected_micro": 0, "at_most_micro": 0, "left_micro": left} | words


def _cheapest(found: tuple[Offer, ...]) -> Offer:
    return min((offer for offer in found if not offer.lacks), key=lambda offer: offer.price_micro)


def _shares(chosen: Route, found: tuple[Offer, ...]) -> dict[str, tuple[int, int]]:
    """By what people call a provider: how many pictures, and the price of one. Those that wait for a place are reckoned at the first's, or
    where all wait, at the cheapest's that can."""
    titles = {offer.provider: offer.name for offer in found}
    whose: dict[str, tuple[int, int]] = {}
    for share in chosen.shares:
        pictures, price = whose.get(titles[share.provider], (0, 0))
        whose[titles[share.provider]] = pictures + share.count, max(price, math.ceil(share.price_micro / share.count))
    if chosen.waiting:
        able = _cheapest(found)
        name = next(iter(whose), able.name)
        pictures, price = whose.get(name, (0, able.price_micro))
        whose[name] = pictures + chosen.waiting, price
    return whose
