"""What the Quality tab asks about profiles: what there is to measure, what a version says, what a change would do to recent pictures."""
from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from models.cards import Catalogue
from models.errors import BadInput
from models.scorers.catalogue import Dimensions
from pipelines.changes import changes, dimension_title
from pipelines.fields import shown
from pipelines.judge import Verdict, judge
from pipelines.profile import Profile, parse_profile, profile_of, profile_toml, shipped_dimensions
from pipelines.rules import Rule, examples, read_rule
from studio.choosing import as_scores
from studio.profiles import Profiles
from studio.store import Store, images
from studio.store.people import Who, visible

Json = dict[str, Any]
RECENT = 400  # pictures that a change is tried on
FEWEST = 20  # drawn with the profile itself; with fewer, all of the studio's count
BINS = 24


class Quality:
    """Profiles as the page shows them. Any thread may ask."""

    def __init__(self, store: Store, profiles: Profiles, catalogue: Catalogue, known: Dimensions | None = None) -> None:
        self._store, self._profiles, self._catalogue = store, profiles, catalogue
        self._known = known or shipped_dimensions()

    def overview(self) -> Json:
        """Every profile, everything that can be measured, sentences for rules, and the models that bars may differ for."""
        return {
            "profiles": [self._short(self._profiles.current(name)) for name in self._profiles.names()],
            "removed": [self._removed(name) for name in self._profiles.removed()],
            "dimensions": [self._dimension(name) for name in self._known.by_name],
            "examples": examples(self._known),
            "cards": [{"name": card.name, "title": card.title} for card in self._catalogue.cards.values()],
        }

    def view(self, name: str, version: int | None = None) -> Json:
        """A version of a profile, the current one without `version`: what its TOML says, its rules understood, all its versions."""
        profile = self._profiles.current(name) if version is None else self._profiles.at(name, version)
        text = self._profiles.text(name, profile.version)
        return self._short(profile) | {
            "profile": tomllib.loads(text),
            "toml": text,
            "rules": [self._rule(rule) for rule in profile.rules],
            "versions": [vars(one) for one in self._profiles.versions(name)],
        }

    def changes(self, name: str, old: int, new: int) -> list[str]:
        """What two versions differ in. Raises NotFound."""
        return self._between(self._profiles.at(name, old), self._profiles.at(name, new))

    def rule(self, text: str) -> Json:
        """How a sentence is understood. Raises BadInput."""
        return self._rule(read_rule(text, self._known))

    def read(self, data: Mapping[str, Any], name: str) -> str:
        """The TOML of what was sent: `toml`, or `profile` as its TOML would read in JSON. Raises BadInput that names the field."""
        given = [field for field in ("toml", "profile") if data.get(field) is not None]
        if given == ["toml"] and isinstance(data["toml"], str):
            parse_profile(data["toml"], name)
            return str(data["toml"])
        if given == ["profile"] and isinstance(data["profile"], Mapping):
            profile_of(data["profile"], name, name, known=self._known)
            return profile_toml(data["profile"])
        raise BadInput("profile", "A profile is sent as TOML or as an object, one of the two.", f"This is {shown(data.get('profile'))}.")

    def preview(self, text: str, name: str, who: Who) -> Json:
        """What would become of recent finished pictures, by the scores that they have, beside what the current version makes of them.

        The last of those drawn with this profile, and while these are few, of all that `who` may see.
        """
        new = parse_profile(text, name)
        old = self._profiles.current(name) if name in self._profiles.names() else None
        rows, of_profile = self._recent(name, who)
        measured = images.scores_of(self._store, [row["id"] for row in rows])
        told = [(row["card"], as_scores(measured[row["id"]])) for row in rows if measured[row["id"]]]
        would = [judge(scores, new, card) for card, scores in told]
        return {
            "pictures": len(told),
            "of_profile": of_profile,
            "now": None if old is None else self._counts([judge(scores, old, card) for card, scores in told]),
            "would": self._counts(would),
            "dimensions": {dimension: self._spread(dimension, would) for dimension in new.bars},
            "changes": [] if old is None else self._between(old, new),
            "rules": [self._rule(rule) for rule in new.rules],
        }

    # How it is done.

    def _between(self, old: Profile, new: Profile) -> list[str]:
        titles = {card.name: card.title for card in self._catalogue.cards.values()}
        return changes(old, new, self._known, lambda card: titles.get(card, card))

    def _short(self, profile: Profile) -> Json:
        jobs = self._store.db.execute("SELECT count(*) FROM jobs WHERE profile = ?", [profile.name]).fetchone()[0]
        return {
            "name": profile.name,
            "title": profile.title,
            "about": profile.about,
            "version": profile.version,
            "shipped": self._profiles.shipped(profile.name),
            "jobs": jobs,
            "asks": [
                {"dimension": name, "title": dimension_title(name, self._known), "gate": bar.gate, "rule": bar.rule}
                for name, bar in profile.bars.items()
            ],
        }

    def _removed(self, name: str) -> Json:
        last = next(one.version for one in self._profiles.versions(name) if not one.removed)
        return {"name": name, "version": last, "title": self._profiles.at(name, last).title}

    def _dimension(self, name: str) -> Json:
        dimension = self._known.by_name[name]
        scorer = self._known.scorers[dimension.scorer]
        return vars(dimension) | {
            "scorer_title": scorer.title,
            "milliseconds": scorer.milliseconds,
            "generic": scorer.generic,
            "megabytes": scorer.weights.megabytes if scorer.weights else 0,
        }

    def _rule(self, rule: Rule) -> Json:
        return {"text": rule.text, "words": rule.words, "dimensions": [bar.dimension for bar in rule.bars]}

    def _recent(self, name: str, who: Who) -> tuple[list[images.Row], bool]:
        seen, values = visible(who)
        select = (
            f"SELECT images.id, images.card FROM images JOIN jobs ON jobs.id = images.job_id WHERE {seen} AND images.state = 'drawn'"
            " AND images.stage = 'final' AND images.trashed IS NULL"
        )
        own = self._store.db.execute(f"{select} AND jobs.profile = ? ORDER BY images.id DESC LIMIT ?", [*values, name, RECENT]).fetchall()
        if len(own) >= FEWEST:
            return own, True
        return self._store.db.execute(f"{select} ORDER BY images.id DESC LIMIT ?", [*values, RECENT]).fetchall(), False

    def _counts(self, verdicts: list[Verdict]) -> Json:
        count = Counter(verdict.verdict for verdict in verdicts)
        return {"passes": count["spare"], "rejected": count["rejected"], "review": count["review"]}

    def _spread(self, dimension: str, verdicts: list[Verdict]) -> Json:
        """How the recent values lie: their least and greatest, BINS counts in between; how many fail, are open, and were not measured."""
        marks = [mark for verdict in verdicts for mark in verdict.marks if mark.dimension == dimension]
        values = [mark.value for mark in marks if mark.value is not None]
        low, high = (min(values), max(values)) if values else (0.0, 0.0)
        width = (high - low) / BINS or 1.0
        bins = [0] * BINS
        for value in values:
            bins[min(BINS - 1, int((value - low) / width))] += 1
        return {
            "low": low,
            "high": high,
            "bins": bins,
            "fails": sum(mark.passed is False for mark in marks),
            "undecided": sum(mark.undecided for mark in marks),
            "unmeasured": len(marks) - len(values),
        }

