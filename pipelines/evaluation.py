"""A version of a LoRA judged by its pictures: the same prompts and seeds without it, with it, and with the version before it.

Two kinds of prompts are drawn. Those of the *concept* are captions of the pictures that it was trained on, trigger word and all, over
several weights: is the concept there, and all else that was asked for? *Ordinary* ones have no trigger word: nothing should change.

    setup = read_setup(data, defaults)                          what is drawn: prompts, weights, pictures a prompt
    for cell in cells(setup, against=True): ...                 each a picture that somebody has drawn and looked at

What the pictures say is measured in `pipelines.measuring`, and told in words in `pipelines.verdicts`.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from models.errors import BadInput
from models.toml import Table
from pipelines.fields import shown, text, whole

Json = dict[str, Any]
Part = Literal["concept", "ordinary"]
Arm = Literal["base", "against", "version"]

WEIGHTS = (0.4, 0.6, 0.8, 1.0, 1.2)
NOMINAL = 1.0  # as a request wears a LoRA that says no weight
FEWEST_PROMPTS, MOST_PROMPTS, MOST_WEIGHTS = 3, 24, 9
FEWEST_PICTURES, MOST_PICTURES = 2, 4  # of a prompt: two seeds tell how far another seed moves a picture
PROMPT_LIMIT = 2000


@dataclass(frozen=True)
class Limits:
    """From where on a version is unfit. concept: fewest of its pictures in which the concept is hit. adherence: most that prompts with
    the trigger may lose of the base's adherence, forgets: prompts without it. drift: those pictures may not surely move farther, another
    seed being 1. leak: most of them in which the concept is hit unasked. flaws: how many more pictures may have flaws."""

    concept: float = 0.5
    adherence: float = 0.3
    forgets: float = 0.2
    drift: float = 1.0
    leak: float = 0.15
    flaws: float = 0.2


@dataclass(frozen=True)
class Defaults:
    """Of a family, from presets/evaluation: ordinary prompts, and how much is drawn."""

    ordinary: tuple[str, ...]
    concepts: int
    pictures: int
    limits: Limits


@dataclass(frozen=True)
class Setup:
    """What is drawn. concept: prompts with the trigger; plain: the same without it, which adherence is read by. pictures: of each
    prompt; seed: of the first."""

    concept: tuple[str, ...]
    plain: tuple[str, ...]
    ordinary: tuple[str, ...]
    triggers: tuple[str, ...]
    weights: tuple[float, ...]
    pictures: int
    seed: int
    limits: Limits = field(default_factory=Limits)

    def to_dict(self) -> Json:
        plain: Json = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setup:
        """What `to_dict` wrote."""
        given: Json = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cls(**given | {"limits": Limits(**data["limits"])})

    def prompts(self, part: str) -> tuple[str, ...]:
        return self.concept if part == "concept" else self.ordinary


@dataclass(frozen=True)
class Cell:
    """One picture. prompt: its place among those of its part; picture: 0 for the first seed."""

    part: Part
    arm: Arm
    weight: float
    prompt: int
    picture: int


# What is drawn.


def read_defaults(table: Table) -> Defaults:
    """A file of presets/evaluation. Raises BadInput with file and key."""
    limits = table.table("limits")
    found = Defaults(
        table.texts("ordinary"),
        table.whole("concepts", low=FEWEST_PROMPTS, high=MOST_PROMPTS),
        table.whole("pictures", low=FEWEST_PICTURES, high=MOST_PICTURES),
        Limits(**{name: limits.number(name, default, low=0.0, high=10.0) for name, default in asdict(Limits()).items()}),
    )
    limits.done()
    table.done()
    return found


def read_setup(data: Mapping[Any, Any], proposed: Setup, plainly: Mapping[str, str]) -> Setup:
    """`proposed` with what a person wants different: concept, ordinary (lists of prompts), weights, pictures, seed. Raises BadInput.

    plainly: by prompt with the trigger, the same without it, for those that are not in `proposed`.
    """
    concept = _prompts(data, "concept", proposed.concept)
    known = dict(zip(proposed.concept, proposed.plain, strict=True)) | dict(plainly)
    weights = data.get("weights")
    if weights is not None:
        good = isinstance(weights, list) and 0 < len(weights) <= MOST_WEIGHTS
        if not good or not all(isinstance(one, int | float) and not isinstance(one, bool) and 0 < one <= 2 for one in weights):
            raise BadInput("weights", f"weights must be 1 to {MOST_WEIGHTS} numbers above 0, up to 2; this is {shown(weights)}.")
        if NOMINAL not in weights:
            raise BadInput("weights", "1 must be among the weights.", "Versions are compared at it.", "Add 1.")
    return Setup(
        concept=concept,
        plain=tuple(known.get(prompt, prompt) for prompt in concept),
        ordinary=_prompts(data, "ordinary", proposed.ordinary),
        triggers=proposed.triggers,
        weights=tuple(sorted({float(one) for one in weights})) if weights is not None else proposed.weights,
        pictures=whole(data, "pictures", FEWEST_PICTURES, MOST_PICTURES, proposed.pictures),
        seed=whole(data, "seed", 0, 2**31, proposed.seed),
        limits=proposed.limits,
    )


def _prompts(data: Mapping[Any, Any], name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    given = data.get(name)
    if given is None:
        return usual
    if not isinstance(given, list) or not FEWEST_PROMPTS <= len(given) <= MOST_PROMPTS:
        raise BadInput(name, f"{name} must be {FEWEST_PROMPTS} to {MOST_PROMPTS} prompts; this is {shown(given)}.")
    read = tuple(" ".join(text({"prompt": one}, "prompt", PROMPT_LIMIT, f"{name}.{place}").split()) for place, one in enumerate(given))
    for place, one in enumerate(read):
        if not one or one in read[:place]:
            what = "This prompt is empty." if not one else f'"{one[:60]}" is there twice.'
            raise BadInput(f"{name}.{place}", what, "", "Write another one, or leave it out.")
    return read


def cells(setup: Setup, against: bool) -> list[Cell]:
    """Every picture of an evaluation, what tells most first."""
    order: list[tuple[Part, Arm, float]] = [("concept", "base", 0.0), ("concept", "version", NOMINAL)]
    order += [("ordinary", "base", 0.0), ("ordinary", "version", NOMINAL)]
    others = [weight for weight in setup.weights if weight != NOMINAL]
    if against:
        order += [("concept", "against", NOMINAL), ("ordinary", "against", NOMINAL)]
    order += [("concept", "version", weight) for weight in others]
    order += [("concept", "against", weight) for weight in others if against]
    return [
        Cell(part, arm, weight, prompt, picture)
        for part, arm, weight in order for prompt in range(len(setup.prompts(part))) for picture in range(setup.pictures)
    ]  # fmt: skip
