"""How pictures are retired: by age and by space, first to the trash, then for good. What people said they want is never taken.

A pass every hour:
  1. pictures older than `retention.days` go to the trash,
  2. what has been in the trash for `retention.trash_days` is deleted with its files,
  3. while all pictures together take more than `retention.gigabytes`, the trash is emptied, what was thrown away first goes first;
     when that is not enough the oldest pictures go to the trash, to be deleted by the next pass.
Kept, rated, boarded and pinned pictures are left alone by 1 and 3; those that a person threw into the trash are not protected there.
"""
from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import StudioError
from studio import disk
from studio.history import purge
from studio.store import shelf
from studio.store.db import days_ago

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

DISK_SECONDS, RETIRE_SECONDS = 10.0, 3600.0
MANY = 2000  # pictures that one pass takes of a kind; the next pass goes on


@dataclass(frozen=True)
class Retired:
    """What a pass did: pictures that went to the trash, and pictures that were deleted."""

    trashed: int
    deleted: int


def retire(studio: Studio) -> Retired:
    """One pass. Raises NotNow while a backup is being made."""
    days, trash_days, gigabytes = (studio.settings.get(f"retention.{name}") for name in ("days", "trash_days", "gigabytes"))
    old = _ids(studio, f"trashed IS NULL AND drawn < ? AND NOT {shelf.PROTECTED} ORDER BY id", days_ago(days)) if days else []
    _trash(studio, old)
    gone = _ids(studio, "trashed IS NOT NULL AND trashed < ? ORDER BY trashed", days_ago(trash_days)) if trash_days else []
    purge(studio, gone)
    moved = 0
    if gigabytes:
        over = _bytes(studio) - gigabytes * disk.GB
        emptied = _until(studio, over, "trashed IS NOT NULL ORDER BY trashed, id")
        purge(studio, [image for image, _ in emptied])
        gone += [image for image, _ in emptied]
        over -= sum(size for _, size in emptied)
        oldest = [image for image, _ in _until(studio, over, f"trashed IS NULL AND NOT {shelf.PROTECTED} ORDER BY id")]
        _trash(studio, oldest)
        moved = len(oldest)
    retired = Retired(len(old) + moved, len(gone))
    if trash_days and (emptied_loras := studio.lora_bin.empty(trash_days)):
        log.info("retention: the files of %d versions of LoRAs were deleted", emptied_loras)
        studio.hub.publish("loras", {"changed": True})
    if retired.trashed or retired.deleted:
        log.info("retention: %d pictures went to the trash, %d were deleted", retired.trashed, retired.deleted)
        studio.hub.publish("history", {"changed": retired.trashed + retired.deleted})
    return retired


def _ids(studio: Studio, where: str, *values: object) -> list[int]:
    query = f"SELECT id FROM images WHERE state = 'drawn' AND {shelf.SETTLED} AND {where} LIMIT {MANY}"
    return [row["id"] for row in studio.store.db.execute(query, values)]


def _until(studio: Studio, over: float, where: str) -> list[tuple[int, int]]:
    """Pictures with their bytes, in the order given, until they come to `over` bytes."""
    found: list[tuple[int, int]] = []
    if over <= 0:
        return found
    for row in studio.store.db.execute(
        f"SELECT id, bytes FROM images WHERE state = 'drawn' AND {shelf.SETTLED} AND {where} LIMIT {MANY}"
    ).fetchall():
        found.append((row["id"], row["bytes"] or 0))
        over -= row["bytes"] or 0
        if over <= 0:
            break
    return found


def _bytes(studio: Studio) -> int:
    """What all pictures take; those whose files were not looked at yet are now."""
    new = studio.store.db.execute("SELECT id, path FROM images WHERE state = 'drawn' AND bytes IS NULL").fetchall()
    for start in range(0, len(new), 500):
        with studio.store.write() as db:
            for row in new[start : start + 500]:
                path = studio.data_dir / row["path"]
                size = path.stat().st_size if path.is_file() else 0
                db.execute("UPDATE images SET bytes = ? WHERE id = ?", [size, row["id"]])
    return int(studio.store.db.execute("SELECT coalesce(sum(bytes), 0) FROM images WHERE state = 'drawn'").fetchone()[0])


def _trash(studio: Studio, ids: list[int]) -> None:
    if ids:
        with studio.store.write() as db:
            shelf.trash(db, ids)


class Housekeeper:
    """A thread that looks at the disk every few seconds and retires pictures every hour."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """At the disk, now."""
        if disk.watch(self._studio.store, self._studio.data_dir, self._studio.settings.get("disk.least_gigabytes")):
            self._studio.queue_changed([])

    def _run(self) -> None:
        since = RETIRE_SECONDS  # a first pass soon after the start
        while not self._stopping.wait(DISK_SECONDS):
            since += DISK_SECONDS
            try:
                self.look()
                if since >= RETIRE_SECONDS:
                    since = 0.0
                    retire(self._studio)
            except (StudioError, OSError) as error:
                log.warning("housekeeping: %s", error)
