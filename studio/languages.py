"""What the set-up of Refine shows of language models for this machine, and does for them: size, licence, where it lies, download."""
from __future__ import annotations

import threading
from pathlib import Path

from models.errors import BadInput, NotFound, Unavailable
from models.language import LanguageCard, find, lacking, load_language
from models.scorers.weights import size
from studio import folders
from studio.downloads import Goods
from studio.shelf import HUB, Shelf
from studio.store.jobs import NotNow
from studio.store.people import Who, require_admin
from studio.store.views import Json

KIND = "language"  # of downloads


class LanguageShelf:
    """The language models of one studio. Their weights share the queue of downloads with the models that draw."""

    def __init__(self, shelf: Shelf, models_dir: Path | None) -> None:
        self._shelf, self._models_dir = shelf, models_dir
        self.cards = load_language()
        self._removing = threading.Lock()
        shelf.downloads.offer(KIND, self._goods, lambda name: None)

    def find(self, place: str) -> Path:
        """The folder of the model that `place` names. Raises Unavailable."""
        return find(place, self._shelf.where, self.cards)

    def view(self) -> list[Json]:
        """One entry a model that is offered: {"name", "title", "about", "size", "page", "licence": {"name", "url"}, "state": "ready",
        "missing", "waiting", "running", "stopped" or "failed", "path", "download"}."""
        return [self.model(name) for name in self.cards]

    def model(self, name: str) -> Json:
        """One as in `view`. Raises NotFound."""
        card = self._card(name)
        weights, found, download = card.weights, self._found(card), self._shelf.downloads.open_of(f"{KIND}:{name}")
        state = download["state"] if download else ""
        return {
            "name": name,
            "title": card.title,
            "about": card.about,
            "size": size(weights),
            "page": f"{HUB}/{weights.repo}",
            "licence": {"name": weights.licence, "url": weights.licence_url},
            "state": state if state in ("waiting", "running") else "ready" if found else state or "missing",
            "path": str(found) if found else "",
            "download": download,
        }

    # What can be done. All of it is an admin's.

    def download(self, name: str, who: Who) -> Json:
        """Begins or resumes. Raises NotFound, NotYours, NotNow."""
        card = self._asked(name, who)
        if self._found(card):
            raise NotNow(f"{card.title} is here already.")
        self._shelf.downloads.start(f"{KIND}:{name}", who)
        return self.model(name)

    def cancel(self, name: str, who: Who) -> Json:
        """Raises NotFound, NotYours, NotNow."""
        self._asked(name, who)
        self._shelf.downloads.cancel(f"{KIND}:{name}")
        return self.model(name)

    def discard(self, name: str, who: Who) -> Json:
        """Gives up a stopped download and deletes what arrived: {"freed": bytes, "model": ...}. Raises NotFound, NotYours, NotNow."""
        card = self._asked(name, who)
        with self._removing:
            row = self._shelf.downloads.forget(f"{KIND}:{name}")
            if row["folder"]:
                freed = folders.delete(Path(row["folder"]))
            else:
                freed = folders.delete_begun(card.weights.repo, row["commit_hash"], lambda folder: not lacking(folder))
        return {"freed": freed, "model": self.model(name)}

    def remove(self, name: str, confirm: object, who: Who) -> Json:
        """Deletes a model's weights, from Hugging Face's cache or the models folder: {"freed": bytes, "model": ...}.

        `confirm` is the model's name once more. Raises NotFound, NotYours, NotNow, BadInput.
        """
        card = self._asked(name, who)
        if confirm != name:
            raise BadInput("confirm", "To remove a language model, confirm must be its name.")
        with self._removing:
            found = self._found(card)
            if found is None:
                raise NotNow(f"{card.title} is not here.")
            if self._models_dir is None or self._models_dir not in found.parents:
                freed = folders.delete_cached(card.weights.repo)
            elif found.is_symlink() or self._models_dir.resolve() not in found.resolve().parents:
                raise NotNow(f"{found} is a link to somewhere else.", "", "Remove it by hand.")
            else:
                freed = folders.delete(found)
        return {"freed": freed, "model": self.model(name)}

    # How it is done.

    def _card(self, name: str) -> LanguageCard:
        if name not in self.cards:
            raise NotFound(f'There is no language model "{name[:80]}".', todo=f"Known: {', '.join(self.cards)}.")
        return self.cards[name]

    def _asked(self, name: str, who: Who) -> LanguageCard:
        card = self._card(name)
        require_admin(who, "Language models are for everybody here.", "Only an admin may download or remove them.")
        return card

    def _found(self, card: LanguageCard) -> Path | None:
        try:
            return self.find(card.name)
        except Unavailable:
            return None

    def _goods(self, name: str) -> Goods:
        needed = self._card(name).weights
        return Goods(needed.repo, needed.revision, str(self._models_dir / needed.repo) if self._models_dir else "", files=needed.files)
