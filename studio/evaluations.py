"""Evaluations of LoRA versions as people ask for them: proposed, begun, watched; and what a version lacks to go to production."""
from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.cards import Catalogue
from models.errors import BadInput, NotFound, StudioError, Unavailable
from models.presets import presets_folder
from models.scorers import prompt_encoder
from models.scorers.catalogue import load_scorers
from models.toml import Table
from pipelines.evaluation import WEIGHTS, Cell, Defaults, Setup, cells, read_defaults, read_setup
from pipelines.fields import text, whole
from pipelines.training.config import with_trigger, without_trigger
from studio import files
from studio.evaluating import Evaluator, seed_of
from studio.store import datasets, evaluations, loras
from studio.store.evaluations import Row
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.timings import timing
from studio.store.views import Json
from studio.trainer import person_of

if TYPE_CHECKING:
    from studio.studio import Studio

log = logging.getLogger(__name__)

FIELDS = ("lora", "version", "against", "concept", "ordinary", "weights", "pictures", "seed")
VERSIONS = 2**31 - 1
SEED = 60
SAME = ("id", "lora", "title", "number", "against", "person", "state", "verdict", "words", "created", "finished", "family", "tier")
NOT_READY = {"unfit": "Its evaluation says that it is unfit", "worse": "Its evaluation says that it is worse"}


class Evaluations:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self.evaluator = Evaluator(studio, self._by_themselves)

    # What is proposed, and asked for.

    def propose(self, data: Mapping[Any, Any], who: Who) -> Json:
        """What an evaluation of a version would draw, and what stands in its way.

        {"lora", "version", "against", "versions": that it can be compared with, "setup", "measured": whether the concept is known,
        "pictures": in all, "seconds": None where nobody knows, "card", "tier", "missing": why it cannot be begun}.
        Raises NotFound, BadInput.
        """
        lora, version = self._version(data, who)
        against = self._against(data, lora, version)
        family, tier, missing = self._drawn_by(version)
        setup, known = self._setup(lora, version, family)
        others = self._others(lora, version)
        counted = cells(setup, against is not None)
        card = self._studio.catalogue.card(version["card"])
        return {
            "lora": lora["name"], "title": lora["title"], "version": version["number"], "against": against, "versions": others,
            "setup": setup.to_dict(), "measured": bool(known), "pictures": len(counted),
            "seconds": self._seconds(setup, counted, family, tier), "card": card.title, "tier": tier,
            "missing": missing or self._blind(version["card"]),
        }  # fmt: skip

    def create(self, data: Mapping[Any, Any], who: Who, automatic: bool = False) -> Json:
        """Begins one; it as `short` has it. lora, version; against: a number, null for none; and what of the setup is to differ.

        Raises BadInput, NotFound, NotYours, NotNow where one of this version is under way, Unavailable.
        """
        lora, version = self._version(data, who)
        self._studio.loras.own(lora["name"], who)
        against = self._against(data, lora, version)
        family, tier, missing = self._drawn_by(version)
        proposed, known = self._setup(lora, version, family)
        trigger = proposed.triggers[0] if proposed.triggers else ""
        given = data.get("concept")
        typed = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        plainly = {one: without_trigger(one, trigger) or one for one in typed}
        setup = read_setup(data, proposed, plainly)
        if missing := missing or self._blind(version["card"]):
            raise Unavailable(f"{lora['name']}/v{version['number']} cannot be evaluated here.", missing)
        row: Json = {
            "lora_id": lora["id"], "number": version["number"], "against": against, "person": who.name, "card": version["card"],
            "family": family, "tier": tier, "setup": json.dumps(setup.to_dict()), "automatic": int(automatic),
        }  # fmt: skip
        self._check({**row, "lora": lora["name"]}, setup, who)
        texts = [("concept", place, prompt) for place, prompt in enumerate(setup.plain)]
        texts += [("ordinary", place, prompt) for place, prompt in enumerate(setup.ordinary)]
        pictures = [("dataset", place, path) for place, path in enumerate(known)]
        with self._store.write() as db:
            other = evaluations.last_of(self._store, lora["id"], version["number"])
            if other is not None and other["state"] == "running":
                raise NotNow(f"{lora['name']}/v{version['number']} is being evaluated already.", "", "Wait for it, or cancel it.")
            made = evaluations.add(db, row, len(cells(setup, against is not None)), [*texts, *pictures])
        self.evaluator.advance(made)
        self.evaluator.tell(made)
        return self.short(evaluations.row_of(self._store, made), who)

    def resume(self, evaluation: int, who: Who) -> Json:
        """Goes on with one that failed or was cancelled: what is drawn stays. Raises NotFound, NotYours, NotNow."""
        row = self._own(evaluation, who)
        if not evaluations.begin_again(self._store, evaluation):
            raise NotNow(f"Evaluation {evaluation} cannot be resumed.", f"It is {row['state']}.")
        self.evaluator.advance(evaluation)
        self.evaluator.tell(evaluation)
        return self.short(evaluations.row_of(self._store, evaluation), who)

    def cancel(self, evaluation: int, who: Who) -> Json:
        """Ends it; what is drawn stays. Raises NotFound, NotYours, NotNow."""
        row = self._own(evaluation, who)
        if not self.evaluator.cancel(row):
            raise NotNow(f"Evaluation {evaluation} cannot be cancelled.", f"It is {row['state']}.")
        self.evaluator.tell(evaluation)
        return self.short(evaluations.row_of(self._store, evaluation), who)

    def remove(self, evaluation: int, who: Who) -> None:
        """Off the list; its pictures stay in the history, its verdict with the version. Raises NotFound, NotYours, NotNow."""
        row = self._own(evaluation, who)
        if row["state"] == "running":
            raise NotNow(f"Evaluation {evaluation} is under way.", "", "Cancel it first.")
        self._store.db.execute("UPDATE evaluations SET removed = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE id = ?", [evaluation])

    # Promotion.

    def gate(self, name: str, number: int) -> str:
        """What a version lacks to become production, "" where nothing."""
        lora = self._store.db.execute("SELECT id FROM loras WHERE name = ?", [name]).fetchone()
        if lora is None:
            return ""
        judged = loras.verdicts(self._store, [lora["id"]]).get((lora["id"], number))
        looked = number in evaluations.looks(self._store, lora["id"])
        lacks = []
        if judged is None:
            last = evaluations.last_of(self._store, lora["id"], number)
            running = last is not None and last["state"] == "running"
            lacks.append("Its evaluation is under way." if running else "It has not been evaluated.")
        elif judged["verdict"] in NOT_READY:
            lacks.append(f"{NOT_READY[judged['verdict']]}: {judged['words']}")
        if not looked:
            lacks.append("Nobody has said that they looked at its pictures.")
        return " ".join(lacks)

    def look(self, data: Mapping[Any, Any], who: Who) -> Json:
        """A person's word that they have looked at what a version draws. Raises NotFound, NotYours, BadInput."""
        lora, version = self._version(data, who)
        self._studio.loras.own(lora["name"], who)
        evaluations.look(self._store, lora["id"], version["number"], who)
        self._studio.hub.publish("loras", {"changed": True})
        return {"lora": lora["name"], "version": version["number"], "lacks": self.gate(lora["name"], version["number"])}

    def trained(self, name: str, number: int, who: Who) -> None:
        """A training has become a version: if it was to be evaluated by itself, that is seen to at once."""
        self.evaluator.wake()

    # As they are shown.

    def overview(self, who: Who, lora: str = "") -> Json:
        """{"evaluations": newest first, "looks": by version of the one LoRA that is asked for, who last looked and when}."""
        rows = evaluations.rows(self._store, who, lora)
        looks = evaluations.looks(self._store, loras.lora_row(self._store, lora, who)["id"]) if lora else {}
        found = {number: {"person": row["person"], "created": row["created"]} for number, row in looks.items()}
        return {"evaluations": [self.short(row, who) for row in rows], "looks": found}

    def short(self, row: Row, who: Who) -> Json:
        known = evaluations.cells(self._store, row["id"])
        jobs = evaluations.open_jobs(self._store, row["id"]) if row["state"] == "running" else []
        etas = [self._studio.queue.outlook(job).eta for job in jobs]
        return {name: row[name] for name in SAME} | {
            "done": sum(one["seen"] is not None for one in known), "of": len(known), "automatic": bool(row["automatic"]),
            "error": json.loads(row["error"]) if row["error"] else None, "base": self._studio.loras.title(row["card"]),
            "eta": max((eta for eta in etas if eta is not None), default=None), "may_change": self._may(row, who),
        }  # fmt: skip

    def view(self, evaluation: int, who: Who) -> Json:
        """With its pictures, by cell, and what was measured. Raises NotFound."""
        row = evaluations.row_of(self._store, evaluation, who)
        setup = Setup.from_dict(json.loads(row["setup"]))
        order, known = cells(setup, row["against"] is not None), evaluations.cells(self._store, evaluation)
        there = self._there([one["image_id"] for one in known if one["image_id"]])
        named = {one.name: one.title for one in load_scorers().by_name.values()}
        finding = json.loads(row["result"]) if row["result"] else None
        for one in finding["quality"] if finding else ():
            one["title"] = named.get(one["dimension"], one["dimension"])
        return self.short(row, who) | {
            "setup": setup.to_dict(), "finding": finding,
            "cells": [self._cell(evaluation, setup, order[one["number"]], one, there) for one in known],
        }  # fmt: skip

    def picture(self, evaluation: int, number: int, small: bool, who: Who) -> Path:
        """A cell's file, or its thumbnail: for whoever may see the LoRA. Raises NotFound."""
        evaluations.row_of(self._store, evaluation, who)
        row = next((one for one in evaluations.cells(self._store, evaluation) if one["number"] == number and one["image_id"]), None)
        image = row and self._store.db.execute("SELECT path FROM images WHERE id = ?", [row["image_id"]]).fetchone()
        if not image:
            raise NotFound("There is no such picture.")
        return (files.find_thumb if small else files.find_picture)(self._studio.data_dir, image["path"])

    # How it is done.

    def _by_themselves(self) -> None:
        """Begins what was to be evaluated when its training had ended."""
        for row in evaluations.wished(self._store):
            try:
                asked = {"lora": row["lora"], "version": row["number"]}
                self.create(asked, person_of(self._studio, row["person"]), automatic=True)
            except StudioError as error:
                log.info("%s/v%d is not evaluated: %s", row["lora"], row["number"], error)
                evaluations.unwish(self._store, row["id"])

    def _version(self, data: Mapping[Any, Any], who: Who) -> tuple[Row, Row]:
        name, number = text(data, "lora", 80), whole(data, "version", 1, VERSIONS, None)
        lora = loras.lora_row(self._store, name, who)
        if number is None:
            raise BadInput("version", "Say which version.", "", "Give its number.")
        version = loras.version_row(self._store, lora, number)
        if loras.trash_row(self._store, lora["id"], number) is not None:
            raise NotFound(f"{name}/v{number} is in the trash.", "", "Restore it first.")
        return lora, version

    def _against(self, data: Mapping[Any, Any], lora: Row, version: Row) -> int | None:
        """As asked; else production, what it was made from, or the version before it."""
        live = self._others(lora, version)
        if "against" in data:
            number = whole(data, "against", 1, VERSIONS, None)
            if number is not None and number not in live:
                raise BadInput("against", f"v{number} cannot be compared with.", "", "Choose another version, or none.")
            return number
        before = [number for number in live if number < version["number"]]
        usual = [loras.aliases(self._store, [lora["id"]])[lora["id"]].get("production"), version["parent"], max(before, default=None)]
        return next((one for one in usual if one in live), None)

    def _others(self, lora: Row, version: Row) -> list[int]:
        rows = loras.version_rows(self._store, [lora["id"]])[lora["id"]]
        return [one["number"] for one in rows if one["number"] != version["number"]]

    def _drawn_by(self, version: Row) -> tuple[str, str, str]:
        """(family, tier, ""): the tier that draws with the version's model and wears LoRAs; or ("", "", why there is none)."""
        catalogue = self._studio.catalogue
        for own in (True, False):
            for family in catalogue.families.values():
                tiers = sorted(family.tiers.values(), key=lambda one: one.name != "standard")
                for tier in tiers:
                    fits = tier.card == version["card"] if own else not self._studio.loras.misfit(version, catalogue.card(tier.card))
                    if tier.loras and fits:
                        return family.name, tier.name, ""
        first = next(iter(catalogue.families))
        return first, "standard", f"No tier of this studio draws with {self._studio.loras.title(version['card'])} and wears LoRAs."

    def _setup(self, lora: Row, version: Row, family: str) -> tuple[Setup, list[str]]:
        """What is proposed, and the dataset's pictures as paths below the data folder: none where nobody knows it."""
        usual, triggers = defaults(self._studio.catalogue, family), tuple(json.loads(version["triggers"]))
        captions, pictures = self._dataset(version)
        trigger = triggers[0] if triggers else ""
        if captions:
            concept = [with_trigger(caption, trigger) for caption in _spread(captions, usual.concepts)]
        else:
            concept = [with_trigger(prompt, trigger) for prompt in usual.ordinary[: usual.concepts]]
        plain = [without_trigger(prompt, trigger, "") or prompt for prompt in concept]
        return Setup(
            tuple(concept), tuple(plain), usual.ordinary, triggers, WEIGHTS, usual.pictures, SEED, usual.limits
        ), pictures  # fmt: skip

    def _dataset(self, version: Row) -> tuple[list[str], list[str]]:
        """Captions and files of what a version was trained on, as they were then."""
        said = json.loads(version["dataset"]) if version["dataset"] else {}
        if not said.get("dataset") or not said.get("version"):
            return [], []
        try:
            body = json.loads(datasets.version_row(self._store, said["dataset"], said["version"])["body"])
        except NotFound:
            return [], []
        there = [(one["caption"], datasets.file_path(one["sha256"], one["suffix"])) for one in body["images"]]
        kept = [(caption, path) for caption, path in there if (self._studio.data_dir / path).is_file()]
        return list(dict.fromkeys(caption for caption, _ in kept if caption)), [path for _, path in kept]

    def _check(self, row: Json, setup: Setup, who: Who) -> None:
        """That its pictures can be drawn, before anything is queued. Raises StudioError."""
        arms: list[Cell] = [Cell("concept", "base", 0.0, 0, 0), Cell("concept", "version", 1.0, 0, 0)]
        for cell in [*arms, *([Cell("concept", "against", 1.0, 0, 0)] if row["against"] is not None else [])]:
            self._studio.plan(self._studio.read(self.evaluator.fields(row, setup, cell, [0]), who), who)  # type: ignore[arg-type]
        for prompt in (*setup.concept, *setup.ordinary):
            self._studio.safety.check(prompt, (), who, True)

    def _blind(self, card: str) -> str:
        """Why pictures of a model cannot be looked at here, "" if they can."""
        return "" if self._studio.scripted else prompt_encoder(self._studio.catalogue.card(card), self._studio.shelf.where).missing()

    def _seconds(self, setup: Setup, counted: Sequence[Cell], family: str, tier: str) -> float | None:
        found, card = self._studio.catalogue.tier(family, tier)
        width, height = next(iter(found.sizes.values()))
        took = timing(self._store, self._studio.device()["device"]["words"], card.name, width, height).of_draft(setup.pictures, found.steps)
        return None if took is None else round(took * len(counted) / setup.pictures, 1)

    def _cell(self, evaluation: int, setup: Setup, cell: Cell, row: Row, there: set[int]) -> Json:
        seen = json.loads(row["seen"]) if row["seen"] else None
        state = "waiting" if seen is None else "lost" if "why" in seen else "drawn" if row["image_id"] in there else "gone"
        at = f"/api/evaluations/{evaluation}/pictures/{row['number']}"
        return {
            "part": cell.part, "arm": cell.arm, "weight": cell.weight, "prompt": cell.prompt, "picture": cell.picture, "state": state,
            "seed": seed_of(setup, cell.prompt, cell.picture), "image": row["image_id"], "why": seen.get("why", "") if seen else "",
            "flaws": seen.get("flaws", []) if seen else [],
        } | ({"src": at, "thumb": f"{at}?small=true"} if state == "drawn" else {})  # fmt: skip

    def _there(self, ids: Sequence[int]) -> set[int]:
        marks = ", ".join("?" * len(ids))
        return {row["id"] for row in self._store.db.execute(f"SELECT id FROM images WHERE state = 'drawn' AND id IN ({marks})", list(ids))}

    def _may(self, row: Row, who: Who) -> bool:
        return row["owner"] == who.name or who.admin or row["access"] == "project"

    def _own(self, evaluation: int, who: Who) -> Row:
        row = evaluations.row_of(self._store, evaluation, who)
        self._studio.loras.own(row["lora"], who)
        return row


def _spread(captions: Sequence[str], count: int) -> list[str]:
    """So many of them, evenly from the first to the last."""
    count = min(count, len(captions))
    return [captions[round(place * (len(captions) - 1) / max(1, count - 1))] for place in range(count)]


def defaults(catalogue: Catalogue, family: str) -> Defaults:
    """Of a family; of one that has no file of its own those of the first that has."""
    known = [name for name in (family, *catalogue.families) if (presets_folder() / "evaluation" / f"{name}.toml").is_file()]
    return _defaults(known[0])


@lru_cache(maxsize=16)
def _defaults(family: str) -> Defaults:
    return read_defaults(Table.of_file(presets_folder() / "evaluation" / f"{family}.toml"))
