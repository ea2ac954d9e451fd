"""Ad variants: spread evenly, judged by what they brought, more made around winners."""
from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadInput, NotFound
from pipelines.variants import Axis, Tally, around, leaders, load_axes, merits, possible, spread, tally
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who
from studio.variants import Variants

AXES = [Axis("Composition", "parts.composition", ("hero shot", "close-up shot", "wide shot")),
        Axis("Light", "parts.technical", ("soft light", "warm golden light")), Axis("Message", "message", ("SALE", "NEW"))]  # fmt: skip
GIVEN = [{"name": axis.name, "target": axis.target, "options": list(axis.options)} for axis in AXES]


@pytest.fixture
def variants(studio):
    return Variants(studio)


def start(variants: Variants, count: int = 6) -> int:
    plan = variants.plan({"brief": "a red mug", "axes": GIVEN, "count": count, "seed": 3}, LOCAL)
    asked = {"brief": "a red mug", "axes": plan["axes"], "variations": plan["variations"], "fields": {"draft": 1}}
    return variants.start(asked, LOCAL)["id"]


def test_those_that_ship_load():
    assert {axis.target for axis in load_axes()} == {"parts.composition", "parts.technical", "parts.context", "message"}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_spread_is_different_variations_that_cover_the_options_evenly(sizes, count, seed):
    axes = [Axis(f"axis {place}", f"t{place}", tuple(f"{place}.{option}" for option in range(size))) for place, size in enumerate(sizes)]
    chosen = spread(axes, count, seed)
    assert len(chosen) == len(set(chosen)) == min(count, possible(axes))
    assert chosen == spread(axes, count, seed)
    for place, axis in enumerate(axes):
        seen = Counter(one[place] for one in chosen)
        assert set(seen) <= set(axis.options)
        if len(chosen) >= 2 * len(axis.options):
            assert set(seen) == set(axis.options)


def test_twelve_of_hundreds_show_every_option_about_equally_often():
    axes = load_axes()
    chosen = spread(axes, 16, 1)
    for place, axis in enumerate(axes):
        seen = Counter(one[place] for one in chosen)
        assert max(seen.values()) - min(seen[option] for option in axis.options) <= 2


def test_around_winners_is_new_and_near_and_the_promising_come_first():
    winner = ("hero shot", "soft light", "SALE")
    seen = [winner, ("wide shot", "soft light", "SALE")]
    found = around(AXES, [winner], seen, 5, 1, {(2, "NEW"): 0.9})
    assert len(found) == len(set(found)) == 5
    assert not set(found) & set(seen)
    apart = [sum(left != right for left, right in zip(one, winner, strict=True)) for one in found]
    assert apart[:3] == [1, 1, 1] and max(apart) > 1
    assert found[0] == ("hero shot", "soft light", "NEW")
    assert around(AXES, [winner], spread(AXES, 12, 1), 5, 1, {}) == []


def test_who_leads_leads_beyond_chance():
    same = {("a",): Tally(1000, 30), ("b",): Tally(1000, 31), ("c",): Tally(1000, 29)}
    assert leaders(same) == []
    assert leaders(same | {("d",): Tally(1000, 60)}) == [("d",)]
    assert leaders({("a",): Tally(10, 1), ("b",): Tally(10, 0)}) == []
    tallies = tally([Axis("x", "x", ("a", "b", "c"))], same)
    assert tallies[0, "a"] == Tally(1000, 30)
    rare = merits({(0, "a"): Tally(1, 1), (0, "b"): Tally(10_000, 500)})
    assert rare[0, "a"] < 0.2  # one lucky showing proves little


def test_a_brief_becomes_a_batch_whose_prompts_differ_as_planned(studio, variants):
    batch = start(variants)
    view = studio.batches.view(batch, LOCAL)
    assert (view["kind"], view["rows"], view["unit"], view["title"]) == ("variants", 6, "variation", "a red mug")
    studio.batches.runner.look()
    jobs = studio.jobs()
    assert len({job["prompt"] for job in jobs}) == 6
    assert all("red mug" in job["prompt"] and 'sign that says "' in job["prompt"] for job in jobs)
    assert {tuple(job["request"]["texts"]) for job in jobs} == {("SALE",), ("NEW",)}


def test_winners_are_marked_or_read_and_more_is_made_around_them(studio, variants):
    batch = start(variants)
    with pytest.raises(NotNow):
        variants.more(batch, {}, LOCAL)
    assert variants.mark(batch, {"row": 2, "winner": True}, LOCAL)["winners"] == [2]
    table = "Ad name;Impressions;Clicks\n" + "".join(f"0000{n}-hero-001.png;1.000;{60 if n == 5 else 20}\n" for n in range(1, 7))
    stood = variants.take_results(batch, {"csv": table.replace("1.000", "1000")}, LOCAL)
    assert (stood["by"], stood["winners"], stood["read"], stood["led"]) == ("results", [5], 6, 1)
    options = {line["option"]: line for axis in stood["axes"] for line in axis["options"]}
    assert sum(options[name]["shown"] for name in ("SALE", "NEW")) == 6000
    more = variants.more(batch, {"count": 4, "seed": 1}, LOCAL)
    drawn = [tuple(row["cells"].values()) for row in studio.batches.rows(batch, LOCAL)["rows"]]
    assert len(more["variations"]) == 4
    assert not {tuple(one.values()) for one in more["variations"]} & set(drawn)
    keep = {name: more[name] for name in ("brief", "axes", "variations", "fields", "parent", "title")}
    second = variants.start(keep, LOCAL)
    assert second["parent"] == batch
    assert variants.standing(second["id"], LOCAL)["marked"] == 0


@pytest.mark.parametrize(
    "table",
    ["", "a,b\n1,2\n", "variation,clicks\n1,2\n", "variation,impressions,clicks\n99,10,1\n", "variation,impressions,clicks\n1,10,11\n",
     "variation,impressions,clicks\n1,10,1\n1,10,1\n", "variation,impressions,clicks\nx,10,1\n", "variation,impressions,clicks\n1,nan,1\n"],
)  # fmt: skip
def test_results_that_are_none_are_refused_and_change_nothing(variants, table):
    batch = start(variants)
    with pytest.raises(BadInput):
        variants.take_results(batch, {"csv": table}, LOCAL)
    assert variants.standing(batch, LOCAL)["marked"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"axes": []}, "axes"), ({"axes": [{"name": "x"}]}, "axes.0"), ({"axes": [GIVEN[0], GIVEN[0]]}, "axes.1"), ({"brief": ""}, "brief"),
     ({"axes": [{"name": "x", "target": "nowhere", "options": ["a"]}]}, "axes.0.target"), ({"variations": []}, "variations"),
     ({"variations": [{"Colour": "x"}]}, "variations.0"), ({"fields": []}, "brief"), ({"fields": {"size": "9:1"}}, "variations.0")],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_field(variants, change, field):
    asked = {"brief": "a red mug", "axes": GIVEN, "variations": [{"Message": "NEW"}]}
    if change.get("fields") == []:
        asked, change = asked | {"brief": ""}, {}
    with pytest.raises(BadInput) as refused:
        variants.start(asked | change, LOCAL)
    assert refused.value.field == field


def test_a_set_of_variations_begins_a_new_one(variants):
    batch = start(variants)
    again = variants.same(batch, LOCAL)
    assert (again["brief"], again["fields"], len(again["variations"])) == ("a red mug", {"draft": 1}, 6)
    assert variants.start({name: again[name] for name in ("brief", "axes", "variations", "fields")}, LOCAL)["rows"] == 6
    with pytest.raises(NotFound):
        variants.same(batch, Who("ada"))


def test_nobody_else_s(variants):
    batch, ada = start(variants), Who("ada")
    for ask in (variants.more, variants.mark, variants.take_results):
        with pytest.raises(NotFound):
            ask(batch, {"row": 1, "winner": True, "csv": "x"}, ada)
