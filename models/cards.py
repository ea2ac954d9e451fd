"""Model cards and families: what the studio knows of each model, and which model a tier uses. All of it is data in `presets/`.

A new model is a new file in `presets/cards/`; nothing here names a model.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from models.errors import NotFound
from models.toml import Table

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


def presets_folder() -> Path:
    """The presets that ship with the studio."""
    return Path(str(resources.files("presets")))


def load_catalogue(presets_dir: Path | str | None = None) -> Catalogue:
    """Reads every card and family below `presets_dir` (default: those that ship). Raises BadInput with file and dotted key."""
    folder = Path(presets_dir) if presets_dir else presets_folder()
    cards = {path.stem: read_card(path) for path in sorted((folder / "cards").glob("*.toml"))}
    families = {path.stem: read_family(path, cards) for path in sorted((folder / "families").glob("*.toml"))}
    return Catalogue(cards, families)


def read_card(path: Path) -> ModelCard:
    """One card from its file. Raises BadInput."""
    top = Table.of_file(path)
    licence, parts, working = top.table("licence"), top.table("parameters"), top.table("working")
    guidance, steps, supports = top.table("guidance"), top.table("steps"), top.table("supports")
    kind = guidance.text("kind", choices=("none", "distilled", "cfg"))
    top_guidance = 0.0 if kind == "none" else 30.0
    low = guidance.number("low", 0.0, low=0, high=top_guidance)
    high = guidance.number("high", top_guidance, low=low, high=top_guidance)
    few, many = steps.wholes("range", 2, 1, 200)
    if few > many:
        raise steps.bad("range", f"must run from low to high, not {[few, many]}")
    card = ModelCard(
        name=path.stem,
        title=top.text("title"),
        about=top.text("about"),
        repo=top.text("repo"),
        revision=top.text("revision", "main"),
        licence=Licence(licence.text("name"), licence.text("url", ""), licence.flag("accept")),
        gated=top.flag("gated"),
        pipeline=top.text("pipeline", choices=PIPELINES),
        parameters=Parameters(*(parts.number(name, low=0) for name in ("transformer", "text", "vae"))),
        working=Working(*(working.number(name, low=0) for name in ("denoise", "decode", "decode_tile"))),
        multiple=top.whole("multiple", low=1, high=256),
        max_tokens=top.whole("max_tokens", low=1, high=4096),
        clip_tokens=top.whole("clip_tokens", 0, low=0, high=4096),
        guidance_kind=kind,  # type: ignore[arg-type]
        guidance=guidance.number("default", low=low, high=high),
        guidance_range=(low, high),
        steps=steps.whole("default", low=few, high=many),
        steps_range=(few, many),
        vocabulary=top.text("vocabulary", choices=("open", "embedded")),  # type: ignore[arg-type]
        negative=supports.flag("negative"),
        reference=supports.flag("reference"),
        lora=supports.flag("lora"),
        img2img=supports.flag("img2img"),
        singles=_read_singles(top.optional_table("files")),
        shape=_read_shape(top.optional_table("shape")),
        file=path,
    )
    for table in (licence, parts, working, guidance, steps, supports, top):
        table.done()
    if card.negative and kind != "cfg":
        raise supports.bad("negative", 'needs guidance.kind = "cfg": nothing else reads a negative prompt')
    return card


def _read_shape(table: Table | None) -> Shape | None:
    if table is None:
        return None
    shape = Shape(table.whole("width", low=1, high=65536), table.whole("double", low=0, high=9999), table.whole("single", low=0, high=9999))
    table.done()
    return shape


def _read_singles(table: Table | None) -> dict[str, tuple[str, ...]]:
    if table is None:
        return {}
    found = {part: table.texts(part) for part in SINGLE_PARTS if part in table.data}
    table.done()
    return found


def read_family(path: Path, cards: Mapping[str, ModelCard]) -> Family:
    """One family from its file; its tiers must fit their cards. Raises BadInput."""
    top = Table.of_file(path)
    tables = top.table("tiers")
    tiers = {name: _read_tier(name, tables.table(name), cards) for name in TIERS}
    aspects = [set(tier.sizes) for tier in tiers.values()]
    if any(names != aspects[0] for names in aspects):
        raise tables.bad("", "must offer the same sizes in every tier, else a picture could not be promoted")
    for name in TIERS:
        ladder = tables.table(name).optional_table("ladder")
        if ladder is not None:
            tiers[name] = replace(tiers[name], ladder=_read_ladder(ladder, name, tiers))
    family = Family(path.stem, top.text("title"), top.text("about"), tiers)
    tables.done()
    top.done()
    return family


def _read_tier(name: str, table: Table, cards: Mapping[str, ModelCard]) -> Tier:
    card = cards[table.text("card", choices=tuple(cards))]
    promotion = table.text("promotion", choices=("none", "same-noise", "img2img", "reference"))
    able = {"none": True, "same-noise": True, "img2img": card.img2img, "reference": card.reference}[promotion]
    if not able:
        raise table.bad("promotion", f"is {promotion!r}, but {card.name} has no {promotion}")
    strength = table.number("strength", low=0.01, high=1) if promotion == "img2img" else None
    low, high = card.guidance_range
    draft = table.whole("draft", low=1, high=240)
    sizes = _read_sizes(table.table("sizes"), card)
    finish = table.optional_table("finish")
    tier = Tier(
        name=name,
        title=table.text("title", name.capitalize()),
        card=card.name,
        steps=table.whole("steps", card.steps, low=card.steps_range[0], high=card.steps_range[1]),
        guidance=table.number("guidance", card.guidance, low=low, high=high),
        sizes=sizes,
        draft=draft,
        keep=table.whole("keep", low=1, high=draft),
        loras=table.whole("loras", USUAL_LORAS[name] if card.lora else 0, low=0, high=8 if card.lora else 0),
        promotion=promotion,  # type: ignore[arg-type]
        strength=strength,
        finish=_read_finish(finish, card) if finish else None,
    )
    table.optional_table("ladder")  # read when every tier is known
    table.done()
    return tier


def _read_ladder(table: Table, name: str, tiers: Mapping[str, Tier]) -> Ladder:
    tier, below = tiers[name], dict(list(tiers.items())[: list(tiers).index(name)])
    if not below:
        raise table.bad("", "has no tier below to draft with")
    draft = table.text("draft", choices=tuple(below))
    # The last step on the way up that is not same-noise decides, as for a picture that a person takes there.
    way = [*list(below.values())[list(below).index(draft) + 1 :], tier]
    deciding = next((step for step in reversed(way) if step.promotion != "same-noise"), tier)
    same = below[draft].card == tier.card and below[draft].sizes == tier.sizes
    if deciding.promotion == "none" or (deciding.promotion == "same-noise" and not same):
        raise table.bad("draft", f"is {draft!r}, whose pictures cannot be taken to {tier.name} ({deciding.promotion})")
    ladder = Ladder(
        draft=draft,
        steps=below[draft].steps,
        promotion=deciding.promotion,
        strength=deciding.strength,
        finals=table.number("finals", 2.0, low=1, high=20),
        retries=table.whole("retries", 3, low=0, high=8),
        lenient=table.texts("lenient") if "lenient" in table.data else (),
    )
    table.done()
    return ladder


def _read_sizes(table: Table, card: ModelCard) -> dict[str, tuple[int, int]]:
    sizes = {}
    for aspect in ASPECTS:
        if aspect not in table.data:
            continue
        width, height = table.wholes(aspect, 2, 32, 4096)
        if width % card.multiple or height % card.multiple:
            raise table.bad(aspect, f"must be multiples of {card.multiple} for {card.name}, not {width}x{height}")
        sizes[aspect] = (width, height)
    table.done()
    if not sizes:
        raise table.bad("", f"offers no size; known: {', '.join(ASPECTS)}")
    return sizes


def _read_finish(table: Table, card: ModelCard) -> Finish:
    finish = Finish(
        scale=table.number("scale", low=1, high=4),
        method=table.text("method", choices=("img2img-tiles", "resample")),  # type: ignore[arg-type]
        strength=table.number("strength", 0.25, low=0.01, high=1),
        steps=table.whole("steps", card.steps, low=1, high=200),
    )
    table.done()
    if finish.method == "img2img-tiles" and not card.img2img:
        raise table.bad("method", f"is img2img-tiles, but {card.name} has no img2img", 'Use "resample".')
    return finish
