"""Our own pictures: the PNG text `contact-sheet` holds the request as it was made, and which of its candidates this is."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.metadata import a1111
from pipelines.metadata.found import Found, Taking, object_of

KEY = "contact-sheet"


def read(texts: Mapping[str, str]) -> Found | None:
    """The settings of one of our files; None when it is not ours. `request` is what the door once took, to be checked there again."""
    data = object_of(texts.get(KEY, ""))
    request = data.get("request")
    if not isinstance(request, dict):
        return None
    taking = Taking("Contact Sheet")
    _, _, pairs = a1111.split(texts.get("parameters", ""))
    a1111.take({name: value for name, value in pairs.items() if name == "Size"}, taking)
    taking.text("prompt", request.get("prompt"))
    taking.text("negative", request.get("negative"))
    taking.name("model", data.get("card"))
    taking.whole("seed", data.get("seed"))
    _take_numbers(request, taking)
    if request.get("role") == "img2img":
        taking.real("strength", request.get("strength"), 0, 1)
    for name in ("family", "tier", "size", "profile", "where"):
        taking.text(name, request.get(name), 80)
    return taking.found()


def _take_numbers(request: dict[str, Any], taking: Taking) -> None:
    taking.whole("steps", request.get("steps"), 1, 10_000)
    taking.real("guidance", request.get("guidance"), 0, 1000)
    loras = request.get("loras")
    for entry in loras[:100] if isinstance(loras, list) else []:
        if isinstance(entry, dict):
            taking.lora(entry.get("name"), entry.get("weight", 1.0), entry.get("version"))
