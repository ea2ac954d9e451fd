"""Licences of models: accepted once, by an admin for everybody at this studio, and named wherever a picture leaves it."""
from __future__ import annotations

from typing import TYPE_CHECKING

from models.cards import Catalogue, ModelCard
from models.cloud.catalogue import CloudModel, Provider
from models.errors import NotFound, StudioError
from studio.store import Store
from studio.store.db import now
from studio.store.people import Who, require_admin
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.providers import Providers


class NotAccepted(StudioError):
    """The licence of the model asked for has to be accepted first."""


class Licences:
    """Who accepted which licence, and when. A card whose licence changes its name asks anew."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store, self._catalogue = store, catalogue

    def accepted(self, card: ModelCard) -> Json | None:
        """{"person", "when"} of the first acceptance, or None."""
        row = self._store.db.execute(
            "SELECT person, accepted FROM licences WHERE card = ? AND licence = ? ORDER BY id LIMIT 1", [card.name, card.licence.name]
        ).fetchone()
        return {"person": row["person"], "when": row["accepted"]} if row else None

    def settled(self, card: ModelCard) -> bool:
        """Whether the card may be used as far as its licence goes."""
        return not card.licence.accept or self.accepted(card) is not None

    def accept(self, name: str, who: Who) -> None:
        """Records that `who` accepts a card's licence; nothing changes where it was accepted before. Raises NotFound, NotYours."""
        card = self._catalogue.card(name)
        require_admin(who, "A licence is accepted for everybody here.", "Only an admin may do that.")
        if card.licence.accept and not self.accepted(card):
            self._store.db.execute(
                "INSERT INTO licences (person, card, licence, accepted) VALUES (?, ?, ?, ?)",
                [who.name, card.name, card.licence.name, now()],
            )

    def require(self, card: ModelCard) -> None:
        """Raises NotAccepted."""
        if not self.settled(card):
            raise NotAccepted(
                f"The licence of {card.title} has not been accepted here.",
                f"It is the {card.licence.name} ({card.licence.url}).",
                "An admin reads and accepts it in the Models tab, once.",
            )


def licence_of(card: ModelCard) -> Json:
    """{"model", "name", "url"}: what a picture's metadata and an export's manifest say of the model it was drawn with."""
    return {"model": card.title, "name": card.licence.name, "url": card.licence.url}


def terms_of(provider: Provider, model: CloudModel) -> Json:
    """As `licence_of`, of a picture that a provider drew: not the licence of the weights counts there, but what the provider says."""
    said = model.licence
    name = f"the terms of {provider.title}" if said is None else said.name or f"marked for commercial use by {provider.title}"
    return {"model": f"{model.title} at {provider.title}", "name": name, "url": provider.terms if said is None else said.source}


def terms_at(providers: Providers, place: str) -> Json:
    """`terms_of` by an image's place, "fal fal-ai/flux/dev", also where that model is known here no more."""
    name, _, model = place.partition(" ")
    try:
        provider = providers.one(name)
        return terms_of(provider, provider.model(model))
    except NotFound:
        return {"model": place, "name": f"the terms of {name}", "url": ""}
