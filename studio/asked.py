"""The parameters of an address as a search of the history, each validated and named when it is wrong; and where its pages go on."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from models.errors import BadInput
from pipelines.fields import listed, shown, text
from studio.store.history import SORTS, VERDICTS, Key, Search
from studio.store.jobs import LARGEST_ID

TEXT_LIMIT, NAME_LIMIT, MANY = 400, 120, 20
MANY_TIMES = ("tier", "card", "lora", "template", "verdict", "person", "tag", "score", "failed")
NAME = re.compile(r"[\w .:+-]{1,80}", re.ASCII)


def read_search(pairs: Sequence[tuple[str, str]]) -> tuple[Search, dict[str, str]]:
    """The search that the parameters of GET /api/history ask for, and those parameters that are not part of it. Raises BadInput.

    q: words. tier, card, lora, template, verdict, person, tag, failed (a dimension): as often as needed.
    score: "sharpness:50..80", either end may be left out.
    rating: 1..5 (at least), or "none". board: a number. since, until: a day ("2026-11-21", both days included) or a moment in UTC.
    pinned: 1. trashed: 1. sort: newest, oldest, rating, board, best:DIMENSION.
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(_plain(name, value))
        if len(given[name]) > MANY:
            raise BadInput(_field(name), f"{_field(name)} is given more than {MANY} times.")
    many = {field: tuple(dict.fromkeys(given.pop(field, []))) for field in MANY_TIMES}
    for verdict in many["verdict"]:
        _choice(verdict, "verdict", VERDICTS)
    once = {name: values[0] for name, values in given.items()}
    for name, values in given.items():
        if len(values) > 1:
            raise BadInput(_field(name), f"{_field(name)} is given more than once.")

    def take(name: str, read: Callable[[str], Any], default: Any = None) -> Any:
        value = once.pop(name, "")
        return read(value) if value else default

    search = Search(
        text=take("q", lambda value: value, ""),
        tiers=many["tier"],
        cards=many["card"],
        loras=many["lora"],
        templates=many["template"],
        failed=many["failed"],
        verdicts=many["verdict"],
        persons=many["person"],
        tags=tuple(tag.lower() for tag in many["tag"]),
        scores=tuple(_score(value) for value in many["score"]),
        least_rating=take("rating", _rating),
        board=take("board", lambda value: _whole(value, "board", 1, LARGEST_ID)),
        since=take("since", lambda value: _moment(value, "since")),
        until=take("until", lambda value: _moment(value, "until", end=True)),
        pinned=take("pinned", lambda value: _choice(value, "pinned", ("0", "1")) == "1", False),
        trashed=take("trashed", lambda value: _choice(value, "trashed", ("0", "1")) == "1", False),
        sort=take("sort", _sort, "newest"),
    )
    if search.sort == "board" and search.board is None:
        raise BadInput("sort", "There is no board to sort by.", todo="Give a board too.")
    return search, once


def write_cursor(key: Key) -> str:
    return f"{key[0]!r},{key[1]}"


def read_cursor(cursor: str, sort: str) -> Key:
    """Where a page goes on, as `write_cursor` wrote it. Raises BadInput."""
    value, comma, image = cursor.partition(",")
    try:
        number = int(value) if re.fullmatch(r"-?\d{1,18}", value, re.ASCII) else float(value)
        if not comma or math.isnan(number) or not re.fullmatch(r"\d{1,19}", image, re.ASCII) or int(image) > LARGEST_ID:
            raise ValueError(cursor)
    except ValueError as error:
        todo = 'Give the "next" of the page before, with the same search.'
        raise BadInput("after", "This is no place to go on from.", todo=todo) from error
    return number, int(image)


def _plain(name: str, value: str) -> str:
    return text({name: value}, name, TEXT_LIMIT if name == "q" else NAME_LIMIT, _field(name))


def _field(name: str) -> str:
    return name[:80]


def _choice(value: str, field: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise BadInput(field, f"{field} cannot be {shown(value)}.", f"It is one of {listed(choices)}.")
    return value


def _whole(value: str, field: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,19}", value, re.ASCII) or not low <= int(value) <= high:
        span = f"from {low} to {high}" if high < LARGEST_ID else f"from {low}"
        raise BadInput(field, f"{field} cannot be {shown(value)}.", f"It is a whole number {span}.")
    return int(value)


def _rating(value: str) -> int:
    return 0 if value == "none" else _whole(value, "rating", 1, 5)


def _sort(value: str) -> str:
    if value.startswith("best:") and NAME.fullmatch(value):
        return value
    return _choice(value, "sort", (*SORTS, "best:DIMENSION"))


def _score(value: str) -> tuple[str, float | None, float | None]:
    dimension, _, ends = value.partition(":")
    low, dots, high = ends.partition("..")
    if not NAME.fullmatch(dimension) or not dots or not (low or high):
        todo = 'Write it like "sharpness:50..80", "sharpness:50.." or "sharpness:..80".'
        raise BadInput("score", f"score cannot be {shown(value)}.", todo=todo)
    return dimension, _end(low), _end(high)


def _end(words: str) -> float | None:
    if not words:
        return None
    try:
        number = float(words)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInput("score", f"{shown(words)} is not a number.", todo='Write it like "sharpness:50..80".')
    return number


def _moment(value: str, field: str, end: bool = False) -> str:
    """A moment as `now` writes it; for a whole day its first moment, or with `end` the first of the next."""
    day = re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII)
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(field, f"{field} cannot be {shown(value)}.", todo='Write it like "2026-11-21".') from error
    written = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # The text order of the same day's moments ends before "T:".
    return f"{written[:10]}T:" if day and end else written
