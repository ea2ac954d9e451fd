"""What people's verdicts teach: thresholds suggested for a profile and a model, shown with what stands behind them, applied on a click.

Applying saves a new version of the profile, which holds for what is asked from then on; restoring the version before takes it back.
"""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import BadInput
from pipelines.agreement import Rates, Share, wilson
from pipelines.fields import shown, text, whole
from pipelines.profile import Learned, Profile, with_learned
from pipelines.rules import Bar
from pipelines.thresholds import Cut, Finding, Judged, learn
from studio.profiles import DEFAULT
from studio.review import SAME, UNSEEN, title_of
from studio.store import verdicts
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

NAME_LIMIT = 80


class Learning:
    """What the thresholds' routes call; all raise BadInput and NotFound."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store, self._profiles = studio, studio.store, studio.profiles

    def view(self, profile: str, card: str, sheet: bool) -> Json:
        """What the verdicts on pictures of `card`, asked for with `profile`, suggest for each of its dimensions. "" for the pair that
        most verdicts are about. sheet: counts also what owners kept or rejected on the sheet, who saw the scores."""
        about = [row for row in verdicts.judged_cards(self._store) if row["profile"] in self._profiles.names()]
        if not profile or not card:
            first = next((row for row in about if row["profile"] == (profile or row["profile"])), None)
            profile = profile or (first["profile"] if first else DEFAULT)
            card = card or (first["card"] if first else self._studio.catalogue.tier(self._studio.family, "preview")[0].card)
        current = self._profiles.current(profile)
        rows = verdicts.judged(self._store, profile, card, sheet)
        measured = verdicts.measured_now(self._store, card)
        found = self._findings(current, card, rows, measured)
        versions = self._profiles.versions(profile)
        return {
            "profile": profile,
            "title": current.title,
            "version": current.version,
            "before": versions[1].version if len(versions) > 1 else None,
            "note": versions[0].note,
            "card": card,
            "card_title": self._card_title(card),
            "about": [
                {name: row[name] for name in ("profile", "card", "review", "sheet")}
                | {"title": self._profiles.current(row["profile"]).title, "card_title": self._card_title(row["card"])}
                for row in about
            ],
            "sure": self._studio.settings.get("review.sure"),
            "verdicts": len(rows),
            "approved": sum(row["approved"] for row in rows),
            "agreement": _share_view(_agreement(rows)),
            "dimensions": [self._finding_view(one, current, card, measured[name]) for name, one in found.items()],
        }

    def apply(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Makes what is suggested for `dimensions` hold, as a new version of the profile. Raises NotNow where nothing is suggested any
        more, for what is applied is worked out again from the verdicts that stand by now."""
        profile, card, asked = text(data, "profile", NAME_LIMIT), text(data, "card", NAME_LIMIT), data.get("dimensions")
        if not isinstance(asked, list) or not asked or not all(isinstance(one, str) for one in asked):
            raise BadInput("dimensions", "dimensions must be a list of what to apply.", f"This is {shown(asked)}.")
        sheet = data.get("sheet", False)
        if not isinstance(sheet, bool):
            raise BadInput("sheet", "sheet must be true or false.")
        current = self._profiles.current(profile)
        measured = verdicts.measured_now(self._store, card)
        found = self._findings(current, card, verdicts.judged(self._store, profile, card, sheet), measured)
        learned, words = [], []
        for name in dict.fromkeys(asked):
            one = found.get(name)
            if one is None or one.cut is None:
                why = one.why if one else "It is not a dimension that can be learned."
                raise NotNow(f"Nothing is suggested for {name[:NAME_LIMIT]}.", why, "Look at the suggestions again.")
            scorer, version = measured[name]
            low, high = _band(one.cut) or (None, None)
            learned.append(Learned(card, name, scorer, version, one.cut.threshold, one.bar.bound, low, high, one.verdicts))
            words.append(f"{title_of(name)} {one.bar.threshold:g} to {one.cut.threshold:g}")
        most = max(one.verdicts for one in learned)
        note = _within(f"Learned from {most} verdicts on {self._card_title(card)}: {', '.join(words)}", 200)
        toml = with_learned(self._profiles.text(profile, current.version), learned)
        saved = self._profiles.save(profile, toml, who, note, base=current.version)
        self._studio.hub.publish("profiles", {"name": profile})
        return {"profile": profile, "version": saved, "before": current.version, "note": note}

    def restore(self, data: Mapping[Any, Any], who: Who) -> Json:
        """A new version that says what an earlier one said."""
        profile, to = text(data, "profile", NAME_LIMIT), whole(data, "version", 0, LARGEST_ID, None)
        if to is None:
            raise BadInput("version", "version is missing: the one to go back to.")
        version = self._profiles.restore(profile, to, who)
        self._studio.hub.publish("profiles", {"name": profile})
        return {"profile": profile, "version": version, "restored": to}

    # How it is done.

    def _findings(self, profile: Profile, card: str, rows: Sequence[Any], measured: Mapping[str, tuple[str, str]]) -> dict[str, Finding]:
        bars: dict[str, Bar] = {}
        for name, bar in profile.bars_for(card).items():
            # A rule is somebody's own words, and a size is asked for: neither is a matter of looking.
            if name in measured and not bar.rule and name not in UNSEEN:
                bars[name] = profile.taught(bar, card, *measured[name])
        return learn(_judged(rows, measured), bars, self._studio.settings.get("review.sure") / 100)

    def _finding_view(self, found: Finding, profile: Profile, card: str, by: tuple[str, str]) -> Json:
        bar, cut = found.bar, found.cut
        return {
            "dimension": found.dimension,
            "title": title_of(found.dimension),
            "scorer": by[0],
            "version": by[1],
            "bound": bar.bound,
            "threshold": bar.threshold,
            "band": None if bar.low is None else [bar.low, bar.high],
            "hard": bar.hard,
            "learned": any((one.card, one.dimension, one.scorer, one.version) == (card, found.dimension, *by) for one in profile.learned),
            "verdicts": found.verdicts,
            "approved": found.approved,
            "rejected": found.rejected,
            "prompts": found.prompts,
            "method": found.method,
            "suggestion": None if cut is None else {"threshold": cut.threshold, "band": _band(cut)},
            "better": found.better,
            "why": found.why,
            "now": _rates_view(found.now),
            "then": _rates_view(found.then),
            "alone": _rates_view(found.alone),
            "undecided": _share_view(found.undecided),
            "values": {"approved": found.values[0], "rejected": found.values[1]},
            "curve": found.curve,
        }

    def _card_title(self, card: str) -> str:
        found = self._studio.catalogue.cards.get(card)
        return found.title if found else card


def _judged(rows: Sequence[Any], measured: Mapping[str, tuple[str, str]]) -> list[Judged]:
    """The verdicts as the fit takes them: values of the scorers that measure now, and no others."""
    return [
        Judged(
            group=row["prompt"],
            approved=bool(row["approved"]),
            values={name: value for name, scorer, version, value in json.loads(row["scores"]) if measured.get(name) == (scorer, version)},
            reasons=_both(json.loads(row["reasons"])),
            chance=row["chance"],
        )
        for row in rows
    ]


def _both(reasons: Sequence[str]) -> frozenset[str]:
    """With the second verifiers of what was named."""
    return frozenset(reasons) | {second for second, first in SAME.items() if first in reasons}


def _agreement(rows: Sequence[Any]) -> Share | None:
    """How often the studio's verdict was the person's, of pictures that it had decided about; None where there are none."""
    decided = [row for row in rows if row["machine"] in ("kept", "spare", "rejected")]
    if not decided:
        return None
    hit = np.array([(row["machine"] != "rejected") == bool(row["approved"]) for row in decided])
    weight = np.array([1 / row["chance"] for row in decided])
    value, worth = float(weight[hit].sum() / weight.sum()), float(weight.sum() ** 2 / (weight**2).sum())
    return Share(value, *wilson(value * worth, worth), int(hit.sum()), len(decided))


def _band(cut: Cut) -> tuple[float, float] | None:
    return (cut.low, cut.high) if cut.low < cut.high else None


def _rates_view(rates: Rates | None) -> Json | None:
    return None if rates is None else {name: _share_view(share) for name, share in vars(rates).items()}


def _share_view(share: Share | None) -> Json | None:
    if share is None:
        return None
    value = None if math.isnan(share.value) else round(share.value, 4)
    return {"value": value, "low": round(share.low, 4), "high": round(share.high, 4), "hits": share.hits, "of": share.of}


def _within(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"
