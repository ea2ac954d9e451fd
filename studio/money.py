"""Money as people see and set it: budgets, credits, this machine's rate, and charges of which nobody knows what became.

MONEY     {"left_micro": what may be spent now | null: no limit is set, so nothing, "tightest": the words of the limit that leaves least
           | null, "warnings": [words of limits nearly gone], "budgets": [BUDGET], "credits": [CREDIT], "people": [{"name", "title"}],
           "projects": [{"name", "title"}]: whom an admin can set limits for, "uncertain": [CHARGE], "charges": [CHARGE] the newest 50,
           "total": charges there are, "drift": {"alarm", "words", "rows"} | null, "rates": {"now": RATE | null, "all": [RATE]}, "admin"}
BUDGET    {"scope": "studio" | "person" | "project", "name": "" of the studio, "*" of each without one of its own, "title", "about",
           "day_micro" | null, "month_micro" | null, "day_spent_micro", "month_spent_micro" (reserved or paid; null of "*"), "warned": bool}
CREDIT    {"person", "title", "granted_micro", "spent_micro", "left_micro", "given": [{"micro", "by", "note", "when"}]}
RATE      {"day", "hour_micro", "watts", "tariff_micro" (a kWh), "machine_micro", "months", "monthly_micro", "words"}

Money is in whole micro-dollars. Days and months are in UTC. An admin sees everybody's, others what is their own and what limits them.
"""
from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput
from pipelines.fields import one_of, real, shown, text, whole
from studio.costing import Costing, persons_titles, rate_view
from studio.ledgerviews import LATEST, MOST, Charges, charge_view
from studio.store import ledger
from studio.store.costs import Rates
from studio.store.db import now
from studio.store.ledger import EACH, Limit
from studio.store.people import Who, require_admin

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
LARGEST_MICRO = 10**12  # a million dollars
NOTE_LIMIT = 200
ADMINS = "Only an admin decides about money."
SCOPES = ("studio", "person", "project")


class Money:
    """What the routes call. What changes something raises NotYours for whoever is no admin, and BadInput that names a field."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._costing, self._charges = Costing(studio), Charges(studio.store)

    # What is told.

    def overview(self, who: Who) -> Json:
        """MONEY."""
        db = self._store.db
        found = ledger.limits(db, who.name)
        tightest = min(found, key=lambda limit: limit.left, default=None)
        rates = Rates(self._store)
        newest, total = self._charges.rows({}, who, LATEST)
        uncertain, _ = self._charges.rows({"state": "uncertain"}, who)
        return {
            "left_micro": ledger.left(db, who.name),
            "tightest": tightest.words if tightest else None,
            "warnings": [limit.words for limit in self._warned(who)],
            "budgets": self._budgets(who),
            "credits": self._credits(who),
            "people": self._people() if who.admin else [],
            "projects": self._projects() if who.admin else [],
            "uncertain": [charge_view(row) for row in uncertain],
            "charges": [charge_view(row) for row in newest],
            "total": total,
            "drift": self._costing.drift() if who.admin else None,
            "rates": {"now": rate_view(rates.now), "all": [rate_view(rate) for rate in reversed(rates.all)]},
            "admin": who.admin,
        }

    # What is set.

    def set_budget(self, data: Mapping[str, Any], who: Who) -> Json:
        """scope, name, day_micro, month_micro: what may be spent in a day and a month; null is no limit of its own. MONEY."""
        require_admin(who, ADMINS)
        scope = one_of(data, "scope", SCOPES, "studio", "scopes")
        name = self._whose(scope, data)
        amounts = {period: whole(data, f"{period}_micro", 0, LARGEST_MICRO, None) for period in ("day", "month")}
        with self._store.write() as db:
            for period, micro in amounts.items():
                if micro is None:
                    db.execute("DELETE FROM budgets WHERE scope = ? AND name = ? AND period = ?", [scope, name, period])
                else:
                    db.execute(
                        "INSERT INTO budgets VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (scope, name, period)"
                        " DO UPDATE SET micro = excluded.micro, set_by = excluded.set_by, changed = excluded.changed",
                        [scope, name, period, micro, who.name, now()],
                    )
        return self._changed(who)

    def give_credit(self, data: Mapping[str, Any], who: Who) -> Json:
        """person, micro (negative takes back), note. From the first on, what they spend is paid from it. MONEY."""
        require_admin(who, ADMINS)
        person = self._person(data.get("person"), "person")
        micro = whole(data, "micro", -LARGEST_MICRO, LARGEST_MICRO, 0)
        if not micro:
            raise BadInput("micro", "A credit needs an amount.", todo="Give micro-dollars; a negative amount takes back.")
        note = text(data, "note", NOTE_LIMIT)
        with self._store.write() as db:
            values = [person, micro, who.name, note, now()]
            db.execute("INSERT INTO credits (person, micro, given_by, note, created) VALUES (?, ?, ?, ?, ?)", values)
        return self._changed(who)

    def set_rate(self, data: Mapping[str, Any], who: Who) -> Json:
        """What this machine costs from today on: hour_micro, or watts and tariff_micro (a kWh); with machine_micro, months. MONEY."""
        require_admin(who, ADMINS)
        hour = whole(data, "hour_micro", 0, LARGEST_MICRO, None)
        watts, tariff = real(data, "watts", 0, 100_000, None), whole(data, "tariff_micro", 0, LARGEST_MICRO, None)
        machine, months = whole(data, "machine_micro", 0, 1000 * LARGEST_MICRO, None), whole(data, "months", 1, 600, None)
        if (hour is None) == (watts is None and tariff is None):
            raise BadInput("hour_micro", "The rate is either a price an hour, or power and a tariff.", "It cannot be both or neither.")
        if hour is None and (watts is None or tariff is None):
            raise BadInput("watts" if watts is None else "tariff_micro", "Power and tariff go together.", todo="Give both.")
        if (machine is None) != (months is None):
            raise BadInput("months" if months is None else "machine_micro", "What the machine cost goes with the months it is to last.")
        if hour is None:
            assert watts is not None and tariff is not None
            hour = math.ceil(watts * tariff / 1000)
        moment = now()
        with self._store.write() as db:
            db.execute(
                "INSERT INTO rates (day, hour_micro, watts, tariff_micro, machine_micro, months, set_by, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [moment[:10], hour, watts, tariff, machine, months, who.name, moment],
            )
        return self._changed(who)

    def resolve(self, charge: int, data: Mapping[str, Any], who: Who) -> Json:
        """billed: whether the provider's own record has it; micro: what that says, by itself what was expected. MONEY.

        Raises NotFound, and NotNow for a charge that is not uncertain.
        """
        require_admin(who, ADMINS)
        if not isinstance(data.get("billed"), bool):
            raise BadInput("billed", f"billed must be true or false; this is {shown(data.get('billed'))}.")
        micro = whole(data, "micro", 0, LARGEST_MICRO, None)
        with self._store.write() as db:
            ledger.resolve(db, charge, data["billed"], who.name, micro)
            job = ledger.one(db, charge)["job_id"]
            there = db.execute("SELECT 1 FROM jobs WHERE id = ?", [job]).fetchone()  # a charge outlives its job
        self._studio.queue_changed([job] if there else [])
        return self._changed(who)

    def resolve_all(self, data: Mapping[str, Any], who: Who) -> Json:
        """charges: numbers of uncertain charges that are alike; billed: what the provider's own record says of each. Those of which it has
        become known meanwhile are left as they are. MONEY.

        Raises NotFound, changing nothing.
        """
        require_admin(who, ADMINS)
        ids = data.get("charges")
        if not isinstance(ids, list) or not ids or len(ids) > MOST or not all(isinstance(one, int) and one is not True for one in ids):
            raise BadInput("charges", f"charges must be a list of 1 to {MOST} numbers.")
        if not isinstance(data.get("billed"), bool):
            raise BadInput("billed", f"billed must be true or false; this is {shown(data.get('billed'))}.")
        with self._store.write() as db:
            rows = [ledger.one(db, charge) for charge in dict.fromkeys(ids)]
            held = [row for row in rows if row["state"] == "uncertain"]
            for row in held:
                ledger.resolve(db, row["id"], data["billed"], who.name)
            marks = ", ".join("?" * len(held))
            touched = db.execute(f"SELECT id FROM jobs WHERE id IN ({marks})", [row["job_id"] for row in held]).fetchall()
        self._studio.queue_changed([row["id"] for row in touched])
        return self._changed(who)

    def _changed(self, who: Who) -> Json:
        self._studio.hub.publish("cloud", {"changed": True})
        return self.overview(who)

    # How it is read.

    def _warned(self, who: Who) -> list[Limit]:
        """An admin hears of every limit that is nearly gone; others of those that concern them."""
        db = self._store.db
        found = dict.fromkeys(ledger.warned(db, who.name))
        for project in [row["name"] for row in self._projects()] if who.admin else who.projects:
            found |= dict.fromkeys(ledger.warned(db, who.name, project))
        if who.admin:
            for person in self._people():
                found |= dict.fromkeys(ledger.warned(db, person["name"]))
        return sorted(found, key=lambda limit: (-limit.spent / limit.micro, limit.scope, limit.name))

    def _budgets(self, who: Who) -> list[Json]:
        """Each that was set, the studio's first; to others than admins those that concern them."""
        db, today = self._store.db, now()[:10]
        rows = db.execute("SELECT scope, name, period, micro FROM budgets").fetchall()
        amounts: dict[tuple[str, str], dict[str, int]] = {("studio", ""): {}} if who.admin else {}
        for row in rows:
            amounts.setdefault((row["scope"], row["name"]), {})[row["period"]] = row["micro"]
        mine = {("studio", ""), ("person", who.name), ("person", EACH), *(("project", name) for name in (EACH, *who.projects))}
        titles = {"person": persons_titles(self._store), "project": {one["name"]: one["title"] for one in self._projects()}}
        found = []
        for (scope, name), limits in sorted(amounts.items(), key=lambda item: (SCOPES.index(item[0][0]), item[0][1])):
            if not who.admin and (scope, name) not in mine:
                continue
            spent = {"day": _spent(db, scope, name, today), "month": _spent(db, scope, name, today[:7])}
            full = [Limit(scope, name, period, micro, spent[period] or 0).warned for period, micro in limits.items()]  # type: ignore[arg-type]
            words = {"title": _budget_title(scope, name, titles), "about": _budget_about(scope, name)}
            found.append(
                {"scope": scope, "name": name, **words, "warned": any(full)}
                | {f"{period}_micro": limits.get(period) for period in spent}
                | {f"{period}_spent_micro": micro for period, micro in spent.items()}
            )
        return found

    def _credits(self, who: Who) -> list[Json]:
        rows = self._store.db.execute("SELECT * FROM credits ORDER BY id DESC").fetchall()
        titles = persons_titles(self._store)
        found = []
        for person in sorted({row["person"] for row in rows}):
            if not who.admin and person != who.name:
                continue
            granted, spent = ledger.credit_of(self._store.db, person)
            given = [
                {"micro": row["micro"], "by": row["given_by"], "note": row["note"], "when": row["created"]}
                for row in rows if row["person"] == person
            ]  # fmt: skip
            found.append({"person": person, "title": titles.get(person, person), "granted_micro": granted or 0, "spent_micro": spent,
                          "left_micro": max(0, (granted or 0) - spent), "given": given})  # fmt: skip
        return found

    def _people(self) -> list[Json]:
        rows = self._store.db.execute("SELECT name, title FROM persons WHERE removed IS NULL ORDER BY title COLLATE NOCASE, name")
        return [{"name": row["name"], "title": row["title"] or row["name"]} for row in rows]

    def _projects(self) -> list[Json]:
        rows = self._store.db.execute("SELECT name, title FROM projects ORDER BY title COLLATE NOCASE, name")
        return [{"name": row["name"], "title": row["title"]} for row in rows]

    def _whose(self, scope: str, data: Mapping[str, Any]) -> str:
        """The field `name` of a budget."""
        name = data.get("name")
        if scope == "studio":
            if name not in (None, ""):
                raise BadInput("name", f"The studio's budget has no name; this is {shown(name)}.")
            return ""
        if name == EACH:
            return EACH
        if scope == "person":
            return self._person(name, "name")
        if not isinstance(name, str) or self._store.db.execute("SELECT 1 FROM projects WHERE name = ?", [name]).fetchone() is None:
            raise BadInput("name", f"There is no project {shown(name)}.")
        return name

    def _person(self, name: object, field: str) -> str:
        known = "SELECT 1 FROM persons WHERE name = ? AND removed IS NULL"
        if not isinstance(name, str) or self._store.db.execute(known, [name]).fetchone() is None:
            raise BadInput(field, f"There is no person {shown(name)}.")
        return name


def _spent(db: sqlite3.Connection, scope: str, name: str, period: str) -> int | None:
    if name == EACH:
        return None
    row = db.execute("SELECT micro FROM spent WHERE scope = ? AND name = ? AND period = ?", [scope, name, period]).fetchone()
    return row["micro"] if row else 0


def _budget_title(scope: str, name: str, titles: Mapping[str, Mapping[str, str]]) -> str:
    if scope == "studio":
        return "The studio"
    if name == EACH:
        return f"Each {scope}"
    title = titles[scope].get(name, name)
    return title if scope == "person" else f"Project {title}"


def _budget_about(scope: str, name: str) -> str:
    return f"Each {scope} without a budget of its own" if name == EACH else ""
