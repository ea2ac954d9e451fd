"""Cards and families from the files in `presets/`."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from models.cards import (
    ASPECTS,
    PIPELINES,
    SINGLE_PARTS,
    TIERS,
    USUAL_LORAS,
    Catalogue,
    Family,
    Finish,
    Ladder,
    Licence,
    ModelCard,
    Parameters,
    Shape,
    Tier,
    Working,
)
from models.toml import Table


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
