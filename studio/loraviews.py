"""LoRAs as the page and the HTTP door show them: LORA and VERSION as JSON, the search, the history of aliases."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from models.cards import ModelCard
from models.errors import BadInput, NotFound
from models.lora import describe
from models.lora_export import About, export
from pipelines.fields import text
from studio.loras import Json, Loras
from studio.store import loras
from studio.store.people import Who

SAMPLE_TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class Rack:
    """What there is to choose from. stale(name): what changed since a LoRA was trained, None where nothing did."""

    def __init__(self, registry: Loras, stale: Callable[[str], Json | None] = lambda name: None) -> None:
        self._registry, self._store = registry, registry.store
        self.stale = stale

    def overview(self, asked: Mapping[Any, Any], who: Who) -> Json:
        """{"loras": [LORA], "trash": [{name, number, ...}], "limit": how many the tier wears}: those that fit the asked `family` and `tier`
        first, then by title. q: words that must stand in name, title, about, kind, triggers or base. Raises BadInput."""
        card, limit = self._asked(asked)
        words = text(asked, "q", 200).casefold().split()
        rows = loras.lora_rows(self._store, who)
        found = [view for view in self._views(rows, who, card) if all(word in _searched(view) for word in words)]
        found.sort(key=lambda view: not view["fits"])  # stable: by title among those that fit and those that do not
        return {"loras": found, "trash": self._trash(rows, who), "limit": limit}

    def view(self, name: str, who: Who, asked: Mapping[Any, Any] | None = None) -> Json:
        """One with the history of its aliases, newest first. Raises NotFound."""
        row = loras.lora_row(self._store, name, who)
        card, _ = self._asked(asked or {})
        moves = [_move(one) for one in reversed(loras.moves(self._store.db, row["id"]))]
        return self._views([row], who, card)[0] | {"moves": moves, "trash": self._trash([row], who)}

    def version(self, name: str, number: int, who: Who) -> Json:
        """VERSION with everything that it was made from: dataset, config, seed, packages, base_revision. Raises NotFound."""
        row = loras.lora_row(self._store, name, who)
        version = loras.version_row(self._store, row, number)
        judged = loras.verdicts(self._store, [row["id"]]).get((row["id"], number))
        whole = {one: json.loads(version[one]) if version[one] else None for one in ("dataset", "config", "packages")}
        drawn, waiting = loras.needed_by(self._store, name, number)
        more = {one: version[one] for one in ("base_revision", "seed", "gpu_seconds")} | {"pictures": drawn, "jobs": waiting}
        said = [
            {one: line[one] for one in ("person", "created", "note", "licence")} | {"triggers": json.loads(line["triggers"])}
            for line in loras.described(self._store, row["id"], number)
        ]  # fmt: skip
        return self._version(name, version, judged) | whole | more | {"described": said}

    def sample(self, name: str, number: int, place: int, who: Who) -> tuple[Path, str]:
        """A sample's file and its media type; they are counted from 1. Raises NotFound."""
        row = loras.lora_row(self._store, name, who)
        samples = json.loads(loras.version_row(self._store, row, number)["samples"])
        path = self._registry.data_dir / samples[place - 1] if 0 < place <= len(samples) else None
        if path is None or not path.is_file():
            raise NotFound(f"{name}/v{number} has no such sample.")
        return path, SAMPLE_TYPES.get(path.suffix, "application/octet-stream")

    def export(self, name: str, number: int, tool: str, to: Path, who: Who) -> None:
        """Writes a version as `tool` loads it, with what the registry knows of it. Raises NotFound, BadInput ("tool")."""
        row = loras.lora_row(self._store, name, who)
        version = loras.version_row(self._store, row, number)
        found = describe(self._registry.file(name, number, who))
        said = About(
            title=f"{row['title']} v{number}", triggers=tuple(json.loads(version["triggers"])), description=row["about"],
            author=version["person"], licence=version["licence"], date=version["created"], tags=(row["kind"],),
        )  # fmt: skip
        export(found, to, tool, self._registry.catalogue.card(version["card"]), said)

    # How it is done.

    def _asked(self, asked: Mapping[Any, Any]) -> tuple[ModelCard | None, int | None]:
        family, tier = text(asked, "family", 80), text(asked, "tier", 80) or "standard"
        if not family:
            return None, None
        try:
            found, card = self._registry.catalogue.tier(family, tier)
        except NotFound as error:
            field = "tier" if family in self._registry.catalogue.families else "family"
            raise BadInput(field, error.what, error.why, error.todo) from error
        return card, found.loras

    def _views(self, rows: list[sqlite3.Row], who: Who, card: ModelCard | None) -> list[Json]:
        ids = [row["id"] for row in rows]
        versions, stand = loras.version_rows(self._store, ids), loras.aliases(self._store, ids)
        judged = loras.verdicts(self._store, ids)
        views = []
        for row in rows:
            mine, name = versions[row["id"]], row["name"]
            number = stand[row["id"]].get("production") or (mine[0]["number"] if mine else None)
            used = next((one for one in mine if one["number"] == number), None)
            misfit = self._registry.misfit(used, card) if used and card else ""
            may_change = row["owner"] == who.name or who.admin or row["access"] == "project"
            same = ("name", "title", "about", "kind", "owner", "project", "access", "created")
            views.append({one: row[one] for one in same} | {
                "triggers": json.loads(used["triggers"]) if used else [],
                "card": used["card"] if used else None,
                "base": self._registry.title(used["card"]) if used else "",
                "licence": used["licence"] if used else "",
                "fits": not misfit and used is not None,
                "misfit": misfit,
                "current": number,
                "versions": [self._version(name, one, judged.get((row["id"], one["number"]))) for one in mine],
                "aliases": stand[row["id"]],
                "stale": self.stale(name),
                "may_change": may_change,
                "mine": row["owner"] == who.name,
            })  # fmt: skip
        return views

    def _version(self, name: str, row: sqlite3.Row, judged: sqlite3.Row | None) -> Json:
        same = ("number", "bytes", "sha256", "rank", "alpha", "card", "licence", "parent", "created", "person", "note", "training")
        here = f"/api/loras/{quote(name)}/versions/{row['number']}"
        return {one: row[one] for one in same} | {
            "base": self._registry.title(row["card"]),
            "triggers": json.loads(row["triggers"]),
            "samples": [f"{here}/samples/{place}" for place in range(1, len(json.loads(row["samples"])) + 1)],
            "file": f"{here}/file",
            "scores": json.loads(row["scores"]) | (json.loads(judged["scores"]) if judged else {}),
            "verdict": judged["words"] if judged else None,
            "verdict_kind": judged["verdict"] if judged else None,
            "evaluation": judged["evaluation"] if judged else None,
        }

    def _trash(self, rows: list[sqlite3.Row], who: Who) -> list[Json]:
        """What can be restored by those who may change it."""
        mine = {row["id"]: row for row in rows if row["owner"] == who.name or who.admin or row["access"] == "project"}
        return [
            {"name": mine[lora]["name"], "title": mine[lora]["title"], "number": one["number"], "bytes": one["bytes"],
             "trashed": one["trashed"], "by": one["trashed_by"]}
            for lora, found in loras.version_rows(self._store, list(mine), trashed=True).items() for one in found if one["purged"] is None
        ]  # fmt: skip


def _searched(view: Json) -> str:
    said = [view[one] for one in ("name", "title", "about", "kind", "owner", "base", "licence")]
    return " ".join([*said, *view["triggers"]]).casefold()


def _move(row: sqlite3.Row) -> Json:
    names = {"alias": "alias", "from": "from_number", "to": "to_number", "by": "person", "when": "created", "reason": "reason"}
    return {name: row[column] for name, column in names.items()} | {"back": bool(row["back"]), "forced": bool(row["forced"])}
