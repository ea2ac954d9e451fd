"""Pictures and templates on their way to production: what `pipelines.production` writes of what this studio holds."""
from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound, Unavailable
from models.weights import model_found
from pipelines.fields import one_of, whole
from pipelines.filling import fill
from pipelines.origin import read_template, read_values
from pipelines.plan import plan_for
from pipelines.post import read_post
from pipelines.production import (
    Beside,
    Recipe,
    Stage,
    Weights,
    dtype_of,
    open_prompt,
    program,
    recipe_json,
    recipe_toml,
    stages_of,
)
from pipelines.productioncloud import Shown
from pipelines.tasks import Draft
from pipelines.templatetoml import template_toml, to_data
from studio.productioncloud import CloudProduction
from studio.store import images, jobs, posts, rounds
from studio.store.jobs import LARGEST_ID
from studio.store.people import Who
from studio.store.views import Json
from studio.zipping import Entry, stream

if TYPE_CHECKING:
    from models.cards import ModelCard
    from models.spec import LoraUse
    from pipelines.request import PictureId, Request
    from pipelines.template import Template
    from studio.studio import Studio

KINDS = {"python": "py", "toml": "toml", "json": "json", "curl": "sh"}
FOR_PROVIDERS = ("python", "curl")
PROBES = ("zweikorn", "Quill & $5 {oak|ash}", "a plum-blue kite, 3 ft")  # values that no text holds by chance, with marks of the syntax
CHOICES_TRIED = 24
CHAIN_LIMIT = 4  # pictures drawn one from the other; what lies before them is a file


@dataclass(frozen=True)
class Taken:
    """What is taken away: a text under a name, the files beside it, and what to know of it. command: what a shell does with it.
    cloud: which provider is asked, None for what draws here."""

    name: str
    text: str
    command: str
    files: tuple[Beside | Shown, ...] = ()
    notes: tuple[str, ...] = ()
    cloud: Json | None = None

    def view(self) -> Json:
        sizes = [len(file.data) if isinstance(file, Shown) else file.path.stat().st_size for file in self.files]
        listed = [{"name": file.name, "bytes": size} for file, size in zip(self.files, sizes, strict=True)]
        told = {"name": self.name, "text": self.text, "command": self.command, "files": listed, "notes": list(self.notes)}
        return told | {"cloud": self.cloud}

    def packed(self) -> tuple[str, Iterator[bytes]]:
        """-> (name, a ZIP with the text and its files, piece by piece)."""
        beside = [Entry(file.name, file.data if isinstance(file, Shown) else file.path) for file in self.files]
        return f"{self.name.rpartition('.')[0]}.zip", stream([Entry(self.name, self.text.encode(), pack=True), *beside])


class Production:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self.cloud = CloudProduction(studio, self._here)

    def take(self, data: Mapping[Any, Any], who: Who) -> Taken:
        """{"image": id} or {"template": name or {"name", "version"}}, and "as": "python|toml|json|curl".

        With "provider" (and "model", if wanted) Python and curl ask that provider to draw it; curl needs one.

        A template goes as it is into TOML and JSON. Its program is of one seed and tier ("seed", "family", "tier", "values"; its example's
        values where none are given), with the variables that can be one as flags. Raises BadInput, NotFound, Unavailable for a file that
        is gone.
        """
        kind = one_of(data, "as", KINDS, "python", "kinds")
        asked = read_template(data)
        if data.get("provider") is not None or kind == "curl":
            return self._ordered(asked, data, one_of(data, "as", FOR_PROVIDERS, "python", "kinds for a provider"), who)
        if asked is not None:
            return self._template(asked, data, kind, who)
        return self._written(self.of_image(_image(data), who), kind)

    def of_image(self, image: int, who: Who) -> Recipe:
        """How a picture of the history is drawn. Raises NotFound, Unavailable."""
        row = images.image_row(self._store, image, who)
        stages, notes = self._stages(row, who, CHAIN_LIMIT)
        name = f"contact-sheet-{row['job_id']:06d}-{row['number']:03d}"
        about = f"Picture {row['number']} of job {row['job_id']}: {row['prompt']}"
        post = posts.posts_of(self._store, [image]).get(image)
        return Recipe(name, about, stages, self._request(row), post=post[0] if post else None, notes=tuple(dict.fromkeys(notes)))

    def of_template(self, template: Template, data: Mapping[Any, Any], who: Who) -> Recipe:
        """How a template's picture is drawn from one seed. Raises BadInput for its values, NotFound, Unavailable."""
        given = read_values(data)
        values = fill(template, given or template.example)
        names = ("family", "tier", "seed")
        submission = {"family": self._studio.family, "seed": 0, **{name: data[name] for name in names if data.get(name) is not None}}
        submission["template"] = {"name": template.name, "version": template.version}

        def request(some: Mapping[str, Any]) -> Request:
            return self._studio.read({**submission, "values": some}, who)

        asked = request(values.to_dict())
        plan = plan_for(
            asked, self._studio.catalogue, lambda image: self._picture(image, who),
            lambda lora: self._studio.loras.file(lora.name, lora.version, who),
        )  # fmt: skip
        start = self._file(plan.final.spec.image, "start", "The picture that it starts from") if plan.final.spec.image else None
        notes: list[str] = []

        def weights(card: str) -> Weights:
            found, more = self._weights(card, who)
            notes.extend(more)
            return found

        stages = stages_of(plan, asked.seed, weights, start, [self._lora(lora, place) for place, lora in enumerate(plan.final.spec.loras)])
        texts, opened = open_prompt(
            lambda some: (lambda one: (one.prompt, one.negative))(request(some)), values.to_dict(), _others(template)  # type: ignore[arg-type]
        )
        if opened:
            negative = stages[-1].spec.negative
            stages = tuple(
                replace(stage, spec=replace(stage.spec, prompt=texts[0], negative=texts[1] if stage.spec.negative == negative else ""))
                for stage in stages
            )
        post = read_post(template.post) if template.post else None
        about = f"{template.title}, version {template.version}: {asked.prompt}"
        return Recipe(template.name, about, stages, asked.to_dict(), opened or None, post, tuple(dict.fromkeys(notes)))

    # How it is done.

    def _ordered(self, asked: Mapping[str, object] | None, data: Mapping[Any, Any], kind: str, who: Who) -> Taken:
        if data.get("provider") is None:
            raise BadInput("provider", "curl asks a provider to draw.", "", "Say which one.")
        recipe = self.of_template(self._asked_template(asked), data, who) if asked is not None else self.of_image(_image(data), who)
        made = self.cloud.take(recipe, data, kind, who)
        return Taken(f"{recipe.name}.{KINDS[kind]}", made.text, made.command, made.files, made.notes, made.view())

    def _asked_template(self, asked: Mapping[str, object]) -> Template:
        templates, name, version = self._studio.templates, str(asked["name"]), asked["version"]
        return templates.current(name) if version is None else templates.at(name, int(str(version)))

    def _template(self, asked: Mapping[str, object], data: Mapping[Any, Any], kind: str, who: Who) -> Taken:
        name, template = str(asked["name"]), self._asked_template(asked)
        if kind == "python":
            return self._written(self.of_template(template, data, who), kind)
        data = {"name": name, **to_data(template)}
        text = template_toml(template) if kind == "toml" else json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        values = [f"{one}={value}" for one, value in template.example.items()]
        words = ["python", "launch.py", "generate", "--template", name, *(["--set", *values] if values else [])]
        return Taken(f"{name}.{KINDS[kind]}", text, shlex.join(words))

    def _picture(self, image: PictureId, who: Who) -> Path:
        return self._studio.imports.file(image, who) if isinstance(image, str) else self._studio.picture_file(image, who)

    def _written(self, recipe: Recipe, kind: str) -> Taken:
        text = {"python": program, "toml": recipe_toml, "json": recipe_json}[kind](recipe)
        name = f"{recipe.name}.{KINDS[kind]}"
        words = ["python", name] if kind == "python" else ["python", "launch.py", "generate", "--recipe", name]
        words += [part for key, value in (recipe.values or {}).items() for part in ("--set", f"{key}={value}")]
        return Taken(name, text, shlex.join(words), recipe.files, recipe.notes)

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
        there = self._here(path)
        try:
            return Beside.of(there, f"{name}{there.suffix}")
        except FileNotFoundError as error:
            raise Unavailable(f"{what} is gone.", "Its file was deleted since.", "Restore it from a backup.") from error

    def _here(self, path: Path) -> Path:
        """Where a file of the data folder lies now, wherever that folder was at that time."""
        place = _below(path, "outputs") or _below(path, "uploads")
        return self._studio.data_dir / place if place else path

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

    def _request(self, row: Any) -> Json:
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


def _image(data: Mapping[Any, Any]) -> int:
    image = whole(data, "image", 1, LARGEST_ID, None)
    if image is None:
        raise BadInput("image", "image is missing.", "", "Say which picture or which template to take.")
    return image


def _places(card: ModelCard) -> tuple[str, ...]:
    """Folders to look in whoever asks: the embedded model's is found from the studio's own folder."""
    return ("models/embedded/checkpoint",) if card.embedded else ()


def _others(template: Template) -> dict[str, tuple[str, ...]]:
    """What else the values of a template's variables could be, for those that may do no more than stand in the prompt."""
    found: dict[str, tuple[str, ...]] = {}
    for name, variable in template.variables.items():
        if variable.type == "text":
            found[name] = tuple(probe for probe in PROBES if len(probe) <= variable.max_length)
        elif variable.type == "choice":
            found[name] = variable.choices[:CHOICES_TRIED]
    return found


def _below(path: Path, folder: str) -> str | None:
    """The part of a path from `folder` on, with slashes; None when it is not below one of that name."""
    parts = path.parts
    at = next((place for place in range(len(parts) - 1, -1, -1) if parts[place] == folder), None)
    return None if at is None else "/".join(parts[at:])


