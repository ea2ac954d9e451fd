"""InvokeAI: the PNG text `invokeai_metadata` (its metadata nodes, v3 and later), or `sd-metadata` of v2."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.metadata.found import Found, Taking, object_of

KEY, OLD_KEY = "invokeai_metadata", "sd-metadata"
READ = {"generation_mode", "positive_prompt", "negative_prompt", "width", "height", "seed", "cfg_scale", "guidance", "steps", "scheduler",
        "model", "loras", "strength", "app_version", "rand_device", "hashes"}  # fmt: skip
WHY = {
    "init_image": "The start picture is not in the file; drop it too.",
    "controlnets": "There is no ControlNet here.",
    "ipAdapters": "There is no IP-Adapter here.",
    "t2iAdapters": "There is no T2I-Adapter here.",
    "vae": "Each model here brings its own autoencoder.",
    "clip_skip": "FLUX has no CLIP layers to skip.",
    "t5_encoder": "Each model here brings its own encoders.",
    "clip_embed_model": "Each model here brings its own encoders.",
    "qwen3_encoder": "Each model here brings its own encoders.",
    "ref_images": "The reference pictures are not in the file; drop them too.",
}
# As InvokeAI leaves them when they were not used.
IDLE: tuple[object, ...] = (None, 0, 0.0, False, "", [], {})


def read(texts: Mapping[str, str]) -> Found | None:
    """The settings among a PNG's texts; None when there are none of InvokeAI's."""
    if KEY in texts:
        return _read(object_of(texts[KEY]))
    return _read_old(object_of(texts.get(OLD_KEY, "")))


def _read(data: dict[str, Any]) -> Found | None:
    taking = Taking("InvokeAI")
    taking.text("prompt", data.get("positive_prompt"))
    taking.text("negative", data.get("negative_prompt"))
    taking.name("model", _model_name(data.get("model")))
    taking.whole("seed", data.get("seed"))
    taking.whole("steps", data.get("steps"), 1, 10_000)
    taking.real("cfg", data.get("cfg_scale"), 0, 1000)
    taking.real("guidance", data.get("guidance"), 0, 1000)
    taking.size(data.get("width"), data.get("height"))
    taking.name("scheduler", data.get("scheduler"))
    taking.real("strength", data.get("strength"), 0, 1)
    loras = data.get("loras")
    for entry in loras[:100] if isinstance(loras, list) else []:
        if isinstance(entry, dict):
            # v3 called the model "lora" and gave it a "model_name".
            taking.lora(_model_name(entry.get("model", entry.get("lora"))), entry.get("weight", 1.0))
    for name, value in data.items():
        if name not in READ and value not in IDLE:
            taking.skip(name, value, WHY.get(name, "There is no such setting here."))
    return taking.found()


def _read_old(data: dict[str, Any]) -> Found | None:
    image = data.get("image")
    if not isinstance(image, dict):
        return None
    taking = Taking("InvokeAI")
    prompt = image.get("prompt")
    # [{"prompt": "...", "weight": 1}]; what stands in [brackets] was the negative prompt, and stays readable where it is.
    parts = [part.get("prompt") for part in prompt[:20] if isinstance(part, dict)] if isinstance(prompt, list) else [prompt]
    taking.text("prompt", ", ".join(part for part in parts if isinstance(part, str)))
    taking.name("model", data.get("model_weights"))
    taking.whole("seed", image.get("seed"))
    taking.whole("steps", image.get("steps"), 1, 10_000)
    taking.real("cfg", image.get("cfg_scale"), 0, 1000)
    taking.size(image.get("width"), image.get("height"))
    taking.name("sampler", image.get("sampler"))
    taking.real("strength", image.get("strength"), 0, 1)
    return taking.found()


def _model_name(model: object) -> object:
    return model.get("name", model.get("model_name")) if isinstance(model, dict) else model
