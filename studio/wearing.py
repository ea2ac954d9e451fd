"""Which LoRAs a composed request wears, and the words that call them: a person's own always, a brand's and a template's where they go."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from models.cards import ModelCard, Tier
from models.errors import BadInput
from pipelines.fields import listed
from pipelines.request import EXACT_LORA, LoraChoice
from studio.store.people import Who


class Known(Protocol):
    """What composing asks of the registry. Both raise BadInput for a LoRA that there is not."""

    def triggers(self, choice: LoraChoice, who: Who) -> tuple[str, ...]: ...
    def unfit(self, choice: LoraChoice, who: Who, card: ModelCard) -> str: ...


@dataclass(frozen=True)
class Worn:
    """more: those that come along with the person's own. notes: what was left out, and why."""

    own: tuple[LoraChoice, ...]
    more: tuple[LoraChoice, ...]
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[LoraChoice, ...]:
        return (*self.own, *self.more)


def wear(own: Sequence[LoraChoice], offered: Iterable[LoraChoice], known: Known | None, who: Who, tier: Tier, card: ModelCard) -> Worn:
    """own: those that the person asked for, which nothing is left out of: what is wrong with them the request is refused for.
    offered: of the brand and the template; they stay away where the model cannot wear them or the tier wears no more."""
    taken = {one.name for one in own}
    more: list[LoraChoice] = []
    notes: list[str] = []
    for one in {one.name: one for one in offered}.values():
        if one.name in taken:
            continue
        if known is not None and (why := _unfit(known, one, who, card)):
            notes.append(f"Drawn without {one.name}. {why}")
        elif known is not None and len(own) + len(more) >= tier.loras:
            most = f"wears {tier.loras} LoRA{'s' * (tier.loras != 1)} at the most" if tier.loras else "draws with the base model only"
            notes.append(f"Drawn without {one.name}: {tier.title} {most}.")
        else:
            more.append(one)
    return Worn(tuple(own), tuple(more), tuple(notes))


def unsaid(worn: Iterable[LoraChoice], known: Known | None, who: Who, prompt: str) -> tuple[str, ...]:
    """The trigger words of `worn` that a prompt does not say."""
    words: list[str] = []
    for one in worn:
        if known is not None and one.weight:
            try:
                words += known.triggers(one, who)
            except BadInput:
                continue  # the request is refused for it, which names the field
    return tuple(word for word in dict.fromkeys(words) if not says(prompt, word))


def says(prompt: str, word: str) -> bool:
    """Whether a word (or a phrase) stands in a prompt as itself, in whatever case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE) is not None


def left_unsaid(words: Sequence[str]) -> str:
    """The note for a prompt that was rewritten by hand."""
    return f"The prompt was written by hand and does not say {listed(words)}, which calls a LoRA of this request." if words else ""


def choices(given: Any) -> list[LoraChoice]:
    """A request's LoRAs as far as they can be read; the rest is for the request to refuse."""
    found = []
    for one in given if isinstance(given, list | tuple) else ():
        entry = one if isinstance(one, Mapping) else {}
        name, weight, version = entry.get("name"), entry.get("weight"), entry.get("version")
        if isinstance(name, str) and name:
            exact = EXACT_LORA.fullmatch(name) if version is None else None
            number = int(exact[2]) if exact else version if isinstance(version, int) and 0 < version < 2**31 else None
            plain = 1.0 if weight is None else float(weight) if isinstance(weight, int | float) and abs(weight) < 100 else 0.0
            found.append(LoraChoice(exact[1] if exact else name, plain, number))
    return found


def _unfit(known: Known, one: LoraChoice, who: Who, card: ModelCard) -> str:
    try:
        return known.unfit(one, who, card)
    except BadInput:
        return ""  # there is none of that name: the request says so
