"""Two versions of a LoRA in live use: how much more often what one drew was passed, picked and kept.

Pictures of one request are alike, so a request counts as one: the share of each arm is that of all its pictures, its spread that between
requests (the design effect of a ratio estimate; Kish, "Survey Sampling", 1965), its interval Wilson's with so many independent pictures
as that leaves. The interval of the difference is Newcombe's from these two (Statistics in Medicine 17, 1998, method 10).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.agreement import wilson

Json = dict[str, Any]

FEWEST_REQUESTS = 8  # in each arm, before anything is said


def arm(requests: Sequence[tuple[int, int]]) -> Json | None:
    """requests: (hits, pictures) of each. {"value", "low", "high", "hits", "n", "requests"}; None of no pictures."""
    counted = [(hits, n) for hits, n in requests if n]
    hits, n = sum(one[0] for one in counted), sum(one[1] for one in counted)
    if not n:
        return None
    value, worth = hits / n, float(n)
    if 0 < value < 1 and len(counted) > 1:
        residuals = np.array([one[0] - value * one[1] for one in counted])
        variance = len(counted) / (len(counted) - 1) * float((residuals**2).sum()) / n**2
        if variance > 0:
            worth = min(worth, value * (1 - value) / variance)
    else:
        worth = min(worth, float(len(counted)))  # all alike: no more is known than that so many requests were
    low, high = wilson(value * worth, worth)
    found = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
    return found | {"hits": hits, "n": n, "requests": len(counted)}


def difference(new: Json | None, old: Json | None) -> Json | None:
    """How much larger the share of `new` is. {"value", "low", "high"}; None where either arm has nothing."""
    if new is None or old is None:
        return None
    value = new["value"] - old["value"]
    low = value - math.hypot(new["value"] - new["low"], old["high"] - old["value"])
    high = value + math.hypot(new["high"] - new["value"], old["value"] - old["low"])
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


MEASURES = {"passed": "passes", "picked": "is picked", "kept": "is kept"}


def told(measures: Sequence[Json], requests: tuple[int, int], old: str, new: str) -> str:
    """measures: {"name", "difference"}. requests: of production and candidate."""
    if min(requests) < FEWEST_REQUESTS:
        return f"Too few requests yet: {requests[0]} with {old}, {requests[1]} with {new}; {FEWEST_REQUESTS} of each say something."
    sure = [one for one in measures if one["difference"] and (one["difference"]["low"] > 0 or one["difference"]["high"] < 0)]
    if not sure:
        return f"No difference between {new} and {old} that can be told from chance."
    parts = []
    for one in sure:
        said = one["difference"]
        low, high = sorted((abs(said["low"]), abs(said["high"])))
        more = "more" if said["value"] > 0 else "less"
        by = f"{round(100 * abs(said['value']))} points ({round(100 * low)} to {round(100 * high)})"
        parts.append(f"{MEASURES[one['name']]} {more} often, by {by}")
    return f"What {new} draws {'; '.join(parts)} than what {old} draws."
