"""Refinement: a language model proposes a better prompt, as a diff with reasons. A person takes it or leaves it; nothing is applied.

The model answers behind an endpoint, or on this machine, where the worker asks it (answering.py) and the page comes again for the answer.
"""
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models import language
from models.errors import BadInput, NotFound, Unavailable
from models.refine import Endpoint, Proposal, check_url, read_proposal, refine, task
from pipelines.fields import text
from pipelines.request import PROMPT_LIMIT
from studio.store import jobs
from studio.store.people import Who, require_admin
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

SETTING = "refine"
WORDS_PER_TOKEN = 0.7
WAIT_SECONDS = 4.0  # for an answer, before the page is told to come again
OFFLINE = "Refining asks a language model, and none is set up here."
SET_UP = (
    "An admin gives the address and the model of any OpenAI-compatible server (Ollama, vLLM or llama.cpp on this machine do),"
    " or chooses a small model that runs in the studio itself."
)


@dataclass(frozen=True)
class Local:
    """A model on this machine. place: as models/language.py says."""

    place: str


class Refining:
    """What the routes call."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store, self._languages = studio, studio.store, studio.languages

    def about(self, who: Who) -> Json:
        """{"ready", "url", "model", "local": the place of a model on this machine, "key": whether there is one, "sampled": whether asking
        again may answer differently, "may_set", "why": what the button says while it is not ready}."""
        asked = self._asked()
        local, endpoint = (asked if isinstance(asked, Local) else None), (asked if isinstance(asked, Endpoint) else None)
        why = self._why_not(asked)
        return {
            "ready": not why,
            "url": endpoint.url if endpoint and who.admin else "",
            "model": endpoint.model if endpoint else language.title(local.place, self._languages.cards) if local else "",
            "local": local.place if local and who.admin else "",
            "key": bool(endpoint and endpoint.key),
            "sampled": endpoint is not None,
            "may_set": who.admin,
            "why": why,
        }

    def set(self, data: Mapping[Any, Any], who: Who) -> Json:
        """url ("" to switch it off), model, key (absent: as it was, while the url is the same); or local: the place of a model on this
        machine. Raises NotYours, BadInput, Unavailable for a folder or a repository that is not here."""
        require_admin(who, "Only an admin sets up the language model.")
        url, model, place = text(data, "url", 500), text(data, "model", 200), text(data, "local", 1000)
        if place and url:
            raise BadInput("local", "Give an address or a model on this machine, not both.")
        if place:
            return self._set_local(place, who)
        if not url:
            self._store.set(SETTING, "")
            return self.about(who)
        url, before = check_url(url), self._asked()
        if not model:
            raise BadInput("model", "The name of the model is missing.", "", "Write it as the server calls it, like qwen3:4b.")
        kept = before.key if isinstance(before, Endpoint) and before.url == url else ""
        key = text(data, "key", 500) if data.get("key") is not None else kept
        if not all(" " < letter <= "~" for letter in key):
            raise BadInput("key", "The key holds what no key has.", "", "Copy it again, without spaces.")
        self._store.set(SETTING, json.dumps({"url": url, "model": model, "key": key}))
        return self.about(who)

    def _set_local(self, place: str, who: Who) -> Json:
        if not language.is_place(place, self._languages.cards):
            todo = "Write the whole path of a folder, or OWNER/NAME of a repository in Hugging Face's cache."
            raise BadInput("local", f'"{place[:80]}" names no language model.', f"Offered: {', '.join(self._languages.cards)}.", todo)
        if place not in self._languages.cards:
            self._languages.find(place)
        self._store.set(SETTING, json.dumps({"local": place}))
        return self.about(who)

    def propose(self, data: Mapping[Any, Any], who: Who) -> Json:
        """{"prompt", "family", "tier"} -> {"prompt", "reasons", "diff", "model"}; nothing is changed. A model on this machine may take
        longer: then {"asked": id, "words"}, and `asked` has it later. Raises BadInput, Unavailable, NotNow."""
        prompt, asked = text(data, "prompt", PROMPT_LIMIT), self._asked()
        if not prompt:
            raise BadInput("prompt", "There is nothing to refine.", "", "Write a prompt first, however short.")
        if asked is None:
            raise Unavailable(OFFLINE, "", SET_UP)
        family, tier = text(data, "family", 80) or self._studio.family, text(data, "tier", 80) or "preview"
        try:
            card = self._studio.catalogue.tier(family, tier)[1]
        except NotFound as error:
            raise BadInput("family", error.what, error.why, error.todo) from error
        most = min(120, int(max(card.lengths.values()) * WORDS_PER_TOKEN)) if card.vocabulary != "embedded" else 30
        known = _vocabulary() if card.vocabulary == "embedded" else ()
        if isinstance(asked, Endpoint):
            return _view(prompt, refine(asked, prompt, most, known), asked.model)
        self._languages.find(asked.place)
        about = prompt, language.title(asked.place, self._languages.cards)
        return self.asked(self._studio.questions.ask(asked.place, task(prompt, most, known), about, who), who)

    def asked(self, id: str, who: Who) -> Json:
        """The proposal of a question that was asked before, or again {"asked", "words"}. Raises what went wrong with it, NotFound."""
        answer, (prompt, title) = self._studio.questions.answered(id, who, WAIT_SECONDS)
        if answer is not None:
            return _view(prompt, read_proposal(answer), title)
        queued = jobs.count_queued(self._store)
        words = f"Drawing goes first: {queued} in the queue." if queued else f"{title} is at work on this machine."
        return {"asked": id, "words": words}

    def _why_not(self, asked: Endpoint | Local | None) -> str:
        """Why nothing can be asked; "" when it can."""
        if asked is None:
            return f"{OFFLINE} {SET_UP}"
        if isinstance(asked, Local):
            try:
                self._languages.find(asked.place)
            except Unavailable as error:
                return str(error)
        return ""

    def _asked(self) -> Endpoint | Local | None:
        kept = self._store.setting(SETTING)
        data = json.loads(kept) if kept else None
        return None if data is None else Local(data["local"]) if "local" in data else Endpoint(**data)


def _view(prompt: str, found: Proposal, model: str) -> Json:
    return {"prompt": found.prompt, "reasons": list(found.reasons), "diff": diff(prompt, found.prompt), "model": model}


def _vocabulary() -> tuple[str, ...]:
    from models.embedded.captions import vocabulary  # numpy only, and only when it is asked for

    return tuple(word for word in vocabulary() if word.isalpha())


def diff(old: str, new: str) -> list[Json]:
    """What changed, word by word: pieces whose "same" and "remove" texts are the old prompt, and "same" and "add" the new one."""
    was, now = (re.findall(r"\w+|\s+|[^\w\s]", words) for words in (old, new))
    pieces: list[Json] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append({"kind": "same", "text": "".join(was[i:j])})
            continue
        pieces += [{"kind": "remove", "text": "".join(was[i:j])}] if i < j else []
        pieces += [{"kind": "add", "text": "".join(now[k:m])}] if k < m else []
    return pieces
