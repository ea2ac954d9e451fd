"""What was read out of a file, in the words that all readers share, and how a reader takes values it cannot trust.

Settings by name: prompt, negative, sampler, scheduler, model: text. seed, steps, width, height: whole numbers. cfg: the scale of
classifier-free guidance; guidance: the number fed to a guidance-distilled model (FLUX.1-dev); strength: of img2img, 0..1.
loras: [(name, weight)]. card, request: of our own files only.
"""
from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from pipelines.fields import WHOLE_LIMIT

TEXT_LIMIT = 4 * 2**20  # characters of one text in a file: ComfyUI workflows of hundreds of nodes take one
PROMPT_LIMIT = 20_000  # characters read of a prompt; the form takes fewer, and says so
VALUE_LIMIT = 200
UNMAPPED_LIMIT = 40
LORA_LIMIT = 32
SIDE_LIMIT = 65_536

LORA_TAG = re.compile(r"<(?:lora|lyco):([^:<>]{1,120})(?::([^<>]{0,40}))?>", re.IGNORECASE)
EMPHASIS = re.compile(r"\([^()]{1,200}:\s*-?\d{1,3}(?:\.\d{1,4})?\)")


@dataclass(frozen=True)
class Found:
    """Settings of a file by the name of the tool that wrote them. unmapped: (name, value, why) for what has no place here."""

    tool: str
    settings: dict[str, Any]
    unmapped: list[tuple[str, str, str]] = field(default_factory=list)


class Taking:
    """Collects a `Found`: whatever does not have the kind and range that a setting must have is listed with the reason instead."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.settings: dict[str, Any] = {}
        self._unmapped: list[tuple[str, str, str]] = []
        self._more = 0

    def skip(self, name: str, value: object, why: str) -> None:
        """Lists what is left out. Empty values say nothing, so nothing is said of them."""
        if value is None or value in ("", [], {}):
            return
        if len(self._unmapped) >= UNMAPPED_LIMIT:
            self._more += 1
            return
        self._unmapped.append((clean(str(name)[:80]) or "?", shorten(value), why))

    def text(self, name: str, value: object, limit: int = PROMPT_LIMIT) -> None:
        if value is None:
            return
        if not isinstance(value, str):
            self.skip(name, value, "It is not text.")
            return
        cleaned = clean(value[: limit + 1]).strip()
        if len(cleaned) > limit:
            self.skip(name, cleaned[limit:], f"Only the first {limit} characters were read.")
            cleaned = cleaned[:limit]
        if cleaned:
            self.settings[name] = cleaned

    def name(self, name: str, value: object) -> None:
        """A short name: of a sampler, of a model file without its folders."""
        self.text(name, re.split(r"[\\/]", value)[-1] if isinstance(value, str) else value, VALUE_LIMIT)

    def whole(self, name: str, value: object, low: int = 0, high: int = WHOLE_LIMIT - 1) -> None:
        if value is None or value == "":
            return
        number = whole_of(value)
        if number is None or not low <= number <= high:
            self.skip(name, value, f"It is not a whole number from {low} to {high}.")
        else:
            self.settings[name] = number

    def real(self, name: str, value: object, low: float, high: float) -> None:
        if value is None or value == "":
            return
        number = real_of(value)
        if number is None or not low <= number <= high:
            self.skip(name, value, f"It is not a number from {low:g} to {high:g}.")
        else:
            self.settings[name] = number

    def size(self, width: object, height: object) -> None:
        before = dict(self.settings)
        self.whole("width", width, 1, SIDE_LIMIT)
        self.whole("height", height, 1, SIDE_LIMIT)
        if ("width" in self.settings) != ("height" in self.settings):  # half a size is none
            self.settings = before

    def lora(self, name: object, weight: object = 1.0, version: object = None) -> None:
        """version: of our own files, which say "ceramic/v3" by it."""
        number = real_of(weight)
        if not isinstance(name, str) or not clean(name).strip() or number is None or abs(number) > 100:
            self.skip("lora", [name, weight], "It is not the name of a LoRA with a weight.")
            return
        stem = re.sub(r"\.(safetensors|pt|ckpt)$", "", re.split(r"[\\/]", clean(name[:VALUE_LIMIT]).strip())[-1])
        if isinstance(version, int) and 0 < version < 2**31:
            stem = f"{stem}/v{int(version)}"
        loras = self.settings.setdefault("loras", [])
        if stem not in [known for known, _ in loras] and len(loras) < LORA_LIMIT:
            loras.append((stem, number))

    def prompt(self, value: object) -> None:
        """A prompt in A1111's grammar: its `<lora:name:weight>` become LoRAs; emphasis is pointed out, for T5 reads it as text."""
        self.text("prompt", value)
        prompt = self.settings.get("prompt", "")
        for tag in LORA_TAG.finditer(prompt):
            self.lora(tag[1], (tag[2] or "1").split(":")[-1])
        bare = re.sub(r"[ \t]{2,}", " ", LORA_TAG.sub("", prompt)).strip(" \t\n,")
        if bare:
            self.settings["prompt"] = bare
        else:
            self.settings.pop("prompt", None)
        if emphasis := EMPHASIS.search(bare):
            self.skip("emphasis", emphasis[0], "FLUX's encoders read weights in brackets as plain text; they were left in the prompt.")

    def found(self) -> Found | None:
        """None when nothing was read at all."""
        if not self.settings and not self._unmapped:
            return None
        more = [("more", str(self._more), "As many further values have no place here.")] if self._more else []
        return Found(self.tool, self.settings, self._unmapped + more)


def json_of(text: str) -> Any:
    """The JSON value of a text out of a file, or None when it is none, too long or too deep. NaN and Infinity become null."""
    if len(text) > TEXT_LIMIT:
        return None
    try:
        return json.loads(text, parse_int=_whole_or_real, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def object_of(text: str) -> dict[str, Any]:
    """As `json_of`, for a JSON object; {} when it is none."""
    value = json_of(text)
    return value if isinstance(value, dict) else {}


def whole_of(value: object) -> int | None:
    """A whole number from a number or from text as tools write it; None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,20}\s*", value, re.ASCII):
        return int(value)
    return None


def real_of(value: object) -> float | None:
    """A finite number from a number or from text; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?\s*", value, re.ASCII):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond what a float holds
        return None
    return number if math.isfinite(number) else None


def clean(text: str) -> str:
    """Without control characters (but for line breaks and tabs) and halves of characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def shorten(value: object) -> str:
    """A value as one short line for people."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(clean(said[: 4 * VALUE_LIMIT]).split())
    return line if len(line) <= VALUE_LIMIT else line[: VALUE_LIMIT - 1] + "…"


def _whole_or_real(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float("inf") * (-1 if digits.startswith("-") else 1)
