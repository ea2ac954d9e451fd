"""Where a model's weights lie on this machine's disk. No torch, no network."""
from __future__ import annotations

import json
import os
from pathlib import Path

from models.cards import ModelCard
from models.errors import Unavailable


def embedded_folder() -> Path:
    """The checkpoint that ships with the studio."""
    return Path(__file__).parent / "embedded" / "checkpoint"


def hub_cache() -> Path:
    """Where Hugging Face keeps downloads (HF_HUB_CACHE, HF_HOME, or its default)."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"


def weights_found(card: ModelCard, models_dir: Path | str | None = None) -> Path | None:
    """The card's diffusers folder if it is here and whole, else None.

    Looked for, in this order: the folder `card.repo` itself, `models_dir`/NAME (the card's name, the repository's name, or
    owner/name), and Hugging Face's own cache.
    """
    return next((folder for folder in _places(card, models_dir) if is_whole(folder)), None)


def find_weights(card: ModelCard, models_dir: Path | str | None = None) -> Path:
    """The card's folder. Raises Unavailable with what to download."""
    folder = weights_found(card, models_dir)
    if folder is None and card.embedded:
        raise Unavailable(
            "The embedded model's checkpoint is missing.", "models/embedded/checkpoint is not whole.", "Install the studio again."
        )
    if folder is None:
        accept = f"Accept its licence at https://huggingface.co/{card.repo}, log in with `hf auth login`, then run" if card.gated else "Run"
        raise Unavailable(
            f"{card.title} is not on this machine.",
            f"It is a download of {card.download_gb:.0f} GB.",
            f"{accept} `hf download {card.repo}`, or point --models-dir at a folder that has it.",
        )
    return folder


def _places(card: ModelCard, models_dir: Path | str | None) -> list[Path]:
    if card.embedded:
        return [embedded_folder()]
    if Path(card.repo).is_absolute():
        return [Path(card.repo)]
    places = []
    if models_dir:
        places = [Path(models_dir).expanduser() / name for name in (card.name, card.repo.split("/")[-1], card.repo)]
    cached = hub_cache() / ("models--" + card.repo.replace("/", "--"))
    ref = cached / "refs" / card.revision
    if ref.is_file():
        places.append(cached / "snapshots" / ref.read_text(encoding="utf-8").strip())
    places.append(cached / "snapshots" / card.revision)
    return places


def is_whole(folder: Path) -> bool:
    """Whether a diffusers folder has all the parts its index names, each with its weights (an interrupted download has not)."""
    index = folder / "model_index.json"
    if not index.is_file():
        return False
    parts = {name: part for name, part in _read(index).items() if isinstance(part, list) and part[1:] and part[1]}
    return bool(parts) and all(_part_is_whole(folder / name) for name in parts)


def _part_is_whole(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if not (folder / "config.json").is_file():
        return any(folder.iterdir())  # A tokenizer, a scheduler: no weights.
    indexes = list(folder.glob("*.safetensors.index.json"))
    if indexes:
        return any(all((folder / name).exists() for name in set(_read(index)["weight_map"].values())) for index in indexes)
    return any(folder.glob("*.safetensors"))


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
