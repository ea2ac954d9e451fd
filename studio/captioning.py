"""Captions that are proposed: the worker writes them a few at a time, and the page offers what it takes to write them."""
from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from models.captioner import Captioner, CaptionerCard, Seen, captioner_for, load_captioners
from models.cards import Catalogue
from models.errors import NotFound, StudioError
from models.scorers import weights
from models.weights import Where
from pipelines.captioning import worded
from pipelines.dataset import load_kinds
from studio.downloads import Goods
from studio.engines import Engines
from studio.events import Hub
from studio.shelf import HUB, Shelf
from studio.store import Store, datasets
from studio.store.datasets import file_path
from studio.store.jobs import NotNow
from studio.store.people import NotYours, Who
from studio.store.views import Json

log = logging.getLogger(__name__)

KIND = "captioner"  # of downloads
AT_ONCE = 4  # pictures between two looks at the queue


class Captioning:
    """In the worker. tell: to the page, which hears {"event": "dataset", "id"} of each few captions. engines: know the device."""

    def __init__(self, store: Store, folder: Path, catalogue: Catalogue, where: Where, tell: Callable[..., None], engines: Engines) -> None:
        self._store, self._folder, self._catalogue, self._where, self._tell = store, folder, catalogue, where, tell
        self._engines = engines
        self._captioner: tuple[str, Captioner] | None = None

    def catch_up(self) -> int:
        """Writes the next few captions that somebody asked for; how many pictures were looked at. The captioner is freed after the last."""
        rows = datasets.next_asked(self._store, AT_ONCE)
        if not rows:
            self.release()
            return 0
        owner = datasets.row_of(self._store, rows[0]["dataset_id"])
        kind = load_kinds()[0][owner["kind"]]
        for row, (seen, why) in zip(rows, self._look(owner["card"], rows), strict=True):
            datasets.propose(self._store, row["id"], row["asked"], worded(seen, kind) if seen else "", why)
        self._tell("dataset", id=owner["id"])
        return len(rows)

    def release(self) -> None:
        """Frees the captioner, which is loaded again when it is asked."""
        if self._captioner is not None:
            self._captioner[1].close()
            self._captioner = None

    def _look(self, card: str, rows: list[Any]) -> list[tuple[Seen | None, str]]:
        """(what is seen, "") of each picture, or (None, why not): one that fails does not stop the others, nor comes up again."""
        found: list[tuple[Seen | None, str]] = []
        for row in rows:
            try:
                with Image.open(self._folder / file_path(row["sha256"], row["suffix"])) as image:
                    found.append((self._of(card).look([image.convert("RGB")])[0], ""))
            except StudioError as error:
                found.append((None, str(error)))
            except Exception as error:
                log.exception("picture %d of a dataset got no caption", row["id"])
                found.append((None, f"A bug: {type(error).__name__}. See logs/worker.log."))
        return found

    def _of(self, card: str) -> Captioner:
        if self._captioner is None or self._captioner[0] != card:
            if self._captioner is not None:
                self._captioner[1].close()
            found, machine = self._catalogue.card(card), self._engines.machine
            device = "cpu" if found.embedded or machine is None else machine.kind
            self._captioner = card, captioner_for(found, self._where, device)
        return self._captioner[1]


class CaptionerShelf:
    """The captioners for every model but the embedded one. Their weights share the queue of downloads with the models that draw."""

    def __init__(self, shelf: Shelf, hub: Hub, models_dir: Path | None) -> None:
        self._shelf, self._hub, self._models_dir = shelf, hub, models_dir
        self._cards = load_captioners()
        shelf.downloads.offer(KIND, self._goods, lambda name: self._hub.publish("captioners", {"name": name}))

    def view(self) -> list[Json]:
        """The preferred first: {"name", "title", "about", "size", "licence", "page", "state", "download", "offered", "command"}."""
        return [self._view(card) for card in self._cards.values()]

    def download(self, name: str, who: Who) -> Json:
        """Begins or resumes. Raises NotFound, NotYours, NotNow."""
        card = self._card(name, who)
        if weights.found(card.weights, self._shelf.where):
            raise NotNow(f"{card.title} is here already.")
        if not card.download:
            raise NotNow(f"{card.title} is used when it is here; the studio does not fetch it.", "", f"hf download {card.weights.repo}")
        self._shelf.downloads.start(f"{KIND}:{name}", who)
        return self._view(card)

    def cancel(self, name: str, who: Who) -> Json:
        """Raises NotFound, NotYours, NotNow."""
        card = self._card(name, who)
        self._shelf.downloads.cancel(f"{KIND}:{name}")
        return self._view(card)

    def _card(self, name: str, who: Who) -> CaptionerCard:
        if name not in self._cards:
            raise NotFound(f'There is no captioner "{name[:80]}".', todo=f"Known: {', '.join(self._cards)}.")
        if not who.admin:
            raise NotYours("Captioners are for everybody here.", "Only an admin may download one.", "Ask one.")
        return self._cards[name]

    def _view(self, card: CaptionerCard) -> Json:
        found, download = weights.found(card.weights, self._shelf.where), self._shelf.downloads.open_of(f"{KIND}:{card.name}")
        state = download["state"] if download else ""
        return {
            "name": card.name,
            "title": card.title,
            "about": card.about,
            "size": weights.size(card.weights),
            "licence": {"name": card.weights.licence, "url": card.weights.licence_url},
            "page": f"{HUB}/{card.weights.repo}",
            "state": state if state in ("waiting", "running") else "ready" if found else state or "missing",
            "download": download,
            "offered": card.download,
            "command": "" if card.download else f"hf download {card.weights.repo}",
        }

    def _goods(self, name: str) -> Goods:
        needed = self._cards[name].weights
        return Goods(needed.repo, needed.revision, str(self._models_dir / needed.repo) if self._models_dir else "", files=needed.files)
