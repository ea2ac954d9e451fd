"""What the pictures of an evaluation (`pipelines.evaluation`) say of a version of a LoRA.

A picture is read from its embedding (a CLIP's, of length 1). Its *concept* is its place on the line from the mean of what the base draws
for the same prompts (0) to the mean of the dataset's pictures (1); past the middle it is hit. *Adherence* is the cosine x 100 between what
sets it apart from its fellows and what sets its prompt apart from theirs: what all pictures of a LoRA have in common, which no CLIP may
know, is no part of it, and pictures that show any other prompt than their own have 0. *Drift* is how far a picture moves when the LoRA is
put on, in parts of how far another seed moves it.

Intervals are of 95 % and over prompts, for pictures of one prompt are no independent ones: Student's t for means of values and of paired
differences, Wilson's for shares with the number of prompts for n.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.agreement import wilson
from pipelines.evaluation import MOST_PROMPTS, NOMINAL, Cell, Json, Setup

Reals = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "no difference", "unfit"]
Key = tuple[str, str, float]  # part, arm, weight
Value = TypeVar("Value", float, bool)

HIT = 0.5  # of the way from the base to the dataset
MATTERS = {"concept": 0.1, "adherence": 0.1, "drift": 0.1, "flaws": 0.05}  # smaller differences decide nothing, however sure they are
# Dimensions that read the prompt, or know the model's own world alone: adherence tells here what they would.
PROMPTED = ("adherence", "adherence_b", "alarm", "preference", "contrast", "recognised", "whole")


@dataclass(frozen=True)
class Seen:
    """What became of a cell. vector: its embedding, None where there is none. flaws: dimensions that the profile rejects it for. values: by
    dimension."""

    cell: Cell
    vector: Reals | None
    flaws: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


def measure(setup: Setup, seen: Sequence[Seen], prompts: Mapping[str, Reals], dataset: Reals | None) -> Json:
    """JSON-ready: {"rows": a line an arm and weight, "drift": a line an arm, "compared": with the version before (None without one),
    "quality": dimensions at the nominal weight, "faults", "faults_against", "weights": those at which nothing is wrong, "verdict"}.

    prompts: by part, embeddings of its prompts (of `plain` for the concept), (n, dim). dataset: those of the pictures that it was
    trained on, (n, dim), None where nobody knows them: then the concept is not measured. A measure has "value", "low", "high" and "n".
    """
    found = _Measures(setup, seen, prompts, dataset)
    arms = [arm for arm in ("against", "version") if ("concept", arm, NOMINAL) in found.by]
    base = found.row("base", 0.0)
    rows = {(arm, weight): found.row(arm, weight) for arm in arms for weight in setup.weights}
    drift = {arm: found.drift(arm) for arm in arms}
    faults = {arm: found.faults(rows[arm, NOMINAL], base, drift[arm]) for arm in arms}
    compared = found.compared() if "against" in arms else None
    return {
        "rows": [base, *rows.values()],
        "drift": list(drift.values()),
        "compared": compared,
        "quality": found.quality(),
        "faults": faults["version"],
        "faults_against": faults.get("against", []),
        "weights": [weight for weight in setup.weights if not found.of_row(rows["version", weight], base)],
        "verdict": _verdict(faults, compared, rows["version", NOMINAL], base),
    }


def interval(values: Mapping[int, Sequence[float]]) -> Json | None:
    """A mean with its interval, of values by prompt; None of fewer than two prompts."""
    means = np.array([float(np.mean(some)) for some in values.values() if len(some)])
    if len(means) < 2:
        return None
    mean, half = float(means.mean()), student(len(means) - 1) * float(means.std(ddof=1)) / math.sqrt(len(means))
    n = sum(len(some) for some in values.values())
    return {"value": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4), "n": n}


def share(flags: Mapping[int, Sequence[bool]]) -> Json | None:
    """A share with its interval, of flags by prompt: `hits` of `n` pictures. None of nothing."""
    every = [flag for some in flags.values() for flag in some]
    if not every:
        return None
    value, worth = sum(every) / len(every), sum(bool(len(some)) for some in flags.values())
    low, high = wilson(value * worth, worth)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": len(every), "hits": sum(every)}


def student(df: int) -> float:
    """The 97.5 % point of Student's t; from 5 degrees of freedom on by its expansion (Abramowitz and Stegun 26.7.5), right to 0.005."""
    if df < 5:
        return (math.inf, 12.706, 4.303, 3.182, 2.776)[df]
    z = 1.959964
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / df**power for power, term in enumerate(terms, 1))


def sides(compared: Json, base: Json) -> tuple[list[str], list[str]]:
    """Measures in which the version is surely better than the one before, by enough to matter, and those in which it is worse."""
    scales = {"concept": 1.0, "adherence": max(1e-9, base["follows"]["value"]) if base["follows"] else 1.0, "drift": 1.0, "flaws": 1.0}
    better = [name for name, one in compared.items() if one and one["low"] > 0 and one["value"] >= MATTERS[name] * scales[name]]
    worse = [name for name, one in compared.items() if one and one["high"] < 0 and -one["value"] >= MATTERS[name] * scales[name]]
    return better, worse


def lost(change: Json | None, base: Json | None) -> float:
    """How much of the base's adherence is gone, 0..1 and beyond; 0 where it is not known."""
    if change is None or base is None or base["value"] <= 0:
        return 0.0
    return round(-change["value"] / base["value"], 4)


def _verdict(faults: Mapping[str, Sequence[Json]], compared: Json | None, first: Json, base: Json) -> Verdict:
    if faults["version"]:
        return "unfit"
    if compared is None:
        return "better" if first["concept"] is not None and first["concept"]["low"] > 0 else "no difference"
    if faults["against"]:
        return "better"
    better, worse = sides(compared, base)
    return "better" if better and not worse else "worse" if worse and not better else "no difference"


class _Measures:
    """The arithmetic of one evaluation. by: what was seen, by part, arm and weight, then by (prompt, picture)."""

    def __init__(self, setup: Setup, seen: Sequence[Seen], prompts: Mapping[str, Reals], dataset: Reals | None) -> None:
        self.setup = setup
        self.by: dict[Key, dict[tuple[int, int], Seen]] = {}
        for one in seen:
            key = (one.cell.part, one.cell.arm, one.cell.weight)
            self.by.setdefault(key, {})[one.cell.prompt, one.cell.picture] = one
        base = [one.vector for one in self.at("concept", "base").values() if one.vector is not None]
        self.known = dataset is not None and len(dataset) > 0 and len(base) > 0
        if self.known:
            self.zero = np.mean(base, axis=0)
            line = np.mean(np.asarray(dataset), axis=0) - self.zero
            self.axis = line / max(1e-9, float(line @ line))
        vectors = {key: [one.vector for one in some.values() if one.vector is not None] for key, some in self.by.items()}
        self.centres = {key: np.mean(some, axis=0) for key, some in vectors.items() if some}
        self.apart = {part: _unit(texts - texts.mean(axis=0)) for part, texts in prompts.items() if len(texts) > 1}

    def at(self, part: str, arm: str, weight: float | None = None) -> Mapping[tuple[int, int], Seen]:
        return self.by.get((part, arm, (0.0 if arm == "base" else NOMINAL) if weight is None else weight), {})

    # One line each.

    def row(self, arm: str, weight: float) -> Json:
        """Prompts of the concept at a weight. adherence, flaws: how much more than the base."""
        mine, base = self.at("concept", arm, weight), self.at("concept", "base")
        return {
            "arm": arm, "weight": weight, "concept": interval(_each(mine, self.concept)), "hit": share(_each(mine, self.hit)),
            "follows": interval(_each(mine, self.follows)), "adherence": interval(_paired(mine, base, self.follows)),
            "flawed": share(_each(mine, flawed)), "flaws": interval(_paired(mine, base, flawed)),
        }  # fmt: skip

    def drift(self, arm: str) -> Json:
        """Ordinary prompts at the nominal weight. follows, leak_base: of the base."""
        mine, base = self.at("ordinary", arm), self.at("ordinary", "base")
        return {
            "arm": arm, "change": interval(self.moves(arm)), "follows": interval(_each(base, self.follows)),
            "adherence": interval(_paired(mine, base, self.follows)), "leak": share(_each(mine, self.hit)),
            "leak_base": share(_each(base, self.hit)), "flawed": share(_each(mine, flawed)), "flaws": interval(_paired(mine, base, flawed)),
        }  # fmt: skip

    def quality(self) -> list[Json]:
        """Dimensions that do not read the prompt, of all pictures at the nominal weight: the base's mean, and the difference to it."""
        pairs: dict[str, dict[int, list[float]]] = {}
        bases: dict[str, list[float]] = {}
        for offset, part in ((0, "concept"), (MOST_PROMPTS, "ordinary")):
            base = self.at(part, "base")
            for place, one in self.at(part, "version").items():
                was = base[place].values if place in base else {}
                for name in (name for name in one.values if name in was and name.partition(":")[0] not in PROMPTED):
                    bases.setdefault(name, []).append(was[name])
                    pairs.setdefault(name, {}).setdefault(offset + place[0], []).append(one.values[name] - was[name])
        means = {name: round(float(np.mean(values)), 3) for name, values in bases.items()}
        return [{"dimension": name, "base": means[name], "difference": interval(groups)} for name, groups in pairs.items()]

    def compared(self) -> Json:
        """The version against the one before, at the nominal weight, more being better."""
        mine, other = self.at("concept", "version"), self.at("concept", "against")
        moves, before = self.moves("version"), self.moves("against")
        stays = {prompt: [float(np.mean(before[prompt]) - np.mean(moves[prompt]))] for prompt in moves if prompt in before}
        both = [_paired(self.at(part, "against"), self.at(part, "version"), flawed) for part in ("concept", "ordinary")]
        return {
            "concept": interval(_paired(mine, other, self.concept)), "adherence": interval(_paired(mine, other, self.follows)),
            "drift": interval(stays), "flaws": interval(both[0] | {MOST_PROMPTS + prompt: some for prompt, some in both[1].items()}),
        }  # fmt: skip

    # What is wrong.

    def faults(self, row: Json, base: Json, drift: Json) -> list[Json]:
        """At the nominal weight, each {"cause", "value"}."""
        limits, found = self.setup.limits, self.of_row(row, base)
        if self.setup.triggers:  # one without a trigger word is meant to act on every prompt
            if drift["change"] is not None and drift["change"]["low"] > limits.drift:
                found.append({"cause": "drift", "value": drift["change"]["value"]})
            if drift["leak"] is not None and (more := drift["leak"]["value"] - drift["leak_base"]["value"]) > limits.leak:
                found.append({"cause": "leak", "value": round(more, 4)})
        if _falls(drift["adherence"]) and (gone := lost(drift["adherence"], drift["follows"])) > limits.forgets:
            found.append({"cause": "forgets", "value": gone})
        if _rises(drift["flaws"]) and drift["flaws"]["value"] > limits.flaws and all(one["cause"] != "flaws" for one in found):
            found.append({"cause": "flaws", "value": drift["flaws"]["value"]})
        return found

    def of_row(self, row: Json, base: Json) -> list[Json]:
        """The same at any weight, as far as prompts of the concept tell."""
        limits, found = self.setup.limits, []
        if row["hit"] is not None and row["hit"]["value"] < limits.concept:
            found.append({"cause": "not learnt", "value": row["hit"]["value"]})
        if _falls(row["adherence"]) and (gone := lost(row["adherence"], base["follows"])) > limits.adherence:
            found.append({"cause": "adherence", "value": gone})
        if _rises(row["flaws"]) and row["flaws"]["value"] > limits.flaws:
            found.append({"cause": "flaws", "value": row["flaws"]["value"]})
        return found

    # Of one picture; None: not measured.

    def concept(self, one: Seen) -> float | None:
        return float((one.vector - self.zero) @ self.axis) if self.known and one.vector is not None else None

    def hit(self, one: Seen) -> bool | None:
        value = self.concept(one)
        return None if value is None else value >= HIT

    def follows(self, one: Seen) -> float | None:
        cell = one.cell
        if one.vector is None or cell.part not in self.apart:
            return None
        own = _unit(one.vector - self.centres[cell.part, cell.arm, cell.weight])
        return 100 * float(own @ self.apart[cell.part][cell.prompt])

    def moves(self, arm: str) -> dict[int, list[float]]:
        """By prompt, how far ordinary pictures are from the base's of the same seed; 1: as far as the base's of two seeds are apart."""
        base, mine = self.at("ordinary", "base"), self.at("ordinary", arm)
        apart = [
            far for place, one in base.items() for other, next_one in base.items()
            if place[0] == other[0] and place[1] < other[1] and (far := _distance(one, next_one)) is not None
        ]  # fmt: skip
        usual, found = float(np.mean(apart)) if apart else 0.0, dict[int, list[float]]()
        for place in sorted(mine.keys() & base.keys()):
            far = _distance(mine[place], base[place])
            if far is not None and usual > 1e-9:
                found.setdefault(place[0], []).append(far / usual)
        return found


def flawed(one: Seen) -> bool:
    """Whether it is rejected for more than what it shows."""
    return any(flaw.partition(":")[0] not in PROMPTED for flaw in one.flaws)


def _each(seen: Mapping[tuple[int, int], Seen], read: Callable[[Seen], Value | None]) -> dict[int, list[Value]]:
    """By prompt, what is known of its pictures."""
    found: dict[int, list[Value]] = {}
    for (prompt, _), one in sorted(seen.items(), key=lambda pair: pair[0]):
        value = read(one)
        if value is not None:
            found.setdefault(prompt, []).append(value)
    return found


def _paired(
    seen: Mapping[tuple[int, int], Seen], other: Mapping[tuple[int, int], Seen], read: Callable[[Seen], float | None]
) -> dict[int, list[float]]:
    """By prompt, how much more of something there is in `seen` than in `other`, picture by picture of the same seed."""
    found: dict[int, list[float]] = {}
    for place in sorted(seen.keys() & other.keys()):
        a, b = read(seen[place]), read(other[place])
        if a is not None and b is not None:
            found.setdefault(place[0], []).append(float(a) - float(b))
    return found


def _unit(vectors: Reals) -> Reals:
    """Each of length 1, and 0 where there is none."""
    found: Reals = vectors / np.maximum(1e-9, np.linalg.norm(vectors, axis=-1, keepdims=True))
    return found


def _distance(one: Seen, other: Seen) -> float | None:
    return None if one.vector is None or other.vector is None else 1.0 - float(one.vector @ other.vector)


def _falls(change: Json | None) -> bool:
    return change is not None and change["high"] < 0


def _rises(change: Json | None) -> bool:
    return change is not None and change["low"] > 0
