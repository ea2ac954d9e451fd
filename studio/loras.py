"""LoRAs as a studio has them: versions that never change, aliases that move, and who may use which.

    loras.resolve(LoraChoice("ceramic"), who, card)     -> LoraChoice("ceramic", 1.0, 3): what "ceramic" means to them at this moment
    loras.file("ceramic", 3, who)                       -> the file of ceramic/v3
    loras.register("ceramic", Made(file, "flux1-dev"), who)   -> 4, written whole or not at all

A request that names no version means `production`, or else the newest. Which version that is, is settled when it is submitted and kept
in the job's request, so a job, a picture and its file say "ceramic/v3" for good.
"""
from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.cards import Catalogue, ModelCard
from models.errors import BadInput, NotFound, StudioError
from models.lora import LoraFile, describe
from models.lora_fit import misfit
from models.weights import Where
from pipelines.fields import one_of, shown, text
from pipelines.request import LoraChoice, Request
from studio import lorafolder
from studio.store import Store, loras, now
from studio.store.jobs import NotNow
from studio.store.people import NotYours, Who

Json = dict[str, Any]

KINDS = ("style", "product", "domain", "quality")
ACCESS = ("private", "project", "everyone")
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?", re.ASCII)
TITLE_LIMIT, ABOUT_LIMIT, REASON_LIMIT = 80, 2000, 500
TRIGGERS_LIMIT, WORD_LIMIT = 20, 100


@dataclass(frozen=True)
class Made:
    """What a new version is registered with.

    file: a safetensors file; it is copied. card: the model it was made for. base_revision: the commit of its weights, "" unknown.
    triggers: words that call it, None for those that the file names. licence: "" for the file's, else the model's.
    samples: pictures to be shown with it, copied too. parent: the version it was made from. dataset, config, packages: JSON-ready, as the
    training had them. training: the id of the training run, None for a file that was brought; gpu_seconds: what that took.
    """

    file: Path
    card: str
    base_revision: str = ""
    triggers: Sequence[str] | None = None
    licence: str = ""
    parent: int | None = None
    dataset: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    seed: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    samples: Sequence[Path] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    training: str | None = None
    gpu_seconds: float | None = None
    note: str = ""


class Loras:
    """The registry of one data folder. Any thread and any process may ask. where: the places that weights are looked for in.

    Hooks, set by those who know: `gate(name, number)` says in words what a version lacks to become production, "" where nothing;
    `trial(name, who)` is the version that this request tries out instead of production, None for none.
    """

    def __init__(self, store: Store, data_dir: Path, catalogue: Catalogue, where: Callable[[], Where] = lambda: None) -> None:
        self.store, self.data_dir, self.catalogue, self.where = store, data_dir, catalogue, where
        self.gate: Callable[[str, int], str] = lambda name, number: ""
        self.trial: Callable[[str, Who], int | None] = lambda name, who: None

    # Using them.

    def names(self, who: Who) -> list[str]:
        """Those that a request of theirs may name."""
        return loras.names(self.store, who)

    def resolve(self, choice: LoraChoice, who: Who, card: ModelCard | None = None, field: str = "loras") -> LoraChoice:
        """The choice with its exact version. Raises BadInput (dotted below `field`) where they may see none, or it does not fit `card`."""
        try:
            row = loras.lora_row(self.store, choice.name, who)
        except NotFound as error:
            raise BadInput(f"{field}.name", error.what, error.why, error.todo) from error
        number = choice.version or self.trial(choice.name, who) or loras.current(self.store, row["id"])
        if number is None:
            raise BadInput(f"{field}.name", f"{choice.name} has no version yet.", "", "Train one, or drop a file on the LoRAs tab.")
        try:
            version = self._live(row, number)
        except NotFound as error:
            raise BadInput(f"{field}.version", error.what, error.why, error.todo) from error
        if card is not None and (why := self.misfit(version, card)):
            todo = f"Leave it out, or draw with {self.title(version['card'])}."
            raise BadInput(f"{field}.name", f"{choice.name}/v{number} does not fit {card.title}.", why, todo)
        return replace(choice, version=number)

    def dressed(self, request: Request, who: Who) -> Request:
        """A request with the exact versions of its LoRAs. Raises BadInput (loras, loras.N...) for what they may not use, what does not
        fit the model, and more than the tier wears."""
        tier, card = self.catalogue.tier(request.family, request.tier)
        if len(request.loras) > tier.loras:
            most = "draws with the base model only" if not tier.loras else f"wears at most {tier.loras} LoRA{'s' * (tier.loras > 1)}"
            others = [one.title for one in self.catalogue.family(request.family).tiers.values() if one.loras >= len(request.loras)]
            todo = f"Leave some out, or choose {' or '.join(others)}." if others else "Leave some out."
            raise BadInput("loras", f"{tier.title} {most}; these are {len(request.loras)}.", "", todo)
        worn = tuple(self.resolve(one, who, card, f"loras.{place}") for place, one in enumerate(request.loras))
        for place, one in enumerate(worn):
            if one.name in [other.name for other in worn[:place]]:
                raise BadInput(f"loras.{place}.name", f"{one.name} is there twice.", "", "Give it once, with the weight it is to have.")
        return replace(request, loras=worn)

    def file(self, name: str, version: int | None, who: Who) -> Path:
        """The file of a version, of the current one for None. Raises NotFound."""
        row = loras.lora_row(self.store, name, who)
        number = version or loras.current(self.store, row["id"])
        if number is None:
            raise NotFound(f"{name} has no version yet.")
        return self._file(row, self._live(row, number))

    def triggers(self, choice: LoraChoice, who: Who) -> tuple[str, ...]:
        """The words that call it. Raises BadInput as `resolve` does."""
        found = self.resolve(choice, who)
        row = loras.lora_row(self.store, found.name, who)
        return tuple(json.loads(loras.version_row(self.store, row, found.version or 0)["triggers"]))

    def unfit(self, choice: LoraChoice, who: Who, card: ModelCard) -> str:
        """Why a choice cannot be worn by a model, "" if it can. Raises BadInput for one that there is not."""
        found = self.resolve(choice, who)
        row = loras.lora_row(self.store, found.name, who)
        return self.misfit(loras.version_row(self.store, row, found.version or 0), card)

    def misfit(self, version: sqlite3.Row, card: ModelCard) -> str:
        """Why a version (a row) cannot be used with a model, in a sentence; "" if it can."""
        try:
            return misfit(describe(self.data_dir / version["path"]), card, self.where())
        except BadInput as error:  # gone, or no longer what it was
            return f"{error.what} {error.why}".strip()

    # Making them.

    def create(self, data: Mapping[Any, Any], who: Who) -> str:
        """A LoRA without a version yet: name, and if wanted title, about, kind, access, project; its name. Raises BadInput."""
        name = text(data, "name", 80)
        if not NAME.fullmatch(name):
            why = "Small letters, digits and hyphens, at most 60: files and prompts name it so."
            raise BadInput("name", f'A LoRA cannot be called "{name[:60]}".', why, f'Call it like "{slug(name)}".')
        access, project = self._read_access(data, who, None)
        title, about = text(data, "title", TITLE_LIMIT) or name, text(data, "about", ABOUT_LIMIT)
        fields = [name, title, about, one_of(data, "kind", KINDS, "style", "kinds")]
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM loras WHERE name = ?", [name]).fetchone():
                why = "A name means the same files for good."
                raise BadInput("name", f'There has been a LoRA called "{name}".', why, "Choose another one.")
            db.execute(
                "INSERT INTO loras (name, title, about, kind, owner, access, project, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [*fields, who.name, access, project, now()],
            )
        return name

    def change(self, name: str, data: Mapping[Any, Any], who: Who) -> None:
        """title, about, kind; access and project by its owner. Raises NotFound, NotYours, BadInput."""
        row = self.own(name, who, alone="access" in data or "project" in data)
        access, project = self._read_access(data, who, row)
        title = text(data, "title", TITLE_LIMIT) if data.get("title") is not None else row["title"]
        about = text(data, "about", ABOUT_LIMIT) if data.get("about") is not None else row["about"]
        kind = one_of(data, "kind", KINDS, row["kind"], "kinds")
        values = [title or name, about, kind, access, project, row["id"]]
        with self.store.write() as db:
            db.execute("UPDATE loras SET title = ?, about = ?, kind = ?, access = ?, project = ? WHERE id = ?", values)

    def register(self, name: str, made: Made, who: Who) -> int:
        """A new version of a LoRA that there is; its number. Its file and samples are copied: written whole, or not at all.

        Raises NotFound, NotYours, BadInput for a file that is no LoRA for that model, StudioError where the disk is full.
        """
        row = self.own(name, who)
        if made.card not in self.catalogue.cards:
            raise BadInput("card", f"There is no model {made.card[:80]}.")
        found, card = describe(made.file), self.catalogue.card(made.card)
        if why := misfit(found, card, self.where()):
            raise BadInput("file", f"{made.file.name} does not fit {card.title}.", why)
        if made.parent is not None:
            loras.version_row(self.store, row, made.parent)
        try:
            with lorafolder.coming(self.data_dir) as folder:
                digest, size = lorafolder.take_in(made.file, folder)
                samples = lorafolder.add_samples(folder, made.samples)
                with self.store.write() as db:
                    return self._settle(db, row, made, found, who, folder, (digest, size, samples))
        except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken pictures
            what = f"The version of {name} could not be written."
            raise StudioError(what, str(error), "Make room on the disk, then try again.") from error

    def _settle(
        self, db: sqlite3.Connection, row: sqlite3.Row, made: Made, found: LoraFile, who: Who, folder: Path,
        measured: tuple[str, int, list[str]],
    ) -> int:  # fmt: skip
        """The number, the folder in its place, and the row, inside the caller's transaction."""
        digest, size, samples = measured
        number, created = loras.next_number(db, row["id"]), now()
        facts: Json = {
            "number": number, "sha256": digest, "bytes": size, "card": made.card, "base_revision": made.base_revision,
            "rank": found.rank, "alpha": found.alpha, "triggers": list(found.triggers if made.triggers is None else made.triggers),
            "licence": made.licence or found.licence or self.catalogue.card(made.card).licence.name, "parent": made.parent,
            "dataset": made.dataset, "config": made.config, "seed": made.seed, "packages": dict(made.packages),
            "samples": samples, "scores": dict(made.scores), "training": made.training, "gpu_seconds": made.gpu_seconds,
            "note": made.note[:REASON_LIMIT], "person": who.name, "created": created,
        }  # fmt: skip
        about = {one: row[one] for one in ("name", "title", "about", "kind")}
        path = lorafolder.settle(self.data_dir, folder, row["name"], number, about | facts)
        facts |= {"lora_id": row["id"], "path": path}
        facts["samples"] = [f"{lorafolder.place(row['name'], number)}/{sample}" for sample in samples]
        kept = {one: json.dumps(value) if isinstance(value, dict | list) else value for one, value in facts.items()}
        db.execute(f"INSERT INTO lora_versions ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})", list(kept.values()))
        return number

    def describe(self, name: str, number: int, data: Mapping[Any, Any], who: Who) -> None:
        """triggers, licence, note: what is said of a version, whose file and origin never change. Raises NotFound, NotYours, BadInput."""
        row = self.own(name, who)
        version = self._live(row, number)
        words = json.loads(version["triggers"]) if data.get("triggers") is None else list(read_triggers(data["triggers"]))
        licence = text(data, "licence", 200) if data.get("licence") is not None else version["licence"]
        note = text(data, "note", REASON_LIMIT) if data.get("note") is not None else version["note"]
        said = {"triggers": json.dumps(words), "licence": licence, "note": note}
        if any(said[one] != version[one] for one in said):
            with self.store.write() as db:
                loras.describe(db, row["id"], number, said, who.name)

    # Aliases.

    def move(self, name: str, alias: str, number: int | None, who: Who, reason: str = "", forced: bool = False) -> None:
        """Points an alias at a version, or takes it off for None. Raises NotFound, NotYours, BadInput, and NotNow for a version that is not
        ready for production unless it is forced with a reason."""
        row = self.own(name, who)
        if alias not in loras.ALIASES:
            raise BadInput("alias", f'There is no alias "{alias[:40]}".', "", f"There are {' and '.join(loras.ALIASES)}.")
        if number is not None:
            self._live(row, number)
        if alias == "production" and number is not None and (lacks := self.gate(name, number)):
            if not forced:
                raise NotNow(f"{name}/v{number} is not ready for production.", lacks, "See to that, or force it and say why.")
            if not reason.strip():
                raise BadInput("reason", "Forcing needs a reason.", lacks, "Say why it goes to production all the same.")
        else:
            forced = False
        with self.store.write() as db:
            loras.move(db, row["id"], alias, number, who.name, reason[:REASON_LIMIT].strip(), forced)
            if alias == "production" and number is not None:
                self._no_candidate(db, row["id"], number, who)

    def rollback(self, name: str, alias: str, who: Who, reason: str = "") -> int:
        """Moves an alias back to where it stood before; the version. Raises NotFound, NotYours, NotNow where it stood nowhere else."""
        row = self.own(name, who)
        with self.store.write() as db:
            stood = loras.before(loras.moves(db, row["id"], alias))
            there = [number for number in stood if loras.trash_row(self.store, row["id"], number) is None]
            if not there:
                raise NotNow(f"{alias[:40]} of {name} cannot go back.", "It stood nowhere before.", "Choose a version for it instead.")
            loras.move(db, row["id"], alias, there[-1], who.name, reason[:REASON_LIMIT].strip(), back=True)
        return there[-1]

    def judge(self, name: str, number: int, verdict: str, words: str, scores: Mapping[str, float], evaluation: int | None = None) -> None:
        """Notes what an evaluation said of a version; the newest word holds. Raises NotFound."""
        with self.store.write() as db:
            row = db.execute("SELECT * FROM loras WHERE name = ?", [name]).fetchone()
            if row is None:
                raise NotFound(f'There is no LoRA called "{name[:40]}".')
            loras.version_row(self.store, row, number)
            loras.add_verdict(db, row["id"], number, verdict, words, dict(scores), evaluation)

    # Who may.

    def own(self, name: str, who: Who, alone: bool = False) -> sqlite3.Row:
        """The row of a LoRA that they may change: their own, their project's, as an admin everybody's. alone: its owner or an admin only.

        Raises NotFound for one that they may not see, NotYours for one that they may only use.
        """
        row = loras.lora_row(self.store, name, who)
        if row["owner"] == who.name or who.admin or (row["access"] == "project" and not alone):
            return row
        raise NotYours(f"{name} is {row['owner']}'s.", "You may use it, not change it.", "Ask them, or an admin.")

    # How it is done.

    def _live(self, row: sqlite3.Row, number: int) -> sqlite3.Row:
        version = loras.version_row(self.store, row, number)
        if loras.trash_row(self.store, row["id"], number) is not None:
            raise NotFound(f"{row['name']}/v{number} is in the trash.", "", "Restore it, or choose another version.")
        return version

    def _file(self, row: sqlite3.Row, version: sqlite3.Row) -> Path:
        path = self.data_dir / version["path"]
        if not path.is_file():
            why = "It was moved or deleted outside the studio."
            raise NotFound(f"The file of {row['name']}/v{version['number']} is gone.", why, f"Put it back: {path}.")
        return path

    def _no_candidate(self, db: sqlite3.Connection, lora: int, number: int, who: Who) -> None:
        """What has become production is no candidate any more."""
        row = db.execute("SELECT number FROM lora_aliases WHERE lora_id = ? AND alias = 'candidate'", [lora]).fetchone()
        if row is not None and row["number"] == number:
            loras.move(db, lora, "candidate", None, who.name, "It became production.")

    def _read_access(self, data: Mapping[Any, Any], who: Who, row: sqlite3.Row | None) -> tuple[str, str | None]:
        """(access, project) as they shall be: as given, as they are, or private."""
        project = text(data, "project", 80) or None
        usual = "project" if project else row["access"] if row else "private"
        access = one_of(data, "access", ACCESS, usual, "kinds of access")
        if access != "project":
            if project:
                raise BadInput("project", f"A LoRA that is {access} is no project's.", "", "Leave the project empty, or give it access.")
            return access, None
        project = project or (row["project"] if row else None)
        if project is None or project not in who.projects:
            raise BadInput("project", "Say which of your projects may use it.", "", "You are in none." if not who.projects else "")
        return access, project

    def title(self, card: str) -> str:
        """What people call a model; its name for one that is not known any more."""
        known = self.catalogue.cards.get(card)
        return known.title if known else card


def slug(title: str) -> str:
    """A name for a LoRA from whatever a person or a file calls it: "Foil v2 (final)" -> "foil-v2-final"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower().encode("ascii", "ignore").decode()).strip("-")[:60].strip("-") or "lora"


def read_triggers(given: object) -> tuple[str, ...]:
    """Trigger words, each a word or a phrase. Raises BadInput."""
    if not isinstance(given, list) or len(given) > TRIGGERS_LIMIT:
        raise BadInput("triggers", f"triggers must be a list of at most {TRIGGERS_LIMIT} words; this is {shown(given)}.")
    words = [" ".join(text({"word": one}, "word", WORD_LIMIT, f"triggers.{place}").split()) for place, one in enumerate(given)]
    return tuple(dict.fromkeys(word for word in words if word))
