"""What a request says of quality: words and colours that the picture must show, whom it must resemble, and how far to go for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import BadInput
from pipelines.fields import NAME_LIMIT, listed, real, safe, shown, text, whole, whole_value

if TYPE_CHECKING:
    from models.cards import ModelCard, Tier
    from models.spec import Role

TEXTS_LIMIT, TEXT_LIMIT = 8, 80
PALETTE_LIMIT = 12
RETRIES_LIMIT = 8
IMAGES_LIMIT = 10_000
SECONDS_LIMIT = 7 * 24 * 3600.0
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_QUOTED = re.compile(r'(?<!\w)"([^"\n]{1,80})"(?!\w)|\u201c([^\u201d\n]{1,80})\u201d|\u00ab([^\u00bb\n]{1,80})\u00bb')


@dataclass(frozen=True)
class Budget:
    """What a request may cost at the most; None: no bound. images: pictures drawn, drafts and finals alike. seconds: of drawing on
    the device, which is what money and other people's patience are spent on; waiting in the queue costs nothing."""

    images: int | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, object]:
        return {"images": self.images, "seconds": self.seconds}


def read_texts(data: Mapping[object, object]) -> tuple[str, ...]:
    """`texts`: at most eight different ones. Raises BadInput."""
    entries = _list(data, "texts", TEXTS_LIMIT, "texts that the picture must show")
    texts = [text({"text": entry}, "text", TEXT_LIMIT, f"texts.{place}") for place, entry in enumerate(entries)]
    for place, found in enumerate(texts):
        if not found:
            raise BadInput(f"texts.{place}", "This text is empty.", todo="Write the words, or leave it out.")
        if found in texts[:place]:
            raise BadInput(f"texts.{place}", f"{shown(found)} is there twice.", todo="Leave one of them out.")
    return tuple(texts)


def quoted(prompt: str) -> tuple[str, ...]:
    """The words in double quotes of a prompt: what a picture is asked to show where nobody lists `texts`."""
    found = (next(part for part in match.groups() if part is not None).strip() for match in _QUOTED.finditer(prompt))
    return tuple(dict.fromkeys(words for words in found if words))[:TEXTS_LIMIT]


def read_palette(data: Mapping[object, object]) -> tuple[str, ...]:
    """`palette`: at most twelve different colours, as "#RRGGBB" in capitals. Raises BadInput."""
    colours: list[str] = []
    for place, entry in enumerate(_list(data, "palette", PALETTE_LIMIT, "colours")):
        if not isinstance(entry, str) or not COLOUR.fullmatch(entry):
            raise BadInput(f"palette.{place}", f"{shown(entry)} is no colour.", todo='Write it like "#1A2B3C".')
        if entry.upper() in colours:
            raise BadInput(f"palette.{place}", f"{entry.upper()} is there twice.", todo="Leave one of them out.")
        colours.append(entry.upper())
    return tuple(colours)


def read_ladder(
    data: Mapping[object, object], tier: Tier, draft: int, keep: int, steps: int, role: Role, drafter: ModelCard | None,
    here: Callable[[ModelCard], bool] | None = None,
) -> bool:  # fmt: skip
    """`ladder`: whether cheap drafts are chosen from before any is drawn at the tier's quality. Absent: as the tier's data says,
    where there is something to choose from. drafter: who would draw the drafts; here: whether its weights are. Raises BadInput when
    it is asked for and impossible."""
    asked = data.get("ladder")
    if asked is not None and not isinstance(asked, bool):
        raise BadInput("ladder", f"ladder must be true, false or null; this is {shown(asked)}.")
    why = _no_ladder(tier, steps, role, drafter)
    if not why and drafter is not None and here is not None and not here(drafter):
        why = f"The drafts are {drafter.title}'s, whose weights are not on this machine."
    if asked and why:
        raise BadInput("ladder", f"{tier.title} cannot draft first and finish the best.", why, "Switch the ladder off.")
    return asked if asked is not None else not why and draft > keep


def _no_ladder(tier: Tier, steps: int, role: Role, drafter: ModelCard | None) -> str:
    """Why drafts cannot stand for the finals; "" when they can."""
    if tier.ladder is None or drafter is None:
        return "It draws as cheaply as a draft would."
    if tier.ladder.promotion == "same-noise" and steps <= tier.ladder.steps:
        return f"A draft takes {tier.ladder.steps} steps, and you asked for {steps}."
    if role == "img2img" and not drafter.img2img:
        return f"The drafts are {drafter.title}'s, which cannot start from a picture."
    if role == "reference" and not drafter.reference:
        return f"The drafts are {drafter.title}'s, which takes no reference picture."
    if role == "reference" and tier.ladder.promotion == "reference":
        return "The final is shown its draft, and has no room for another reference picture."
    return ""


def read_retries(data: Mapping[object, object], tier: Tier, ladder: bool) -> int:
    """`retries`: rounds of new candidates where too few passed. Absent: as the tier's data says for a ladder, else none."""
    return whole(data, "retries", 0, RETRIES_LIMIT, tier.ladder.retries if ladder and tier.ladder else 0)


def read_budget(data: Mapping[object, object], draft: int, keep: int, ladder: bool) -> Budget | None:
    """`budget`: {"images": n, "seconds": s}, either alone too; None when absent or empty. Raises BadInput."""
    value = data.get("budget")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise BadInput("budget", f'A budget is an object like {{"images": 40, "seconds": 120}}; this is {shown(value)}.')
    for key in value:
        if key == "usd" and value[key] is not None:
            why = "No provider that costs money is set up in this studio."
            raise BadInput("budget.usd", "This studio cannot hold to a budget of money.", why, 'Use "images" or "seconds".')
        if key not in ("images", "seconds", "usd"):
            name = safe(str(key)[:NAME_LIMIT])
            raise BadInput(f"budget.{name}", f'A budget has no "{name}".', todo=f"Its fields are {listed(('images', 'seconds'))}.")
    images = None if value.get("images") is None else whole_value(value["images"], "budget.images", 1, IMAGES_LIMIT)
    seconds = real(value, "seconds", 0.1, SECONDS_LIMIT, None, "budget.seconds")
    fewest = draft + keep if ladder else draft
    if images is not None and images < fewest:
        parts = f"{draft} drafts and {keep} finals" if ladder else f"{draft} candidates"
        raise BadInput("budget.images", f"{parts} are {fewest} pictures; your budget is {images}.", todo="Draft fewer, or allow more.")
    return None if images is None and seconds is None else Budget(images, seconds)


def _list(data: Mapping[object, object], name: str, limit: int, kind: str) -> list[object]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise BadInput(name, f"{name} must be a list; this is {shown(value)}.")
    if len(value) > limit:
        raise BadInput(name, f"A request takes at most {limit} {kind}; these are {len(value)}.")
    return list(value)
