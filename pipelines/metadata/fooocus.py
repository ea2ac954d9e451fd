"""Fooocus: `parameters` as JSON beside `fooocus_scheme`, or in A1111's grammar with names of its own.

Format: lllyasviel/Fooocus, modules/meta_parser.py. In JPEG and WebP the text is the EXIF UserComment, the scheme the MakerNote.
"""
from __future__ import annotations

import re
from typing import Any

from pipelines.metadata import a1111
from pipelines.metadata.found import Found, Taking, object_of

SILENT = {
    "prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "seed", "steps", "guidance_scale", "resolution", "sampler",
    "scheduler", "base_model", "base_model_hash", "refiner_model_hash", "loras", "metadata_scheme", "version", "created_by",
}  # fmt: skip
WHY = {
    "styles": "A style is part of the prompt here.",
    "performance": "Steps say it here.",
    "prompt_expansion": "Prompts are not expanded here.",
    "refiner_model": "There is no refiner here.",
    "refiner_switch": "There is no refiner here.",
    "sharpness": "It belongs to SDXL's sampling in Fooocus.",
    "adm_guidance": "It belongs to SDXL.",
    "clip_skip": "FLUX has no CLIP layers to skip.",
    "vae": "Each model here brings its own autoencoder.",
}
A1111_NAMES = {"styles", "performance", "sharpness", "adm guidance", "raw prompt", "raw negative prompt", "lora weights", "refiner"}


def is_fooocus(data: dict[str, Any], scheme: str) -> bool:
    """Whether a JSON `parameters` is Fooocus's."""
    return scheme == "fooocus" or data.get("metadata_scheme") == "fooocus" or {"base_model", "performance"} <= data.keys()


def read(text: str, scheme: str = "") -> Found | None:
    """The settings of a `parameters` text of either scheme; None when it is not Fooocus's."""
    data = object_of(text)
    if data and is_fooocus(data, scheme):
        return _read_json(data)
    _, _, pairs = a1111.split(text)
    if pairs and (scheme == "a1111" or a1111.tool_of(pairs) == "Fooocus"):
        return _read_text(text, pairs)
    return None


def _read_json(data: dict[str, Any]) -> Found | None:
    taking = Taking("Fooocus")
    taking.prompt(data.get("prompt"))
    taking.text("negative", data.get("negative_prompt"))
    taking.whole("seed", data.get("seed"))
    taking.whole("steps", data.get("steps"), 1, 10_000)
    taking.real("cfg", data.get("guidance_scale"), 0, 1000)
    taking.name("sampler", data.get("sampler"))
    taking.name("scheduler", data.get("scheduler"))
    taking.name("model", data.get("base_model"))
    # "(1152, 896)": read as two numbers, never evaluated.
    sides = re.fullmatch(r"\s*\(?\s*'?(\d{1,6})'?\s*,\s*'?(\d{1,6})'?\s*\)?\s*", str(data.get("resolution", ""))[:60])
    if sides:
        taking.size(sides[1], sides[2])
    else:
        taking.skip("resolution", data.get("resolution"), "It is not a width and a height.")
    loras = data.get("loras")
    for entry in loras[:100] if isinstance(loras, list) else []:
        taking.lora(*entry[:2]) if isinstance(entry, list) and len(entry) >= 2 else taking.skip("lora", entry, "It has no weight.")
    for name, value in data.items():
        combined = re.fullmatch(r"lora_combined_\d{1,3}", name)
        if combined and isinstance(value, str):
            _take_combined(value, taking)
        elif not combined and name not in SILENT and value not in ("None", "[]", False):
            taking.skip(name, value, WHY.get(name, "There is no such setting here."))
    return taking.found()


def _take_combined(value: str, taking: Taking) -> None:
    """ "name.safetensors : 0.5", in newer versions "True : name.safetensors : 0.5"."""
    parts = value.split(" : ")
    if len(parts) == 3 and parts[0] == "False":
        return
    if len(parts) in (2, 3):
        taking.lora(parts[-2], parts[-1])
    else:
        taking.skip("lora", value, "It has no weight.")


def _read_text(text: str, pairs: dict[str, str]) -> Found | None:
    prompt, negative, _ = a1111.split(text)
    taking = Taking("Fooocus")
    # The raw prompt is what a person wrote; the other has the styles' words around it.
    taking.prompt(pairs.get("Raw prompt") or prompt)
    taking.text("negative", pairs.get("Raw negative prompt") or negative)
    a1111.take({name: value for name, value in pairs.items() if name.lower() not in A1111_NAMES}, taking)
    for lora in pairs.get("Lora weights", "").split(", ")[:100]:
        name, colon, weight = lora.partition(": ")
        if colon:
            taking.lora(name, weight)
    for name in ("Styles", "Performance", "Sharpness", "ADM Guidance", "Refiner"):
        if pairs.get(name) not in ("None", "[]"):
            taking.skip(name, pairs.get(name), WHY.get(name.lower().replace(" ", "_"), "There is no refiner here."))
    return taking.found()
