"""The figures of the Insights tab, read from what `schema.insights` keeps by day: never from the pictures themselves, however many."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from studio.store.db import Store
from studio.store.schema.insights import FIGURES, MEASURES

FEWEST_SIBLINGS = 4
KINDS = ("card", "tier", "profile", "template", "lora")
PICTURES, REQUESTS = tuple(FIGURES), ("requests", "asked", "delivered", "filled", "partly", "empty")


@dataclass(frozen=True)
class Slice:
    """Which part of the figures. first, last: days "2026-11-21", both included. person: whose pictures, None for everybody's.
    card: of which model, None for all."""

    first: str
    last: str
    person: str | None = None
    card: str | None = None

    def where(self, day: str = "day", table: str = "", card: bool = True) -> tuple[str, list[Any]]:
        """The slice as an SQL condition on columns `day`, `person` and, if wanted, `card`, with its values."""
        conditions, values = [f"{day} BETWEEN ? AND ?"], [self.first, self.last]
        for name, value in (("person", self.person), ("card", self.card if card else None)):
            if value is not None:
                conditions.append(f"{table}{name} = ?")
                values.append(value)
        return " AND ".join(conditions), values

    def moments(self, column: str, table: str, card: bool = True) -> tuple[str, list[Any]]:
        """The same for a table whose rows have moments, as `now` writes them; the text of a day's moments ends before "T:"."""
        where, values = self.where(column, table, card)
        return where, [values[0], f"{values[1]}T:", *values[2:]]


def span(store: Store, person: str | None) -> tuple[str, str] | None:
    """The first and the last day with pictures; None where there are none."""
    where, values = ("", []) if person is None else (" AND person = ?", [person])
    first, last = store.db.execute(f"SELECT min(day), max(day) FROM insights_days WHERE kind = 'all'{where}", values).fetchone()
    return (first, last) if first else None


def cards(store: Store, person: str | None) -> list[sqlite3.Row]:
    """card and pictures drawn with it, ever, the most used first."""
    where, values = ("", []) if person is None else (" AND person = ?", [person])
    return store.db.execute(
        f"SELECT card, sum(drawn) AS drawn FROM insights_days WHERE kind = 'all'{where} GROUP BY card ORDER BY 2 DESC, 1", values
    ).fetchall()


def pictures(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """The PICTURES figures by day."""
    where, values = slice.where()
    sql = f"SELECT day, {_sums(PICTURES)} FROM insights_days WHERE kind = 'all' AND {where} GROUP BY day"
    return store.db.execute(sql, values).fetchall()


def requests(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """The REQUESTS figures by the day that a request was made; of those that were done."""
    where, values = slice.where()
    delivered = "sum(min(kept, asked)) AS delivered, sum(kept >= asked) AS filled, sum(kept BETWEEN 1 AND asked - 1) AS partly"
    return store.db.execute(
        f"SELECT day, count(*) AS requests, sum(asked) AS asked, {delivered}, sum(kept = 0 AND asked > 0) AS empty"
        f" FROM insights_requests WHERE state = 'done' AND {where} GROUP BY day",
        values,
    ).fetchall()


def groups(store: Store, slice: Slice, kind: str) -> list[sqlite3.Row]:
    """The PICTURES figures by what pictures were made with. kind: of KINDS."""
    where, values = slice.where()
    key, stored = _kind(kind)
    return store.db.execute(
        f"SELECT {key} AS key, {_sums(PICTURES)} FROM insights_days WHERE kind = '{stored}' AND {where}"
        " GROUP BY 1 ORDER BY sum(judged) DESC, 1",
        values,
    ).fetchall()


def reasons(store: Store, slice: Slice, kind: str = "") -> list[sqlite3.Row]:
    """key (see `groups`; "" without a kind), dimension, and how many pictures it rejected, the most first."""
    where, values = slice.where()
    key, stored = _kind(kind) if kind else ("''", "all")
    return store.db.execute(
        f"SELECT {key} AS key, dimension, sum(n) AS n FROM insights_reasons WHERE kind = '{stored}' AND {where}"
        " GROUP BY 1, 2 HAVING sum(n) > 0 ORDER BY 3 DESC, 2",
        values,
    ).fetchall()


def dimensions(store: Store, slice: Slice, stage: str | None = "final") -> list[sqlite3.Row]:
    """Each dimension that was measured, with its sums; see `schema.insights.MEASURES`. stage: None for drafts too."""
    where, values = slice.where()
    staged = "" if stage is None else f" AND stage = '{stage}'"
    return store.db.execute(
        f"SELECT dimension, {_sums(MEASURES)}, max(bound) AS bound FROM insights_scores"
        f" WHERE {where}{staged} GROUP BY dimension ORDER BY 1",
        values,
    ).fetchall()


def scores(store: Store, slice: Slice, dimension: str, stage: str = "final") -> list[sqlite3.Row]:
    """The sums of a dimension by day and card, with the threshold asked for that day (NULL where there were several)."""
    where, values = slice.where()
    return store.db.execute(
        f"SELECT day, card, {_sums(MEASURES)}, CASE WHEN min(threshold) = max(threshold) THEN max(threshold) END AS threshold,"
        " max(bound) AS bound, group_concat(DISTINCT version) AS versions"
        f" FROM insights_scores WHERE dimension = ? AND {where} AND stage = ? GROUP BY day, card",
        [dimension, *values, stage],
    ).fetchall()


def verdicts(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """What people said, counted: day, source ('review', 'sheet'), passed (1, 0, or NULL where the studio could not decide), approved,
    n, and worth: how many pictures they stand for when each counts as often as it was unlikely to be asked about; 0 for those that a
    person chose."""
    where, values = slice.moments("verdicts.created", "images.")
    return store.db.execute(
        "SELECT substr(verdicts.created, 1, 10) AS day, source, approved,"
        " CASE WHEN machine IN ('kept', 'spare') THEN 1 WHEN machine = 'rejected' THEN 0 END AS passed, count(*) AS n,"
        " sum(CASE WHEN source = 'review' AND why != 'chosen' THEN 1 / chance ELSE 0 END) AS worth"
        f" FROM verdicts CROSS JOIN images ON images.id = verdicts.image_id WHERE undone IS NULL AND {where} GROUP BY 1, 2, 3, 4",
        values,
    ).fetchall()


def named(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """dimension and n: what people gave as reasons when they did not approve, the most frequent first."""
    where, values = slice.moments("verdicts.created", "images.")
    return store.db.execute(
        "SELECT json_each.value AS dimension, count(*) AS n FROM verdicts CROSS JOIN images ON images.id = verdicts.image_id"
        f" JOIN json_each(verdicts.reasons) WHERE undone IS NULL AND approved = 0 AND {where} GROUP BY 1 ORDER BY 2 DESC, 1",
        values,
    ).fetchall()


def signals(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """kind, n and pictures: what people did; by whose doing, when the slice has a person."""
    where, values = slice.moments("created", "", card=False)
    if slice.card is not None:
        where, values = f"{where} AND image_id IN (SELECT id FROM images WHERE card = ?)", [*values, slice.card]
    return store.db.execute(
        "SELECT kind, count(*) AS n, count(DISTINCT image_id) AS pictures FROM signals"
        f" WHERE {where} GROUP BY kind ORDER BY 2 DESC, 1",
        values,
    ).fetchall()


def places(store: Store, slice: Slice, dimensions: Iterable[str], latest: int = 300) -> list[float]:
    """For the `latest` finished requests with at least FEWEST_SIBLINGS measured candidates: where the first of `dimensions` that they have
    puts those that were chosen (finished, where drafts are finished, else kept by the scores), from 0 (last) to 1 (first). A request
    whose profile ranks by a dimension does not count for it."""
    where, values = slice.where("substr(jobs.created, 1, 10)", "jobs.")
    found = []
    for job in store.db.execute(
        f"SELECT id FROM jobs WHERE state = 'done' AND draft >= ? AND {where} ORDER BY id DESC LIMIT ?", [FEWEST_SIBLINGS, *values, latest]
    ).fetchall():
        for dimension in dimensions:
            if (place := _place(store, job["id"], dimension)) is not None:
                found.append(place)
                break
    return found


def _place(store: Store, job: int, dimension: str) -> float | None:
    """The mean place of what a request chose among the candidates of its first round; None where that says nothing."""
    rows = store.db.execute(
        "SELECT scores.value, EXISTS (SELECT 1 FROM images AS final WHERE final.job_id = images.job_id AND final.parent = images.id)"
        " OR images.verdict = 'kept' AS chosen FROM images JOIN scores ON scores.image_id = images.id AND scores.dimension = ?"
        " WHERE images.job_id = ? AND images.round = 0 AND scores.value IS NOT NULL AND scores.hard IS NULL"
        " AND (images.stage = 'draft'"
        " OR NOT EXISTS (SELECT 1 FROM images AS draft WHERE draft.job_id = images.job_id AND draft.stage = 'draft'))",
        [dimension, job],
    ).fetchall()
    chosen = [row["value"] for row in rows if row["chosen"]]
    if len(rows) < FEWEST_SIBLINGS or not 0 < len(chosen) < len(rows):
        return None
    # Each chosen one against those that were not: the area under the curve, ties counted half.
    others = [row["value"] for row in rows if not row["chosen"]]
    return sum((one > other) + (one == other) / 2 for one in chosen for other in others) / (len(chosen) * len(others))


def incidents(store: Store, slice: Slice) -> list[sqlite3.Row]:
    """day, picture (else of a prompt), kind, rule, action and n. A picture under two rules counts for both; a model's slice has
    pictures alone, for prompts are stopped before there is a model."""
    where, values = slice.moments("incidents.created", "incidents.", card=False)
    if slice.card is not None:
        where, values = f"{where} AND image_id IN (SELECT id FROM images WHERE card = ?)", [*values, slice.card]
    return store.db.execute(
        "SELECT substr(incidents.created, 1, 10) AS day, prompt_hash IS NULL AS picture, kind, rule, action, count(*) AS n"
        f" FROM incidents WHERE {where} GROUP BY 1, 2, 3, 4, 5",
        values,
    ).fetchall()


def _kind(kind: str) -> tuple[str, str]:
    """The column that a kind groups by, and the kind its rows are stored under: a model is a column of every row."""
    assert kind in KINDS
    return ("card", "all") if kind == "card" else ("key", kind)


def _sums(names: Iterable[str]) -> str:
    return ", ".join(f"sum({name}) AS {name}" for name in names)
