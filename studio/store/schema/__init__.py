"""The tables, a module a room. A migration that has been released is never changed: a new one follows it."""
from __future__ import annotations

from studio.store.schema import base, people, queue  # noqa: F401 - importing registers their migrations, in this order
from studio.store.schema.migrations import migrations, now

__all__ = ["migrations", "now"]
