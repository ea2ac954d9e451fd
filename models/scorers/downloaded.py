"""What scorers share whose weights are downloaded: they look for them each time, load once, and say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from models.scorers import weights
from models.scorers.catalogue import ScorerCard
from models.spec import Score, ScoreContext
from models.threads import compute
from models.weights import Where

if TYPE_CHECKING:
    from PIL.Image import Image

Model = TypeVar("Model")


class Downloaded(Generic[Model]):
    """A scorer by the name of its card. `_load` reads the weights of a folder, `_measure` answers one row of values a picture in the
    order of `dimensions`; both run on the computing thread. Built without reading anything.

    `version` names the weights as soon as they are there, so that what is learned on them counts for them alone. `digits`: decimals kept.
    """

    digits = 1

    def __init__(self, card: ScorerCard, where: Where = None, device: str = "cpu") -> None:
        self.card, self.where, self.device = card, where, device
        self.name, self.dimensions = card.name, tuple(card.dimensions)
        self.version = ""
        self._folder: Path | None = None
        self._model: Model | None = None

    def missing(self) -> str:
        """Why it cannot measure; "" when it can."""
        return weights.missing(self.card, self.where)

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`; *not scored* while the weights are not here."""
        if self._ready() is None:
            note = self.missing()
            return [[Score(name, None, self.name, "", note) for name in self.dimensions] for _ in pictures]
        rows = compute(lambda: self._measure(self._loaded(), pictures, context))
        named = [zip(self.dimensions, row, strict=True) for row in rows]
        return [[Score(name, round(value, self.digits), self.name, self.version) for name, value in row] for row in named]

    def close(self) -> None:
        """Frees the weights; the next picture loads them again."""
        self._model, self._folder = None, None

    def _ready(self) -> Path | None:
        """The folder with the weights; forgets what was loaded from another one."""
        assert self.card.weights is not None
        folder = weights.found(self.card.weights, self.where)
        if folder != self._folder:
            self.close()
            self._folder = folder
            self.version = weights.version(self.card.weights, folder) if folder else ""
        return folder

    def _loaded(self) -> Model:
        assert self._folder is not None
        if self._model is None:
            self._model = self._load(self._folder)
        return self._model

    def _load(self, folder: Path) -> Model:
        raise NotImplementedError

    def _measure(self, model: Model, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        raise NotImplementedError
