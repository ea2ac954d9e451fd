"""Datasets as a studio has them: pictures come in, are checked, captioned and cropped; a training takes a version, which never changes.

    datasets.bring(3, data, "mug.png", who)      -> the picture as the page shows it
    datasets.write(3, run_folder, who)           -> what a LoRA's version keeps of it; `dataset.json` and `images/` are in the folder
    datasets.stale("ceramic")                    -> what changed since ceramic was trained, None where nothing did
"""
from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from models.captioner import captioner_for
from models.cards import Catalogue, ModelCard
from models.errors import BadInput, Unavailable
from models.weights import Shelves
from pipelines.dataset import CAPTION_LIMIT, TRIGGER_LIMIT, Brought, load_kinds, read_crop, read_picture, write_run
from pipelines.datasetcheck import examine
from pipelines.datasetfiles import clean, match, members, tidy
from pipelines.fields import one_of, shown, text, whole
from studio import files
from studio.datasetviews import DatasetViews, sizes_of
from studio.events import Hub
from studio.history import read_shared
from studio.store import Store, datasets, images
from studio.store.datasets import file_path, sample, thumb_path
from studio.store.db import now
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import Who
from studio.store.views import Json

log = logging.getLogger(__name__)

TITLE_LIMIT = 80
IMAGES_LIMIT = 1000
FITS = ("bucket", "square")
TOLD = 50  # files left out that are named


class Datasets:
    """Any thread may ask. where: the places that weights are looked for in. wake: tells the worker that captions are asked for."""

    def __init__(
        self, store: Store, hub: Hub, data_dir: Path, catalogue: Catalogue, where: Callable[[], Shelves], wake: Callable[[], object]
    ) -> None:
        self._store, self._hub, self._folder, self._catalogue = store, hub, data_dir, catalogue
        self._where, self._wake = where, wake
        self.views = DatasetViews(store, data_dir, catalogue, where)

    # Datasets.

    def create(self, data: Mapping[Any, Any], who: Who) -> Json:
        """A dataset without pictures: title, kind, card, and if wanted trigger, resolution, fit. Raises BadInput."""
        values = {"title": "", "kind": "style", "trigger": "", "fit": "bucket"} | self._read(data)
        if not values["title"]:
            raise BadInput("title", "A dataset needs a title.", "", 'Call it like "Blue ceramic".')
        if "card" not in values:
            raise BadInput("card", "A dataset is for a model.", "Sizes and words depend on it.", "Say which.")
        values.setdefault("resolution", default_resolution(self._catalogue.card(values["card"])))
        return self._told(datasets.add(self._store, who, values), who)

    def change(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Raises NotFound, BadInput."""
        row = datasets.row_of(self._store, dataset, who, own=True)
        values = self._read(data)
        if "title" in values and not values["title"]:
            raise BadInput("title", "A dataset needs a title.")
        if "card" in values and values["card"] != row["card"] and "resolution" not in values:
            values["resolution"] = default_resolution(self._catalogue.card(values["card"]))
        datasets.change(self._store, dataset, values)
        return self._told(dataset, who)

    def share(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """with: null, "*" or a project of theirs: those may look at it, and train on it. Raises NotFound, BadInput."""
        datasets.row_of(self._store, dataset, who, own=True)
        datasets.change(self._store, dataset, {"shared": read_shared(data, who, "with")})
        return self._told(dataset, who)

    def remove(self, dataset: int, who: Who) -> None:
        """Puts it away; `bring_back` undoes it for thirty days, and for good where a LoRA was trained on it. Raises NotFound."""
        row = datasets.row_of(self._store, dataset, who, own=True)
        datasets.remove(self._store, dataset, True)
        self._publish(row)

    def bring_back(self, dataset: int, who: Who) -> Json:
        datasets.row_of(self._store, dataset, who, own=True)
        datasets.remove(self._store, dataset, False)
        return self._told(dataset, who)

    # Pictures.

    def bring(self, dataset: int, data: bytes, name: str, who: Who) -> Json:
        """Adds one picture; it as the page shows it. Raises NotFound, BadInput (field "file"), NotNow where it is there already."""
        row = datasets.row_of(self._store, dataset, who, own=True)
        image = self._add(dataset, read_picture(data, clean(name)), clean(name))
        self._publish(row)
        return self.views.picture(datasets.row_of(self._store, dataset), datasets.image_row(self._store, dataset, image))

    def bring_zip(self, dataset: int, file: IO[bytes], who: Who) -> Json:
        """Adds the pictures of a ZIP with their captions: {"added", "captions", "left": [{"name", "why"}], "left_count", "dataset"}.

        One that is broken does not stop the others. Raises NotFound, BadInput for what is no ZIP.
        """
        row = datasets.row_of(self._store, dataset, who, own=True)
        added, captions, left = 0, dict[str, str](), list[Json]()
        for member in members(file):
            captions |= member.captions or {}
            try:
                if member.data is not None:
                    self._add(dataset, read_picture(member.data, member.name), member.name)
                    added += 1
                    self._publish(row, arrived=added)
            except (BadInput, NotNow) as error:
                left.append({"name": member.name, "why": str(error)})
            if member.why:
                left.append({"name": member.name, "why": member.why})
        said = self._sidecars(dataset, captions)
        return {
            "added": added, "captions": said, "left": left[:TOLD], "left_count": len(left), "dataset": self._told(dataset, who),
        }  # fmt: skip

    def take(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Adds pictures of the history, with their prompts as captions. Raises NotFound, BadInput."""
        datasets.row_of(self._store, dataset, who, own=True)
        for image in _ids(data, "images"):
            row = images.image_row(self._store, image, who)
            path = files.find_picture(self._folder, row["path"])
            try:
                self._add(dataset, read_picture(path.read_bytes(), path.name), path.name, tidy(row["prompt"]), "prompt")
            except NotNow:
                log.debug("picture %d is in dataset %d already", image, dataset)
        return self._told(dataset, who)

    def leave_out(self, dataset: int, data: Mapping[Any, Any], who: Who, removed: bool = True) -> Json:
        """Takes pictures out, or with `removed` False back in. Raises NotFound, BadInput."""
        datasets.row_of(self._store, dataset, who, own=True)
        datasets.set_images(self._store, dataset, {image: {"removed": now() if removed else None} for image in _ids(data, "images")})
        return self._told(dataset, who)

    def crop(self, dataset: int, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """crop: [left, top, right, bottom] in pixels, null for as the size asks. Raises NotFound, BadInput."""
        datasets.row_of(self._store, dataset, who, own=True)
        row = datasets.image_row(self._store, dataset, image)
        crop = read_crop(data.get("crop"), row["width"], row["height"])
        datasets.set_images(self._store, dataset, {image: {"crop": json.dumps(crop) if crop else None}})
        return self._told(dataset, who)

    def file(self, dataset: int, image: int, who: Who) -> Path:
        """The file that is trained on. Raises NotFound."""
        datasets.row_of(self._store, dataset, who)
        row = datasets.image_row(self._store, dataset, image)
        return files.find_picture(self._folder, file_path(row["sha256"], row["suffix"]))

    def thumb(self, dataset: int, image: int, who: Who) -> Path:
        """A small WebP, made again if it is gone. Raises NotFound."""
        path = self.file(dataset, image, who)
        thumb = self._folder / thumb_path(path.stem)
        if not thumb.exists() or not thumb.stat().st_size:
            self._thumb(path.stem, read_picture(path.read_bytes(), path.name))
        return thumb

    # Captions.

    def caption(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Sets captions: "captions" by id of a picture, "sidecars" by the name of the file they came in. Raises NotFound, BadInput."""
        datasets.row_of(self._store, dataset, who, own=True)
        typed, sidecars = data.get("captions", {}), data.get("sidecars", {})
        for field, given in (("captions", typed), ("sidecars", sidecars)):
            if not isinstance(given, Mapping) or len(given) > IMAGES_LIMIT or not all(isinstance(one, str) for one in given.values()):
                raise BadInput(field, f"{field} must be texts by picture, {IMAGES_LIMIT} at most; this is {shown(given)}.")
        known = {str(row["id"]) for row in datasets.images_of(self._store, dataset)}
        if strange := [name for name in typed if name not in known]:
            raise BadInput("captions", f"There is no picture {strange[0][:40]} in this dataset.")
        said = {name: text(typed, name, CAPTION_LIMIT, f"captions.{name}") for name in typed}
        if said:
            changes = {int(one): {"caption": tidy(words), "source": "typed", "asked": None, "told": ""} for one, words in said.items()}
            datasets.set_images(self._store, dataset, changes)
        self._sidecars(dataset, {str(name): tidy(words) for name, words in sidecars.items()})
        return self._told(dataset, who)

    def propose(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Asks for proposed captions: of "images", else of those without; "replace" takes those with one too. Raises NotFound, BadInput,
        Unavailable where nobody here could write one."""
        row = datasets.row_of(self._store, dataset, who, own=True)
        replace = data.get("replace", False)
        if not isinstance(replace, bool):
            raise BadInput("replace", f"replace must be true or false; this is {shown(replace)}.")
        captioner = captioner_for(self._catalogue.card(row["card"]), self._where)
        if why := captioner.missing():
            raise Unavailable("Captions cannot be proposed here.", why, "An admin can download it, or type the captions.")
        rows = datasets.images_of(self._store, dataset)
        if data.get("images") is not None:
            wanted = set(_ids(data, "images"))
            rows = [one for one in rows if one["id"] in wanted]
        elif not replace:
            rows = [one for one in rows if not one["caption"]]
        datasets.ask(self._store, dataset, [one["id"] for one in rows])
        self._wake()
        return self._told(dataset, who)

    def stop_proposing(self, dataset: int, who: Who) -> Json:
        datasets.row_of(self._store, dataset, who, own=True)
        datasets.unask(self._store, dataset)
        return self._told(dataset, who)

    # What trainings take.

    def write(self, dataset: int, folder: Path, who: Who, resolution: int | None = None, note: str = "") -> Json:
        """Writes a dataset into a training run's folder, and its version down: what `studio.loras.Made.dataset` takes.

        resolution: pixels, None for the dataset's own. Raises NotFound, NotNow for one that cannot be trained on, BadInput.
        """
        row = datasets.row_of(self._store, dataset, who)
        self.require(dataset, who)
        card = self._catalogue.card(row["card"])
        samples = [sample(one, self._folder) for one in datasets.images_of(self._store, dataset)]
        found = write_run(folder, samples, row["trigger"], sizes_of(row, card, resolution))
        return self._keep_version(row, found, who, note)

    def require(self, dataset: int, who: Who) -> None:
        """Raises NotFound, and NotNow with what a dataset lacks to be trained on."""
        view = self.views.view(dataset, who)
        every = [*view["findings"], *(found for image in view["images"] for found in image["findings"])]
        if bad := [one for one in every if one["level"] == "bad"]:
            raise NotNow("This dataset cannot be trained on yet.", bad[0]["what"], bad[0]["todo"])

    def stale(self, lora: str) -> Json | None:
        """What changed in its dataset since the newest version of a LoRA was trained; None where nothing did, or it came from elsewhere."""
        return self.views.stale(lora)

    def restore(self, dataset: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Makes a dataset say again what a version said: pictures, captions, crops, trigger, fit. Raises NotFound, BadInput."""
        row = datasets.row_of(self._store, dataset, who, own=True)
        number = whole(data, "version", 1, LARGEST_ID, None)
        if number is None:
            raise BadInput("version", "Say which version is to come back.")
        body = json.loads(datasets.version_row(self._store, dataset, number)["body"])
        every = [*datasets.images_of(self._store, dataset, removed=True), *datasets.images_of(self._store, dataset)]
        known = {one["sha256"]: one["id"] for one in every}
        changes: dict[int, dict[str, Any]] = {one["id"]: {"removed": now()} for one in every}
        for one in body["images"]:
            if one["sha256"] not in known:
                path = files.find_picture(self._folder, file_path(one["sha256"], one["suffix"]))
                known[one["sha256"]] = self._add(dataset, read_picture(path.read_bytes(), one["name"]), one["name"])
            crop = json.dumps(one["crop"]) if one["crop"] else None
            changes[known[one["sha256"]]] = {"removed": None, "caption": one["caption"], "crop": crop, "asked": None}
        datasets.set_images(self._store, dataset, changes)
        datasets.change(self._store, dataset, {name: body[name] for name in ("trigger", "kind", "fit")})
        self._publish(row)
        return self._told(dataset, who)

    def told(self, dataset: int) -> None:
        """The worker has written captions."""
        self._publish(datasets.row_of(self._store, dataset))

    def sweep(self) -> None:
        """Deletes what was put away long ago, and files that nobody has any more."""
        datasets.forget(self._store)
        needed = datasets.needed(self._store)
        for part in ("datasets", "thumbs/datasets"):
            for path in (self._folder / part).glob("*/*"):
                if path.stem not in needed:
                    path.unlink(missing_ok=True)

    # How it is done.

    def _read(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """The settings that were given, each checked."""
        kinds, _ = load_kinds()
        values: dict[str, Any] = {}
        if "title" in data:
            values["title"] = " ".join(text(data, "title", TITLE_LIMIT).split())
        if "kind" in data:
            values["kind"] = one_of(data, "kind", kinds, "style", "kinds")
        if "trigger" in data:
            values["trigger"] = read_trigger(data)
        if "card" in data:
            values["card"] = one_of(data, "card", self.views.cards(), "", "models that LoRAs can be trained for")
        if data.get("resolution") is not None:
            values["resolution"] = whole(data, "resolution", 128, 2048, None)
        if "fit" in data:
            values["fit"] = one_of(data, "fit", FITS, "bucket", "fits")
        return values

    def _add(self, dataset: int, brought: Brought, name: str, caption: str = "", source: str = "") -> int:
        """The id of a picture that is in its place on the disk. Raises NotNow for one that is there already, BadInput for too many."""
        there = datasets.known(self._store, dataset, brought.sha256)
        if there is not None and there["removed"] is None:
            raise NotNow(f"{name or 'This picture'} is in the dataset already.", "It is the same file, byte for byte.")
        if datasets.count(self._store, dataset) >= IMAGES_LIMIT:
            raise BadInput("file", f"A dataset holds {IMAGES_LIMIT} pictures at most.", "", "Begin another one.")
        if there is not None:
            datasets.set_images(self._store, dataset, {there["id"]: {"removed": None}})
            return int(there["id"])
        path = self._folder / file_path(brought.sha256, brought.suffix)
        if not path.is_file():
            files.write_whole(path, brought.data)
        self._thumb(brought.sha256, brought)
        values = {
            "name": name or "picture", "sha256": brought.sha256, "suffix": brought.suffix, "width": brought.image.width,
            "height": brought.image.height, "bytes": len(brought.data), "caption": caption, "source": source,
            "looks": json.dumps(examine(brought.image).as_dict()), "notes": json.dumps(brought.notes),
        }  # fmt: skip
        with self._store.write() as db:
            return datasets.add_image(db, dataset, values)

    def _thumb(self, sha256: str, brought: Brought) -> None:
        files.write_thumb(self._folder / thumb_path(sha256), brought.image)

    def _sidecars(self, dataset: int, captions: Mapping[str, str]) -> int:
        """Captions by the names of their files; how many found their picture. What a person typed stays."""
        rows = {row["name"]: row for row in datasets.images_of(self._store, dataset)}
        found = {name: words for name, words in match(captions, rows).items() if words and rows[name]["source"] != "typed"}
        changes = {rows[name]["id"]: {"caption": words, "source": "sidecar", "asked": None} for name, words in found.items()}
        return datasets.set_images(self._store, dataset, changes) if changes else 0

    def _keep_version(self, row: Any, found: Mapping[str, Any], who: Who, note: str) -> Json:
        rows = {one["sha256"]: one for one in datasets.images_of(self._store, row["id"])}
        kept = []
        for one in (rows[image["sha256"]] for image in found["images"]):
            same = {name: one[name] for name in ("sha256", "suffix", "name", "caption")}
            kept.append(same | {"crop": json.loads(one["crop"] or "null")})
        body = {name: row[name] for name in ("trigger", "kind", "fit")} | {"images": kept}
        number = datasets.add_version(self._store, row["id"], found["hash"], body, who.name, note)
        told = [{name: one[name] for name in ("name", "sha256", "caption", "caption_sha256")} for one in found["images"]]
        about = {"dataset": row["id"], "version": number, "hash": found["hash"], "title": row["title"]}
        return about | {"trigger": row["trigger"], "kind": row["kind"], "images": told}

    def _told(self, dataset: int, who: Who) -> Json:
        self._publish(datasets.row_of(self._store, dataset))
        return self.views.view(dataset, who)

    def _publish(self, row: Any, **more: object) -> None:
        self._hub.publish("dataset", {"id": row["id"], **more}, (row["person"], row["shared"]))


def default_resolution(card: ModelCard) -> int:
    """Pixels a side of a square: what the embedded model draws, and for the others what their makers train LoRAs at."""
    return 256 if card.embedded else 1024


def read_trigger(data: Mapping[Any, Any]) -> str:
    """Raises BadInput."""
    trigger = " ".join(text(data, "trigger", TRIGGER_LIMIT).split())
    if any(character in trigger for character in ",[]{}()<>|"):
        raise BadInput("trigger", "A trigger is a word, without commas and brackets.", "", 'Call it like "blucer".')
    return trigger


def _ids(data: Mapping[Any, Any], name: str) -> Sequence[int]:
    given = data.get(name)
    whole_ = isinstance(given, list) and all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= LARGEST_ID for one in given)
    if not isinstance(given, list) or not whole_ or not 0 < len(given) <= IMAGES_LIMIT:
        raise BadInput(name, f"{name} must be 1 to {IMAGES_LIMIT} ids of pictures; this is {shown(given)}.")
    return list(dict.fromkeys(given))
