"""What every provider offers for a batch as things are now: its price, how quick and how well it is, and how many calls it has room for.

The catalogue says what a model can do and costs, `pipelines.health` how it has been doing, and `Load` what is on its way there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from models.cloud.catalogue import lacks, price_micro
from models.cloud.spec import Call, Reference
from pipelines.health import SHORTEST
from pipelines.route import Offer

if TYPE_CHECKING:
    from models.cloud.catalogue import CloudModel, Provider
    from pipelines.health import Healths
    from pipelines.route import Ask

MINUTE = 60.0
NO_PICTURE = Reference(b"", "image/png")  # what a model lacks is told from how many pictures there are
ANY_STRENGTH = 0.5
NOWHERE = "its LoRA has no public address"


@dataclass(frozen=True)
class Load:
    """What is on its way to a provider. in_flight: calls by model; sent: Unix seconds of the submits of the last minute, in any order."""

    in_flight: Mapping[str, int] = field(default_factory=dict)
    sent: Sequence[float] = ()


def offers(
    ask: Ask,
    providers: Iterable[Provider],
    healths: Healths,
    loads: Mapping[str, Load],
    now: float,
    off: Mapping[str, str] | None = None,
) -> tuple[Offer, ...]:
    """One for each model that draws for the family and the tier. now: Unix seconds. off: providers that cannot be used until somebody
    changes something, with the reason ("has no key")."""
    providers = list(providers)
    return as_now(listed(ask, providers), providers, healths, loads, now, off)


def listed(ask: Ask, providers: Iterable[Provider]) -> tuple[Offer, ...]:
    """What the catalogue alone says: what each costs and lacks. The same for every batch of the same request."""
    return tuple(
        _offer(ask, provider, model) for provider in providers for model in provider.models.values() if model.serving(ask.family, ask.tier)
    )


def as_now(
    found: Iterable[Offer],
    providers: Iterable[Provider],
    healths: Healths,
    loads: Mapping[str, Load],
    now: float,
    off: Mapping[str, str] | None = None,
) -> tuple[Offer, ...]:
    """Offers of `listed` with what changes from one moment to the next: health, seconds and room."""
    by_name = {provider.name: provider for provider in providers}
    rooms = {name: _room(provider, loads.get(name, Load()), now) for name, provider in by_name.items()}
    made = []
    for offer in found:
        if why := (off or {}).get(offer.provider, ""):
            made.append(replace(offer, health="open", free_slots=0, resets_at=None, why=why))
            continue
        model = by_name[offer.provider].models[offer.model]
        view = healths.view(offer.provider, offer.model, (offer.seconds_p50, offer.seconds_p95), now)
        slots, resets_at = rooms[offer.provider]
        if model.concurrency is not None:
            slots = min(slots, model.concurrency - loads.get(offer.provider, Load()).in_flight.get(offer.model, 0))
        if view.slots is not None:
            slots = min(slots, view.slots)
        if view.health == "open" or resets_at is None:
            resets_at = view.resets_at
        elif view.resets_at is not None:
            resets_at = max(resets_at, view.resets_at)
        made.append(
            replace(
                offer, seconds_p50=view.seconds_p50, seconds_p95=view.seconds_p95, error_rate=view.error_rate,
                free_slots=max(0, slots), resets_at=resets_at, health=view.health, why=view.why,
            )
        )  # fmt: skip
    return tuple(made)


def _room(provider: Provider, load: Load, now: float) -> tuple[int, float | None]:
    """Calls that may begin now, and when a used-up minute is over."""
    limits = provider.limits
    slots = limits.concurrency - sum(load.in_flight.values())
    if limits.per_minute is None:
        return slots, None
    recent = sorted(at for at in load.sent if at > now - MINUTE)
    left = limits.per_minute - len(recent)
    return min(slots, left), None if left > 0 else recent[-limits.per_minute] + MINUTE


def _offer(ask: Ask, provider: Provider, model: CloudModel) -> Offer:
    middle = max(SHORTEST, model.seconds[0])
    return Offer(
        provider=provider.name,
        model=model.id,
        price_micro=price_micro(model, ask.width, ask.height, ask.steps, 1, 1 if ask.img2img else ask.references),
        seconds_p50=middle,
        seconds_p95=max(middle, model.seconds[1]),
        quality=model.quality,
        lacks=_lacks(ask, provider, model),
        batch=model.capabilities.batch,
        title=provider.title,
    )


def _lacks(ask: Ask, provider: Provider, model: CloudModel) -> str:
    can = model.capabilities
    if can.loras and None in ask.loras:
        return NOWHERE
    if can.loras and ask.loras and can.lora_card != ask.lora_card:
        return f"takes LoRAs for {can.lora_card} alone"
    call = Call(
        provider=provider.name,
        model=model.id,
        prompt="",
        width=ask.width,
        height=ask.height,
        seeds=(0,),
        negative="no" if ask.negative else "",
        steps=ask.steps,
        references=(NO_PICTURE,) * (1 if ask.img2img else ask.references),
        strength=ANY_STRENGTH if ask.img2img else None,
        loras=tuple((url or "", 1.0) for url in ask.loras),
    )
    return lacks(model, call)
