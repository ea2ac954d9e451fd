"""Room on the disk: a nearly full one pauses the queue and says so, before a picture is lost half written."""
from __future__ import annotations

import shutil
from pathlib import Path

from studio.store import Store
from studio.store.turns import PAUSED_BECAUSE

GB = 10**9
EASE = 1.25  # so much more than the least must be free before the queue goes on, lest it stutter at the edge


def watch(store: Store, folder: Path, least: float) -> bool:
    """Pauses the queue while fewer than `least` GB are free where `folder` lies, and lets it go on when there is room again.
    Whether anything changed. What a person paused stays paused."""
    free = shutil.disk_usage(folder).free / GB
    paused = store.setting(PAUSED_BECAUSE) or ""
    if least > 0 and free < least * (EASE if paused else 1):
        reason = (
            f"The disk is nearly full: {free:.1f} GB are free, and the queue waits until {least * EASE:.1f} are."
            " Empty the trash, or make room elsewhere."
        )
    else:
        reason = ""
    if bool(reason) == bool(paused):
        return False
    store.set(PAUSED_BECAUSE, reason)
    return True
