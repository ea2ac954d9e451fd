"""Figures put together: sums of rows by day, shares with their intervals, means, and what they come to for a person."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipelines.agreement import wilson
from studio.period import Period
from studio.store.insights import PICTURES, REQUESTS
from studio.store.views import Json

MEASURED = ("n", "total", "squares", "asked", "failed", "unscored")
COUNTED = (*PICTURES, *REQUESTS, "text_n", "text_total", "verdicts", "agreed", "incidents")


def total(rows: Iterable[Any], names: Sequence[str] = COUNTED) -> dict[str, float]:
    sums: dict[str, float] = dict.fromkeys(names, 0)
    for row in rows:
        for name in row.keys():  # noqa: SIM118 - a row of SQLite's gives its values
            if name in sums:
                sums[name] += row[name] or 0
    return sums


def count(rows: Iterable[Any], name: str) -> int:
    return sum(row[name] or 0 for row in rows)


def by_step(rows: Iterable[Any], steps: Sequence[Period]) -> list[list[Any]]:
    """Rows with a `day`, each to its step."""
    place = {(step.first + timedelta(day)).isoformat(): at for at, step in enumerate(steps) for day in range(step.days)}
    found: list[list[Any]] = [[] for _ in steps]
    for row in rows:
        found[place[row["day"]]].append(row)
    return found


def share(hits: float, n: float) -> Json | None:
    """A share with its 95 % interval; None of nothing."""
    if not n:
        return None
    low, high = wilson(hits, n)
    return {"value": round(hits / n, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def mean_of(values: Sequence[float]) -> Json | None:
    """A mean of values in 0..1 with its 95 % interval by the normal approximation; None of fewer than two."""
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    half = 1.96 * math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return {"value": round(mean, 4), "low": round(max(0.0, mean - half), 4), "high": round(min(1.0, mean + half), 4), "n": n}


def shares(figures: Mapping[str, float]) -> Json:
    """Figures with what follows from them."""
    view: Json = {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
    view["pass_rate"] = share(figures["passed"], figures["judged"])
    view["final_pass_rate"] = share(figures["final_passed"], figures["final_judged"])
    view["seconds_per_kept"] = round(figures["seconds"] / figures["kept"], 2) if figures["kept"] else None
    if "requests" in figures:
        view["filled_rate"] = share(figures["filled"], figures["requests"])
        view["delivered_share"] = share(figures["delivered"], figures["asked"])
        view["delivered_per_request"] = round(figures["delivered"] / figures["requests"], 2) if figures["requests"] else None
        view["text_match"] = round(figures["text_total"] / figures["text_n"], 1) if figures["text_n"] else None
        view["agreement"] = share(figures["agreed"], figures["verdicts"])
        view["per_10000"] = per_10000(figures["incidents"], figures["drawn"])["per_10000"]
        view["incident_rate"] = share(min(figures["incidents"], figures["drawn"]), figures["drawn"])
    return view


def measured(row: Any) -> Json:
    """Mean and standard deviation of a dimension, and the share of pictures on the wrong side."""
    n = row["n"]
    mean = row["total"] / n if n else None
    spread = None if mean is None else math.sqrt(max(0.0, row["squares"] / n - mean * mean))
    return {
        "n": n,
        "mean": None if mean is None else round(mean, 3),
        "spread": None if spread is None else round(spread, 3),
        "failed": share(row["failed"], row["asked"]),
        "unscored": row["unscored"],
    }


def agreement(rows: Sequence[Any]) -> Json:
    """table: how many verdicts of people meet which of the studio's; agreement: over all that the studio decided; estimate: the share
    of all pictures, each verdict weighed by how rarely one like it is asked about (None where only chosen pictures were judged)."""
    cells = {(passed, approved): 0 for passed in (1, 0, None) for approved in (1, 0)}
    worth = agreed = 0.0
    for row in rows:
        cells[row["passed"], row["approved"]] += row["n"]
        if row["passed"] is not None:
            worth += row["worth"]
            agreed += row["worth"] * (row["passed"] == row["approved"])
    names = {1: "passed", 0: "rejected", None: "undecided"}
    decided = sum(n for (passed, _), n in cells.items() if passed is not None)
    return {
        "table": {names[passed]: {"approved": cells[passed, 1], "refused": cells[passed, 0]} for passed in names},
        "agreement": share(cells[1, 1] + cells[0, 0], decided),
        "estimate": round(agreed / worth, 4) if worth else None,
        "sources": {source: sum(row["n"] for row in rows if row["source"] == source) for source in ("review", "sheet")},
    }


def per_10000(n: float, of: float) -> Json:
    return {"n": n, "of": of, "per_10000": round(10_000 * n / of, 2) if of else None}


def only(values: Iterable[float | None]) -> float | None:
    """The one value that all have that have any."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None


def versions(rows: Sequence[Any]) -> list[Json]:
    """When a scorer's version was first seen in the period: values before and after it do not compare."""
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row["day"]):
        for version in (row["versions"] or "").split(","):
            first.setdefault(version, row["day"])
    return [{"version": version, "day": day} for version, day in first.items()]
