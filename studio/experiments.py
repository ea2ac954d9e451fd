"""The experiments of a studio: designs by version until they start, and then what they show."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import BadInput, NotFound, StudioError
from models.scorers.catalogue import load_scorers
from pipelines.confidence import findable
from pipelines.experiments import MOST_PAIRS, Arm, Design, outcome_of
from pipelines.fields import text, whole
from pipelines.origin import read_template
from pipelines.request import Request
from studio.experimenting import Experimenter, share
from studio.findings import Findings
from studio.history import read_shared
from studio.review import title_of
from studio.safety import take_confirmed
from studio.store import experiments
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who
from studio.store.timings import timing
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

NOTE_LIMIT = 200
RECENT = 2000  # values that the spread of a dimension is taken from
FEWEST = 20
# Standard deviations of a paired difference where nothing better is known: every fifth pair differs; one vote in five is a tie.
SPREAD = {"passes": 0.45, "preference": 0.9}


class Experiments:
    """What the routes call. All take who asks; all raise NotFound for experiments that they may not see, or may not change."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._maker: Experimenter = studio.experimenter
        self._findings = Findings(studio)
        self._dimensions = load_scorers()

    # What there is.

    def overview(self, who: Who) -> Json:
        """Every experiment that they may see, newest first; and what may decide one."""
        measured = [
            {"name": one.name, "title": one.title, "unit": one.unit, "better": one.better, "about": one.about, "argument": one.argument}
            | {"reach": outcome_of(one, one.name).reach, "generic": self._dimensions.scorers[one.scorer].generic}
            for one in self._dimensions.by_name.values()
        ]
        return {"experiments": [self._findings.line(row, who) for row in experiments.listed(self._store, who)], "dimensions": measured}

    def view(self, experiment: int, who: Who, version: int | None = None) -> Json:
        """One experiment: its design (of `version` where one is named) and what it shows by now."""
        row = experiments.row_of(self._store, experiment, who)
        data = experiments.design_json(self._store, experiment, row["version"] if version is None else version)
        line = self._findings.line(row, who) | {
            "design": data,
            "versions": [dict(one) for one in experiments.versions(self._store, experiment)],
            "error": json.loads(row["error"]) if row["error"] else None,
        }
        return line | {"result": None if row["state"] == "draft" else self._findings.result(row)}

    def pairs(self, experiment: int, who: Who, after: int = 0) -> Json:
        """A page of the paired contact sheet: what was measured of either picture, in the order of the pairs."""
        return self._findings.pairs(experiments.row_of(self._store, experiment, who), after)

    def table(self, experiment: int, who: Who) -> str:
        """Every pair as a line of CSV."""
        return self._findings.table(experiments.row_of(self._store, experiment, who))

    # Designs.

    def tried(self, data: object, who: Who) -> Json:
        """As `plan`, with `wrong` for a design that cannot be drawn."""
        try:
            return self.plan(data, who) | {"wrong": None}
        except StudioError as error:
            return {"wrong": error.as_dict()}

    def plan(self, data: object, who: Who) -> Json:
        """What a design would cost and could find. Raises StudioError for one that cannot be drawn."""
        design = self._maker.read(data)
        requests = self._check(design, who)
        seconds = [self._seconds(request, who) for request in requests]
        known = [one for one in seconds if one is not None]
        pictures = 2 * design.pairs
        return {
            "pairs": design.pairs,
            "pictures": pictures,
            "rows": len(design.rows),
            "seconds": round(sum(known) / len(known) * pictures, 1) if known and len(known) == len(seconds) else None,
            "findable": self._findable(design),
            "prompts": [request.prompt for request in requests[:2]],
            "changes": _changes(requests[0], requests[1]),
        }

    def changes(self, experiment: int, old: int, new: int, who: Who) -> list[Json]:
        """What differs between two versions of a design, by key in the order of the newer one."""
        experiments.row_of(self._store, experiment, who)
        was, now = (_flat(experiments.design_json(self._store, experiment, version)) for version in (old, new))
        keys = [*now, *(key for key in was if key not in now)]
        return [{"key": key, "old": was.get(key), "new": now.get(key)} for key in keys if was.get(key) != now.get(key)]

    def restore_version(self, experiment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"version", "note"}: a draft's next version, which says what an earlier one said."""
        version = whole(data, "version", 1, LARGEST_ID, None)
        if version is None:
            raise BadInput("version", "The version to restore is missing.")
        row = experiments.row_of(self._store, experiment, who, own=True)
        design = experiments.design_json(self._store, experiment, version)
        note = text(data, "note", NOTE_LIMIT) or f"Restored version {version}"
        return self.save(experiment, {"design": design, "note": note, "base": row["version"]}, who)

    def save(self, experiment: int | None, data: Mapping[Any, Any], who: Who) -> Json:
        """{"design", "note", "base"}: a new experiment, or the next version of a draft. base: the version it was made from.

        What says the same as the newest version, and brings no note, is no version of its own.
        """
        design = self._maker.read(self._pinned(data.get("design")), self._new_seed())
        note, base = text(data, "note", NOTE_LIMIT), whole(data, "base", 0, LARGEST_ID, None)
        if experiment is None:
            with self._store.write() as db:
                experiment = experiments.add(db, design.to_dict(), who, note or "First design")
        else:
            with self._store.write() as db:
                row = experiments.row_of(self._store, experiment, who, own=True)
                if row["state"] != "draft":
                    raise NotNow("This experiment has begun.", "What decides is chosen beforehand.", "Make a copy and change that.")
                if base is not None and base != row["version"]:
                    what = f"This experiment is at version {row['version']} by now; you started from {base}."
                    raise NotNow(what, "Somebody has saved it meanwhile.", "Look at what they changed, and make your change again.")
                if note or design.to_dict() != experiments.design_json(self._store, experiment, row["version"]):
                    experiments.save(db, experiment, design.to_dict(), who, note)
        return self._changed(experiment, who)

    def duplicate(self, experiment: int, who: Who) -> Json:
        """A draft of one's own with the same design and fresh seeds: the same ones would only show the same pictures again."""
        row = experiments.row_of(self._store, experiment, who)
        data = experiments.design_json(self._store, experiment, row["version"])
        data |= {"seed": self._new_seed(), "title": f"{data['title'][:70]} (copy)"}
        with self._store.write() as db:
            made = experiments.add(db, data, who, f"Copy of experiment {experiment}")
        return self._changed(made, who)

    # Running.

    def start(self, experiment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Begins a draft, or goes on with one that is paused. "safety": "confirmed" draws what safety asks about."""
        confirmed, _ = take_confirmed(data)
        row = experiments.row_of(self._store, experiment, who, own=True)
        design = self._maker.design(row)
        if row["state"] == "draft":
            requests = self._check(design, who)
            for request in {one.prompt: one for one in requests}.values():
                self._studio.safety.check(request.prompt, request.texts, who, confirmed)
        with self._store.write() as db:
            changed = db.execute(
                "UPDATE experiments SET state = 'running', error = NULL, confirmed = max(confirmed, ?),"
                " started = coalesce(started, strftime('%Y-%m-%dT%H:%M:%fZ')) WHERE id = ? AND state IN ('draft', 'paused')",
                [confirmed, experiment],
            ).rowcount
        if not changed:
            raise NotNow("This experiment cannot be started.", f"It {'is running already' if row['state'] == 'running' else 'has ended'}.")
        self._maker.advance(experiment, again=True)
        return self._changed(experiment, who)

    def pause(self, experiment: int, who: Who) -> Json:
        """Asks for no more pairs; those under way are drawn."""
        self._move(experiment, who, "paused", ("running",))
        return self._changed(experiment, who)

    def stop(self, experiment: int, who: Who) -> Json:
        """Ends an experiment before anything was found."""
        self._move(experiment, who, "paused", ("running", "paused"))
        self._maker.end(experiment, "stopped")
        return self._changed(experiment, who)

    def extend(self, experiment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"pairs"}: more pairs for one in which nothing was found. Its intervals stay what they are, so this is no second try."""
        row = experiments.row_of(self._store, experiment, who, own=True)
        more = whole(data, "pairs", 1, MOST_PAIRS, 0)
        if not more:
            raise BadInput("pairs", "How many more pairs is missing.")
        if row["state"] != "ended" or row["finding"] not in ("none", "stopped"):
            raise NotNow("This experiment takes no more pairs.", "It has not ended, or it has its answer.")
        total = self._maker.design(row).pairs + row["more"] + more
        if total > MOST_PAIRS:
            raise BadInput("pairs", f"An experiment has at most {MOST_PAIRS} pairs; these would be {total}.")
        with self._store.write() as db:
            db.execute(
                "UPDATE experiments SET state = 'running', more = more + ?, finding = NULL, ended = NULL WHERE id = ?", [more, experiment]
            )
        self._maker.advance(experiment)
        return self._changed(experiment, who)

    def remove(self, experiment: int, who: Who) -> Json:
        """Takes it off the list. Its pictures stay in the history."""
        row = experiments.row_of(self._store, experiment, who, own=True)
        if row["state"] in ("running", "paused"):
            raise NotNow("This experiment is under way.", "", "Stop it first.")
        with self._store.write() as db:
            db.execute("UPDATE experiments SET removed = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE id = ?", [experiment])
        return self.overview(who)

    def restore(self, experiment: int, who: Who) -> Json:
        """Puts one that was removed back on the list."""
        with self._store.write() as db:
            db.execute("UPDATE experiments SET removed = NULL WHERE id = ? AND person = ?", [experiment, who.name])
        return self._changed(experiment, who)

    def share(self, experiment: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"with"}: who else may see it and its pictures, and vote."""
        experiments.row_of(self._store, experiment, who, own=True)
        shared = read_shared(data, who, "with")
        with self._store.write() as db:
            db.execute("UPDATE experiments SET shared = ? WHERE id = ?", [shared, experiment])
            share(db, experiments.all_jobs(db, experiment), shared)
        return self._changed(experiment, who)

    # How it is done.

    def _new_seed(self) -> int:
        return int(np.random.default_rng().integers(2**31))

    def _pinned(self, data: Any) -> Any:
        """A design in which every template says its version: what is compared must not change while it is drawn. Raises BadInput."""
        if not isinstance(data, Mapping):
            return data
        sides, rows = data.get("sides"), data.get("rows")
        pinned = {**data, "base": self._with_version(data.get("base"))}
        if isinstance(rows, list):
            pinned["rows"] = [self._with_version(row) for row in rows]
        if isinstance(sides, list):
            pinned["sides"] = [
                {**side, "fields": self._with_version(side.get("fields"))} if isinstance(side, Mapping) else side for side in sides
            ]
        return pinned

    def _with_version(self, fields: Any) -> Any:
        template = read_template(fields) if isinstance(fields, Mapping) else None
        if template is None or template["version"] is not None:
            return fields
        try:
            return {**fields, "template": {"name": template["name"], "version": self._studio.templates.version(str(template["name"]))}}
        except NotFound as error:
            raise BadInput("template", error.what, error.why, error.todo) from error

    def _changed(self, experiment: int, who: Who) -> Json:
        self._maker.tell(experiment)
        return self.view(experiment, who)

    def _move(self, experiment: int, who: Who, to: str, states: Sequence[str]) -> None:
        row = experiments.row_of(self._store, experiment, who, own=True)
        marks = ", ".join("?" * len(states))
        with self._store.write() as db:
            moved = db.execute(
                f"UPDATE experiments SET state = ? WHERE id = ? AND state IN ({marks})", [to, experiment, *states]
            ).rowcount
        if not moved:
            why = "It has ended." if row["state"] == "ended" else "It is not running."
            raise NotNow("This experiment cannot be paused or stopped.", why)

    def _check(self, design: Design, who: Who) -> list[Request]:
        """The requests of all rows, A and B in turn. Raises BadInput that says whose."""
        if design.profile not in self._studio.profiles.names():
            raise BadInput("profile", f'There is no quality profile "{design.profile}".', todo="The Quality tab lists those there are.")
        for name, fields in (("base", design.base), *zip(("sides.a", "sides.b"), (side.fields for side in design.sides), strict=True),
                             *((f"rows.{place}", row) for place, row in enumerate(design.rows))):  # fmt: skip
            if fields.get("where", "local") != "local":
                why = "A provider draws other noise from a seed, so A and B would differ by more than what is compared."
                raise BadInput(f"{name}.where", "An experiment is drawn on this machine.", why, "Leave it out.")
        requests = [self._request(design, arm, row, who) for row in range(len(design.rows)) for arm in ("a", "b")]
        if all(_same(a, b) for a, b in zip(requests[::2], requests[1::2], strict=True)):
            why = "With these settings both draw the very same pictures."
            raise BadInput("sides", "A and B are the same.", why, "Change something in one of them.")
        self._measurable(design)
        return requests

    def _request(self, design: Design, arm: Arm, row: int, who: Who) -> Request:
        try:
            request = self._studio.read(self._maker.fields(design, arm, row, [design.seed]), who)
            self._studio.plan(request, who)
        except BadInput as error:
            side = design.sides[arm == "b"]
            where = f"rows.{row}" if error.field in design.rows[row] else f"sides.{arm}" if error.field in side.fields else "base"
            error.field = f"{where}.{error.field}"
            raise
        return request

    def _measurable(self, design: Design) -> None:
        name = design.outcome.dimension
        if not name:
            return
        generic = self._dimensions.scorers[self._dimensions.dimension(name).scorer].generic
        profile = self._studio.profiles.current(design.profile)
        if not generic and name not in profile.asked():
            why = f"The profile {profile.title} does not ask for it."
            raise BadInput("outcome.dimension", f"{title_of(name)} would not be measured.", why, "Choose a profile that does.")

    def _seconds(self, request: Request, who: Who) -> float | None:
        """Of one picture, scoring included; None where nothing like it was timed here."""
        draft = self._studio.plan(request, who).first(request.seeds)[0]
        words = self._studio.device()["device"]["words"]
        return timing(self._store, words, draft.card, draft.spec.width, draft.spec.height).of_draft(1, draft.spec.steps)

    def _findable(self, design: Design) -> Json:
        """The difference that the planned pairs find about four times in five, in the outcome's units. known: from this studio's values."""
        outcome = design.outcome
        spread, known = SPREAD.get(outcome.kind, SPREAD["preference"]), False
        if outcome.reach and outcome.kind == "dimension":
            rows = self._store.db.execute(
                "SELECT value FROM scores WHERE dimension = ? AND value IS NOT NULL ORDER BY id DESC LIMIT ?", [outcome.dimension, RECENT]
            ).fetchall()
            known = len(rows) >= FEWEST
            # Pairs share value and seed; where half of the spread is theirs, a difference spreads as much as a value.
            spread = min(1.0, float(np.std([row["value"] for row in rows])) / outcome.reach) if known else 0.25
        return {"size": findable(spread, design.pairs) * (outcome.reach or 1.0), "known": known}


def _same(a: Request, b: Request) -> bool:
    return _drawn_by(a) == _drawn_by(b)


def _drawn_by(request: Request) -> Json:
    """What of a request has to do with what is drawn and how it is judged."""
    return {name: value for name, value in request.to_dict().items() if name not in ("note", "template", "values", "brand", "source")}


def _flat(data: Any, name: str = "") -> dict[str, str]:
    """A design by dotted keys, empty ones left out: "sides.a.fields.steps": "4", "rows.2.prompt": "a blue vase"."""
    if isinstance(data, Mapping):
        if set(data) == {"name", "version"}:  # a template
            return {name: f"{data['name']}, version {data['version']}"}
        return {key: words for part, inner in data.items() for key, words in _flat(inner, f"{name}.{part}" if name else str(part)).items()}
    if isinstance(data, list) and any(isinstance(one, Mapping) for one in data):
        marks = "ab" if name == "sides" else range(1, len(data) + 1)
        return {key: words for mark, inner in zip(marks, data, strict=True) for key, words in _flat(inner, f"{name}.{mark}").items()}
    words = ", ".join(map(str, data)) if isinstance(data, list) else f"{data:g}" if isinstance(data, float) else str(data)
    return {name: words} if data not in (None, "", []) else {}


def _changes(a: Request, b: Request) -> list[Json]:
    """What sets the two apart, in the first row."""
    one, other = _drawn_by(a), _drawn_by(b)
    return [{"field": name, "a": one[name], "b": other[name]} for name in one if one[name] != other[name]]
