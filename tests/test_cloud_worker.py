"""From a request to a picture that a provider drew: dispatch, calls, money and rows, against demo providers on the loopback."""
from __future__ import annotations

import time
from pathlib import Path

import pytest
from clouds import ASKED, charges, cloud_worker, settled_down, spent, with_cloud
from studios import wait_for

from models.cards import Catalogue
from models.cloud.demo import DemoProviders, Fault
from models.errors import Unavailable
from pipelines.health import Healths
from studio.store import cloudhealth, jobs, ledger
from studio.store.people import LOCAL, Who
from studio.studio import Studio


@pytest.mark.parametrize("provider", ["fal", "replicate", "together", "bfl", "openai"])
def test_a_request_is_drawn_by_a_provider_and_paid_to_the_micro_dollar(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, provider: str
) -> None:
    with_cloud(cloudy, provider)
    family, tier = ("flux2-klein", "standard") if provider == "bfl" else ("flux1", "preview")
    asked = {**ASKED, "family": family, "tier": tier, "draft": 2, "keep": 1}
    job = cloudy.submit(asked)["id"]
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    drawn = [one for one in view["images"] if one["state"] == "drawn"]
    assert len(drawn) == 2
    assert all(one["place"].startswith(f"{provider} ") and one["seconds"] is None for one in drawn)
    assert all((tmp_path / "data" / row["path"]).is_file() for row in cloudy.store.db.execute("SELECT path FROM images"))
    assert {row["state"] for row in charges(cloudy.store)} == {"settled"}
    assert spent(cloudy.store) == demos[provider].billed_micro > 0
    assert demos[provider].leaks == []
    assert provider in view["route"].lower() or view["route"]
    assert view["where"] == "cloud allowed"


@pytest.mark.slow
def test_two_hundred_requests_keep_to_the_limits_and_leave_nothing_behind(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "fal", "together", "replicate")
    for name in ("ada", "bob", "eve", "kim"):
        cloudy.store.db.execute("INSERT INTO persons (name, title, created) VALUES (?, ?, '2026')", [name, name])
    people = [Who(name) for name in ("ada", "bob", "eve", "kim")]
    # Ada's hundred come first; the others' still get their turns.
    order = [people[0]] * 101 + [people[1 + place % 3] for place in range(99)]
    for place, who in enumerate(order):
        cloudy.submit({**ASKED, "draft": 1, "keep": 1, "seed": place, "prompt": f"a mug, number {place}"}, who)
    with cloud_worker(tmp_path / "data", shipped) as worker:
        wait_for(lambda: _looked(cloudy) and _all_drawn(cloudy, 200), "200 pictures", 150.0)
        wait_for(lambda: not worker.caller.runs, "the calls to end", 20.0)
    limits = {name: cloudy.providers.one(name).limits.concurrency for name in ("fal", "together", "replicate")}
    assert all(demos[name].most_at_once <= limits[name] for name in limits)
    assert spent(cloudy.store) == demos.billed_micro
    assert {row["state"] for row in charges(cloudy.store)} <= {"settled", "released"}
    turns = [row["person"] for row in cloudy.store.db.execute("SELECT person FROM charges ORDER BY id LIMIT 80")]
    assert all(turns.count(name) >= 15 for name in ("ada", "bob", "eve", "kim"))
    assert not list((tmp_path / "data" / "cloud").glob("*"))


def _looked(studio: Studio) -> bool:
    studio.cloud.dispatcher.look()
    return True


def _all_drawn(studio: Studio, count: int) -> bool:
    return studio.store.db.execute("SELECT count(*) FROM images WHERE state = 'drawn'").fetchone()[0] == count


def test_a_slow_preview_is_hedged_and_both_calls_are_paid_or_given_back(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "together", "fal")
    for name in ("together", "fal"):
        demos[name].faults.append(Fault("slow", seconds=6.0))
    demos["fal"].faults.clear()
    learned = Healths(cloudhealth.policy().health)
    for _ in range(60):  # both are known to be quick, so that the second call goes out soon
        for name in ("together", "fal"):
            for model in cloudy.providers.one(name).models:
                learned = learned.observe(name, model, "ok", 0.2, time.time())
    with cloudy.store.write() as db:
        cloudhealth.change(db, lambda _: learned)
    job = cloudy.submit({**ASKED, "draft": 1, "keep": 1})["id"]
    with cloud_worker(tmp_path / "data", shipped) as worker:
        _looked(cloudy)
        first = charges(cloudy.store)[0]
        wait_for(lambda: cloudy.job(job)["images"][0]["state"] == "drawn", "the hedge's picture", 20.0)
        wait_for(lambda: not worker.caller.runs, "the slower call", 20.0)
    rows = charges(cloudy.store)
    assert [row["hedge_of"] for row in rows] == [None, first["id"]]
    assert {row["provider"] for row in rows} == {"together", "fal"}
    assert {row["state"] for row in rows} <= {"settled", "released"}, [dict(row) for row in rows]
    assert spent(cloudy.store) == demos.billed_micro
    assert len(cloudy.job(job)["images"]) == 1


def test_what_failed_at_one_provider_is_drawn_by_another_and_paid_once(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "fal", "replicate")
    for name in ("fal", "replicate"):
        demos[name].faults.append(Fault("failed"))
    job = cloudy.submit({**ASKED, "draft": 1, "keep": 1})["id"]
    _looked(cloudy)
    first = charges(cloudy.store)[0]["provider"]
    for name in {"fal", "replicate"} - {first}:
        demos[name].faults.clear()
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    rows = charges(cloudy.store)
    assert [row["state"] for row in rows] == ["released", "settled"]
    assert rows[0]["provider"] != rows[1]["provider"]
    assert view["images"][0]["place"].startswith(rows[1]["provider"])
    assert spent(cloudy.store) == demos.billed_micro


def test_a_refusal_is_never_routed_around(cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue) -> None:
    with_cloud(cloudy, "fal", "together", "replicate")
    for demo in demos.values():
        demo.faults.append(Fault("refused"))
    job = cloudy.submit({**ASKED, "draft": 1, "keep": 1})["id"]
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    assert view["state"] == "failed"
    assert "refused" in view["error"]["what"]
    assert len(charges(cloudy.store)) == 1
    assert sum(len(demo.jobs) for demo in demos.values()) == 1


def test_a_lost_answer_is_held_and_somebody_else_is_asked_only_within_the_budget(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "fal", budget=4000)  # one picture and a third
    demos["fal"].faults.append(Fault("reset"))
    job = cloudy.submit({**ASKED, "draft": 1, "keep": 1})["id"]
    with cloud_worker(tmp_path / "data", shipped):
        _looked(cloudy)
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "uncertain", "the lost answer", 20.0)
        time.sleep(0.2)
        _looked(cloudy)
        view = cloudy.job(job)
        assert [row["state"] for row in charges(cloudy.store)] == ["uncertain"]
        assert view["state"] in ("queued", "running")
        assert "$0.001" in view["route"]  # what is left
        with cloudy.store.write() as db:
            ledger.resolve(db, charges(cloudy.store)[0]["id"], False, "local")
        view = settled_down(cloudy, job)
    assert view["images"][0]["state"] == "drawn"
    assert [row["state"] for row in charges(cloudy.store)] == ["released", "settled"]


def test_a_job_that_is_cancelled_sends_nothing_more_and_gives_back_what_was_reserved(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "fal")
    job = cloudy.submit({**ASKED, "draft": 2, "keep": 1})["id"]
    _looked(cloudy)
    assert {row["state"] for row in charges(cloudy.store)} == {"reserved"}
    cloudy.cancel(job)
    _looked(cloudy)
    assert {row["state"] for row in charges(cloudy.store)} == {"released"}
    with cloud_worker(tmp_path / "data", shipped):
        time.sleep(0.3)
    assert demos.billed_micro == 0


def test_a_job_cancelled_under_way_keeps_what_was_paid_for(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "together")
    demos["together"].faults.append(Fault("slow", seconds=1.0))
    job = cloudy.submit({**ASKED, "draft": 1, "keep": 1})["id"]
    with cloud_worker(tmp_path / "data", shipped):
        _looked(cloudy)
        wait_for(lambda: demos["together"].active, "the call", 20.0)
        cloudy.cancel(job)
        view = settled_down(cloudy, job)
    assert view["state"] == "cancelled"
    assert view["images"][0]["state"] == "drawn"
    assert spent(cloudy.store) == demos.billed_micro > 0
    assert cloudy.store.db.execute("SELECT count(*) FROM tasks WHERE kind = 'judge' AND state = 'waiting'").fetchone()[0] == 1


def test_nothing_leaves_while_the_cloud_is_off_or_without_a_budget_or_where_it_is_to_stay(cloudy: Studio, demos: DemoProviders) -> None:
    asked = {**ASKED, "draft": 1, "keep": 1}
    with pytest.raises(Unavailable, match="switched off"):
        cloudy.submit(asked)
    with_cloud(cloudy, "fal", budget=None)
    with pytest.raises(ledger.OverBudget, match="No budget is set"):
        cloudy.submit(asked)
    with_cloud(cloudy, "fal", budget=1000)
    with pytest.raises(ledger.OverBudget, match=r"\$0\.003.*\$0\.001"):
        cloudy.submit(asked)
    with_cloud(cloudy, "fal")
    cloudy.settings.set({"cloud.stay": True}, LOCAL)
    with pytest.raises(Unavailable, match="stay on this machine"):
        cloudy.submit(asked)
    cloudy.settings.set({"cloud.stay": False}, LOCAL)
    cloudy.store.db.execute("INSERT INTO projects (name, title, created, local_only) VALUES ('secret', 'Secret', '2026', 1)")
    job = cloudy.submit(asked)["id"]
    cloudy.store.db.execute("UPDATE jobs SET shared = 'secret' WHERE id = ?", [job])
    _looked(cloudy)
    assert charges(cloudy.store) == []
    assert "Secret stays on this machine" in cloudy.job(job)["route"]
    assert demos.billed_micro == 0


def test_this_machine_goes_first_unless_it_is_busy_for_too_long(studio: Studio, demos: DemoProviders) -> None:
    with_cloud(studio, "fal", wait=3600)
    job = studio.submit({**ASKED, "draft": 2, "keep": 1})["id"]
    _looked(studio)
    assert charges(studio.store) == []
    studio.settings.set({"cloud.wait_seconds": 0}, LOCAL)
    _looked(studio)
    assert {row["provider"] for row in charges(studio.store)} == {"fal"}
    assert jobs.lease(studio.store, "device", 60.0) is None  # it is no longer the device's
    assert jobs.release_leases(studio.store, blame=True) == []
    assert "busy" in studio.job(job)["route"]


def test_a_local_request_never_leaves_however_busy_it_is(studio: Studio, demos: DemoProviders) -> None:
    with_cloud(studio, "fal")
    studio.submit({**ASKED, "where": "local", "draft": 2, "keep": 1})
    _looked(studio)
    assert charges(studio.store) == []


def test_a_provider_that_names_a_higher_price_has_that_much_held_and_settled(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "bfl")
    demos["bfl"].faults.append(Fault("drift", factor=2))
    job = cloudy.submit({**ASKED, "family": "flux2-klein", "tier": "standard", "draft": 1, "keep": 1})["id"]
    with cloud_worker(tmp_path / "data", shipped):
        settled_down(cloudy, job)
    (charge,) = charges(cloudy.store)
    assert charge["settled"] == demos["bfl"].billed_micro == charge["reserved"] == 2 * charge["expected"]
    assert charge["told"] == 1
