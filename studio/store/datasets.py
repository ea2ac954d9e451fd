"""Sets of pictures in SQLite. Their files lie at `datasets/ab/<SHA-256>.<suffix>` below the data folder, each once, whoever brought it."""
from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import NotFound
from pipelines.dataset import Sample
from studio.store.db import Store, days_ago, now
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who, visible

Row = sqlite3.Row
PUT_AWAY_DAYS = 30
SETTINGS = ("title", "kind", "trigger", "card", "resolution", "fit", "shared")


def file_path(sha256: str, suffix: str) -> str:
    return f"datasets/{sha256[:2]}/{sha256}.{suffix}"


def thumb_path(sha256: str) -> str:
    return f"thumbs/datasets/{sha256[:2]}/{sha256}.webp"


# Sets.


def triggers(store: Store) -> frozenset[str]:
    """Trigger words of all datasets, whoever's they are."""
    return frozenset(row["trigger"] for row in store.db.execute('SELECT DISTINCT "trigger" FROM datasets'))


def add(store: Store, who: Who, values: Mapping[str, Any]) -> int:
    at = now()
    found = store.db.execute(
        'INSERT INTO datasets (person, title, kind, "trigger", card, resolution, fit, created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        [who.name, *(values[name] for name in SETTINGS[:-1]), at, at],
    ).lastrowid
    assert found is not None
    return found


def row_of(store: Store, dataset: int, who: Who | None = None, own: bool = False) -> Row:
    """Raises NotFound, also for one that `who` may not see, or with `own` is not theirs."""
    row = None
    if 0 < dataset <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM datasets WHERE id = ?", [dataset]).fetchone()
    if row is None or (who is not None and not (row["person"] == who.name if own else who.sees(row["person"], row["shared"]))):
        raise NotFound("There is no such dataset.", "", "The list of datasets shows those there are.")
    return row


def rows(store: Store, who: Who, removed: bool = False) -> list[Row]:
    """Those they may see, the one last changed first; with `removed` their own that were put away."""
    seen, values = visible(who, "datasets")
    only = f"{seen} AND removed IS NULL" if not removed else f"{seen} AND removed IS NOT NULL AND person = ?"
    return store.db.execute(
        f"SELECT * FROM datasets WHERE {only} ORDER BY changed DESC, id DESC", [*values, *([who.name] if removed else [])]
    ).fetchall()


def change(store: Store, dataset: int, values: Mapping[str, Any]) -> None:
    """values: of SETTINGS."""
    assert set(values) <= set(SETTINGS)
    names = [*values, "changed"]
    sets = ", ".join(f'"{name}" = ?' for name in names)
    store.db.execute(f"UPDATE datasets SET {sets} WHERE id = ?", [*values.values(), now(), dataset])


def remove(store: Store, dataset: int, removed: bool) -> None:
    store.db.execute("UPDATE datasets SET removed = ?, changed = ? WHERE id = ?", [now() if removed else None, now(), dataset])


# Pictures.


def add_image(db: sqlite3.Connection, dataset: int, values: Mapping[str, Any]) -> int:
    """values: by column. In the caller's transaction."""
    columns = ["dataset_id", "created", *values]
    found = db.execute(
        f"INSERT INTO dataset_images ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", [dataset, now(), *values.values()]
    ).lastrowid
    db.execute("UPDATE datasets SET changed = ? WHERE id = ?", [now(), dataset])
    assert found is not None
    return found


def images_of(store: Store, dataset: int, removed: bool = False) -> list[Row]:
    """In the order of their names as people count: "2.png" before "10.png"; several are brought at once, and come as it happens."""
    only = "IS NOT NULL" if removed else "IS NULL"
    found = store.db.execute(f"SELECT * FROM dataset_images WHERE dataset_id = ? AND removed {only}", [dataset]).fetchall()
    return sorted(found, key=lambda row: (_counted(row["name"]), row["id"]))


def _counted(name: str) -> list[tuple[int, int, str]]:
    parts = (part for part in re.split(r"(\d+)", name.casefold()) if part)
    return [(0, int(part[:30]), "") if part.isdecimal() else (1, 0, part) for part in parts]


def known(store: Store, dataset: int, sha256: str) -> Row | None:
    """The picture of a set with these bytes, one that is in it before one that was taken out."""
    select = "SELECT * FROM dataset_images WHERE dataset_id = ? AND sha256 = ? ORDER BY removed IS NOT NULL, id LIMIT 1"
    return store.db.execute(select, [dataset, sha256]).fetchone()


def count(store: Store, dataset: int) -> int:
    return int(store.db.execute("SELECT count(*) FROM dataset_images WHERE dataset_id = ? AND removed IS NULL", [dataset]).fetchone()[0])


def first(store: Store, dataset: int) -> int | None:
    """The id of the picture that came first, for a cover."""
    return store.db.execute("SELECT min(id) FROM dataset_images WHERE dataset_id = ? AND removed IS NULL", [dataset]).fetchone()[0]


def image_row(store: Store, dataset: int, image: int) -> Row:
    """Raises NotFound."""
    row = None
    if 0 < image <= LARGEST_ID:
        row = store.db.execute("SELECT * FROM dataset_images WHERE id = ? AND dataset_id = ?", [image, dataset]).fetchone()
    if row is None:
        raise NotFound("There is no such picture in this dataset.", "It may have been taken out.", "Look at the dataset again.")
    return row


def set_images(store: Store, dataset: int, changes: Mapping[int, Mapping[str, Any]]) -> int:
    """Columns by picture, all or nothing; how many pictures there were. Ids of another set change nothing."""
    changed = 0
    with store.write() as db:
        for image, values in changes.items():
            sets = ", ".join(f"{name} = ?" for name in values)
            changed += db.execute(
                f"UPDATE dataset_images SET {sets} WHERE id = ? AND dataset_id = ?", [*values.values(), image, dataset]
            ).rowcount
        db.execute("UPDATE datasets SET changed = ? WHERE id = ?", [now(), dataset])
    return changed


def sample(row: Row, folder: Path) -> Sample:
    crop = tuple(json.loads(row["crop"])) if row["crop"] else None
    path = folder / file_path(row["sha256"], row["suffix"])
    return Sample(row["sha256"], row["name"], row["width"], row["height"], row["caption"], crop, path)


# Captions that the worker proposes.


def ask(store: Store, dataset: int, images: Sequence[int]) -> int:
    """Puts pictures in line for a proposed caption; how many."""
    at = now()
    return set_images(store, dataset, {image: {"asked": at, "told": ""} for image in images}) if images else 0


def unask(store: Store, dataset: int) -> None:
    store.db.execute("UPDATE dataset_images SET asked = NULL WHERE dataset_id = ? AND asked IS NOT NULL", [dataset])


def next_asked(store: Store, limit: int) -> list[Row]:
    """The pictures that have waited longest, of one set."""
    first = store.db.execute(
        "SELECT dataset_id FROM dataset_images WHERE asked IS NOT NULL AND removed IS NULL ORDER BY asked, id LIMIT 1"
    ).fetchone()
    if first is None:
        return []
    return store.db.execute(
        "SELECT * FROM dataset_images WHERE dataset_id = ? AND asked IS NOT NULL AND removed IS NULL ORDER BY asked, id LIMIT ?",
        [first["dataset_id"], limit],
    ).fetchall()


def propose(store: Store, image: int, asked: str, caption: str, told: str = "") -> None:
    """Writes a proposed caption down, unless whoever asked has typed one or given up meanwhile."""
    values = ["proposed", caption] if caption else []
    sets = "source = ?, caption = ?, " if caption else ""
    with store.write() as db:
        db.execute(
            f"UPDATE dataset_images SET {sets}asked = NULL, told = ? WHERE id = ? AND asked = ?", [*values, told, image, asked]
        )
        db.execute("UPDATE datasets SET changed = ? WHERE id = (SELECT dataset_id FROM dataset_images WHERE id = ?)", [now(), image])


# Versions, and which LoRAs were trained on them.


def add_version(store: Store, dataset: int, hash_: str, body: Mapping[str, Any], person: str, note: str) -> int:
    """The number of the version with this hash; a new one where there is none."""
    with store.write() as db:
        row = db.execute("SELECT number FROM dataset_versions WHERE dataset_id = ? AND hash = ?", [dataset, hash_]).fetchone()
        if row is not None:
            return int(row["number"])
        last = db.execute("SELECT coalesce(max(number), 0) FROM dataset_versions WHERE dataset_id = ?", [dataset]).fetchone()[0]
        db.execute(
            "INSERT INTO dataset_versions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [dataset, last + 1, hash_, json.dumps(body), person, note, now()],
        )
        return int(last) + 1


def versions(store: Store, dataset: int) -> list[Row]:
    """Newest first."""
    return store.db.execute("SELECT * FROM dataset_versions WHERE dataset_id = ? ORDER BY number DESC", [dataset]).fetchall()


def version_row(store: Store, dataset: int, number: int) -> Row:
    """Raises NotFound."""
    select = "SELECT * FROM dataset_versions WHERE dataset_id = ? AND number = ?"
    row = store.db.execute(select, [dataset, number]).fetchone() if 0 < number <= LARGEST_ID else None
    if row is None:
        raise NotFound(f"There is no version {number if 0 < number <= LARGEST_ID else 'of that number'} of this dataset.")
    return row


def uses(store: Store, dataset: int | None = None, lora: str | None = None) -> list[Row]:
    """Which versions of LoRAs that are not in the trash were trained on a set: lora, title, number, dataset_id, taken (the set's version),
    hash; of each LoRA its newest version first."""
    only, values = ["lora_versions.dataset IS NOT NULL", "dataset_id IS NOT NULL"], []
    for column, value in (("dataset_id", dataset), ("loras.name", lora)):
        if value is not None:
            only.append(f"{column} = ?")
            values.append(value)
    return store.db.execute(
        f"""SELECT loras.name AS lora, loras.title, lora_versions.number, json_extract(lora_versions.dataset, '$.dataset') AS dataset_id,
        json_extract(lora_versions.dataset, '$.version') AS taken, json_extract(lora_versions.dataset, '$.hash') AS hash
        FROM lora_versions JOIN loras ON loras.id = lora_versions.lora_id
        WHERE {" AND ".join(only)} AND NOT EXISTS (SELECT 1 FROM lora_trash
            WHERE lora_trash.lora_id = lora_versions.lora_id AND lora_trash.number = lora_versions.number)
        ORDER BY loras.name, lora_versions.number DESC""",
        values,
    ).fetchall()


# Tidying up.


def forget(store: Store) -> None:
    """Forgets sets and pictures that were put away long ago, and that no version needs."""
    before = days_ago(PUT_AWAY_DAYS)
    with store.write() as db:
        old = "SELECT id FROM datasets WHERE removed < ? AND id NOT IN (SELECT dataset_id FROM dataset_versions)"
        db.execute(f"DELETE FROM dataset_images WHERE dataset_id IN ({old})", [before])
        db.execute(f"DELETE FROM datasets WHERE id IN ({old})", [before])
        db.execute("DELETE FROM dataset_images WHERE removed < ?", [before])


def needed(store: Store) -> set[str]:
    """SHA-256 of every file that a set or a version of one has."""
    found = {row["sha256"] for row in store.db.execute("SELECT DISTINCT sha256 FROM dataset_images")}
    for row in store.db.execute("SELECT body FROM dataset_versions"):
        found |= {one["sha256"] for one in json.loads(row["body"])["images"]}
    return found


