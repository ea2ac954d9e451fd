"""The way up: a drawn picture becomes a request for a higher tier, by the method that the tier's data names.

`same-noise`: the same model starts from the same seed and takes more steps. `img2img`: the picture is the start, changed by
the tier's strength. `reference`: the picture is shown to a model that has no img2img.

A seed is a picture only where the same program draws the same model: what a provider drew is never taken up by its seed, but from its file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from models.errors import BadInput
from pipelines.fields import listed
from pipelines.request import Request

FROM_ELSEWHERE = 0.35  # by how much a finished picture is changed where its noise is not to be had; above it, it becomes another one

if TYPE_CHECKING:
    from models.cards import Catalogue, Family, ModelCard, Promotion, Tier
    from pipelines.plan import Plan


def promotion(
    request: Request, image_id: int, seed: int, to_tier: str, catalogue: Catalogue, draft: int = 1, elsewhere: bool = False
) -> Request:
    """The request that takes picture `image_id`, drawn from `seed` for `request`, to `to_tier` of the same family.

    draft: candidates, from `seed` upwards; 1 is the picture itself. A tier may be skipped: of the steps between, the last one
    that is not same-noise decides. elsewhere: its noise is not to be had, for a provider drew it, or is to draw it now; then it starts from
    the picture's file. What is drawn from the same noise stays on this machine, which alone has it.
    Raises BadInput (field "tier") when the tier is unknown, not above, or cannot take a picture.
    """
    family = catalogue.family(request.family)
    steps = _way_up(family, request.tier, to_tier)
    tier, card = catalogue.tier(family.name, to_tier)
    deciding = next((step for step in reversed(steps) if step.promotion != "same-noise"), tier)
    if elsewhere and deciding.promotion == "same-noise":
        deciding = replace(deciding, promotion=_from_file(card, "tier"), strength=FROM_ELSEWHERE)
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
    if deciding.promotion == "same-noise":
        data |= {"where": "local"}
    elif deciding.promotion == "img2img":
        data |= {"image": image_id, "role": "img2img", "strength": deciding.strength}
    elif deciding.promotion == "reference":
        data |= {"image": image_id, "role": "reference", "strength": None}
    return Request.from_dict(data, catalogue, profiles=(request.profile,), loras=[lora.name for lora in request.loras])


def from_files(plan: Plan, card: ModelCard) -> Plan:
    """A ladder's plan whose finals start from the files of their drafts, in place of their noise, which providers do not keep.

    card: of its finals. Raises BadInput (field "ladder") where that takes no picture.
    """
    method = cast("Literal['img2img', 'reference']", _from_file(card, "ladder"))
    spec = replace(plan.final.spec, role=method, strength=FROM_ELSEWHERE if method == "img2img" else None)
    return replace(plan, promotion=method, final=replace(plan.final, spec=spec))


def _from_file(card: ModelCard, field: str) -> Promotion:
    if card.img2img:
        return "img2img"
    if card.reference:
        return "reference"
    why = f"A provider has no noise of this machine's, nor this machine a provider's, and {card.title} takes no picture in its place."
    raise BadInput(field, "The same seed would draw something else.", why, "Draw both here, or write the prompt there instead.")


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
