"""Do experiments find what is there, and nothing else? `python -m benchmarks.experiments [--quick]`

Two hundred experiments of at most 200 pairs are simulated for each kind of outcome, once with a true difference of 10 points and once with
none, and each is decided by the studio's own rule, which looks after every pair and stops as soon as it is sure.

  scores         a dimension from 0 to 100. How much the differences of single pairs spread is not made up: the embedded family draws the
                 same scene from the same seed in two wordings, as two templates would, and a simulated experiment draws its differences
                 from these with replacement, moved so that their mean is what it is to be. The dimension that spreads most is taken.
  unpaired       the same as if the two sides of a pair had nothing in common: differences between any two of the drawn pictures.
  passes         whether a picture passes. What the two sides of a pair share, their values and seed, is half of what decides (a latent
                 correlation of .5); the dimensions of the drawn pairs share more. A passes in 80 %, or in 50 %, which is the worst case.
  preference     the better one by a person's eye, one vote a pair, every fifth a tie; 10 points: B is preferred in 60 % rather than 50 %.

The headline power is that of scores, the worse of the two ways; the others are told beside it.

A false alarm is either side being called better where there is no difference. The figure is the worst of all kinds, which an honest 5 %
rule exceeds now and then by chance, so the interval is told. Beside it: what an ordinary t interval, looked at after every pair from the
tenth on, does with the same pairs, and how long experiments last.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report
from models.embedded.captions import caption
from models.embedded.world import Scene, triples
from models.local import LocalEngine
from models.machine import probe
from models.presets import load_catalogue
from models.scorers import score_all, scorers_for
from models.scorers.catalogue import load_scorers
from models.spec import ImageSpec, Picture, ScoreContext
from pipelines.experiments import PASSES, PREFERENCE, Design, Outcome, Pair, Seen, Side, compare, outcome_of

CARD = "embedded"
CORRELATION = 0.5
PAIRS, EXPERIMENTS = 200, 200
POINTS = 0.1
FEWEST_FOR_T = 10
SAME, TEN = 0.0, POINTS

Reals = npt.NDArray[np.float64]
Make = Callable[[float, np.random.Generator], list[Pair]]


@dataclass(frozen=True)
class Kind:
    """A kind of outcome. make: the pairs of one experiment in which B is better by that share of 100 points."""

    name: str
    outcome: Outcome
    make: Make


def scores(residuals: Reals, outcome: Outcome) -> Make:
    def make(true: float, rng: np.random.Generator) -> list[Pair]:
        more = (rng.choice(residuals, PAIRS) + 100 * true) * (1 if outcome.better == "higher" else -1)
        name = outcome.dimension
        return [Pair(i, Seen(True, {name: 0.0}), Seen(True, {name: value})) for i, value in enumerate(more.tolist(), start=1)]

    return make


def passes(rate: float, correlation: float) -> Make:
    def make(true: float, rng: np.random.Generator) -> list[Pair]:
        shared = rng.normal(size=PAIRS) * np.sqrt(correlation)
        own = rng.normal(size=(2, PAIRS)) * np.sqrt(1 - correlation)
        a, b = (shared + own[side] < NormalDist().inv_cdf(rate + share) for side, share in ((0, 0.0), (1, true)))
        return [Pair(i + 1, Seen(bool(a[i]), {}), Seen(bool(b[i]), {})) for i in range(PAIRS)]

    return make


def votes(true: float, rng: np.random.Generator) -> list[Pair]:
    cast = rng.choice(["a", "tie", "b"], PAIRS, p=[0.4 - true, 0.2, 0.4 + true])
    return [Pair(i, Seen(True, {}), Seen(True, {}), (vote,)) for i, vote in enumerate(cast.tolist(), start=1)]


@dataclass(frozen=True)
class Drawn:
    """What really drawn pairs show. dimension: the one whose differences spread most; residuals: these, less their mean, in points;
    unpaired: differences between one side and the other of another pair;
    correlation: of the two sides' values, the median over the dimensions."""

    dimension: str
    residuals: Reals
    unpaired: Reals
    correlation: float


def draw(count: int) -> Drawn:
    tier, card = load_catalogue().tier(CARD, "preview")
    engine, scorers, known = LocalEngine(card, probe("cpu")), scorers_for(card), load_scorers()
    rng = np.random.default_rng(7)
    held = triples(True)
    found: dict[str, list[tuple[float, float]]] = {}
    for place in rng.permutation(len(held))[:count]:
        scene, seed, values = Scene(*held[place]), int(rng.integers(2**31)), []
        for prompt in two_wordings(scene, rng):
            spec = ImageSpec(prompt, *scene.size, steps=tier.steps, guidance=tier.guidance, seeds=(seed,))
            picture = next(event.image for event in engine.generate(spec) if isinstance(event, Picture))
            (measured,) = score_all([picture], ScoreContext(prompt, *scene.size, CARD), scorers)
            values.append({one.dimension: one.value for one in measured if one.value is not None})
        for name in values[0].keys() & values[1].keys():
            found.setdefault(name, []).append((values[0][name], values[1][name]))
    # Those that are told from 0 to 100, and differ at all.
    sides = {name: np.asarray(pairs).T for name, pairs in found.items() if known.dimension(name).high == 100}
    sides = {name: both for name, both in sides.items() if np.all(both.std(axis=1) > 0)}
    name = max(sides, key=lambda name: float((sides[name][1] - sides[name][0]).std()))
    a, b = sides[name]
    residuals, unpaired = b - a, np.concatenate([np.roll(b, shift) - a for shift in range(1, len(a))])
    correlations = [np.corrcoef(both)[0, 1] for both in sides.values()]
    return Drawn(name, residuals - residuals.mean(), unpaired - unpaired.mean(), float(np.median(correlations)))


def two_wordings(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    first = second = caption(scene, rng)
    while second == first:
        second = caption(scene, rng)
    return first, second


def t_interval_alarms(values: Reals) -> bool:
    """Whether an ordinary 95 % interval, looked at after each pair, ever leaves zero."""
    counts = np.arange(1, len(values) + 1)
    mean = np.cumsum(values) / counts
    spread = np.sqrt(np.maximum(np.cumsum(values**2) / counts - mean**2, 0) * counts / np.maximum(counts - 1, 1))
    late = counts >= FEWEST_FOR_T
    return bool(np.any(np.abs(mean[late]) > 1.96 * spread[late] / np.sqrt(counts[late])))


def simulate(kind: Kind, true: float, seed: int) -> tuple[int, int, list[int], int]:
    """Of EXPERIMENTS: how many call B better, how many A; after how many pairs; how many an ordinary interval would have called."""
    rng = np.random.default_rng(seed)
    design = Design("simulated", (Side("A", {}), Side("B", {"steps": 2})), kind.outcome, pairs=PAIRS)
    better, worse, at, naive = 0, 0, [], 0
    for _ in range(EXPERIMENTS):
        pairs = kind.make(true, rng)
        finding = compare(pairs, design)
        better += finding.which == "b"
        worse += finding.which == "a"
        at.append(finding.at or PAIRS)
        naive += t_interval_alarms(np.diff([0.0, *(np.asarray([point[0] for point in finding.course]) * np.arange(1, PAIRS + 1))]))
    return better, worse, at, naive


def main() -> None:
    report = Report.start("experiments", "Power and false alarms of simulated experiments that stop as soon as they are sure.")
    count = 16 if report.args.quick else 200
    drawn = draw(count)
    outcome = outcome_of(load_scorers().dimension(drawn.dimension), drawn.dimension)
    spread = f"standard deviation {drawn.residuals.std():.1f} points, {drawn.unpaired.std():.1f} as if unpaired"
    report.row(f"{count} drawn pairs", f"differences in {drawn.dimension} spread most: {spread}")
    report.row("  their sides", f"correlate by {drawn.correlation:.2f} (median of the dimensions)")
    kinds = [
        Kind("scores", outcome, scores(drawn.residuals, outcome)),
        Kind("unpaired", outcome, scores(drawn.unpaired, outcome)),
        Kind("passes, 80 % of A", PASSES, passes(0.8, CORRELATION)),
        Kind("passes, 50 % of A", PASSES, passes(0.5, CORRELATION)),
        Kind("preference", PREFERENCE, votes),
    ]
    power, alarms = {}, {}
    for place, kind in enumerate(kinds):
        none = simulate(kind, SAME, 100 + place)
        true = simulate(kind, TEN, 200 + place)
        alarms[kind.name] = report.share(f"{kind.name}: false alarms", none[0] + none[1], EXPERIMENTS)
        report.share("  an ordinary interval's", none[3], EXPERIMENTS)
        power[kind.name] = report.share(f"{kind.name}: 10 points found", true[0], EXPERIMENTS)
        quarter, half, most = np.percentile(true[2], [25, 50, 75])
        report.row("  after", f"{half:.0f} pairs (half of them {quarter:.0f} to {most:.0f}); the wrong way round {true[1]}")
    report.figure("experiments.false_alarms", max(alarms.values()), "share", "<=", 0.05)
    report.figure("experiments.power", min(power["scores"], power["unpaired"]), "share", ">=", 0.8)
    for name, kind_name in (("passes", "passes, 80 % of A"), ("passes_worst", "passes, 50 % of A"), ("preference", "preference")):
        report.figure(f"experiments.power.{name}", power[kind_name], "share")
    report.finish()


if __name__ == "__main__":
    main()
