"""Do thresholds learned from verdicts beat the shipped ones? `python -m benchmarks.thresholds [--quick]`

The embedded family draws held-out triples, some with too few steps; some of the pictures are spoiled afterwards, and some are held
against a prompt that asks for one other thing, so that there are enough wrong ones. A simulated person judges them: the oracle (an
*unclear* picture is wrong), contrary in 5 % of all cases, and silent about reasons. Thresholds of the generic profile are learned from
50, 200 and 1,000 of these verdicts, as the studio does on a click, and held with the shipped ones against fresh pictures of other
prompts, judged by the oracle without noise. False accepts: of the wrong pictures those that pass; false rejects: of the right ones those
that do not. Where there are verdicts for several draws of 50 or 200, the mean of five is told.
"""
from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.oracle import Oracle
from benchmarks.report import Report
from models.cards import Tier
from models.embedded.captions import caption
from models.embedded.world import COLOURS, OBJECTS, SCENES, Scene, triples
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers import score_all, scorers_for
from models.spec import ImageSpec, Picture, ScoreContext, Scorer
from pipelines.judge import Bar, load_profiles
from pipelines.thresholds import FEWEST, Judged, learn

CARD = "embedded"
SEEDS = 4
NOISE = 0.05
HASTY_SHARE, MISTAKEN_SHARE, SPOILED_SHARE = 0.25, 0.2, 0.25
DRAWS = 5
SURE = 0.8


@dataclass(frozen=True)
class Seen:
    """A picture that was measured and that the oracle has judged. group: the prompt it was drawn for."""

    group: str
    kind: str
    right: bool
    values: dict[str, float]


def asked(count: int, seed: int) -> tuple[list[tuple[Scene, str]], list[tuple[Scene, str]]]:
    """Scenes with a wording each: as many to learn from as to test on, and no triple among both."""
    rng = np.random.default_rng(seed)
    held = triples(True)
    order = [held[i] for i in rng.permutation(len(held))]
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    scenes = [[Scene(*half[i % len(half)]) for i in range(count)] for half in halves]
    learning, testing = ([(scene, caption(scene, rng)) for scene in half] for half in scenes)
    return learning, testing


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 6)))


def blocky(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(2, 12)))
    return Image.open(buffer).convert("RGB")


def blown(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.choice([0.12, 0.25, 2.2, 3.5]))


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, rng.uniform(20, 90), pixels.shape), 0, 255).astype(np.uint8))


def torn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Its tiles of 32 pixels in another order, a third of them."""
    pixels = np.asarray(image).copy()
    places = [(y, x) for y in range(0, pixels.shape[0], 32) for x in range(0, pixels.shape[1], 32)]
    moved = [places[i] for i in rng.permutation(len(places))[: len(places) // 3]]
    tiles = [pixels[y : y + 32, x : x + 32].copy() for y, x in moved]
    for (y, x), tile in zip(moved[1:] + moved[:1], tiles, strict=True):
        pixels[y : y + 32, x : x + 32] = tile
    return Image.fromarray(pixels)


SPOILS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "blurred": blurred, "blocky": blocky, "blown": blown, "noisy": noisy, "torn": torn,
}  # fmt: skip


def mistaken(scene: Scene, rng: np.random.Generator) -> Scene:
    """Another scene, that differs in exactly one of object, colour and place."""
    changed = str(rng.choice(["object", "colour", "scene"]))
    names = {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES}[changed]
    return replace(scene, **{changed: str(rng.choice([name for name in names if name != getattr(scene, changed)]))})


def look(
    engine: LocalEngine, tier: Tier, oracle: Oracle, scorers: Sequence[Scorer], asked: Sequence[tuple[Scene, str]], seed: int
) -> list[Seen]:
    """SEEDS pictures a prompt, drawn, perhaps spoiled, measured against the prompt that they are said to be for, and judged."""
    rng = np.random.default_rng(seed)
    seen = []
    for scene, prompt in asked:
        steps = int(rng.integers(1, tier.steps)) if rng.random() < HASTY_SHARE else tier.steps
        first = int(rng.integers(2**31))
        spec = ImageSpec(prompt, *scene.size, steps=steps, guidance=tier.guidance, seeds=tuple(range(first, first + SEEDS)))
        drawn = [event.image for event in engine.generate(spec) if isinstance(event, Picture)]
        other = mistaken(scene, rng)
        for_other = caption(other, rng)
        kinds, pictures = [], []
        for picture in drawn:
            chance = rng.random()
            kind = "mistaken" if chance < MISTAKEN_SHARE else "spoiled" if chance < MISTAKEN_SHARE + SPOILED_SHARE else f"{steps} steps"
            pictures.append(SPOILS[str(rng.choice(list(SPOILS)))](picture, rng) if kind == "spoiled" else picture)
            kinds.append(kind)
        readings = oracle.read(pictures)
        for wrong, said_for, words in ((False, scene, prompt), (True, other, for_other)):
            which = [i for i, kind in enumerate(kinds) if (kind == "mistaken") == wrong]
            context = ScoreContext(words, *scene.size, CARD)
            for i, scores in zip(which, score_all([pictures[i] for i in which], context, scorers), strict=True):
                values = {score.dimension: score.value for score in scores if score.value is not None}
                right = readings[i].right(said_for.object, said_for.colour, said_for.scene)
                seen.append(Seen(prompt, kinds[i], right, values))
    return seen


def verdicts(seen: Sequence[Seen], seed: int) -> list[Judged]:
    """What the simulated person says."""
    rng = np.random.default_rng(seed)
    return [Judged(one.group, bool(one.right ^ (rng.random() < NOISE)), one.values) for one in seen]


def learned_bars(said: Sequence[Judged], bars: dict[str, Bar], sure: float = 0.5) -> dict[str, Bar]:
    """The bars as a click on everything that is better would leave them."""
    found = learn(said, bars, sure)
    taught = dict(bars)
    for name, one in found.items():
        if one.cut is not None and one.better:
            taught[name] = replace(bars[name], threshold=one.cut.threshold, low=one.cut.low, high=one.cut.high)
    return taught


def passes(one: Seen, bars: dict[str, Bar]) -> bool | None:
    """As the studio decides: False where a bar fails, None where one leaves it to people."""
    said = [bar.passes(one.values[name]) if name in one.values else None for name, bar in bars.items()]
    return False if False in said else None if None in said else True


@dataclass
class Errors:
    accepts: float = 0.0  # wrong ones that pass
    rejects: float = 0.0  # right ones that do not
    left: float = 0.0  # to people


def errors(fresh: Sequence[Seen], bars: dict[str, Bar]) -> Errors:
    said = [(one.right, passes(one, bars)) for one in fresh]
    accepts, rejects = sum(not right and answer is True for right, answer in said), sum(right and answer is False for right, answer in said)
    return Errors(accepts, rejects, sum(answer is None for _, answer in said))


def mean(found: Sequence[Errors]) -> Errors:
    return Errors(*(float(np.mean([getattr(one, name) for one in found])) for name in ("accepts", "rejects", "left")))


def tell(report: Report, name: str, found: Errors, fresh: Sequence[Seen]) -> tuple[float, float]:
    wrong = sum(not one.right for one in fresh)
    accepts = report.share(f"{name}: false accepts", round(found.accepts), wrong)
    rejects = report.share(f"{name}: false rejects", round(found.rejects), len(fresh) - wrong)
    if found.left:
        report.share(f"{name}: left to people", round(found.left), len(fresh))
    return accepts, rejects


def main() -> None:
    report = Report.start("thresholds", "Thresholds learned from simulated verdicts against the shipped ones.")
    taught, tested = (200, 60) if report.args.quick else (1000, 1000)
    tier, card = load_catalogue().tier(CARD, "preview")
    engine, oracle = LocalEngine(card, probe("cpu")), Oracle.load()
    bars = {name: bar for name, bar in load_profiles()["generic"].bars_for(CARD).items() if bar.gate == "hard"}
    scorers = [scorer for scorer in scorers_for(card) if set(scorer.dimensions) & set(bars)]
    to_learn, to_test = asked(max(taught, tested) // SEEDS, 20)
    pool = look(engine, tier, oracle, scorers, to_learn[: taught // SEEDS], 21)
    fresh = look(engine, tier, oracle, scorers, to_test[: tested // SEEDS], 22)
    for kind in sorted({one.kind for one in fresh}):
        of_kind = [one for one in fresh if one.kind == kind]
        report.share(f"right, {kind}", sum(one.right for one in of_kind), len(of_kind))

    said = verdicts(pool, 23)
    shipped = tell(report, "shipped", errors(fresh, bars), fresh)
    told: dict[int, tuple[float, float]] = {}
    for count in (50, 200, 1000):
        if count > len(said):
            continue
        draws = [said[start : start + count] for start in range(0, min(len(said), DRAWS * count) - count + 1, count)]
        assert all(len(draw) >= FEWEST for draw in draws)
        sets = [learned_bars(draw, bars) for draw in draws]
        moved = {name: [one[name].threshold for one in sets] for name in bars if any(one[name] != bars[name] for one in sets)}
        words = "; ".join(f"{name} {bars[name].threshold:g} to {np.mean(values):.3g}" for name, values in moved.items())
        report.row(f"learned from {count}", f"{len(draws)} draws, mean: {words or 'nothing suggested'}")
        told[count] = tell(report, f"{count} verdicts", mean([errors(fresh, one) for one in sets]), fresh)
        banded = mean([errors(fresh, learned_bars(draw, bars, SURE)) for draw in draws])
        tell(report, f"{count} verdicts, unsure to people", banded, fresh)
    for name, place in (("false_accepts", 0), ("false_rejects", 1)):
        report.figure(f"thresholds.default.{name}", shipped[place], "share")
        report.figure(f"thresholds.learned.{name}", told[200][place], "share")
    report.finish()


if __name__ == "__main__":
    main()
