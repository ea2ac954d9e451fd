"""Small language models that can refine prompts on this machine: which are offered, and where one lies. No torch, no network.

They are transformers' causal language models with a chat template, as folders of safetensors. A *place* names one: a card of
presets/language, a folder by its whole path, or a repository of the hub that was downloaded by whatever program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import Unavailable
from models.presets import presets_folder
from models.scorers.catalogue import Weights, read_weights
from models.scorers.weights import places, size
from models.toml import Table
from models.weights import Where

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class LanguageCard:
    """One that is offered for download."""

    name: str
    title: str
    about: str
    weights: Weights


def load_language(presets_dir: Path | str | None = None) -> dict[str, LanguageCard]:
    """Every card below `presets_dir` (default: those that ship), the smallest first. Raises BadInput with file and dotted key."""
    folder = Path(presets_dir) if presets_dir else presets_folder()
    cards = [read_card(path) for path in sorted((folder / "language").glob("*.toml"))]
    return {card.name: card for card in sorted(cards, key=lambda card: card.weights.megabytes)}


def read_card(path: Path) -> LanguageCard:
    """One card from its file. Raises BadInput with file and dotted key."""
    top = Table.of_file(path)
    card = LanguageCard(path.stem, top.text("title"), top.text("about"), read_weights(top.table("weights")))
    top.done()
    return card


def is_place(place: str, cards: Mapping[str, LanguageCard]) -> bool:
    """Whether `place` can name a model, here or not."""
    return place in cards or Path(place).expanduser().is_absolute() or _REPO.fullmatch(place) is not None


def title(place: str, cards: Mapping[str, LanguageCard]) -> str:
    """What people call it."""
    if place in cards:
        return cards[place].title
    return Path(place).name if Path(place).expanduser().is_absolute() else place


def find(place: str, where: Where, cards: Mapping[str, LanguageCard]) -> Path:
    """The folder of a whole model. Raises Unavailable that says what is missing, and how to get it."""
    card = cards.get(place)
    folder = Path(place).expanduser()
    if card:
        looked = places(card.weights, where)
        todo = f"Download it (Refine, Set up): {size(card.weights)}, {card.weights.licence}."
    elif folder.is_absolute():
        looked = [folder]
        todo = "Choose the folder that has config.json, the tokenizer and the safetensors."
    else:
        looked = places(Weights(place, "main", (), 0, "", "", ""), where)
        todo = f"Run `hf download {place}`, or choose one that is offered (Refine, Set up)."
    for one in looked:
        if not lacking(one):
            return one
    there = next((one for one in looked if one.is_dir()), None)
    why = f"{there} lacks {lacking(there)}." if there else f"There is nothing at {looked[-1]}."
    raise Unavailable(f"The language model {title(place, cards)} is not on this machine.", why, todo)


def lacking(folder: Path) -> str:
    """What a folder lacks to be a whole model; "" when it is one. Pickled weights are not looked at: reading them runs what they hold."""
    if not (folder / "config.json").is_file():
        return "config.json"
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        return "its tokenizer"
    indexes = list(folder.glob("*.safetensors.index.json"))
    names = {name for index in indexes for name in _files_of(index)}
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        return missing[0]
    return "" if any(folder.glob("*.safetensors")) else "its weights as safetensors"


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _files_of(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError):
        return {f"what {index.name} should name"}  # a file of that name is nowhere
