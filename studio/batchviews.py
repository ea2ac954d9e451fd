"""Batches and their rows as the page and the HTTP door show them."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.batch import Setup, read_off_peak
from pipelines.fields import shown
from studio.batchcheck import label_of
from studio.store import Store, batches, images, views
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
PICTURES_SHOWN = 8


def brief(store: Store, row: sqlite3.Row, counts: Mapping[str, int]) -> Json:
    """A batch without its setup. state: "running", "later" (it waits for its hours), "paused" or "done". eta: seconds, or None."""
    left, open_ = counts["waiting"] + counts["open"], counts["open"]
    hours = read_off_peak(batches.setup_of(store, row["id"])[1])
    waits = hours is not None and not hours.holds(datetime.now().time())
    state = "paused" if row["paused"] else "done" if not left else "later" if waits and not open_ else "running"
    recent = batches.recent_seconds(store, row["id"]) if left else []
    seconds = sum(recent) / len(recent) * left if recent and not row["paused"] else None
    same = ("id", "kind", "title", "created", "why", "person")
    return {name: row[name] for name in same} | {
        "state": state, "counts": dict(counts), "rows": sum(counts.values()), "delivered": batches.delivered(store, row["id"]),
        "eta": seconds, "off_peak": hours.to_dict() if hours else None, "removed": row["removed"] is not None,
    }  # fmt: skip


def row_views(studio: Studio, batch: int, rows: Sequence[sqlite3.Row], who: Who) -> list[Json]:
    """Rows, as `store.batches.rows_of` gives them, with the pictures of their current try."""
    setups: dict[int, Setup] = {}
    found = []
    for row in rows:
        version = row["version"] or 0
        if version not in setups:
            setups[version] = Setup.from_dict(batches.setup_of(studio.store, batch, version or None)[1])
        setup, cells = setups[version], json.loads(row["cells"])
        template = setup.templates[row["place"]].name if setup.templates else ""
        same = ("number", "line", "state", "attempt", "job_id", "delivered", "version", "started", "ended")
        found.append({name: row[name] for name in same} | {
            "cells": cells, "template": template, "label": label_of(setup.label, cells, row["line"]),
            "error": json.loads(row["error"]) if row["error"] else None,
            "winner": None if row["winner"] is None else bool(row["winner"]),
            "results": json.loads(row["results"]) if row["results"] else None, "images": pictures_of(studio, row["job_id"], who),
        })  # fmt: skip
    return found


def pictures_of(studio: Studio, job: int | None, who: Who) -> list[Json]:
    """What a row's job gave that is worth a look: what was kept, else what has to be looked at, else the best of the rest."""
    if job is None:
        return []
    rows = [row for row in images.of_job(studio.store, job, who) if row["state"] == "drawn" and row["trashed"] is None]
    finals = [row for row in rows if row["stage"] == "final"] or rows
    order = {"kept": 0, "review": 1, "spare": 2}
    finals.sort(key=lambda row: (order.get(row["shown"], 3), row["rank"] or 0, row["number"]))
    chosen = [row for row in finals if row["shown"] == "kept"] or finals[:2]
    return views.image_views(studio.store, chosen[:PICTURES_SHOWN], studio.percentiles, who)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What a version of a setup changed, a sentence a place."""
    flat_old, flat_new = _flat(old), _flat(new)
    names = dict.fromkeys([*flat_old, *flat_new])
    return [
        f"{name}: {shown(flat_old.get(name))} → {shown(flat_new.get(name))}" for name in names if flat_old.get(name) != flat_new.get(name)
    ]


def _flat(data: Any, name: str = "") -> dict[str, Any]:
    if isinstance(data, Mapping):
        return {key: value for part, inner in data.items() for key, value in _flat(inner, f"{name}.{part}" if name else str(part)).items()}
    return {name: ", ".join(map(str, data)) if isinstance(data, list) else data}
