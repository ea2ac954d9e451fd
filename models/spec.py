"""What an engine is asked for, what it answers with, and what a scorer says: the words every floor shares.

No torch here: the page's process imports this module.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

Role = Literal["none", "img2img", "reference"]
Made = TypeVar("Made")


@dataclass(frozen=True)
class LoraUse:
    """One LoRA file with its weight (0 = no effect, 1 = as trained)."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class ImageSpec:
    """One batch for an engine: the same prompt and size for every seed.

    width, height: pixels, multiples of the card's `multiple`. steps: >= 1. guidance: the card says what it means.
    seeds: one a picture, 0 .. 2**63-1. image: start picture (`img2img`) or reference picture (`reference`).
    strength: 0 < strength <= 1, only with `img2img`; steps x strength denoising steps are run then.
    """

    prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    seeds: tuple[int, ...]
    negative: str = ""
    loras: tuple[LoraUse, ...] = ()
    image: Path | None = None
    role: Role = "none"
    strength: float | None = None


@dataclass(frozen=True)
class Step:
    """`index` of `total` denoising steps are done for the pictures of `seeds` (1 <= index <= total)."""

    seeds: tuple[int, ...]
    index: int
    total: int


@dataclass(frozen=True)
class Preview:
    """A rough small picture of what `seed` looks like after `index` steps."""

    seed: int
    index: int
    image: Image


@dataclass(frozen=True)
class Picture:
    """A finished picture. `seconds` is its share of the batch's time on the device."""

    seed: int
    image: Image
    seconds: float
    details: dict[str, object] = field(default_factory=dict)


Event = Step | Preview | Picture


class Engine(Protocol):
    """Draws. The caller owns progress, saving and cancelling: closing the iterator stops the device within one step."""

    def generate(self, spec: ImageSpec) -> Iterator[Event]: ...

    def close(self) -> None:
        """Free the device. The engine may be used again afterwards; it then loads again."""
        ...


@dataclass(frozen=True)
class Score:
    """One dimension of one picture. `value` None means *not scored*, and `note` says why; it is never a pass.

    `scorer` and `version` name what measured it, so that thresholds learned on one version are not used on another.
    """

    dimension: str
    value: float | None
    scorer: str
    version: str
    note: str = ""


class Shared:
    """What several scorers of one pass need once, such as an image embedding: made by whoever asks first."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returned when `key` was first asked for. The key names the weights and whatever else the answer rests on."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


@dataclass(frozen=True)
class ScoreContext:
    """What a scorer may know besides the picture.

    width, height: pixels that were asked for. texts: words that the picture must show. palette: colours as "#RRGGBB" that it should
    keep to. likeness: a picture of the product or the person that it must show. asked: the dimensions that somebody asked for, with
    their arguments ("background_distance:#FFFFFF"); a scorer may leave out what nobody asked for, and None asks for all that take no
    argument. shared: for this batch of pictures.
    """

    prompt: str
    width: int
    height: int
    card: str = ""
    texts: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    likeness: Image | None = None
    asked: frozenset[str] | None = None
    shared: Shared = field(default_factory=Shared, compare=False)


class Scorer(Protocol):
    """Measures. `dimensions` are the names it can answer with; `score` returns one list a picture, in order."""

    name: str
    version: str
    dimensions: tuple[str, ...]

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]: ...
