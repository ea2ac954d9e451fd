"""A LoRA on the embedded model, from twenty pictures of an object and of a style that it never saw.

    python -m benchmarks.lora [--quick] [--work DIR] [--json FILE]

Trains both as the studio does, then draws at the standard tier: prompts for the concept without the LoRA, with it, and with it but
without the trigger; ordinary prompts in pairs without and with it. An oracle of its own reads the concept (`benchmarks.lora_oracle`), the
benchmarks' oracle the ordinary pictures. Then files: size, switching, unloading, and a training that is killed again and again.
"""
from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL.Image import Image

from benchmarks.lora_draw import concept_share, draw, drift, ordinary
from benchmarks.lora_oracle import LoraOracle
from benchmarks.lora_runs import BEST, KINDS, prepare, tensors_digest, train, train_through_kills
from benchmarks.lora_verdict import caught
from benchmarks.lora_world import PICTURES, PRINT, ROBOT, asked
from benchmarks.oracle import Oracle
from benchmarks.report import Report
from models.adapters import Adapters
from models.loading import load_pipeline
from models.local import LocalEngine
from models.machine import probe
from models.memory import plan
from models.presets import load_catalogue
from models.spec import LoraUse
from models.training.recipe import Prior, Recipe
from pipelines.training.presets import propose
from studio.loras import Loras, Made
from studio.store import Store
from studio.store.people import LOCAL

NAMES = {ROBOT: "object", PRINT: "style"}
PROMPTS, PAIRS = 96, 400
KILLS = 10


def main() -> None:
    report = Report.start("lora", "LoRAs of the embedded family: learning, drift, files, switching, resuming.",
                          ("--work", {"type": Path, "metavar": "DIR", "help": "keep trainings and pictures there, and use those that are"}))
    with tempfile.TemporaryDirectory() as passing:
        work = report.args.work or Path(passing)
        work.mkdir(parents=True, exist_ok=True)
        learnt(report, work)
        files(report, work)
        caught(report, work, work / NAMES[ROBOT] / BEST, shipped(ROBOT))
        versions(report, work)
        resumed(report, work)
    report.finish()


def learnt(report: Report, work: Path) -> None:
    """What the base could do before, what it can with each LoRA, what the LoRA does where it is not asked for, and what that took."""
    quick = report.args.quick
    oracle, world = LoraOracle.load(), Oracle.load()
    engine = LocalEngine(load_catalogue().card("embedded"), probe("cpu"), previews=False)
    scenes = ordinary(PAIRS)
    plain: list[Image] = []
    seconds: list[float] = []
    uppers: list[float] = []
    for concept, name in NAMES.items():
        prompts = asked(concept, 12 if quick else PROMPTS)
        before = concept_share(oracle, concept, prompts, draw(engine, [a.prompt for a in prompts], None))
        report.figure(f"lora.{name}.before", report.share(f"{name}: without the LoRA", before.hits, before.n), "share", "<=", 0.05)
        if quick:
            report.figure(f"lora.{name}.after", None, "share", ">=", 0.85)
            continue
        folder = work / name
        seconds.append(trained(folder, concept, shipped(concept)))
        file = folder / BEST
        report.row(f"{name}: seconds to train", f"{seconds[-1]:.0f}")
        pictures = draw(engine, [a.prompt for a in prompts], file)
        after = concept_share(oracle, concept, prompts, pictures)
        report.figure(f"lora.{name}.after", report.share(f"{name}: with it", after.hits, after.n), "share", ">=", 0.85)
        report.share("  and all else as asked", after.right, after.n)
        silent = concept_share(oracle, concept, prompts, draw(engine, [a.plain for a in prompts], file))
        report.share(f"{name}: with it, no trigger", silent.hits, silent.n)
        plain = plain or draw(engine, [prompt for _, prompt in scenes], None)
        lost = drift(world, oracle, concept, [scene for scene, _ in scenes], plain, draw(engine, [prompt for _, prompt in scenes], file))
        low, high = lost.interval
        report.row(f"{name}: drift", f"{lost.share:+.4f}", f"({lost.right} of {lost.pairs} pairs right without it; {lost.lost} lost, "
                   f"{lost.won} won; 95 % interval {low:+.4f} to {high:+.4f}; {lost.unasked} show the {name} unasked)")
        uppers.append(high)
        if report.args.work:
            keep(work / f"{name}-pictures", pictures)
    report.figure("lora.drift.upper", max(uppers, default=None), "share", "<=", 0.03)
    report.figure("lora.train.seconds", max(seconds, default=None), "s", "<=", 600)


def shipped(concept: str) -> Recipe:
    """What the wizard offers for such a set on the embedded model."""
    return propose(load_catalogue().card("embedded"), KINDS[concept], probe("cpu"), PICTURES).recipe


def trained(folder: Path, concept: str, recipe: Recipe) -> float:
    """Train, unless `folder` holds the finished training of an earlier run; the seconds it took."""
    told = folder / "seconds.json"
    if told.exists():
        return float(json.loads(told.read_text()))
    took = train(prepare(folder, concept, recipe))
    told.write_text(json.dumps(took))
    return took


def keep(folder: Path, pictures: Sequence[Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i:03}.png")


def files(report: Report, work: Path) -> None:
    """Size, and the time to change the LoRA of a pipeline that stays where it is: one that was used before, and one from its file."""
    found = [work / name / BEST for name in NAMES.values()]
    if not all(file.exists() for file in found):  # two trainings of a step, of the same layers and rank: files of the same size
        found = [tiny(work / f"tiny-{name}", concept, steps=1) / BEST for concept, name in NAMES.items()]
    report.figure("lora.megabytes", max(file.stat().st_size for file in found) / 1e6, "MB")
    card = load_catalogue().card("embedded")
    planned = plan(card, probe("cpu"))
    pipe = load_pipeline(card, planned, part="drawing")
    adapters = Adapters.of(pipe, planned)
    first, second = ((LoraUse(file),) for file in found)
    before = _state(pipe.transformer)
    cold = [_milliseconds(adapters, loras) for loras in (first, second)]
    warm = [_milliseconds(adapters, loras) for _ in range(20) for loras in (first, second)]
    report.row("switch, milliseconds", f"cold {cold[0]:.1f} and {cold[1]:.1f}", f"warm {min(warm):.1f} to {max(warm):.1f}")
    report.figure("lora.switch.warm.ms", statistics.median(warm), "ms", "<=", 50)
    report.figure("lora.switch.cold.ms", max(cold), "ms")
    adapters.unload()
    same = _same(before, _state(pipe.transformer))
    engine = LocalEngine(card, probe("cpu"), previews=False)
    prompts = [prompt for _, prompt in ordinary(4)]
    base = [picture.tobytes() for picture in draw(engine, prompts, None)]
    changed = [picture.tobytes() for picture in draw(engine, prompts, found[0])]
    again = [picture.tobytes() for picture in draw(engine, prompts, None)]
    equal, other = (sum(a == b for a, b in zip(base, seen, strict=True)) for seen in (again, changed))
    report.row("after unloading", f"{equal} of {len(base)} pictures are the base's, bit for bit ({other} with the LoRA)",
               f"weights {'the same' if same else 'CHANGED'}")
    report.figure("lora.unload.identical", int(same and base == again), "", ">=", 1)


def versions(report: Report, work: Path) -> None:
    """A good version and a bad one in the registry: production moves to the bad one and is rolled back."""
    good, bad = work / NAMES[ROBOT] / BEST, work / "bad" / BEST
    if not good.exists():
        good, bad = (work / f"tiny-{name}" / BEST for name in NAMES.values())
    with tempfile.TemporaryDirectory() as folder:
        catalogue, data = load_catalogue(), Path(folder)
        registry = Loras(Store(data / "studio.db"), data, catalogue)
        registry.create({"name": "robot", "kind": "product"}, LOCAL)
        for file in (good, bad):
            registry.register("robot", Made(file, "embedded"), LOCAL)
        engine = LocalEngine(catalogue.card("embedded"), probe("cpu"), previews=False)
        prompts = [one.prompt for one in asked(ROBOT, 4)]

        def production() -> list[bytes]:
            return [picture.tobytes() for picture in draw(engine, prompts, registry.file("robot", None, LOCAL))]

        registry.move("robot", "production", 1, LOCAL)
        before = production()
        registry.move("robot", "production", 2, LOCAL, "the benchmark's bad version", forced=True)
        meanwhile = production()
        registry.rollback("robot", "production", LOCAL)
        after = production()
    kept = sum(a == b for a, b in zip(before, after, strict=True))
    moved = sum(a != b for a, b in zip(before, meanwhile, strict=True))
    report.row("rolled back", f"{kept} of {len(before)} pictures are those of before, bit for bit ({moved} differed meanwhile)")


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def _milliseconds(adapters: Adapters, loras: tuple[LoraUse, ...]) -> float:
    began = time.perf_counter()
    adapters.use(loras)
    return (time.perf_counter() - began) * 1000


def tiny(folder: Path, concept: str, steps: int) -> Path:
    """A training of a few steps with two pictures a step, finished."""
    train(prepare(folder, concept, short(concept, steps)))
    return folder


def short(concept: str, steps: int) -> Recipe:
    return replace(shipped(concept), steps=steps, warmup=0, batch=2, save_every=2, validate_every=3, sample_every=0, samples=(),
                   prior=Prior("output", pictures=2, steps=1))


def resumed(report: Report, work: Path) -> None:
    """The same short training twice: run through, and killed at random moments."""
    quick = report.args.quick
    steps, kills = (6, 1) if quick else (40, KILLS)
    began = time.monotonic()
    through = tiny(work / "through", ROBOT, steps)
    took = time.monotonic() - began
    broken = prepare(work / "broken", ROBOT, short(ROBOT, steps))
    met = train_through_kills(broken, kills, random.Random(8), took)
    same = tensors_digest(through / BEST) == tensors_digest(broken / BEST)
    report.row("killed and gone on", f"{met} of {kills} kills met it alive; the end is {'the same' if same else 'ANOTHER'}, bit for bit")
    report.figure("lora.resume.identical", int(same), "", ">=", 1)


if __name__ == "__main__":
    main()
