"""Where a model's weights lie on this machine's disk. No torch, no network."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.cards import ModelCard
from models.errors import Unavailable
from models.singles import Single, singles

Kind = Literal["shipped", "folder", "models folder", "hub cache"]
NOTE = "contact-sheet.json"  # In a folder of --models-dir: which revision was downloaded there.
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Shelves:
    """Where to look besides Hugging Face's cache. models_dir: the studio's own folder of weights. folders: those of other studios
    (ComfyUI, Forge, or any with single files), which are read and never written."""

    models_dir: Path | None = None
    folders: tuple[Path, ...] = ()


# A path means `models_dir`; a function is asked each time, for folders are added while a studio runs.
Where = Shelves | Path | str | Callable[[], Shelves] | None


@dataclass(frozen=True)
class Found:
    """A model that is here. folder: in diffusers' layout; whole, but for the parts in `files`, of which it has only the configuration.
    revision: the commit, "" where nothing tells."""

    folder: Path
    kind: Kind
    files: Mapping[str, Single] = field(default_factory=dict)
    revision: str = ""


def embedded_folder() -> Path:
    """The checkpoint that ships with the studio."""
    return Path(__file__).parent / "embedded" / "checkpoint"


def hub_cache() -> Path:
    """Where Hugging Face keeps downloads (HF_HUB_CACHE, HF_HOME, or its default)."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"


def cached_repo(repo: str) -> Path:
    """A repository's place in Hugging Face's cache, whether it is there or not."""
    return hub_cache() / ("models--" + repo.replace("/", "--"))


def cached_snapshots(repo: str, revision: str) -> list[Path]:
    """Where Hugging Face's cache would have `revision` (a branch, a tag or a commit) of a repository."""
    cached = cached_repo(repo)
    ref = cached / "refs" / revision
    named = [cached / "snapshots" / ref.read_text(encoding="utf-8").strip()] if ref.is_file() else []
    return [*named, cached / "snapshots" / revision]


def model_found(card: ModelCard, where: Where = None) -> Found | None:
    """The card's weights if they are here and whole, else None.

    Looked for, in this order: the folder `card.repo` itself, `models_dir`/NAME (the card's name, the repository's name, or
    owner/name), Hugging Face's own cache; then the same places with their large parts taken from single files of `where`.
    """
    places = _places(card, where)
    for folder, kind in places:
        if is_whole(folder):
            return Found(folder, kind, revision=_revision(folder))
    for folder, kind in places:
        if (folder / "model_index.json").is_file():
            files = usable_singles(card, where, folder)
            if files and is_whole(folder, without=files):
                return Found(folder, kind, files, _revision(folder))
    return None


def usable_singles(card: ModelCard, where: Where, configs: Path | None = None) -> dict[str, Single]:
    """The best usable single file by part. configs: see `models.singles.singles`."""
    found: dict[str, Single] = {}
    for single in all_singles(card, where, configs):
        if not single.problem:
            found.setdefault(single.part, single)
    return found


def all_singles(card: ModelCard, where: Where, configs: Path | None = None) -> list[Single]:
    """Single files named like parts of the card, those with a problem too."""
    shelves = shelves_of(where)
    folders = (*((shelves.models_dir.expanduser(),) if shelves.models_dir else ()), *shelves.folders)
    return singles(card, folders, configs) if card.singles and folders else []


def begun(card: ModelCard, where: Where = None) -> Path | None:
    """The first place that has the card's index, whole or not: where its configuration can be read."""
    return next((folder for folder, _ in _places(card, where) if (folder / "model_index.json").is_file()), None)


def weights_found(card: ModelCard, where: Where = None) -> Path | None:
    """The card's diffusers folder if the model is here, else None."""
    found = model_found(card, where)
    return found.folder if found else None


def find_model(card: ModelCard, where: Where = None) -> Found:
    """The card's weights. Raises Unavailable with what to download."""
    found = model_found(card, where)
    if found is None and card.embedded:
        raise Unavailable(
            "The embedded model's checkpoint is missing.", "models/embedded/checkpoint is not whole.", "Install the studio again."
        )
    if found is None:
        raise Unavailable(
            f"{card.title} is not on this machine.",
            f"It is a download of {card.download_gb:.0f} GB.",
            f"Download it in the Models tab, run `hf download {card.repo}`, or point --models-dir at a folder that has it.",
        )
    return found


def gguf_gib(found: Found | None) -> float | None:
    """What a transformer kept as GGUF weighs in GiB, None for any other."""
    transformer = found.files.get("transformer") if found else None
    return transformer.bytes / 2**30 if transformer and transformer.format == "gguf" else None


def find_weights(card: ModelCard, where: Where = None) -> Path:
    """The card's diffusers folder. Raises Unavailable with what to download."""
    return find_model(card, where).folder


def shelves_of(where: Where) -> Shelves:
    """What `where` means at this moment."""
    if callable(where):
        return where()
    if isinstance(where, Shelves):
        return where
    return Shelves(Path(where)) if where else Shelves()


def _places(card: ModelCard, where: Where) -> list[tuple[Path, Kind]]:
    if card.embedded:
        return [(embedded_folder(), "shipped")]
    if Path(card.repo).is_absolute():
        return [(Path(card.repo), "folder")]
    places: list[tuple[Path, Kind]] = []
    models_dir = shelves_of(where).models_dir
    if models_dir:
        places = [(models_dir.expanduser() / name, "models folder") for name in (card.name, card.repo.split("/")[-1], card.repo)]
    return places + [(folder, "hub cache") for folder in cached_snapshots(card.repo, card.revision)]


def _revision(folder: Path) -> str:
    if (folder / NOTE).is_file():
        return _read(folder / NOTE)["commit"]
    return folder.name if _COMMIT.fullmatch(folder.name) else ""


def is_whole(folder: Path, without: Collection[str] = ()) -> bool:
    """Whether a diffusers folder has all the parts its index names, each with its weights (an interrupted download has not).

    without: parts whose weights lie elsewhere; of them the configuration is enough.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        return False
    parts = {name: part for name, part in _read(index).items() if isinstance(part, list) and part[1:] and part[1]}
    return bool(parts) and all(
        (folder / name / "config.json").is_file() if name in without else _part_is_whole(folder / name) for name in parts
    )


def _part_is_whole(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if not (folder / "config.json").is_file():
        return any(path.suffix != ".part" for path in folder.iterdir())  # A tokenizer, a scheduler: no weights.
    indexes = list(folder.glob("*.safetensors.index.json"))
    if indexes:
        return any(all((folder / name).exists() for name in set(_read(index)["weight_map"].values())) for index in indexes)
    return any(folder.glob("*.safetensors"))


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
