"""Pictures and templates on their way to a provider: what `pipelines.productioncloud` makes of a recipe of this studio's."""
from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.cloud.catalogue import Provider, configured, load_providers
from models.errors import Unavailable
from models.money import dollars
from pipelines.fields import one_of
from pipelines.production import Recipe
from pipelines.productioncalls import curl_request, python_request
from pipelines.productioncloud import Order, Shown, orders_of
from pipelines.request import LoraChoice
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio.studio import Studio

OPENAI = "openai"
SOME_ADDRESS, SOME_MODEL = "http://127.0.0.1:8000/v1", "flux"  # of an endpoint that the settings do not name


@dataclass(frozen=True)
class Ordered:
    """What a provider is asked for, as text. others: orders of its other models for the same picture."""

    text: str
    command: str
    files: tuple[Shown, ...]
    order: Order
    others: tuple[Order, ...]
    notes: tuple[str, ...]

    def view(self) -> Json:
        """JSON-ready: which provider and model, what else it could be drawn with, and what it costs."""
        models = [_priced(one) for one in sorted((self.order, *self.others), key=lambda one: (one.micro, one.model.id))]
        return {"provider": self.order.provider.name, "title": self.order.provider.title, **_priced(self.order), "models": models}


class CloudProduction:
    """Any thread may ask."""

    def __init__(self, studio: Studio, file: Callable[[Path], Path]) -> None:
        self._studio, self._file = studio, file
        self._shipped = load_providers()

    def providers(self) -> list[Json]:
        return [{"name": provider.name, "title": provider.title} for provider in self._shipped.values()]

    def take(self, recipe: Recipe, data: Mapping[Any, Any], kind: str, who: Who) -> Ordered:
        """data: "provider" and, if wanted, "model" by its id. Raises BadInput where none of its models can draw this, Unavailable."""
        name = one_of(data, "provider", self._shipped, "", "providers")
        provider, notes = self._provider(name)
        orders = orders_of(recipe, provider, self._start(recipe), self._addresses(recipe, who))
        chosen = one_of(data, "model", [one.model.id for one in orders], orders[0].model.id, f"models of {provider.title} for this picture")
        order = next(one for one in orders if one.model.id == chosen)
        if kind == "curl":
            text, files = curl_request(order)
            words = ["bash", f"{recipe.name}.sh"]
        else:
            text, files = python_request(order), order.pictures
            words = ["python", f"{recipe.name}.py"]
            words += [part for key, value in (recipe.values or {}).items() for part in ("--set", f"{key}={value}")]
        key = "" if provider.enabled_without_key else f"{provider.keys[0]}=... "
        others = tuple(one for one in orders if one is not order)
        return Ordered(text, key + shlex.join(words), files, order, others, (*notes, *order.notes))

    def _provider(self, name: str) -> tuple[Provider, list[str]]:
        """As it ships: a demo that stands in for it is nobody's production. An endpoint of one's own is that of the settings."""
        provider = self._shipped[name]
        if provider.base_url:
            return provider, []
        settings = self._studio.settings
        url, model, micro = (settings.get(f"cloud.{OPENAI}.{one}") for one in ("base_url", "model", "price_micro"))
        missing = not (url and model)
        found = configured(provider, url or SOME_ADDRESS, model or SOME_MODEL, micro or 0)
        return found, ["Settings name no endpoint yet: put its address and its model's name in here."] if missing else []

    def _start(self, recipe: Recipe) -> bytes | None:
        """The picture that the last stage starts from or goes by. None where that is a draft of its own: it is drawn at once then."""
        stage = recipe.stages[-1]
        if stage.on and recipe.stages[-2].spec.prompt == stage.spec.prompt:
            return None
        if stage.start is not None:
            path = stage.start.path
        elif stage.spec.image is not None:
            path = self._file(stage.spec.image)
        else:
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise Unavailable("The picture that it starts from is gone.", str(error), "Restore it from a backup.") from error

    def _addresses(self, recipe: Recipe, who: Who) -> tuple[str | None, ...]:
        """Where providers find the last stage's LoRAs, None for one that nobody gave an address."""
        worn, asked = recipe.stages[-1].spec.loras, recipe.request.get("loras") or ()
        if len(worn) != len(asked):
            return (None,) * len(worn)
        found: list[str | None] = []
        for one in asked:
            choice = self._studio.loras.resolve(LoraChoice(one["name"], one.get("weight", 1.0), one.get("version")), who)
            select = "SELECT url FROM lora_urls WHERE lora = ? AND version = ?"
            row = self._studio.store.db.execute(select, [choice.name, choice.version]).fetchone()
            found.append(row["url"] if row else None)
        return tuple(found)


def _priced(order: Order) -> Json:
    return {"model": order.model.id, "model_title": order.model.title, "micro": order.micro, "price": dollars(order.micro)}
