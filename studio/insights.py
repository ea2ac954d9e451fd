"""What the Insights tab shows: how much passes, why the rest does not, whether people agree, and what a kept picture costs.

Each panel is one answer over one period and scope, made of a handful of queries on figures by day; see `store.insights`.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from models.scorers.catalogue import Dimension, Dimensions, load_scorers
from pipelines.fields import listed, shown
from studio.costing import Costing, persons_titles
from studio.figures import MEASURED, agreement, by_step, count, mean_of, measured, only, per_10000, share, shares, total, versions
from studio.period import Period, read_period
from studio.store import insights
from studio.store.costs import GROUPS
from studio.store.db import now
from studio.store.insights import KINDS, PICTURES, Slice
from studio.store.people import Who, require_admin
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

Pairs = Sequence[tuple[str, str]]
EVERYBODY = "*"
GROUPS_SHOWN, REASONS_SHOWN, LINES_SHOWN = 40, 8, 4
ALARMS = ("alarm", "preference")  # dimensions that are watched, the first that a request's pictures have
ALARM_FEWEST = 10  # requests before a mean place says anything
TEXT = "text_match"  # the dimension that says whether asked-for words can be read
# What stands for "without": a request has one of each of these, or none.
WITHOUT = {"lora": "No LoRA", "template": "No template"}


class Insights:
    """What the routes call: a method a panel. `pairs` are the parameters of the address; all raise BadInput, and NotYours for figures
    of other people's pictures unless an admin asks.

    range: 7, 30, 90, 365 or all; else since, until: days, both included (UTC). person: a name, or "*" for everybody; by itself one's
    own pictures, and everybody's where there is no login. card: a model.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._costing = Costing(studio)

    # The panels.

    def overview(self, pairs: Pairs, who: Who) -> Json:
        """Totals with the period before, and their course: what became of pictures and requests, and what it took."""
        asked = self.asked(pairs, who)
        asked.none_left()
        known, period = insights.span(self._store, asked.person), asked.period
        steps = period.steps()
        course = [total(rows) for rows in by_step(self._rows(asked, period), steps)]
        comparable = known is not None and period.before().last.isoformat() >= known[0]
        return {
            "period": {"first": period.first.isoformat(), "last": period.last.isoformat(), "step": period.step},
            "known": known,
            "person": asked.person,
            "persons": self._persons(who),
            "cards": [{"name": row["card"], "title": self._card(row["card"]), "drawn": row["drawn"]} for row in self._cards(asked)],
            "card": asked.card,
            "totals": shares(total(course)),
            "before": shares(total(self._rows(asked, period.before()))) if comparable else None,
            "course": [shares(figures) | {"first": step.first.isoformat(), "last": step.last.isoformat()}
                       for step, figures in zip(steps, course, strict=True)],
        }  # fmt: skip

    def reasons(self, pairs: Pairs, who: Who) -> Json:
        """What pictures were rejected for, in all and by what they were made with. by: card, tier, profile, template or lora."""
        asked = self.asked(pairs, who)
        by = asked.take("by", "card", KINDS)
        asked.none_left()
        part = asked.slice()
        found = insights.groups(self._store, part, by)
        rejected: dict[str, dict[str, int]] = {}
        for row in insights.reasons(self._store, part, by):
            rejected.setdefault(row["key"], {})[row["dimension"]] = row["n"]
        overall = insights.reasons(self._store, part)
        judged = sum(row["judged"] for row in insights.pictures(self._store, part))
        return {
            "by": by,
            "judged": judged,
            "reasons": [self.named(row["dimension"]) | {"n": row["n"], "share": share(row["n"], judged)} for row in overall],
            "groups": [
                {"key": row["key"], "title": self._title(by, row["key"]), "reasons": rejected.get(row["key"], {})}
                | shares({name: row[name] for name in PICTURES})
                for row in found[:GROUPS_SHOWN] if row["drawn"]
            ],
            "left_out": max(0, len(found) - GROUPS_SHOWN),
        }  # fmt: skip

    def scores(self, pairs: Pairs, who: Who) -> Json:
        """Every dimension in one line, and the course of one of them by model. dimension: the one to follow."""
        asked = self.asked(pairs, who)
        wanted = asked.take("dimension", "")
        asked.none_left()
        part, period = asked.slice(), asked.period
        found = {row["dimension"]: row for row in insights.dimensions(self._store, part)}
        chosen = wanted if wanted in found else next(iter(sorted(found, key=lambda name: (-(found[name]["failed"] or 0), name))), None)
        return {
            "steps": [step.first.isoformat() for step in period.steps()],
            "step": period.step,
            "dimensions": [self.named(name) | measured(row) | {"bound": row["bound"]} for name, row in found.items()],
            "dimension": chosen,
            "lines": [] if chosen is None else self._lines(insights.scores(self._store, part, chosen), period),
        }

    def people(self, pairs: Pairs, who: Who) -> Json:
        """Whether people agree with the verdicts, what they gave as reasons, and what they did with pictures."""
        asked = self.asked(pairs, who)
        asked.none_left()
        part = asked.slice()
        rows = insights.verdicts(self._store, part)
        steps = asked.period.steps()
        return {
            "steps": [step.first.isoformat() for step in steps],
            "step": asked.period.step,
            **agreement(rows),
            "course": [agreement(some)["agreement"] for some in by_step(rows, steps)],
            "named": [self.named(row["dimension"]) | {"n": row["n"]} for row in insights.named(self._store, part)],
            "signals": [{"kind": row["kind"], "n": row["n"], "pictures": row["pictures"]} for row in insights.signals(self._store, part)],
        }

    def safety(self, pairs: Pairs, who: Who) -> Json:
        """Pictures marked per 10,000 drawn, and prompts stopped or marked per 10,000 requests, by day and by rule."""
        asked = self.asked(pairs, who)
        asked.none_left()
        part, steps = asked.slice(), asked.period.steps()
        rows, drawn = insights.incidents(self._store, part), insights.pictures(self._store, part)
        made = insights.requests(self._store, part)
        pictures = [row for row in rows if row["picture"]]
        prompts = [row for row in rows if not row["picture"]]
        rules: dict[tuple[bool, str, str, str], int] = {}
        for row in rows:
            key = (bool(row["picture"]), row["kind"], row["rule"], row["action"])
            rules[key] = rules.get(key, 0) + row["n"]
        ordered = sorted(rules.items(), key=lambda item: (-item[1], item[0]))
        return {
            "steps": [step.first.isoformat() for step in steps],
            "step": asked.period.step,
            "pictures": per_10000(count(pictures, "n"), count(drawn, "drawn")),
            "prompts": per_10000(count(prompts, "n"), count(made, "requests")),
            "course": [
                per_10000(count(some, "n"), count(of, "drawn"))
                for some, of in zip(by_step(pictures, steps), by_step(drawn, steps), strict=True)
            ],
            "rules": [
                {"picture": picture, "kind": kind, "rule": rule, "title": self.named(rule)["title"], "action": action, "n": n}
                for (picture, kind, rule, action), n in ordered
            ],
        }

    def trials(self, pairs: Pairs, who: Who) -> Json:
        """LoRA candidates that were tried out in live use, against the production versions that the other requests got."""
        asked = self.asked(pairs, who)
        asked.none_left()
        return {"trials": self._studio.trials.compared(asked.period, asked.person, who)}

    def alarm(self, pairs: Pairs, who: Who) -> Json:
        """Where the verifier that nothing is chosen by puts what was chosen, among its siblings: 1 the best, .5 chance. Below that the
        choosing games its own verifiers. None without enough requests. requests: the latest that tell."""
        asked = self.asked(pairs, who)
        asked.none_left()
        places = insights.places(self._store, asked.slice(), ALARMS)
        return {"requests": len(places), "place": mean_of(places), "known": len(places) >= ALARM_FEWEST}

    def costs(self, pairs: Pairs, who: Who) -> Json:
        """What pictures cost, this machine's time and providers' bills: in all, over time, and by tier, template, feature, provider or
        person. Everybody's also say whether bills are as expected, and when a GPU pays. A model does not narrow it: bills have none."""
        asked = self.asked(pairs, who)
        by = asked.take("by", "tier", GROUPS)
        asked.none_left()
        known, period = insights.span(self._store, asked.person), asked.period
        comparable = known is not None and period.before().last.isoformat() >= known[0]
        titles = self._tiers if by == "tier" else persons_titles(self._store) if by == "person" else {}
        return self._costing.panel(by, period, asked.person, titles, comparable) | {
            "may_set_rate": who.admin,
            "drift": self._costing.drift() if asked.person is None else None,
            "break_even": self._costing.break_even() if asked.person is None else None,
        }

    # How it is read.

    def asked(self, pairs: Pairs, who: Who) -> Asked:
        given: dict[str, str] = {}
        for name, value in pairs:
            if name in given:
                raise BadInput(name[:80], f"{name[:80]} is given more than once.")
            given[name] = value
        person = self._scope(given.pop("person", ""), who)
        card = given.pop("card", "") or None
        if card is not None and card not in {row["card"] for row in insights.cards(self._store, person)}:
            raise BadInput("card", f"No picture was drawn with {shown(card)}.")
        today = date.fromisoformat(now()[:10])
        return Asked(read_period(given, today, insights.span(self._store, person)), person, card, given)

    def _scope(self, person: str, who: Who) -> str | None:
        """Whose pictures are counted; None for everybody's."""
        if not person:
            return who.name if self._studio.login else None
        if person != who.name:
            require_admin(who, "Only an admin may see figures of other people's pictures.", todo="Ask one, or look at your own.")
        if person == EVERYBODY:
            return None
        if self._store.db.execute("SELECT 1 FROM persons WHERE name = ?", [person]).fetchone() is None:
            raise BadInput("person", f"There is no person {shown(person)}.")
        return person

    def _persons(self, who: Who) -> list[Json]:
        """Whose figures they may ask for, besides everybody's for an admin."""
        if not who.admin:
            return []
        rows = self._store.db.execute("SELECT name, title FROM persons WHERE removed IS NULL ORDER BY title COLLATE NOCASE, name")
        return [{"name": row["name"], "title": row["title"] or row["name"]} for row in rows]

    def _cards(self, asked: Asked) -> list[Any]:
        return insights.cards(self._store, asked.person)

    def _rows(self, asked: Asked, period: Period) -> list[Any]:
        """Rows by day of all figures of the overview; each has some of them."""
        part = asked.slice(period)
        found: list[Any] = [*insights.pictures(self._store, part), *insights.requests(self._store, part)]
        for row in insights.scores(self._store, part, TEXT):
            found.append({"day": row["day"], "text_n": row["n"], "text_total": row["total"]})
        for row in insights.verdicts(self._store, part):
            if row["passed"] is not None:
                found.append({"day": row["day"], "verdicts": row["n"], "agreed": row["n"] * (row["passed"] == row["approved"])})
        for row in insights.incidents(self._store, part):
            if row["picture"]:
                found.append({"day": row["day"], "incidents": row["n"]})
        return found

    def _lines(self, rows: Sequence[Any], period: Period) -> list[Json]:
        """A line a model, of those with the most pictures."""
        by_card: dict[str, list[Any]] = {}
        for row in rows:
            by_card.setdefault(row["card"], []).append(row)
        most = sorted(by_card, key=lambda card: (-count(by_card[card], "n"), card))
        return [
            {"card": card, "title": self._card(card), **measured(total(by_card[card], MEASURED)), "points": [
                measured(total(some, MEASURED)) | {"threshold": only(row["threshold"] for row in some)}
                for some in by_step(by_card[card], period.steps())
            ], "versions": versions(by_card[card])}
            for card in most[:LINES_SHOWN]
        ]  # fmt: skip

    # Names for people.

    @cached_property
    def _dimensions(self) -> Dimensions:
        return load_scorers()

    def named(self, name: str) -> Json:
        """A dimension by its whole name, also one that no scorer has any more."""
        plain, _, argument = name.partition(":")
        found: Dimension | None = self._dimensions.by_name.get(plain)
        title = (found.title if found else plain.replace("_", " ").capitalize()) + (f" {argument}" if argument else "")
        return {"name": name, "title": title, "unit": found.unit if found else "", "better": found.better if found else None}

    def _card(self, name: str) -> str:
        return self._found(lambda: self._studio.catalogue.card(name).title, name)

    def _title(self, by: str, key: str) -> str:
        if not key:
            return WITHOUT.get(by, "None")
        if by == "card":
            return self._card(key)
        if by == "profile":
            return self._found(lambda: self._studio.profiles.current(key).title, key)
        return self._tiers.get(key, key) if by == "tier" else key

    @property
    def _tiers(self) -> dict[str, str]:
        return {tier.name: tier.title for family in self._studio.catalogue.families.values() for tier in family.tiers.values()}

    def _found(self, title: Callable[[], str], name: str) -> str:
        """The title of what a picture was made with, or its bare name when that is no longer there."""
        try:
            return title()
        except NotFound:
            return name


class Asked:
    """A question, read. `rest`: parameters that the panel takes itself."""

    def __init__(self, period: Period, person: str | None, card: str | None, rest: dict[str, str]) -> None:
        self.period, self.person, self.card, self._rest = period, person, card, rest

    def slice(self, period: Period | None = None) -> Slice:
        period = period or self.period
        return Slice(period.first.isoformat(), period.last.isoformat(), self.person, self.card)

    def take(self, name: str, default: str, choices: Sequence[str] = ()) -> str:
        value = self._rest.pop(name, "") or default
        if choices and value not in choices:
            raise BadInput(name, f"{name} cannot be {shown(value)}.", f"It is one of {listed(choices)}.")
        return value

    def none_left(self) -> None:
        for name in self._rest:
            raise BadInput(name[:80], "There is no such parameter here.")
