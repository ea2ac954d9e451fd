"""Experiments: intervals that may be looked at at any time, pairs of the same values and seeds, stopping when sure, blind votes."""
from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import numpy as np
import pytest
from histories import ask
from hypothesis import given, settings
from hypothesis import strategies as st
from logins import ADA, BOB, browser
from studios import served, wait_for

from models.errors import BadInput
from models.scorers.catalogue import load_scorers
from pipelines.confidence import confidence_sequence, findable
from pipelines.experiments import Design, Outcome, Pair, Seen, compare, difference_of, told
from studio.experiments import Experiments
from studio.store import experiments
from studio.store.people import LOCAL
from studio.studio import Studio

DIMENSIONS = load_scorers()
ROWS = [{"prompt": "a red mug"}, {"prompt": "a blue vase"}, {"prompt": "a green chair"}]


def design(**changes: Any) -> dict[str, Any]:
    sides = [{"title": "few", "fields": {"steps": 2}}, {"title": "many", "fields": {"steps": 4}}]
    return {"title": "Steps", "sides": sides, "rows": ROWS, "pairs": 12} | changes


def read(**changes: Any) -> Design:
    return Design.from_dict(design(**changes), DIMENSIONS, seed=5)


def seen(passed: bool = True, **values: float) -> Seen:
    return Seen(passed, values)


# Intervals.


def test_zero_is_ruled_out_by_chance_in_at_most_five_of_a_hundred_experiments_however_often_one_looks():
    rng = np.random.default_rng(1)
    alarms = sum(confidence_sequence(rng.choice([-1.0, 0.0, 1.0], 100), 100).first is not None for _ in range(200))
    assert alarms <= 18  # 5 % of 200, and two standard errors of a count of 10


@pytest.mark.parametrize("true", [0.0, 0.3])
def test_the_true_mean_is_in_every_interval_at_once(true):
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(100):
        course = confidence_sequence(np.clip(rng.normal(true, 0.2, 80), -1, 1), 80)
        missed += bool(np.any((course.low > true) | (course.high < true)))
    assert missed <= 10


def test_a_difference_is_found_about_as_often_as_was_told_beforehand():
    rng = np.random.default_rng(3)
    true = findable(0.4, 100)
    found = sum(confidence_sequence(np.clip(rng.normal(true, 0.4, 100), -1, 1), 100).first is not None for _ in range(100))
    assert 65 <= found <= 98


@given(st.lists(st.floats(-1, 1), max_size=40))
@settings(max_examples=60, deadline=None)
def test_an_interval_lies_within_the_one_before_it_and_zero_leaves_it_once(differences):
    course = confidence_sequence(differences, 40)
    assert len(course.low) == len(differences)
    assert np.all(np.diff(course.low) >= 0) and np.all(np.diff(course.high) <= 0)
    assert np.all(course.low <= course.high + 0.011)
    if course.first is not None:
        assert np.all(course.low[course.first - 1 :] >= 0) or np.all(course.high[course.first - 1 :] <= 0)


def test_a_difference_out_of_bounds_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="between -1 and 1"):
        confidence_sequence([0.0, 1.5], 10)


# Designs and findings.


def test_a_design_goes_through_every_row_in_turns_with_a_seed_a_pair():
    plan = read(pairs=9)
    rows = [plan.row_of(number) for number in range(1, 10)]
    assert all(sorted(rows[start : start + 3]) == [0, 1, 2] for start in (0, 3, 6))
    assert rows == [read(pairs=9).row_of(number) for number in range(1, 10)]
    assert len({plan.seed_of(number) for number in range(1, 10)}) == 9
    a, b = plan.request("a", 1), plan.request("b", 1)
    assert a | {"steps": 4} == b and a["prompt"] == "a blue vase" and a["profile"] == "generic"


def test_a_design_comes_back_from_json_as_it_was():
    plan = read(outcome={"kind": "dimension", "dimension": "sharpness"}, least=2.5, votes=3, about="why")
    assert Design.from_dict(json.loads(json.dumps(plan.to_dict())), DIMENSIONS) == plan


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sides": [{"fields": {"steps": 2}}, {"fields": {"steps": 2}}]}, "sides"),
        ({"sides": [{"fields": {"steps": 2}}]}, "sides"),
        ({"sides": [{"fields": {"prompt": "a"}}, {"fields": {}}]}, "sides.a.prompt"),
        ({"sides": [{"fields": {"seed": 2}}, {"fields": {}}]}, "sides.a.seed"),
        ({"rows": [{"prompt": "a"}, {"prompt": "a"}]}, "rows.1"),
        ({"rows": {"prompt": "a"}}, "rows"),
        ({"outcome": {"kind": "dimension"}}, "outcome.dimension"),
        ({"outcome": {"kind": "dimension", "dimension": "sharpnes"}}, "outcome.dimension"),
        ({"outcome": {"kind": "beauty"}}, "kind"),
        ({"outcome": {"kind": "preference"}, "least": 3}, "least"),
        ({"pairs": 2}, "pairs"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_design_that_cannot_be_decided_is_refused_with_its_field(changes, field):
    with pytest.raises(BadInput) as refused:
        read(**changes)
    assert refused.value.field == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*design(), "fields", "prompt"]), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
@settings(max_examples=150, deadline=None)
def test_whatever_json_comes_is_a_design_or_refused(whole, sides, rows):
    for data in (whole, design(sides=sides), design(rows=rows), design(outcome=whole, pairs=sides)):
        with contextlib.suppress(BadInput):
            assert Design.from_dict(data, DIMENSIONS).rows


def outcomes(count: int, **b: float) -> list[Pair]:
    return [Pair(number, seen(sharpness=50.0), seen(**b)) for number in range(1, count + 1)]


def test_who_is_surely_better_is_named_with_the_size_of_the_difference():
    plan = read(outcome={"kind": "dimension", "dimension": "sharpness"}, pairs=40)
    finding = compare(outcomes(40, sharpness=62.0), plan)
    assert finding.which == "b" and finding.at is not None and finding.at < 40
    assert finding.primary.mean == pytest.approx(12.0) and finding.primary.low >= 0 and finding.primary.wins == (0, 40)
    assert told(finding, plan, lambda size: f"{size:.0f} points") == "many is better by 12 points (8 to 14)."


def test_no_difference_is_said_only_when_all_pairs_are_in_and_small_ones_earlier_when_they_do_not_matter():
    plan = read(outcome={"kind": "dimension", "dimension": "sharpness"}, pairs=40)
    same = [Pair(number, seen(sharpness=50.0), seen(sharpness=50.0 + (-1) ** number)) for number in range(1, 41)]
    assert compare(same[:39], plan).which == "open"
    assert (compare(same, plan).which, compare(same, plan).at) == ("none", 40)
    assert compare(same[:38], plan, lost=2).which == "none"
    assert compare(same, plan, more=10).which == "open"
    careful = compare(same, read(outcome={"kind": "dimension", "dimension": "sharpness"}, pairs=40, least=12))
    assert careful.which == "same" and careful.at < 40


def test_less_is_better_where_the_dimension_says_so_and_what_has_no_scale_counts_by_its_sign():
    lower = read(outcome={"kind": "dimension", "dimension": "blockiness"}).outcome
    assert lower.better == "lower"
    assert difference_of(Pair(1, seen(blockiness=10.0), seen(blockiness=5.0)), lower) == pytest.approx(5 / lower.reach)
    wide = read(outcome={"kind": "dimension", "dimension": "longest_side"}).outcome
    assert wide.reach is None
    assert difference_of(Pair(1, seen(longest_side=900), seen(longest_side=4000)), wide) == 1.0
    assert difference_of(Pair(1, seen(), seen(sharpness=3)), lower) is None
    assert difference_of(Pair(1, seen(False), seen(True)), Outcome("passes")) == 1.0
    votes = Pair(1, seen(), seen(), ("a", "b", "b", "tie"))
    assert difference_of(votes, read(outcome={"kind": "preference"}).outcome) == 1.0


def test_a_pair_that_cannot_be_measured_is_told_and_does_not_count():
    plan = read(outcome={"kind": "dimension", "dimension": "sharpness"})
    finding = compare([*outcomes(3, sharpness=51), Pair(4, seen(), seen(sharpness=1))], plan)
    assert finding.unused == (4,) and finding.primary.n == 3


# In a studio without a worker: pairs are drawn by hand.


def finish(studio: Studio, experiment: int, better: str = "b") -> int:
    """Draws and measures what an experiment has in the queue, so that one side passes; how many pictures."""
    drawn = 0
    for one in experiments.pairs(studio.store, experiment):
        for arm, job in (("a", one.job_a), ("b", one.job_b)):
            with studio.store.write() as db:
                good = arm == better
                drawn += db.execute(
                    "UPDATE images SET state = 'drawn', path = 'outputs/' || id || '.png', drawn = '2026-11-21', seconds = 1, verdict = ?"
                    " WHERE job_id = ? AND number = ? AND state != 'drawn'",
                    ["spare" if good else "rejected", job, one.place],
                ).rowcount
                image = db.execute("SELECT id FROM images WHERE job_id = ? AND number = ?", [job, one.place]).fetchone()["id"]
                db.execute(
                    "INSERT OR IGNORE INTO scores (image_id, dimension, value, scorer, version, note)"
                    " VALUES (?, 'sharpness', ?, 't', '1', '')",
                    [image, 70.0 if good else 50.0],
                )
                db.execute("UPDATE tasks SET state = 'done' WHERE job_id = ?", [job])
                db.execute("UPDATE jobs SET state = 'done' WHERE id = ? AND state IN ('queued', 'running')", [job])
    studio.experimenter.advance(experiment)
    return drawn


def begin(door: httpx.Client, **changes: Any) -> dict[str, Any]:
    made = ask(door.post("/api/experiments", json={"design": design(**changes)}), 201)
    return ask(door.post(f"/api/experiments/{made['id']}/start", json={}))


def request_of(studio: Studio, job: int | None) -> dict[str, Any]:
    return json.loads(studio.store.db.execute("SELECT request FROM jobs WHERE id = ?", [job]).fetchone()[0])


def view(door: httpx.Client, experiment: int) -> dict[str, Any]:
    return ask(door.get(f"/api/experiments/{experiment}"))


def test_both_sides_are_drawn_from_the_same_rows_and_seeds_a_few_pairs_at_a_time(studio, door):
    begun = begin(door, pairs=60)
    drawn = experiments.pairs(studio.store, begun["id"])
    assert len(drawn) == 8
    for one in drawn:
        requests = [request_of(studio, job) for job in (one.job_a, one.job_b)]
        assert [request["steps"] for request in requests] == [2, 4]
        assert requests[0]["prompt"] == requests[1]["prompt"] == ROWS[one.row]["prompt"]
        assert requests[0]["seeds"][one.place - 1] == requests[1]["seeds"][one.place - 1] == one.seed
        assert not requests[0]["ladder"] and not requests[1]["retries"]
    studio.experimenter.advance(begun["id"])
    assert len(experiments.pairs(studio.store, begun["id"])) == 8  # nothing new while these are under way


def test_it_stops_as_soon_as_it_is_sure_and_takes_the_rest_out_of_the_queue(studio, door):
    begun = begin(door, pairs=60)
    while view(door, begun["id"])["state"] == "running":
        assert finish(studio, begun["id"])
    ended = view(door, begun["id"])
    result = ended["result"]
    assert (ended["finding"], result["which"]) == ("b", "b") and result["at"] <= result["counted"] < 60
    assert result["passes"]["a"] == 0 and result["passes"]["b"] == result["passes"]["n"] and "many is better" in result["text"]
    sharp = next(one for one in result["dimensions"] if one["name"] == "sharpness")
    assert (sharp["a"], sharp["b"], sharp["mean"]) == (50, 70, 20)
    assert studio.store.db.execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()[0] == 0
    assert ask(door.post(f"/api/experiments/{begun['id']}/extend", json={"pairs": 5}), 409)
    lines = door.get(f"/api/experiments/{begun['id']}/csv").text.splitlines()
    assert lines[0].startswith("pair,row,seed,left out,A: image,A: passed")
    assert len(lines) == 1 + len(experiments.pairs(studio.store, begun["id"]))


def test_what_was_measured_stays_when_the_pictures_go(studio, door):
    begun = begin(door, pairs=8)
    finish(studio, begun["id"])
    before = view(door, begun["id"])["result"]["passes"]
    with studio.store.write() as db:
        db.execute("UPDATE images SET trashed = '2026-11-21'")
    assert view(door, begun["id"])["result"]["passes"] == before
    assert ask(door.get(f"/api/experiments/{begun['id']}/pairs"))["pairs"][0]["a"]["url"] is None


def test_more_pairs_may_be_asked_for_where_nothing_was_found(studio, door):
    begun = begin(door, pairs=4)
    finish(studio, begun["id"], better="neither")
    ended = view(door, begun["id"])
    assert ended["finding"] == "none" and ended["result"]["text"] == "No difference found in 4 pairs."
    more = ask(door.post(f"/api/experiments/{begun['id']}/extend", json={"pairs": 3}))
    assert (more["state"], more["planned"], more["design"]["pairs"]) == ("running", 7, 4)
    finish(studio, begun["id"], better="neither")
    assert view(door, begun["id"])["result"]["text"] == "No difference found in 7 pairs."


def test_a_job_that_failed_leaves_its_pairs_out_and_a_row_of_them_pauses(studio, door):
    begun = begin(door, pairs=40)
    with studio.store.write() as db:
        db.execute("UPDATE jobs SET state = 'failed', error = ?", [json.dumps({"what": "No memory.", "why": "", "todo": ""})])
        db.execute("UPDATE tasks SET state = 'failed'")
    studio.experimenter.advance(begun["id"])
    paused = view(door, begun["id"])
    assert paused["state"] == "paused" and "No memory." in paused["error"]["why"]
    assert len(paused["result"]["left_out"]) == 8 and paused["result"]["counted"] == 0
    assert ask(door.post(f"/api/experiments/{begun['id']}/start", json={}))["state"] == "running"
    assert len(experiments.pairs(studio.store, begun["id"])) == 16


def test_a_crash_between_a_and_b_is_mended(studio, door):
    begun = begin(door, pairs=8)
    with studio.store.write() as db:
        lost = [row[0] for row in db.execute("SELECT DISTINCT job_b FROM experiment_pairs")][-1]
        db.execute("UPDATE experiment_pairs SET job_b = NULL WHERE job_b = ?", [lost])
    studio.experimenter.advance(begun["id"])
    drawn = experiments.pairs(studio.store, begun["id"])
    assert len(drawn) == 8 and all(one.job_b is not None for one in drawn)
    last = max(one.job_b for one in drawn if one.job_b is not None)
    request = request_of(studio, last)
    assert last != lost and request["steps"] == 4 and request["seeds"] == [one.seed for one in drawn if one.job_b == last]


def test_a_design_is_told_what_it_costs_and_what_is_wrong_with_it(studio, door):
    fine = ask(door.post("/api/experiments/plan", json={"design": design()}))
    assert fine["wrong"] is None and (fine["pairs"], fine["pictures"]) == (12, 24) and 0 < fine["findable"]["size"] < 1
    assert fine["changes"] == [{"field": "steps", "a": 2, "b": 4}]
    tier = studio.catalogue.tier("embedded", "preview")[0]
    same = design(sides=[{"fields": {}}, {"fields": {"steps": tier.steps}}])
    for bad, field in [
        (same, "sides"),
        (design(rows=[{"prompt": "a red mug"}, {"prompt": ""}]), "rows.1.prompt"),
        (design(sides=[{"fields": {"steps": 2}}, {"fields": {"steps": 4000}}]), "sides.b.steps"),
        (design(base={"size": "7:8"}), "base.size"),
        (design(profile="nobody"), "profile"),
        (design(outcome={"kind": "dimension", "dimension": "text_match"}), "outcome.dimension"),
    ]:
        assert ask(door.post("/api/experiments/plan", json={"design": bad}))["wrong"]["field"] == field


def test_drafts_have_versions_and_what_has_begun_does_not_change(studio, door):
    made = ask(door.post("/api/experiments", json={"design": design(), "note": "first"}), 201)
    at = f"/api/experiments/{made['id']}"
    again = ask(door.post(at, json={"design": design(pairs=20), "note": "more", "base": 1}))
    assert again["version"] == 2 and [one["note"] for one in again["versions"]] == ["more", "first"]
    assert ask(door.get(at, params={"version": 1}))["design"]["pairs"] == 12
    ask(door.post(at, json={"design": design(), "base": 1}), 409)
    ask(door.post(f"{at}/start", json={}))
    ask(door.post(at, json={"design": design()}), 409)
    copy = ask(door.post(f"{at}/duplicate", json={}), 201)
    assert copy["state"] == "draft" and copy["design"]["pairs"] == 20 and copy["design"]["seed"] != again["design"]["seed"]
    ask(door.post(f"{at}/remove", json={}), 409)
    assert ask(door.post(f"{at}/stop", json={}))["finding"] == "stopped"
    left = ask(door.post(f"{at}/remove", json={}))["experiments"]
    assert [one["id"] for one in left] == [copy["id"]]
    ask(door.get(at), 404)
    assert ask(door.post(f"{at}/restore", json={}))["id"] == made["id"]


def test_versions_of_a_draft_are_compared_and_restored(door):
    made = ask(door.post("/api/experiments", json={"design": design()}), 201)
    at = f"/api/experiments/{made['id']}"
    same = ask(door.post(at, json={"design": made["design"], "base": 1}))
    assert same["version"] == 1  # nothing was said that was not said before
    rows = [ROWS[0], {"prompt": "a white bowl"}]
    ask(door.post(at, json={"design": made["design"] | {"rows": rows, "pairs": 20}, "note": "two rows"}))
    changed = {one["key"]: (one["old"], one["new"]) for one in ask(door.get(f"{at}/changes?old=1&new=2"))["changes"]}
    assert changed == {
        "pairs": ("12", "20"), "rows.2.prompt": ("a blue vase", "a white bowl"), "rows.3.prompt": ("a green chair", None),
    }  # fmt: skip
    back = ask(door.post(f"{at}/design/restore", json={"version": 1}))
    assert (back["version"], back["design"]["pairs"], back["versions"][0]["note"]) == (3, 12, "Restored version 1")
    assert ask(door.get(f"{at}/changes?old=1&new=3"))["changes"] == []
    ask(door.post(f"{at}/design/restore", json={"version": 9}), 404)
    ask(door.post(f"{at}/design/restore", json={}), 422)
    ask(door.post(f"{at}/start", json={}))
    ask(door.post(f"{at}/design/restore", json={"version": 2}), 409)
    assert len(ask(door.get(at))["versions"]) == 3  # to be looked at ever after


def test_a_template_is_compared_at_the_version_it_had(studio, door):
    name = studio.templates.names()[0]
    sides = [{"fields": {"template": {"name": name, "version": None}}}, {"fields": {"template": {"name": name}, "steps": 2}}]
    made = ask(door.post("/api/experiments", json={"design": design(sides=sides, rows=[])}), 201)
    assert [side["fields"]["template"] for side in made["design"]["sides"]] == [{"name": name, "version": 0}] * 2
    unknown = design(sides=[{"fields": {"template": "no-such"}}, {"fields": {}}])
    assert ask(door.post("/api/experiments", json={"design": unknown}), 422)["error"]["field"] == "template"


# Votes.


def prefer(door: httpx.Client, studio: Studio, experiment: int, arm: str) -> dict[str, Any]:
    """Votes for one side on the next pair, found out by its file as no voter could."""
    waiting = ask(door.get(f"/api/experiments/{experiment}/votes"))
    number = waiting["pairs"][0]["number"]
    from studio.voting import Voting

    row = experiments.row_of(studio.store, experiment)
    side = "left" if Voting(studio)._arm(row, number, "left", LOCAL) == arm else "right"
    return ask(door.post(f"/api/experiments/{experiment}/votes", json={"pair": number, "choice": side}))


def test_people_decide_blind_and_only_they(studio, door):
    begun = begin(door, pairs=40, outcome={"kind": "preference"})
    finish(studio, begun["id"])
    assert view(door, begun["id"])["result"]["counted"] == 0
    waiting = ask(door.get(f"/api/experiments/{begun['id']}/votes"))
    assert waiting["left"] >= 8 and "image" not in json.dumps(waiting) and "steps" not in json.dumps(waiting)
    counted = 0
    while (now := view(door, begun["id"]))["state"] == "running":
        if not ask(door.get(f"/api/experiments/{begun['id']}/votes"))["pairs"]:
            finish(studio, begun["id"])
        prefer(door, studio, begun["id"], "a")
        counted += 1
    assert now["finding"] == "a" and now["result"]["primary"]["wins"] == [counted, 0] and "preferred in 100 %" in now["result"]["text"]
    assert counted < 40
    assert ask(door.get(f"/api/experiments/{begun['id']}/votes"))["closed"]
    ask(door.post(f"/api/experiments/{begun['id']}/votes/undo", json={}), 409)


def test_a_vote_is_one_a_person_and_can_be_taken_back(studio, door):
    begun = begin(door, pairs=8, outcome={"kind": "preference"})
    finish(studio, begun["id"])
    at = f"/api/experiments/{begun['id']}/votes"
    first = ask(door.get(at))["pairs"][0]["number"]
    after = ask(door.post(at, json={"pair": first, "choice": "tie"}))
    assert after["given"] == 1 and after["left"] == 7 and after["pairs"][0]["number"] != first
    ask(door.post(at, json={"pair": first, "choice": "left"}), 409)
    back = ask(door.post(f"{at}/undo", json={}))
    assert back["pairs"][0]["number"] == first and (back["given"], back["left"]) == (0, 8)
    passed = ask(door.post(at, json={"pair": first, "choice": "pass"}))
    assert passed["given"] == 0 and view(door, begun["id"])["result"]["counted"] == 0
    ask(door.post(at, json={"pair": 99, "choice": "left"}), 404)
    ask(door.post(at, json={"pair": first, "choice": "both"}), 422)


def test_which_side_is_which_differs_from_person_to_person_and_pair_to_pair(studio):
    from studio.store.people import Who
    from studio.voting import Voting

    row = {"secret": "s", "id": 1}
    voting = Voting(studio)
    sides = {(number, name): voting._arm(row, number, "left", Who(name)) for number in range(40) for name in ("ada", "bob")}
    assert 20 < list(sides.values()).count("a") < 60
    assert any(sides[number, "ada"] != sides[number, "bob"] for number in range(40))
    assert all({voting._arm(row, number, side, Who("ada")) for side in ("left", "right")} == {"a", "b"} for number in range(40))


def test_others_see_and_vote_only_on_what_is_shared_with_them(guarded, address):
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        begun = begin(ada, pairs=8, outcome={"kind": "preference"}, votes=2)
        at = f"/api/experiments/{begun['id']}"
        finish(guarded, begun["id"])
        for path in (at, f"{at}/votes", f"{at}/pairs", f"{at}/pairs/1/left", f"{at}/csv"):
            assert bob.get(path).status_code == 404
        ask(ada.post(f"{at}/share", json={"with": "*"}))
        assert ask(bob.get(at))["mine"] is False
        for act in ("pause", "stop", "remove"):
            ask(bob.post(f"{at}/{act}", json={}), 404)
        pair = ask(bob.get(f"{at}/votes"))["pairs"][0]["number"]
        ask(bob.post(f"{at}/votes", json={"pair": pair, "choice": "tie"}))
        assert view(ada, begun["id"])["result"]["counted"] == 0  # two people look at each pair
        ask(ada.post(f"{at}/votes", json={"pair": pair, "choice": "tie"}))
        assert view(ada, begun["id"])["result"]["counted"] == 1
        assert ask(bob.post(f"{at}/duplicate", json={}), 201)["mine"] is True


# With a worker.


@pytest.mark.slow
def test_an_experiment_runs_through_and_goes_on_after_a_restart(start_studio, tmp_path):
    studio = start_studio(0.02)
    room = Experiments(studio)
    made = room.save(None, {"design": design(pairs=24)}, LOCAL)["id"]
    room.start(made, {}, LOCAL)
    wait_for(lambda: room.view(made, LOCAL)["result"]["drawn"] >= 4, "the first pairs")
    studio.stop()
    again = start_studio(0.0)
    room = Experiments(again)
    ended = wait_for(lambda: (now := room.view(made, LOCAL))["state"] == "ended" and now, "the experiment to end")
    drawn = experiments.pairs(again.store, made)
    assert [one.number for one in drawn] == list(range(1, 25)) and ended["finding"] == "none"
    jobs = again.store.db.execute("SELECT id, draft FROM jobs").fetchall()
    assert sum(job["draft"] for job in jobs) == 48  # each picture once
    with served(again) as address, httpx.Client(base_url=address) as client:
        at = f"/api/experiments/{made}/pairs/1"
        left, right = (client.get(f"{at}/{side}") for side in ("left", "right"))
        assert left.headers["content-type"] == "image/png" and right.status_code == 200
        assert client.get(f"{at}/middle").status_code == 404
