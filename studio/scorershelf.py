"""What the Quality tab shows of scorers and does for them: what each measures, what it needs, where that lies, and its download."""
from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path

from models.errors import BadInput, NotFound, StudioError
from models.scorers import weights
from models.scorers.catalogue import Dimensions, ScorerCard, Weights, load_scorers
from models.weights import hub_cache
from studio import folders
from studio.downloads import Goods
from studio.events import Hub
from studio.shelf import HUB, KINDS, Shelf
from studio.store import Store
from studio.store.db import now
from studio.store.jobs import NotNow
from studio.store.people import Who, require_admin
from studio.store.views import Json

KIND = "scorer"  # of downloads


class NotAsked(StudioError):
    """Weights under a licence that somebody has to ask for knowingly."""


class ScorerShelf:
    """The scorers of one studio. Their weights share the queue of downloads with the models that draw."""

    def __init__(self, store: Store, hub: Hub, shelf: Shelf, models_dir: Path | None, catalogue: Dimensions | None = None) -> None:
        self._store, self._hub, self._shelf, self._models_dir = store, hub, shelf, models_dir
        self._catalogue = catalogue or load_scorers()
        self._removing = threading.Lock()
        shelf.downloads.offer(KIND, self._goods, self._arrived)

    # What is shown.

    def view(self, who: Who) -> Json:
        """See GET /api/scorers."""
        place = self._models_dir or hub_cache()
        cards = sorted(self._catalogue.scorers.values(), key=lambda card: (not card.generic, card.milliseconds, card.name))
        return {
            "admin": who.admin,
            "disk": {"free": folders.free(place), "path": str(place)},
            "scorers": [self._view(card) for card in cards],
        }

    def scorer(self, name: str) -> Json:
        """One as in `view`. Raises NotFound."""
        return self._view(self._card(name))

    def _view(self, card: ScorerCard) -> Json:
        found = self._found(card)
        download = self._shelf.downloads.open_of(f"{KIND}:{card.name}")
        dimensions = [asdict(dimension) for dimension in card.dimensions.values()]
        view: Json = {key: getattr(card, key) for key in ("name", "title", "about", "generic", "milliseconds", "slow")}
        view |= {"dimensions": dimensions, "weights": None, "found": None, "download": download, "state": "ready"}
        if card.weights is None:
            return view
        view["weights"] = self._weights_view(card.weights) | {"shared": [other.title for other in self._sharing(card)]}
        if found:
            bytes_ = sum((found / name).stat().st_size for name in card.weights.files)
            kind = "models folder" if self._in_models_dir(found) else "hub cache"
            known = weights.version(card.weights, found)
            view["found"] = {"path": str(found), "words": KINDS[kind], "bytes": bytes_, "revision": known}
        state = download["state"] if download else ""
        view["state"] = state if state in ("waiting", "running") else "ready" if found else state or "missing"
        return view

    def _weights_view(self, needed: Weights) -> Json:
        return {
            "repo": needed.repo,
            "page": f"{HUB}/{needed.repo}",
            "bytes": round(needed.megabytes * 1e6),
            "size": weights.size(needed),
            "licence": {"name": needed.licence, "url": needed.licence_url},
            "opt_in": needed.opt_in,
        }

    # What can be done. All of it is an admin's.

    def download(self, name: str, opted_in: object, who: Who) -> Json:
        """Begins or resumes. opted_in: True where the licence asks for it. Raises NotFound, NotYours, NotNow, NotAsked."""
        card = self._asked(name, who)
        if self._found(card):
            raise NotNow(f"What {card.title} needs is here already.")
        assert card.weights is not None
        if card.weights.opt_in:
            if opted_in is not True:
                todo = 'Read the licence; to download it all the same, send "opt_in": true.'
                raise NotAsked(f"{card.title} is not part of the default install.", card.weights.opt_in, todo)
            self._store.db.execute(
                "INSERT OR IGNORE INTO licences (person, card, licence, accepted) VALUES (?, ?, ?, ?)",
                [who.name, f"{KIND}:{name}", card.weights.licence, now()],
            )
        self._shelf.downloads.start(f"{KIND}:{name}", who)
        return self._told(name)

    def cancel(self, name: str, who: Who) -> Json:
        """Raises NotFound, NotYours, NotNow."""
        self._asked(name, who)
        self._shelf.downloads.cancel(f"{KIND}:{name}")
        return self._told(name)

    def discard(self, name: str, who: Who) -> Json:
        """Gives up a stopped download and deletes what arrived: {"freed": bytes, "scorer": ...}. Raises NotFound, NotYours, NotNow."""
        card = self._asked(name, who)
        assert card.weights is not None
        needed = card.weights
        with self._removing:
            row = self._shelf.downloads.forget(f"{KIND}:{name}")
            if row["folder"]:
                freed = self._delete_begun(Path(row["folder"]), card)
            else:
                freed = folders.delete_begun(needed.repo, row["commit_hash"], lambda folder: _any_whole(folder, self._of_repo(needed.repo)))
        return {"freed": freed, "scorer": self._told(name)}

    def remove(self, name: str, confirm: object, who: Who) -> Json:
        """Deletes a scorer's weights, and with them those of the scorers that share its repository: {"freed": bytes, "scorer": ...}.

        `confirm` is the scorer's name once more. Raises NotFound, NotYours, NotNow, BadInput.
        """
        card = self._asked(name, who)
        if confirm != name:
            raise BadInput("confirm", "To remove a scorer's model, confirm must be the scorer's name.")
        assert card.weights is not None
        with self._removing:
            found = self._found(card)
            if found is None:
                raise NotNow(f"{card.title} has nothing here that could be removed.")
            if not self._in_models_dir(found):
                freed = folders.delete_cached(card.weights.repo)
            elif found.is_symlink() or self._models_dir is None or self._models_dir.resolve() not in found.resolve().parents:
                raise NotNow(f"{found} is a link to somewhere else.", "", "Remove it by hand.")
            else:
                freed = folders.delete(found)
        return {"freed": freed, "scorer": self._told(name)}

    # How it is done.

    def _card(self, name: str) -> ScorerCard:
        card = self._catalogue.scorers.get(name)
        if card is None:
            raise NotFound(f'There is no scorer "{name[:80]}".', todo=f"Known: {', '.join(sorted(self._catalogue.scorers))}.")
        return card

    def _asked(self, name: str, who: Who) -> ScorerCard:
        card = self._card(name)
        require_admin(who, "Scorers are for everybody here.", "Only an admin may download or remove what they need.")
        if card.weights is None:
            raise NotNow(f"{card.title} needs no download.", "All that it needs came with the studio.")
        return card

    def _found(self, card: ScorerCard) -> Path | None:
        return weights.found(card.weights, self._shelf.where) if card.weights else None

    def _in_models_dir(self, folder: Path) -> bool:
        return self._models_dir is not None and self._models_dir in folder.parents

    def _of_repo(self, repo: str) -> list[Weights]:
        return [card.weights for card in self._catalogue.scorers.values() if card.weights and card.weights.repo == repo]

    def _sharing(self, card: ScorerCard) -> list[ScorerCard]:
        """The other scorers with weights of the same repository."""
        others = (other for other in self._catalogue.scorers.values() if other.name != card.name)
        return [other for other in others if other.weights and card.weights and other.weights.repo == card.weights.repo]

    def _delete_begun(self, folder: Path, card: ScorerCard) -> int:
        """What arrived of a card in a plain folder, but for what another scorer uses."""
        assert card.weights is not None
        used = {name for other in self._sharing(card) if other.weights and self._found(other) for name in other.weights.files}
        if not used:
            return folders.delete(folder)
        begun = [folder / name for file in card.weights.files if file not in used for name in (file, f"{file}.part")]
        freed = 0
        for path in begun:
            if path.is_file():
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _goods(self, name: str) -> Goods:
        needed = self._card(name).weights
        assert needed is not None
        return Goods(needed.repo, needed.revision, str(self._models_dir / needed.repo) if self._models_dir else "", files=needed.files)

    def _arrived(self, name: str) -> None:
        self._told(name)

    def _told(self, name: str) -> Json:
        self._hub.publish("scorers", {"scorer": name})
        return self.scorer(name)


def _any_whole(folder: Path, needed: list[Weights]) -> bool:
    return any(all((folder / name).is_file() for name in one.files) for one in needed)
