"""Which models a LoRA can be used with. No torch."""
from __future__ import annotations

import json
import re

from models.cards import Catalogue, ModelCard, Shape
from models.lora import LoraFile
from models.lora_names import Architecture
from models.weights import Where, begun


def shape_of(card: ModelCard, where: Where = None) -> Shape | None:
    """The size of the card's transformer: from its configuration where that is on disk, else as the card says."""
    folder = begun(card, where)
    config = folder / "transformer" / "config.json" if folder else None
    if config and config.is_file():
        return Shape.of_config(json.loads(config.read_text(encoding="utf-8")))
    return card.shape


def misfit(lora: LoraFile, card: ModelCard, where: Where = None) -> str:
    """Why the LoRA cannot be used with a model, in a sentence; "" if it can. Checked again, layer by layer, when it is loaded."""
    if not card.lora:
        return f"{card.title} takes no LoRA."
    if card.architecture not in lora.architectures:
        return f"It was trained for {_words(lora.architectures[0])}, and {card.title} is a {_words(card.architecture)}."
    if "text_encoder" in lora.parts and not card.clip_tokens:
        return f"It changes a CLIP text encoder, which {card.title} has not."
    shape = shape_of(card, where)
    if shape and lora.width and lora.width != shape.width:
        return f"It was trained for a model {lora.width} wide, and {card.title} is {shape.width} wide."
    if shape and (lora.double > shape.double or lora.single > shape.single):
        return f"It changes {lora.double} + {lora.single} blocks, and {card.title} has {shape.double} + {shape.single}."
    targets = [target for layer in lora.layers[card.architecture] for target in layer.meaning.targets]
    if card.guidance_kind != "distilled" and any("guidance_embedder" in target for target in targets):
        return f"It changes how guidance is read, and {card.title} reads none."
    return ""


def _words(arch: Architecture) -> str:
    return f"FLUX.{arch[-1]}"


def fitting(lora: LoraFile, catalogue: Catalogue, where: Where = None) -> list[ModelCard]:
    """The models it can be used with, the one it says it was trained on first."""
    said = _letters(lora.base)
    cards = [card for card in catalogue.cards.values() if not misfit(lora, card, where)]
    # "flux1dev" stands in "flux1devlora"; of two that stand there the longer name says more.
    return sorted(cards, key=lambda card: (-len(_letters(card.name)) if _letters(card.name) in said else 0, card.name))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
