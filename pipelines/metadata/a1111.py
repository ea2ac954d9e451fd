"""A1111, Forge and SD.Next: the `parameters` text. Prompt, "Negative prompt: ...", and a last line of "Name: value" pairs.

Format: AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py. In JPEG and WebP the same text is the EXIF UserComment.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable

from pipelines.metadata.found import Found, Taking

NEGATIVE = "Negative prompt:"
# The length of a name is bounded, so that reading takes time in proportion to the text.
PAIR = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
FEWEST_PAIRS = 3  # a last line with fewer is part of the prompt: what A1111 does
LINE_LIMIT = 50_000

# What says nothing about how the picture is to be made again.
SILENT = {"version", "model hash", "vae hash", "lora hashes", "ti hashes", "hashes", "user", "created date", "app", "backend", "operations"}
WHY = {
    "clip skip": "FLUX has no CLIP layers to skip.",
    "vae": "Each model here brings its own autoencoder.",
    "ensd": "Seeds need no offset here.",
    "rng": "Noise is always drawn on the processor here.",
    "hires upscale": "Finishing belongs to the tier here.",
    "hires upscaler": "Finishing belongs to the tier here.",
    "hires steps": "Finishing belongs to the tier here.",
    "face restoration": "There is no face restoration here.",
    "variation seed": "Seeds are not blended here.",
    "variation seed strength": "Seeds are not blended here.",
    "styles": "A style is part of the prompt here.",
}


def read(text: str) -> Found | None:
    """The settings of a `parameters` text; None when it holds none."""
    prompt, negative, pairs = split(text)
    if not pairs:
        return None
    taking = Taking(tool_of(pairs))
    taking.prompt(prompt)
    taking.text("negative", negative)
    take(pairs, taking)
    return taking.found()


def split(text: str) -> tuple[str, str, dict[str, str]]:
    """(prompt, negative prompt, settings by name as written); no settings when the text is not in this grammar."""
    lines = text.strip().split("\n")
    pairs = _pairs(lines[-1])
    if len(pairs) < FEWEST_PAIRS:
        return text, "", {}
    body = lines[:-1]
    at = next((place for place, line in enumerate(body) if line.strip().startswith(NEGATIVE)), len(body))
    negative = "\n".join(body[at:]).strip().removeprefix(NEGATIVE)
    return "\n".join(body[:at]), negative, pairs


def tool_of(pairs: dict[str, str]) -> str:
    version = pairs.get("Version", "")
    if version.startswith("Contact Sheet"):
        return "Contact Sheet"
    if version.startswith("Fooocus"):
        return "Fooocus"
    if "SD.Next" in pairs.get("App", "") or "SD.Next" in version:
        return "SD.Next"
    # Forge's versions are "f2.0.1v1.10.1-...", and only Forge knows distilled guidance.
    return "Forge" if version.startswith("f") or "Distilled CFG Scale" in pairs else "A1111"


def take(pairs: dict[str, str], taking: Taking) -> None:
    """Settings by name; what has no reader is listed."""
    for name, value in pairs.items():
        reader = READERS.get(name.lower())
        if reader is not None:
            reader(taking, value)
        elif name.lower() not in SILENT and not name.lower().endswith(" hash"):
            taking.skip(name, value, WHY.get(name.lower(), "There is no such setting here."))


def _size(taking: Taking, value: str) -> None:
    width, cross, height = value.partition("x")
    if cross:
        taking.size(width, height)
    else:
        taking.skip("Size", value, "It is not a width and a height.")


READERS: dict[str, Callable[[Taking, str], None]] = {
    "steps": lambda taking, value: taking.whole("steps", value, 1, 10_000),
    "sampler": lambda taking, value: taking.name("sampler", value),
    "schedule type": lambda taking, value: taking.name("scheduler", value),
    "scheduler": lambda taking, value: taking.name("scheduler", value),
    "cfg scale": lambda taking, value: taking.real("cfg", value, 0, 1000),
    "distilled cfg scale": lambda taking, value: taking.real("guidance", value, 0, 1000),
    "seed": lambda taking, value: taking.whole("seed", value),
    "size": _size,
    "model": lambda taking, value: taking.name("model", value),
    "denoising strength": lambda taking, value: taking.real("strength", value, 0, 1),
}


def _pairs(line: str) -> dict[str, str]:
    return {name.strip(): _unquoted(value.strip()) for name, value in PAIR.findall(line[:LINE_LIMIT])}


def _unquoted(value: str) -> str:
    if len(value) < 2 or not (value.startswith('"') and value.endswith('"')):
        return value
    try:
        inner = json.loads(value)
    except ValueError:
        return value
    return inner if isinstance(inner, str) else value
