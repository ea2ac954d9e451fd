"""The engine that is loaded: one a card, the old one freed before another is loaded."""
from __future__ import annotations

from collections.abc import Collection

from models.cards import Catalogue, ModelCard
from models.memory import Machine
from models.scorers import scorers_for
from models.scorers.technical import Technical
from models.spec import Engine, Scorer
from models.weights import Where

PREVIEW_SECONDS = 0.2  # between two previews of a candidate: more would cost the pictures time


class Engines:
    """kind: "local", or "scripted[:SECONDS A STEP]" for tests."""

    def __init__(self, kind: str, catalogue: Catalogue, device: str | None, where: Where, lowvram: bool = False) -> None:
        self.kind, _, seconds = kind.partition(":")
        self._step_seconds = float(seconds or 0)
        self._catalogue, self._device, self._where = catalogue, device, where
        self._lowvram = lowvram
        self.card: str | None = None  # the one that is loaded
        self._engine: Engine | None = None
        self.machine: Machine | None = None  # None before `prepare`, and for scripts

    @property
    def words(self) -> str:
        """The device in words; "" before `prepare`."""
        if self.kind == "scripted":
            return "Scripted engine"
        return self.machine.words if self.machine else ""

    def prepare(self) -> None:
        """Imports torch and looks at the device. Raises Unavailable."""
        if self.kind != "scripted" and self.machine is None:
            from models.machine import probe

            self.machine = probe(self._device, self._lowvram)

    def get(self, card: str) -> Engine:
        """The engine of a card, which loads when it first draws. Raises NotFound, Unavailable."""
        if self._engine is None or self.card != card:
            self.release()
            self._engine, self.card = self._make(card), card
        return self._engine

    def release(self) -> bool:
        """Frees what is loaded; False when nothing was."""
        if self._engine is None:
            return False
        self._engine.close()
        self._engine, self.card = None, None
        return True

    def scorers(self, card: ModelCard, asked: Collection[str] = ()) -> list[Scorer]:
        """What measures this card's pictures for a profile that asks for these dimensions. Raises NotFound for an unknown one."""
        if self.kind == "scripted":
            from models.scripted import ScriptedAdherence

            return [Technical(), ScriptedAdherence("adherence", channel=0), ScriptedAdherence("adherence_b", channel=1)]
        return scorers_for(card, self._where, asked=asked)

    def _make(self, card: str) -> Engine:
        found = self._catalogue.card(card)
        if self.kind == "scripted":
            from models.scripted import ScriptedEngine

            return ScriptedEngine(step_seconds=self._step_seconds, preview_seconds=PREVIEW_SECONDS)
        self.prepare()
        from models.local import LocalEngine

        assert self.machine is not None
        return LocalEngine(found, self.machine, models_dir=self._where, preview_seconds=PREVIEW_SECONDS)
