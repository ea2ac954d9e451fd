"""What a person asked for, checked field by field before it costs anything.

`Request.from_dict` is the one door: whatever JSON comes in, either a complete `Request` comes out (counts, steps, guidance
and seeds filled in from the tier) or `BadInput` that names the field, dotted where nested, with the cause and the way out.
"""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, cast

from models.errors import BadInput
from models.spec import Role
from pipelines.fields import NAME_LIMIT, WHOLE_LIMIT, listed, one_of, real, safe, shown, text, whole, whole_value
from pipelines.origin import read_brand, read_source, read_template, read_values
from pipelines.wishes import Budget, read_budget, read_ladder, read_palette, read_retries, read_texts

if TYPE_CHECKING:
    from models.cards import Catalogue, Family, ModelCard, Tier

PROMPT_LIMIT = 4000
NOTE_LIMIT = 500
DRAFT_LIMIT = 240
LORA_LIMIT = 8
DRAWN_SEED_LIMIT = 2**32  # drawn seeds stay short enough to read aloud, and exact in a browser's numbers
LORA_WEIGHT_LIMIT = 4.0
USUAL_STRENGTH = 0.5  # of img2img, where the tier names none

Where = Literal["local", "cloud allowed"]
# A picture to start from: the number of one in the history, or the SHA-256 (64 hex digits) of a file that a person brought.
PictureId = int | str
UPLOAD = re.compile(r"[0-9a-f]{64}", re.ASCII)
LORA_VERSIONS = 2**31 - 1
EXACT_LORA = re.compile(r"(.+)/v([1-9][0-9]{0,8})", re.ASCII)  # "ceramic/v3": as people and prompts write a version


@dataclass(frozen=True)
class LoraChoice:
    """A LoRA of this studio by name, with its weight (-4..4; 0 = no effect, 1 = as trained) and its version (None: the one in production,
    or else the newest, until the request is submitted)."""

    name: str
    weight: float = 1.0
    version: int | None = None

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {"name": self.name, "weight": self.weight, "version": self.version}


@dataclass(frozen=True)
class Request:
    """A request that passed the door; built by `from_dict` or `pipelines.promote`, not by hand.

    size: name of an aspect ratio of the tier ("4:5"). draft: candidates, 1..240. keep: how many to deliver, 1..draft.
    seeds: one a candidate, candidate number n has seeds[n - 1]; seed: the first of them.
    image: a picture in history or one that was uploaded, used as `role` says; strength: 0 < strength <= 1, only with "img2img".
    texts, palette ("#RRGGBB"), likeness (a picture): what the result is measured against. ladder: drafts at the cost of a lower tier,
    the best of them finished at this tier's quality. retries: rounds of new candidates while too few pass.
    parent: id of the picture this request was promoted from. where: the one place that allows spending money.
    template ({"name", "version"}), values, brand: what the prompt was composed from; source: what a person typed for it, None where the
    prompt is theirs as it stands (see `studio.composing`).
    """

    prompt: str
    negative: str = ""
    family: str = "embedded"
    tier: str = "preview"
    size: str = "1:1"
    draft: int = 1
    keep: int = 1
    seed: int = 0
    seeds: tuple[int, ...] = (0,)
    steps: int = 1
    guidance: float = 0.0
    loras: tuple[LoraChoice, ...] = ()
    image: PictureId | None = None
    role: Role = "none"
    strength: float | None = None
    profile: str = "generic"
    texts: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    likeness: PictureId | None = None
    ladder: bool = False
    retries: int = 0
    budget: Budget | None = None
    where: Where = "local"
    parent: int | None = None
    note: str = ""
    template: Mapping[str, object] | None = None
    values: Mapping[str, str | int | float] = field(default_factory=dict)
    brand: str | None = None
    source: Mapping[str, object] | None = None

    @classmethod
    def from_dict(
        cls,
        data: object,
        catalogue: Catalogue,
        *,
        profiles: Collection[str] = ("generic",),
        loras: Collection[str] = (),
        here: Callable[[ModelCard], bool] | None = None,
    ) -> Request:
        """The complete request of a JSON value. A field that is absent or null takes its default.

        profiles, loras: names that exist in this studio. here: whether a model's weights are, without which it can draft nothing; None:
        they all are. Raises BadInput, and nothing else, for any JSON value.
        """
        if not isinstance(data, Mapping):
            raise BadInput("request", f"A request is a JSON object with a prompt; this is {shown(data)}.")
        _refuse_unknown_fields(data)
        prompt = text(data, "prompt", PROMPT_LIMIT)
        if not prompt:
            raise BadInput("prompt", "The prompt is empty.", todo="Write what the picture should show.")

        family, tier, card = _where_in_catalogue(data, catalogue)
        seeds = _seeds(data)
        draft = len(seeds) or whole(data, "draft", 1, DRAFT_LIMIT, tier.draft)
        if not seeds:
            seed = whole(data, "seed", 0, WHOLE_LIMIT - 1, None)
            seeds = consecutive(secrets.randbelow(DRAWN_SEED_LIMIT) if seed is None else seed, draft)
        image, role, strength = _start_picture(data, tier, card)
        keep = _keep(data, draft, tier)
        steps = whole(data, "steps", *card.steps_range, tier.steps, of=" for this model")
        drafter = catalogue.card(family.tiers[tier.ladder.draft].card) if tier.ladder else None
        ladder = read_ladder(data, tier, draft, keep, steps, role, drafter, here)
        return cls(
            prompt=prompt,
            negative=_negative(data, card),
            family=family.name,
            tier=tier.name,
            size=one_of(data, "size", tier.sizes, "1:1" if "1:1" in tier.sizes else next(iter(tier.sizes)), f"sizes of {tier.name}"),
            draft=draft,
            keep=keep,
            seed=seeds[0],
            seeds=seeds,
            steps=steps,
            guidance=_guidance(data, tier, card),
            loras=_loras(data, card, loras),
            image=image,
            role=role,
            strength=strength,
            profile=one_of(data, "profile", profiles, "generic", "quality profiles"),
            texts=read_texts(data),
            palette=read_palette(data),
            likeness=_picture(data, "likeness"),
            ladder=ladder,
            retries=read_retries(data, tier, ladder),
            budget=read_budget(data, draft, keep, ladder),
            where=cast(Where, one_of(data, "where", ("local", "cloud allowed"), "local", "places")),
            parent=whole(data, "parent", 1, WHOLE_LIMIT - 1, None),
            note=text(data, "note", NOTE_LIMIT),
            template=read_template(data),
            values=read_values(data),
            brand=read_brand(data),
            source=read_source(data),
        )

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; `from_dict` with the same catalogue gives an equal request back."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain |= {"seeds": list(self.seeds), "texts": list(self.texts), "palette": list(self.palette)}
        plain["budget"] = self.budget.to_dict() if self.budget else None
        plain["loras"] = [lora.to_dict() for lora in self.loras]
        return plain


def consecutive(seed: int, count: int) -> tuple[int, ...]:
    """`count` seeds a person can name: seed, seed + 1, ..., going on from 0 after 2**63 - 1."""
    return tuple((seed + offset) % WHOLE_LIMIT for offset in range(count))


# The fields, one function where one needs more than its kind and its range.


def _refuse_unknown_fields(data: Mapping[object, object]) -> None:
    known = [one.name for one in fields(Request)]
    for key in data:
        if key not in known:
            name = safe(str(key)[:NAME_LIMIT])
            near = difflib.get_close_matches(name, known, n=1)
            todo = f'Did you mean "{near[0]}"?' if near else f"The fields are {listed(known)}."
            raise BadInput(name or "request", f'A request has no field "{name}".', todo=todo)


def _where_in_catalogue(data: Mapping[object, object], catalogue: Catalogue) -> tuple[Family, Tier, ModelCard]:
    family_name = one_of(data, "family", catalogue.families, "embedded", "families of models")
    family = catalogue.family(family_name)
    tier_name = one_of(data, "tier", family.tiers, "preview", f"tiers of {family.title}")
    tier = family.tiers[tier_name]
    return family, tier, catalogue.card(tier.card)


def _negative(data: Mapping[object, object], card: ModelCard) -> str:
    negative = text(data, "negative", PROMPT_LIMIT)
    if negative and not card.negative:
        raise BadInput(
            "negative",
            f"{card.title} takes no negative prompt.",
            "It was distilled without one, and would ignore it.",
            "Leave it empty, and say in the prompt what you want instead.",
        )
    return negative


def _seeds(data: Mapping[object, object]) -> tuple[int, ...]:
    """The explicit seeds; () when there are none."""
    value = data.get("seeds")
    if value is None or value == [] or value == ():
        return ()
    if not isinstance(value, list | tuple):
        raise BadInput("seeds", f"seeds must be a list of whole numbers; this is {shown(value)}.")
    if len(value) > DRAFT_LIMIT:
        raise BadInput("seeds", f"A request drafts at most {DRAFT_LIMIT} candidates; these are {len(value)} seeds.")
    seeds = tuple(whole_value(seed, f"seeds.{place}", 0, WHOLE_LIMIT - 1) for place, seed in enumerate(value))
    first_place: dict[int, int] = {}
    for place, seed in enumerate(seeds):
        if first_place.setdefault(seed, place) != place:
            raise BadInput(
                f"seeds.{place}",
                f"Seed {seed} is there twice.",
                "The same seed would draw the same picture again.",
                "Leave one of them out.",
            )
    return seeds


def _keep(data: Mapping[object, object], draft: int, tier: Tier) -> int:
    keep = whole(data, "keep", 1, DRAFT_LIMIT, min(tier.keep, draft))
    if keep > draft:
        raise BadInput(
            "keep",
            f"You asked to keep {keep} of {draft} candidates.",
            "No more can be kept than are drafted.",
            f"Keep at most {draft}, or draft more.",
        )
    return keep


def _guidance(data: Mapping[object, object], tier: Tier, card: ModelCard) -> float:
    if card.guidance_kind == "none" and data.get("guidance") not in (None, tier.guidance):
        raise BadInput(
            "guidance", f"{card.title} takes no guidance.", "It was distilled without it, and would ignore it.", "Leave the field empty."
        )
    return real(data, "guidance", *card.guidance_range, tier.guidance, of=" for this model")


def _loras(data: Mapping[object, object], card: ModelCard, known: Collection[str]) -> tuple[LoraChoice, ...]:
    value = data.get("loras")
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise BadInput("loras", f'loras must be a list like [{{"name": "...", "weight": 0.8}}]; this is {shown(value)}.')
    if len(value) > LORA_LIMIT:
        raise BadInput("loras", f"At most {LORA_LIMIT} LoRAs ride in one request; these are {len(value)}.")
    if value and not card.lora:
        raise BadInput("loras", f"{card.title} takes no LoRA.", todo="Leave the list empty, or choose another family.")
    return tuple(_lora(entry, f"loras.{place}", known) for place, entry in enumerate(value))


def _lora(entry: object, field: str, known: Collection[str]) -> LoraChoice:
    if not isinstance(entry, Mapping):
        raise BadInput(field, f'A LoRA is an object like {{"name": "...", "weight": 0.8}}; this is {shown(entry)}.')
    for key in entry:
        if key not in ("name", "weight", "version"):
            name = safe(str(key)[:NAME_LIMIT])
            raise BadInput(f"{field}.{name}", f'A LoRA has no "{name}".', todo="Its fields are name, weight and version.")
    name, version = text(entry, "name", NAME_LIMIT, f"{field}.name"), entry.get("version")
    if version is not None:
        version = whole_value(version, f"{field}.version", 1, LORA_VERSIONS)
    elif (exact := EXACT_LORA.fullmatch(name)) is not None and name not in known:
        name, version = exact[1], int(exact[2])
    if name not in known:
        todo = f"There are {listed(known)}." if known else "This studio has no LoRA yet."
        raise BadInput(f"{field}.name", f"There is no LoRA called {shown(name)}.", todo=todo)
    return LoraChoice(name, real(entry, "weight", -LORA_WEIGHT_LIMIT, LORA_WEIGHT_LIMIT, 1.0, f"{field}.weight"), version)


def _start_picture(data: Mapping[object, object], tier: Tier, card: ModelCard) -> tuple[PictureId | None, Role, float | None]:
    image = _picture(data, "image")
    role = cast(Role, one_of(data, "role", ("none", "img2img", "reference"), "none", "roles of a picture"))
    strength = real(data, "strength", 0.0, 1.0, None)
    if role == "none":
        if image is not None:
            raise BadInput(
                "role", "The picture has no role.", todo='Say "img2img" to start from it, or "reference" to show it to the model.'
            )
        if strength is not None:
            raise BadInput(
                "strength", "strength is for img2img only.", "Without a start picture there is nothing to keep.", "Leave it empty."
            )
        return None, role, None
    if image is None:
        raise BadInput("image", f'The role "{role}" needs a picture.', todo="Choose one from the history.")
    if role == "img2img" and not card.img2img:
        raise BadInput("role", f"{card.title} cannot start from a picture.", todo=_other_role(card))
    if role == "reference":
        if not card.reference:
            raise BadInput("role", f"{card.title} takes no reference picture.", todo=_other_role(card))
        if strength is not None:
            raise BadInput(
                "strength", "strength is for img2img only.", "A reference picture is shown to the model whole.", "Leave it empty."
            )
        return image, role, None
    if strength == 0:
        raise BadInput("strength", "strength must be more than 0 and at most 1; you asked for 0.", "Nothing new would be drawn.")
    return image, role, strength or tier.strength or USUAL_STRENGTH


def _picture(data: Mapping[object, object], name: str) -> PictureId | None:
    value = data.get(name)
    if not isinstance(value, str):
        return whole(data, name, 1, WHOLE_LIMIT - 1, None)
    if not UPLOAD.fullmatch(value):
        raise BadInput(name, f"{shown(value)} names no picture.", todo="Choose one from the history, or drop a file on the page.")
    return value


def _other_role(card: ModelCard) -> str:
    if card.img2img:
        return 'It can start from one: choose "img2img".'
    if card.reference:
        return 'It takes a picture as a reference: choose "reference".'
    return "Leave the picture out, or choose another family."
