"""From what was found in a file to fields of a `Request` that the door will take, and a list of what found no place."""
from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from models.cards import Catalogue, Family, ModelCard, Tier
from models.errors import BadInput
from pipelines.metadata.found import Found, shorten
from pipelines.request import EXACT_LORA, PROMPT_LIMIT, Request

EXACT_LIMIT = 2**53 - 1  # the largest whole number that a browser holds exactly
# Every model here is sampled by flow-matching Euler over evenly spaced times; these are other tools' names for that.
LORA_FILE = re.compile(r"(.+)-v([1-9][0-9]{0,8})", re.ASCII)  # as our files of one version are called
SAMPLERS = {"euler", "flow euler", "flowmatch euler"}
SCHEDULERS = {"simple", "normal", "automatic", "flux2scheduler", "euler", "default"}


@dataclass(frozen=True)
class Filled:
    """form: fields of a Request, each of which `Request.from_dict` accepts. unmapped: (name, value, why)."""

    form: dict[str, Any]
    unmapped: list[tuple[str, str, str]]


def fill(found: Found, catalogue: Catalogue, family: str, tier: str = "preview", loras: Collection[str] = ()) -> Filled:
    """The form of `found`. family, tier: what the form keeps when the file's model is not known here. loras: names there are."""
    return _Filling(found, catalogue, loras).fill(family, tier)


class _Filling:
    def __init__(self, found: Found, catalogue: Catalogue, loras: Collection[str]) -> None:
        self.given, self.catalogue, self.loras = found.settings, catalogue, loras
        self.form: dict[str, Any] = {}
        self.unmapped = list(found.unmapped)

    def fill(self, family: str, tier: str) -> Filled:
        in_family, to_tier, card = self._place(family, tier)
        self.form |= {"family": in_family.name, "tier": to_tier.name}
        self._prompt(card)
        for name in ("steps", "seed", "profile"):
            if name in self.given:
                self.form[name] = self.given[name]
        if self.form.get("seed", 0) > EXACT_LIMIT:
            self._skip("seed", self.form.pop("seed"), f"Browsers lose digits of seeds above {EXACT_LIMIT}.")
        self._guidance(card)
        self._size(to_tier)
        self._sampling()
        self._loras(card, to_tier)
        if "strength" in self.given:
            self._skip("strength", self.given["strength"], "It belongs to a start picture, which is not in the file.")
        self._hold_to_the_door()
        return Filled(self.form, self.unmapped)

    def _skip(self, name: str, value: object, why: str) -> None:
        self.unmapped.append((name, shorten(value), why))

    def _place(self, family: str, tier: str) -> tuple[Family, Tier, ModelCard]:
        """Family, tier and card: as the file names them, by its model's name, or as the form has them."""
        named = self.catalogue.families.get(self.given.get("family", ""))
        if named is not None and self.given.get("tier") in named.tiers:
            return self._at(named, named.tiers[self.given["tier"]])
        kept = self.catalogue.families[family] if family in self.catalogue.families else next(iter(self.catalogue.families.values()))
        kept_tier = kept.tiers.get(tier) or next(iter(kept.tiers.values()))
        model = self.given.get("model")
        if model is None:
            return self._at(kept, kept_tier)
        card = card_of(model, self.catalogue)
        tiers = [(one, step) for one in self.catalogue.families.values() for step in one.tiers.values() if card and step.card == card.name]
        if not tiers:
            why = f"{card.title} is known here, but no family draws with it." if card else "There is no such model here."
            self._skip("model", model, f"{why} The form keeps {self.catalogue.card(kept_tier.card).title}.")
            return self._at(kept, kept_tier)
        return self._at(*min(tiers, key=lambda pair: self._distance(pair[1])))

    def _at(self, family: Family, tier: Tier) -> tuple[Family, Tier, ModelCard]:
        return family, tier, self.catalogue.card(tier.card)

    def _distance(self, tier: Tier) -> float:
        """How far a tier's steps and pixels are from those of the file."""
        steps = abs(math.log(self.given.get("steps", tier.steps) / tier.steps))
        width, height = tier.sizes.get("1:1") or next(iter(tier.sizes.values()))
        area = self.given.get("width", width) * self.given.get("height", height)
        return steps + abs(math.log(area / (width * height)))

    def _prompt(self, card: ModelCard) -> None:
        for name in ("prompt", "negative"):
            words = self.given.get(name, "")
            if len(words) > PROMPT_LIMIT:
                self._skip(name, words[PROMPT_LIMIT:], f"The form takes {PROMPT_LIMIT} characters; the rest was left out.")
                words = words[:PROMPT_LIMIT]
            if words and (name == "prompt" or card.negative):
                self.form[name] = words
            elif words:
                self._skip(name, words, f"{card.title} takes no negative prompt.")

    def _guidance(self, card: ModelCard) -> None:
        """Two numbers share the word: the scale of classifier-free guidance, and the one that a distilled model is fed."""
        cfg, guidance = self.given.get("cfg"), self.given.get("guidance")
        if card.guidance_kind == "none":
            for name, value in (("cfg", cfg), ("guidance", guidance)):
                if value not in (None, 0, 1):
                    self._skip(name, value, f"{card.title} takes no guidance.")
            return
        own, other = (guidance, cfg) if card.guidance_kind == "distilled" else (cfg, guidance)
        # A scale of 1 is how the other tools say "not used".
        if own is None or (card.guidance_kind == "cfg" and own == 1 and other not in (None, 1)):
            own, other = other, None
        if own is not None:
            self.form["guidance"] = own
        if other not in (None, 1):
            self._skip("cfg" if card.guidance_kind == "distilled" else "guidance", other, f"{card.title} takes one kind of guidance.")

    def _size(self, tier: Tier) -> None:
        name = self.given.get("size")
        if name in tier.sizes:
            self.form["size"] = name
            return
        if "width" not in self.given:
            return
        width, height = self.given["width"], self.given["height"]
        name = nearest_size(width, height, tier)
        self.form["size"] = name
        if tier.sizes[name] != (width, height):
            why = f"The nearest size of {tier.title} is {name}, {tier.sizes[name][0]} x {tier.sizes[name][1]}."
            self._skip("size", f"{width} x {height}", why)

    def _sampling(self) -> None:
        sampler, scheduler = self.given.get("sampler"), self.given.get("scheduler")
        if sampler and _plain(sampler) not in SAMPLERS:
            self._skip("sampler", sampler, "Every model here is sampled by flow-matching Euler.")
        if scheduler and _plain(scheduler) not in SCHEDULERS:
            self._skip("scheduler", scheduler, "Steps are spaced as the model was trained.")

    def _loras(self, card: ModelCard, tier: Tier) -> None:
        for name, weight in self.given.get("loras", []):
            here = self._lora(name) if card.lora else None
            if here is not None and len(self.form.get("loras", [])) >= tier.loras:
                self._skip("lora", f"{name}, weight {weight:g}", f"{tier.title} wears {tier.loras or 'none'}.")
            elif here is not None:
                self.form.setdefault("loras", []).append(here | {"weight": weight})
            else:
                why = "There is no LoRA of that name here." if card.lora else f"{card.title} takes no LoRA."
                self._skip("lora", f"{name}, weight {weight:g}", why)

    def _lora(self, name: str) -> dict[str, Any] | None:
        """What a LoRA is called here: our own version, or the file of one; and other studios' capitals and underscores are hyphens here."""
        for one in (name, re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")):
            exact = EXACT_LORA.fullmatch(name) or LORA_FILE.fullmatch(one)
            if one in self.loras:
                return {"name": one}
            if exact is not None and exact[1] in self.loras:
                return {"name": exact[1], "version": int(exact[2])}
        return None

    def _hold_to_the_door(self) -> None:
        """Takes out, with its reason, whatever the door would refuse."""
        while True:
            asked = self.form if self.form.get("prompt") else self.form | {"prompt": "?"}
            try:
                Request.from_dict(asked, self.catalogue, loras=self.loras)
                return
            except BadInput as error:
                name = (error.field or "").split(".")[0]
                if name not in self.form:
                    raise
                self._skip(name, self.form.pop(name), " ".join(part for part in (error.what, error.why) if part))


def card_of(model: str, catalogue: Catalogue) -> ModelCard | None:
    """The card of a model by the name of its file: the one most of whose words, and all of them, stand in it.

    "flux1-dev-kontext_fp8_scaled.safetensors" is Kontext, not dev.
    """
    words = _words(model)
    fitting = [card for card in catalogue.cards.values() if _words(card.name) <= words]
    return max(fitting, key=lambda card: len(_words(card.name)), default=None)


def nearest_size(width: int, height: int, tier: Tier) -> str:
    """The tier's size whose shape is nearest to width x height."""
    return min(tier.sizes, key=lambda name: abs(math.log(tier.sizes[name][0] * height / (tier.sizes[name][1] * width))))


def _words(name: str) -> set[str]:
    name = re.sub(r"\.(safetensors|gguf|sft|ckpt)$", "", name.lower())
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"flux[ ._-]?([12])(?!\d)", r"flux\1 ", name))) - {""}
    # The first FLUX is often just called flux.
    return words | {"flux1"} if "flux" in words else words


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
