"""SQLite is the truth: jobs, tasks, candidates, scores. Each module is a handful of functions over a `Store`."""
from __future__ import annotations

from studio.store.db import Store, now

__all__ = ["Store", "now"]
