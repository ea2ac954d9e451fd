"""What a worker takes at a time: small batches, so that first pictures come early and a crash loses little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from models.cards import Finish
from models.spec import ImageSpec, LoraUse

if TYPE_CHECKING:
    from models.cards import ModelCard

Reader = TypeVar("Reader")
Stage = Literal["draft", "final"]

# Candidates a task by tier. The embedded model's previews are so quick that all eight ride together; a big model's batch is
# split further by the worker where its memory plan says so.
EMBEDDED_BATCH = {"preview": 8, "standard": 4, "premium": 2}
BATCH = {"preview": 4, "standard": 2, "premium": 2}


@dataclass(frozen=True)
class Draft:
    """One batch: candidate `numbers[i]` (from 1 within its job) is drawn from `spec.seeds[i]` by the model `card`.

    finish: how each picture is enlarged afterwards, or None. tier: whose quality it is drawn at. stage: "draft" for the first sketches
    of a ladder. round: 0, and one more with every retry.
    """

    card: str
    spec: ImageSpec
    numbers: tuple[int, ...]
    finish: Finish | None = None
    tier: str = ""
    stage: Stage = "final"
    round: int = 0

    def only(self, numbers: frozenset[int] | set[int]) -> Draft:
        """The same batch without the candidates that are not in `numbers`: what is left to do after a crash."""
        left = [(number, seed) for number, seed in zip(self.numbers, self.spec.seeds, strict=True) if number in numbers]
        spec = replace(self.spec, seeds=tuple(seed for _, seed in left))
        return replace(self, spec=spec, numbers=tuple(number for number, _ in left))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; paths become text."""
        spec = asdict(self.spec)
        spec["image"] = str(self.spec.image) if self.spec.image else None
        spec["loras"] = [{"path": str(lora.path), "weight": lora.weight} for lora in self.spec.loras]
        return {
            "card": self.card,
            "spec": spec,
            "numbers": list(self.numbers),
            "finish": asdict(self.finish) if self.finish else None,
            "tier": self.tier,
            "stage": self.stage,
            "round": self.round,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Draft:
        """What `to_dict` wrote, also after a round through JSON."""
        spec = dict(data["spec"])
        spec["seeds"] = tuple(spec["seeds"])
        spec["image"] = Path(spec["image"]) if spec["image"] else None
        spec["loras"] = tuple(LoraUse(Path(lora["path"]), lora["weight"]) for lora in spec["loras"])
        finish = Finish(**data["finish"]) if data["finish"] else None
        rest = {name: data[name] for name in ("tier", "stage", "round") if name in data}  # batches queued by an earlier version lack them
        return cls(data["card"], ImageSpec(**spec), tuple(data["numbers"]), finish, **rest)


def batch_size(card: ModelCard, tier: str) -> int:
    """The most candidates that ride in one task."""
    return (EMBEDDED_BATCH if card.embedded else BATCH)[tier]


def even_batches(count: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of the fewest batches of at most `size` that cover 0..count, their lengths differing by one at most."""
    batches = -(-count // size)
    edges = [count * batch // batches for batch in range(batches + 1)] if batches else [0]
    return list(pairwise(edges))


def needed(reader: Reader | None, name: str) -> Reader:
    """`reader`, which a request of this kind needs."""
    if reader is None:
        raise TypeError(f"this request needs {name}")
    return reader
