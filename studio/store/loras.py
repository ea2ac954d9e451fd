"""Rows of LoRAs and their versions: who sees which, where the aliases stand, and what history needs."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence

from models.errors import NotFound
from studio.store.db import Store, now
from studio.store.people import Who

ALIASES = ("production", "candidate")
# A version that can be used: not in the trash.
LIVE = "NOT EXISTS (SELECT 1 FROM lora_trash AS gone WHERE gone.lora_id = versions.lora_id AND gone.number = versions.number)"


def seen_by(who: Who, table: str = "loras") -> tuple[str, list[str]]:
    """An SQL condition on `table` for the LoRAs that they may see, and its parameters."""
    marks = ", ".join("?" * len(who.projects))
    condition = f"({table}.owner = ? OR {table}.access = 'everyone' OR ({table}.access = 'project' AND {table}.project IN ({marks})))"
    return condition, [who.name, *who.projects]


def sees(row: sqlite3.Row, who: Who) -> bool:
    """The same, of a row of loras."""
    return row["owner"] == who.name or row["access"] == "everyone" or (row["access"] == "project" and row["project"] in who.projects)


def lora_row(store: Store, name: str, who: Who) -> sqlite3.Row:
    """Raises NotFound, also for one that they may not see."""
    row = store.db.execute("SELECT * FROM loras WHERE name = ?", [name]).fetchone()
    if row is None or not sees(row, who):
        raise NotFound(f'There is no LoRA called "{name[:40]}".', "", "The LoRAs tab lists those there are.")
    return row


def lora_rows(store: Store, who: Who) -> list[sqlite3.Row]:
    """All that they may see, by title."""
    seen, values = seen_by(who)
    return store.db.execute(f"SELECT * FROM loras WHERE {seen} ORDER BY title COLLATE NOCASE, name", values).fetchall()


def names(store: Store, who: Who) -> list[str]:
    """Of those that they may see and that have a version to draw with."""
    seen, values = seen_by(who)
    live = f"EXISTS (SELECT 1 FROM lora_versions AS versions WHERE versions.lora_id = loras.id AND {LIVE})"
    rows = store.db.execute(f"SELECT name FROM loras WHERE {seen} AND {live} ORDER BY name", values)
    return [row["name"] for row in rows]


def version_rows(store: Store, lora_ids: Collection[int], trashed: bool = False) -> dict[int, list[sqlite3.Row]]:
    """The versions of each, newest first, without those in the trash; or those alone, with when and by whom."""
    found: dict[int, list[sqlite3.Row]] = {lora: [] for lora in lora_ids}
    marks = ", ".join("?" * len(found))
    if trashed:
        select = (
            "SELECT versions.*, lora_trash.trashed, lora_trash.purged, lora_trash.person AS trashed_by FROM lora_versions_told AS versions"
            f" JOIN lora_trash USING (lora_id, number) WHERE versions.lora_id IN ({marks})"
        )
    else:
        select = f"SELECT versions.* FROM lora_versions_told AS versions WHERE versions.lora_id IN ({marks}) AND {LIVE}"
    for row in store.db.execute(f"{select} ORDER BY versions.number DESC", list(found)):
        found[row["lora_id"]].append(row)
    return found


def version_row(store: Store, lora: sqlite3.Row, number: int) -> sqlite3.Row:
    """As it is described by now; also one in the trash. Raises NotFound."""
    row = None
    if 0 < number < 2**31:
        row = store.db.execute("SELECT * FROM lora_versions_told WHERE lora_id = ? AND number = ?", [lora["id"], number]).fetchone()
    if row is None:
        raise NotFound(f"There is no {lora['name']}/v{number}.", "", "The LoRAs tab lists its versions.")
    return row


def trash_row(store: Store, lora: int, number: int) -> sqlite3.Row | None:
    """None for a version that is in use."""
    return store.db.execute("SELECT * FROM lora_trash WHERE lora_id = ? AND number = ?", [lora, number]).fetchone()


def next_number(db: sqlite3.Connection, lora: int) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) + 1 FROM lora_versions WHERE lora_id = ?", [lora]).fetchone()[0])


# Aliases.


def aliases(store: Store, lora_ids: Collection[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {lora: {} for lora in lora_ids}
    marks = ", ".join("?" * len(found))
    for row in store.db.execute(f"SELECT * FROM lora_aliases WHERE lora_id IN ({marks})", list(found)):
        found[row["lora_id"]][row["alias"]] = row["number"]
    return found


def current(store: Store, lora: int) -> int | None:
    """The version that is drawn with when nobody names one: production, else the newest; None where there is none."""
    row = store.db.execute("SELECT number FROM lora_aliases WHERE lora_id = ? AND alias = 'production'", [lora]).fetchone()
    if row is None:
        select = f"SELECT max(number) AS number FROM lora_versions AS versions WHERE lora_id = ? AND {LIVE}"
        row = store.db.execute(select, [lora]).fetchone()
    return row["number"]


def move(
    db: sqlite3.Connection, lora: int, alias: str, to: int | None, person: str, reason: str = "", forced: bool = False, back: bool = False
) -> int | None:
    """Moves an alias inside the caller's transaction, `to` None takes it off; where it stood."""
    row = db.execute("SELECT number FROM lora_aliases WHERE lora_id = ? AND alias = ?", [lora, alias]).fetchone()
    stood = row["number"] if row else None
    if to is None:
        db.execute("DELETE FROM lora_aliases WHERE lora_id = ? AND alias = ?", [lora, alias])
    else:
        db.execute("INSERT OR REPLACE INTO lora_aliases VALUES (?, ?, ?)", [lora, alias, to])
    db.execute(
        "INSERT INTO lora_moves (lora_id, alias, from_number, to_number, back, person, created, reason, forced)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [lora, alias, stood, to, back, person, now(), reason, forced]
    )
    return stood


def moves(db: sqlite3.Connection, lora: int, alias: str | None = None) -> list[sqlite3.Row]:
    """As they happened, oldest first."""
    only, values = ("", []) if alias is None else (" AND alias = ?", [alias])
    return db.execute(f"SELECT * FROM lora_moves WHERE lora_id = ?{only} ORDER BY id", [lora, *values]).fetchall()


def before(rows: Sequence[sqlite3.Row]) -> list[int]:
    """Where an alias stood before it came to where it stands, the latest last: what rollbacks go back through, one after the other.

    rows: the alias' moves, oldest first. A rollback takes back a move and is none itself: after v1, v2, v3 and one rollback (to v2), the
    next goes to v1, not to v3 again.
    """
    stack: list[int] = []
    for row in rows:
        if row["back"]:
            while stack and stack[-1] != row["to_number"]:
                stack.pop()
            stack = stack[:-1]
        elif row["from_number"] is not None and row["from_number"] != row["to_number"]:
            stack.append(row["from_number"])
    return stack


def describe(db: sqlite3.Connection, lora: int, number: int, said: Mapping[str, str], person: str) -> None:
    """What is said of a version from now on: triggers (JSON), licence, note. Inside the caller's transaction."""
    db.execute(
        "INSERT INTO lora_words (lora_id, number, triggers, licence, note, person, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [lora, number, said["triggers"], said["licence"], said["note"], person, now()],
    )


def described(store: Store, lora: int, number: int) -> list[sqlite3.Row]:
    """What was said of a version after it came in, newest first."""
    select = "SELECT * FROM lora_words WHERE lora_id = ? AND number = ? ORDER BY id DESC"
    return store.db.execute(select, [lora, number]).fetchall()


# What history knows of them.


def worn(store: Store, jobs: Collection[int]) -> dict[int, list[str]]:
    """The LoRAs that jobs were asked for with, by job, each as "ceramic/v3"; jobs without any are left out."""
    marks = ", ".join("?" * len(jobs))
    rows = store.db.execute(
        "SELECT jobs.id, one.value AS lora FROM jobs, json_each(jobs.request, '$.loras') AS one"
        f" WHERE jobs.id IN (SELECT job_id FROM job_loras WHERE job_id IN ({marks})) ORDER BY jobs.id, one.key", list(jobs)
    )  # fmt: skip
    found: dict[int, list[str]] = {}
    for row in rows:
        lora = json.loads(row["lora"])
        found.setdefault(row["id"], []).append(words(lora["name"], lora.get("version")))
    return found


def words(name: str, version: int | None) -> str:
    """ "ceramic/v3"; of a job from before there were versions the name alone."""
    return f"{name}/v{version}" if version else name


def needed_by(store: Store, name: str, number: int) -> tuple[int, int]:
    """Pictures in history (the trash included) that a version drew, and jobs that are still to be drawn with it. What was drawn only to
    judge it keeps no version."""
    worn_by = (
        "SELECT jobs.id FROM job_loras JOIN jobs ON jobs.id = job_loras.job_id, json_each(jobs.request, '$.loras') AS one"
        " WHERE job_loras.lora = ? AND json_extract(one.value, '$.name') = ? AND json_extract(one.value, '$.version') = ?"
    )
    values, judged = [name, name, number], "SELECT job_id FROM evaluation_cells WHERE job_id IS NOT NULL"
    drawn = f"SELECT count(*) FROM images WHERE state = 'drawn' AND job_id IN ({worn_by}) AND job_id NOT IN ({judged})"
    to_do = f"SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND id IN ({worn_by})"
    found = [int(store.db.execute(count, values).fetchone()[0]) for count in (drawn, to_do)]
    judging = store.db.execute(  # one that is being judged has pictures to come
        "SELECT count(*) FROM evaluations JOIN loras ON loras.id = lora_id WHERE state = 'running' AND name = ? AND ? IN (number, against)",
        [name, number],
    ).fetchone()[0]
    return found[0], found[1] + judging


# Verdicts of evaluations.


def add_verdict(
    db: sqlite3.Connection, lora: int, number: int, verdict: str, said: str, scores: dict[str, float], evaluation: int | None
) -> None:
    """Inside the caller's transaction."""
    db.execute(
        "INSERT INTO lora_verdicts (lora_id, number, verdict, words, scores, evaluation, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [lora, number, verdict, said, json.dumps(scores), evaluation, now()],
    )


def verdicts(store: Store, lora_ids: Collection[int]) -> dict[tuple[int, int], sqlite3.Row]:
    """The newest of each version, by LoRA and number."""
    marks = ", ".join("?" * len(lora_ids))
    # With a lone max(), SQLite takes the other columns from the row that has it.
    rows = store.db.execute(
        f"SELECT max(id), lora_verdicts.* FROM lora_verdicts WHERE lora_id IN ({marks}) GROUP BY lora_id, number", list(lora_ids)
    )
    return {(row["lora_id"], row["number"]): row for row in rows}
