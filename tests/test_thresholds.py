"""Thresholds learned from verdicts whose truth is known by construction: found where it is, silent where there is none, honest."""
from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.agreement import Share, wilson
from pipelines.judge import Bar
from pipelines.thresholds import FEWEST, Judged, learn

SHARP = {"sharpness": Bar("sharpness", ">=", 30.0, True)}


def people(n: int, at: float = 55.0, noise: float = 0.05, bound: str = ">=", seed: int = 0, soft: float = 0.0) -> list[Judged]:
    """Verdicts of somebody who approves above (or below) `at`, wavers within about `soft` of it, and errs now and then; four a prompt."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        value = float(rng.normal(55, 15))
        felt = value + float(rng.logistic(0, soft)) if soft else value
        good = felt >= at if bound == ">=" else felt <= at
        values = {"sharpness": value, "noise": float(rng.normal(50, 10))}
        made.append(Judged(f"prompt {i // 4}", bool(good ^ (rng.random() < noise)), values))
    return made


@pytest.mark.parametrize("bound", [">=", "<="])
@pytest.mark.parametrize("n", [60, 300, 1500])
def test_the_threshold_that_people_have_in_mind_is_found(n, bound):
    verdicts = people(n, bound=bound)
    found = learn(verdicts, {"sharpness": Bar("sharpness", bound, 30.0, True)})["sharpness"]
    assert found.method == ("isotonic" if n >= 1000 else "logistic")
    assert found.cut is not None and abs(found.cut.threshold - 55) < (6 if n < 100 else 3)
    assert found.cut.low <= found.cut.threshold <= found.cut.high
    assert (found.verdicts, found.approved + found.rejected, found.prompts) == (n, n, n // 4)
    assert found.better and found.then.agreement.value > found.now.agreement.value
    # The person errs in 5 of 100, and so cannot be agreed with more often than that.
    assert found.then.agreement.low < 0.95 < found.then.agreement.high + 0.04


def test_what_is_told_of_errors_holds_for_fresh_pictures():
    found = learn(people(400, seed=1), SHARP)["sharpness"]
    fresh = people(4000, seed=2)
    rejected = [one for one in fresh if not one.approved]
    passing = [one for one in rejected if one.values["sharpness"] >= found.cut.threshold]
    assert found.then.false_accepts.low <= len(passing) / len(rejected) <= found.then.false_accepts.high
    approved = [one for one in fresh if one.approved]
    failing = [one for one in approved if one.values["sharpness"] < found.cut.threshold]
    assert found.then.false_rejects.low <= len(failing) / len(approved) <= found.then.false_rejects.high


def test_a_value_that_tells_nothing_gets_no_threshold():
    for seed in range(5):
        found = learn(people(300, seed=seed), SHARP | {"noise": Bar("noise", ">=", 10.0, True)})
        assert found["noise"].cut is None and found["noise"].why
        assert found["sharpness"].cut is not None


def test_a_value_that_goes_the_other_way_gets_no_threshold():
    found = learn(people(300), {"sharpness": Bar("sharpness", "<=", 120.0, True)})["sharpness"]
    assert found.cut is None and "the other way" in found.why


def test_a_bar_that_only_turns_good_ones_away_is_loosened_to_what_was_seen():
    verdicts = people(400, seed=4)
    bars = SHARP | {"noise": Bar("noise", ">=", 55.0, True)}
    found = learn(verdicts, bars)["noise"]
    lowest = min(one.values["noise"] for one in verdicts if one.approved)
    assert found.method == "seen" and found.better and lowest - 1 < found.cut.threshold <= lowest
    assert found.now.false_rejects.value > 0.5 and found.then.false_rejects.value < 0.05
    assert found.then.false_accepts.value >= found.now.false_accepts.value, "and what that costs is told"
    advice = learn(verdicts, SHARP | {"noise": Bar("noise", ">=", 55.0, False)})["noise"]
    assert advice.cut is None, "what only advises turns nothing away"
    above = learn(verdicts, SHARP | {"noise": Bar("noise", "<=", 45.0, True)})["noise"]
    assert above.cut.threshold >= max(one.values["noise"] for one in verdicts if one.approved)


def test_too_few_verdicts_say_so():
    assert learn([], SHARP)["sharpness"].why == f"0 of {FEWEST} verdicts so far."
    assert learn(people(FEWEST - 1), SHARP)["sharpness"].why == f"{FEWEST - 1} of {FEWEST} verdicts so far."
    assert "rejected" in learn(people(100, at=-100, noise=0), SHARP)["sharpness"].why
    one_prompt = [Judged("the same", one.approved, one.values) for one in people(100)]
    assert "1 prompts" in learn(one_prompt, SHARP)["sharpness"].why
    constant = [Judged(one.group, one.approved, {"sharpness": 50.0}) for one in people(100)]
    assert learn(constant, SHARP)["sharpness"].cut is None


def test_what_was_not_scored_is_not_counted():
    verdicts = [*people(60), Judged("x", False, {}), Judged("y", False, {"sharpness": math.nan})]
    assert learn(verdicts, SHARP)["sharpness"].verdicts == 60


def test_a_reason_speaks_against_its_dimension_only():
    rng = np.random.default_rng(3)
    bars = SHARP | {"adherence": Bar("adherence", ">=", 20.0, True)}
    verdicts = []
    for i in range(400):
        values = {"sharpness": float(rng.normal(55, 15)), "adherence": float(rng.normal(50, 10))}
        failing = frozenset(name for name, least in (("sharpness", 50), ("adherence", 45)) if values[name] < least)
        verdicts.append(Judged(f"p{i}", not failing, values, failing))
    found = learn(verdicts, bars)
    assert abs(found["sharpness"].cut.threshold - 50) < 2.5 and abs(found["adherence"].cut.threshold - 45) < 2.5
    named = sum("adherence" in one.reasons for one in verdicts)
    assert found["adherence"].rejected == named
    # Without reasons the stronger dimension explains what it can, and the other is learned from the rest.
    silent = learn([Judged(one.group, one.approved, one.values) for one in verdicts], bars)
    assert abs(silent["sharpness"].cut.threshold - 50) < 6 and abs(silent["adherence"].cut.threshold - 45) < 6


def test_drawn_ones_stand_for_those_that_were_not():
    """Everybody sees each undecided picture and one rejected in twenty: unweighted, rejections would hardly count."""
    rng = np.random.default_rng(5)
    everything = people(6000, noise=0.1, seed=6)
    seen = []
    for one in everything:
        borderline = 50 <= one.values["sharpness"] <= 62
        chance = 1.0 if borderline else 0.05
        if rng.random() < chance:
            seen.append(Judged(one.group, one.approved, one.values, chance=chance))
    found = learn(seen, SHARP)["sharpness"]
    share = sum(not one.approved and one.values["sharpness"] >= 30 for one in everything) / sum(not one.approved for one in everything)
    assert found.now.false_accepts.low <= share <= found.now.false_accepts.high
    unweighted = learn([Judged(one.group, one.approved, one.values) for one in seen], SHARP)["sharpness"]
    assert abs(found.now.false_accepts.value - share) < abs(unweighted.now.false_accepts.value - share)


def test_surer_means_that_people_look_at_more():
    looked_at = []
    for sure in (0.5, 0.8, 0.94):
        found = learn(people(900, noise=0, soft=5, seed=7), SHARP, sure=sure)["sharpness"]
        looked_at.append(found.undecided.value)
        if sure == 0.5:
            assert found.cut.low == found.cut.threshold == found.cut.high
        else:
            assert found.alone.unwanted.value < found.then.unwanted.value
    assert looked_at[0] == 0 < looked_at[1] < looked_at[2] < 0.8


def test_dear_false_accepts_make_the_bar_higher():
    cheap, dear = (learn(people(600, noise=0.1, seed=8), SHARP, cost=cost)["sharpness"] for cost in (1, 4))
    assert dear.cut.threshold > cheap.cut.threshold
    assert dear.then.false_accepts.value < cheap.then.false_accepts.value


def test_pictures_of_one_prompt_that_share_their_fate_are_worth_fewer():
    rng = np.random.default_rng(9)
    alone, together = [], []
    for i in range(400):
        value = float(rng.normal(55, 15))
        alone.append(Judged(f"p{i}", value >= 50, {"sharpness": value}))
    for i in range(20):
        value = float(rng.normal(55, 15))
        together += [Judged(f"p{i}", value >= 50, {"sharpness": value + float(rng.normal(0, 0.1))}) for _ in range(20)]
    widths = [found.now.unwanted.high - found.now.unwanted.low for found in (learn(v, SHARP)["sharpness"] for v in (alone, together))]
    assert widths[1] > 2 * widths[0]


def test_wilson():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(0, 59)
    assert low == 0 and 0.05 < high < 0.07
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert isinstance(learn(people(60), SHARP)["sharpness"].now.agreement, Share)
