"""Safety of prompts: the list as this studio has it, and what happens to a prompt that a rule finds, before anything costs.

The word list is asked in the page's process when a request is queued (`Safety.check`). Text classifiers, where they are downloaded, need
weights: the worker asks them before it draws the first picture of a job (`Guardian.check`), and what they found is known when the same
prompt is sent again. What is found is written down as an incident.
"""
from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from models.errors import BadInput, NotFound
from models.scorers.safety import TextClassifier, said
from models.spec import Score
from pipelines.fields import shown
from pipelines.fields import text as read_text
from pipelines.safety import Finding, Kind, SafetyList, list_toml, read_list, shipped
from studio.store import Store, incidents
from studio.store.db import days_ago, now
from studio.store.jobs import NotNow, job_row, request_of
from studio.store.people import Who, require_admin
from studio.store.views import Json

log = logging.getLogger(__name__)

NOTE_LIMIT, TOML_LIMIT = 200, 200_000
DAYS = 30  # of incidents that the Quality tab counts
KINDS_OF_PICTURES: Mapping[str, Kind] = {
    "sexual": "sexual", "exposed": "sexual", "violent": "violent", "hateful": "hateful", "brand_risk": "brand",
}  # fmt: skip


class Unsafe(BadInput):
    """A prompt that safety stopped. `field` is "prompt" where it is refused, and "safety" where the person may confirm it, by sending
    the same request with "safety": "confirmed"."""

    def __init__(self, findings: Sequence[Finding], queued: bool = False) -> None:
        first = findings[0]
        refused = first.action == "refuse"
        more = f" (and by {len(findings) - 1} more)" if len(findings) > 1 else ""
        found = first.words[0] if first.value is not None else "it says " + ", ".join(f'"{word}"' for word in first.words[:5])
        confirm = "Send it again to confirm it" if queued else "Confirm that it should be drawn"
        change = "have an admin change the rule in the Quality tab, under Safety."
        super().__init__(
            "prompt" if refused else "safety",
            f'This prompt {"was stopped" if refused else "needs your confirmation"}: the rule "{first.title}" finds it{more}, for {found}.',
            first.about,
            f"Write it differently, or {change}" if refused else f"{confirm}, write it differently, or {change}",
        )
        self.findings = tuple(findings)


def take_confirmed(data: Any) -> tuple[bool, Any]:
    """"safety": "confirmed" of a submission, and the rest of it. Raises BadInput."""
    if not isinstance(data, Mapping):
        return False, data
    given = data.get("safety")
    if given not in (None, "", "confirmed"):
        raise BadInput("safety", f'safety can be "confirmed"; this is {shown(given)}.')
    return given == "confirmed", {name: value for name, value in data.items() if name != "safety"}


class Safety:
    """The list of one studio, read by page and worker alike. Version 0 is the list as shipped; the newest version holds. Any thread
    may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: SafetyList | None = None
        self._lock = threading.Lock()

    # The list.

    def current(self) -> SafetyList:
        version = self.version()
        with self._lock:
            if self._read is None or self._read.version != version:
                self._read = read_list(self.text(version), version)
            return self._read

    def version(self) -> int:
        return int(self._store.db.execute("SELECT coalesce(max(version), 0) FROM safety_lists").fetchone()[0])

    def text(self, version: int) -> str:
        """A version's TOML. Raises NotFound."""
        if version == 0:
            return shipped().read_text(encoding="utf-8")
        row = self._store.db.execute("SELECT toml FROM safety_lists WHERE version = ?", [version]).fetchone()
        if row is None:
            raise NotFound(f"There is no version {version} of the safety list.")
        return str(row["toml"])

    def view(self, who: Who) -> Json:
        """What the Quality tab shows; see GET /api/safety."""
        current = self.current()
        rows = self._store.db.execute("SELECT version, person, note, created FROM safety_lists ORDER BY version DESC").fetchall()
        shipped_one = {"version": 0, "person": "", "note": "As shipped", "created": ""}
        return {
            "admin": who.admin,
            "version": current.version,
            "list": current.as_dict(),
            "toml": self.text(current.version),
            "versions": [{key: row[key] for key in ("version", "person", "note", "created")} for row in rows] + [shipped_one],
            "incidents": {"days": DAYS, "counts": incidents.by_kind(self._store.db, days_ago(DAYS))},
        }

    def try_out(self, prompt: object, draft: object = None) -> list[Json]:
        """What the rules would find in a prompt; with `draft` those of a list that is not saved yet. Writes nothing. Raises BadInput."""
        text = read_text({"prompt": prompt}, "prompt", 10_000)
        rules = self.current() if draft is None else read_list(_text_of(draft), 0)
        return [asdict(finding) for finding in rules.check(text)]

    def save(self, given: object, note: object, who: Who, base: object = None) -> Json:
        """A new version from a list as `view` gives it, or from its TOML; the view. Raises NotYours, BadInput, and NotNow when somebody
        saved another since version `base`."""
        require_admin(who, "The safety list is everybody's here.", "Only an admin may change it.")
        toml = _text_of(given)
        if len(toml) > TOML_LIMIT:
            raise BadInput("list", f"The list may be {TOML_LIMIT} characters long; this is {len(toml)}.")
        read_list(toml, 0)
        words = read_text({"note": note}, "note", NOTE_LIMIT)
        with self._store.write() as db:
            latest = self.version()
            if base is not None and base != latest:
                why = f"You started from version {shown(base)}, and somebody has saved version {latest} meanwhile."
                raise NotNow("The safety list has changed.", why, "Look at what they changed, and make your change again.")
            db.execute("INSERT INTO safety_lists VALUES (?, ?, ?, ?, ?)", [latest + 1, toml, who.name, words, now()])
        return self.view(who)

    def restore(self, version: object, who: Who) -> Json:
        """A new version that says what `version` said; the view. Raises NotFound, NotYours, BadInput."""
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            raise BadInput("version", f"version must be the number of a version; this is {shown(version)}.")
        return self.save(self.text(version), f"Restored version {version}" if version else "Restored as shipped", who)

    # Prompts.

    def check(self, prompt: str, texts: Collection[str], who: Who, confirmed: bool = False) -> None:
        """Raises Unsafe for a prompt that may not be drawn, or not before `who` has confirmed it. Writes down what was found."""
        current, known = self.current(), incidents.hash_of(prompt, texts)
        findings = current.check(prompt, texts)
        before = incidents.stopped_by(self._store.db, known, current.version)
        findings += [
            Finding(one.name, one.title, one.kind, one.action, ("a classifier found it before",), value=one.threshold)
            for one in current.readers if one.name in before
        ]  # fmt: skip
        if findings:
            self.settle(findings, known, who.name, current.version, confirmed)

    def settle(
        self, findings: Sequence[Finding], known: str, person: str, version: int, confirmed: bool = False, queued: bool = False
    ) -> None:
        """What has to happen to a prompt in which this was found; raises Unsafe, and writes down what was done.

        queued: its job waits already, so that only sending it again can confirm it.
        """
        with self._store.write() as db:
            over = incidents.confirmed(db, person, known)
            refused = [one for one in findings if one.action == "refuse"]
            open_ = [one for one in findings if one.action == "ask" and one.rule not in over]
            if refused:
                incidents.note_prompt(db, person, known, refused, version, "refused")
            elif open_:
                incidents.note_prompt(db, person, known, open_, version, "confirmed" if confirmed else "asked")
            if not refused and (confirmed or not open_):
                marked = [one for one in findings if one.action == "mark"]
                incidents.note_prompt(db, person, known, marked, version, "marked")
        # Raised here, for what was written down has to stay.
        if refused or (open_ and not confirmed):
            raise Unsafe(refused or open_, queued)


class Guardian:
    """In the worker: asks the text classifiers about a job's prompt before its first picture."""

    def __init__(self, store: Store, readers: Callable[[], Sequence[TextClassifier]]) -> None:
        self._store, self._make, self._safety = store, readers, Safety(store)
        self._readers: Sequence[TextClassifier] | None = None
        self._checked: tuple[int, int] | None = None  # job, version of the list

    def check(self, job: int) -> None:
        """Raises Unsafe where a classifier that is here finds the prompt. Once a job; nothing where none was downloaded."""
        current = self._safety.current()
        if self._checked == (job, current.version):
            return
        if self._readers is None:
            self._readers = self._make()
        row = job_row(self._store, job)
        texts = tuple(request_of(row).get("texts") or ())
        values = {one.dimensions[0]: one.read(said(row["prompt"], texts)) for one in self._readers}
        known = incidents.hash_of(row["prompt"], texts)
        findings = current.read(values)
        already = incidents.marked_since(self._store.db, known, row["person"], row["created"])
        findings = [one for one in findings if one.action != "mark" or one.rule not in already]
        if findings:
            self._safety.settle(findings, known, row["person"], current.version, queued=True)
        self._checked = (job, current.version)


class PictureIncidents:
    """In the worker: writes down pictures that are unsafe by what was measured. Whether they are rejected is for their profile to say."""

    def __init__(self, safety: Safety) -> None:
        self._safety = safety

    def note(self, db: sqlite3.Connection, image: int, person: str, scores: Sequence[Score]) -> None:
        """Writes down what makes a measured picture an incident, inside the caller's transaction."""
        current = self._safety.current()
        for score in scores:
            bar = current.pictures.get(score.dimension)
            kind = KINDS_OF_PICTURES.get(score.dimension)
            if bar is not None and kind is not None and score.value is not None and score.value >= bar:
                incidents.note_picture(db, image, person, kind, score.dimension, current.version)


def _text_of(given: object) -> str:
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        raise BadInput("list", f"list must be a safety list, or its TOML; this is {shown(given)}.")
    for table in ("rules", "classifiers"):
        rows = given.get(table) or []
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise BadInput(f"list.{table}", f"{table} must be a list of objects.")
        names = [row.get("name") for row in rows]
        if len(set(map(str, names))) != len(names):
            raise BadInput(f"list.{table}", f"Two of {table} have the same name.")
    if not isinstance(given.get("pictures") or {}, Mapping):
        raise BadInput("list.pictures", "pictures must be an object.")
    return list_toml(given)
