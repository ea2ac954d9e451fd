"""What the Models tab shows and does: each model with what it needs, where it lies, its licence and its download."""
from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from models.cards import Catalogue, ModelCard
from models.errors import BadInput
from models.hub import RESERVE
from models.machine import glance
from models.memory import SMALL, Machine, choose_family, plan
from models.singles import GGUF_INSTALL, Single
from models.weights import Found, Shelves, all_singles, begun, gguf_gib, hub_cache, is_whole, model_found, usable_singles
from studio import folders
from studio.downloads import Downloads, Goods
from studio.events import Hub
from studio.licences import Licences
from studio.settings import Settings
from studio.store import Store
from studio.store.jobs import NotNow
from studio.store.people import Who, require_admin
from studio.store.views import Json

HUB = "https://huggingface.co"
TOKEN_FILE = ".hub-token"  # with a dot in front, backups leave it out: they travel
_TOKEN = re.compile(r"[!-~]{8,200}")
KINDS = {
    "shipped": "Ships with the studio",
    "folder": "In a folder",
    "models folder": "In the models folder",
    "hub cache": "In Hugging Face's cache",
}


def shelves(settings: Settings, models_dir: Path | None) -> Shelves:
    """Where this studio looks for weights at this moment."""
    return Shelves(models_dir, tuple(Path(folder) for folder in settings.get("models.folders")))


class Shelf:
    """The models of one studio. in_use(card) says whether a job that is not done asks for the card."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        settings: Settings,
        catalogue: Catalogue,
        data_dir: Path,
        models_dir: Path | None,
        in_use: Callable[[str], bool],
        device: str | None = None,
        lowvram: bool = False,
        reserve: int = RESERVE,
    ) -> None:
        self._store, self._hub, self._settings, self._catalogue, self._in_use = store, hub, settings, catalogue, in_use
        self._models_dir, self._device, self._lowvram, self._token_file = models_dir, device, lowvram, data_dir / TOKEN_FILE
        self.licences = Licences(store, catalogue)
        self.downloads = Downloads(store, hub, data_dir / "logs", self._token, reserve)
        self.downloads.offer("", self._goods, self._told)
        self._removing = threading.Lock()
        self._seen: Machine | None = None
        self.chosen = ""  # why the studio started with its family, "" when it was told to

    def close(self) -> None:
        self.downloads.close()

    @property
    def where(self) -> Shelves:
        return shelves(self._settings, self._models_dir)

    def machine(self) -> Machine:
        """What draws here: as the worker found it, at this start or an earlier one, else at a glance."""
        kept = self._store.setting("machine")
        seen = self._seen = self._seen or glance(self._device, self._lowvram)
        known = Machine(**json.loads(kept) | {"low": self._lowvram}) if kept else seen
        # A graphics card that was taken out is believed at once; one that PyTorch cannot use is the worker's to know.
        return known if known.kind == seen.kind or seen.kind != "cpu" else seen

    def machine_is(self, told: Json) -> None:
        """The worker has looked at its device."""
        self._store.set("machine", json.dumps(told))

    def best_family(self) -> str:
        """The family to start with when nobody says, and `chosen`, the words for it."""
        cards = self._catalogue.cards.values()
        usable = {card.name for card in cards if self.licences.settled(card) and model_found(card, self.where)}
        family = self._catalogue.family(choose_family(self._catalogue, self.machine(), usable))
        embedded = all(self._catalogue.card(tier.card).embedded for tier in family.tiers.values())
        why = "it ships with the studio" if embedded else "its weights are here and fit this machine"
        self.chosen = f"Started with {family.title}: {why}."
        return family.name

    # What is shown.

    def view(self, who: Who) -> Json:
        """See GET /api/models."""
        machine, where = self.machine(), self.where
        groups, named = [], set[str]()
        for family in self._catalogue.families.values():
            tiers: dict[str, list[str]] = {}
            for tier in family.tiers.values():
                tiers.setdefault(tier.card, []).append(tier.name)
            cards = [self._view(self._catalogue.card(name), machine, where) | {"tiers": found} for name, found in tiers.items()]
            groups.append({"name": family.name, "title": family.title, "about": family.about, "cards": cards})
            named |= set(tiers)
        others = [self._view(card, machine, where) | {"tiers": []} for card in self._catalogue.cards.values() if card.name not in named]
        if others:
            groups.append({"name": "", "title": "More models", "about": "Not part of a family yet.", "cards": others})
        place = self._models_dir or hub_cache()
        return {
            "admin": who.admin,
            "machine": machine.words,
            "chosen": self.chosen,
            "disk": {"free": folders.free(place), "path": str(place)},
            "token": self._token_file.is_file(),
            "folders": [{"path": str(folder), "there": folder.is_dir()} for folder in where.folders],
            "gguf": "" if find_spec("gguf") else GGUF_INSTALL,
            "groups": groups,
        }

    def card(self, name: str) -> Json:
        """One card as in `view`. Raises NotFound."""
        return self._view(self._catalogue.card(name), self.machine(), self.where)

    def _view(self, card: ModelCard, machine: Machine, where: Shelves) -> Json:
        found = model_found(card, where)
        singles = [] if found else all_singles(card, where, begun(card, where))
        download = self.downloads.open_of(card.name)
        settled = self.licences.settled(card)
        return {
            "name": card.name,
            "title": card.title,
            "about": card.about,
            "page": "" if card.embedded else f"{HUB}/{card.repo}",
            "gated": card.gated,
            "parameters": round(card.parameters.total, 2),
            "licence": asdict(card.licence) | {"accepted": self.licences.accepted(card)},
            "needs": _needs(card, machine, found),
            "found": self._found_view(found) if found else None,
            "nearby": [_single_view(single) for single in singles],
            "download": download,
            "bytes": round(_still_to_fetch(card, singles)),
            "state": _state(settled, found is not None, download["state"] if download else ""),
        }

    def _found_view(self, found: Found) -> Json:
        return {
            "words": KINDS[found.kind],
            "path": str(found.folder),
            "bytes": folders.weight(found.folder) + sum(single.bytes for single in found.files.values()),
            "revision": found.revision,
            "files": [_single_view(single) for single in found.files.values()],
            "removable": found.kind in ("models folder", "hub cache"),
        }

    # What can be done. All of it is an admin's.

    def accept(self, name: str, who: Who) -> Json:
        """Raises NotFound, NotYours."""
        self.licences.accept(name, who)
        return self._told(name)

    def download(self, name: str, who: Who) -> Json:
        """Begins or resumes. Raises NotFound, NotYours, NotNow, NotAccepted."""
        card = self._asked(name, who)
        if card.embedded or model_found(card, self.where):
            raise NotNow(f"{card.title} is here already.")
        self.licences.require(card)
        self.downloads.start(name, who)
        return self.card(name)

    def cancel(self, name: str, who: Who) -> Json:
        """Raises NotFound, NotYours, NotNow."""
        self._asked(name, who)
        self.downloads.cancel(name)
        return self.card(name)

    def discard(self, name: str, who: Who) -> Json:
        """Gives up a stopped download and deletes what arrived: {"freed": bytes, "card": ...}. Raises NotFound, NotYours, NotNow."""
        card = self._asked(name, who)
        with self._removing:
            row = self.downloads.forget(name)
            freed = folders.delete(Path(row["folder"])) if row["folder"] else folders.delete_begun(card.repo, row["commit_hash"], is_whole)
        return {"freed": freed, "card": self._told(name)}

    def remove(self, name: str, confirm: object, who: Who) -> Json:
        """Deletes a model's weights, from Hugging Face's cache or the models folder alone: {"freed": bytes, "card": ...}.

        `confirm` is the card's name once more. Raises NotFound, NotYours, NotNow, BadInput.
        """
        card = self._asked(name, who)
        if confirm != name:
            raise BadInput("confirm", "To remove a model, confirm must be its name.")
        with self._removing:
            found = model_found(card, self.where)
            if found is None or found.kind not in ("models folder", "hub cache"):
                raise NotNow(f"{card.title} is nothing that can be removed from here.", "It ships with the studio, or is not here.")
            if self._in_use(name):
                raise NotNow(f"{card.title} is in use.", "Jobs that are not done ask for it.", "Cancel them, or wait for them.")
            if found.kind == "hub cache":
                freed = folders.delete_cached(card.repo)
            else:
                assert self._models_dir
                if found.folder.is_symlink() or self._models_dir.resolve() not in found.folder.resolve().parents:
                    raise NotNow(f"{found.folder} is a link to somewhere else.", "", "Remove it by hand.")
                freed = folders.delete(found.folder)
        return {"freed": freed, "card": self._told(name)}

    def set_token(self, token: object, who: Who) -> None:
        """Keeps a token of Hugging Face's for downloads, or forgets it ("" or None). Raises BadInput, NotYours."""
        _admin(who)
        if token is None or token == "":
            self._token_file.unlink(missing_ok=True)
            return
        if not isinstance(token, str) or not _TOKEN.fullmatch(token.strip()):
            why = "It is 8 to 200 letters, digits and signs, without spaces."
            raise BadInput("token", "That is no token.", why, f"Make one at {HUB}/settings/tokens.")
        temporary = self._token_file.with_name(f"{TOKEN_FILE}.tmp")
        temporary.unlink(missing_ok=True)
        # Nobody else may read it, not even for a moment.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(token.strip())
        os.replace(temporary, self._token_file)

    def _asked(self, name: str, who: Who) -> ModelCard:
        card = self._catalogue.card(name)
        _admin(who)
        return card

    def _token(self) -> str:
        return self._token_file.read_text(encoding="ascii") if self._token_file.is_file() else ""

    def _goods(self, name: str) -> Goods:
        """What a download of a card is. Parts of it that lie here as single files are fetched by nobody twice."""
        card = self._catalogue.card(name)
        without = tuple(sorted(usable_singles(card, self.where, begun(card, self.where))))
        return Goods(card.repo, card.revision, str(self._models_dir / card.name) if self._models_dir else "", without)

    def _told(self, name: str) -> Json:
        view = self.card(name)
        self._hub.publish("models", {"card": name})
        return view


def _state(settled: bool, found: bool, download: str) -> str:
    """"licence" (has to be accepted), "waiting", "running", "ready", "stopped", "failed" or "missing"."""
    if not settled:
        return "licence"
    if download in ("waiting", "running"):
        return download
    return "ready" if found else download or "missing"


def _admin(who: Who) -> None:
    require_admin(who, "Models are for everybody here.", "Only an admin may download, accept or remove them.")


def _needs(card: ModelCard, machine: Machine, found: Found | None) -> Json:
    """{"state": "fits", "offload", "slow" or "no", "words", "memory" (GiB on the device)}."""
    planned = plan(card, machine, gguf_gib(found))
    memory = round(max(planned.resident + planned.working, planned.reading), 1)
    if not planned.fits:
        lack = planned.words.split(": ", 1)[1].rstrip(".")
        have = f"{machine.usable:.0f} GB" + (f" and {machine.ram:.0f} GB of main memory" if machine.kind == "cuda" else "")
        return {"state": "no", "words": f"Does not fit: {lack}; here are {have}", "memory": memory}
    if machine.kind == "cpu" and card.parameters.total > SMALL:
        return {"state": "slow", "words": f"Fits in memory, but a CPU takes many minutes a picture ({planned.words})", "memory": memory}
    state = "fits" if planned.offload == "none" else "offload"
    return {"state": state, "words": f"{'Fits' if state == 'fits' else 'Fits with offload'}: {planned.words}", "memory": memory}


def _still_to_fetch(card: ModelCard, singles: list[Single]) -> float:
    """Bytes of a download, by the sizes of the parts at 16 bits; what lies here as a single file is not fetched."""
    if card.embedded:
        return 0
    have = {single.part for single in singles if not single.problem}
    text = 0.0 if have & {"text_encoder", "text_encoder_2"} else card.parameters.text
    transformer = 0.0 if "transformer" in have else card.parameters.transformer
    return (transformer + text + card.parameters.vae) * 2e9


def _single_view(single: Single) -> Json:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(single).items()}
