"""Where a value stands among those measured before."""
from __future__ import annotations

import bisect
import threading
import time

from studio.store.db import Store

RECENT = 2000  # values a percentile is taken over
FEWEST = 20  # below this a percentile says nothing
FRESH_SECONDS = 30.0


class Percentiles:
    """Percentiles over the most recent values of a dimension, by scorer and version, read again when older than half a minute."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sorted: dict[tuple[str, str, str], tuple[float, list[float]]] = {}
        self._lock = threading.Lock()

    def of(self, dimension: str, scorer: str, version: str, value: float | None) -> float | None:
        """0..100: the share of recent values below `value` (ties count half); None when not scored or too few are known."""
        if value is None:
            return None
        values = self._values((dimension, scorer, version))
        if len(values) < FEWEST:
            return None
        return round(50 * (bisect.bisect_left(values, value) + bisect.bisect_right(values, value)) / len(values), 1)

    def _values(self, key: tuple[str, str, str]) -> list[float]:
        with self._lock:
            read, values = self._sorted.get(key, (0.0, []))
            if not read or time.monotonic() - read > FRESH_SECONDS:
                rows = self._store.db.execute(
                    "SELECT value FROM scores WHERE dimension = ? AND scorer = ? AND version = ? AND value IS NOT NULL"
                    " ORDER BY id DESC LIMIT ?",
                    [*key, RECENT],
                )
                values = sorted(row["value"] for row in rows)
                self._sorted[key] = (time.monotonic(), values)
            return values
