"""Settings to start a training with, by what is taught and by the memory there is. Data in `presets/training/*.toml`. No torch.

A file is for some cards. `[run]` has the settings of `run.toml` that all share, `[kinds.KIND]` and `[cards.CARD]` what differs, `[[modes]]`
ways to fit into memory, the best first: the first one that fits is proposed. `[steps]` says how many a picture needs, `triggers` are
words to call a LoRA by.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.cards import ModelCard
from models.errors import BadInput
from models.memory import GIB, SMALL, Machine
from models.presets import presets_folder
from models.toml import Place, Table
from models.training.recipe import KINDS, Recipe
from pipelines.training.config import read_recipe

# What a training takes besides its base, in GiB at 16 bits for a transformer of FLUX.1's size (11.9 billion parameters): for a
# megapixel with and without gradient checkpointing, and for everything that does not grow. Estimates: 57 blocks of 4608 tokens x 3072,
# about 25 such arrays kept a block, or only its input.
_WHOLE, _CHECKPOINTED, _FIXED, _SIZE = 40.0, 3.0, 1.2, 11.9
_BYTES = {"none": 2.0, "fp8": 1.01, "nf4": 0.57}
_RANK = 2.4e6  # parameters of a LoRA of rank 1 on all layers of FLUX.1
_KNOWN = tuple(field.name for field in fields(Recipe) if field.name not in ("name", "kind", "card", "trigger", "samples"))


@dataclass(frozen=True)
class Preset:
    """One file. run, kinds, cards, modes: settings, unread. steps: (a picture, least, most), None where `run` says how many. triggers:
    made-up words that these models' text encoders hear well (`models.training.triggers`), to be offered."""

    name: str
    title: str
    about: str
    for_cards: tuple[str, ...]
    steps: tuple[int, int, int] | None
    run: Mapping[str, Any]
    kinds: Mapping[str, Mapping[str, Any]]
    cards: Mapping[str, Mapping[str, Any]]
    modes: Sequence[Mapping[str, Any]]
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """gib: what it is thought to take at its peak. words: how, for people."""

    preset: str
    recipe: Recipe
    gib: float
    fits: bool
    words: str


@lru_cache(maxsize=1)
def load_presets() -> Mapping[str, Preset]:
    """Raises BadInput with file and dotted key."""
    return {path.stem: read_preset(path) for path in sorted((presets_folder() / "training").glob("*.toml"))}


def read_preset(path: Path) -> Preset:
    top = Table.of_file(path)
    title, about, cards = top.text("title"), top.text("about"), top.texts("cards")
    counted = top.optional_table("steps")
    steps = None
    if counted is not None:
        low = counted.whole("low", low=1)
        steps = (counted.whole("per_image", low=1), low, counted.whole("high", low=low))
        counted.done()
    preset = Preset(
        path.stem, title, about, cards, steps,
        run=_settings(top, "run"),
        kinds={kind: _settings(top.table("kinds"), kind) for kind in KINDS},
        cards={card: _settings(top.table("for"), card) for card in cards} if "for" in top.data else {},
        modes=_modes(top),
        triggers=top.texts("triggers") if "triggers" in top.data else (),
    )  # fmt: skip
    top.raw("for", None)
    kinds = top.table("kinds")
    for kind in kinds.data:
        if kind not in KINDS:
            raise kinds.bad(kind, f"is no kind; there are {', '.join(KINDS)}")
    top.done()
    for kind in KINDS:  # Every one of them must read as a run would.
        for mode in preset.modes:
            _recipe(preset, path, {"name": "x", "kind": kind, "card": cards[0], "trigger": ""}, kind, cards[0], mode, 20)
    return preset


def _settings(top: Table, name: str) -> dict[str, Any]:
    table = top.optional_table(name)
    if table is None:
        return {}
    for key in table.data:
        if key not in _KNOWN:
            raise table.bad(key, "is no setting of a run")
    return dict(table.data)


def _modes(top: Table) -> tuple[dict[str, Any], ...]:
    listed = top.raw("modes", [{}])
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise top.bad("modes", "must be tables ([[modes]])")
    return tuple(_settings(Table(Place(top.place.file, f"modes.{number}"), {"": one}), "") for number, one in enumerate(listed))


def preset_of(card: str) -> Preset:
    """Raises BadInput (field "card") for a model that has none."""
    found = next((preset for preset in load_presets().values() if card in preset.for_cards), None)
    if found is None:
        able = [name for preset in load_presets().values() for name in preset.for_cards]
        raise BadInput("card", f"{card} is not trained on.", "Distilled models learn badly.", f"Choose one of {', '.join(able)}.")
    return found


def propose(card: ModelCard, kind: str, machine: Machine, images: int, name: str = "lora", trigger: str = "") -> Proposal:
    """Settings for `images` pictures of `kind` on a machine: the best mode that fits, else the most sparing. Raises BadInput."""
    preset = preset_of(card.name)
    if kind not in KINDS:
        raise BadInput("kind", f"There is no kind {kind!r}.", f"There are {', '.join(KINDS)}.")
    told = {"name": name, "kind": kind, "card": card.name, "trigger": trigger}
    path = presets_folder() / "training" / f"{preset.name}.toml"
    recipes = [_recipe(preset, path, told, kind, card.name, mode, images) for mode in preset.modes]
    if machine.kind == "mps":  # It has no 8-bit floats.
        recipes = [recipe for recipe in recipes if recipe.quantise != "fp8"] or recipes
    slow = machine.kind == "cpu" and card.parameters.total > SMALL
    found = next((recipe for recipe in recipes if needed(card, recipe) <= machine.usable and not slow), None)
    recipe = found or recipes[-1]
    gib = needed(card, recipe)
    return Proposal(preset.name, recipe, gib, found is not None, _words(card, recipe, gib, machine, found is not None))


def needed(card: ModelCard, recipe: Recipe) -> float:
    """GiB that a training is thought to take at its peak."""
    billions = card.parameters.transformer
    wide = 2.0 if recipe.precision == "fp32" else 1.0
    weights = (billions * 1e9 * _BYTES[recipe.quantise] * (wide if recipe.quantise == "none" else 1) + card.parameters.vae * 2e9) / GIB
    # Weight, gradient and two moments in 32 bits, 8-bit moments a byte each, and the averages.
    each = 4 + 4 + (2 if recipe.optimizer == "adamw8bit" else 8) + (4 if recipe.ema else 0)
    adapter = recipe.rank * _RANK * billions / _SIZE * each / GIB
    area = max((side * side for side in recipe.resolutions), default=1024 * 1024 if billions > 1 else 256 * 256) / 1e6
    a_megapixel = _CHECKPOINTED if recipe.gradient_checkpointing else _WHOLE
    rows = max(recipe.batch, recipe.prior.batch if recipe.prior.kind != "none" else 0)
    working = a_megapixel * wide * (billions / _SIZE) ** (2 / 3) * area * rows
    return weights + adapter + working + _FIXED


def _recipe(
    preset: Preset, path: Path, told: dict[str, Any], kind: str, card: str, mode: Mapping[str, Any], images: int
) -> Recipe:
    merged: dict[str, Any] = dict(told)
    prior: dict[str, Any] = {}
    for settings in (preset.run, preset.kinds.get(kind, {}), preset.cards.get(card, {}), mode):
        merged |= settings
        prior |= settings.get("prior", {})
    if prior:
        merged["prior"] = prior
    if preset.steps is not None:
        an_image, least, most = preset.steps
        merged["steps"] = min(most, max(least, an_image * images))
    return read_recipe(Table(Place(path), merged))


def _words(card: ModelCard, recipe: Recipe, gib: float, machine: Machine, fits: bool) -> str:
    if not fits and machine.kind == "cpu":
        return f"{card.title} cannot be trained on a CPU: it would take weeks. The embedded model can."
    if not fits:
        return f"{card.title} cannot be trained on {machine.words}: it needs about {gib:.0f} GB and {machine.usable:.0f} can be had."
    bits = {"none": f"{recipe.precision[2:]} bits", "fp8": "8-bit base", "nf4": "4-bit base"}[recipe.quantise]
    sides = f", {' and '.join(str(side) for side in recipe.resolutions)} px" if recipe.resolutions else ""
    slow = ", gradient checkpointing" if recipe.gradient_checkpointing else ""
    return f"{bits}{sides}, {recipe.steps} steps of {recipe.batch * recipe.accumulation}{slow}; about {gib:.1f} GB"
