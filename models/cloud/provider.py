"""The shapes of the catalogue of providers: what is known of each, of its models, their abilities and their prices."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from models.errors import NotFound

EngineName = Literal["fal", "replicate", "together", "bfl", "openai"]
PriceKind = Literal["image", "megapixel", "megapixel_step"]
ENGINES: tuple[EngineName, ...] = ("fal", "replicate", "together", "bfl", "openai")
MEGAPIXEL = 2**20
NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Price:
    """micro: for an image, for a megapixel, or for a megapixel at `CloudModel.default_steps` (more steps cost more in proportion).

    further_micro: for each megapixel after the first, where that is another. pixels: what counts as a megapixel. whole: a begun megapixel
    counts as one. date: when the source was read. assumed: no source at hand names it, so it is set where it should not be too low.
    """

    kind: PriceKind
    micro: int
    date: datetime.date
    source: str
    further_micro: int | None = None
    pixels: int = MEGAPIXEL
    whole: bool = False
    assumed: bool = False


@dataclass(frozen=True)
class Terms:
    """Under what a provider lets its pictures be used. name: of the licence, "" where its page names none. commercial: whether the source
    says that they may be used commercially; False: it does not say, and its terms decide. date: when the source was read."""

    name: str
    commercial: bool
    date: datetime.date
    source: str


@dataclass(frozen=True)
class Limits:
    """concurrency: calls at a time. per_minute: submits, None where there is no such limit."""

    concurrency: int
    per_minute: int | None
    date: datetime.date
    source: str


@dataclass(frozen=True)
class Capabilities:
    """What a model takes. steps: lowest and highest, None where it has its own. batch: pictures a call. references: pictures to go by.

    img2img: starts from one picture at a strength. loras: how many, made for the card `lora_card`. needs_picture: only changes one that it
    is given. multiple, min_side, max_side: pixels. aspect_ratios: ("1:1", ...) of a model that takes no pixels, else ().
    """

    seed: bool = True
    steps: tuple[int, int] | None = None
    guidance: bool = False
    negative: bool = False
    batch: int = 1
    references: int = 0
    img2img: bool = False
    needs_picture: bool = False
    loras: int = 0
    lora_card: str = ""
    multiple: int = 16
    min_side: int = 256
    max_side: int = 1440
    max_megapixels: float = 4.0
    aspect_ratios: tuple[str, ...] = ()


@dataclass(frozen=True)
class CloudModel:
    """One model of one provider. id: what the provider calls it. serves: family -> the tiers that it may draw for.

    quality: 0..100, a judgement that orders models and measures nothing. default_steps: what None means. seconds: p50 and p95 of a picture,
    a first guess until they are learned. picture_field: the provider's name for pictures to go by or to start from; "[]" at its end: a
    list of them. extra: fields that every call carries. concurrency: where it is lower than the provider's. area: of a model by aspect
    ratio, the megapixels that it draws. licence: of its pictures, None where no source at hand says one.
    """

    provider: str
    id: str
    title: str
    serves: Mapping[str, tuple[str, ...]]
    quality: int
    capabilities: Capabilities
    default_steps: int
    price: Price
    seconds: tuple[float, float]
    input_price: Price | None = None
    picture_field: str = ""
    extra: Mapping[str, Any] = field(default_factory=lambda: NO_FIELDS)
    concurrency: int | None = None
    area: float = 1.0
    licence: Terms | None = None

    def serving(self, family: str, tier: str) -> bool:
        return tier in self.serves.get(family, ())


@dataclass(frozen=True)
class Hosts:
    """Patterns ("*.bfl.ai", "127.0.0.1:8000") of hosts. api: may see the key. pictures: are fetched from without one."""

    api: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Provider:
    """base_url: without a slash at its end; "" of a template that the studio's settings must fill. keys: names of environment variables,
    the first that is set counts. models: by id. terms: where its conditions stand. enabled_without_key: some self-hosted ones take none.
    picture_bytes: the largest file that a call shows it, before base64."""

    name: str
    title: str
    engine: EngineName
    base_url: str
    keys: tuple[str, ...]
    hosts: Hosts
    limits: Limits
    models: Mapping[str, CloudModel]
    terms: str
    enabled_without_key: bool = False
    picture_bytes: int = 4_000_000

    def model(self, name: str) -> CloudModel:
        """Raises NotFound."""
        if name not in self.models:
            raise NotFound(f"{self.title} has no model {name!r} here.", todo=f"It has {', '.join(self.models) or 'none'}.")
        return self.models[name]
