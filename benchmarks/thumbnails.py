"""Thumbnails of the shipped templates, drawn by the embedded family where it knows every word: `presets/templates/thumbs/NAME.webp`.

    python -m benchmarks.thumbnails [--names scene-beach ...] [--limit 20] [--seeds 6]

Each template is filled with its example and composed as the page does it; of a few seeds at the standard tier the picture is taken that
the studio's own scorers hold to fit its prompt best. Those that are there are not drawn again; `--again` does.
"""
from __future__ import annotations

import argparse
import io
import time

from PIL import Image, ImageOps

from models.cards import ModelCard, Tier
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue, presets_folder
from models.scorers import score_all, scorers_for
from models.spec import ImageSpec, Picture, ScoreContext, Scorer
from models.words import read_prompt
from pipelines.filling import fill
from pipelines.post import apply, read_post
from pipelines.prompt import Parts, assemble
from pipelines.template import Template, load_templates

SIDE, MOST_BYTES = 256, 12_000
FOLDER = presets_folder() / "templates" / "thumbs"


def prompt_of(template: Template, card: ModelCard | None = None, seed: int = 1) -> str:
    """What the example says. card: a model with a closed vocabulary, for which presets that it does not know are left out."""
    filling = fill(template, dict(template.example))
    parts = {name: filling.text(text) for name, text in template.parts.items()}
    if template.prompt:
        parts["subject"] = filling.text(template.prompt)
    knows = (lambda phrase: not read_prompt(card, phrase).unknown) if card else None
    return assemble(Parts.from_dict(parts), seed=seed, values=filling.words, knows=knows).text


def drawable(template: Template, card: ModelCard) -> bool:
    """Whether the model knows all that the example says, and a picture does not have to be given."""
    if any(variable.type == "image" and variable.role != "likeness" for variable in template.variables.values()):
        return False
    reading = read_prompt(card, prompt_of(template, card))
    return not (reading.unknown or reading.cut)


def draw(template: Template, engine: LocalEngine, tier: Tier, scorers: list[Scorer], seeds: int) -> Image.Image:
    """The best of `seeds` pictures, after the template's post-processing."""
    card = engine.card
    prompt = prompt_of(template, card)
    width, height = tier.sizes[template.size or "1:1"]
    spec = ImageSpec(prompt, width, height, tier.steps, tier.guidance, tuple(range(seeds)))
    images = [event.image for event in engine.generate(spec) if isinstance(event, Picture)]
    asked = frozenset(("adherence", "adherence_b", "contrast", "text_match"))
    texts = tuple(fill(template, dict(template.example)).plain(text) for text in template.texts)
    rows = score_all(images, ScoreContext(prompt, width, height, card.name, texts, asked=asked), scorers)

    def fit(row: int) -> float:
        values = {score.dimension: score.value or 0.0 for score in rows[row]}
        return sum(values.get(name, 0.0) for name in ("contrast", "contrast", "adherence", "adherence_b")) + values.get("text_match", 0) / 4

    best = images[max(range(len(images)), key=fit)]
    return apply(best, read_post(template.post)) if template.post else best


def webp(image: Image.Image) -> bytes:
    """At most SIDE pixels a side and MOST_BYTES: the best quality that fits."""
    small = ImageOps.contain(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    for quality in range(86, 20, -6):
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=6)
        if len(buffer.getvalue()) <= MOST_BYTES:
            break
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", nargs="*", help="only these templates")
    parser.add_argument("--limit", type=int, default=100, help="draw at most so many (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=6, help="pictures to choose from (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="draw those that are there, too")
    asked = parser.parse_args()
    catalogue = load_catalogue()
    tier = catalogue.family("embedded").tiers["standard"]
    card = catalogue.card(tier.card)
    engine = LocalEngine(card, probe("cpu"), previews=False)
    named = ("adherence", "adherence_b", "contrast", "text")
    scorers = [one for one in scorers_for(card, asked=("adherence", "contrast", "text_match")) if one.name in named]
    FOLDER.mkdir(exist_ok=True)
    started, drawn = time.monotonic(), 0
    for name, template in load_templates().items():
        place = FOLDER / f"{name}.webp"
        if (asked.names and name not in asked.names) or (place.exists() and not asked.again) or drawn >= asked.limit:
            continue
        if not drawable(template, card):
            print(f"{name}: this model does not know all its words")
            continue
        place.write_bytes(webp(draw(template, engine, tier, scorers, asked.seeds)))
        drawn += 1
        print(f"{name}: {place.stat().st_size} bytes, {prompt_of(template, card)}", flush=True)
    print(f"{drawn} drawn in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
