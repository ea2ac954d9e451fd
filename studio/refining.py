"""Refinement: a language model proposes a better prompt, as a diff with reasons. A person takes it or leaves it; nothing is applied."""
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound, Unavailable
from models.refine import Endpoint, check_url, refine
from pipelines.fields import text
from pipelines.request import PROMPT_LIMIT
from studio.store.people import Who, require_admin
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

SETTING = "refine"
WORDS_PER_TOKEN = 0.7
OFFLINE = "Refining asks a language model, and none is set up here."
SET_UP = "An admin gives the address and the model of any OpenAI-compatible server: Ollama, vLLM or llama.cpp on this machine do."


class Refining:
    """What the routes call."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def about(self, who: Who) -> Json:
        """{"ready", "url", "model", "key": whether there is one, "may_set", "why": what the button says while it is not ready}."""
        endpoint = self._endpoint()
        return {
            "ready": endpoint is not None,
            "url": endpoint.url if endpoint and who.admin else "",
            "model": endpoint.model if endpoint else "",
            "key": bool(endpoint and endpoint.key),
            "may_set": who.admin,
            "why": "" if endpoint else f"{OFFLINE} {SET_UP}",
        }

    def set(self, data: Mapping[Any, Any], who: Who) -> Json:
        """url ("" to switch it off), model, key (absent: as it was, while the url is the same). Raises NotYours, BadInput."""
        require_admin(who, "Only an admin sets up the language model.")
        url, model = text(data, "url", 500), text(data, "model", 200)
        if not url:
            self._store.set(SETTING, "")
            return self.about(who)
        url, before = check_url(url), self._endpoint()
        if not model:
            raise BadInput("model", "The name of the model is missing.", "", "Write it as the server calls it, like qwen3:4b.")
        kept = before.key if before and before.url == url else ""
        key = text(data, "key", 500) if data.get("key") is not None else kept
        if not all(" " < letter <= "~" for letter in key):
            raise BadInput("key", "The key holds what no key has.", "", "Copy it again, without spaces.")
        self._store.set(SETTING, json.dumps({"url": url, "model": model, "key": key}))
        return self.about(who)

    def propose(self, data: Mapping[Any, Any]) -> Json:
        """{"prompt", "family", "tier"} -> {"prompt", "reasons", "diff", "model"}; nothing is changed. Raises BadInput, Unavailable."""
        endpoint = self._endpoint()
        prompt = text(data, "prompt", PROMPT_LIMIT)
        if not prompt:
            raise BadInput("prompt", "There is nothing to refine.", "", "Write a prompt first, however short.")
        if endpoint is None:
            raise Unavailable(OFFLINE, "", SET_UP)
        family, tier = text(data, "family", 80) or self._studio.family, text(data, "tier", 80) or "preview"
        try:
            card = self._studio.catalogue.tier(family, tier)[1]
        except NotFound as error:
            raise BadInput("family", error.what, error.why, error.todo) from error
        most = min(120, int(max(card.lengths.values()) * WORDS_PER_TOKEN)) if card.vocabulary != "embedded" else 30
        known = _vocabulary() if card.vocabulary == "embedded" else ()
        found = refine(endpoint, prompt, most, known)
        return {"prompt": found.prompt, "reasons": list(found.reasons), "diff": diff(prompt, found.prompt), "model": endpoint.model}

    def _endpoint(self) -> Endpoint | None:
        kept = self._store.setting(SETTING)
        return Endpoint(**json.loads(kept)) if kept else None


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
