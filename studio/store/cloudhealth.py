"""How providers have been doing, kept in one row: the cloud worker writes what it learns, the page's process reads it."""
from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from functools import cache

from pipelines.health import Healths
from pipelines.routepolicy import Policy, load_policy
from studio.store.db import Store


@cache
def policy() -> Policy:
    """The rules of routing that ship; they do not change while a process runs."""
    return load_policy()


def load(store: Store) -> Healths:
    """As learned so far; nobody was ever called: all are well."""
    return read(store.db)


def read(db: sqlite3.Connection) -> Healths:
    row = db.execute("SELECT state FROM cloud_health").fetchone()
    return Healths.from_dict(json.loads(row["state"]), policy().health) if row else Healths(policy().health)


def change(db: sqlite3.Connection, step: Callable[[Healths], Healths]) -> None:
    """Keeps what `step` makes of it, inside the caller's transaction."""
    before = read(db)
    after = step(before)
    if after is not before:
        db.execute("INSERT OR REPLACE INTO cloud_health VALUES (1, ?)", [json.dumps(after.to_dict())])


def began(db: sqlite3.Connection, provider: str, model: str) -> None:
    """A call is about to begin, inside the caller's transaction: it may be a probe."""
    change(db, lambda healths: healths.began(provider, model, time.time()))


def configured(store: Store, provider: str) -> None:
    """Its key, its account or its settings were changed by somebody: it is tried again."""
    with store.write() as db:
        change(db, lambda healths: healths.configured(provider))
