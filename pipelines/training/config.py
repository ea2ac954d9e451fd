"""`run.toml`, read key by key: every mistake is told with its file and dotted key before anything is loaded."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from models.errors import BadInput, Unavailable
from models.toml import Place, Table, parse
from models.training.recipe import (
    KINDS,
    OPTIMIZERS,
    PRIORS,
    QUANTISED,
    SCHEDULES,
    Example,
    Job,
    Prior,
    Recipe,
    SamplePrompt,
)  # fmt: skip
from pipelines.tomltext import toml

RUN, DATASET = "run.toml", "dataset.json"
GROUPS = ("attention", "feedforward", "single", "modulation", "embedders")


def read_run(folder: Path, cards: Sequence[str] | None = None) -> Recipe:
    """The settings of a run's folder. cards: names of those that may be trained. Raises BadInput, Unavailable."""
    return read_recipe(Table.of_file(folder / RUN), cards)


def parse_recipe(text: str, source: str = RUN, cards: Sequence[str] | None = None) -> Recipe:
    """Settings from TOML that a person wrote. Raises BadInput with line, or dotted key."""
    return read_recipe(Table(Place(source), parse(text, source)), cards)


def write_run(folder: Path, recipe: Recipe) -> None:
    """`run.toml`, whole or not at all."""
    part = folder / f"{RUN}.part"
    part.write_text(toml(as_table(recipe)), encoding="utf-8")
    os.replace(part, folder / RUN)


def as_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe as TOML and JSON have it: what `read_recipe` reads back as it was."""
    told = asdict(recipe)
    tables = {"prior": told.pop("prior"), "samples": list(told.pop("samples"))}
    return told | {"prior": tables["prior"]} | ({"samples": tables["samples"]} if tables["samples"] else {})


def read_recipe(top: Table, cards: Sequence[str] | None = None) -> Recipe:
    """What is absent is as `Recipe` has it. Raises BadInput."""
    told: dict[str, Any] = {
        "name": top.text("name"),
        "kind": top.text("kind", choices=KINDS),
        "card": top.text("card", choices=tuple(cards or ())),
        "trigger": top.text("trigger", ""),
    }
    if not told["name"].strip():
        raise top.bad("name", "must not be empty")
    for name, low, high in _WHOLE:
        told[name] = top.whole(name, _default(name), low=low, high=high)
    for name, least, most in _NUMBERS:
        told[name] = top.number(name, _default(name), low=least, high=most)
    for name, choices in _CHOICES:
        told[name] = top.text(name, _default(name), choices=choices)
    told["gradient_checkpointing"] = top.flag("gradient_checkpointing", False)
    told["training_adapter"] = top.text("training_adapter", "")
    told["targets"] = _targets(top)
    told["resolutions"] = _resolutions(top)
    prior = top.optional_table("prior")
    told["prior"] = _prior(prior) if prior else Prior()
    told["samples"] = _samples(top)
    top.done()
    return Recipe(**told)


_WHOLE: tuple[tuple[str, int, int], ...] = (
    ("rank", 1, 512), ("warmup", 0, 10_000), ("steps", 1, 100_000), ("batch", 1, 256), ("accumulation", 1, 256),
    ("validate_every", 1, 100_000), ("patience", 0, 1000), ("save_every", 1, 100_000), ("sample_every", 0, 100_000),
    ("sample_steps", 0, 200), ("seed", 0, 2**63 - 1),
)  # fmt: skip
_NUMBERS: tuple[tuple[str, float, float], ...] = (
    ("alpha", 0.01, 4096), ("rate", 1e-8, 10), ("weight_decay", 0, 1), ("clip", 1e-4, 1e4), ("caption_dropout", 0, 1),
    ("word_dropout", 0, 1), ("rewording", 0, 1),
    ("sigma_mean", -5, 5), ("sigma_std", 0.01, 5), ("guidance", 0, 30), ("sigma_uniform", 0, 1), ("ema", 0, 0.99999),
    ("validation", 0, 0.5),
)  # fmt: skip
_CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", ("fp32", "bf16")), ("quantise", QUANTISED),
)  # fmt: skip


def _default(name: str) -> Any:
    return next(field.default for field in fields(Recipe) if field.name == name)


def _targets(top: Table) -> tuple[str, ...]:
    if "targets" not in top.data:
        top.raw("targets", None)
        return tuple(_default("targets"))
    found = top.texts("targets")
    for target in found:
        if target not in GROUPS and not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", target):
            raise top.bad("targets", f"has {target!r}, which is neither a group ({', '.join(GROUPS)}) nor the end of a layer's name")
    return tuple(dict.fromkeys(found))


def _resolutions(top: Table) -> tuple[int, ...]:
    value = top.raw("resolutions", [])
    whole = isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) and 32 <= one <= 4096 for one in value)
    if not whole or len(value) > 8:
        raise top.bad("resolutions", f"must be at most 8 sides in pixels (32 to 4096) in brackets, not {value!r}")
    return tuple(sorted(set(value)))


def _prior(table: Table) -> Prior:
    prior = Prior(
        kind=table.text("kind", "none", choices=PRIORS),  # type: ignore[arg-type]
        weight=table.number("weight", 1.0, low=0, high=100),
        batch=table.whole("batch", 0, low=0, high=256),
        pictures=table.whole("pictures", 64, low=0, high=5000),
        steps=table.whole("steps", 20, low=1, high=200),
        prompts=table.texts("prompts") if table.data.get("prompts") else _none(table, "prompts"),
        untriggered=table.number("untriggered", 0.25, low=0, high=1),
        unconditional=table.number("unconditional", 0.1, low=0, high=1),
        instead=table.text("instead", ""),
        decoys=table.number("decoys", 0.0, low=0, high=1),
        others=table.number("others", 0.0, low=0, high=1),
    )
    if prior.kind == "images" and not prior.pictures:
        raise table.bad("pictures", 'must be at least 1 with kind "images"')
    if prior.decoys + prior.others > 1:
        raise table.bad("others", "and decoys are shares of the same rows: together at most 1")
    table.done()
    return prior


def _none(table: Table, name: str) -> tuple[str, ...]:
    if table.raw(name, []) != []:
        raise table.bad(name, "must be texts in brackets")
    return ()


def _samples(top: Table) -> tuple[SamplePrompt, ...]:
    listed = top.raw("samples", [])
    if not isinstance(listed, list) or len(listed) > 16 or not all(isinstance(one, dict) for one in listed):
        raise top.bad("samples", "must be at most 16 tables ([[samples]])")
    found = []
    for number, data in enumerate(listed):
        table = Table(Place(top.place.file, top.place.key(f"samples.{number}")), data)
        found.append(
            SamplePrompt(
                table.text("prompt"), table.whole("seed", number, low=0, high=2**63 - 1),
                table.whole("width", 0, low=0, high=4096), table.whole("height", 0, low=0, high=4096),
            )
        )  # fmt: skip
        table.done()
    return tuple(found)


def read_job(folder: Path, cards: Sequence[str] | None = None) -> Job:
    """A run's folder as the trainer takes it. Raises BadInput, Unavailable."""
    recipe = read_run(folder, cards)
    told = _read_json(folder / DATASET)
    images = told.get("images")
    if not isinstance(images, list) or not images:
        raise BadInput("images", f"{folder / DATASET}: no pictures to learn from.", "", "Add pictures to the dataset.")
    examples = tuple(_example(folder, one, f"images.{number}", recipe) for number, one in enumerate(images))
    return Job(folder, recipe, examples, str(told.get("hash", "")))


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"{path} cannot be read.", error.strerror or str(error)) from error
    except ValueError as error:
        raise BadInput(path.name, f"{path} is not JSON.", str(error)) from error
    return told if isinstance(told, dict) else {}


def _example(folder: Path, told: Any, field: str, recipe: Recipe) -> Example:
    place = Place(folder / DATASET, field)
    table = Table(place, told if isinstance(told, dict) else {})
    file = (folder / table.text("file")).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise place.bad("file", "is outside the training's folder")
    width, height = table.wholes("size", 2, 32, 4096)
    crop = table.wholes("crop", 4, 0, 100_000) if table.data.get("crop") else None
    caption = with_trigger(table.text("caption"), recipe.trigger)
    return Example(
        file, table.text("sha256"), caption, without_trigger(caption, recipe.trigger, recipe.prior.instead), (width, height),
        crop,  # type: ignore[arg-type]
    )  # fmt: skip


def _word(trigger: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)


def with_trigger(caption: str, trigger: str) -> str:
    """The caption as it is trained: the trigger goes in front where it is not said."""
    if not trigger or _word(trigger).search(caption):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def without_trigger(caption: str, trigger: str, instead: str = "") -> str:
    """The caption with `instead` in the trigger's place, and no comma left over."""
    if not trigger:
        return caption
    plain = _word(trigger).sub(lambda _: instead, caption)
    plain = re.sub(r"\s+", " ", plain)
    plain = re.sub(r"\s+,", ",", re.sub(r"(,\s*)+", ", ", plain))
    return plain.strip(" ,")
