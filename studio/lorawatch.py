"""Folders of LoRAs that an admin pointed at: what appears in them comes in by itself, as everybody's.

A file is copied, for other programs may change theirs and a version never changes. One that changed comes in as the next version. What
is no LoRA is noted with its reason and looked at again only when it changes.
"""
from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.errors import StudioError
from studio.loraarrivals import Arrivals, beside
from studio.settings import Settings
from studio.store import Store, now
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, NotYours, Who

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
SETTLED_SECONDS = 3.0  # a file that changed later than this may still be on its way
FILES_LIMIT, DEEP = 5000, 6
Json = dict[str, Any]


class Watch:
    """A thread that looks into the folders of the setting `loras.folders`. told: called after something came in."""

    def __init__(self, store: Store, settings: Settings, arrivals: Arrivals, told: Callable[[], None]) -> None:
        self._store, self._settings, self._arrivals, self._told = store, settings, arrivals, told
        self._stopping = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lora-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> int:
        """Takes in what is new, now; how many. A full disk ends it early."""
        came = 0
        with self._looking:
            for path in self._files():
                if self._stopping.is_set():
                    break
                try:
                    came += self._look_at(path)
                except NotNow as error:
                    log.warning("watched folders: %s", error)
                    break
                except OSError as error:
                    log.warning("%s could not be read: %s", path, error)
        if came:
            self._told()
        return came

    def view(self, who: Who) -> Json:
        """{"folders": [...], "files": [{"path", "lora", "version", "refused", "looked"}]}: an admin's, for they are paths of this machine.

        Raises NotYours.
        """
        if not who.admin:
            raise NotYours("Folders of this machine are an admin's to see.", "", "Ask one.")
        rows = self._store.db.execute(
            "SELECT lora_found.*, loras.name FROM lora_found LEFT JOIN loras ON loras.id = lora_found.lora_id ORDER BY path"
        )
        names = {"path": "path", "lora": "name", "version": "number", "refused": "refused", "looked": "looked"}
        files = [{name: row[column] for name, column in names.items()} for row in rows]
        return {"folders": list(self._settings.get("loras.folders")), "files": files}

    # How it is done.

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                if self._settings.get("loras.folders"):
                    self.look()
            except (StudioError, OSError, sqlite3.OperationalError) as error:
                log.warning("watched folders: %s", error)

    def _files(self) -> Iterator[Path]:
        left = FILES_LIMIT
        for folder in self._settings.get("loras.folders"):
            for path in sorted(_below(Path(folder), DEEP)):
                if left <= 0:
                    return
                left -= 1
                yield path

    def _look_at(self, path: Path) -> bool:
        """Whether a file came in."""
        state = path.stat()
        if time.time() - state.st_mtime < SETTLED_SECONDS:
            return False
        select = "SELECT lora_found.*, loras.name FROM lora_found LEFT JOIN loras ON loras.id = lora_found.lora_id WHERE path = ?"
        row = self._store.db.execute(select, [str(path)]).fetchone()
        if row is not None and (row["bytes"], row["changed"]) == (state.st_size, state.st_mtime_ns):
            return False
        lora, number, refused, is_new = None, None, "", False
        try:
            self._arrivals.room_for(state.st_size)
            samples, triggers = beside(path)
            asked = {"access": "everyone", "triggers": ", ".join(triggers), "name": row["name"] if row else None}
            came = self._arrivals.take(path, asked, self._keeper(), samples)
            lora, number, is_new = came["name"], came["version"], not came["known"]
        except NotNow:
            raise
        except StudioError as error:
            refused = f"{error.what} {error.why}".strip()
        with self._store.write() as db:
            found = db.execute("SELECT id FROM loras WHERE name = ?", [lora]).fetchone() if lora else None
            db.execute(
                "INSERT OR REPLACE INTO lora_found VALUES (?, ?, ?, ?, ?, ?, ?)",
                [str(path), state.st_size, state.st_mtime_ns, found["id"] if found else None, number, refused, now()],
            )
        return is_new

    def _keeper(self) -> Who:
        """Whose they are: the first admin's."""
        row = self._store.db.execute(
            "SELECT name FROM persons WHERE admin AND removed IS NULL AND password IS NOT NULL ORDER BY created, name LIMIT 1"
        ).fetchone()
        return Who(row["name"], admin=True) if row else LOCAL


def _below(folder: Path, deep: int) -> Iterator[Path]:
    """LoRA files below a folder; links to folders are not followed, for they may lead in circles."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        log.warning("%s cannot be looked into: %s", folder, error)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink() and deep > 0:
            yield from _below(entry, deep - 1)
        elif entry.suffix == ".safetensors" and entry.is_file():
            yield entry

