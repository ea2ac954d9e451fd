"""Reading what providers answer: statuses, words, waits, base64, pictures. Nothing here opens a connection."""

from __future__ import annotations

import base64
import binascii
import email.utils
import io
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, UnidentifiedImageError

from models.cloud.spec import CloudError, Kind, Sent

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
WORDS = 300  # of a provider's own are shown at the most
LONGEST_WAIT = 3600.0
# "Your rate limit resets in ~30s", "try again in 1.5 seconds", "retry after 2 minutes"
_WAIT = re.compile(r"(?i)(?:resets?|again|retry|wait)\D{0,24}?(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?|m|min|minutes?)\b")
_REFUSED = re.compile(
    r"(?i)\bnsfw\b|content[ _-]polic|safety (?:system|checker|filter)|\bmoderat(?:ion|ed)|flagged as|sensitive content|inappropriate"
    r"|unsafe content"
)


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:  # also what is not UTF-8
            return None

    def table(self) -> dict[str, Any]:
        """The body as a JSON object, {} where it is none."""
        value = self.json()
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Shot:
    """A picture that was decoded to its last pixel. width, height: pixels."""

    data: bytes = field(repr=False)
    mime: str
    width: int
    height: int


def whole_picture(data: bytes, pixels: int) -> Shot:
    """Decodes all of it. Raises ValueError, in words, for what is no PNG, JPEG or WebP, is cut short, or has more than `pixels`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # measured here, against a bound of our own
            with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
                if image.width * image.height > pixels:
                    raise ValueError(f"It is {image.width} x {image.height} pixels large.")
                image.load()
                kind = image.format or ""
                if not _ended(kind, data):  # Pillow is content with the last pixel
                    raise ValueError("Its end is missing.")
                return Shot(data, FORMATS[kind], image.width, image.height)
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(data)} bytes that are no PNG, JPEG or WebP.") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"It does not decode: {error}.") from error


def _ended(kind: str, data: bytes) -> bool:
    """Whether the file has what its format ends with; some writers add to it."""
    if kind == "WEBP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}[kind] in data[-4096:]


def unbase64(text: object) -> bytes | None:
    """The bytes of base64 or of a data: address, None where it is neither or is cut short."""
    if not isinstance(text, str):
        return None
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def wait_told(answer: Answer, now: float) -> float | None:
    """Seconds until an answer says to come again: its Retry-After (seconds, or a date, measured against the answer's own Date where it has
    one, so that clocks may differ), else what its body says. None where it says nothing. now: seconds since the epoch."""
    told = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", told, re.ASCII):
        return min(float(told), LONGEST_WAIT)
    if (when := _moment(told)) is not None:
        start = _moment(answer.headers.get("date", ""))
        return min(max(0.0, when - (now if start is None else start)), LONGEST_WAIT)
    body = answer.table()
    for name in ("retry_after", "retryAfter"):
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return min(float(value), LONGEST_WAIT)
    if answer.status in (408, 425, 429, 503) and (found := _WAIT.search(answer.body[:4000].decode(errors="replace"))):
        unit = 0.001 if found[2].startswith("ms") or found[2].startswith("milli") else 60.0 if found[2].startswith("m") else 1.0
        return min(float(found[1]) * unit, LONGEST_WAIT)
    return None


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def words_of(value: object) -> str:
    """What a provider said, for people: one line, "" where it said nothing readable."""
    found = _said(value)
    line = " ".join("".join(char if char.isprintable() else " " for char in found).split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


def _said(value: object) -> str:
    if isinstance(value, str):
        return "" if value.lstrip()[:1] == "<" else value  # a page of HTML is for nobody
    if isinstance(value, list):
        return "; ".join(filter(None, (_said(one) for one in value[:4])))
    if isinstance(value, dict):
        for name in ("detail", "error", "message", "msg", "title", "status"):
            if value.get(name):
                said = _said(value[name])
                where = value.get("loc")
                return f"{'.'.join(str(part) for part in where)}: {said}" if said and isinstance(where, list) and where else said
    return ""


def sentence(words: str) -> str:
    """The words, with a full stop where they end without one."""
    return f"{words}." if words and words[-1].isalnum() else words


def refused_content(words: str) -> bool:
    """Whether a provider's words mean that the content was refused."""
    return bool(_REFUSED.search(words))


def refusal(title: str, answer: Answer, *, wait: float | None, kind: Kind | None = None, sent: Sent | None = None) -> CloudError:
    """The error of an answer to a submit that is no success, by its status alone unless `kind` or `sent` is known better.

    4xx and 503 began nothing. Other 5xx may come from a gateway whose server went on: nobody knows.
    """
    status, said = answer.status, words_of(answer.json())
    kind = kind or ("quota" if status in (402, 403, 429) and b"insufficient_quota" in answer.body[:4000] else _kind(status, said))
    why = sentence(said) or f"It answered {status}."
    sent = sent or ("maybe" if status < 400 or (status >= 500 and status != 503) else "no")
    what, todo = {
        "moderation": (f"{title} refused the content.", "Change the prompt or the pictures."),
        "validation": (f"{title} does not take this call.", ""),
        "quota": (f"{title} has no credit left.", "Top it up there, then test it in the Cloud tab."),
        "auth": (f"{title} does not accept the key.", "Check the key, then test it in the Cloud tab."),
        "throttled": (f"{title} is over its limit.", ""),
        "capacity": (f"{title} is overloaded or down.", ""),
        "expired": (f"{title} no longer knows the request.", ""),
        "bug": (f"{title} gave an answer that cannot be read.", ""),
    }[kind]
    return CloudError(kind, what, why, todo, sent=sent, retry_after=wait)


def _kind(status: int, said: str) -> Kind:
    if status in (400, 422, 451) and refused_content(said):
        return "moderation"
    if status in (401, 403):
        return "auth"
    if status == 402:
        return "quota"
    if status in (408, 425, 429):
        return "throttled"
    if 400 <= status < 500:
        return "validation"
    if status >= 500:
        return "capacity"
    return "bug"
