"""Where the weights of scorers lie on this machine's disk, and words for what is missing. No torch, no network.

A scorer's weights are single files of a repository of the hub (`catalogue.Weights`), unlike a model that draws, which is a folder in
diffusers' layout. A scorer asks `found` each time it measures, for a download may have ended meanwhile.
"""

from __future__ import annotations

import json
from pathlib import Path

from models.scorers.catalogue import ScorerCard, Weights
from models.weights import NOTE, Where, cached_snapshots, shelves_of


def found(weights: Weights, where: Where) -> Path | None:
    """The folder that has every one of `weights.files`, else None.

    Looked for, in this order: `models_dir`/owner/name and `models_dir`/name of the repository, then Hugging Face's own cache, there at
    the revision that the card names alone. A file that is still arriving has another name, so what is there is whole.
    """
    return next((place for place in places(weights, where) if _has_all(place, weights)), None)


def places(weights: Weights, where: Where) -> list[Path]:
    """Every folder in which `found` looks."""
    models_dir = shelves_of(where).models_dir
    own = [models_dir.expanduser() / name for name in (weights.repo, weights.repo.split("/")[-1])] if models_dir else []
    return own + cached_snapshots(weights.repo, weights.revision)


def missing(card: ScorerCard, where: Where) -> str:
    """Why `card` cannot measure here, as the note of a score that was not made; "" when it has what it needs."""
    if card.weights is None or found(card.weights, where):
        return ""
    return (
        f"{card.title} needs a model that is not on this machine: {size(card.weights)}, {card.weights.licence}."
        " Download it in the Quality tab."
    )


def size(weights: Weights) -> str:
    """In words: 4.6 MB, 344 MB, 1.97 GB."""
    megabytes = weights.megabytes
    if megabytes >= 1000:
        return f"{megabytes / 1000:.2f} GB"
    return f"{megabytes:.1f} MB" if megabytes < 10 else f"{megabytes:.0f} MB"


def version(weights: Weights, folder: Path) -> str:
    """Which weights measured, for a score's `version`: the commit in twelve digits where it is known, else the card's revision."""
    note = folder / NOTE
    commit = json.loads(note.read_text(encoding="utf-8"))["commit"] if note.is_file() else folder.name
    known = len(commit) == 40 and all(digit in "0123456789abcdef" for digit in commit)
    return commit[:12] if known else weights.revision[:12]


def _has_all(folder: Path, weights: Weights) -> bool:
    return all((folder / name).is_file() for name in weights.files)
