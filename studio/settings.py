"""What can be changed while the studio runs: one table of settings, and their values in SQLite.

A new setting is a line of TABLE; the Settings tab, GET and POST /api/settings and the checks follow from it. Values are JSON in the
tables `settings` (the studio's, changed by an admin) and `preferences` (each person's own).
"""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.errors import BadInput, NotFound
from pipelines.fields import NAME_LIMIT, real, shown, text, whole
from studio.store import Store
from studio.store.people import Who, require_admin

Kind = Literal["switch", "whole", "number", "text", "names", "folders"]
FOLDERS_LIMIT, PATH_LIMIT, NAMES_LIMIT = 20, 1000, 50
Guard = Callable[[Any, Who], None]  # raises a StudioError that says why a value may not be set now


@dataclass(frozen=True)
class Setting:
    """One setting. words: what it does, in a sentence. low, high: bounds of a number. unit: behind its field. own: each person's own."""

    name: str  # "group.name"
    kind: Kind
    default: Any
    title: str
    words: str
    low: float = 0
    high: float = 0
    unit: str = ""
    own: bool = False

    @property
    def group(self) -> str:
        return self.name.split(".")[0]

    def read(self, value: object) -> Any:
        """The value as it is kept; null means the default. Raises BadInput that names the setting."""
        given: Mapping[object, object] = {self.name: value}
        if value is None:
            return self.default
        if self.kind == "switch":
            if not isinstance(value, bool):
                raise BadInput(self.name, f"{self.title} must be true or false; this is {shown(value)}.")
            return value
        if self.kind == "whole":
            return whole(given, self.name, int(self.low), int(self.high), None)
        if self.kind == "number":
            return real(given, self.name, self.low, self.high, None)
        if self.kind == "text":
            return text(given, self.name, PATH_LIMIT)
        return self._names(value) if self.kind == "names" else self._folders(value)

    def _names(self, value: object) -> list[str]:
        if not isinstance(value, list) or len(value) > NAMES_LIMIT:
            raise BadInput(self.name, f"{self.title} must be a list of at most {NAMES_LIMIT} names; this is {shown(value)}.")
        names = [text({"name": one}, "name", NAME_LIMIT, f"{self.name}.{place}") for place, one in enumerate(value)]
        return list(dict.fromkeys(name for name in names if name))

    def _folders(self, value: object) -> list[str]:
        if not isinstance(value, list) or len(value) > FOLDERS_LIMIT:
            raise BadInput(self.name, f"{self.title} must be a list of at most {FOLDERS_LIMIT} folders; this is {shown(value)}.")
        found = []
        for place, entry in enumerate(value):
            path = text({"folder": entry}, "folder", PATH_LIMIT, f"{self.name}.{place}")
            if not path:
                continue
            folder = Path(path).expanduser()
            if not folder.is_absolute() or not folder.is_dir():
                raise BadInput(f"{self.name}.{place}", f"{path} is not a folder of this machine.", "", "Give its whole path.")
            found.append(str(folder))
        return list(dict.fromkeys(found))


TABLE = (
    Setting("similar.threshold", "number", 0.5, "Similar prompts", "How alike an earlier prompt must be to be offered; 1: the same.", 0, 1),
    Setting("cache.days", "whole", 90, "Keep served results", "An exact result not asked for this long is drawn anew.", 1, 3650, "days"),
    Setting("retention.trash_days", "whole", 30, "Empty the trash after", "Then its files are deleted; 0 keeps them.", 0, 3650, "days"),
    Setting("retention.days", "whole", 0, "Retire pictures after", "Unrated, unkept ones go to the trash; 0: never.", 0, 36500, "days"),
    Setting("retention.gigabytes", "number", 0, "Space for pictures", "Above it the oldest unkept are retired; 0: no limit.", 0, 1e6, "GB"),
    Setting("disk.least_gigabytes", "number", 1, "Room to be left", "With less free on the disk the queue waits; 0: never.", 0, 1e5, "GB"),
    Setting("models.folders", "folders", (), "Folders with models", "Of ComfyUI, Forge and others: nothing is fetched twice."),
    Setting("loras.folders", "folders", (), "Folders with LoRAs", "What appears in them comes in by itself, as everybody's."),
    Setting("loras.evaluate", "switch", False, "Evaluate what was trained", "Compared with the version before, when nothing waits."),
    Setting("retraining.minutes", "whole", 0, "Train again by itself", "Changed datasets, so long a night; 0: never.", 0, 1440, "min"),
    Setting("retraining.from", "whole", 1, "Train again from", "The hour at which nobody draws any more.", 0, 23, "h"),
    Setting("retraining.until", "whole", 6, "Train again until", "Then it gives way, and goes on the next night.", 0, 23, "h"),
    Setting("review.sample", "number", 5, "Random checks", "So much of what was rejected or delivered is asked about too.", 0, 100, "%"),
    Setting("review.sure", "number", 80, "Decide alone when", "Learned thresholds leave what is less sure to people.", 50, 99, "%"),
    Setting("cloud.enabled", "switch", False, "Cloud", "Requests that allow it may go to a provider, within a budget."),
    Setting("cloud.providers", "names", (), "Providers", "Those that requests may go to."),
    Setting("cloud.wait_seconds", "number", 20, "Busy beyond", "What would wait longer here may go to the cloud.", 0, 86400, "s"),
    Setting("cloud.openai.base_url", "text", "", "Address", "Of an endpoint that speaks OpenAI's images API: https://host/v1."),
    Setting("cloud.openai.model", "text", "", "Model", "As that endpoint calls it."),
    Setting("cloud.openai.price_micro", "whole", None, "Price of a picture", "Millionths of a dollar; it must be said.", 0, 100_000_000),
    Setting("cloud.webhook.port", "whole", 0, "Await webhooks on port", "Providers then say when they are done; 0: no.", 0, 65535),
    Setting("cloud.webhook.host", "text", "127.0.0.1", "Await webhooks at", "This machine's address that a proxy with https forwards to."),
    Setting("cloud.webhook.url", "text", "", "Webhooks come by", "The https:// address, as providers reach it."),
    Setting("cloud.stay", "switch", False, "Keep my requests here", "Nothing of yours goes to the cloud, whatever it allows.", own=True),
    Setting("export.strip", "switch", False, "Export without settings", "Prompts, seeds and scores are left out.", own=True),
    Setting("login.idle_days", "number", 7, "Log out when idle", "A browser that asked nothing for this long.", 0.01, 90, "days"),
    Setting("login.days", "number", 30, "Log in again after", "However busy a browser was.", 0.01, 365, "days"),
)  # fmt: skip


class Settings:
    """The values of TABLE's settings. Any thread may ask and set. guards: by a setting's name, who has a say before it is set."""

    def __init__(self, store: Store, table: tuple[Setting, ...] = TABLE) -> None:
        self.table = {setting.name: setting for setting in table}
        self.guards: dict[str, Guard] = {}
        self._store = store

    def get(self, name: str, who: Who | None = None) -> Any:
        """The value of a setting; `who` is asked for with a person's own. KeyError for a name that is not in the table."""
        setting = self.table[name]
        kept = self._own(name, who) if setting.own else self._store.setting(name)
        return setting.default if kept is None else json.loads(kept)

    def set(self, changes: Mapping[str, object], who: Who) -> None:
        """All of `changes` or none. Raises NotFound, NotYours, and BadInput that names the setting."""
        read = {}
        for name, value in changes.items():
            setting = self.table.get(name)
            if setting is None:
                raise NotFound(f"There is no setting {shown(name)}.")
            if not setting.own:
                require_admin(who, f"{setting.title} is set for everybody.", "Only an admin may change it.")
            read[name] = setting.read(value)
            if name in self.guards:
                self.guards[name](read[name], who)
        with self._store.write() as db:
            for name, value in read.items():
                if self.table[name].own:
                    db.execute(
                        "INSERT INTO preferences VALUES (?, ?, ?) ON CONFLICT (person, name) DO UPDATE SET value = excluded.value",
                        [who.name, name, json.dumps(value)],
                    )
                else:
                    self._store.set(name, json.dumps(value))

    def view(self, who: Who) -> list[dict[str, Any]]:
        """Every setting with its value, for the page."""
        shown_fields = ("name", "group", "kind", "title", "words", "default", "low", "high", "unit", "own")
        return [
            {field: getattr(setting, field) for field in shown_fields}
            | {"value": self.get(setting.name, who), "may_change": setting.own or who.admin}
            for setting in self.table.values()
        ]

    def _own(self, name: str, who: Who | None) -> str | None:
        if who is None:
            return None
        row = self._store.db.execute("SELECT value FROM preferences WHERE person = ? AND name = ?", [who.name, name]).fetchone()
        return row["value"] if row else None
