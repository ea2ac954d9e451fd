"""Trainings in SQLite: who sees which, whose turn it is, who has the device. Every change of state is one statement or transaction."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from models.errors import NotFound
from studio.store.db import Store, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who
from studio.store.turns import ACTIVE

Row = sqlite3.Row
OPEN, ENDED = ("queued", "starting", "running"), ("stopped", "done", "failed", "cancelled")
HELD = ("starting", "running")  # the device is theirs
HOLDING = f"state IN {HELD}"


def seen_by(who: Who) -> tuple[str, list[str]]:
    """An SQL condition on `trainings` for those they may see: their own, and of the LoRAs of their projects; and its parameters."""
    marks = ", ".join("?" * len(who.projects))
    project = f"SELECT name FROM loras WHERE access = 'project' AND project IN ({marks})"
    return f"(trainings.person = ? OR trainings.lora IN ({project}))", [who.name, *who.projects]


def row_of(store: Store, training: int, who: Who | None = None) -> Row:
    """Raises NotFound, also for one that `who` may not see."""
    row = None
    if 0 < training <= LARGEST_ID:
        seen, values = seen_by(who) if who is not None else ("1", [])
        row = store.db.execute(f"SELECT * FROM trainings WHERE id = ? AND removed IS NULL AND {seen}", [training, *values]).fetchone()
    if row is None:
        raise NotFound(f"There is no training {training if 0 < training <= LARGEST_ID else 'of that number'}.")
    return row


def rows(store: Store, who: Who, lora: str = "", limit: int = 100) -> list[Row]:
    """Those they may see, newest first."""
    seen, values = seen_by(who)
    only = " AND lora = ?" if lora else ""
    select = f"SELECT * FROM trainings WHERE removed IS NULL AND {seen}{only} ORDER BY id DESC LIMIT ?"
    return store.db.execute(select, [*values, *([lora] if lora else []), limit]).fetchall()


def others(store: Store, who: Who) -> list[Row]:
    """The open ones that they may not see: they too take the device."""
    seen, values = seen_by(who)
    return store.db.execute(f"SELECT * FROM trainings WHERE state IN {OPEN} AND NOT {seen} ORDER BY id", values).fetchall()


def open_of(store: Store, lora: str) -> Row | None:
    """The training of a LoRA that has not ended, or was stopped and can go on."""
    select = f"SELECT * FROM trainings WHERE lora = ? AND removed IS NULL AND state IN {(*OPEN, 'stopped')} ORDER BY id DESC LIMIT 1"
    return store.db.execute(select, [lora]).fetchone()


def add(db: sqlite3.Connection, values: Mapping[str, Any]) -> int:
    """values: by column; dataset as JSON-ready. In the caller's transaction."""
    kept: dict[str, Any] = {**values, "dataset": json.dumps(values["dataset"]), "state": "queued", "created": now()}
    found = db.execute(
        f"INSERT INTO trainings ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})", list(kept.values())
    ).lastrowid
    assert found is not None
    return found


def change(store: Store, training: int, **values: Any) -> None:
    """progress and failure as JSON-ready."""
    kept = {name: json.dumps(value) if name in ("progress", "failure") and value is not None else value for name, value in values.items()}
    sets = ", ".join(f"{name} = ?" for name in kept)
    store.db.execute(f"UPDATE trainings SET {sets} WHERE id = ?", [*kept.values(), training])


def set_state(store: Store, training: int, state: str, expected: tuple[str, ...], **values: Any) -> bool:
    """Changes a state if it is one of `expected`; whether it was. One that ends has no wish left open."""
    kept: dict[str, Any] = {"state": state, **values}
    if state in ENDED:
        kept |= {"finished": now(), "asked": ""}
    if "failure" in kept and kept["failure"] is not None:
        kept["failure"] = json.dumps(kept["failure"])
    sets, marks = ", ".join(f"{name} = ?" for name in kept), ", ".join("?" * len(expected))
    row = store.db.execute(
        f"UPDATE trainings SET {sets} WHERE id = ? AND state IN ({marks}) RETURNING id", [*kept.values(), training, *expected]
    ).fetchone()
    return row is not None


def ask(store: Store, training: int, wish: str) -> bool:
    """Notes what is wanted of one that has the device; False where it has not. A cancel is not taken back by a milder wish."""
    found = store.db.execute(
        f"UPDATE trainings SET asked = ? WHERE id = ? AND {HOLDING} AND asked != 'cancel' RETURNING id", [wish, training]
    ).fetchone()
    return found is not None


# The device.


def holder(store: Store) -> int | None:
    """The training that has the device, or waits for the worker to let go of it."""
    row = store.db.execute(f"SELECT id FROM trainings WHERE {HOLDING}").fetchone()
    return row["id"] if row else None


def free(store: Store, training: int, worker: str) -> None:
    """The worker says that it has let go of the device."""
    store.db.execute(f"UPDATE trainings SET freed = ? WHERE id = ? AND {HOLDING} AND freed IS NOT ?", [worker, training, worker])


def next_queued(store: Store) -> Row | None:
    """The one that waits longest; what the studio began by itself comes last."""
    return store.db.execute("SELECT * FROM trainings WHERE state = 'queued' ORDER BY automatic, id LIMIT 1").fetchone()


def something_waits(store: Store, gives_way: str, before: str | None = None) -> bool:
    """Whether pictures wait to be drawn for which a training lets go of the device: previews and what an admin put before all else,
    or with "jobs" whatever is not for idle times (priority -1); and jobs of any kind that came before the moment `before`."""
    wanted = {"previews": "jobs.tier = 'preview' OR jobs.priority > 0", "jobs": "1", "never": "0"}[gives_way]
    at = now()
    found = store.db.execute(
        f"""SELECT 1 FROM jobs WHERE state IN {ACTIVE} AND NOT paused AND priority >= 0 AND (not_before IS NULL OR not_before <= ?)
        AND ({wanted} OR created < ?) AND EXISTS (SELECT 1 FROM tasks WHERE tasks.job_id = jobs.id AND tasks.kind = 'draft'
            AND tasks.state IN ('waiting', 'leased') AND tasks.place IS NULL) LIMIT 1""",
        [at, before or ""],
    ).fetchone()
    return found is not None


# The device's time.


def begin_stretch(store: Store, training: int) -> int:
    found = store.db.execute("INSERT INTO training_stretches (training_id, started, seconds) VALUES (?, ?, 0)", [training, now()]).lastrowid
    assert found is not None
    return found


def time_stretch(store: Store, stretch: int, seconds: float, ended: str = "") -> None:
    values = [round(seconds, 2), ended, stretch]
    store.db.execute("UPDATE training_stretches SET seconds = ?, ended = ? WHERE id = ? AND ended = ''", values)


def device_seconds(store: Store, training: int) -> float:
    """How long a training has had the device, all stretches together."""
    select = "SELECT coalesce(sum(seconds), 0) FROM training_stretches WHERE training_id = ?"
    return float(store.db.execute(select, [training]).fetchone()[0])


def stretches(store: Store, training: int) -> list[Row]:
    return store.db.execute("SELECT * FROM training_stretches WHERE training_id = ? ORDER BY id", [training]).fetchall()


def left_over(store: Store) -> list[int]:
    """Those that had the device when the studio ended without a word: their stretches are closed; the trainings still hold it."""
    with store.write() as db:
        db.execute("UPDATE training_stretches SET ended = 'killed' WHERE ended = ''")
        return [row["id"] for row in db.execute(f"SELECT id FROM trainings WHERE {HOLDING}")]
