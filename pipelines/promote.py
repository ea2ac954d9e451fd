"""The way up: a drawn picture becomes a request for a higher tier, by the method that the tier's data names.

`same-noise`: the same model starts from the same seed and takes more steps. `img2img`: the picture is the start, changed by
the tier's strength. `reference`: the picture is shown to a model that has no img2img.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import BadInput
from pipelines.fields import listed
from pipelines.request import Request

if TYPE_CHECKING:
    from models.cards import Catalogue, Family, Promotion, Tier


def promotion(request: Request, image_id: int, seed: int, to_tier: str, catalogue: Catalogue, draft: int = 1) -> Request:
    """The request that takes picture `image_id`, drawn from `seed` for `request`, to `to_tier` of the same family.

    draft: candidates, from `seed` upwards; 1 is the picture itself. A tier may be skipped: of the steps between, the last one
    that is not same-noise decides. Raises BadInput (field "tier") when the tier is unknown, not above, or cannot take a picture.
    """
    family = catalogue.family(request.family)
    steps = _way_up(family, request.tier, to_tier)
    tier, card = catalogue.tier(family.name, to_tier)
    deciding = next((step for step in reversed(steps) if step.promotion != "same-noise"), tier)
    _refuse_impossible(request, deciding.promotion, family.tiers[request.tier], tier, catalogue)

    same_model = card.name == family.tiers[request.tier].card
    data = request.to_dict() | {
        "tier": to_tier,
        "draft": draft,
        "keep": min(tier.keep, draft) if isinstance(draft, int) else None,
        "seed": seed,
        "seeds": None,
        "steps": None,
        "guidance": request.guidance if same_model else None,
        "negative": request.negative if card.negative else "",
        "loras": request.to_dict()["loras"] if card.lora else [],
        "parent": image_id,
        "ladder": False,
        "retries": 0,
        "budget": None,
    }
    # With the same noise, what the first picture started from is started from again.
    if deciding.promotion == "img2img":
        data |= {"image": image_id, "role": "img2img", "strength": deciding.strength}
    elif deciding.promotion == "reference":
        data |= {"image": image_id, "role": "reference", "strength": None}
    return Request.from_dict(data, catalogue, profiles=(request.profile,), loras=[lora.name for lora in request.loras])


def _way_up(family: Family, tier: str, to_tier: str) -> list[Tier]:
    """The tiers above `tier` up to and with `to_tier`."""
    names = list(family.tiers)
    above = names[names.index(tier) + 1 :]
    if to_tier not in above:
        todo = f"From {tier} it can go to {listed(above)}." if above else ""
        why = f"{family.tiers[tier].title} is the highest tier." if not above else ""
        raise BadInput("tier", f"A {tier} picture cannot be taken to {to_tier!r}.", why, todo)
    return [family.tiers[name] for name in above[: above.index(to_tier) + 1]]


def _refuse_impossible(request: Request, method: Promotion, source: Tier, tier: Tier, catalogue: Catalogue) -> None:
    card = catalogue.card(tier.card)
    why = ""
    if method == "none":
        why = f"{tier.title} of this family takes no picture."
    elif method == "img2img" and not card.img2img:
        why = f"{card.title} cannot start from a picture."
    elif method == "reference" and not card.reference:
        why = f"{card.title} takes no reference picture."
    elif method == "same-noise" and source.card != tier.card:
        why = f"{card.title} is another model than the one that drew it, so the same seed would draw something else."
    elif method == "same-noise" and source.sizes[request.size] != tier.sizes.get(request.size):
        why = f"{tier.title} draws {request.size} in other pixels, so the same seed would draw something else."
    if why:
        raise BadInput("tier", f"This picture cannot be taken to {tier.title}.", why, "Write the prompt there instead.")
