"""What a request is expected to cost at providers, before it is sent: the router is asked as the dispatcher asks it; nothing is reserved.

QUOTE is told in `studio.doors.cloud`. Prices are by the table; which providers would be chosen is as of now.
"""
from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
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
from studio.queueing import take_placing
from studio.safety import take_confirmed
from studio.store import cloudhealth, cloudtasks, ledger
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Pictures of one kind. micro: of all that are expected; most_micro: with every retry, each as dear as the dearest."""

    micro: int
    most_micro: int
    words: str


class Quotes:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def of(self, data: Mapping[str, Any], who: Who) -> Json:
        """QUOTE of a request as POST /api/jobs takes it. Raises BadInput for what that would refuse."""
        asked: Any = take_confirmed(take_again(take_placing(data, who)[1])[1])[1]
        request = self._studio.read({**asked, "where": "cloud allowed"}, who)
        left = ledger.left(self._store.db, who.name)
        answer = {"able": False, "expected_micro": 0, "at_most_micro": 0, "words": "", "why": "", "left_micro": left, "local_words": ""}
        try:
            plan = self._studio.plan(request, who)
        except StudioError as error:
            if error.field:
                raise
            return answer | {"why": str(error)}
        answer["local_words"] = self._here(plan)
        why = self._why_not(plan, request, who, left)
        if why:
            return answer | {"why": why}
        parts: list[Part] = []
        for name, draft, count, most in _kinds(plan, request):
            found = self._part(name, draft, count, most, request, left or 0)
            if isinstance(found, str):
                return answer | {"why": found}
            parts.append(found)
        expected = sum(part.micro for part in parts)
        if left is not None and expected > left:
            return answer | {"why": f"It would cost {dollars(expected)}, and {dollars(left)} may still be spent."}
        return answer | {
            "able": True,
            "expected_micro": expected,
            "at_most_micro": sum(part.most_micro for part in parts),
            "words": ", ".join(part.words for part in parts),
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

    def _part(self, name: str, draft: Draft, count: int, most: int, request: Request, left: int) -> Part | str:
        """Or why no provider draws it."""
        now, db = time.time(), self._store.db
        loras = lora_addresses(db, draft, request.to_dict())
        ask = ask_of(draft, count, request.family, request.to_dict(), loras, 0.0, ())
        found = offers(ask, self._studio.providers.usable().values(), cloudhealth.read(db), loads(db, now), now)
        chosen = route(ask, Here(False), found, cloudhealth.policy(), left, now)
        if chosen.refused:
            return chosen.refused
        whose = _shares(chosen, found)
        micro = sum(pictures * price for pictures, price in whose.values())
        kinds = name if count == 1 else f"{name}s"
        said = [f"{pictures} {{}}by {by} at {dollars(price)}" for by, (pictures, price) in whose.items()]
        words = " and ".join(one.format("" if place else f"{kinds} ") for place, one in enumerate(said))
        return Part(micro, micro + (most - count) * max(price for _, price in whose.values()), words)


def _kinds(plan: Plan, request: Request) -> list[tuple[str, Draft, int, int]]:
    """What is drawn: (name, batch, how many in the first round, how many with every retry)."""
    rounds = 1 + request.retries
    if plan.sketch is None:
        return [("picture", plan.final, request.draft, rounds * request.draft)]
    finals = math.ceil(request.keep * plan.goal.finals)
    return [("draft", plan.sketch, request.draft, rounds * request.draft), ("final", plan.finishing, request.keep, rounds * finals)]


def _shares(chosen: Route, found: tuple[Offer, ...]) -> dict[str, tuple[int, int]]:
    """By what people call a provider: how many pictures, and the price of one. Those that wait for a place are reckoned at the first's, or
    where all wait, at the cheapest's that can."""
    titles = {offer.provider: offer.name for offer in found}
    whose: dict[str, tuple[int, int]] = {}
    for share in chosen.shares:
        pictures, price = whose.get(titles[share.provider], (0, 0))
        whose[titles[share.provider]] = pictures + share.count, max(price, math.ceil(share.price_micro / share.count))
    if chosen.waiting:
        able = min((offer for offer in found if not offer.lacks), key=lambda offer: offer.price_micro)
        name = next(iter(whose), able.name)
        pictures, price = whose.get(name, (0, able.price_micro))
        whose[name] = pictures + chosen.waiting, price
    return whose
