"""Trainings as people ask for them: settings proposed, put on the queue, stopped, kept, gone on with; and the versions they become.

    trainings.propose({"dataset": 3}, who)                      -> settings that fit this machine, and what to know of them
    trainings.create({"dataset": 3, "lora": "ceramic"}, who)    -> on the queue; `studio.trainer` takes it from there
"""
from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, Unavailable
from models.toml import Place, Table, parse
from models.training.recipe import Recipe
from models.weights import find_weights, model_found
from pipelines.fields import one_of, shown, text, whole
from pipelines.training.config import as_table, read_recipe, read_run, with_trigger, without_trigger, write_run
from pipelines.training.events import read_events, valid
from pipelines.training.presets import Proposal, needed, propose
from studio.loras import REASON_LIMIT, Made, slug
from studio.retraining import Retraining
from studio.store import datasets, loras, trainings
from studio.store.db import now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who
from studio.store.trainings import HELD, Row
from studio.store.views import Json
from studio.trainer import BEST, STOP, Trainer, folder_of, person_of, process_command
from studio.trainingviews import TrainingViews, last_version

if TYPE_CHECKING:
    from studio.studio import Studio

GIVES_WAY = ("previews", "jobs", "never")
FIELDS = ("dataset", "lora", "settings", "toml", "gives_way", "note", "title", "about", "access", "project", "evaluate")
TOML_LIMIT = 20_000
# Not a person's to say here: the LoRA, the dataset and the preset say them, and the last one is a path on this machine.
FIXED = ("name", "kind", "card", "trigger", "training_adapter")
SAMPLES = 3
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "numpy")
COMING = ".coming-"


class Trainings:
    """Any thread may ask. made(name, number, who) is called when a training has become a version."""

    def __init__(self, studio: Studio, device: str | None, lowvram: bool, models_dir: Path | None) -> None:
        self._studio, self._store = studio, studio.store
        self.views = TrainingViews(studio)
        self.made: Callable[[str, int, Who], None] = lambda name, number, who: None

        def command(folder: Path) -> list[str]:
            return process_command(folder, device, lowvram, models_dir, studio.shelf.where.folders)

        self.retraining = Retraining(studio, self._by_itself)
        self.trainer = Trainer(studio, self._register, command, self.retraining)
        self._keeping = threading.Lock()

    def start(self) -> None:
        self._sweep()
        self.trainer.start()

    def stop(self) -> None:
        self.trainer.stop()

    # What is proposed, and asked for.

    def propose(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Settings for a dataset, or for a "lora" that was trained here: its dataset as it is now, its settings as they were.

        {"dataset", "lora", "settings", "toml"?, "preset", "words", "gib", "usable", "fits", "ready", "missing": why it cannot be begun,
        "images", "trigger", "kind", "card", "parent", "stale", "seconds": how long it may take, None where nobody knows}.
        Raises NotFound, BadInput.
        """
        dataset, lora, before = self._subject(data, who)
        found = self._proposal(dataset, lora, before)
        recipe = found.recipe
        view = self._studio.datasets.views.view(dataset["id"], who)
        missing = self._missing(recipe.card) or ("" if found.fits else found.words)
        parent = loras.current(self._store, loras.lora_row(self._store, lora, who)["id"]) if self._known(lora) else None
        return {
            "dataset": {name: view[name] for name in ("id", "title", "count", "cover", "card", "card_title", "trigger", "kind")},
            "lora": lora,
            "settings": {name: value for name, value in as_table(recipe).items() if name not in FIXED},
            "preset": found.preset,
            "words": found.words,
            "gib": round(found.gib, 1),
            "usable": round(self._studio.shelf.machine().usable, 1),
            "fits": found.fits,
            "ready": view["ready"],
            "missing": missing,
            "parent": parent,
            "stale": self._studio.datasets.stale(lora) if before is not None else None,
            "seconds": self._seconds(recipe),
            "gives_way": "previews",
            "evaluate": self._studio.settings.get("loras.evaluate"),
        }

    def create(self, data: Mapping[Any, Any], who: Who, automatic: bool = False) -> Json:
        """Puts a training on the queue; it as `views.short` has it.

        dataset, or a lora that was trained here; lora: the name of one that they may change, or of a new one (then title, about, access,
        project may be said too); settings, or toml: what is to differ from the proposal; gives_way: to "previews", all "jobs", "never";
        evaluate: whether its version is evaluated by itself, None as the settings say.
        Raises BadInput, NotFound, NotYours, NotNow, Unavailable.
        """
        dataset, lora, before = self._subject(data, who)
        gives_way = one_of(data, "gives_way", GIVES_WAY, "previews", "kinds of giving way")
        note, evaluate = text(data, "note", REASON_LIMIT), data.get("evaluate")
        if evaluate not in (None, True, False):
            raise BadInput("evaluate", f"evaluate must be true or false; this is {shown(evaluate)}.")
        known = self._known(lora)
        if known:
            self._studio.loras.own(lora, who)
            if (open_ := trainings.open_of(self._store, lora)) is not None:
                state = "was stopped and can go on" if open_["state"] == "stopped" else f"is {open_['state']}"
                raise NotNow(f"{lora} is being trained already.", f"Training {open_['id']} {state}.", "Cancel that one, or wait for it.")
        found = self._proposal(dataset, lora, before)
        recipe = self._read(found.recipe, data)
        if not found.fits:
            raise Unavailable(found.words, "", "Choose a smaller model for the dataset.")
        self._require(recipe.card)
        top = self._studio.data_dir / "training"
        top.mkdir(exist_ok=True)
        coming = Path(tempfile.mkdtemp(prefix=COMING, dir=top))
        try:
            written = self._studio.datasets.write(dataset["id"], coming, who, note=f"For {lora}")
            write_run(coming, recipe)
            if not known:
                self._studio.loras.create(self._new_lora(data, lora, dataset), who)
            row = loras.lora_row(self._store, lora, who)
            values = {
                "person": who.name, "lora": lora, "parent": loras.current(self._store, row["id"]), "dataset_id": dataset["id"],
                "dataset": written, "card": recipe.card, "steps": recipe.steps, "gives_way": gives_way, "automatic": int(automatic),
                "note": note, "evaluate": int(self._studio.settings.get("loras.evaluate") if evaluate is None else evaluate),
            }  # fmt: skip
            with self._store.write() as db:
                training = trainings.add(db, values)
                folder = folder_of(self._studio.data_dir, training)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(coming, folder)
        finally:
            shutil.rmtree(coming, ignore_errors=True)
        self.trainer.tell(training)
        self.trainer.wake()
        return self.views.short(trainings.row_of(self._store, training), who)

    def keep(self, training: int, who: Who) -> Json:
        """Ends it now: the best so far becomes a version. Raises NotFound, NotNow where nothing is learnt yet."""
        row = trainings.row_of(self._store, training, who)
        if not (folder_of(self._studio.data_dir, training) / BEST).is_file():
            raise NotNow("There is nothing to keep yet.", "The best so far is known after the first validation.", "Wait for that.")
        if trainings.ask(self._store, training, "keep"):
            self.trainer.wake()
        else:
            with self._keeping:  # two clicks make one version
                if not trainings.set_state(self._store, training, "stopped", ("queued", "stopped", "failed", "cancelled")):
                    raise self._not_now(training, "kept")
                self.trainer.keep(row)
        return self._told(training, who)

    def stop_one(self, training: int, who: Who) -> Json:
        """Writes a checkpoint and lets go of the device until it is resumed. Raises NotFound, NotNow."""
        trainings.row_of(self._store, training, who)
        if not (trainings.set_state(self._store, training, "stopped", ("queued",)) or trainings.ask(self._store, training, "stop")):
            raise self._not_now(training, "stopped")
        return self._told(training, who)

    def resume(self, training: int, who: Who) -> Json:
        """Puts one that was stopped, cancelled or has failed on the queue again: it goes on from its last checkpoint.

        Raises NotFound, NotNow.
        """
        row = trainings.row_of(self._store, training, who)
        self._studio.loras.own(row["lora"], who)
        other = trainings.open_of(self._store, row["lora"])
        if other is not None and other["id"] != training:
            why = f"Training {other['id']} is {other['state']}."
            raise NotNow(f"{row['lora']} is being trained already.", why, "Cancel that one first.")
        (folder_of(self._studio.data_dir, training) / STOP).unlink(missing_ok=True)
        anew: Json = {"finished": None, "failure": None, "attempts": 0}
        if not trainings.set_state(self._store, training, "queued", ("stopped", "failed", "cancelled"), **anew):
            raise self._not_now(training, "resumed")
        return self._told(training, who)

    def cancel(self, training: int, who: Who) -> Json:
        """Ends it at once, and nothing comes of it; what its last checkpoint holds stays until it is removed.

        An admin may cancel anybody's. Raises NotFound, NotNow.
        """
        row = trainings.row_of(self._store, training, None if who.admin else who)
        ended = trainings.set_state(self._store, training, "cancelled", ("queued", "stopped", "failed"))
        if not ended and not trainings.ask(self._store, training, "cancel"):
            raise self._not_now(training, "cancelled")
        self.trainer.tell(training)
        self.trainer.wake()
        row = trainings.row_of(self._store, training)
        mine = any(one["id"] == training for one in trainings.rows(self._store, who, row["lora"]))
        return self.views.short(row, who) if mine else self.views.veiled(row, who)

    def remove(self, training: int, who: Who) -> None:
        """Deletes its folder. The version that it became stays, with its settings. Raises NotFound, NotNow."""
        row = trainings.row_of(self._store, training, who)
        if row["state"] in ("queued", *HELD):
            raise self._not_now(training, "removed")
        trainings.change(self._store, training, removed=now())
        shutil.rmtree(folder_of(self._studio.data_dir, training), ignore_errors=True)
        self._studio.hub.publish("training", {"id": training, "event": "state", "state": "removed"}, (row["person"], None))

    # How it is done.

    def _by_itself(self, lora: str, person: str, note: str) -> int:
        asked = {"lora": lora, "note": note[:REASON_LIMIT], "gives_way": "jobs"}
        return int(self.create(asked, person_of(self._studio, person), automatic=True)["id"])

    def _subject(self, data: Mapping[Any, Any], who: Who) -> tuple[Row, str, Row | None]:
        """The dataset, the LoRA's name, and the version whose settings are taken up where only the LoRA is named."""
        lora, number = text(data, "lora", 80), whole(data, "dataset", 1, LARGEST_ID, None)
        before = last_version(self._studio, lora, who) if lora and self._known(lora) else None
        if number is not None:
            row = datasets.row_of(self._store, number, who)
            same = before is not None and json.loads(before["dataset"])["dataset"] == number
            return row, lora or slug(row["title"]), before if same else None
        if before is None:
            raise BadInput("dataset", "Say which dataset to train on.", "" if not lora else f"{lora[:40]} was not trained here.")
        return datasets.row_of(self._store, json.loads(before["dataset"])["dataset"], who), lora, before

    def _proposal(self, dataset: Row, lora: str, before: Row | None) -> Proposal:
        card, machine = self._studio.catalogue.card(dataset["card"]), self._studio.shelf.machine()
        images = datasets.images_of(self._store, dataset["id"])
        found = propose(card, dataset["kind"], machine, len(images), lora, dataset["trigger"])
        merged = _plain(found.recipe)
        merged["samples"] = _samples([one["caption"] for one in images], dataset["trigger"], found.recipe)
        if before is not None and before["config"] and before["card"] == card.name:
            config = json.loads(before["config"])
            same = len(json.loads(before["dataset"])["images"]) == len(images)
            left = FIXED if same else (*FIXED, "steps", "samples")  # how many steps there are depends on the pictures
            merged |= {name: value for name, value in config.items() if name in merged and name not in left}
        recipe = read_recipe(Table(Place("The settings", "settings"), merged), [card.name])
        gib = needed(card, recipe)
        return Proposal(found.preset, recipe, gib, found.fits and gib <= machine.usable, found.words)

    def _read(self, proposed: Recipe, data: Mapping[Any, Any]) -> Recipe:
        """The proposal with what a person wants different. Raises BadInput below "settings"."""
        settings, written = data.get("settings"), text(data, "toml", TOML_LIMIT)
        if settings is not None and not isinstance(settings, Mapping):
            raise BadInput("settings", f"settings must be an object; this is {shown(settings)}.")
        given = {**(settings or {}), **(parse(written, "run.toml") if written else {})}
        merged = _plain(proposed)
        for name, value in given.items():
            if name in FIXED:
                if value == getattr(proposed, name):
                    continue
                raise BadInput(f"settings.{name}", f"{name} is not set here.", "The dataset, the LoRA and the preset say it.")
            merged[str(name)] = {**merged["prior"], **value} if name == "prior" and isinstance(value, Mapping) else value
        return read_recipe(Table(Place("The settings", "settings"), merged), [proposed.card])

    def _new_lora(self, data: Mapping[Any, Any], name: str, dataset: Row) -> Json:
        asked = {field: data[field] for field in ("title", "about", "access", "project") if data.get(field) is not None}
        return {"name": name, "title": dataset["title"], "kind": dataset["kind"], **asked}

    def _known(self, lora: str) -> bool:
        return self._store.db.execute("SELECT 1 FROM loras WHERE name = ?", [lora]).fetchone() is not None

    def _require(self, name: str) -> None:
        """Raises Unavailable for a model whose licence is not accepted or whose weights are not here."""
        card = self._studio.catalogue.card(name)
        self._studio.shelf.licences.require(card)
        find_weights(card, self._studio.shelf.where)

    def _missing(self, card: str) -> str:
        try:
            self._require(card)
        except Unavailable as error:
            return str(error)
        return ""

    def _seconds(self, recipe: Recipe) -> float | None:
        """As the last training of this model took, a picture of a step."""
        row = self._store.db.execute(
            "SELECT id, progress FROM trainings WHERE card = ? AND state = 'done' AND removed IS NULL ORDER BY id DESC LIMIT 1",
            [recipe.card],
        ).fetchone()
        progress = json.loads(row["progress"]) if row else {}
        if not progress.get("seconds") or not progress.get("step"):
            return None
        before = read_run(folder_of(self._studio.data_dir, row["id"]))
        rows = recipe.steps * recipe.batch * recipe.accumulation / (progress["step"] * before.batch * before.accumulation)
        return round(float(progress["seconds"]) * rows, 0)

    def _register(self, row: Row) -> int:
        """Makes a version of a training's best, as the candidate; its number. A second time for the same training it is the same one."""
        training, name, who = str(row["id"]), row["lora"], person_of(self._studio, row["person"])
        there = self._store.db.execute(
            "SELECT number, lora_id FROM lora_versions JOIN loras ON loras.id = lora_id WHERE name = ? AND training = ?", [name, training]
        ).fetchone()
        number = int(there["number"]) if there else self._studio.loras.register(name, self._made(row), who)
        lora = loras.lora_row(self._store, name, who)["id"]
        if loras.aliases(self._store, [lora])[lora].get("candidate") != number:
            self._studio.loras.move(name, "candidate", number, who, f"Trained (training {training}).")
            self.made(name, number, who)
        return number

    def _made(self, row: Row) -> Made:
        folder, card = folder_of(self._studio.data_dir, row["id"]), self._studio.catalogue.card(row["card"])
        recipe, dataset = read_run(folder), json.loads(row["dataset"])
        events = valid(read_events(folder)[0])
        validations = {one["step"]: one["validation"] for one in events if one.get("event") == "validation"}
        done: Json = next((one for one in reversed(events) if one.get("event") == "done"), {})
        best = done.get("best_step") or min(validations, key=lambda step: (step == 0, validations[step]), default=0)
        sampled = [one for one in events if one.get("event") == "sample" and one["step"] > 0]
        # The last pictures that were drawn with no more than the best had learnt; the first there are where none were.
        shown_at = max((one for one in sampled if one["step"] <= best), key=lambda one: one["step"], default=sampled[0] if sampled else {})
        scores = {"steps": float(best)} | ({"validation": float(validations[best])} if best in validations else {})
        samples = [folder / file for file in shown_at.get("files", []) if (folder / file).is_file()]
        found = model_found(card, self._studio.shelf.where)
        return Made(
            folder / BEST, row["card"], base_revision=(found.revision if found else "") or "",
            triggers=[recipe.trigger] if recipe.trigger else [], parent=row["parent"], dataset=dataset, config=as_table(recipe),
            seed=recipe.seed, packages=_packages(), samples=samples, scores=scores, training=str(row["id"]), note=row["note"],
            gpu_seconds=round(trainings.device_seconds(self._store, row["id"]), 1),
        )  # fmt: skip

    def _told(self, training: int, who: Who) -> Json:
        self.trainer.tell(training)
        self.trainer.wake()
        return self.views.short(trainings.row_of(self._store, training), who)

    def _not_now(self, training: int, deed: str) -> NotNow:
        state = trainings.row_of(self._store, training)["state"]
        return NotNow(f"Training {training} cannot be {deed}.", f"It is {state}.")

    def _sweep(self) -> None:
        """Clears away folders that no training has: what was being written when a studio was killed."""
        known = {str(row["id"]) for row in self._store.db.execute("SELECT id FROM trainings WHERE removed IS NULL")}
        for folder in (self._studio.data_dir / "training").glob("*"):
            if folder.name not in known and (folder.name.isdigit() or folder.name.startswith(COMING)):
                shutil.rmtree(folder, ignore_errors=True)


def _samples(captions: list[str], trigger: str, recipe: Recipe) -> list[Json]:
    """What is drawn while it trains: two captions, and one of them without the trigger, which should stay as it was."""
    distinct = list(dict.fromkeys(with_trigger(caption, trigger) for caption in captions if caption or trigger))[: SAMPLES - 1]
    plain = without_trigger(distinct[0], trigger, recipe.prior.instead) if distinct and trigger else ""
    prompts = [prompt for prompt in (*distinct, plain) if prompt]
    return [{"prompt": prompt, "seed": recipe.seed, "width": 0, "height": 0} for prompt in prompts]


def _plain(recipe: Recipe) -> Json:
    """As TOML or JSON would give it back."""
    found: Json = json.loads(json.dumps(as_table(recipe)))
    return found


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
