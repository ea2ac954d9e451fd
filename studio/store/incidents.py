"""What safety found: incidents of prompts and of pictures. Everything that writes works inside the caller's transaction."""
from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable
from typing import Literal

from pipelines.safety import Finding, fold
from studio.store.db import now

Done = Literal["refused", "asked", "confirmed", "marked"]


def hash_of(prompt: str, texts: Collection[str] = ()) -> str:
    """By which a prompt is known again, however it is written, without keeping it."""
    return hashlib.sha256("\n".join(" ".join(fold(text).split()) for text in (prompt, *texts)).encode("utf-8", "surrogatepass")).hexdigest()


def note_prompt(db: sqlite3.Connection, person: str, prompt_hash: str, findings: Iterable[Finding], version: int, done: Done) -> None:
    db.executemany(
        "INSERT INTO incidents (person, kind, rule, list, prompt_hash, action, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(person, finding.kind, finding.rule, version, prompt_hash, done, now()) for finding in findings],
    )


def confirmed(db: sqlite3.Connection, person: str, prompt_hash: str) -> set[str]:
    """Rules over which this person has confirmed this prompt."""
    only = "prompt_hash = ? AND person = ? AND action = 'confirmed'"
    rows = db.execute(f"SELECT DISTINCT rule FROM incidents WHERE {only}", [prompt_hash, person])
    return {row["rule"] for row in rows}


def stopped_by(db: sqlite3.Connection, prompt_hash: str, version: int) -> set[str]:
    """Rules of this version of the list by which this prompt was stopped before, whoever asked."""
    rows = db.execute(
        "SELECT DISTINCT rule FROM incidents WHERE prompt_hash = ? AND list = ? AND action IN ('refused', 'asked')", [prompt_hash, version]
    )
    return {row["rule"] for row in rows}


def marked_since(db: sqlite3.Connection, prompt_hash: str, person: str, since: str) -> set[str]:
    """Rules under which this prompt was marked from `since` on."""
    rows = db.execute(
        "SELECT DISTINCT rule FROM incidents WHERE prompt_hash = ? AND person = ? AND action = 'marked' AND created >= ?",
        [prompt_hash, person, since],
    )
    return {row["rule"] for row in rows}


def note_picture(db: sqlite3.Connection, image: int, person: str, kind: str, rule: str, version: int) -> None:
    """Once a picture and rule, however often it is measured."""
    db.execute(
        "INSERT INTO incidents (person, kind, rule, list, image_id, action, created) SELECT ?, ?, ?, ?, ?, 'marked', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM incidents WHERE image_id = ? AND rule = ?)",
        [person, kind, rule, version, image, now(), image, rule],
    )


def by_kind(db: sqlite3.Connection, since: str) -> list[dict[str, object]]:
    """How often what was found and done since a moment, over everybody: [{"kind", "rule", "action", "picture", "count"}], most first."""
    rows = db.execute(
        "SELECT kind, rule, action, image_id IS NOT NULL AS picture, count(*) AS count FROM incidents WHERE created >= ?"
        " GROUP BY kind, rule, action, picture ORDER BY count DESC, rule",
        [since],
    )
    return [{key: row[key] for key in ("kind", "rule", "action", "count")} | {"picture": bool(row["picture"])} for row in rows]
