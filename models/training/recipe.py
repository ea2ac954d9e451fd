"""What a training is told: settings and pictures, as plain data. No torch: the page's process may import this.

Read from a folder by `pipelines.training.config`, which checks every value; here they are taken as right.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

Kind = Literal["style", "product", "domain", "quality"]
KINDS: tuple[Kind, ...] = ("style", "product", "domain", "quality")
OPTIMIZERS = ("adamw", "adamw8bit", "prodigy")
SCHEDULES = ("constant", "linear", "cosine")
QUANTISED = ("none", "fp8", "nf4")
PRIORS = ("none", "images", "output")
# What may be changed between two stretches of one training without making its past steps another training's.
_FREE = ("name", "steps", "patience", "save_every", "sample_every", "samples")

Tell = Callable[[dict[str, Any]], None]
Ask = Callable[[], Literal["", "give way", "keep"]]


@dataclass(frozen=True)
class Prior:
    """What keeps the model as it was where the trigger is absent.

    kind: "none"; "images" (the flow loss on pictures that the base drew itself, as in DreamBooth, https://arxiv.org/abs/2208.12242);
    "output" (the trained model must answer on them what the base answers, the adapter switched off: less noise, and nothing of the
    pictures themselves is learnt). weight: of this loss. batch: rows, 0 for as many as of the dataset. pictures: how many the base
    draws, once; with "output" there may be none. steps: of each. prompts: captions of other things, for those pictures and for
    `others`; empty: captions of the embedded model's own world, for other models the dataset's without the trigger.
    The rest is for "output" only. untriggered: share of the prior's batches that are the dataset's own pictures (all, where the base
    draws none). Of their rows `decoys` have another unknown word for the trigger, `others` the caption of something else; what is left
    has the caption without the trigger. unconditional: share of all rows with an empty prompt, what guidance leans on.
    instead: what stands in the place of the trigger in captions without it, such as the class of a product ("vase").
    """

    kind: Literal["none", "images", "output"] = "none"
    weight: float = 1.0
    batch: int = 0
    pictures: int = 64
    steps: int = 20
    prompts: tuple[str, ...] = ()
    untriggered: float = 0.25
    decoys: float = 0.0
    others: float = 0.0
    unconditional: float = 0.1
    instead: str = ""


@dataclass(frozen=True)
class SamplePrompt:
    """A picture drawn while training. width, height: pixels, 0 for the largest trained square."""

    prompt: str
    seed: int
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Recipe:
    """All settings of one training.

    card: name of the base's card. rank, alpha: of the LoRA (its effect is scaled by alpha / rank). targets: groups of layers
    ("attention", "feedforward", "single", "modulation", "embedders") or ends of module names. rate: the peak learning rate. warmup:
    steps in which it rises. schedule: "constant", or falling to 0 ("linear" over the last third, "cosine" over all steps).
    batch: pictures computed at once; a step learns from batch x accumulation x processes. resolutions: side in pixels of a square of
    the same area, each picture being trained at every one; empty: as the dataset says. caption_dropout: share of rows with an empty
    caption; word_dropout: share of the others that have random words left out, the trigger never; rewording: share of
    those left that say the same in other words (models whose vocabulary the studio knows; else nothing). sigma_mean, sigma_std: of the
    logit-normal noise levels (https://arxiv.org/abs/2403.03206), `sigma_uniform` of them even instead, shifted as the scheduler says.
    ema: decay of the averaged weights, 0 for none. precision: of the arithmetic; the LoRA itself is always 32 bits. quantise: how the
    frozen base is kept. validation: share of the pictures held out. patience: validations without a new best before training ends, 0 for
    never.
    guidance: fed to models that read it. sample_steps: of a sample picture, 0 for what the card says.
    training_adapter: a LoRA file that is active while training and absent from samples (FLUX.1-schnell needs one).
    """

    name: str
    kind: Kind
    card: str
    trigger: str
    rank: int = 16
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attention", "feedforward")
    optimizer: str = "adamw"
    rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: int = 20
    schedule: str = "constant"
    clip: float = 1.0
    steps: int = 1000
    batch: int = 1
    accumulation: int = 1
    resolutions: tuple[int, ...] = ()
    caption_dropout: float = 0.05
    word_dropout: float = 0.0
    rewording: float = 0.0
    sigma_mean: float = 0.0
    sigma_std: float = 1.0
    sigma_uniform: float = 0.0
    guidance: float = 1.0
    ema: float = 0.0
    precision: Literal["fp32", "bf16"] = "bf16"
    quantise: Literal["none", "fp8", "nf4"] = "none"
    gradient_checkpointing: bool = False
    training_adapter: str = ""
    prior: Prior = Prior()
    validation: float = 0.1
    validate_every: int = 50
    patience: int = 0
    save_every: int = 100
    sample_every: int = 100
    sample_steps: int = 0
    samples: tuple[SamplePrompt, ...] = ()
    seed: int = 1

    def fingerprint(self) -> str:
        """Of what makes the steps what they are: a checkpoint is gone on from only under the same one."""
        # Only what differs from the defaults: a setting that a later version adds stops no training of an earlier one.
        plain = asdict(Recipe(self.name, self.kind, self.card, self.trigger))
        told = {name: value for name, value in asdict(self).items() if name not in _FREE and value != plain[name]}
        told["prior"] = {name: value for name, value in asdict(self.prior).items() if value != plain["prior"][name]}
        told |= {"kind": self.kind, "card": self.card, "trigger": self.trigger}
        if self.schedule != "constant":
            told["steps"] = self.steps  # The rate of every step rests on it.
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Example:
    """A picture to learn from. file: on disk. crop: (left, top, right, bottom) in pixels of the upright picture, None for all of it.
    size: (width, height) it is trained at. caption: with the trigger in it; plain: without."""

    file: Path
    sha256: str
    caption: str
    plain: str
    size: tuple[int, int]
    crop: tuple[int, int, int, int] | None = None

    def at(self, size: tuple[int, int]) -> Example:
        return replace(self, size=size)


@dataclass(frozen=True)
class Job:
    """A training in its folder. `hash`: of the dataset."""

    folder: Path
    recipe: Recipe
    examples: tuple[Example, ...]
    hash: str


class TrainingError(Exception):
    """A training that cannot go on for a cause that a person can mend.

    cause: "memory", "nan", "image", "base", "settings", "disk" or "bug". what, why, todo: as in StudioError. field: the setting to change.
    """

    def __init__(self, cause: str, what: str, why: str = "", todo: str = "", field: str | None = None) -> None:
        self.cause, self.what, self.why, self.todo, self.field = cause, what, why, todo, field
        super().__init__(" ".join(part for part in (what, why, todo) if part))


def scaled(size: tuple[int, int], resolution: int, multiple: int) -> tuple[int, int]:
    """The size of the same shape with about resolution x resolution pixels, both sides multiples of `multiple` and at least that."""
    aspect = (size[0] / size[1]) ** 0.5
    width, height = (max(1, round(resolution * side / multiple)) * multiple for side in (aspect, 1 / aspect))
    return width, height
