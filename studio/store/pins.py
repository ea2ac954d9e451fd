"""The pinned library: pictures made ahead, offered first and never expired."""
from __future__ import annotations

from collections.abc import Sequence

from studio.store.db import Store


def pinned(store: Store, ids: Sequence[int]) -> set[int]:
    """Those of `ids` that are in the library."""
    marks = ", ".join("?" * len(ids))
    return {row["image_id"] for row in store.db.execute(f"SELECT image_id FROM pins WHERE image_id IN ({marks})", list(ids))}
