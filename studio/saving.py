"""Pictures on their way to the disk, off the device's path: a file first, then its row, in the order that survives a crash."""
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from models.spec import Picture
from pipelines.tasks import Draft
from studio import files
from studio.cache import Cache
from studio.store import Store, images, jobs
from studio.store.jobs import Task

THREADS = 2
PENDING = 16  # pictures in memory at most; the device waits for the disk beyond that


class Tell(Protocol):
    def __call__(self, event: str, **message: object) -> None: ...


class Saver:
    """A small pool that writes pictures. `fail(task, error)` hears of what went wrong; `wake` is set when scoring can begin;
    `cache` learns from what each was made."""

    def __init__(
        self, store: Store, folder: Path, tell: Tell, wake: threading.Event, fail: Callable[[Task, BaseException], None], cache: Cache
    ) -> None:
        self._store, self._folder, self._tell, self._wake, self._fail = store, folder, tell, wake, fail
        self._cache = cache
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="saver")
        self._room = threading.BoundedSemaphore(PENDING)
        self._pending: set[Future[None]] = set()
        self._broken: BaseException | None = None

    def about(self, job: int, draft: Draft) -> dict[str, Any]:
        """What every picture of a batch says about its job."""
        row = jobs.job_row(self._store, job)
        return {"id": job, "created": row["created"], "request": jobs.request_of(row), "card": draft.card}

    def save(self, task: Task, draft: Draft, number: int, picture: Picture, about: dict[str, Any]) -> None:
        """Returns at once while there is room in the pool."""
        self._room.acquire()
        future = self._pool.submit(self._save, task, draft, number, picture, about)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        future.add_done_callback(self._done)

    def check(self) -> None:
        """Raises what kept a failure from being written down: then nobody would ever hear of that picture's task again."""
        if self._broken is not None:
            raise self._broken

    @property
    def busy(self) -> bool:
        return bool(self._pending)

    def wait(self) -> None:
        """Until everything handed in is on the disk and in the database."""
        wait(list(self._pending))

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if (error := future.exception()) is not None:
            self._broken = error
            self._wake.set()

    def _save(self, task: Task, draft: Draft, number: int, picture: Picture, about: dict[str, Any]) -> None:
        try:
            path = files.picture_path(about["created"], task.job, number)
            lineage = {"lineage": images.ancestors(self._store, task.job, number)}
            text = files.metadata(draft.spec, picture.seed, number, picture.image, draft.card, about | lineage, picture.details)
            files.write_picture(self._folder, path, picture.image, text)
            key = self._cache.key(draft, picture.seed, picture.details)
            with self._store.write() as db:
                image = images.mark_drawn(
                    db, task.job, number, path=path, width=picture.image.width, height=picture.image.height,
                    seconds=picture.seconds, details=picture.details,
                )  # fmt: skip
                if image is not None and key is not None:
                    self._cache.stamp(db, image, key, draft.card, picture.details)
                jobs.made_progress(db, task)
                whole = jobs.close_draft(db, task, stopped=False)
        except Exception as error:  # noqa: BLE001 - handed to the worker, which logs it whole
            self._fail(task, error)
            return
        if image is not None:
            self._tell("image", id=image)
        if whole:
            self._wake.set()
