"""The exact cache: a candidate that was drawn before from the very same inputs is served from history instead of drawn again.

Candidate by candidate, not job by job: a request for eight of which four exist draws four. A served candidate is a picture of the
new job like any other, with its own file (a hard link where the disk has them), its scores measured once and judged anew for this
request; `served_from` names the picture it came from. Only what the person may see is served, never from the trash.

The key is the SHA-256 of the canonical JSON of all inputs. It is stored with each picture by the process that drew it, which alone
knows the precision for certain; whoever asks takes the precision in which the device last drew that model.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.cards import Catalogue
from models.errors import BadInput
from models.weights import Where, model_found
from pipelines.plan import Plan
from pipelines.profile import Profile
from pipelines.tasks import Draft
from studio import files
from studio.choosing import as_scores, for_stage, record
from studio.profiles import Profiles
from studio.settings import Settings
from studio.store import Store, images
from studio.store.db import days_ago, now
from studio.store.people import Who, visible

VERSION = 1  # to be raised when the same inputs no longer give the same picture
SCHEDULER = "flow-match euler"  # what every card is sampled with


class Cache:
    """Keys of what is drawn, and pictures served by them. Page and worker each have one over the same database.

    engine: "local" or "scripted...". where: the places that weights are looked for in. device: the device's words, under which its
    precisions are kept. Both are asked each time, for they change while the studio runs.
    """

    def __init__(
        self, store: Store, folder: Path, catalogue: Catalogue, engine: str, where: Callable[[], Where], device: Callable[[], str]
    ) -> None:
        self._store, self._folder, self._catalogue = store, folder, catalogue
        self._engine, self._where, self._device = engine.partition(":")[0], where, device
        self._profiles, self._settings = Profiles(store), Settings(store)

    # In the worker.

    def key(self, draft: Draft, seed: int, details: Mapping[str, object]) -> str | None:
        """The key of a picture just drawn; None when a file that it was made from is gone since."""
        revision = self._revision(draft.card)
        try:
            return None if revision is None else key_of(inputs_of(draft, seed, self._engine, revision, _precision(details)))
        except FileNotFoundError:
            return None

    def stamp(self, db: sqlite3.Connection, image: int, key: str, card: str, details: Mapping[str, object]) -> None:
        """Stores a picture's key, inside the caller's transaction."""
        db.execute("INSERT OR REPLACE INTO cache (image_id, key, used) VALUES (?, ?, ?)", [image, key, now()])
        db.execute("INSERT OR REPLACE INTO drawn_as VALUES (?, ?, ?)", [self._device(), card, _precision(details)])

    # In the page's process.

    def find(self, drafts: Sequence[Draft], who: Who) -> dict[int, sqlite3.Row]:
        """By candidate number, the pictures in history that were made from the same inputs. Unused for `cache.days` days, a picture is
        served no more, unless it is pinned."""
        row = self._store.db.execute(
            "SELECT precision FROM drawn_as WHERE device = ? AND card = ?", [self._device(), drafts[0].card]
        ).fetchone()
        revision = self._revision(drafts[0].card)  # of all drafts: a request is drawn by one model
        if row is None or revision is None:
            return {}
        keys = {
            number: key_of(inputs_of(draft, seed, self._engine, revision, row["precision"]))
            for draft in drafts
            for number, seed in zip(draft.numbers, draft.spec.seeds, strict=True)
        }
        known = self._known(list(keys.values()), who)
        return {number: known[key] for number, key in keys.items() if key in known}

    def serve(
        self, db: sqlite3.Connection, job: sqlite3.Row, placed: Mapping[int, Draft], found: Mapping[int, sqlite3.Row], plan: Plan
    ) -> None:
        """Fills batches that were just added to a job, inside the transaction that adds them. placed: the batches by position; found: by
        number, what `find` says of them. A batch that is served whole waits only to be measured by what nobody measured before."""
        profile = self._profiles.of_job(job)
        for position, draft in placed.items():
            held_to = for_stage(profile, plan, draft.stage)
            taken = [self._take(db, job, number, found[number], held_to, draft.card) for number in draft.numbers if number in found]
            if len(taken) == len(draft.numbers):
                self._close(db, job["id"], position, draft, measured=all(taken))
        db.execute("UPDATE jobs SET served = served + ? WHERE id = ?", [len(found), job["id"]])

    def _take(self, db: sqlite3.Connection, job: sqlite3.Row, number: int, source: sqlite3.Row, profile: Profile, card: str) -> bool:
        """Serves one candidate; whether all that the profile asks for was measured of it."""
        path = files.picture_path(job["created"], job["id"], number)
        _link(self._folder / source["path"], self._folder / path)
        details = json.loads(source["details"] or "{}")
        image = images.mark_drawn(
            db, job["id"], number, path=path, width=source["width"], height=source["height"], seconds=source["seconds"], details=details
        )
        assert image is not None
        db.execute("UPDATE images SET served_from = ? WHERE id = ?", [source["id"], image])
        db.execute("UPDATE cache SET used = ? WHERE image_id = ?", [now(), source["id"]])
        db.execute("INSERT INTO cache (image_id, key, used) VALUES (?, ?, ?)", [image, source["key"], now()])
        db.execute("INSERT INTO fingerprints SELECT ?, text FROM fingerprints WHERE image_id = ?", [image, source["id"]])
        measured = as_scores(images.scores_of(self._store, [source["id"]])[source["id"]])
        verdict = record(db, image, measured, profile, card)
        return verdict.verdict == "rejected" or {score.dimension for score in measured} >= set(profile.asked())

    def _close(self, db: sqlite3.Connection, job: int, position: int, draft: Draft, measured: bool) -> None:
        db.execute("UPDATE tasks SET state = 'done' WHERE job_id = ? AND kind = 'draft' AND position = ?", [job, position])
        if not measured:
            db.execute(
                "INSERT INTO tasks (job_id, kind, position, payload, state) VALUES (?, 'judge', ?, ?, 'waiting')",
                [job, position, json.dumps({"numbers": list(draft.numbers)})],
            )

    # How it is done.

    def _known(self, keys: Sequence[str], who: Who) -> dict[str, sqlite3.Row]:
        """The best picture by key: one's own before another's, the older before the newer; its file must be there, and measured."""
        seen, values = visible(who)
        marks = ", ".join("?" * len(keys))
        since = days_ago(self._settings.get("cache.days"))
        rows = self._store.db.execute(
            f"""SELECT images.*, cache.key FROM cache JOIN images ON images.id = cache.image_id
            WHERE cache.key IN ({marks}) AND {seen} AND images.state = 'drawn' AND images.trashed IS NULL
            AND (cache.used >= ? OR EXISTS (SELECT 1 FROM pins WHERE pins.image_id = images.id))
            AND EXISTS (SELECT 1 FROM scores WHERE scores.image_id = images.id)
            ORDER BY images.person = ? DESC, images.id""",
            [*keys, *values, since, who.name],
        )
        known: dict[str, sqlite3.Row] = {}
        for row in rows:
            if row["key"] not in known and (self._folder / row["path"]).is_file():
                known[row["key"]] = row
        return known

    def _revision(self, card: str) -> str | None:
        """What tells a model's weights from others under the same name: the files, their sizes and times. None when they are gone."""
        if self._engine != "local":
            return self._engine
        found = model_found(self._catalogue.card(card), self._where())
        if found is None:
            return None
        paths = sorted(path for path in found.folder.rglob("*") if path.is_file()) + [single.path for single in found.files.values()]
        stats = [(path.name, path.parent.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        return hashlib.sha256(json.dumps([found.revision, stats]).encode()).hexdigest()


def take_again(data: object) -> tuple[bool, object]:
    """Whether a submission wants everything drawn anew, and the rest of it. Raises BadInput."""
    if not isinstance(data, Mapping) or "again" not in data:
        return False, data
    again = data["again"]
    if again is not None and not isinstance(again, bool):
        raise BadInput("again", "again must be true or false.")
    return bool(again), {name: value for name, value in data.items() if name != "again"}


def inputs_of(draft: Draft, seed: int, engine: str, revision: str, precision: str) -> dict[str, Any]:
    """Everything that a picture depends on, JSON-ready; files by what is in them, whatever they are called."""
    spec, finish = draft.spec, draft.finish
    return {
        "version": VERSION,
        "engine": engine,
        "card": draft.card,
        "revision": revision,
        "precision": precision,
        "scheduler": SCHEDULER,
        "prompt": spec.prompt,
        "negative": spec.negative,
        "size": [spec.width, spec.height],
        "steps": spec.steps,
        "guidance": float(spec.guidance),
        "seed": seed,
        "loras": [[file_hash(lora.path), float(lora.weight)] for lora in spec.loras],
        "image": None if spec.image is None else file_hash(spec.image),
        "role": spec.role,
        "strength": None if spec.strength is None else float(spec.strength),
        "finish": None if finish is None else [float(finish.scale), finish.method, float(finish.strength), finish.steps],
    }


def key_of(inputs: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON: sorted names, no spaces, ASCII."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read again when its size or time changed. Raises OSError."""
    state = path.stat()
    return _file_hash(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=512)
def _file_hash(path: str, _size: int, _changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _precision(details: Mapping[str, object]) -> str:
    """As the engine says it; one that says nothing has only one."""
    return str(details.get("precision", ""))


def _link(source: Path, place: Path) -> None:
    """A second name for a file that is never changed in place; a copy where the disk knows no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # left by a crash between file and row
    try:
        os.link(source, place)
    except OSError:
        temporary = place.with_name(place.name + ".tmp")
        shutil.copyfile(source, temporary)
        os.replace(temporary, place)
