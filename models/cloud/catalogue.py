"""Who draws for money: providers, their models, what each can do and what it costs, as data (presets/providers/*.toml).

Known before a call: `lacks` says in words what a model cannot do of it, `price_micro` what it costs. A price is dated and names its source;
a model without a price is refused when the file is read, for a missing price is no price of nothing.
Money is in whole micro-dollars ($1 = 1,000,000) and rounded up. A megapixel is 1024 x 1024 pixels unless a price says otherwise.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from models.cards import TIERS
from models.cloud.provider import (
    ENGINES,
    MEGAPIXEL,
    NO_FIELDS,
    Capabilities,
    CloudModel,
    EngineName,
    Hosts,
    Limits,
    Price,
    PriceKind,
    Provider,
    Terms,
)
from models.cloud.spec import Call
from models.presets import presets_folder
from models.toml import Table

__all__ = [
    "MEGAPIXEL", "Capabilities", "CloudModel", "EngineName", "Hosts", "Limits", "Price", "Provider", "Terms", "call_micro",
    "configured", "lacks", "load_providers", "nearest_ratio", "price_micro", "read_provider", "replace_urls", "sized",
]  # fmt: skip

INPUT_MEGAPIXELS = 1  # of a reference picture: `models.cloud.shrink` makes none larger
RATIO_OFF = 0.06  # by how much a model's nearest aspect ratio may differ from what was asked


# What a call costs, and what a model cannot do of it.


def sized(model: CloudModel, width: int, height: int) -> tuple[int, int]:
    """The width and height that `model` draws when asked for these: its nearest multiple, or its nearest aspect ratio at about its area."""
    can = model.capabilities
    if can.aspect_ratios:
        across, down = _ratio(nearest_ratio(model, width, height))
        unit = (model.area * MEGAPIXEL / (across * down)) ** 0.5
        width, height = round(unit * across), round(unit * down)
    step = can.multiple
    return max(step, (width + step // 2) // step * step), max(step, (height + step // 2) // step * step)


def nearest_ratio(model: CloudModel, width: int, height: int) -> str:
    """The aspect ratio of the model that comes nearest to width : height."""
    wanted = width / height

    def off(name: str) -> float:
        across, down = _ratio(name)
        return max(across / down / wanted, wanted / (across / down))

    return min(model.capabilities.aspect_ratios, key=off)


def price_micro(model: CloudModel, width: int, height: int, steps: int | None, count: int, references: int = 0) -> int:
    """Micro-dollars for `count` pictures drawn with `references` pictures to go by, rounded up to a whole one for each picture."""
    width, height = sized(model, width, height)
    one = _rate(model.price, Fraction(width * height), steps or model.default_steps, model.default_steps)
    if model.input_price is not None and references:
        one += references * _rate(model.input_price, Fraction(INPUT_MEGAPIXELS * model.input_price.pixels), 1, 1)
    return count * _up(one)


def call_micro(model: CloudModel, call: Call) -> int:
    """What this call costs by the table of prices."""
    return price_micro(model, call.width, call.height, call.steps, len(call.seeds), len(call.references))


def _rate(price: Price, pixels: Fraction, steps: int, default_steps: int) -> Fraction:
    if price.kind == "image":
        return Fraction(price.micro)
    megapixels = pixels / price.pixels
    if price.whole:
        megapixels = Fraction(_up(megapixels))
    further = price.micro if price.further_micro is None else price.further_micro
    rate = price.micro * megapixels if price.further_micro is None else price.micro + further * max(Fraction(0), megapixels - 1)
    return rate * Fraction(steps, default_steps) if price.kind == "megapixel_step" else rate


def _up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def lacks(model: CloudModel, call: Call) -> str:
    """What the model cannot do of the call, in a few words ("takes no LoRA"), or "" where it can do all of it.

    A seed is not asked for in so many words: where a model takes none, its pictures cannot be made again, and nothing more.
    """
    can, pictures = model.capabilities, len(call.references)
    if call.loras and not can.loras:
        return "takes no LoRA"
    if len(call.loras) > can.loras:
        return f"takes {_several(can.loras, 'LoRA')} at the most"
    if call.negative and not can.negative:
        return "takes no negative prompt"
    if call.strength is not None and not can.img2img:
        return "starts from no picture"
    if call.strength is not None and pictures != 1:
        return "starts from one picture"
    if call.strength is None and pictures and not can.references:
        return "takes no reference picture"
    if call.strength is None and pictures > can.references:
        return f"takes {_several(can.references, 'reference picture')} at the most"
    if can.needs_picture and not pictures:
        return "only changes a picture that it is given"
    if len(call.seeds) > can.batch:
        return f"draws {_several(can.batch, 'picture')} a call at the most"
    if call.steps is not None and can.steps is not None and not can.steps[0] <= call.steps <= can.steps[1]:
        return f"takes {can.steps[0]} to {can.steps[1]} steps"
    return _lacks_size(model, call.width, call.height)


def _lacks_size(model: CloudModel, width: int, height: int) -> str:
    can = model.capabilities
    if can.aspect_ratios:
        across, down = _ratio(nearest_ratio(model, width, height))
        if abs((across / down) / (width / height) - 1) > RATIO_OFF:
            return f"has no aspect ratio near {width}:{height}"
        if width * height > can.max_megapixels * MEGAPIXEL * (1 + RATIO_OFF):
            return f"draws at most {can.max_megapixels:g} megapixels"
        return ""
    width, height = sized(model, width, height)
    if min(width, height) < can.min_side:
        return f"draws no side below {can.min_side} px"
    if max(width, height) > can.max_side:
        return f"draws no side above {can.max_side} px"
    if width * height > can.max_megapixels * MEGAPIXEL:
        return f"draws at most {can.max_megapixels:g} megapixels"
    return ""


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _ratio(name: str) -> tuple[int, int]:
    across, _, down = name.partition(":")
    return int(across), int(down)


# Other places for the same contracts.


def replace_urls(provider: Provider, base_url: str, pictures: tuple[str, ...] = ()) -> Provider:
    """The provider as it is served elsewhere, such as by a server on loopback. The path of its own address is kept where `base_url` has
    none. The hosts of `base_url` become the only ones that see the key; pictures come from there and from `pictures` (host patterns)."""
    there, own = urlsplit(base_url.rstrip("/")), urlsplit(provider.base_url)
    netloc = there.netloc
    address = f"{there.scheme}://{netloc}{there.path or own.path}"
    return replace(provider, base_url=address, hosts=Hosts((netloc,), (netloc, *pictures)))


def configured(provider: Provider, base_url: str, model: str, micro: int, references: int = 0) -> Provider:
    """A template (base_url "") filled from the studio's settings. base_url: as people write it for OpenAI's clients, with its path
    ("http://gpu.example:8000/v1"). model: its name there. micro: what a picture costs, 0 for one's own machine. references: how many
    pictures it can go by, which only who runs it knows."""
    template = next(iter(provider.models.values()))
    price = replace(template.price, kind="image", micro=micro, date=datetime.date.today(), source="the studio's settings")
    can = replace(template.capabilities, references=references)
    netloc = urlsplit(base_url).netloc
    return replace(
        provider,
        base_url=base_url.rstrip("/"),
        hosts=Hosts((netloc,), (netloc,)),
        models=MappingProxyType({model: replace(template, id=model, title=model, price=price, capabilities=can)}),
    )


# Reading the files.


def load_providers(presets_dir: Path | str | None = None) -> Mapping[str, Provider]:
    """Every provider below `presets_dir` (default: those that ship), by name. Raises BadInput with file and dotted key."""
    folder = Path(presets_dir) if presets_dir else presets_folder()
    return MappingProxyType({path.stem: read_provider(path) for path in sorted((folder / "providers").glob("*.toml"))})


def read_provider(path: Path) -> Provider:
    """One provider from its file. Raises BadInput."""
    top = Table.of_file(path)
    hosts, limits, models = top.table("hosts"), top.table("limits"), top.table("models")
    usual = _read_terms(top.optional_table("licence"))
    read = [_read_model(models.table(name), path.stem, usual) for name in models.data]
    provider = Provider(
        name=path.stem,
        title=top.text("title"),
        engine=cast(EngineName, top.text("engine", choices=ENGINES)),
        base_url=top.text("base_url").rstrip("/"),
        keys=top.texts("keys"),
        hosts=Hosts(_patterns(hosts, "api"), _patterns(hosts, "pictures")),
        limits=_read_limits(limits),
        models=MappingProxyType({model.id: model for model in read}),
        terms=top.text("terms"),
        enabled_without_key=top.flag("enabled_without_key", False),
        picture_bytes=top.whole("picture_bytes", 4_000_000, low=10_000, high=20_000_000),
    )
    if len(provider.models) < len(read):
        raise models.bad("", "has two models with the same id")
    if provider.base_url and not provider.base_url.startswith("https://"):
        raise top.bad("base_url", "must be an https:// address")
    for table in (hosts, limits, models, top):
        table.done()
    return provider


def _patterns(table: Table, name: str) -> tuple[str, ...]:
    return () if table.raw(name, []) == [] else table.texts(name)


def _read_limits(table: Table) -> Limits:
    return Limits(
        concurrency=table.whole("concurrency", low=1, high=10_000),
        per_minute=table.whole("per_minute", None, low=1, high=1_000_000),
        date=_date(table),
        source=table.text("source"),
    )


def _date(table: Table) -> datetime.date:
    value = table.raw("date")
    if type(value) is not datetime.date:
        raise table.bad("date", f"must be a date like 2026-11-20, not {value!r}")
    return value


def _read_model(table: Table, provider: str, usual: Terms | None) -> CloudModel:
    seconds = table.table("seconds")
    limit = table.whole("concurrency", None, low=1, high=10_000)
    can = _read_capabilities(table.table("can"))
    extra = table.optional_table("extra")
    inputs = table.optional_table("input_price")
    model = CloudModel(
        provider=provider,
        id=table.text("id"),
        title=table.text("title"),
        serves=_read_serves(table.table("serves")),
        quality=table.whole("quality", low=0, high=100),
        capabilities=can,
        default_steps=table.whole("default_steps", low=1, high=200),
        price=_read_price(table.table("price")),
        seconds=(seconds.number("p50", low=0), seconds.number("p95", low=0)),
        input_price=_read_price(inputs) if inputs else None,
        picture_field=table.text("picture_field", ""),
        extra=MappingProxyType(dict(extra.data)) if extra else NO_FIELDS,
        concurrency=limit,
        area=table.number("area", 1.0, low=0.01, high=64),
        licence=_read_terms(table.optional_table("licence")) or usual,
    )
    seconds.done()
    table.done()
    if (can.references or can.img2img) and not model.picture_field:
        raise table.bad("picture_field", "is missing: where does its picture go?")
    return model


def _read_serves(table: Table) -> Mapping[str, tuple[str, ...]]:
    serves = {family: table.texts(family) for family in table.data}
    for family, tiers in serves.items():
        if set(tiers) - set(TIERS):
            raise table.bad(family, f"must be tiers ({', '.join(TIERS)}), not {list(tiers)}")
    return MappingProxyType(serves)


def _read_price(table: Table) -> Price:
    price = Price(
        kind=cast(PriceKind, table.text("kind", choices=("image", "megapixel", "megapixel_step"))),
        micro=table.whole("micro", low=0, high=100_000_000),
        date=_date(table),
        source=table.text("source"),
        further_micro=table.whole("further_micro", None, low=0, high=100_000_000),
        pixels=table.whole("pixels", MEGAPIXEL, low=1),
        whole=table.flag("whole", False),
        assumed=table.flag("assumed", False),
    )
    table.done()
    return price


def _read_terms(table: Table | None) -> Terms | None:
    if table is None:
        return None
    terms = Terms(table.text("name", ""), table.flag("commercial", False), _date(table), table.text("source"))
    if not (terms.name or terms.commercial):
        raise table.bad("name", "is missing: what does the source say?")
    table.done()
    return terms


def _read_capabilities(table: Table) -> Capabilities:
    steps = table.wholes("steps", 2, 1, 200) if "steps" in table.data else None
    ratios = table.texts("aspect_ratios") if "aspect_ratios" in table.data else ()
    can = Capabilities(
        seed=table.flag("seed"),
        steps=(steps[0], steps[1]) if steps else None,
        guidance=table.flag("guidance", False),
        negative=table.flag("negative", False),
        batch=table.whole("batch", 1, low=1, high=16),
        references=table.whole("references", 0, low=0, high=16),
        img2img=table.flag("img2img", False),
        needs_picture=table.flag("needs_picture", False),
        loras=table.whole("loras", 0, low=0, high=16),
        lora_card=table.text("lora_card", ""),
        multiple=table.whole("multiple", 16, low=1, high=256),
        min_side=table.whole("min_side", 256, low=1, high=4096),
        max_side=table.whole("max_side", 1440, low=64, high=8192),
        max_megapixels=table.number("max_megapixels", low=0.1, high=64),
        aspect_ratios=ratios,
    )
    for ratio in ratios:
        across, colon, down = ratio.partition(":")
        if not (colon and across.isdecimal() and down.isdecimal() and int(across) and int(down)):
            raise table.bad("aspect_ratios", f'must be like "16:9", not {ratio!r}')
    if bool(can.loras) != bool(can.lora_card):
        raise table.bad("lora_card", "and loras come together: for which card is a LoRA made?")
    table.done()
    return can
