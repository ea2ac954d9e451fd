"""The tables, a module a room. A migration that has been released is never changed: a new one follows it."""
from __future__ import annotations

from studio.store.schema import base, people, queue  # noqa: F401 - importing registers their migrations, in this order

# isort: split
from studio.store.schema import history  # noqa: F401 - indexes columns of those above

# isort: split
from studio.store.schema import batches  # noqa: F401

# isort: split
from studio.store.schema import brands  # noqa: F401

# isort: split
from studio.store.schema import cache  # noqa: F401

# isort: split
from studio.store.schema import datasets  # noqa: F401

# isort: split
from studio.store.schema import downloads  # noqa: F401

# isort: split
from studio.store.schema import experiments  # noqa: F401

# isort: split
from studio.store.schema import funnel  # noqa: F401

# isort: split
from studio.store.schema import insights  # noqa: F401 - counts what those above write

# isort: split
from studio.store.schema import profiles  # noqa: F401

# isort: split
from studio.store.schema import post  # noqa: F401

# isort: split
from studio.store.schema import review  # noqa: F401 - indexes what the funnel adds

# isort: split
from studio.store.schema import safety  # noqa: F401

# isort: split
from studio.store.schema import scores  # noqa: F401

# isort: split
from studio.store.schema import grids  # noqa: F401

# isort: split
from studio.store.schema import templates  # noqa: F401

# isort: split
from studio.store.schema import loras  # noqa: F401

# isort: split
from studio.store.schema import trainings  # noqa: F401 - of LoRAs

# isort: split
from studio.store.schema import cloud  # noqa: F401 - the ledger

# isort: split
from studio.store.schema import places  # noqa: F401

# isort: split
from studio.store.schema import cloudtasks  # noqa: F401

# isort: split
from studio.store.schema import costs  # noqa: F401 - counts what pictures, charges and trainings above write

# isort: split
from studio.store.schema import evaluations  # noqa: F401 - of what the two above make

# isort: split
from studio.store.schema.migrations import days_ago, migrations, now

__all__ = ["days_ago", "migrations", "now"]
