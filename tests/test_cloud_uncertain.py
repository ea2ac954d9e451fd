"""Calls of which nobody knew whether they were billed: what the studio finds out by itself, from the provider's own word."""
from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from clouds import ASKED, charges, cloud_worker, draw, far_away, settled_down, spent, with_cloud
from studios import wait_for

from models.cards import Catalogue
from models.cloud import engine_for
from models.cloud.demo import Demo, DemoProviders, Fault, TurnedClock, serving
from models.cloud.spec import Call, CloudError, Recording
from models.cloud.transport import Transport
from pipelines.health import Healths
from studio import cloudrecords, cloudworker
from studio.providers import place_of
from studio.store import cloudhealth
from studio.store.people import LOCAL
from studio.studio import Studio

PROVIDERS = ("fal", "replicate", "together", "bfl", "openai")
DRAWS_SECONDS = 1.2


def ask(studio: Studio, provider: str, **more: object) -> int:
    family = "flux2-klein" if provider == "bfl" else "flux1"
    return studio.submit({**ASKED, "family": family, "tier": "preview", "draft": 1, "keep": 1, **more})["id"]


def known_to_take(studio: Studio, seconds: dict[str, float]) -> None:
    """So that a second call goes out soon."""
    learned = Healths(cloudhealth.policy().health)
    for _ in range(60):
        for name, took in seconds.items():
            for model in studio.providers.one(name).models:
                learned = learned.observe(name, model, "ok", took, time.time())
    with studio.store.write() as db:
        cloudhealth.change(db, lambda _: learned)


# What is asked to end.


@pytest.mark.slow
@pytest.mark.parametrize("where", ["queued", "running"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_is_cancelled_is_settled_or_given_back_without_anybody_s_help(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, provider: str, where: str
) -> None:
    with_cloud(cloudy, provider)
    demo = demos[provider]
    if where == "queued":
        demo.queue_seconds = DRAWS_SECONDS
    else:
        demo.faults.append(Fault("slow", seconds=DRAWS_SECONDS))
    job = ask(cloudy, provider)
    with cloud_worker(tmp_path / "data", shipped) as worker:
        cloudy.cloud.dispatcher.look()
        wait_for(lambda: [one for one in demo.jobs.values() if one.state == where], "the provider to have it", 10.0)
        if provider in ("fal", "replicate", "bfl"):
            wait_for(lambda: charges(cloudy.store)[0]["state"] == "submitted", "its number", 10.0)
        cloudy.cancel(job)
        wait_for(lambda: not worker.caller.runs, "the call to end", 20.0)
    (charge,) = charges(cloudy.store)
    assert charge["state"] == ("settled" if demo.billed_micro else "released")
    assert spent(cloudy.store) == demo.billed_micro
    assert (demo.billed_micro == 0) == (where == "queued" and provider in ("fal", "replicate"))


@pytest.mark.parametrize("slow", ["replicate", pytest.param("fal", marks=pytest.mark.slow)])
def test_the_slower_of_a_hedged_pair_asks_nobody_whether_it_was_billed_and_is_not_held_against_its_provider(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, slow: str
) -> None:
    other = "fal" if slow == "replicate" else "replicate"
    with_cloud(cloudy, slow, other)
    known_to_take(cloudy, {slow: 0.1, other: 0.4})  # they cost the same
    demos[slow].faults.append(Fault("slow", seconds=2.5))
    job = ask(cloudy, slow)
    with cloud_worker(tmp_path / "data", shipped) as worker:
        cloudy.cloud.dispatcher.look()
        first = charges(cloudy.store)[0]
        wait_for(lambda: cloudy.job(job)["images"][0]["state"] == "drawn", "the hedge's picture", 20.0)
        wait_for(lambda: not worker.caller.runs, "the slower call", 20.0)
    rows = charges(cloudy.store)
    assert {row["state"] for row in rows} <= {"settled", "released"}, [dict(row) for row in rows]
    assert first["provider"] == slow and [row["hedge_of"] for row in rows] == [None, first["id"]]
    assert spent(cloudy.store) == demos.billed_micro
    with cloudy.store.write() as db:
        told = cloudhealth.read(db).view(slow, rows[0]["model"], (0.1, 0.1), time.time())
    assert told.error_rate < 0.02


# Answers that were lost.


def test_a_lost_answer_is_found_in_the_provider_s_record_and_its_picture_collected(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "replicate")
    demos["replicate"].faults.append(Fault("reset"))
    job = ask(cloudy, "replicate")
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    (charge,) = charges(cloudy.store)
    assert view["images"][0]["state"] == "drawn"
    assert charge["state"] == "settled" and charge["request_id"] in demos["replicate"].jobs
    assert len(demos["replicate"].jobs) == 1
    assert spent(cloudy.store) == demos.billed_micro > 0


def test_what_a_worker_left_without_a_number_is_found_by_the_next_one(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cloud(cloudy, "replicate", budget=4000)  # one picture, so that nobody else is asked meanwhile
    monkeypatch.setattr(cloudrecords, "LOOKS", ())
    demos["replicate"].faults.append(Fault("reset"))
    job = ask(cloudy, "replicate")
    with cloud_worker(tmp_path / "data", shipped):
        cloudy.cloud.dispatcher.look()
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "uncertain", "the lost answer", 20.0)
    with cloud_worker(tmp_path / "data", shipped) as worker:
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "settled", "the record", 20.0)
        wait_for(lambda: not worker.caller.runs, "the picture")
    assert len(charges(cloudy.store)) == len(demos["replicate"].jobs) == 1
    assert cloudy.job(job)["images"][0]["state"] == "drawn"
    assert spent(cloudy.store) == demos.billed_micro > 0


def test_what_is_in_no_record_after_minutes_is_given_back_and_drawn(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cloud(cloudy, "replicate", budget=4000)
    monkeypatch.setattr(cloudrecords, "LOOKS", (0.1,))
    monkeypatch.setattr(cloudworker, "UNCERTAIN_SECONDS", 0.2)
    demos["replicate"].faults.append(Fault("reset", accepted=False))
    job = ask(cloudy, "replicate")
    with cloud_worker(tmp_path / "data", shipped):
        cloudy.cloud.dispatcher.look()
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "uncertain", "the lost answer", 20.0)
        looks = len(demos["replicate"].seen(method="GET"))
        wait_for(lambda: len(demos["replicate"].seen(method="GET")) > looks, "another look", 20.0)
        assert charges(cloudy.store)[0]["state"] == "uncertain"  # it might still be on its way
        monkeypatch.setattr(cloudrecords, "SURE_SECONDS", 0.0)
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "released", "the record's silence", 20.0)
        view = settled_down(cloudy, job)
    assert view["images"][0]["state"] == "drawn"
    assert [row["state"] for row in charges(cloudy.store)] == ["released", "settled"]
    assert spent(cloudy.store) == demos.billed_micro > 0


def test_a_result_that_is_gone_was_drawn_and_is_settled(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue
) -> None:
    with_cloud(cloudy, "fal", "replicate")
    demos["fal"].faults.append(Fault("gone", at="result", times=9))
    job = ask(cloudy, "fal")
    cloudy.settings.set({"cloud.providers": ["fal"]}, LOCAL)
    cloudy.cloud.dispatcher.look()
    cloudy.settings.set({"cloud.providers": ["fal", "replicate"]}, LOCAL)
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    assert view["images"][0]["state"] == "drawn"
    assert [(row["provider"], row["state"]) for row in charges(cloudy.store)] == [("fal", "settled"), ("replicate", "settled")]
    assert spent(cloudy.store) == demos.billed_micro


def test_what_was_sent_is_not_given_back_because_the_key_is_gone(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cloud(cloudy, "fal", budget=4000)
    monkeypatch.setattr(cloudworker, "UNCERTAIN_SECONDS", 0.2)
    demos["fal"].faults.append(Fault("slow", seconds=0.5))
    job = ask(cloudy, "fal")
    with cloud_worker(tmp_path / "data", shipped):
        cloudy.cloud.dispatcher.look()
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "submitted", "the submit", 20.0)
    (name,) = [name for name, key in demos.env.items() if key == demos["fal"].key]
    monkeypatch.delenv(name)
    with cloud_worker(tmp_path / "data", shipped):
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "uncertain", "the missing key", 20.0)
        time.sleep(0.5)
        assert charges(cloudy.store)[0]["state"] == "uncertain"
        monkeypatch.setenv(name, demos["fal"].key)
        wait_for(lambda: charges(cloudy.store)[0]["state"] == "settled", "the key", 20.0)
    assert cloudy.job(job)["images"][0]["state"] == "drawn"
    assert spent(cloudy.store) == demos.billed_micro > 0


# The record itself.


def test_a_record_gives_each_lost_call_another_request_and_leaves_out_what_is_known() -> None:
    async def run() -> None:
        clock = TurnedClock()
        async with serving("replicate", draw, clock) as demo, Transport() as transport:
            engine = engine_for(demo.provider, demo.key, transport)
            assert isinstance(engine, Recording)
            calls = [_call(demo, seed) for seed in (1, 2, 2, 3)]
            soon = transport.clock() + 60
            own, *others = [(await engine.submit(call, soon)).request_id for call in calls]
            for seed in range(100, 220):  # so that what is looked for lies on the list's second page
                await engine.submit(_call(demo, seed), soon)
            since, until = clock.now() - 60, clock.now() + 60
            waiting = True

            async def known(provider: str) -> set[str]:
                return {own}

            records = cloudrecords.Records(lambda provider: not waiting, known)
            with pytest.raises(CloudError, match="no number yet"):
                await records.find(engine, _call(demo, 2), since + 60)  # it might be the other one's
            waiting = False
            found = [await records.find(engine, _call(demo, 2), since + 60) for _ in range(3)]
            assert [ticket.request_id if ticket else None for ticket in found] == [*others[:2], None]
            assert await engine.recorded(_call(demo, 1), since, until, {own}) == []
            assert await engine.recorded(_call(demo, 1), until, until + 60, set()) == []
            assert [one.request_id for one in await engine.recorded(_call(demo, 3), since, until, set())] == [others[2]]
            assert found[0] is not None
            assert (await engine.collect(found[0], transport.clock() + 60)).billed_micro == demo.billed[0].micro
            clock.advance(2 * 3600)  # the inputs are gone by now
            with pytest.raises(CloudError, match="no longer tells"):
                await engine.recorded(_call(demo, 9), since, until, set())
            assert not demo.leaks

    asyncio.run(run())


def _call(demo: Demo, seed: int) -> Call:
    return Call("replicate", "black-forest-labs/flux-schnell", "a red mug", 256, 256, (seed,))


def test_only_who_keeps_a_record_is_asked_for_it(demos: DemoProviders) -> None:
    async def run() -> set[str]:
        async with Transport() as transport:
            return {name for name, demo in demos.items() if isinstance(engine_for(demo.provider, demo.key, transport), Recording)}

    assert asyncio.run(run()) == {"replicate"}


# The end of a page.


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["together", "openai", "replicate"])
def test_a_page_that_is_stopped_in_the_middle_of_a_call_loses_no_answer(
    tmp_path: Path, shipped: Catalogue, provider: str
) -> None:
    def studio_of(demos: DemoProviders) -> Studio:
        studio = Studio(tmp_path / "data", shipped, engine="scripted:0.3")
        studio.providers.stand_in({name: place_of(one) for name, one in demos.providers.items()}, demos.env)
        far_away(studio)
        return studio

    with DemoProviders(draw) as demos:
        first = studio_of(demos)
        with_cloud(first, provider)
        demos[provider].faults.append(Fault("slow", seconds=2.0))
        try:
            first.start()
            job = ask(first, provider)
            wait_for(lambda: demos[provider].active, "the provider to have it", 30.0)
        finally:
            first.stop()
        second = studio_of(demos)
        try:
            second.start()
            wait_for(lambda: second.job(job)["images"][0]["state"] == "drawn", "its picture", 30.0)
        finally:
            second.stop()
        (charge,) = charges(second.store)
        assert charge["state"] == "settled"
        assert len(demos[provider].jobs) == 1
        assert charge["settled"] == demos.billed_micro > 0
