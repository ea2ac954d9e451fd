"""Reading what providers are sent: the first thing that is wrong ends the handler with the provider's own words for it."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.cloud.demo import pictures
from models.cloud.demo.wire import Answer, Asked, as_json

Refuse = Callable[[str, str], Answer]  # of a field's name and what is wrong with it


class Refusal(Exception):
    """Ends a handler with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def body_of(asked: Asked) -> dict[str, Any]:
    """A JSON object, or the end of the handler."""
    try:
        body = asked.json
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(as_json({"detail": "The body is not a JSON object."}, 400))
    return body


def whole(body: Mapping[str, Any], name: str, otherwise: int, low: int, high: int, refuse: Refuse) -> int:
    """A whole number of a body, or the end of the handler with what `refuse` makes of the field and the words."""
    value = body.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(refuse(name, "Input should be a valid integer"))
    if not low <= value <= high:
        bound = f"greater than or equal to {low}" if value < low else f"less than or equal to {high}"
        raise Refusal(refuse(name, f"Must be {bound}"))
    return value


def one_of(body: Mapping[str, Any], name: str, otherwise: str, choices: Iterable[str], refuse: Refuse) -> str:
    """The same for a choice."""
    value = body.get(name)
    if value is None:
        return otherwise
    if value not in choices:
        raise Refusal(refuse(name, f"Must be one of {', '.join(choices)}"))
    return str(value)


def prompt_of(body: Mapping[str, Any], refuse: Refuse) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refusal(refuse("prompt", "prompt is required"))
    return prompt


def shown(name: str, urls: Iterable[Any], stored: Callable[[str], bytes | None], refuse: Refuse) -> list[bytes]:
    """Pictures that a body shows, each of which has to be a data URI or to lie with the provider, and to decode."""
    found = []
    for url in urls:
        try:
            data = stored(url) or pictures.read_data_uri(url)
            pictures.check(data)
        except (ValueError, AttributeError, TypeError) as error:
            raise Refusal(refuse(name, f"The image could not be loaded: {error}")) from None
        found.append(data)
    return found
