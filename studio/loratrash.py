"""How versions of LoRAs are thrown away, brought back, and in the end deleted. What history was drawn with stays."""
from __future__ import annotations

import logging

from filelock import FileLock, Timeout

from studio import lorafolder
from studio.loras import Loras
from studio.store import loras, now
from studio.store.db import days_ago
from studio.store.jobs import NotNow
from studio.store.people import Who

log = logging.getLogger(__name__)


class Bin:
    """The trash of one registry. What a version was made from stays known after its files are gone, and its number is never given again."""

    def __init__(self, registry: Loras) -> None:
        self._registry, self._store = registry, registry.store

    def throw(self, name: str, number: int | None, who: Who) -> None:
        """A version to the trash, or for None all of them. Raises NotFound, NotYours, and NotNow where history or an alias needs one."""
        row = self._registry.own(name, who, alone=number is None)
        if number is not None:
            loras.version_row(self._store, row, number)
        with self._store.write() as db:
            stand = loras.aliases(self._store, [row["id"]])[row["id"]]
            live = [one["number"] for one in loras.version_rows(self._store, [row["id"]])[row["id"]]]
            for one in live if number is None else [number] if number in live else []:
                if (why := self._needed(name, one)) is not None:
                    raise NotNow(f"{name}/v{one} is needed.", why, "Delete those pictures for good first, or keep it.")
                for alias in (alias for alias, at in stand.items() if at == one):
                    if number is not None:
                        raise NotNow(f"{name}/v{one} is {alias}.", "", "Move the alias to another version first.")
                    loras.move(db, row["id"], alias, None, who.name, "Thrown away.")
                values = [row["id"], one, who.name, now()]
                db.execute("INSERT INTO lora_trash (lora_id, number, person, trashed) VALUES (?, ?, ?, ?)", values)

    def restore(self, name: str, number: int, who: Who) -> None:
        """Raises NotFound, NotYours, and NotNow for one whose files are deleted."""
        row = self._registry.own(name, who)
        loras.version_row(self._store, row, number)
        with self._store.write() as db:
            gone = loras.trash_row(self._store, row["id"], number)
            if gone is not None and gone["purged"]:
                raise NotNow(f"{name}/v{number} cannot be restored.", f"Its files were deleted on {gone['purged'][:10]}.")
            db.execute("DELETE FROM lora_trash WHERE lora_id = ? AND number = ?", [row["id"], number])

    def empty(self, days: float) -> int:
        """Deletes the files of what has been in the trash for so many days; how many. Nothing while a backup reads them."""
        rows = self._store.db.execute(
            "SELECT loras.name, lora_trash.* FROM lora_trash JOIN loras ON loras.id = lora_id WHERE purged IS NULL AND trashed < ?",
            [days_ago(days)],
        ).fetchall()
        gone = 0
        try:
            with FileLock(self._registry.data_dir / "backup.lock", timeout=2):
                for row in rows:
                    with self._store.write() as db:
                        # A job may have been on its way while it was thrown away.
                        if self._needed(row["name"], row["number"]) is None:
                            purged = "UPDATE lora_trash SET purged = ? WHERE lora_id = ? AND number = ?"
                            db.execute(purged, [now(), row["lora_id"], row["number"]])
                            lorafolder.remove(self._registry.data_dir, row["name"], row["number"])
                            gone += 1
        except Timeout:
            log.info("no LoRA is deleted while a backup is being made")
        return gone

    def _needed(self, name: str, number: int) -> str | None:
        drawn, waiting = loras.needed_by(self._store, name, number)
        if waiting:
            return f"{waiting} job{'s are' if waiting > 1 else ' is'} waiting to be drawn with it."
        if drawn:
            return f"{drawn} picture{'s of the history were' if drawn > 1 else ' of the history was'} drawn with it."
        return None
