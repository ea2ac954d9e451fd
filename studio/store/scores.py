"""Where a value stands among those measured before in this studio's own pictures of the same model: a raw one says nothing to a person."""
from __future__ import annotations

import bisect
import threading
import time

from studio.store.db import Store

RECENT = 2000  # values a percentile is taken over
FEWEST = 20  # below this a percentile says nothing
FRESH_SECONDS = 30.0


class Percentiles:
    """Percentiles over the most recent values of a dimension, by scorer, version and model, read again when older than half a minute."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sorted: dict[tuple[str, str, str, str], tuple[float, list[float]]] = {}
        self._lock = threading.Lock()

    def of(self, dimension: str, scorer: str, version: str, card: str, value: float | None) -> float | None:
        """0..100: the share of recent values of `card`'s pictures below `value` (ties count half); None when not scored or too few are
        known. High is a high value, whichever side is the better one."""
        if value is None:
            return None
        values = self._values((dimension, scorer, version, card))
        if len(values) < FEWEST:
            return None
        return round(50 * (bisect.bisect_left(values, value) + bisect.bisect_right(values, value)) / len(values), 1)

    def _values(self, key: tuple[str, str, str, str]) -> list[float]:
        with self._lock:
            read, values = self._sorted.get(key, (0.0, []))
            if not read or time.monotonic() - read > FRESH_SECONDS:
                rows = self._store.db.execute(
                    "SELECT value FROM scores WHERE dimension = ? AND scorer = ? AND version = ? AND card = ?"
                    " AND value IS NOT NULL ORDER BY id DESC LIMIT ?",
                    [*key, RECENT],
                )
                values = sorted(row["value"] for row in rows)
                self._sorted[key] = (time.monotonic(), values)
            return values
