"""Downloads as the page sees them: one at a time, each in a process of its own, their state in SQLite.

A download that the studio's end cut short is "stopped" at the next start and offers to be resumed; nothing resumes by itself.
"""
from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.hub import RESERVE, Order
from models.weights import hub_cache
from studio.events import Hub
from studio.store import Store
from studio.store.db import now
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.views import Json

log = logging.getLogger(__name__)

WRITE_SECONDS = 5.0  # how often the bytes that arrived are written down
LOG_LIMIT = 2 * 2**20
PATIENCE = 5.0
ENDED = {"kind": "interrupted", "what": "The studio was closed meanwhile.", "why": "", "todo": "Resume: what arrived is kept."}


@dataclass(frozen=True)
class Goods:
    """What a download is. folder: a plain folder to fill, "" for Hugging Face's cache. without: parts of a model that are here already.
    files: those of the repository that are wanted, () for what a model that draws needs."""

    repo: str
    revision: str
    folder: str = ""
    without: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass
class _Running:
    """The process at work, and what it last told."""

    id: int
    process: subprocess.Popen[bytes]
    told: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False


class Downloads:
    """Starts, watches and ends downloads. `token` gives the person's token ("" for none). reserve: bytes to leave free.

    A download is named as a card is, or "KIND:NAME"; who offers a kind says what its downloads are, and hears of what arrived.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        logs: Path,
        token: Callable[[], str],
        reserve: int = RESERVE,
    ) -> None:
        self._store, self._hub, self._logs = store, hub, logs
        self._token, self._reserve = token, reserve
        self._offers: dict[str, tuple[Callable[[str], Goods], Callable[[str], object]]] = {}
        self._running: _Running | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._closed = False
        # Whoever had a download running was killed; its process ended with it.
        with store.write() as db:
            db.execute("UPDATE downloads SET state = 'stopped', error = ? WHERE state IN ('waiting', 'running')", [json.dumps(ENDED)])

    def close(self) -> None:
        """Ends the process at work; its download can be resumed at the next start."""
        with self._lock:
            self._closed = True
            if self._running:
                _end(self._running.process)
        if self._thread:
            self._thread.join()

    def offer(self, kind: str, goods: Callable[[str], Goods], arrived: Callable[[str], object]) -> None:
        """Takes up a kind of downloads. Both are called with the name without its kind."""
        self._offers[kind] = goods, arrived

    # What is asked.

    def open_of(self, card: str) -> Json | None:
        """The download of a card that is under way, stopped or failed."""
        row = self._row(card)
        return self.view(row) if row else None

    def view(self, row: sqlite3.Row) -> Json:
        """{"id", "card", "state", "done", "total", "rate", "eta", "error", "person", "created", "commit"}: in bytes and seconds."""
        found: Json = {key: row[key] for key in ("id", "card", "state", "done", "total", "person", "created")}
        found |= {"commit": row["commit_hash"], "rate": None, "eta": None, "error": json.loads(row["error"]) if row["error"] else None}
        running = self._running
        if running and running.id == row["id"] and row["state"] == "running":
            found |= {key: running.told[key] for key in ("done", "total", "rate", "eta") if key in running.told}
        return found

    def start(self, card: str, who: Who) -> Json:
        """Begins a download, or resumes the one that is open. It waits while another one is at work."""
        with self._lock:
            row = self._row(card)
            if row is None:
                goods = self._goods(card)
                self._store.db.execute(
                    "INSERT INTO downloads (card, repo, revision, folder, state, person, created) VALUES (?, ?, ?, ?, 'waiting', ?, ?)",
                    [card, goods.repo, goods.revision, goods.folder, who.name, now()],
                )
            elif row["state"] in ("stopped", "failed"):
                self._set(row["id"], state="waiting", error=None)
            self._next()
        return self._tell(card)

    def cancel(self, card: str) -> Json:
        """Stops a download; what arrived is kept. Raises NotNow when none is under way."""
        with self._lock:
            row = self._row(card)
            if row is None or row["state"] not in ("waiting", "running"):
                raise NotNow("No download of this model is under way.")
            running, thread = self._running, self._thread
            if running is None or running.id != row["id"]:
                self._set(row["id"], state="stopped", error=None)
                return self._tell(card)
            running.cancelled = True
            _end(running.process)
        assert thread
        thread.join()
        return self._tell(card)

    def forget(self, card: str) -> sqlite3.Row:
        """Closes a stopped or failed download and returns its row; removing the files is the caller's. Raises NotNow."""
        row = self._row(card)
        if row is None or row["state"] not in ("stopped", "failed"):
            raise NotNow("There is no stopped download of this model.")
        self._set(row["id"], state="discarded")
        return row

    def commit_of(self, card: str) -> str:
        """The commit that was last downloaded whole, "" if none was."""
        row = self._store.db.execute(
            "SELECT commit_hash FROM downloads WHERE card = ? AND state = 'done' ORDER BY id DESC LIMIT 1", [card]
        ).fetchone()
        return row["commit_hash"] if row else ""

    # How it is done.

    def _goods(self, card: str) -> Goods:
        kind, _, name = card.rpartition(":")
        return self._offers[kind][0](name)

    def _next(self) -> None:
        """Starts the longest waiting download unless one is at work."""
        with self._lock:
            if self._running or self._closed:
                return
            row = self._store.db.execute("SELECT * FROM downloads WHERE state = 'waiting' ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return
            self._set(row["id"], state="running")
            self._running = _Running(row["id"], self._spawn(row))
            self._thread = threading.Thread(target=self._watch, args=(self._running, row["card"]), name="download", daemon=True)
            self._thread.start()

    def _spawn(self, row: sqlite3.Row) -> subprocess.Popen[bytes]:
        goods = self._goods(row["card"])
        order = Order(
            row["repo"], row["revision"], row["commit_hash"], str(hub_cache()), row["folder"], goods.without, self._token(), self._reserve,
            goods.files,
        )  # fmt: skip
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / "download.log"
        mode = "ab" if path.exists() and path.stat().st_size < LOG_LIMIT else "wb"
        with open(path, mode) as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "models.hub"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=Path(__file__).parent.parent,
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert process.stdin
        try:
            # On its standard input, for arguments and environments can be read by others.
            process.stdin.write(order.to_line())
            process.stdin.flush()
        except BrokenPipeError:
            log.error("the download's process ended before it was told what to do")
        return process

    def _watch(self, running: _Running, card: str) -> None:
        last: dict[str, Any] = {}
        written = 0.0
        assert running.process.stdout
        for line in running.process.stdout:
            last = json.loads(line)
            if last["event"] == "plan":
                self._set(running.id, commit_hash=last["commit"], total=last["total"], done=last["done"])
            if last["event"] in ("plan", "progress"):
                running.told = last
                if time.monotonic() - written > WRITE_SECONDS:
                    written = time.monotonic()
                    self._set(running.id, done=last["done"])
                self._tell(card)
        status = running.process.wait()
        _end(running.process)
        running.process.stdout.close()
        with self._lock:
            self._running = None
            self._close(running, last, status)
        if last.get("event") == "done":
            kind, _, name = card.rpartition(":")
            self._offers[kind][1](name)
        self._hub.publish("download", self.view(self._by_id(running.id)))
        self._next()

    def _close(self, running: _Running, last: dict[str, Any], status: int) -> None:
        """Writes down how it ended."""
        done = running.told.get("done", 0)
        if last.get("event") == "done":
            self._set(running.id, state="done", done=done, finished=now(), error=None)
        elif last.get("event") == "failed":
            error = {key: last[key] for key in ("kind", "what", "why", "todo")}
            self._set(running.id, state="failed", done=done, error=json.dumps(error))
        elif running.cancelled or self._closed:
            self._set(running.id, state="stopped", done=done, error=None if running.cancelled else json.dumps(ENDED))
        else:
            log.error("the download's process ended with status %s", status)
            why = f"Exit status {status}; see logs/download.log."
            error = {"kind": "bug", "what": "The download stopped by itself.", "why": why, "todo": "Resume: what arrived is kept."}
            self._set(running.id, state="failed", done=done, error=json.dumps(error))

    def _row(self, card: str) -> sqlite3.Row | None:
        return self._store.db.execute(
            "SELECT * FROM downloads WHERE card = ? AND state IN ('waiting', 'running', 'stopped', 'failed')", [card]
        ).fetchone()

    def _by_id(self, id: int) -> sqlite3.Row:
        return self._store.db.execute("SELECT * FROM downloads WHERE id = ?", [id]).fetchone()

    def _set(self, id: int, **values: object) -> None:
        self._store.db.execute(f"UPDATE downloads SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?", [*values.values(), id])

    def _tell(self, card: str) -> Json:
        row = self._row(card)
        assert row is not None
        view = self.view(row)
        self._hub.publish("download", view)
        return view


def _end(process: subprocess.Popen[bytes]) -> None:
    """Closes its standard input, which ends it; kills it where that does not."""
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
