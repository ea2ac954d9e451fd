"""What routing saves, and whether anything is lost by it: `python -m benchmarks.routing [--quick] [--json FILE] [--seeds N ...]`.

A simulated day of 10,000 pictures (2,000 in --quick), three seeds, four providers, no network: prices, limits and abilities are those of
presets/providers; requests, latencies, outages and everything else that is chance is drawn before the day begins, from distributions that
are told in benchmarks/routing_day.py. They are assumptions and not measurements of the real providers. Each router meets the same day:

    router       pipelines.route, .health, .fallback as the studio has them, which learn as the day goes on
    fal, ...     the same with one provider alone: what it cannot draw, or gives up, stays unfilled
    round robin  the next provider in turn that has room; another one when a call fails or is silent for a minute
    informed     the router's rules with the day known beforehand: who is down, slow or over a limit, how quick each model is, and which
                 call fails
    hindsight    knows every single call: each picture, in the order of arrival, for as little as any provider would have drawn it as well
                 as the router's and, where anybody could, no later; calls at a time are counted generously
    bargain      the same, but that a preview and a standard picture may be drawn less well than the router's was

`routing.hindsight.ratio` is the router's cost over that of whoever knew the day and asked less, informed or hindsight, over the pictures
that both delivered. `routing.bargain.ratio` has no aim: it is what the rule of a standard picture, the quickest within the budget, costs
beyond what luck could have had for less. `routing.p95.ratio`: for each provider alone, the router's 95th percentile of seconds
from request to picture over its own, over the pictures that the provider delivered; the worst of the four. `routing.saving.X`: by how much
the router's pictures cost less than the provider's, over the pictures that the provider delivered; negative where the router pays more for
speed or quality. `routing.lost`: pictures neither delivered nor refused for their content. `routing.paid_twice`: pictures billed more than
once that were neither hedged nor held as uncertain with both calls reserved; those are counted in the table, and in the cost. All are
means over the seeds, but for lost and paid_twice, which are sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from statistics import mean

from benchmarks.report import Report
from benchmarks.routing_day import TIERS, Day
from benchmarks.routing_runs import Ledger, RoundRobin, Router, cheapest_in_time, unfilled
from models.cloud.catalogue import load_providers
from models.presets import load_catalogue
from pipelines.routepolicy import load_policy

SEEDS = (1, 2, 3)
FOUR = ("fal", "replicate", "together", "bfl")


def tell(report: Report, name: str, day: Day, ledger: Ledger, seconds: float) -> None:
    """A row of the table: cost, cost of a picture, p50 / p95 over what was delivered, unfilled, and by tier."""
    each = ledger.dollars / max(1, len(ledger.delivered))
    parts = [f"${ledger.dollars:7.2f}", f"${each:.4f} each", f"{ledger.percentile(0.5):5.1f} / {ledger.percentile(0.95):5.1f} s"]
    parts.append(f"{unfilled(day, ledger):5} unfilled")
    twice = {number for number, times in ledger.paid.items() if times > 1}
    decided = len(twice) - len(ledger.twice)
    parts.append(f"{len(ledger.twice):3} paid twice" + (f" (+ {decided} by hedges and held calls)" if decided else ""))
    report.row(name, "  ".join(parts), f"({seconds:.0f} s)")


def by_tier(report: Report, day: Day, ledger: Ledger) -> None:
    for tier in TIERS:
        numbers = [number for task in day.tasks if task.tier == tier for number in task.pictures]
        done = [number for number in numbers if number in ledger.delivered]
        cost = sum(ledger.cost[number] for number in numbers) / 1e6
        quality = mean(ledger.quality[number] for number in done) if done else math.nan
        spread = f"{ledger.percentile(0.5, numbers):5.1f} / {ledger.percentile(0.95, numbers):5.1f} s"
        report.row(f"    {tier}", f"${cost:7.2f}", f"${cost / max(1, len(done)):.4f} each", spread, f"quality {quality:.0f}")


def cost_over(ledger: Ledger, numbers: Iterable[int]) -> int:
    return sum(ledger.cost[number] for number in numbers)


def both(one: Ledger, other: Ledger) -> list[int]:
    return [number for number in one.delivered if number in other.delivered]


class Figures:
    """What is gathered over the seeds."""

    def __init__(self) -> None:
        self.hindsight: list[float] = []
        self.bargain: list[float] = []
        self.saving: dict[str, list[float]] = {name: [] for name in FOUR}
        self.p95: list[float] = []
        self.lost = self.twice = 0

    def add(self, report: Report, day: Day, mine: Ledger, knowing: dict[str, Ledger], singles: dict[str, Ledger]) -> None:
        cost = {}
        for name, found in knowing.items():
            numbers = both(mine, found)
            cost[name] = cost_over(mine, numbers) / cost_over(found, numbers)
        self.hindsight.append(max(cost["informed"], cost["hindsight"]))
        self.bargain.append(cost["bargain"])
        report.row("  cost against who knew", ", ".join(f"{name} {ratio:.3f}" for name, ratio in cost.items()))
        ratios = {}
        for name, single in singles.items():
            numbers = both(mine, single)
            self.saving[name].append(1 - cost_over(mine, numbers) / cost_over(single, numbers))
            ratios[name] = mine.percentile(0.95, numbers) / single.percentile(0.95, numbers)
            good = [number for number in numbers if single.quality[number] >= mine.quality[number]]
            cost, p95 = cost_over(mine, good) / cost_over(single, good), mine.percentile(0.95, good) / single.percentile(0.95, good)
            as_good = f"(the {len(good)} that it draws as well or better: cost {cost:.2f}, p95 {p95:.2f})"
            said = (f"{len(numbers)} pictures", f"cost {1 - self.saving[name][-1]:.2f}", f"p95 {ratios[name]:.2f}", as_good)
            report.row(f"  against {name}", *said)
        self.p95.append(max(ratios.values()))
        self.lost += unfilled(day, mine)
        self.twice += len(mine.twice)


def run_day(report: Report, day: Day, figures: Figures) -> None:
    policy = load_policy()
    report.row(f"seed {day.seed}", f"{day.count} pictures, {len({task.at for task in day.tasks})} requests", spells(day))

    def timed(name: str, make: Callable[[], Ledger]) -> Ledger:
        started = time.monotonic()
        ledger = make()
        tell(report, f"  {name}", day, ledger, time.monotonic() - started)
        return ledger

    mine = timed("router", Router(day, policy).run)
    by_tier(report, day, mine)
    singles = {name: timed(name, Router(day, policy, (name,)).run) for name in FOUR}
    timed("round robin", RoundRobin(day, policy).run)
    knowing = {
        "informed": timed("informed", Router(day, policy, told=True).run),
        "hindsight": timed("hindsight", lambda: cheapest_in_time(day, policy, mine)),
        "bargain": timed("bargain", lambda: cheapest_in_time(day, policy, mine, as_good=False)),
    }
    figures.add(report, day, mine, knowing, singles)


def spells(day: Day) -> str:
    """ "fal loud 4 min, slow 51 min; ..." """
    parts = []
    for name, found in day.spells.items():
        parts.append(f"{name} " + (", ".join(f"{one.kind} {(one.end - one.start) / 60:.0f} min" for one in found) or "well all day"))
    return "; ".join(parts)


def main() -> None:
    options: dict[str, object] = {"type": int, "nargs": "+", "default": SEEDS}
    report = Report.start("routing", "A simulated day of four providers: cost, seconds and losses by router.", ("--seeds", options))
    known, catalogue = load_providers(), load_catalogue()
    figures = Figures()
    for seed in report.args.seeds:
        run_day(report, Day(seed, 2000 if report.args.quick else 10_000, [known[name] for name in FOUR], catalogue), figures)
    report.figure("routing.hindsight.ratio", mean(figures.hindsight), "ratio", "<=", 1.05)
    report.figure("routing.bargain.ratio", mean(figures.bargain), "ratio")
    for name in FOUR:
        report.figure(f"routing.saving.{name}", mean(figures.saving[name]), "share")
    report.figure("routing.p95.ratio", mean(figures.p95), "ratio", "<=", 1)
    report.figure("routing.lost", figures.lost, "count", "=", 0)
    report.figure("routing.paid_twice", figures.twice, "count", "=", 0)
    report.finish()


if __name__ == "__main__":
    main()
