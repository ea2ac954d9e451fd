"""In the worker: where pictures and prompts of evaluations lie, by the CLIP of adherence; a few at a time, when nothing waits."""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image, ImageOps

from models.cards import Catalogue
from models.errors import StudioError
from models.scorers import prompt_encoder
from models.scripted import ScriptedLooks
from models.weights import Where
from studio.engines import Engines
from studio.store import Store, evaluations
from studio.store.evaluations import Row

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

log = logging.getLogger(__name__)

AT_ONCE = 8


class Sees(Protocol):
    """`models.scorers.adherence.Adherence`, as far as it is needed here."""

    name: str
    version: str

    def missing(self) -> str: ...

    def looks(self, pictures: Sequence[Picture]) -> np.ndarray: ...

    def prompts(self, prompts: Sequence[str]) -> np.ndarray: ...

    def close(self) -> None: ...


class Looking:
    """tell: to the page, which hears {"event": "evaluation", "id"} of each few."""

    def __init__(self, store: Store, folder: Path, catalogue: Catalogue, where: Where, tell: Callable[..., None], engines: Engines) -> None:
        self._store, self._folder, self._catalogue, self._where = store, folder, catalogue, where
        self._tell, self._engines = tell, engines
        self._eye: tuple[str, Sees] | None = None

    def catch_up(self) -> int:
        """Looks at the next few; how many there were. The CLIP is freed after the last."""
        rows = evaluations.next_vectors(self._store, AT_ONCE)
        if not rows:
            self.release()
            return 0
        found: list[tuple[np.ndarray | None, str]]
        space = ""
        try:
            eye = self._of(rows[0]["card"])
            found = [(None, why)] * len(rows) if (why := eye.missing()) else [self._look(eye, row) for row in rows]
            space = f"{eye.name} {eye.version}"
        except Exception as error:  # what cannot be looked at must not come up for ever
            log.exception("evaluation %d could not be looked at", rows[0]["evaluation_id"])
            why = str(error) if isinstance(error, StudioError) else f"A bug: {type(error).__name__}. See logs/worker.log."
            found = [(None, why)] * len(rows)
        evaluations.keep_vectors(self._store, rows, found, space)
        self._tell("evaluation", id=rows[0]["evaluation_id"])
        return len(rows)

    def release(self) -> None:
        if self._eye is not None:
            self._eye[1].close()
            self._eye = None

    def _look(self, eye: Sees, row: Row) -> tuple[np.ndarray | None, str]:
        if row["kind"] in ("concept", "ordinary"):
            return eye.prompts([row["source"]])[0], ""
        try:
            with Image.open(self._folder / row["source"]) as image:
                return eye.looks([ImageOps.exif_transpose(image).convert("RGB")])[0], ""
        except OSError as error:
            return None, f"{row['source']} cannot be read: {error.strerror or error}."

    def _of(self, card: str) -> Sees:
        if self._eye is None or self._eye[0] != card:
            self.release()
            scripted = self._engines.kind == "scripted"
            self._eye = card, ScriptedLooks() if scripted else prompt_encoder(self._catalogue.card(card), self._where)
        return self._eye[1]
