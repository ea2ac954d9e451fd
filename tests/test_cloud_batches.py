"""Batches that providers may draw say what all of it costs before it starts; experiments never leave this machine."""
from __future__ import annotations

from typing import Any

import httpx
import pytest
from clouds import DOLLAR, charges, draw, far_away, set_budget, with_cloud

from models.cloud.catalogue import load_providers, price_micro
from models.cloud.demo import DemoProviders
from studio.providers import place_of
from studio.store.people import LOCAL
from studio.studio import Studio

TABLE = b"prompt,draft\na red mug,2\na blue bowl,2\na green box,3\n"
FIELDS = {"family": "flux1", "tier": "preview", "size": "1:1", "keep": 1, "retries": 0}
ONE = price_micro(load_providers()["fal"].model("fal-ai/flux/schnell"), 512, 512, None, 1)


@pytest.fixture(scope="module")
def demos():
    with DemoProviders(draw) as found:
        yield found


@pytest.fixture
def cloudy(studio: Studio, demos: DemoProviders) -> Studio:
    set_budget(studio.store, DOLLAR)
    studio.providers.stand_in({name: place_of(one) for name, one in demos.providers.items()}, demos.env)
    with_cloud(studio, "fal", budget=DOLLAR)
    studio.shelf.licences.accept("flux1-dev", LOCAL)
    return studio


def asked(door: httpx.Client, **fields: Any) -> dict[str, Any]:
    raw = {"Content-Type": "application/octet-stream"}
    catalogue = door.post("/api/batches/catalogues", content=TABLE, headers=raw, params={"name": "autumn.csv"}).json()
    return {"catalogue": catalogue["id"], "columns": {"prompt": "prompt", "draft": "draft"}, "fields": FIELDS | fields}


def test_a_batch_stays_here_unless_it_is_told_otherwise(cloudy, door):
    data = asked(door)
    assert door.post("/api/batches/check", json=data).json()["quote"] is None
    assert door.post("/api/batches", json=data).status_code == 201
    cloudy.batches.runner.look()
    cloudy.cloud.dispatcher.look()
    assert {job["where"] for job in cloudy.jobs()} == {"local"} and charges(cloudy.store) == []


def test_what_the_whole_batch_would_cost_is_said_before_and_not_exceeded(cloudy, door):
    data = asked(door, where="cloud allowed")
    quote = door.post("/api/batches/check", json=data).json()["quote"]
    assert quote["able"] and quote["expected_micro"] == 7 * ONE == quote["at_most_micro"]
    assert quote["words"] == "7 pictures by fal at $0.003" and quote["left_micro"] == DOLLAR
    far_away(cloudy)
    assert door.post("/api/batches", json=data).status_code == 201
    cloudy.batches.runner.look()
    for _ in range(3):
        cloudy.cloud.dispatcher.look()
    reserved = sum(row["reserved"] for row in charges(cloudy.store))
    assert 0 < reserved <= quote["expected_micro"]

    set_budget(cloudy.store, 6 * ONE + reserved)
    short = door.post("/api/batches/check", json=data).json()["quote"]
    assert not short["able"] and "$0.021" in short["why"] and "$0.018" in short["why"]


def test_a_batch_that_may_not_be_paid_pauses_and_says_why(cloudy, door):
    data = asked(door, where="cloud allowed")
    far_away(cloudy)
    batch = door.post("/api/batches", json=data).json()["id"]
    cloudy.store.db.execute("DELETE FROM budgets")
    cloudy.batches.runner.look()
    view = door.get(f"/api/batches/{batch}").json()
    assert view["state"] == "paused" and "No budget is set" in view["why"]
    assert charges(cloudy.store) == []


def test_ad_variants_say_their_price_too(cloudy, door):
    plan = door.post("/api/batches/variants/plan", json={"brief": "a red mug", "count": 4}).json()
    fields = FIELDS | {"draft": 2, "where": "cloud allowed"}
    variations = [{axis["name"]: one.get(axis["name"], "") for axis in plan["axes"]} for one in plan["variations"]]
    given = {"brief": "a red mug", "axes": plan["axes"], "variations": variations, "fields": fields}
    found = door.post("/api/batches/variants/check", json=given)
    assert found.status_code == 200, found.text
    assert found.json()["quote"]["expected_micro"] == 8 * ONE
    given["fields"]["where"] = "local"
    assert door.post("/api/batches/variants/check", json=given).json()["quote"] is None


def test_the_licence_is_said_where_it_is_chosen(cloudy, door):
    free = door.post("/api/cloud/quote", json=FIELDS | {"prompt": "a mug", "draft": 1}).json()
    assert free["able"] and free["licence_words"] == ""
    dev = door.post("/api/cloud/quote", json=FIELDS | {"prompt": "a mug", "draft": 1, "tier": "standard", "ladder": False}).json()
    assert dev["licence_words"] == (
        "FLUX.1 dev at fal: marked for commercial use by fal. FLUX.1-dev here: FLUX.1 [dev] Non-Commercial License."
    )
    fal = next(one for one in door.get("/api/cloud").json()["providers"] if one["name"] == "fal")
    said = {one["id"]: (one["licence"], one["licence_date"], one["licence_url"]) for one in fal["models"]}
    assert said["fal-ai/flux/dev"] == ("marked for commercial use by fal", "2026-11-21", "https://fal.ai/models/fal-ai/flux/dev/api")
    assert said["fal-ai/flux-pro/kontext"] == ("the terms of fal", "", fal["terms"])


def design(**changes: Any) -> dict[str, Any]:
    sides = [{"title": "few", "fields": {"steps": 2}}, {"title": "many", "fields": {"steps": 4}}]
    base, rows = {"family": "flux1"}, [{"prompt": "a red mug"}]
    return {"sides": sides, "base": base, "rows": rows, "outcome": {"kind": "passes"}, "pairs": 8} | changes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"base": {"family": "flux1", "where": "cloud allowed"}}, "base.where"),
        ({"rows": [{"prompt": "a red mug", "where": "cloud allowed"}]}, "rows.0.where"),
    ],
)
def test_an_experiment_is_drawn_here_whatever_it_asks(cloudy, door, changes, field):
    made = door.post("/api/experiments", json={"design": design(**changes)}).json()
    refusal = door.post(f"/api/experiments/{made['id']}/start", json={})
    assert refusal.status_code == 422 and refusal.json()["error"]["field"] == field
    # One that was begun before this was refused.
    cloudy.store.db.execute("UPDATE experiments SET state = 'running' WHERE id = ?", [made["id"]])
    cloudy.experimenter.advance(made["id"])
    cloudy.cloud.dispatcher.look()
    assert cloudy.jobs() and {job["where"] for job in cloudy.jobs()} == {"local"}
    assert charges(cloudy.store) == []
