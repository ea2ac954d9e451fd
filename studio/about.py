"""What the page needs to draw itself, and how a model reads a prompt: questions about the studio as a whole."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.cards import Catalogue, Tier
from models.errors import BadInput, NotFound
from models.words import read_prompt
from pipelines.fields import text
from pipelines.request import DRAFT_LIMIT, PROMPT_LIMIT
from pipelines.wishes import PALETTE_LIMIT, RETRIES_LIMIT, TEXTS_LIMIT
from studio import __version__
from studio.store.people import Who, project_titles
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio


def about(studio: Studio, who: Who) -> Json:
    """See GET /api/studio."""
    return {
        "version": __version__,
        "person": who.name,
        "admin": who.admin,
        "login": studio.login,
        "projects": project_titles(studio.store, who),
        "family": studio.family,
        "families": [
            {
                "name": family.name,
                "title": family.title,
                "usable": studio.is_here(family),
                "tiers": [_tier(studio.catalogue, family.name, tier) for tier in family.tiers.values()],
            }
            for family in studio.catalogue.families.values()
        ],
        "limits": {
            "draft": DRAFT_LIMIT, "prompt": PROMPT_LIMIT, "texts": TEXTS_LIMIT, "palette": PALETTE_LIMIT, "retries": RETRIES_LIMIT,
        },
        **studio.device(),
    }


def _tier(catalogue: Catalogue, family: str, tier: Tier) -> Json:
    card = catalogue.card(tier.card)
    return {
        "name": tier.name,
        "title": tier.title,
        "card": card.name,
        "card_title": card.title,
        "steps": tier.steps,
        "guidance": tier.guidance,
        "guidance_used": card.guidance_kind != "none",
        "draft": tier.draft,
        "keep": tier.keep,
        "sizes": [{"name": name, "width": width, "height": height} for name, (width, height) in tier.sizes.items()],
        "negative_used": card.negative,
        "roles": [role for role, can in (("img2img", card.img2img), ("reference", card.reference)) if can],
        "ladder": {"draft": tier.ladder.draft, "steps": tier.ladder.steps, "retries": tier.ladder.retries} if tier.ladder else None,
        "loras": tier.loras,
        "next": catalogue.family(family).next_tier(tier.name),
    }


def words(studio: Studio, data: Mapping[Any, Any]) -> Json:
    """How a model reads a prompt: tokens by encoder, words it does not know, and who would know them. Raises BadInput."""
    prompt = text(data, "prompt", PROMPT_LIMIT)
    family, tier = text(data, "family", 80) or studio.family, text(data, "tier", 80) or "preview"
    try:
        _, card = studio.catalogue.tier(family, tier)
    except NotFound as error:
        field = "family" if family not in studio.catalogue.families else "tier"
        raise BadInput(field, error.what, error.why, error.todo) from error
    reading = read_prompt(card, prompt, studio.shelf.where)
    # Offsets are into the text as it was sent, spaces in front included.
    lead = len(data["prompt"]) - len(data["prompt"].lstrip()) if prompt else 0
    other = studio.catalogue.known_by if reading.unknown else None
    return {
        "counts": {name: list(pair) for name, pair in reading.counts.items()},
        "unknown": [{"word": word, "start": start + lead, "end": end + lead} for word, start, end in reading.unknown],
        "knows": f"{other.title} can draw it: {other.download_gb:.0f} GB download" if other else "",
        "cut": reading.cut,
    }
