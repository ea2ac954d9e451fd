"""A recipe on its way to a provider: which of its models can draw it, and the request that the studio itself would send for it.

The body is made by the provider's own engine, so what is taken away (`pipelines.productioncalls`) is what the studio sends.
"""
from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Template
from typing import Any

from models.cloud.catalogue import MEGAPIXEL, CloudModel, Provider, call_micro, lacks, sized
from models.cloud.shrink import shrink
from models.cloud.spec import Call, Reference
from models.errors import BadInput
from pipelines.production import Recipe, Stage

_SUFFIX = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_TARGET = {"preview": 0.25}  # megapixels that a model of another family is asked for at the least; 1 for other tiers


@dataclass(frozen=True)
class Shown:
    """A picture that the provider is shown, as it takes it."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Order:
    """What a provider is asked for. path: below its address. pictures: in the order in which the body has them."""

    recipe: Recipe
    provider: Provider
    model: CloudModel
    call: Call
    path: str
    body: Mapping[str, Any]
    pictures: tuple[Shown, ...]
    notes: tuple[str, ...]

    @property
    def micro(self) -> int:
        """What the picture costs by the table of prices."""
        return call_micro(self.model, self.call)

    @property
    def title(self) -> str:
        return f"{self.model.title} at {self.provider.title}"


# Making one.


def orders_of(recipe: Recipe, provider: Provider, start: bytes | None, loras: Sequence[str | None]) -> tuple[Order, ...]:
    """What the provider's models can be asked for in a recipe's place, the one to take first. start: the picture that its last stage
    starts from or goes by. loras: public addresses of the last stage's, None for one that has none.

    Raises BadInput (field "provider") where no model of it can draw this, with what they lack.
    """
    stage = recipe.stages[-1]
    if None in loras:
        name = stage.spec.loras[list(loras).index(None)].path.stem
        why = f"{provider.title} fetches LoRAs by a public address, and {name} has none here."
        raise BadInput("provider", "This picture wears a LoRA that is only on this machine.", why, "Give it an address in the LoRAs tab.")
    family, tier = str(recipe.request.get("family", "")), str(recipe.request.get("tier", "preview"))
    own = [model for model in provider.models.values() if model.serving(family, tier)]
    # A model that only this studio has is drawn by those that the tier has elsewhere.
    models = own or [model for model in provider.models.values() if any(tier in tiers for tiers in model.serves.values())]
    found: list[Order] = []
    missing: dict[str, None] = {}
    for model in models:
        asked, notes = _call(recipe, stage, provider, model, start, [url for url in loras if url], family, tier)
        if why := lacks(model, asked):
            missing[f"{model.title} {why}"] = None
        elif loras and model.capabilities.lora_card != stage.weights.card.name:
            missing[f"{model.title} wears LoRAs of {model.capabilities.lora_card}"] = None
        else:
            found.append(_order(recipe, provider, model, asked, notes))
    if not found:
        why = "; ".join(missing) if missing else f"It has no model for {tier}"
        raise BadInput("provider", f"{provider.title} cannot draw this picture.", f"{why}.", "Choose another provider, or Python.")
    best = min(found, key=lambda one: (bool(one.model.capabilities.loras) and not loras, _rank(one, tier), one.model.id))
    return best, *(one for one in found if one is not best)


def _rank(order: Order, tier: str) -> int:
    """The best first for premium, else the cheapest."""
    return -order.model.quality if tier == "premium" else order.micro


def _call(
    recipe: Recipe, stage: Stage, provider: Provider, model: CloudModel, start: bytes | None, loras: Sequence[str], family: str, tier: str
) -> tuple[Call, list[str]]:
    """The call, and what comes out otherwise than in the studio."""
    spec, card, can, own = stage.spec, stage.weights.card, model.capabilities, model.serving(family, tier)
    notes = [f"{model.title} is another model than {card.title}, so the picture will be another."] if not own else []
    notes.append(f"A seed of the studio's draws another picture at {provider.title}.")
    if len(recipe.stages) > 1 and start is None:
        notes.append("The studio draws a draft first and goes on from it; here it is drawn at once.")
    negative = spec.negative if card.guidance_kind == "cfg" and spec.guidance > 1 else ""
    if negative and not can.negative:
        notes.append(f"{model.title} takes no negative prompt, so it is left out: {closed(recipe, negative)}")
        negative = ""
    steps = spec.steps if own and can.steps and can.steps[0] <= spec.steps <= can.steps[1] else None
    references = (Reference(start, "image/png"),) if start is not None else ()
    width, height = _size(stage, model, own, _TARGET.get(tier, 1.0))
    asked = Call(
        provider=provider.name, model=model.id, prompt=spec.prompt, width=width, height=height, seeds=(stage.seed,),
        negative=negative, steps=steps, guidance=spec.guidance if own and can.guidance and spec.guidance > 0 else None,
        references=references, strength=spec.strength if references and spec.role == "img2img" else None,
        loras=tuple((url, use.weight) for url, use in zip(loras, spec.loras, strict=True)),
    )  # fmt: skip
    drawn = sized(model, width, height)
    if drawn != (wanted := _finished(stage)):
        notes.append(f"It is drawn at {drawn[0]} x {drawn[1]} pixels; the studio's has {wanted[0]} x {wanted[1]}.")
    return asked, notes


def _finished(stage: Stage) -> tuple[int, int]:
    scale = stage.finish.scale if stage.finish else 1
    return round(stage.spec.width * scale), round(stage.spec.height * scale)


def _size(stage: Stage, model: CloudModel, own: bool, target: float) -> tuple[int, int]:
    """As large as the studio's picture is in the end where the model goes so far; of another family's at least what such models draw."""
    width, height = stage.spec.width, stage.spec.height
    free = replace(model, capabilities=replace(model.capabilities, needs_picture=False))
    if not lacks(free, Call("", "", "", *_finished(stage), (0,))):
        width, height = _finished(stage)
    grow = (target * MEGAPIXEL / (width * height)) ** 0.5
    if own or grow <= 1:
        return width, height
    step = model.capabilities.multiple
    return round(width * grow / step) * step, round(height * grow / step) * step


def _order(recipe: Recipe, provider: Provider, model: CloudModel, asked: Call, notes: Sequence[str]) -> Order:
    size = sized(model, asked.width, asked.height) if asked.strength is not None else None
    asked = replace(asked, references=tuple(shrink(one, provider.picture_bytes, size) for one in asked.references))
    path, body = importlib.import_module(f"models.cloud.{provider.engine}").body_of(model, asked)
    pictures = tuple(Shown(f"start{place or ''}.{_SUFFIX[one.mime]}", one.data) for place, one in enumerate(asked.references))
    return Order(recipe, provider, model, asked, path, body, pictures, tuple(dict.fromkeys([*recipe.notes, *notes])))


def closed(recipe: Recipe, text: str) -> str:
    """A prompt with the recipe's values in their places."""
    return Template(text).substitute(recipe.values) if recipe.values else text
