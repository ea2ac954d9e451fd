"""Pictures and templates on their way to production: what `pipelines.production` writes of what this studio holds."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound, Unavailable
from models.weights import model_found
from pipelines.fields import one_of, whole
from pipelines.production import Beside, Recipe, Stage, Weights, dtype_of, program, recipe_json, recipe_toml
from pipelines.tasks import Draft
from studio.store import images, jobs, rounds
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who
from studio.store.views import Json
from studio.zipping import Entry, stream

if TYPE_CHECKING:
    from models.cards import ModelCard
    from models.spec import LoraUse
    from studio.studio import Studio

KINDS = {"python": "py", "toml": "toml", "json": "json"}
CHAIN_LIMIT = 4  # pictures drawn one from the other; what lies before them is a file


@dataclass(frozen=True)
class Taken:
    """What is taken away: a text under a name, the files beside it, and what to know of it."""

    name: str
    text: str
    files: tuple[Beside, ...] = ()
    notes: tuple[str, ...] = ()

    def view(self) -> Json:
        listed = [{"name": file.name, "bytes": file.path.stat().st_size} for file in self.files]
        return {"name": self.name, "text": self.text, "files": listed, "notes": list(self.notes)}

    def packed(self) -> tuple[str, Iterator[bytes]]:
        """-> (name, a ZIP with the text and its files, piece by piece)."""
        beside = [Entry(file.name, file.path) for file in self.files]
        return f"{self.name.rpartition('.')[0]}.zip", stream([Entry(self.name, self.text.encode(), pack=True), *beside])


class Production:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def take(self, data: Mapping[Any, Any], who: Who) -> Taken:
        """{"image": id, "as": "python|toml|json"}. Raises BadInput, NotFound, and Unavailable for a file that is gone."""
        kind = one_of(data, "as", KINDS, "python", "kinds")
        image = whole(data, "image", 1, LARGEST_ID, None)
        if image is None:
            raise BadInput("image", "image is missing.", "", "Say which picture to take.")
        return self._written(self.of_image(image, who), kind)

    def of_image(self, image: int, who: Who) -> Recipe:
        """How a picture of the history is drawn. Raises NotFound, Unavailable."""
        row = images.image_row(self._store, image, who)
        stages, notes = self._stages(row, who, CHAIN_LIMIT)
        name = f"contact-sheet-{row['job_id']:06d}-{row['number']:03d}"
        about = f"Picture {row['number']} of job {row['job_id']}: {row['prompt']}"
        return Recipe(name, about, stages, self._request(row, who), notes=tuple(dict.fromkeys(notes)))

    # How it is done.

    def _written(self, recipe: Recipe, kind: str) -> Taken:
        text = {"python": program, "toml": recipe_toml, "json": recipe_json}[kind](recipe)
        return Taken(f"{recipe.name}.{KINDS[kind]}", text, recipe.files, recipe.notes)

    def _stages(self, row: Any, who: Who, left: int) -> tuple[tuple[Stage, ...], list[str]]:
        """A picture's own stage, after those that draw what it starts from; and what to know of them."""
        draft = self._batch(row)
        details = json.loads(row["details"] or "{}")
        weights, notes = self._weights(draft.card, who, str(details.get("precision", "")))
        loras = tuple(self._lora(lora, place) for place, lora in enumerate(draft.spec.loras))
        stage = Stage(weights, replace(draft.spec, seeds=(row["seed"],)), draft.finish, loras=loras)
        if (device := str(details.get("device", ""))) and not device.startswith("CPU"):
            notes.append(f"It was drawn on {device}; other devices round differently.")
        if draft.spec.image is None:
            return (stage,), notes
        source = self._image_at(draft.spec.image)
        if source is not None and left > 1 and self._can_be_drawn(source, who):
            before, more = self._stages(source, who, left - 1)
            return (*before, replace(stage, on=True)), [*more, *notes]
        return (replace(stage, start=self._file(draft.spec.image, "start", "The picture that it starts from")),), notes

    def _batch(self, row: Any) -> Draft:
        try:
            return rounds.batch_of(self._store, row["job_id"])[row["number"]]
        except KeyError:
            raise NotFound(f"How picture {row['id']} was drawn is not known.", "It comes from an earlier version of the studio.") from None

    def _can_be_drawn(self, row: Any, who: Who) -> bool:
        """Whether a picture's own recipe may be told, and can be."""
        try:
            images.image_row(self._store, row["id"], who)
            self._studio.catalogue.card(self._batch(row).card)
        except NotFound:
            return False
        return True

    def _image_at(self, path: Path) -> Any:
        """The picture of the history that lies at a path, wherever the data folder was at that time; None for anything else."""
        place = _below(path, "outputs")
        return self._store.db.execute("SELECT * FROM images WHERE path = ?", [place]).fetchone() if place else None

    def _file(self, path: Path, name: str, what: str) -> Beside:
        place = _below(path, "outputs") or _below(path, "uploads")
        there = self._studio.data_dir / place if place else path
        try:
            return Beside.of(there, f"{name}{there.suffix}")
        except FileNotFoundError as error:
            raise Unavailable(f"{what} is gone.", "Its file was deleted since.", "Restore it from a backup.") from error

    def _lora(self, lora: LoraUse, place: int) -> Beside:
        try:
            return Beside.of(lora.path, f"{place + 1}-{lora.path.name}")
        except FileNotFoundError as error:
            raise Unavailable(f"The LoRA {lora.path.stem} is gone.", "Its file was deleted since.", "Bring it back first.") from error

    def _weights(self, name: str, who: Who, precision: str = "") -> tuple[Weights, list[str]]:
        """Where a card's weights are found, by whoever may know of folders here; and what to know of them."""
        card = self._studio.catalogue.card(name)
        found = model_found(card, self._studio.shelf.where)
        places = _places(card)
        notes = []
        if found is not None and not found.files and found.kind != "hub cache" and who.admin:
            places = (*places, str(found.folder))
        if found is not None and found.files:
            notes.append(f"The studio loads parts of {card.title} from single files, this program from {card.repo}.")
        if precision == "fp8":
            notes.append(f"The studio kept the weights of {card.title} at 8 bits to save memory; this program computes at 16.")
        revision = None if card.embedded else (found.revision if found and found.revision else card.revision)
        return Weights(card, revision, places, dtype_of(card, precision)), notes

    def _request(self, row: Any, who: Who) -> Json:
        """The request that draws one picture again: with what it was drawn with, which need not be what was asked for."""
        asked = jobs.request_of(jobs.job_row(self._store, row["job_id"]))
        spec = self._batch(row).spec
        names = ("family", "size", "profile", "texts", "palette", "loras", "template", "values", "brand", "note")
        kept = {name: asked[name] for name in names if asked.get(name)}
        drawn = {
            "prompt": row["prompt"], "negative": spec.negative, "tier": row["tier"], "draft": 1, "keep": 1, "seed": row["seed"],
            "steps": row["steps"], "guidance": row["guidance"], "ladder": False, "source": asked.get("source") or {"prompt": row["prompt"]},
        }  # fmt: skip
        if spec.image is not None:
            source = self._image_at(spec.image)
            drawn |= {"image": source["id"] if source is not None else spec.image.stem, "role": spec.role, "strength": spec.strength}
        return {**drawn, **kept}


def _places(card: ModelCard) -> tuple[str, ...]:
    """Folders to look in whoever asks: the embedded model's is found from the studio's own folder."""
    return ("models/embedded/checkpoint",) if card.embedded else ()


def _below(path: Path, folder: str) -> str | None:
    """The part of a path from `folder` on, with slashes; None when it is not below one of that name."""
    parts = path.parts
    at = next((place for place in range(len(parts) - 1, -1, -1) if parts[place] == folder), None)
    return None if at is None else "/".join(parts[at:])


