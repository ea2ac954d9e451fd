"""What two versions of a profile differ in, in words that a person reads at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from models.scorers.catalogue import Dimensions
from pipelines.profile import Doubt, Learned, Profile
from pipelines.rules import Bar, Gate

Key = TypeVar("Key")
One = TypeVar("One")
GATES: Mapping[Gate, str] = {"hard": "hard", "measured": "hard where measured", "advisory": "advisory"}


def changes(old: Profile, new: Profile, known: Dimensions, card_title: Callable[[str], str] = str) -> list[str]:
    """A line a change, [] for none: "Sharpness: at least 45, hard → at least 50, hard"."""

    def title(dimension: str) -> str:
        return dimension_title(dimension, known)

    def title_or_share(name: str) -> str:
        return "Share" if name == "share" else title(name)

    lines = [
        f'{what}: "{was}" → "{now}"' for what, was, now in (("Title", old.title, new.title), ("About", old.about, new.about)) if was != now
    ]
    lines += _between(_table(old), _table(new), title, bar_words)
    lines += _between({rule.text: "" for rule in old.rules}, {rule.text: "" for rule in new.rules}, lambda text: f'Rule "{text}"', str)
    for card in sorted({*old.thresholds, *new.thresholds, *old.gates, *new.gates}):
        own = [_for_card(profile, card) for profile in (old, new)]
        lines += [f"For {card_title(card)}, {line}" for line in _between(own[0], own[1], title, str)]
    for card in sorted({*old.doubts, *new.doubts}):
        own = [_in_doubt(profile.doubts.get(card)) for profile in (old, new)]
        lines += [f"For {card_title(card)}, in doubt, {line}" for line in _between(own[0], own[1], title_or_share, str)]
    taught = [{(one.card, one.dimension, one.scorer, one.version): one for one in profile.learned} for profile in (old, new)]
    lines += _between(taught[0], taught[1], lambda key: f"Learned for {card_title(key[0])}, {title(key[1])}", learned_words)
    if old.ranks != new.ranks:
        was, now = (", ".join(map(title, ranks)) or "nothing" for ranks in (old.ranks, new.ranks))
        lines.append(f"Ranked by: {was} → {now}")
    if [name for name in _table(old) if name in _table(new)] != [name for name in _table(new) if name in _table(old)]:
        lines.append("The dimensions in another order")
    return lines


def dimension_title(dimension: str, known: Dimensions) -> str:
    """ "Background distance from #FFFFFF"."""
    plain, _, argument = dimension.partition(":")
    return known.by_name[plain].title + (f" from {argument}" if argument else "")


def bar_words(bar: Bar) -> str:
    """ "at least 45, hard"."""
    asks = "" if bar.low is None or bar.high is None else f", people decide between {bar.low:g} and {bar.high:g}"
    return f"{'at least' if bar.bound == '>=' else 'at most'} {bar.threshold:g}, {GATES[bar.gate]}{asks}"


def learned_words(one: Learned) -> str:
    """ "at least 48.2, from 212 verdicts"."""
    asks = "" if one.low is None or one.high is None else f", people decide between {one.low:g} and {one.high:g}"
    return f"{'at least' if one.bound == '>=' else 'at most'} {one.threshold:g}, from {one.verdicts} verdicts{asks}"


def _table(profile: Profile) -> dict[str, Bar]:
    return {name: bar for name, bar in profile.bars.items() if not bar.rule}


def _for_card(profile: Profile, card: str) -> dict[str, str]:
    """What differs for a model, by dimension."""
    thresholds, gates = profile.thresholds.get(card, {}), profile.gates.get(card, {})
    return {
        name: ", ".join(([f"{thresholds[name]:g}"] if name in thresholds else []) + ([GATES[gates[name]]] if name in gates else []))
        for name in dict.fromkeys([*thresholds, *gates])
    }


def _in_doubt(doubt: Doubt | None) -> dict[str, str]:
    """Its share in percent, and its thresholds by dimension."""
    if doubt is None:
        return {}
    return {"share": f"{100 * doubt.share:g} %"} | {name: f"{value:g}" for name, value in doubt.thresholds.items()}


def _between(old: Mapping[Key, One], new: Mapping[Key, One], title: Callable[[Key], str], words: Callable[[One], str]) -> list[str]:
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        was, now = (words(side[key]) if key in side else None for side in (old, new))
        if was == now:
            continue
        told = f"{title(key)}: {was or ''}".removesuffix(": ") if was is not None else f"{title(key)}: {now}".removesuffix(": ")
        lines.append(f"{told} → {now}" if was is not None and now is not None else f"{told}, {'removed' if now is None else 'added'}")
    return lines
