"""Model cards and families: what the studio knows of each model, and which model a tier uses. All of it is data in `presets/`.

A new model is a new file in `presets/cards/`; nothing here names a model.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from models.errors import NotFound

PIPELINES = ("FluxPipeline", "FluxKontextPipeline", "Flux2Pipeline", "Flux2KleinPipeline")
TIERS = ("preview", "standard", "premium")
USUAL_LORAS = {"preview": 0, "standard": 2, "premium": 3}  # that a tier wears at the most
ASPECTS = ("1:1", "4:5", "3:2", "16:9", "9:16", "banner")
SINGLE_PARTS = ("transformer", "text_encoder", "text_encoder_2")  # What other studios keep as single files, and what is large.
Guidance = Literal["none", "distilled", "cfg"]
Promotion = Literal["none", "same-noise", "img2img", "reference"]


@dataclass(frozen=True)
class Licence:
    """`accept`: a person has to accept it once before the weights are used."""

    name: str
    url: str
    accept: bool


@dataclass(frozen=True)
class Parameters:
    """Sizes of the parts in billions of parameters."""

    transformer: float
    text: float
    vae: float

    @property
    def total(self) -> float:
        return self.transformer + self.text + self.vae


@dataclass(frozen=True)
class Working:
    """Memory that denoising and decoding need on top of the weights, in GiB at 16 bits for a picture of one megapixel.

    `decode_tile`: the same for decoding in tiles, whatever the picture's size.
    """

    denoise: float
    decode: float
    decode_tile: float


@dataclass(frozen=True)
class Shape:
    """The size of a transformer: its width, and its blocks of two streams and of one. What a LoRA must have been trained for."""

    width: int
    double: int
    single: int

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Shape:
        """From a `transformer/config.json` of diffusers."""
        return cls(config["num_attention_heads"] * config["attention_head_dim"], config["num_layers"], config["num_single_layers"])


@dataclass(frozen=True)
class ModelCard:
    """One model.

    name: the file's name. repo: hub id, or "embedded" for the checkpoint in `models/embedded`. pipeline: a diffusers class.
    multiple: pixels; sizes are multiples of it. max_tokens: of the long text encoder. guidance_kind: "none" (no guidance at all),
    "distilled" (a number fed to the network), "cfg" (a second pass with the negative prompt; skipped at <= 1).
    clip_tokens: of the CLIP encoder, 0 where the model has none. singles: part -> name patterns of files that other studios keep it in.
    shape: of the transformer.
    """

    name: str
    title: str
    about: str
    repo: str
    revision: str
    licence: Licence
    gated: bool
    pipeline: str
    parameters: Parameters
    working: Working
    multiple: int
    max_tokens: int
    clip_tokens: int
    guidance_kind: Guidance
    guidance: float
    guidance_range: tuple[float, float]
    steps: int
    steps_range: tuple[int, int]
    vocabulary: Literal["open", "embedded"]
    negative: bool
    reference: bool
    lora: bool
    img2img: bool
    singles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shape: Shape | None = None
    file: Path = field(default=Path(), compare=False)

    @property
    def architecture(self) -> Literal["flux1", "flux2"]:
        """The kind of its transformer."""
        return "flux2" if self.pipeline.startswith("Flux2") else "flux1"

    @property
    def embedded(self) -> bool:
        return self.repo == "embedded"

    @property
    def download_gb(self) -> float:
        """What a download weighs in GB (10**9 bytes) at 16 bits; 0 for the embedded model."""
        return 0.0 if self.embedded else self.parameters.total * 2

    @property
    def lengths(self) -> dict[str, int]:
        """Tokens by encoder: "clip" and "t5" for FLUX.1, "llm" for FLUX.2."""
        if self.clip_tokens:
            return {"clip": self.clip_tokens, "t5": self.max_tokens}
        return {"llm": self.max_tokens}


@dataclass(frozen=True)
class Finish:
    """How a drawn picture is enlarged. scale: 1 < scale <= 4. method: "img2img-tiles" (low-strength img2img in overlapping tiles,
    for models that have it) or "resample" (Lanczos). strength in (0, 1] and steps are for the tiles."""

    scale: float
    method: Literal["img2img-tiles", "resample"]
    strength: float
    steps: int


@dataclass(frozen=True)
class Ladder:
    """How a tier finds its finals cheaply: it drafts as the lower tier `draft` does, and draws only the best again at its own quality.

    steps: of a draft. promotion, strength: how a draft becomes a final, as in `Tier`. finals: how many are finished in a round at the
    most, for each that is still to be delivered. retries: rounds of new drafts while too few pass. lenient: dimensions that a draft
    may fail, for finishing mends them.
    """

    draft: str
    steps: int
    promotion: Promotion
    strength: float | None
    finals: float
    retries: int
    lenient: tuple[str, ...]


@dataclass(frozen=True)
class Tier:
    """A quality level of a family. `promotion` says how a picture of the tier below comes *into* this tier, `strength` how much
    img2img may change it. `sizes`: aspect -> (width, height) in pixels, before finishing. draft, keep: defaults of the form.
    ladder: None where every candidate is drawn at the tier's quality. loras: how many a request may wear."""

    name: str
    title: str
    card: str
    steps: int
    guidance: float
    sizes: Mapping[str, tuple[int, int]]
    draft: int
    keep: int
    promotion: Promotion
    strength: float | None
    finish: Finish | None
    ladder: Ladder | None = None
    loras: int = 0


@dataclass(frozen=True)
class Family:
    """Three tiers that belong together. `tiers` is ordered from preview to premium."""

    name: str
    title: str
    about: str
    tiers: Mapping[str, Tier]

    def tier(self, name: str) -> Tier:
        """Raises NotFound."""
        if name not in self.tiers:
            raise NotFound(f"There is no tier named {name!r}.", "", f"Tiers: {', '.join(self.tiers)}.")
        return self.tiers[name]

    def next_tier(self, name: str) -> str | None:
        """The tier above, or None at the top. Raises NotFound."""
        names = list(self.tiers)
        index = names.index(self.tier(name).name) + 1
        return names[index] if index < len(names) else None


@dataclass(frozen=True)
class Catalogue:
    """All cards and families by name."""

    cards: Mapping[str, ModelCard]
    families: Mapping[str, Family]

    def card(self, name: str) -> ModelCard:
        """Raises NotFound."""
        if name not in self.cards:
            raise NotFound(f"There is no model named {name!r}.", "", f"Models: {', '.join(self.cards)}.")
        return self.cards[name]

    def family(self, name: str) -> Family:
        """Raises NotFound."""
        if name not in self.families:
            raise NotFound(f"There is no family named {name!r}.", "", f"Families: {', '.join(self.families)}.")
        return self.families[name]

    def tier(self, family: str, tier: str) -> tuple[Tier, ModelCard]:
        """A tier with its card. Raises NotFound."""
        found = self.family(family).tier(tier)
        return found, self.card(found.card)

    @cached_property
    def known_by(self) -> ModelCard | None:
        """The smallest model with an open vocabulary that nobody has to ask for: what the page offers for unknown words."""
        free = [card for card in self.cards.values() if card.vocabulary == "open" and not card.gated and not card.licence.accept]
        return min(free, key=lambda card: (card.download_gb, card.steps), default=None)
