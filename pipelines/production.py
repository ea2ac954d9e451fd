"""A picture as something to take away: how it is drawn, as TOML or JSON, and as a Python program that needs diffusers and no studio.

A *recipe* is a short line of stages. Most pictures have one; one that was finished from a draft by img2img, or promoted that way, has
the drawing of what it started from before it, so that the program needs nothing but the weights. Only what a person brought (a picture
to start from, a LoRA) is a file beside it, known by its SHA-256.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from models.memory import SMALL
from pipelines.bundle import bundle
from pipelines.post import ENDING
from pipelines.tomltext import toml

if TYPE_CHECKING:
    from models.cards import Finish, ModelCard
    from models.spec import ImageSpec
    from pipelines.plan import Plan
    from pipelines.post import Post

FORMAT = "contact-sheet-recipe"
FORMAT_VERSION = 1
NEEDS = '"diffusers>=0.42" torch transformers accelerate peft protobuf sentencepiece'
_ALONE = "models.alone"
_DRAWS = {"FluxPipeline": "text_to_image", "FluxKontextPipeline": "by_instruction", "Flux2Pipeline": "flux2", "Flux2KleinPipeline": "flux2"}


@dataclass(frozen=True)
class Beside:
    """A file that lies beside the program. name: there. path: here."""

    name: str
    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, name: str) -> Beside:
        """Raises FileNotFoundError."""
        with open(path, "rb") as file:
            return cls(name, path, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Weights:
    """Where a model's weights are. places: folders to look in first. revision: the commit, None where nothing tells; repo: None for what
    ships with the studio. dtype: in which the program computes, as torch calls it."""

    card: ModelCard
    revision: str | None = None
    places: tuple[str, ...] = ()
    dtype: str = "float32"

    @property
    def repo(self) -> str | None:
        return None if self.card.embedded or Path(self.card.repo).is_absolute() else self.card.repo


@dataclass(frozen=True)
class Stage:
    """One picture drawn. spec: with exactly one seed. start: a file, or None where it starts from noise or, with `on`, from the picture
    of the stage before. loras: its LoRA files in the order of the spec's."""

    weights: Weights
    spec: ImageSpec
    finish: Finish | None = None
    start: Beside | None = None
    on: bool = False
    loras: tuple[Beside, ...] = ()

    @property
    def seed(self) -> int:
        return self.spec.seeds[0]


@dataclass(frozen=True)
class Recipe:
    """How a picture is drawn. name: of the files, without an ending. about: one line for whoever reads them. request: what draws it in
    a studio. values: of variables that stand in the prompts as `${name}`, a dollar then being `$$`; None where there are none.
    post: what is done to the picture in the end. notes: what may come out otherwise than in the studio."""

    name: str
    about: str
    stages: tuple[Stage, ...]
    request: Mapping[str, Any]
    values: Mapping[str, str] | None = None
    post: Post | None = None
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Beside, ...]:
        """What has to lie beside the program, each once."""
        wanted = [file for stage in self.stages for file in (*((stage.start,) if stage.start else ()), *stage.loras)]
        return tuple({file.name: file for file in wanted}.values())


# Making one.


def dtype_of(card: ModelCard, precision: str = "") -> str:
    """The number format of torch's for a precision of the engine's, or for "" that in which a device with enough room draws the card."""
    return {"fp32": "float32", "bf16": "bfloat16", "fp8": "bfloat16"}.get(
        precision, "float32" if card.parameters.total <= SMALL else "bfloat16"
    )


def stages_of(plan: Plan, seed: int, weights: Callable[[str], Weights], start: Beside | None, loras: Sequence[Beside]) -> tuple[Stage, ...]:
    """What a plan delivers from a seed: a final, and before it the draft where that is what the final starts from.

    weights: of a card by its name. start: the file that the plan's request starts from.
    """
    seeded = replace(plan.final.spec, seeds=(seed,))
    final = Stage(weights(plan.final.card), seeded, plan.final.finish, start if seeded.image else None, loras=tuple(loras))
    if plan.sketch is None or plan.promotion not in ("img2img", "reference"):
        return (final,)
    sketch_spec = replace(plan.sketch.spec, seeds=(seed,))
    worn = tuple(loras) if sketch_spec.loras else ()
    sketch = Stage(weights(plan.sketch.card), sketch_spec, plan.sketch.finish, start if sketch_spec.image else None, loras=worn)
    return sketch, replace(final, start=None, on=True)


def open_prompt(
    compose: Callable[[Mapping[str, str]], tuple[str, ...]], values: Mapping[str, str], others: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Composed texts with `${name}` in place of values that do no more than stand there, a dollar being `$$`; and those values.

    compose: the texts for values by name. others: for each value that might be opened, what else it could be: a place is only opened
    when every one of these, put there, gives the very texts that composing gives. What chooses other words, or is not found, stays.
    """
    texts = tuple(text.replace("$", "$$") for text in compose(values))
    opened: dict[str, str] = {}
    for name, tries in others.items():
        if not values.get(name) or not tries:
            continue
        probe = tries[0]
        probed = compose({**values, name: probe})
        found = tuple(_opened(text.replace("$", "$$"), {**opened, name: probe}) for text in probed)
        trial = {**opened, name: values[name]}
        changed = any(f"${{{name}}}" in text for text in found)
        if changed and all(
            tuple(Template(text).substitute(trial | {name: one}) for text in found) == compose({**values, name: one})
            for one in (values[name], *tries)
        ):
            texts, opened = found, trial
    return texts, opened


def _opened(text: str, values: Mapping[str, str]) -> str:
    """`text` with the names of values in their places."""
    for name, value in values.items():
        text = text.replace(value.replace("$", "$$"), f"${{{name}}}")
    return text


# Telling of it.


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """JSON-ready: the request that draws it in a studio, and every stage in numbers. What is nothing is left out."""
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "about": recipe.about,
        "request": _said(recipe.request),
        "stages": [_stage_data(stage) for stage in recipe.stages],
        "post": recipe.post.to_dict() if recipe.post else [],
        "notes": list(recipe.notes),
    }
    return {name: value for name, value in data.items() if value != []}


def recipe_json(recipe: Recipe) -> str:
    return json.dumps(recipe_data(recipe), indent=2, ensure_ascii=False) + "\n"


def recipe_toml(recipe: Recipe) -> str:
    """The same as TOML."""
    return toml(recipe_data(recipe))


def _stage_data(stage: Stage) -> dict[str, Any]:
    card, spec = stage.weights.card, stage.spec
    model = {"name": card.name, "title": card.title, "pipeline": card.pipeline, "repo": card.repo, "revision": stage.weights.revision,
             "dtype": stage.weights.dtype, "licence": card.licence.name}  # fmt: skip
    data = {
        "prompt": spec.prompt, "negative": spec.negative, "width": spec.width, "height": spec.height, "steps": spec.steps,
        "guidance": spec.guidance, "seed": stage.seed, "role": spec.role if spec.role != "none" else None, "strength": spec.strength,
        "start": "the picture before" if stage.on else _file_data(stage.start),
        "model": _said(model),
        "loras": [_file_data(file) | {"weight": use.weight} for file, use in zip(stage.loras, spec.loras, strict=True)],
        "finish": _said(vars(stage.finish)) if stage.finish else None,
    }  # fmt: skip
    return _said(data)


def _file_data(file: Beside | None) -> dict[str, Any]:
    return {"file": file.name, "sha256": file.sha256} if file else {}


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value not in (None, "", [], {}, ())}


# The program.


def program(recipe: Recipe) -> str:
    """Python that draws it. What people wrote stands in it as literals only."""
    after = [("pipelines.post", name) for name in ("Post", "apply", "encode")] if recipe.post else []
    found = bundle([*((_ALONE, name) for name in (*_used(recipe.stages), "draw", "read_flags")), *after])
    ending = ENDING[recipe.post.format] if recipe.post else "png"
    models = {stage.weights.card.name: stage.weights for stage in recipe.stages}
    values = dict(recipe.values or {})
    head = [
        '"""Draws one picture as Contact Sheet drew it, with diffusers and no studio.',
        "",
        f"    pip install {NEEDS}",
        f"    python {recipe.name}.py --help",
        "",
        *(f"{weights.card.title}: {_licence(weights.card)}" for weights in models.values()),
        '"""',
        "from __future__ import annotations",
        "",
        *sorted_imports(found.imports),
        "",
        f"ABOUT = {literal(recipe.about)}",
        *(["# What may come out otherwise than in the studio:"] if recipe.notes else []),
        *(f"# - {one_line(note)}" for note in recipe.notes),
    ]
    tail = [
        "MODELS = {",
        *(line for name, weights in models.items() for line in _dict_lines(name, _model_fields(weights))),
        "}",
        f"VALUES = {literal(values)}" if values else "VALUES: dict[str, str] = {}",
        "# One after the other; the last one is the picture.",
        "STAGES: list[dict[str, Any]] = [",
        *(line for stage in recipe.stages for line in _dict_lines(None, _stage_fields(stage))),
        "]",
        *([f"POST = {post_text(recipe.post)}"] if recipe.post else []),
        "",
        'if __name__ == "__main__":',
        f'    flags = read_flags(ABOUT, {literal(f"{recipe.name}.{ending}")}, STAGES[-1]["seed"], VALUES)',
        *_saving(recipe.post),
        "    print(flags.out)",
    ]
    return "\n".join(head) + "\n\n\n" + found.body + "\n\n\n" + "\n".join(tail) + "\n"


def post_text(post: Post) -> str:
    return f"Post({', '.join(f'{name}={literal(value)}' for name, value in post.to_dict().items())})"


def _saving(post: Post | None) -> list[str]:
    if post is None:
        return ["    draw(MODELS, STAGES, flags, VALUES).save(flags.out)"]
    return ["    picture = apply(draw(MODELS, STAGES, flags, VALUES), POST)", "    flags.out.write_bytes(encode(picture, POST))"]


def _used(stages: Sequence[Stage]) -> list[str]:
    """The functions that stages name."""
    found = [name for stage in stages for name in (_draw_of(stage), _finish_of(stage)) if name]
    return list(dict.fromkeys(found))


def _draw_of(stage: Stage) -> str:
    return "image_to_image" if stage.spec.role == "img2img" else _DRAWS[stage.weights.card.pipeline]


def _finish_of(stage: Stage) -> str | None:
    """FLUX.2 has no img2img, so there its pictures are resampled, as the studio does."""
    if stage.finish is None:
        return None
    return "redrawn" if stage.finish.method == "img2img-tiles" and stage.weights.card.img2img else "resampled"


def _guidance(stage: Stage) -> dict[str, float]:
    card, guidance = stage.weights.card, float(stage.spec.guidance)
    if card.guidance_kind == "cfg" and card.clip_tokens:
        return {"true_cfg_scale": guidance}
    return {"guidance_scale": 0.0 if card.guidance_kind == "none" else guidance}


def _model_fields(weights: Weights) -> dict[str, str]:
    card = weights.card
    plain = {"title": card.title, "pipeline": card.pipeline, "repo": weights.repo, "revision": weights.revision, "dtype": weights.dtype,
             "places": list(weights.places)}  # fmt: skip
    return {name: literal(value) for name, value in plain.items()}


def _stage_fields(stage: Stage) -> dict[str, str]:
    spec, card = stage.spec, stage.weights.card
    second = card.guidance_kind == "cfg" and spec.guidance > 1  # a pass with the negative prompt
    start: object = "the picture before" if stage.on else _file_data(stage.start) or None
    loras = [_file_data(file) | {"weight": use.weight} for file, use in zip(stage.loras, spec.loras, strict=True)]
    plain = {
        "prompt": spec.prompt, "negative": spec.negative if second else None, "width": spec.width, "height": spec.height,
        "steps": spec.steps, "guidance": _guidance(stage), "seed": stage.seed, "strength": spec.strength, "start": start, "loras": loras,
        "max_tokens": card.max_tokens,
    }  # fmt: skip
    fields = {"model": literal(card.name), "draw": _draw_of(stage)} | {name: literal(value) for name, value in plain.items()}
    return fields | {"finish": _finish_text(stage)}


def _finish_text(stage: Stage) -> str:
    by, finish = _finish_of(stage), stage.finish
    if by is None or finish is None:
        return "None"
    if by == "resampled":
        return f'{{"by": resampled, "scale": {finish.scale!r}}}'
    return f'{{"by": redrawn, "scale": {finish.scale!r}, "strength": {finish.strength!r}, "steps": {finish.steps!r}}}'


def _dict_lines(name: str | None, fields: Mapping[str, str]) -> list[str]:
    head = "    {" if name is None else f"    {literal(name)}: {{"
    return [head, *(f'        "{key}": {text},' for key, text in fields.items()), "    },"]


def literal(value: object) -> str:
    """A value as Python reads it back, in double quotes where that needs no more escapes; what cannot be seen is escaped."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(name)}: {literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(literal(one) for one in value)}]"
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text.startswith("'") and '"' not in value else text


def _licence(card: ModelCard) -> str:
    size = f", a download of {card.download_gb:.0f} GB" if card.download_gb else ""
    return f"{card.licence.name} ({card.licence.url}){size}"


def sorted_imports(imports: Sequence[str]) -> list[str]:
    """Statements in the usual order: plain ones of the standard library first, one line a module."""
    from sys import stdlib_module_names

    plain = sorted(one for one in imports if one.startswith("import "))
    grouped: dict[str, list[str]] = {}
    for one in imports:
        if one.startswith("from "):
            module, _, name = one.removeprefix("from ").partition(" import ")
            grouped.setdefault(module, []).append(name)
    froms = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(grouped.items())]
    ours = [one for one in [*plain, *froms] if one.split()[1].split(".")[0] in stdlib_module_names]
    return [*ours, "", *(one for one in [*plain, *froms] if one not in ours)]


def one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
