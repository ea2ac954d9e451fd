"""Datasets as the page shows them: with what is wrong with each picture and the whole, and what changed since a LoRA was trained."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from models.captioner import captioner_for
from models.cards import Catalogue, ModelCard
from models.errors import NotFound
from models.weights import Shelves, weights_found
from models.words import read_prompt
from pipelines.dataset import Sample, Sizes, content_hash, load_kinds, place, written
from pipelines.datasetcheck import Checked, Looks, Reads, check
from pipelines.training.presets import load_presets
from studio.store import Store, datasets
from studio.store.datasets import sample
from studio.store.people import Who
from studio.store.views import Json

KIND = ("name", "title", "about", "advice", "fewest", "enough")
KEPT = 4000  # captions that were read
FINE = 64  # buckets in steps of so many pixels where pictures are large enough: fewer sizes, fuller batches


def sizes_of(row: Any, card: ModelCard, resolution: int | None = None) -> Sizes:
    """What a dataset (a row) is trained at."""
    resolution = resolution or row["resolution"]
    return Sizes(resolution, card.multiple if resolution < 512 else max(FINE, card.multiple), row["fit"])


class DatasetViews:
    """Any thread may ask."""

    def __init__(self, store: Store, folder: Path, catalogue: Catalogue, where: Callable[[], Shelves]) -> None:
        self._store, self._folder, self._catalogue, self._where = store, folder, catalogue, where
        self._read: dict[tuple[str, Path | None, str], Reads] = {}

    def cards(self) -> tuple[str, ...]:
        """Names of the models that LoRAs can be trained for."""
        return tuple(name for name, card in self._catalogue.cards.items() if card.lora)

    def overview(self, who: Who, removed: bool = False) -> Json:
        """{"datasets", "kinds", "cards", "captioner" by card}; see GET /api/datasets."""
        kinds, _ = load_kinds()
        here = self._where()
        found = [self._catalogue.cards[name] for name in self.cards()]
        return {
            "datasets": [self._short(row, who) for row in datasets.rows(self._store, who, removed)],
            "kinds": [{name: getattr(kind, name) for name in KIND} for kind in kinds.values()],
            "cards": [
                {"name": card.name, "title": card.title, "here": weights_found(card, here) is not None, "triggers": self._free(card.name)}
                for card in found
            ],
        }

    def _free(self, card: str) -> list[str]:
        """Words that a LoRA on this model is well called by and that no dataset has: two that are worn together must not share one."""
        offered = next((preset.triggers for preset in load_presets().values() if card in preset.for_cards), ())
        taken = datasets.triggers(self._store) if offered else ()
        return [word for word in offered if word not in taken]

    def view(self, dataset: int, who: Who) -> Json:
        """A dataset with its pictures in the order of their names. Raises NotFound."""
        row = datasets.row_of(self._store, dataset, who)
        card = self._catalogue.card(row["card"])
        rows = datasets.images_of(self._store, dataset)
        samples = [sample(one, self._folder) for one in rows]
        checked = self._check(row, card, rows, samples)
        captioner = captioner_for(card, self._where)
        kinds, _ = load_kinds()
        return self._short(row, who) | {
            "advice": kinds[row["kind"]].advice,
            "images": [self._picture(row, one, samples[at], checked, at, rows) for at, one in enumerate(rows)],
            "findings": [one.as_dict() for one in checked.whole],
            "ready": checked.ready,
            "asked": sum(one["asked"] is not None for one in rows),
            "captioner": {"title": captioner.title, "missing": captioner.missing()},
            "hash": content_hash(samples, row["trigger"], row["fit"]),
            "versions": [self._version(one) for one in datasets.versions(self._store, dataset)],
            "loras": self._loras(dataset, row, samples),
            "removed_images": [{"id": one["id"], "name": one["name"]} for one in datasets.images_of(self._store, dataset, removed=True)],
        }

    def picture(self, row: Any, image: Any) -> Json:
        """One picture by itself: what depends on the others is told by `view`."""
        card, one = self._catalogue.card(row["card"]), sample(image, self._folder)
        return self._picture(row, image, one, self._check(row, card, [image], [one]), 0, [image])

    def stale(self, lora: str) -> Json | None:
        """{"dataset", "title", "version", "added", "removed", "recaptioned", "recropped", "trigger": whether it changed, "words"}."""
        for used in datasets.uses(self._store, lora=lora)[:1]:
            try:
                row = datasets.row_of(self._store, used["dataset_id"])
                version = datasets.version_row(self._store, row["id"], used["taken"])
            except NotFound:
                return None
            if row["removed"] is not None:
                return None
            samples = [sample(one, self._folder) for one in datasets.images_of(self._store, row["id"])]
            if content_hash(samples, row["trigger"], row["fit"]) == used["hash"]:
                return None
            changed = changes(json.loads(version["body"]), samples, row)
            return {"dataset": row["id"], "title": row["title"], "version": used["number"]} | changed
        return None

    # How it is done.

    def _check(self, row: Any, card: ModelCard, rows: list[Any], samples: list[Sample]) -> Checked:
        kinds, limits = load_kinds()
        looks = [Looks.from_dict(json.loads(one["looks"])) for one in rows]
        reads = partial(self._reads, card, weights_found(card, self._where()))
        return check(samples, looks, kinds[row["kind"]], row["trigger"], sizes_of(row, card), limits, reads)

    def _reads(self, card: ModelCard, found: Path | None, words: str) -> Reads:
        """How a model reads a caption: kept by where its tokenizers are, for a set is looked at again after each change of one caption."""
        key = (card.name, found, words)
        known = self._read.get(key)
        if known is None:
            reading = read_prompt(card, words, self._where())
            tokens, most = list(reading.counts.values())[-1]
            known = self._read[key] = Reads(tuple(word for word, _, _ in reading.unknown), max(0, tokens - most))
            while len(self._read) > KEPT:
                self._read.pop(next(iter(self._read)), None)
        return known

    def _picture(self, row: Any, image: Any, one: Sample, checked: Checked, at: int, rows: list[Any]) -> Json:
        box, size = place(one.width, one.height, one.crop, sizes_of(row, self._catalogue.card(row["card"])))
        like = checked.like[at]
        here = f"/dataset/{row['id']}/{image['id']}"
        same = ("id", "name", "sha256", "width", "height", "bytes", "caption", "source", "told")
        return {name: image[name] for name in same} | {
            "written": written(one.caption, row["trigger"]),
            "crop": list(one.crop) if one.crop else None,
            "box": list(box or (0, 0, one.width, one.height)),
            "size": list(size),
            "findings": [found.as_dict() for found in checked.by_image[at]],
            "like": rows[like]["id"] if like is not None else None,
            "asked": image["asked"] is not None,
            "notes": json.loads(image["notes"]),
            "thumb": f"{here}.webp",
            "file": f"{here}/file",
        }

    def _short(self, row: Any, who: Who) -> Json:
        same = ("id", "title", "kind", "trigger", "card", "resolution", "fit", "person", "shared", "created", "changed")
        first = datasets.first(self._store, row["id"])
        cover = f"/dataset/{row['id']}/{first}.webp" if first else None
        pictures = datasets.count(self._store, row["id"])
        more = {"mine": row["person"] == who.name, "removed": row["removed"] is not None, "count": pictures, "cover": cover}
        return {name: row[name] for name in same} | more | {"card_title": self._catalogue.card(row["card"]).title}

    def _version(self, version: Any) -> Json:
        same = ("number", "hash", "person", "note", "created")
        return {name: version[name] for name in same} | {"count": len(json.loads(version["body"])["images"])}

    def _loras(self, dataset: int, row: Any, samples: list[Sample]) -> list[Json]:
        """The LoRAs whose newest version was trained on this dataset, and whether it has changed since."""
        own = content_hash(samples, row["trigger"], row["fit"])
        newest: dict[str, Any] = {}
        for one in datasets.uses(self._store):
            newest.setdefault(one["lora"], one)
        return [
            {"name": one["lora"], "title": one["title"], "version": one["number"], "stale": one["hash"] != own}
            for one in newest.values() if one["dataset_id"] == dataset
        ]  # fmt: skip


def changes(before: Mapping[str, Any], samples: list[Sample], row: Any) -> Json:
    """What differs between a version of a dataset and what it is now, counted and in words."""
    was, now = {one["sha256"]: one for one in before["images"]}, {one.sha256: one for one in samples}
    both = was.keys() & now.keys()
    counts = {
        "added": len(now.keys() - was.keys()),
        "removed": len(was.keys() - now.keys()),
        "recaptioned": sum(was[one]["caption"] != now[one].caption for one in both),
        "recropped": sum((was[one]["crop"] or None) != (list(crop) if (crop := now[one].crop) else None) for one in both),
    }
    trigger, fit = before["trigger"] != row["trigger"], before["fit"] != row["fit"]
    words = [f"{count} {'picture' if count == 1 else 'pictures'} {name}" for name, count in counts.items() if count]
    words += ["another trigger word"] * trigger + ["other crops"] * fit
    return counts | {"trigger": trigger, "fit": fit, "words": ", ".join(words) or "changed"}
