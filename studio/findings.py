"""What experiments show: the primary outcome, which decides, and all else that was measured of the pairs, which is told beside it."""
from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from models.errors import NotFound
from models.scorers.catalogue import load_scorers
from pipelines.experiments import PASSES, Choice, Design, Difference, Finding, Outcome, Pair, difference, difference_of, outcome_of, told
from studio.experimenting import Experimenter, measured
from studio.review import title_of
from studio.spreadsheet import harmless
from studio.store import experiments
from studio.store.experiments import Drawn
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

PAGE = 60  # pairs of a contact sheet's page


class Findings:
    """Rows of experiments as people see them."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._maker: Experimenter = studio.experimenter
        self._dimensions = load_scorers()

    def line(self, row: sqlite3.Row, who: Who) -> Json:
        design = self._maker.design(row)
        same = ("id", "title", "state", "finding", "version", "person", "shared", "created", "started", "ended")
        line = {name: row[name] for name in same} | {
            "mine": row["person"] == who.name, "planned": design.pairs + row["more"], "counted": 0, "text": "",
            "sides": [side.title for side in design.sides], "outcome": _outcome_words(design.outcome),
        }  # fmt: skip
        if row["state"] == "draft":
            return line
        drawn, counted = self._maker.pairs(row, design)
        finding = self._maker.finding(row, design, drawn, counted)
        return line | {"counted": finding.primary.n, "text": self._text(row, design, finding)}

    def _text(self, row: sqlite3.Row, design: Design, finding: Finding) -> str:
        if row["finding"] == "stopped" and finding.which == "open":
            return f"Stopped after {finding.primary.n} pairs; not decided."
        return told(finding, design, lambda size: sized(design.outcome, self._unit(design.outcome), size))

    def _unit(self, outcome: Outcome) -> str:
        return self._dimensions.dimension(outcome.dimension).unit if outcome.dimension else ""

    def result(self, row: sqlite3.Row) -> Json:
        """Everything that the pairs show by now. The primary outcome decides; the rest is told beside it, and decides nothing."""
        design = self._maker.design(row)
        drawn, counted = self._maker.pairs(row, design)
        finding = self._maker.finding(row, design, drawn, counted)
        votes = experiments.votes(self._store, row["id"])
        seen = measured(drawn, votes)
        passes = [difference_of(pair, PASSES) or 0.0 for pair in seen]
        # What was asked for after the last one that counts was not needed any more once the experiment had ended.
        last = max((pair.number for pair in counted), default=0) if row["state"] == "ended" else len(drawn) + 1
        said = [vote for choices in votes.values() for vote in choices]
        return {
            "which": finding.which,
            "text": self._text(row, design, finding),
            "at": finding.at,
            "counted": finding.primary.n,
            "planned": design.pairs + row["more"],
            "drawn": sum(one.seen is not None for one in drawn),
            "under_way": 0 if row["state"] == "ended" else sum(one.seen is None for one in drawn),
            "left_out": [{"pair": one.number, "why": one.why} for one in drawn if one.why and one.number < last]
            + [{"pair": number, "why": "The outcome could not be measured."} for number in finding.unused],
            "primary": _told(finding.primary) | {"unit": self._unit(design.outcome), "outcome": _outcome_words(design.outcome)},
            "course": [list(point) for point in finding.course],
            "passes": {
                "a": sum(pair.a.passed for pair in seen), "b": sum(pair.b.passed for pair in seen), "n": len(seen),
                "both": sum(pair.a.passed and pair.b.passed for pair in seen),
            } | {"difference": _told(difference(passes, 1.0, design.pairs))},
            "dimensions": self._dimension_rows(seen, design),
            "votes": {"a": said.count("a"), "b": said.count("b"), "tie": said.count("tie"), "wanted": design.votes},
            "seconds": {arm: _mean([one.seconds for one in (getattr(pair, arm) for pair in seen) if one.seconds is not None])
                        for arm in ("a", "b")},
        }  # fmt: skip

    def _dimension_rows(self, seen: Sequence[Pair], design: Design) -> list[Json]:
        rows = []
        names = dict.fromkeys(name for pair in seen for name in (*pair.a.values, *pair.b.values))
        for name in names:
            try:
                dimension = self._dimensions.dimension(name)
            except NotFound:  # an older version measured it
                continue
            outcome = outcome_of(dimension, name)
            both = [pair for pair in seen if name in pair.a.values and name in pair.b.values]
            if not both:
                continue
            a, b = (_mean([getattr(pair, arm).values[name] for pair in both]) for arm in ("a", "b"))
            values = [value for value in (difference_of(pair, outcome) for pair in both) if value is not None]
            rows.append(
                {"name": name, "title": title_of(name), "unit": dimension.unit, "better": dimension.better, "a": a, "b": b}
                | _told(difference(values, outcome.reach, design.pairs)) | {"primary": name == design.outcome.dimension}
            )  # fmt: skip
        return rows

    def pairs(self, row: sqlite3.Row, after: int = 0) -> Json:
        """A page of the paired contact sheet: what was measured of either picture, in the order of the pairs."""
        design = self._maker.design(row)
        drawn = [one for one in experiments.pairs(self._store, row["id"]) if one.number > after]
        votes = experiments.votes(self._store, row["id"])
        page = drawn[:PAGE]
        return {
            "pairs": [self._pair(one, design, votes.get(one.number, [])) for one in page],
            "next": page[-1].number if len(drawn) > PAGE else None,
        }

    def table(self, row: sqlite3.Row) -> str:
        """Every pair as a line of CSV."""
        design = self._maker.design(row)
        drawn, votes = experiments.pairs(self._store, row["id"]), experiments.votes(self._store, row["id"])
        names = sorted({name for one in drawn if one.seen and not one.why for arm in "ab" for name in one.seen[arm]["values"]})
        file = io.StringIO()
        lines = csv.writer(file)
        of_arm = ["image", "passed", "seconds", *names]
        lines.writerow(["pair", "row", "seed", "left out", *(f"{arm}: {name}" for arm in "AB" for name in of_arm), "votes"])
        for one in drawn:
            cells: list[object] = [one.number, harmless(json.dumps(design.rows[one.row], ensure_ascii=False)), one.seed, harmless(one.why)]
            for arm in "ab":
                seen = one.seen[arm] if one.seen and not one.why else None
                cells += [seen["image"], int(seen["passed"]), seen["seconds"]] if seen else ["", "", ""]
                cells += [seen["values"].get(name, "") if seen else "" for name in names]
            lines.writerow([*cells, " ".join(votes.get(one.number, []))])
        return file.getvalue()

    def _pair(self, one: Drawn, design: Design, votes: Sequence[Choice]) -> Json:
        view: Json = {"number": one.number, "row": one.row, "values": dict(design.rows[one.row]), "seed": one.seed, "why": one.why}
        view |= {"jobs": [one.job_a, one.job_b], "votes": list(votes), "a": None, "b": None, "difference": None}
        if one.seen is None or one.why:
            return view
        (pair,) = experiments.compared([one], {one.number: votes})
        view["difference"] = difference_of(pair, design.outcome)
        for arm in ("a", "b"):
            seen = one.seen[arm]
            here = self._store.db.execute("SELECT 1 FROM images WHERE id = ? AND trashed IS NULL", [seen["image"]]).fetchone()
            urls = {"url": f"/image/{seen['image']}.png", "thumb": f"/thumb/{seen['image']}.webp"} if here else {"url": None, "thumb": None}
            view[arm] = seen | urls
        return view


def sized(outcome: Outcome, unit: str, size: float) -> str:
    """A difference in words: "12 points", "3.4 dE"."""
    if outcome.kind == "passes":
        size, unit = 100 * size, "points"
    digits = f"{size:.0f}" if abs(size) >= 10 else f"{size:.1f}"
    return f"{digits} {'points' if unit in ('', '%') else unit}"


def _outcome_words(outcome: Outcome) -> Json:
    title = {"passes": "Passes the profile", "preference": "What people prefer"}.get(outcome.kind) or title_of(outcome.dimension)
    return {"kind": outcome.kind, "dimension": outcome.dimension, "title": title, "reach": outcome.reach, "better": outcome.better}


def _told(found: Difference) -> Json:
    return asdict(found) | {"wins": list(found.wins)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
