"""Candidates tried out in live use: a share of the requests that would get a LoRA's production version gets its candidate.

Chance decides for each request when it is submitted by a person; the job's request says the exact version as ever, and a row says that
it was chance. Requests that name a version, and those of grids, experiments, batches and evaluations, are left alone.
"""
from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import BadInput
from pipelines.fields import real, text
from pipelines.trials import MEASURES, arm, difference, told
from studio.store import loras
from studio.store.db import now
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.period import Period
    from studio.studio import Studio

LARGEST = 0.5


@dataclass
class _Drawn:
    """What chance said within one submission: by LoRA, (id, arm, production, candidate, share)."""

    said: dict[str, tuple[int, str, int, int, float]] = field(default_factory=dict)


_submission: ContextVar[_Drawn | None] = ContextVar("submission", default=None)


class Trials:
    """Any thread may ask. chance: a number from 0 to 1, drawn anew for each request."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self.chance = random.SystemRandom().random

    def submit(self, data: object, who: Who) -> Json:
        """As `Studio.submit`, with candidates on trial; see there."""
        drawn = _Drawn()
        token = _submission.set(drawn)
        try:

            def note(db: sqlite3.Connection, job: int) -> None:
                self._note(db, job, drawn)

            return self._studio.submit(data, who, note)
        finally:
            _submission.reset(token)

    def choose(self, name: str, who: Who) -> int | None:
        """The version that the request being submitted tries out, None for production: the same however often it is asked."""
        drawn = _submission.get()
        if drawn is None:
            return None
        if name not in drawn.said:
            found = self._trial(name)
            if found is None:
                return None
            lora, stand, share = found
            chosen = "candidate" if self.chance() < share else "production"
            drawn.said[name] = lora, chosen, stand["production"], stand["candidate"], share
        _, chosen, production, candidate, _ = drawn.said[name]
        return candidate if chosen == "candidate" else production

    def set(self, data: Mapping[Any, Any], who: Who) -> Json:
        """{"lora", "share": 0 to 0.5, 0 ends it}; as `of` shows it. Raises NotFound, NotYours, BadInput, NotNow without both aliases."""
        name, share = text(data, "lora", 80), real(data, "share", 0.0, LARGEST, None)
        if share is None:
            raise BadInput("share", "The share is missing.", "", "Give 0.1 for every tenth request; 0 ends the trial.")
        lora = self._studio.loras.own(name, who)
        stand = loras.aliases(self._store, [lora["id"]])[lora["id"]]
        if share and not {"production", "candidate"} <= stand.keys():
            missing = "candidate" if "production" in stand else "production"
            raise NotNow(f"{name} has no {missing} version.", "A trial needs both.", f"Make a version {missing} first.")
        with self._store.write() as db:
            db.execute("DELETE FROM lora_trials WHERE lora_id = ?", [lora["id"]])
            if share:
                values = [lora["id"], share, who.name, now()]
                db.execute("INSERT INTO lora_trials (lora_id, share, person, created) VALUES (?, ?, ?, ?)", values)
        self._studio.hub.publish("loras", {"changed": True})
        return self.of(name, who)

    def of(self, name: str, who: Who) -> Json:
        """{"lora", "title", "share": None while nothing is tried, "person", "since", "on": whether both aliases stand, "found": the pair
        that is tried, as `compared` has it, None where nothing was drawn}. Raises NotFound."""
        lora = loras.lora_row(self._store, name, who)
        trial = self._store.db.execute("SELECT * FROM lora_trials WHERE lora_id = ?", [lora["id"]]).fetchone()
        stand = loras.aliases(self._store, [lora["id"]])[lora["id"]]
        pair = (stand.get("production"), stand.get("candidate"))
        compared = self._compared("lora_trial_jobs.lora_id = ?", [lora["id"]])
        found = [one for one in compared if (one["production"], one["candidate"]) == pair]
        return {
            "lora": name, "title": lora["title"], "share": trial["share"] if trial else None, "person": trial["person"] if trial else None,
            "since": trial["created"] if trial else None, "on": bool(trial) and None not in pair, "found": found[0] if found else None,
        }  # fmt: skip

    def compared(self, period: Period, person: str | None, who: Who) -> list[Json]:
        """Every pair of versions that was tried in a period, the latest first, of the LoRAs that they may see.

        person: whose requests, None for everybody's. Each is {"lora", "title", "production", "candidate", "requests": [2 counts],
        "measures": [{"name", "production", "candidate", "difference"}], "words"}; see `pipelines.trials`.
        """
        seen, values = loras.seen_by(who)
        only, more = ("", []) if person is None else (" AND jobs.person = ?", [person])
        span = [period.first.isoformat(), f"{period.last.isoformat()}T:"]
        return self._compared(f"lora_trial_jobs.created BETWEEN ? AND ? AND {seen}{only}", [*span, *values, *more])

    # How it is done.

    def _trial(self, name: str) -> tuple[int, dict[str, int], float] | None:
        """Of a LoRA that is on trial: its id, where its aliases stand, and the share; both versions usable and for the same model."""
        row = self._store.db.execute(
            "SELECT lora_trials.*, loras.name FROM lora_trials JOIN loras ON loras.id = lora_id WHERE name = ?", [name]
        ).fetchone()
        if row is None:
            return None
        stand = loras.aliases(self._store, [row["lora_id"]])[row["lora_id"]]
        if not {"production", "candidate"} <= stand.keys():
            return None
        versions = {one["number"]: one["card"] for one in loras.version_rows(self._store, [row["lora_id"]])[row["lora_id"]]}
        cards = [versions.get(stand[alias]) for alias in ("production", "candidate")]
        return (row["lora_id"], stand, row["share"]) if cards[0] is not None and cards[0] == cards[1] else None

    def _note(self, db: sqlite3.Connection, job: int, drawn: _Drawn) -> None:
        """Which of them the request wears: what was only looked at on the way is no trial."""
        worn = {
            (row["name"], row["version"]) for row in db.execute(
                "SELECT json_extract(one.value, '$.name') AS name, json_extract(one.value, '$.version') AS version"
                " FROM jobs, json_each(jobs.request, '$.loras') AS one WHERE jobs.id = ?", [job])
        }  # fmt: skip
        for name, (lora, chosen, production, candidate, share) in drawn.said.items():
            number = candidate if chosen == "candidate" else production
            if (name, number) in worn:
                values = [job, lora, chosen, number, production, candidate, share, now()]
                db.execute("INSERT INTO lora_trial_jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _compared(self, condition: str, values: list[Any]) -> list[Json]:
        rows = self._store.db.execute(
            f"""SELECT loras.name, loras.title, lora_trial_jobs.production, lora_trial_jobs.candidate, lora_trial_jobs.arm, jobs.id AS job,
            max(lora_trial_jobs.created) AS last, count(images.id) AS judged,
            sum(images.verdict IN ('kept', 'spare')) AS passed,
            sum(images.kept_by_person IS 1 OR coalesce(images.rating, 0) > 0 OR EXISTS (SELECT 1 FROM signals
                WHERE signals.image_id = images.id AND signals.kind IN ('pick', 'star', 'download', 'keep-anyway'))) AS picked,
            sum(CASE images.kept_by_person WHEN 1 THEN 1 WHEN 0 THEN 0 ELSE images.verdict IS 'kept' END) AS kept
            FROM lora_trial_jobs JOIN jobs ON jobs.id = lora_trial_jobs.job_id JOIN loras ON loras.id = lora_trial_jobs.lora_id
            LEFT JOIN images ON images.job_id = jobs.id AND images.state = 'drawn' AND images.stage = 'final' AND images.verdict IS NOT NULL
            WHERE {condition} GROUP BY lora_trial_jobs.lora_id, production, candidate, arm, jobs.id ORDER BY jobs.id DESC""", values
        ).fetchall()  # fmt: skip
        pairs: dict[tuple[str, int, int], list[sqlite3.Row]] = {}
        for row in rows:
            pairs.setdefault((row["name"], row["production"], row["candidate"]), []).append(row)
        return [self._pair(some) for some in pairs.values()]

    def _pair(self, rows: list[sqlite3.Row]) -> Json:
        first = rows[0]
        arms = {name: [row for row in rows if row["arm"] == name and row["judged"]] for name in ("production", "candidate")}
        measures = []
        for name in MEASURES:
            shares = {one: arm([(row[name], row["judged"]) for row in some]) for one, some in arms.items()}
            measures.append({"name": name, **shares, "difference": difference(shares["candidate"], shares["production"])})
        requests = len(arms["production"]), len(arms["candidate"])
        words = told(measures, requests, f"v{first['production']}", f"v{first['candidate']}")
        return {
            "lora": first["name"], "title": first["title"], "production": first["production"], "candidate": first["candidate"],
            "requests": list(requests), "measures": measures, "words": words,
        }  # fmt: skip
