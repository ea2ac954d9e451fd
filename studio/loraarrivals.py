"""LoRA files that people bring: told apart from what is none, matched to a model here, and entered as a version."""
from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.cards import ModelCard
from models.errors import BadInput, NotFound
from models.lora import LoraFile, describe
from models.lora_fit import fitting
from pipelines.fields import listed, text
from studio import folders
from studio.loras import ABOUT_LIMIT, NAME, REASON_LIMIT, TITLE_LIMIT, TRIGGERS_LIMIT, WORD_LIMIT, Json, Loras, Made, read_triggers, slug
from studio.store import loras
from studio.store.jobs import NotNow
from studio.store.people import NotYours, Who

log = logging.getLogger(__name__)

FIELDS = ("name", "title", "about", "kind", "access", "project", "card", "triggers", "licence", "note")
METADATA_LIMIT = 64 * 2**10
SPARE = 512 * 2**20  # bytes that a file leaves free on the disk


class Arrivals:
    """Any thread may ask."""

    def __init__(self, registry: Loras) -> None:
        self._registry, self._store = registry, registry.store

    def room_for(self, size: int) -> None:
        """Raises NotNow where a file of so many bytes would fill the disk."""
        free = folders.free(self._registry.data_dir)
        if size + SPARE > free:
            what = f"There is no room for this file: it takes {size / 2**20:.0f} MB, {free / 2**20:.0f} are free."
            raise NotNow(what, "", "Make room on the disk, then try again.")

    def take(self, file: Path, asked: Mapping[Any, Any], who: Who, samples: Sequence[Path] = (), called: str = "") -> Json:
        """Enters a file as a version; {"name", "version", "known": whether it was here before, "notes"}.

        asked: any of FIELDS, triggers as one text with commas. A `name` that there is means a new version of that LoRA; without one the
        file's own title decides, or what it is called. A file that they can see already is not entered twice.
        Raises BadInput ("file" for what is no LoRA or fits no model here), NotFound, NotYours, StudioError.
        """
        found = describe(file)
        card = self._card(found, text(asked, "card", 80))
        if (known := self._known(file, who)) is not None:
            return known
        name = self._name(text(asked, "name", 80), found, called or file.name, asked, who)
        triggers = self._triggers(asked)
        said = dict(found.metadata) if sum(len(one) for pair in found.metadata.items() for one in pair) <= METADATA_LIMIT else {}
        made = Made(
            file, card.name, triggers=triggers, licence=text(asked, "licence", 200), samples=samples,
            config={"brought": called or file.name, "metadata": said}, note=text(asked, "note", REASON_LIMIT),
        )  # fmt: skip
        number = self._registry.register(name, made, who)
        others = [one.title for one in fitting(found, self._registry.catalogue, self._registry.where()) if one.name != card.name]
        notes = [*found.notes, *([f"It fits {listed(others)} too."] if others else [])]
        return {"name": name, "version": number, "known": False, "notes": notes}

    # How it is done.

    def _card(self, found: LoraFile, asked: str) -> ModelCard:
        """The model it was made for: as asked, else as the file says, else the first that it fits."""
        fit = fitting(found, self._registry.catalogue, self._registry.where())
        if asked:
            chosen = next((one for one in fit if one.name == asked), None)
            if chosen is None:
                todo = f"It fits {listed(one.title for one in fit)}."
                raise BadInput("card", f"This LoRA does not fit {self._registry.title(asked)}.", "", todo)
            return chosen
        if not fit:
            known = sorted({one.title for one in self._registry.catalogue.cards.values() if one.lora})
            made_for = f"It was trained for {found.base}." if found.base else f"It was trained for a model {found.width} wide."
            raise BadInput("file", "This LoRA fits no model of this studio.", made_for, f"There are {listed(known)}.")
        return fit[0]

    def _known(self, file: Path, who: Who) -> Json | None:
        """The version that has this very file, of those that they see; nothing is entered twice."""
        size = file.stat().st_size
        seen, values = loras.seen_by(who)
        rows = self._store.db.execute(
            "SELECT loras.name, versions.number, versions.sha256 FROM lora_versions AS versions JOIN loras ON loras.id = versions.lora_id"
            f" WHERE versions.bytes = ? AND {seen} AND {loras.LIVE} ORDER BY loras.id, versions.number", [size, *values],
        ).fetchall()  # fmt: skip
        if not rows:
            return None
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        row = next((row for row in rows if row["sha256"] == digest), None)
        if row is None:
            return None
        notes = [f"It is here already, as {row['name']}/v{row['number']}."]
        return {"name": row["name"], "version": row["number"], "known": True, "notes": notes}

    def _name(self, asked: str, found: LoraFile, called: str, data: Mapping[Any, Any], who: Who) -> str:
        """The LoRA that the file becomes a version of, made if there is none."""
        if asked:
            try:
                self._registry.own(asked, who)
            except NotFound:
                return self._create(asked, data, found, who)
            return asked
        title = text(data, "title", TITLE_LIMIT) or found.title[:TITLE_LIMIT] or Path(called).stem[:TITLE_LIMIT]
        stem, number = slug(title), 1
        name = stem
        while True:
            try:
                self._registry.own(name, who, alone=True)
                if self._mine(name, who):
                    return name
            except (NotFound, NotYours):
                try:
                    return self._create(name, {**data, "title": title}, found, who)
                except BadInput as error:
                    if error.field != "name" or NAME.fullmatch(name) is None:
                        raise
            number += 1
            name = f"{stem[:56]}-{number}"

    def _mine(self, name: str, who: Who) -> bool:
        return loras.lora_row(self._store, name, who)["owner"] == who.name

    def _create(self, name: str, data: Mapping[Any, Any], found: LoraFile, who: Who) -> str:
        fields = {one: data[one] for one in ("title", "about", "kind", "access", "project") if data.get(one)}
        about = found.metadata.get("modelspec.description", "")
        if not fields.get("about") and about.isprintable():
            fields["about"] = about[:ABOUT_LIMIT]
        return self._registry.create({"name": name, **fields}, who)

    def _triggers(self, asked: Mapping[Any, Any]) -> tuple[str, ...] | None:
        """As asked; None for what the file says. Raises BadInput."""
        given = asked.get("triggers")
        if given is None or given == "":
            return None
        return read_triggers([one for one in text(asked, "triggers", 4000).split(",") if one.strip()])


def beside(file: Path) -> tuple[list[Path], tuple[str, ...]]:
    """What other studios keep beside a LoRA: its preview picture, and its trigger words (A1111's .json, Civitai's .civitai.info)."""
    pictures = [file.with_suffix(end) for end in (".preview.png", ".png", ".webp", ".jpg", ".jpeg", ".preview.jpg")]
    words: list[str] = []
    for end, key in ((".json", "activation text"), (".civitai.info", "trainedWords")):
        note = file.with_suffix(end)
        try:
            said = json.loads(note.read_text(encoding="utf-8")) if note.is_file() and note.stat().st_size < METADATA_LIMIT else {}
        except (ValueError, OSError, RecursionError) as error:
            log.info("%s could not be read: %s", note, error)
            continue
        found = said.get(key) if isinstance(said, dict) else None
        for one in [found] if isinstance(found, str) else found if isinstance(found, list) else []:
            words += [clean for part in str(one).split(",") if (clean := " ".join(part.split())[:WORD_LIMIT]) and clean.isprintable()]
    return [one for one in pictures if one.is_file()][:1], tuple(dict.fromkeys(words))[:TRIGGERS_LIMIT]

