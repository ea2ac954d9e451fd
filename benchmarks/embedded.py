"""Does the embedded family draw what it is asked? `python -m benchmarks.embedded [--quick]`

200 prompts on held-out (object, colour, scene) triples x 4 seeds, through the studio's own engine and tiers, judged by the oracle
(an *unclear* picture is wrong). How well the shipped CLIPs rank right pictures over wrong ones is measured on the same pictures,
each held against its own prompt and against one that asks for another object, colour or place.
"""
from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL.Image import Image

import models.embedded
from benchmarks.oracle import Oracle, agreement
from benchmarks.report import Report, auc
from models.embedded.captions import caption
from models.embedded.render import render
from models.embedded.world import COLOURS, OBJECTS, SCENES, Scene, sample_scene, triples
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers.adherence import Adherence
from models.spec import ImageSpec, Picture, ScoreContext

FRESH_SEED = 90_210  # of the renders that the oracle is checked on: used nowhere else
CLIPS = ("a", "b", "alarm")


@dataclass
class Drawn:
    scene: Scene
    prompt: str
    image: Image
    right: bool


def prompts(count: int) -> list[tuple[Scene, str]]:
    """Held-out triples in everyday wordings: light, framing and style as the captions say, no sign, square."""
    rng = np.random.default_rng(7)
    held = triples(True)
    chosen = [held[i] for i in rng.permutation(len(held))] * (count // len(held) + 1)
    scenes = [Scene(*triple) for triple in chosen[:count]]
    return [(scene, caption(scene, rng)) for scene in scenes]


def draw(
    engine: LocalEngine, oracle: Oracle, asked: list[tuple[Scene, str]], steps: int, guidance: float, seeds: int
) -> tuple[list[Drawn], float]:
    """-> the pictures and the seconds that one took on the device."""
    drawn, seconds = [], 0.0
    for scene, prompt in asked:
        spec = ImageSpec(prompt, *scene.size, steps=steps, guidance=guidance, seeds=tuple(range(seeds)))
        started = time.monotonic()
        images = [event.image for event in engine.generate(spec) if isinstance(event, Picture)]
        seconds += time.monotonic() - started
        readings = oracle.read(images)
        drawn += [Drawn(scene, prompt, image, reading.right(scene.object, scene.colour, scene.scene))
                  for image, reading in zip(images, readings, strict=True)]
    return drawn, seconds / len(drawn)


def by_attribute(report: Report, oracle: Oracle, drawn: list[Drawn]) -> None:
    readings = oracle.read([d.image for d in drawn])
    for name in ("object", "colour", "scene"):
        hits = sum(getattr(r, name) == getattr(d.scene, name) for r, d in zip(readings, drawn, strict=True))
        report.share(f"  {name} right", hits, len(drawn))
    report.share("  unclear", sum(r.unclear for r in readings), len(drawn))


def mistaken(scene: Scene, rng: np.random.Generator) -> str:
    """A prompt that a picture of `scene` gets wrong in exactly one thing: its object, its colour or its place."""
    changed = rng.choice(["object", "colour", "scene"])
    others = [name for name in {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES}[changed] if name != getattr(scene, changed)]
    return caption(replace(scene, **{changed: str(rng.choice(others))}), rng)


def clip_auc(report: Report, scorer: Adherence, drawn: list[Drawn]) -> float:
    """How well the score tells a right picture from a wrong one, pooled over prompts.

    The family gets too little wrong to rank by its own mistakes alone, so each right picture is also held against a prompt that
    asks for one other thing: for that prompt it is wrong.
    """
    rng = np.random.default_rng(11)
    right, wrong, mistaken_for = [], [], []
    for prompt, group in groupby(drawn, key=lambda d: d.prompt):
        pictures = list(group)
        for d, own in zip(pictures, scores(scorer, pictures, prompt), strict=True):
            (right if d.right else wrong).append(own)
        if clear := [d for d in pictures if d.right]:
            mistaken_for += scores(scorer, clear, mistaken(clear[0].scene, rng))
    counts = f"{len(right)} right, {len(wrong)} wrong, {len(mistaken_for)} asked for one other thing"
    own_mistakes = f"{auc(right, wrong):.3f} over its own mistakes" if len(wrong) >= 5 else "too few mistakes of its own to rank"
    area = auc(right, wrong + mistaken_for)
    report.row(f"clip {scorer.dimensions[0]} ROC AUC", f"{area:.3f}", own_mistakes, counts)
    return area


def scores(scorer: Adherence, drawn: list[Drawn], prompt: str) -> list[float]:
    """How well each picture fits `prompt`."""
    context = ScoreContext(prompt, drawn[0].image.width, drawn[0].image.height, "embedded")
    values = [row[0].value for row in scorer.score([d.image for d in drawn], context)]
    if None in values:
        raise RuntimeError(f"{scorer.name} does not score: {scorer.missing()}")
    return [value for value in values if value is not None]


def save(drawn: list[Drawn], folder: Path) -> None:
    """Pictures and a manifest, to be looked at and labelled (`python -m benchmarks.oracle.label`)."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for i, d in enumerate(drawn):
        d.image.save(folder / f"{i:04}.png")
        manifest.append({"file": f"{i:04}.png", "object": d.scene.object, "colour": d.scene.colour, "scene": d.scene.scene})
    (folder / "manifest.json").write_text(json.dumps(manifest))


def shipped_megabytes() -> float:
    root = Path(models.embedded.__file__).parent
    parts = [f for part in ("checkpoint", "clips") for f in (root / part).rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in [*parts, *root.glob("*.safetensors")]) / 1e6


def main() -> None:
    report = Report.start("embedded", "What the embedded family draws, judged by the oracle.",
                          ("--save", {"type": Path, "metavar": "DIR", "help": "keep the pictures with a manifest"}))
    count, seeds = (24, 2) if report.args.quick else (200, 4)
    catalogue, oracle = load_catalogue(), Oracle.load()
    engine = LocalEngine(catalogue.card("embedded"), probe("cpu"))
    asked = prompts(count)
    for _ in engine.generate(ImageSpec("a red mug on a wooden table", 256, 256, 1, 1.0, (0,))):
        pass  # load the weights outside the timing
    drawn: dict[str, list[Drawn]] = {}
    seconds = {}
    for tier in ("preview", "standard"):
        settings, _ = catalogue.tier("embedded", tier)
        drawn[tier], seconds[tier] = draw(engine, oracle, asked, settings.steps, settings.guidance, seeds)
        right = report.share(f"{tier} ({settings.steps} steps)", sum(d.right for d in drawn[tier]), len(drawn[tier]))
        by_attribute(report, oracle, drawn[tier])
        report.row("  seconds a picture", f"{seconds[tier]:.3f}")
        report.figure(f"embedded.{tier}.right", right, "share", ">=", 0.75 if tier == "preview" else 0.90)
        if report.args.save:
            save(drawn[tier], report.args.save / tier)
    folder = Path(models.embedded.__file__).parent / "clips"
    areas = {name: clip_auc(report, Adherence(folder / name, name), drawn["preview"] + drawn["standard"]) for name in CLIPS}
    report.figure("embedded.clip.auc", min(areas["a"], areas["b"]), "area", ">=", 0.85)
    rng = np.random.default_rng(FRESH_SEED)
    scenes = [sample_scene(rng, held_out=None) for _ in range(200 if report.args.quick else 1000)]
    readings = oracle.read([render(scene) for scene in scenes])
    hits = sum(r.right(s.object, s.colour, s.scene) and r.sign == s.sign for r, s in zip(readings, scenes, strict=True))
    report.figure("embedded.oracle.accuracy", report.share("oracle on fresh renders", hits, len(scenes)), "share", ">=", 0.99)
    agreed, labelled = agreement(oracle)
    report.figure("embedded.oracle.agreement", report.share("oracle and a person agree", round(agreed * labelled), labelled), "share")
    report.figure("embedded.megabytes", shipped_megabytes(), "MB", "<=", 32)
    report.figure("embedded.standard.seconds", seconds["standard"], "s")
    report.finish()


if __name__ == "__main__":
    main()
