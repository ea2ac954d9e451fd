"""Failure modes of a studio's own pictures: which words, values and templates go with which rejections; see `pipelines.failures`."""
from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pipelines.failures import ANY, FEWEST_PICTURES, FEWEST_PROMPTS, Asked, Mode, Side, find_modes
from studio.insights import Insights, Pairs
from studio.store.insights import Slice
from studio.store.people import Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

SHOWN = 60
PERSON = "person"  # the outcome "a person rejected it"
TITLES = {ANY: "Any reason", PERSON: "A person said no"}


class Failures:
    """What GET /api/failures calls. `pairs` are the parameters of the address, as those of the insights."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._insights = Insights(studio)

    def view(self, pairs: Pairs, who: Who) -> Json:
        """What stands out. outcome: a dimension, "any", "person", or nothing for all of them. Raises BadInput, NotYours."""
        asked = self._insights.asked(pairs, who)
        outcome = asked.take("outcome", "")
        asked.none_left()
        requests = self._requests(asked.slice())
        seen = sorted({name for one in requests for name, count in one.rejected.items() if count})
        outcomes = [ANY if outcome == "any" else outcome] if outcome else seen
        found = find_modes(requests, outcomes)
        return {
            "modes": [self._mode(mode) for mode in found.modes[:SHOWN]],
            "left_out": max(0, len(found.modes) - SHOWN),
            "looked": found.looked,
            "thin": found.thin,
            "outcomes": [{"name": name or "any", "title": self._outcome(name)} for name in seen],
            "requests": len(requests),
            "judged": sum(one.judged for one in requests),
            "fewest": {"prompts": FEWEST_PROMPTS, "pictures": FEWEST_PICTURES},
            "period": {"first": asked.period.first.isoformat(), "last": asked.period.last.isoformat()},
            "person": asked.person,
            "card": asked.card,
        }

    def _requests(self, part: Slice) -> list[Asked]:
        """The judged pictures of a slice, counted by their jobs."""
        where, values = part.moments("images.drawn", "images.")
        judged = f"images.state = 'drawn' AND images.verdict IS NOT NULL AND {where}"
        counts: dict[int, tuple[int, dict[str, int]]] = {}
        for row in self._store.db.execute(
            "SELECT job_id, count(*) AS judged, sum(verdict = 'rejected') AS rejected, sum(kept_by_person IS 0) AS person"
            f" FROM images WHERE {judged} GROUP BY job_id",
            values,
        ):
            counts[row["job_id"]] = (row["judged"], {ANY: row["rejected"], PERSON: row["person"]})
        for row in self._store.db.execute(
            "SELECT images.job_id AS job_id, scores.dimension AS dimension, count(DISTINCT images.id) AS n"
            " FROM scores INDEXED BY scores_failing CROSS JOIN images ON images.id = scores.image_id"
            f" WHERE scores.hard IS 1 AND scores.passed IS 0 AND {judged} GROUP BY 1, 2",
            values,
        ):
            counts[row["job_id"]][1][row["dimension"]] = row["n"]
        found = []
        columns = "id, prompt, json_extract(request, '$.template.name') AS template, json_extract(request, '$.values') AS filled"
        for row in self._store.db.execute(f"SELECT {columns} FROM jobs"):
            if row["id"] in counts:
                judged_here, rejected = counts[row["id"]]
                filled = json.loads(row["filled"]) if row["filled"] else {}
                found.append(Asked(row["prompt"], judged_here, rejected, row["template"] or "", filled if isinstance(filled, dict) else {}))
        return found

    def _mode(self, mode: Mode) -> Json:
        return {
            "outcome": mode.outcome or "any",
            "outcome_title": self._outcome(mode.outcome),
            "features": [{"kind": kind, "name": name} for kind, name in mode.features],
            "having": _side(mode.having),
            "others": _side(mode.others),
            "lift": _figure(mode.lift),
            "low": _figure(mode.low),
            "high": _figure(mode.high),
        }

    def _outcome(self, name: str) -> str:
        return TITLES.get(name) or self._insights.named(name)["title"]


def _side(side: Side) -> Json:
    return {"prompts": side.prompts, "judged": side.judged, "rejected": side.rejected, "share": round(side.share, 4)}


def _figure(value: float) -> float | None:
    """Three digits that say something; None for what is infinite."""
    return float(f"{value:.3g}") if math.isfinite(value) else None
