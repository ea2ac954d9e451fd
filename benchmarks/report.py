"""What every benchmark shares: its flags, the machine it ran on, tables with intervals, and one line a headline figure."""
from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927). (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The area under the ROC curve: how often a positive scores above a negative, ties counted half. NaN without both."""
    ranked = sorted([(value, 1) for value in positive] + [(value, 0) for value in negative])
    if not positive or not negative:
        return math.nan
    rank_sum, i = 0.0, 0
    while i < len(ranked):
        j = i
        while j < len(ranked) and ranked[j][0] == ranked[i][0]:
            j += 1
        rank_sum += sum(kind for _, kind in ranked[i:j]) * (i + j + 1) / 2
        i = j
    return (rank_sum - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))


@dataclass
class Report:
    """Collects what a benchmark measured; `finish` prints the figures and writes them to `--json`."""

    name: str
    args: argparse.Namespace
    figures: list[dict[str, object]] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, about: str, *options: tuple[str, dict[str, object]]) -> Report:
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
        parser.add_argument("--quick", action="store_true", help="a minute at the most: the same figures with a wider error")
        parser.add_argument("--json", type=Path, metavar="FILE")
        for flag, settings in options:
            parser.add_argument(flag, **settings)  # type: ignore[arg-type]
        report = cls(name, parser.parse_args())
        print(f"{name}{' --quick' if report.args.quick else ''}: {machine()}", flush=True)
        return report

    def row(self, *cells: object) -> None:
        print("  " + "  ".join(f"{cell:<28}" if i == 0 else f"{cell}" for i, cell in enumerate(cells)), flush=True)

    def share(self, what: str, hits: int, n: int) -> float:
        """Print a share with its count and its 95 % interval; returns it (NaN when n is 0)."""
        low, high = wilson(hits, n)
        value = hits / n if n else math.nan
        self.row(what, f"{value:.3f}", f"({hits} of {n}, 95 % interval {low:.3f} to {high:.3f})")
        return value

    def figure(self, name: str, value: float | None, unit: str, operator: str = "", bound: float | None = None) -> None:
        """value None: not measured in this run."""
        self.figures.append({"name": name, "value": value, "unit": unit, "aim": f"{operator} {bound}" if operator else ""})

    def finish(self) -> None:
        for figure in self.figures:
            value = figure["value"]
            shown = "not measured" if value is None or (isinstance(value, float) and math.isnan(value)) else f"{value:.4g}"
            print(f"figure {figure['name']} {shown} {figure['unit']}" + (f" aim {figure['aim']}" if figure["aim"] else ""))
        if self.args.json:
            self.args.json.write_text(json.dumps({"benchmark": self.name, "machine": machine(), "figures": self.figures}, indent=1))


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {sys.version.split()[0]}"
