"""Pictures that a provider drew, on their way to the history: files first, then one transaction for rows, bill and batch.

A candidate's file has the same name whoever draws it, so doing this again after a crash replaces a file that no row knew of. A picture
that comes second (the slower of a hedged pair) is paid for and not kept.
"""
from __future__ import annotations

import io
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from models.cloud.spec import Drawn, Result
from models.finish import finish
from models.spec import Picture
from pipelines.health import Outcome
from studio import files
from studio.licences import terms_at
from studio.providers import Providers
from studio.store import Store, cloudhealth, cloudtasks, images, jobs, ledger
from studio.store.cloudtasks import Errand


@dataclass(frozen=True)
class Delivered:
    """images: ids of the pictures that are new. closed: the batch is over. refused: how many candidates the provider did not draw."""

    images: tuple[int, ...]
    closed: bool
    refused: int


class Delivery:
    """Writes what came; methods block on the disk and the database."""

    def __init__(self, store: Store, folder: Path, providers: Providers) -> None:
        self._store, self._folder, self._providers = store, folder, providers

    def deliver(self, errand: Errand, result: Result) -> Delivered:
        """Writes a call's pictures and settles its charge. Raises StudioError when the disk does not take them."""
        missing = jobs.missing(self._store, errand.task.job, errand.draft.numbers)
        pairs = zip(errand.draft.numbers, errand.draft.spec.seeds, _padded(result, len(errand.draft.numbers)), strict=True)
        written: dict[int, tuple[str, Picture]] = {}
        for number, seed, drawn in pairs:
            if drawn is not None and not drawn.flagged and number in missing:
                written[number] = self._write(errand, number, seed, drawn)
        with self._store.write() as db:
            return self._record(db, errand, result, written)

    def _write(self, errand: Errand, number: int, seed: int, drawn: Drawn) -> tuple[str, Picture]:
        draft, job = errand.draft, errand.task.job
        with Image.open(io.BytesIO(drawn.data)) as opened:
            image = opened.convert("RGB")
        told: dict[str, Any] = {"provider": errand.provider, "model": errand.model}
        if drawn.seed is not None and drawn.seed != seed:
            told["seed"] = drawn.seed  # the provider's own: a seed is not the same picture elsewhere
        picture = Picture(seed, image, 0.0, {"cloud": told})
        if draft.finish is not None:
            picture = finish(None, picture, draft.finish, draft.spec)
        row = jobs.job_row(self._store, job)
        path = files.picture_path(row["created"], job, number)
        about = {
            "id": job, "created": row["created"], "request": jobs.request_of(row), "card": draft.card,
            "licence": terms_at(self._providers, errand.place), "lineage": images.ancestors(self._store, job, number),
        }  # fmt: skip
        text = files.metadata(draft.spec, seed, number, picture.image, f"{errand.provider} {errand.model}", about, picture.details)
        files.write_picture(self._folder, path, picture.image, text)
        return path, picture

    def _record(self, db: sqlite3.Connection, errand: Errand, result: Result, written: dict[int, tuple[str, Picture]]) -> Delivered:
        job = errand.task.job
        new = []
        for number, (path, picture) in written.items():
            image = images.mark_drawn(
                db, job, number, path=path, width=picture.image.width, height=picture.image.height, seconds=None, details=picture.details
            )
            if image is not None:
                db.execute("UPDATE images SET place = ? WHERE id = ?", [errand.place, image])
                new.append(image)
        ledger.settle(db, errand.charge, result.billed_micro, seconds=result.seconds, told=told_by(result, errand))
        observe(db, errand, "ok", result.seconds)
        marks = ", ".join("?" * len(errand.draft.numbers))
        rows = db.execute(
            f"SELECT number, state FROM images WHERE job_id = ? AND number IN ({marks})", [job, *errand.draft.numbers]
        ).fetchall()
        undrawn = [row["number"] for row in rows if row["state"] != "drawn"]
        others = [one for one in cloudtasks.live(db, errand.task.id) if one["id"] != errand.charge]
        if undrawn and others:
            return Delivered(tuple(new), False, len(undrawn))  # the other of the pair may still bring them
        if undrawn:
            cloudtasks.fail_numbers(db, job, undrawn)
        jobs.made_progress(db, errand.task)
        is_open = db.execute("SELECT 1 FROM tasks WHERE id = ? AND state IN ('waiting', 'leased')", [errand.task.id]).fetchone()
        if is_open is not None:
            jobs.close_draft(db, errand.task, stopped=bool(undrawn))
        elif new:  # the batch was ended meanwhile, but what was paid for is kept
            numbers = [number for number in written if number not in undrawn]
            cloudtasks.judge_late(db, errand.task, numbers)
        if undrawn:
            cloudtasks.end_if_nothing_came(db, job, _refusal(errand, len(undrawn)))
        return Delivered(tuple(new), is_open is not None, len(undrawn))


def told_by(result: Result, errand: Errand) -> bool | None:
    """Whether the amount is the provider's own word: BFL alone names one, everybody else's is the table's."""
    return None if errand.provider == "bfl" else False


def observe(
    db: sqlite3.Connection, errand: Errand, outcome: Outcome, seconds: float, retry_after: float | None = None, words: str = ""
) -> None:
    """Learns from a call, inside the caller's transaction."""
    where = (errand.provider, errand.model)
    cloudhealth.change(
        db, lambda healths: healths.observe(*where, outcome, seconds, time.time(), retry_after=retry_after, words=words)
    )


def _padded(result: Result, count: int) -> list[Drawn | None]:
    """One entry a candidate, whatever the provider sent."""
    return [*result.pictures, *([None] * count)][:count]


def _refusal(errand: Errand, count: int) -> tuple[str, str, str]:
    what = f"{errand.provider} did not deliver {count} of {len(errand.draft.numbers)} pictures."
    return what, "Its safety checker objected to them, or they were missing from its answer.", "Change the prompt, or draw it here."

