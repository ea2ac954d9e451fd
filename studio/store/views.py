"""Rows as the JSON that the page and the HTTP door show."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from models.scorers.catalogue import Dimensions, load_scorers
from studio.store import boards, comments, costs, images, loras, posts
from studio.store.db import Store
from studio.store.people import Who
from studio.store.pins import pinned
from studio.store.scores import Percentiles

Json = dict[str, Any]

# What became of a job's pictures. Without a ladder there are no drafts apart from the finals: all of them were drafted.
_COUNTS = """SELECT count(*) FILTER (WHERE state = 'drawn') AS done,
    count(*) FILTER (WHERE state = 'drawn' AND (stage = 'draft' OR NOT ladder)) AS drafted,
    count(*) FILTER (WHERE state = 'drawn' AND images.shown = 'rejected') AS rejected,
    count(*) FILTER (WHERE state = 'drawn' AND stage = 'final' AND ladder) AS finished,
    count(*) FILTER (WHERE stage = 'final' AND verdict IN ('kept', 'spare')) AS passed,
    count(*) FILTER (WHERE stage = 'final' AND images.shown = 'kept') AS kept,
    count(*) FILTER (WHERE stage = 'final' AND verdict = 'kept') AS delivered
FROM images, (SELECT ladder FROM jobs WHERE id = ?1) WHERE job_id = ?1"""


def job_view(store: Store, row: sqlite3.Row) -> Json:
    """A job without its pictures. `step`, `steps` and `eta` are of the batch being drawn; who knows them better fills them in."""
    counts = store.db.execute(_COUNTS, [row["id"]]).fetchone()
    outcome = json.loads(row["outcome"])["text"] if row["outcome"] else ""
    request = json.loads(row["request"])
    cost = costs.of_job(store, row["id"])
    names = ("id", "state", "prompt", "tier", "family", "card", "created", "started", "finished", "draft", "keep", "parent",
             "person", "shared", "priority", "not_before", "profile", "round", "rounds")  # fmt: skip
    return {name: row[name] for name in names} | {
        "profile_version": row["profile_version"] if "profile_version" in row.keys() else 0,  # noqa: SIM118 - a Row has no `in`
        "request": request,
        "template": row["template"],
        "template_version": row["template_version"],
        "brand": request.get("brand"),
        "loras": [loras.words(one["name"], one.get("version")) for one in request.get("loras") or ()],
        "error": json.loads(row["error"]) if row["error"] else None,
        "cached": row["served"] > 0,
        "served": row["served"],
        "done": counts["done"],
        "ladder": bool(row["ladder"]),
        "passed": counts["delivered"],
        "outcome": outcome,
        "funnel": {name: counts[name] for name in ("drafted", "rejected", "finished", "passed", "kept")},
        "paused": bool(row["paused"]),
        "where": request.get("where", "local"),
        "route": row["where_words"],
        "position": None,
        "step": 0,
        "steps": row["steps"],
        "eta": None,
        "cost_micro": cost.cost_micro if cost else None,  # what providers were paid, or hold
        "expected_micro": cost.expected_micro if cost else None,
    }


def image_views(store: Store, rows: Sequence[sqlite3.Row], percentiles: Percentiles, who: Who | None = None) -> list[Json]:
    """Pictures with their scores, verdicts, descent and what people added, in the order of `rows`.

    who: whose boards are told, and whose pictures are "mine"; None: nobody's.
    """
    ids = [row["id"] for row in rows]
    scores, made_from, finals = images.scores_of(store, ids), images.children(store, ids, who), images.finals_of(store, ids)
    placed = boards.boards_of(store, ids, who) if who is not None else {}
    in_library, said, processed = pinned(store, ids), comments.counts(store, ids), posts.posts_of(store, ids)
    worn, cost = loras.worn(store, {row["job_id"] for row in rows}), costs.of_pictures(store, rows)
    return [
        _image_view(row, scores[row["id"]], made_from[row["id"]], percentiles)
        | {"finished": finals.get(row["id"]), "loras": worn.get(row["job_id"], []), "cost_micro": cost[row["id"]]}
        | {"boards": placed.get(row["id"], []), "mine": who is not None and row["person"] == who.name, "pinned": row["id"] in in_library}
        | {"comments": said.get(row["id"], 0), "processed": posts.post_view(row["id"], processed.get(row["id"]))}
        for row in rows
    ]


def _image_view(row: sqlite3.Row, scores: list[sqlite3.Row], made_from: list[int], percentiles: Percentiles) -> Json:
    kept = None if row["kept_by_person"] is None else bool(row["kept_by_person"])
    # A person's word wins over the verdict; the reasons stay, for they are what was overruled.
    verdict = row["verdict"] if kept is None else "kept" if kept else "rejected"
    same = ("number", "seed", "state", "width", "height", "rank", "tier", "card", "prompt", "parent", "steps", "guidance", "seconds",
            "rating", "note", "trashed", "shared", "person", "served_from", "stage", "round", "place")  # fmt: skip
    return {name: row[name] for name in same} | {
        "id": row["id"],
        "job": row["job_id"],
        "url": f"/image/{row['id']}.png",
        "thumb": f"/thumb/{row['id']}.webp",
        "verdict": verdict,
        "reasons": json.loads(row["reasons"] or "[]"),
        "tags": json.loads(row["tags"]),
        "kept_by_person": kept,
        "scores": [_score_view(score, percentiles) for score in scores],
        "created": row["drawn"],
        "children": made_from,
    }


def _score_view(row: sqlite3.Row, percentiles: Percentiles) -> Json:
    known = _dimensions().by_name.get(row["dimension"].partition(":")[0])
    words = {"title": known.title, "unit": known.unit, "better": known.better} if known else _unknown(row)
    return words | {name: row[name] for name in ("dimension", "value", "threshold", "bound", "note", "scorer", "version")} | {
        "passed": None if row["passed"] is None else bool(row["passed"]),
        "hard": bool(row["hard"]),
        "percentile": percentiles.of(row["dimension"], row["scorer"], row["version"], row["card"], row["value"]),
    }


def _unknown(row: sqlite3.Row) -> Json:
    """Of a dimension that this version no longer measures."""
    return {"title": row["dimension"], "unit": "", "better": "lower" if row["bound"] == "<=" else "higher"}


@cache
def _dimensions() -> Dimensions:
    """What ships does not change while the studio runs."""
    return load_scorers()


def lineage_view(rows: Sequence[sqlite3.Row]) -> list[Json]:
    return [{"id": row["id"], "tier": row["tier"], "thumb": f"/thumb/{row['id']}.webp"} for row in rows]
