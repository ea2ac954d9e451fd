"""What a template is worth: what people type against the shipped templates, same seeds. `python -m benchmarks.prompts [--quick]`

240 wishes in people's own words (benchmarks/naive.txt, written down before any template was tuned and not touched since) name an object,
its colour and its place. The same three facts fill the shipped template of that place. Both requests are read by a studio as those of its
page are, and drawn by its engine with the same steps, guidance and seed: one picture each, taken as it comes, judged by the oracle (an
*unclear* picture is wrong). The gain is the mean of the paired differences; its interval is Student's over the wishes, 95 %.

Templates were tuned on other wordings: `--tuning` draws triples that are not in the file.
"""
from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.oracle import Oracle, Reading
from benchmarks.report import Report
from models.embedded.world import COLOURS, OBJECTS, SCENES, triples
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.spec import Picture
from pipelines.plan import plan_for
from pipelines.request import Request
from pipelines.syntax import expand
from studio.store.people import LOCAL
from studio.studio import Studio

NAIVE = Path(__file__).with_name("naive.txt")
SCENE_TEMPLATES = {
    "studio": "scene-white-studio", "table": "scene-wooden-table", "kitchen": "scene-marble-kitchen", "beach": "scene-beach",
    "garden": "scene-garden", "snow": "scene-snow", "street": "scene-street", "night": "scene-night-city",
}  # fmt: skip
FIRST_SEED = 52_000
TUNING_SEED = 3
EXPANSIONS = 10_000
EXPANDED = "a {matte|glossy|{dark|light} glazed} $product, __place/*__, {2$$, $$__light__}, {0-1$$with steam} <lora:brand:0.6>"


@dataclass(frozen=True)
class Wish:
    object: str
    colour: str
    scene: str
    text: str

    def right(self, reading: Reading) -> bool:
        return reading.right(self.object, self.colour, self.scene)


def wishes(file: Path = NAIVE) -> list[Wish]:
    """The wishes of a file of `object | colour | scene | text`; lines with # are comments."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found = []
    for line in lines:
        thing, colour, scene, text = (part.strip() for part in line.split("|", 3))
        found.append(Wish(thing, colour, scene, text))
    strange = [wish for wish in found if wish.object not in OBJECTS or wish.colour not in COLOURS or wish.scene not in SCENES]
    if strange:
        raise ValueError(f"{file}: no such facts: {strange[0]}")
    return found


def tuning(count: int) -> list[Wish]:
    """Training triples that the file does not hold, in one plain wording."""
    rng = np.random.default_rng(TUNING_SEED)
    taken = {(wish.object, wish.colour, wish.scene) for wish in wishes()}
    free = [triple for triple in triples(False) if triple not in taken]
    chosen = [free[i] for i in rng.permutation(len(free))[:count]]
    return [Wish(thing, colour, scene, f"{colour} {thing}, {scene}") for thing, colour, scene in chosen]


def naive(wish: Wish, tier: str) -> dict[str, object]:
    return {"prompt": wish.text, "tier": tier}


def templated(wish: Wish, tier: str) -> dict[str, object]:
    values = {"product": wish.object, "colour": "#{:02X}{:02X}{:02X}".format(*COLOURS[wish.colour])}
    return {"template": {"name": SCENE_TEMPLATES[wish.scene]}, "values": values, "tier": tier}


class Easel:
    """A studio that reads requests, and the engine that it would draw them with."""

    def __init__(self, studio: Studio, oracle: Oracle) -> None:
        self.studio, self.oracle = studio, oracle
        self.engine = LocalEngine(studio.catalogue.card("embedded"), probe("cpu"))
        self.shown: dict[str, str] = {}  # a prompt of each side, by its name

    def read(self, asked: Mapping[str, object], seed: int) -> Request:
        return self.studio.read({**asked, "family": "embedded", "size": "1:1", "seed": seed, "draft": 1, "keep": 1, "ladder": False}, LOCAL)

    def draw(self, request: Request) -> Reading:
        spec = replace(plan_for(request, self.studio.catalogue, lambda _image: Path()).final.spec, seeds=request.seeds)
        [picture] = [event.image for event in self.engine.generate(spec) if isinstance(event, Picture)]
        return self.oracle.read([picture])[0]

    def right(self, asked: Callable[[Wish, str], dict[str, object]], wanted: Sequence[Wish], tier: str) -> list[tuple[bool, Reading]]:
        found = []
        for place, wish in enumerate(wanted):
            request = self.read(asked(wish, tier), FIRST_SEED + place)
            self.shown.setdefault(asked.__name__, request.prompt)
            reading = self.draw(request)
            found.append((wish.right(reading), reading))
        return found


def compare(report: Report, easel: Easel, wanted: Sequence[Wish], tier: str) -> tuple[float, float, float]:
    """-> the shares that are right of naive and templated wishes, and the lower end of the gain's interval."""
    steps = easel.studio.catalogue.tier("embedded", tier)[0].steps
    sides = {asked.__name__: easel.right(asked, wanted, tier) for asked in (naive, templated)}
    shares = []
    for name, found in sides.items():
        shares.append(report.share(f"{tier} ({steps} steps), {name}", sum(right for right, _ in found), len(found)))
        for fact in ("object", "colour", "scene"):
            hits = sum(getattr(reading, fact) == getattr(wish, fact) for wish, (_, reading) in zip(wanted, found, strict=True))
            report.share(f"    {fact} right", hits, len(found))
        report.share("    unclear", sum(reading.unclear for _, reading in found), len(found))
    differences = np.array([int(b) - int(a) for (a, _), (b, _) in zip(*sides.values(), strict=True)], float)
    gain, low, high = interval(differences)
    worse, better = int((differences < 0).sum()), int((differences > 0).sum())
    report.row(f"{tier}: gain", f"{gain:+.3f}", f"(95 % interval {low:+.3f} to {high:+.3f}; {better} mended, {worse} spoilt)")
    return shares[0], shares[1], low


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval of paired differences (Student 1908)."""
    from scipy.stats import t

    mean, count = float(differences.mean()), len(differences)
    half = float(t.ppf(0.975, count - 1)) * float(differences.std(ddof=1)) / math.sqrt(count)
    return mean, mean - half, mean + half


def expanding(report: Report, studio: Studio) -> float:
    """Seconds to expand a text with choices, lists and a LoRA 10,000 times, what is parsed once included."""
    lists, values = studio.wildcards.lists(), {"product": "mug"}
    started = time.perf_counter()
    different = {expand(EXPANDED, seed, lists, values).text for seed in range(EXPANSIONS)}
    seconds = time.perf_counter() - started
    report.row(f"{EXPANSIONS} prompts expanded", f"{seconds:.2f} s", f"({len(different)} different)")
    return seconds


def main() -> None:
    tuned: tuple[str, dict[str, object]] = ("--tuning", {"action": "store_true", "help": "on other triples, to tune templates by"})
    count_of: tuple[str, dict[str, object]] = ("--count", {"type": int, "metavar": "N", "help": "of wishes"})
    report = Report.start("prompts", "What people type against the shipped templates, judged by the oracle.", tuned, count_of)
    wanted = tuning(report.args.count or 96) if report.args.tuning else wishes()
    wanted = wanted[: report.args.count or (24 if report.args.quick else len(wanted))]
    with tempfile.TemporaryDirectory(prefix="prompts-") as folder:
        studio = Studio(Path(folder), load_catalogue())
        try:
            seconds = expanding(report, studio)
            easel = Easel(studio, Oracle.load())
            if not report.args.quick:
                compare(report, easel, wanted, "preview")
            before, after, low = compare(report, easel, wanted, "standard")
        finally:
            studio.stop()
    for name, prompt in easel.shown.items():
        report.row(f"  {name}, for example", prompt)
    report.figure("prompts.naive.right", before, "share")
    report.figure("prompts.template.right", after, "share")
    report.figure("prompts.gain.low", low, "share", ">", 0)
    report.figure("prompts.expand.seconds", seconds, "s", "<=", 2)
    report.finish()


if __name__ == "__main__":
    main()
