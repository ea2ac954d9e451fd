"""Deliberately bad versions of the benchmark's object: does the evaluation catch each, and does it let the good one pass?

Overtrained (no preservation, three times the rate), trained on another picture's captions, worn five times as strong as trained, and of
chance. All are judged by what ships (`presets/evaluation`), as the studio does: same prompts and seeds, embeddings of the adherence CLIP.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.lora_draw import GUIDANCE, STEPS
from benchmarks.lora_runs import BEST, prepare, train
from benchmarks.lora_world import PICTURES, ROBOT, TRIGGERS, examples
from benchmarks.report import Report
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers import prompt_encoder, score_all, scorers_for
from models.spec import ImageSpec, LoraUse, Picture, ScoreContext
from models.training.recipe import Prior, Recipe
from pipelines.evaluation import Setup, cells
from pipelines.judge import judge
from pipelines.measuring import Seen, measure
from pipelines.profile import Profile, load_profiles
from pipelines.training.config import without_trigger
from pipelines.verdicts import told
from studio.evaluations import defaults

Change = Callable[[str, torch.Tensor], torch.Tensor]


def bad_versions(work: Path, good: Path, recipe: Recipe) -> dict[str, Path]:
    """By what is wrong with it, the file of each; those that were trained before in `work` are taken as they are."""
    rng = torch.Generator().manual_seed(6)
    chance: Change = lambda name, value: torch.randn(value.shape, generator=rng) * value.float().std()  # noqa: E731
    stronger: Change = lambda name, value: value * 5 if "lora_B" in name else value  # noqa: E731
    captions = [one.caption for one in examples(ROBOT)]
    shifted = [captions[(place + 7) % PICTURES] for place in range(PICTURES)]
    over = replace(recipe, steps=recipe.steps // 2, rate=3 * recipe.rate, prior=Prior("none"), ema=0.0)
    return {
        "wrong captions": trained(work / "bad", recipe, shifted),
        "overtrained": trained(work / "overtrained", over),
        "five times as strong": changed(work / "strong.safetensors", good, stronger),
        "of chance": changed(work / "chance.safetensors", good, chance),
    }


def trained(folder: Path, recipe: Recipe, captions: Sequence[str] | None = None) -> Path:
    if not (folder / BEST).exists():
        train(prepare(folder, ROBOT, recipe, captions))
    return folder / BEST


def changed(to: Path, source: Path, change: Change) -> Path:
    """A LoRA with other values in the same layers."""
    with safe_open(source, "pt") as file:
        said = file.metadata()
    save_file({name: change(name, value).to(value.dtype).contiguous() for name, value in load_file(source).items()}, to, said)
    return to


class Judge:
    """Judges files of the object's LoRA; the base's pictures are drawn once."""

    def __init__(self) -> None:
        catalogue = load_catalogue()
        self.card = catalogue.card("embedded")
        self.engine = LocalEngine(self.card, probe("cpu"), previews=False)
        self.eye = prompt_encoder(self.card)
        self.profile: Profile = load_profiles()["generic"]
        self.scorers = scorers_for(self.card, asked=self.profile.asked())
        usual, made = defaults(catalogue, "embedded"), examples(ROBOT)
        spread = [made[round(place * (PICTURES - 1) / (usual.concepts - 1))].caption for place in range(usual.concepts)]
        plain = tuple(without_trigger(one, TRIGGERS[ROBOT]) for one in spread)
        self.setup = Setup(tuple(spread), plain, usual.ordinary, (TRIGGERS[ROBOT],), (0.6, 1.0), usual.pictures, 60, usual.limits)
        texts = {"concept": plain, "ordinary": usual.ordinary}
        self.prompts = {part: np.asarray(self.eye.prompts(some), float) for part, some in texts.items()}
        self.dataset = np.asarray(self.eye.looks([Image.fromarray(one.picture) for one in made]), float)
        self.base = self.look(None, "base")

    def look(self, file: Path | None, arm: str) -> list[Seen]:
        found = []
        for cell in (one for one in cells(self.setup, False) if one.arm == arm):
            prompt = self.setup.prompts(cell.part)[cell.prompt]
            loras = (LoraUse(file, cell.weight),) if file else ()
            spec = ImageSpec(prompt, 256, 256, STEPS, GUIDANCE, (self.setup.seed + 10 * cell.prompt + cell.picture,), loras=loras)
            picture = next(event.image for event in self.engine.generate(spec) if isinstance(event, Picture))
            context = ScoreContext(prompt, 256, 256, "embedded", asked=frozenset(self.profile.asked()))
            scores = score_all([picture], context, self.scorers)[0]
            values = {one.dimension: one.value for one in scores if one.value is not None}
            marks = judge(scores, self.profile, "embedded").marks
            flaws = tuple(mark.dimension for mark in marks if mark.hard and mark.passed is False)
            found.append(Seen(cell, np.asarray(self.eye.looks([picture])[0], float), flaws, values))
        return found

    def judge(self, file: Path) -> tuple[str, str]:
        """(verdict, words)."""
        finding = measure(self.setup, [*self.base, *self.look(file, "version")], self.prompts, self.dataset)
        return finding["verdict"], told(finding, self.setup, "")


def caught(report: Report, work: Path, good: Path, recipe: Recipe) -> None:
    """The good one passes, each bad one is unfit; with the words that a person reads."""
    if report.args.quick:
        report.figure("lora.good.passes", None, "", ">=", 1)
        report.figure("lora.bad.caught", None, "share", ">=", 1)
        return
    judging, found = Judge(), 0
    verdict, words = judging.judge(good)
    report.row("the good version", verdict, words)
    report.figure("lora.good.passes", int(verdict == "better"), "", ">=", 1)
    bad = bad_versions(work, good, recipe)
    for what, file in bad.items():
        said, words = judging.judge(file)
        found += said == "unfit"
        report.row(f"a bad version, {what}", said, words)
    report.figure("lora.bad.caught", report.share("bad versions caught", found, len(bad)), "share", ">=", 1)
