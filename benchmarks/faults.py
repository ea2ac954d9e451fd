"""What faults and kills cost: `python -m benchmarks.faults [--quick] [--only PROVIDER] [--seed N]`.

Every fault of the providers' reference, at each provider and moment (before a submit is taken, after it was, while it is polled for, while
its pictures are fetched), and SIGKILL of the cloud worker at each moment and at lines drawn by chance. A cell is well when the pictures are
there or a clear error is, and when what is settled is what the provider billed, to the micro-dollar; where something stays uncertain, what
was billed must lie between what is settled and that plus what is held.
"""
from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faultkills import KILLS, kill_at_line, kill_at_moment, lines_of_a_call
from benchmarks.faultlane import PROVIDERS, Lane, Outcome, overspend
from benchmarks.report import Report
from models.cloud.demo.cases import Case, cases

LANES, KILL_LANES = 6, 3
QUICK_CASES = 9  # of each provider, drawn by chance; every moment among them
LINES, QUICK_LINES = 24, 4  # of each provider


@dataclass(frozen=True)
class Cell:
    provider: str
    what: str
    moment: str
    outcome: Outcome


def main() -> None:
    options = (
        ("--only", {"choices": PROVIDERS, "help": "this provider alone"}),
        ("--seed", {"type": int, "default": 1}),
        ("--case", {"help": "this fault alone, by its name"}),
    )
    report = Report.start("faults", __doc__ or "", *options)
    args, chance = report.args, random.Random(report.args.seed)
    providers = [args.only] if args.only else list(PROVIDERS)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = list(_faults(Path(folder), [(name, case) for name in providers for case in _chosen(name, args, chance)]))
        if not args.case:
            found += _kills(Path(folder), providers, QUICK_LINES if args.quick else LINES, chance)
        over = overspend(Path(folder) / "budget")
    _tell(report, found, time.monotonic() - started)
    report.figure("faults.cells", len(found), "cells")
    report.figure("faults.mismatches", sum(not cell.outcome.well for cell in found), "cells", "=", 0)
    report.figure("budget.overspend", over, "micro-dollars", "=", 0)
    report.finish()


def _chosen(provider: str, args: object, chance: random.Random) -> Sequence[Case]:
    every = cases(provider)
    name, quick = getattr(args, "case", None), getattr(args, "quick", False)
    if name:
        return [case for case in every if case.name == name]
    if not quick:
        return every
    moments = dict.fromkeys(case.moment for case in every)
    chosen = [chance.choice([case for case in every if case.moment == moment]) for moment in moments]
    rest = [case for case in every if case not in chosen]
    return [*chosen, *chance.sample(rest, max(0, QUICK_CASES - len(chosen)))]


def _faults(folder: Path, todo: Sequence[tuple[str, Case]]) -> Iterator[Cell]:
    """All cells, over a few lanes at once; each lane is a studio with providers of its own, for a fault befalls whoever comes first."""
    waiting, lock = list(reversed(todo)), threading.Lock()

    def run(number: int) -> list[Cell]:
        done = []
        with Lane(folder / f"lane{number}") as lane:
            while True:
                with lock:
                    if not waiting:
                        return done
                    provider, case = waiting.pop()
                cell = Cell(provider, case.name, case.moment, lane.cell(provider, case.fault()))
                done.append(cell)
                if not cell.outcome.well:
                    print(f"  {provider}, {case.name}: {cell.outcome.words}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(LANES) as pool:
        for cells in pool.map(run, range(min(LANES, len(todo)))):
            yield from cells


def _kills(folder: Path, providers: Sequence[str], lines: int, chance: random.Random) -> list[Cell]:
    def run(job: tuple[int, str, str, int]) -> Cell:
        number, provider, moment, line = job
        place = folder / f"kill{number}"
        outcome = kill_at_line(place, provider, line) if moment == "a line" else kill_at_moment(place, provider, moment)
        what = f"killed at line {line} of a call" if moment == "a line" else f"killed {moment}"
        if not outcome.well:
            print(f"  {provider}, {what}: {outcome.words}", file=sys.stderr, flush=True)
        return Cell(provider, what, moment, outcome)

    todo = [(provider, moment, 0) for provider in providers for moment in KILLS(provider)]
    for provider in providers:
        most = lines_of_a_call(folder / f"lines-{provider}", provider)
        todo += [(provider, "a line", line) for line in sorted(chance.sample(range(1, most), min(lines, most - 1)))]
    with ThreadPoolExecutor(KILL_LANES) as pool:
        return list(pool.map(run, [(number, *job) for number, job in enumerate(todo)]))


def _tell(report: Report, found: Sequence[Cell], seconds: float) -> None:
    report.row("provider", "cells", "delivered", "clear error", "waits, says why", "uncertain", "mismatches")
    for provider in dict.fromkeys(cell.provider for cell in found):
        own = [cell.outcome for cell in found if cell.provider == provider]
        ends = Counter(outcome.end for outcome in own)
        uncertain = sum(outcome.held > 0 for outcome in own)
        report.row(provider, len(own), ends["delivered"], ends["error"], ends["waits"], uncertain, sum(not one.well for one in own))
    kills = [cell.outcome for cell in found if "killed" in cell.what]
    report.row("of these kills", len(kills), *(sum(one.end == end for one in kills) for end in ("delivered", "error", "waits")))
    report.row("took", f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
