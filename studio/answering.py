"""Questions to a language model on this machine: asked by the page's process (`Questions`), answered by the worker (`Answerer`).

Drawing goes first: an answer that is being written stops when something can be drawn, its model is put away, and it goes on once
nothing waits. A question lives as long as somebody waits for it; none outlives the worker that had it, for it may be what ended it.
"""
from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import NotFound, OutOfMemory, StudioError, Unavailable
from models.language import find, load_language
from models.weights import Where
from studio.store import Store
from studio.store.db import now
from studio.store.jobs import NotNow
from studio.store.people import Who
from studio.store.turns import anything_waits

if TYPE_CHECKING:
    from studio.engines import Engines

log = logging.getLogger(__name__)

WAITING_LIMIT = 4  # questions at a time
FORGOTTEN_SECONDS = 60.0  # after which nobody waits for a question any more
LOOK_SECONDS = 0.1  # between two looks at the queue
KINDS: dict[str, type[StudioError]] = {kind.__name__: kind for kind in (StudioError, Unavailable, OutOfMemory)}


@dataclass
class Question:
    """place: whom to ask, as models/language.py says. about: whatever whoever asks wants back with the answer."""

    id: str
    person: str
    place: str
    messages: list[dict[str, str]]
    about: Any
    sent: bool = False
    seen: float = field(default_factory=time.monotonic)
    answer: str | StudioError | None = None


class Questions:
    """In the page's process. send: a message to the worker. Any thread may call anything."""

    def __init__(self, send: Callable[[dict[str, Any]], object]) -> None:
        self._send = send
        self._open: dict[str, Question] = {}
        self._up = False  # whether a worker listens
        self._came = threading.Condition()

    def ask(self, place: str, messages: list[dict[str, str]], about: Any, who: Who) -> str:
        """Begins to ask; the question's id. Raises NotNow while others wait."""
        with self._came:
            for old in [one for one in self._open.values() if time.monotonic() - one.seen > FORGOTTEN_SECONDS]:
                self._forget(old)
            if len(self._open) >= WAITING_LIMIT:
                raise NotNow("The language model is busy.", f"{len(self._open)} others wait for it.", "Ask again in a minute.")
            made = Question(secrets.token_hex(8), who.name, place, messages, about)
            self._open[made.id] = made
            self._send_open()
        return made.id

    def answered(self, id: str, who: Who, seconds: float) -> tuple[str | None, Any]:
        """The answer, None while it is not there after `seconds`, and what was given as `about`. An answer is given once.

        Raises what went wrong with it, and NotFound for a question that is not open, or somebody else's.
        """
        with self._came:
            question = self._of(id, who)
            self._came.wait_for(lambda: question.answer is not None, seconds)
            question.seen = time.monotonic()
            if question.answer is None:
                return None, question.about
            self._open.pop(id, None)
        if isinstance(question.answer, StudioError):
            raise question.answer
        return question.answer, question.about

    def drop(self, id: str, who: Who) -> None:
        """Nobody waits for it any more. Raises NotFound."""
        with self._came:
            self._forget(self._of(id, who))

    # What the worker tells.

    def heard(self, message: dict[str, Any]) -> None:
        """{"id", "text"} or {"id", "error": {"kind", "what", "why", "todo"}}."""
        error = message.get("error")
        with self._came:
            question = self._open.get(message["id"])
            if question is not None:
                made = KINDS[error["kind"]](error["what"], error["why"], error["todo"]) if error else None
                question.answer = made or message["text"]
                self._came.notify_all()

    def device_is(self, state: str) -> None:
        """The worker is "starting", "ready", "busy" or "down"."""
        with self._came:
            self._up = state in ("ready", "busy")
            if self._up:
                self._send_open()
                return
            for question in self._open.values():
                if question.sent and question.answer is None:
                    why = "Memory is the usual cause; logs/worker.out in the data folder may say more."
                    question.answer = Unavailable("The worker stopped while the language model was asked.", why, "Try a smaller model.")
            self._came.notify_all()

    def _of(self, id: str, who: Who) -> Question:
        question = self._open.get(id)
        if question is None or question.person != who.name:
            raise NotFound("This question is not open any more.", "", "Ask again.")
        return question

    def _forget(self, question: Question) -> None:
        self._open.pop(question.id, None)
        if question.sent and question.answer is None:
            self._send({"unask": question.id})

    def _send_open(self) -> None:
        for question in self._open.values():
            if self._up and not question.sent:
                question.sent = True
                self._send({"ask": {"id": question.id, "place": question.place, "messages": question.messages}})


class Answerer:
    """In the worker. `tell` sends an answer to the page."""

    def __init__(self, store: Store, where: Where, engines: Engines, tell: Callable[..., None]) -> None:
        self._store, self._where, self._engines, self._tell = store, where, engines, tell
        self._asked: dict[str, dict[str, Any]] = {}  # by id, the first asked first
        self._said: dict[str, tuple[int, ...]] = {}  # tokens of answers that were interrupted
        self._looked = 0.0
        self._lock = threading.Lock()
        self._cards = load_language()

    def hear(self, message: dict[str, Any]) -> None:
        """From the page, on the link's thread."""
        with self._lock:
            if "ask" in message:
                self._asked[message["ask"]["id"]] = message["ask"]
            if "unask" in message:
                self._asked.pop(message["unask"], None)

    @property
    def waiting(self) -> bool:
        return bool(self._asked)

    def catch_up(self) -> bool:
        """Answers the first question, or a part of it until something can be drawn; False when there is none."""
        with self._lock:
            asked = next(iter(self._asked.values()), None)
        if asked is None:
            return False
        id = asked["id"]
        try:
            if (text := self._answer(asked)) is None:
                return True
            self._tell("answered", id=id, text=text)
        except StudioError as error:
            kind = type(error).__name__ if type(error).__name__ in KINDS else "StudioError"
            self._tell("answered", id=id, error={"kind": kind, "what": error.what, "why": error.why, "todo": error.todo})
        except Exception as error:  # a bug must not end the worker, and whoever waits must hear of it
            log.exception("a question to a language model")
            why = f"{type(error).__name__}: {error}"[:300]
            what = "A bug stopped the language model: see logs/worker.log."
            self._tell("answered", id=id, error={"kind": "StudioError", "what": what, "why": why, "todo": "Please report it."})
        with self._lock:
            self._asked.pop(id, None)
        self._said.pop(id, None)
        return True

    def _answer(self, asked: dict[str, Any]) -> str | None:
        """The whole answer; None where drawing came first, or nobody waits any more."""
        from models.speaker import speak

        id, folder = asked["id"], find(asked["place"], self._where, self._cards)
        device = self._engines.machine.kind if self._engines.machine else "cpu"
        while True:
            try:
                spoken = speak(folder, asked["messages"], device, self._said.get(id, ()), lambda: self._gives_way(id))
                break
            except OutOfMemory:
                # One holder at a time: what draws is loaded again when something is drawn.
                if not self._engines.release():
                    raise
        if not spoken.whole:
            self._said[id] = spoken.tokens
            if id not in self._asked:
                self._said.pop(id)
            return None
        return spoken.text

    def _gives_way(self, id: str) -> bool:
        if id not in self._asked:
            return True
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        return anything_waits(self._store.db, now())
