"""Prompts made better by a language model: what it is told, how its answer is read, and how an endpoint is asked.

Endpoints are OpenAI-compatible ones: Ollama, vLLM, llama.cpp and others; `models.speaker` asks a model on this machine instead. The
protocol is `POST {url}/chat/completions` (https://platform.openai.com/docs/api-reference/chat). What comes back is a proposal with its
reasons, read strictly; nothing of it is applied here.
"""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from models.errors import BadInput, StudioError, Unavailable

SECONDS = 60.0
ANSWER_LIMIT, PROMPT_LIMIT, REASON_LIMIT, REASONS_LIMIT = 1_000_000, 4000, 300, 12
_SETTLED = (
    "Keep every subject, colour, place, number and quoted text of the prompt, and words that look like $this, {a|b}, __this__ or <lora:..>."
)
_TASK = (
    "You improve prompts for a text-to-image model. Make the prompt more specific where it is vague: light, composition, material, lens. "
    f"{_SETTLED} Do not invent brands or people. Stay below %d words. Answer with one JSON object and nothing else: "
    '{"prompt": "the better prompt", "reasons": ["one short sentence for each change"]}'
)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True)
class Endpoint:
    """url: up to and with "/v1". model: as the server calls it. key: sent as a bearer token, "" for none."""

    url: str
    model: str
    key: str = ""


@dataclass(frozen=True)
class Proposal:
    prompt: str
    reasons: tuple[str, ...]


def check_url(url: str) -> str:
    """The address of an endpoint, "/v1" added where no path is given. Raises BadInput on "url"."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadInput("url", "This is no address of an endpoint.", "", "Write it like http://localhost:11434/v1.")
    return url.strip().rstrip("/") + ("/v1" if parts.path in ("", "/") else "")


def refine(endpoint: Endpoint, prompt: str, words: int = 60, known: tuple[str, ...] = (), seconds: float = SECONDS) -> Proposal:
    """What the model proposes. words: the most it may take. known: the only words that the picture model reads, where it has a closed
    vocabulary. Raises Unavailable where the endpoint does not answer, StudioError where it answers something else."""
    body = {"model": endpoint.model, "messages": task(prompt, words, known), "temperature": 0.4, "stream": False}
    return read_proposal(_content(_ask(endpoint, body, seconds)))


def task(prompt: str, words: int = 60, known: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """What any language model is told, as the messages of a chat; words and known as in `refine`."""
    told = _TASK % words + (f" Use only these words: {' '.join(known)}." if known else "")
    return [{"role": "system", "content": told}, {"role": "user", "content": prompt}]


def read_proposal(content: str) -> Proposal:
    """The proposal in an answer, also where the model talks around it, or thinks aloud first. Raises StudioError where there is none."""
    found = _OBJECT.search(re.sub(r"<think>.*?</think>", "", content, flags=re.DOTALL))
    try:
        data = json.loads(found[0]) if found else None
    except (ValueError, RecursionError):
        data = None
    prompt = data.get("prompt") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(prompt, str) or not prompt.strip() or len(prompt) > PROMPT_LIMIT:
        raise StudioError("The language model's answer holds no proposal.", f'It said: "{" ".join(content.split())[:160]}"', "Try again.")
    reasons = data.get("reasons") or []
    reasons = [reasons] if isinstance(reasons, str) else reasons if isinstance(reasons, list) else []
    told = [" ".join(one.split())[:REASON_LIMIT] for one in reasons if isinstance(one, str) and one.strip()]
    return Proposal(" ".join(prompt.split()), tuple(told[:REASONS_LIMIT]))


def _ask(endpoint: Endpoint, body: dict[str, Any], seconds: float) -> Any:
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    where = f"{endpoint.url}/chat/completions"
    todo = "See that the server runs, and that its address and model are right (Refine, Set up)."
    try:
        # Redirects are not followed: the key is for this server.
        with httpx.Client(timeout=httpx.Timeout(seconds, connect=5.0), trust_env=False) as client, \
                client.stream("POST", where, json=body, headers=headers) as answer:  # fmt: skip
            content = b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > ANSWER_LIMIT:
                    raise StudioError("The language model's answer is too long.", f"{where} sent more than a megabyte.", todo)
            status = answer.status_code
    except httpx.TimeoutException as error:
        raise Unavailable("The language model took too long.", f"{where} did not answer within {seconds:g} s.", todo) from error
    except httpx.HTTPError as error:
        raise Unavailable("The language model does not answer.", f"{where}: {error}", todo) from error
    if status != 200:
        raise Unavailable(f"The language model's server answered {status}.", _complaint(content), todo)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        what = "The language model's server did not answer with JSON."
        raise StudioError(what, f"{where} may be no OpenAI-compatible endpoint.", todo) from error


def _complaint(content: bytes) -> str:
    """What a server says is wrong, in whatever form."""
    words = content.decode("utf-8", "replace")
    try:
        error = json.loads(words).get("error")
        words = str(error.get("message") if isinstance(error, dict) else error or words)
    except (ValueError, AttributeError, RecursionError):
        pass  # no JSON object: the text itself says it
    return " ".join(words.split())[:300]


def _content(answer: Any) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise StudioError("The language model's server answered without a message.", "It may be no OpenAI-compatible endpoint.") from error
    if not isinstance(content, str):
        raise StudioError("The language model answered nothing.", "", "Try again.")
    return content
