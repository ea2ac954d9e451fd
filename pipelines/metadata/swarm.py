"""SwarmUI: `parameters` as JSON with `sui_image_params` (docs/Features/Image Metadata in mcmonkeyprojects/SwarmUI).

In JPEG and WebP the same JSON is the EXIF UserComment.
"""
from __future__ import annotations

from typing import Any

from pipelines.metadata.found import Found, Taking, object_of

TEXTS = {"prompt", "negativeprompt", "model", "seed", "steps", "cfgscale", "width", "height", "sampler", "scheduler", "comfyuisampler",
         "comfyuischeduler", "fluxguidancescale", "initimagecreativity", "loras", "loraweights", "images", "aspectratio", "swarm_version",
         "automaticvae", "sidelength"}  # fmt: skip
WHY = {
    "initimage": "The start picture is not in the file; drop it too.",
    "vae": "Each model here brings its own autoencoder.",
    "variationseed": "Seeds are not blended here.",
    "variationseedstrength": "Seeds are not blended here.",
    "refinermodel": "There is no refiner here.",
    "refinerupscale": "Finishing belongs to the tier here.",
    "clipstopatlayer": "FLUX has no CLIP layers to skip.",
}


def read(text: str) -> Found | None:
    """The settings of a `parameters` text; None when it is not SwarmUI's."""
    data = object_of(text).get("sui_image_params")
    if not isinstance(data, dict):
        return None
    taking = Taking("SwarmUI")
    taking.prompt(data.get("prompt"))
    taking.text("negative", data.get("negativeprompt"))
    taking.name("model", data.get("model"))
    taking.whole("seed", data.get("seed"))
    taking.whole("steps", data.get("steps"), 1, 10_000)
    taking.real("cfg", data.get("cfgscale"), 0, 1000)
    taking.real("guidance", data.get("fluxguidancescale"), 0, 1000)
    taking.size(data.get("width"), data.get("height"))
    taking.name("sampler", data.get("sampler", data.get("comfyuisampler")))
    taking.name("scheduler", data.get("scheduler", data.get("comfyuischeduler")))
    taking.real("strength", data.get("initimagecreativity"), 0, 1)
    weights = _listed(data.get("loraweights"))
    for place, name in enumerate(_listed(data.get("loras"))[:100]):
        taking.lora(name, weights[place] if place < len(weights) else 1.0)
    for name, value in data.items():
        if name not in TEXTS:
            taking.skip(name, value, WHY.get(name, "There is no such setting here."))
    return taking.found()


def _listed(value: object) -> list[Any]:
    """A list, also where an older version wrote "a, b"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else []
