"""Whose turn it is, and what people may change about it: in the store, in the forecast and over HTTP."""
from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from studios import ended

from models.cards import Catalogue
from models.errors import BadInput, NotFound
from pipelines.plan import plan_for
from pipelines.request import Request
from studio.doors import make_app
from studio.doors.base import who_asks
from studio.foresight import Waiting, foresee
from studio.queueing import start_time, take_placing
from studio.store import Store, images, jobs, order, turns
from studio.store.jobs import NotNow, Placing
from studio.store.people import LOCAL, Who
from studio.studio import Studio

ADA, BEN, EVA = Who("ada"), Who("ben"), Who("eva")


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "studio.db")
    people(store)
    yield store
    store.close()


def people(store: Store) -> None:
    for who in (ADA, BEN, EVA):
        store.db.execute("INSERT INTO persons (name, title, created) VALUES (?, ?, '2026-11-21')", [who.name, who.name])


def add(store: Store, shipped: Catalogue, who: Who = LOCAL, draft: int = 1, placing: Placing = jobs.AS_IT_COMES, **fields) -> int:
    request = Request.from_dict({"prompt": "a red mug", "draft": draft} | fields, shipped)
    return jobs.add_job(store, request, plan_for(request, shipped), who.name, placing)


def work(store: Store, most: int = 1000, loaded: str | None = None) -> list[int]:
    """The jobs whose batches are drawn, in the order in which that happens; each batch is scored at once."""
    drawn = []
    while len(drawn) < most and (task := jobs.lease(store, "w", 60, loaded)):
        if task.kind == "draft":
            drawn.append(task.job)
        with store.write() as db:
            if task.kind == "judge":
                if jobs.close_judge(db, task):
                    jobs.finish_job(db, task.job)
                continue
            for number in task.payload["numbers"]:
                images.mark_drawn(db, task.job, number, path=f"{number}.png", width=8, height=8, seconds=0, details={})
            jobs.close_draft(db, task, stopped=False)
    return drawn


# Turns.


def test_people_take_turns_batch_by_batch_whoever_has_sent_more(store, shipped):
    greedy = [add(store, shipped, ADA, draft=24) for _ in range(3)]
    ben, eva = add(store, shipped, BEN, draft=16), add(store, shipped, EVA)
    assert work(store, 7) == [greedy[0], ben, eva, greedy[0], ben, greedy[0], greedy[1]]


def test_shares_are_equal_whatever_each_has_waiting(store, shipped):
    counts = {ADA: 40, BEN: 12, EVA: 12}
    owner = {add(store, shipped, who): who for who, count in counts.items() for _ in range(count)}
    assert set(Counter(owner[job] for job in work(store, 36)).values()) == {12}


def test_who_comes_back_is_next_but_has_saved_up_no_turns(store, shipped):
    mine = [add(store, shipped, ADA) for _ in range(6)]
    assert work(store, 3) == mine[:3]
    late = [add(store, shipped, BEN) for _ in range(3)]
    assert work(store, 5) == [late[0], mine[3], late[1], mine[4], late[2]]


def test_a_higher_priority_goes_first_and_within_it_people_take_turns(store, shipped):
    low = add(store, shipped, ADA, placing=Placing(priority=-1))
    usual = add(store, shipped, ADA)
    high = [add(store, shipped, BEN, placing=Placing(priority=1)) for _ in range(2)]
    eva = add(store, shipped, EVA, placing=Placing(priority=1))
    assert work(store) == [high[0], eva, high[1], usual, low]


def test_a_new_job_at_the_front_is_drawn_at_the_next_batch(store, shipped):
    long, waiting = add(store, shipped, draft=24), add(store, shipped)
    assert work(store, 1) == [long]
    first, second = add(store, shipped, placing=Placing(front=True)), add(store, shipped, placing=Placing(front=True))
    assert work(store) == [second, first, long, long, waiting]


def test_a_loaded_card_is_kept_only_within_a_priority(store, shipped):
    klein = add(store, shipped, ADA, family="flux2-klein")
    mug = add(store, shipped, BEN)
    urgent = add(store, shipped, EVA, family="flux2-klein", placing=Placing(priority=1))
    assert work(store, loaded="embedded") == [urgent, mug, klein]


# Changes.


def test_moving_up_down_and_to_the_front(store, shipped):
    a, b, c, d = (add(store, shipped) for _ in range(4))
    other = add(store, shipped, ADA, draft=16)
    order.move(store, c, "up", LOCAL)
    order.move(store, d, "front", LOCAL)
    order.move(store, d, "up", LOCAL)  # it is first: nothing happens
    order.move(store, a, "down", LOCAL)
    order.move(store, b, "down", LOCAL)
    assert [job for job in work(store) if job != other] == [d, c, a, b]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["front", "up", "down"])), max_size=25))
def test_any_moves_give_the_order_that_a_list_would(store, shipped, moves):
    store.db.execute("UPDATE jobs SET state = 'cancelled'")
    expected = [add(store, shipped) for _ in range(6)]
    for place, to in moves:
        job = expected[place]
        order.move(store, job, to, LOCAL)
        target = {"front": 0, "up": max(0, place - 1), "down": min(5, place + 1)}[to]
        expected.remove(job)
        expected.insert(target, job)
    assert work(store) == expected


def test_a_changed_priority_puts_a_job_behind_its_new_peers(store, shipped):
    a, b, c = (add(store, shipped) for _ in range(3))
    order.prioritise(store, a, -1, LOCAL)
    order.prioritise(store, c, 1, LOCAL)
    order.prioritise(store, a, 0, LOCAL)
    assert work(store) == [c, b, a]


def test_only_ones_own_may_be_changed_but_an_admin_may_all(store, shipped):
    job = add(store, shipped, ADA)
    for change in (
        lambda who: order.move(store, job, "up", who),
        lambda who: order.pause_job(store, job, True, who),
        lambda who: order.prioritise(store, job, 0, who),
        lambda who: order.start_job_at(store, job, None, who),
    ):
        with pytest.raises(NotFound):
            change(BEN)
        change(ADA)
        change(LOCAL)
    with pytest.raises(NotFound):
        jobs.cancel_job(store, job, BEN)
    jobs.cancel_job(store, job, LOCAL)
    with pytest.raises(NotNow, match="It is cancelled"):
        order.move(store, job, "up", ADA)


def test_a_paused_job_lets_others_go_by_and_is_still_scored(store, shipped):
    first, second = add(store, shipped, draft=24), add(store, shipped)
    task = jobs.lease(store, "w", 60)
    order.pause_job(store, first, True, LOCAL)
    with store.write() as db:
        for number in task.payload["numbers"]:
            images.mark_drawn(db, first, number, path="x.png", width=8, height=8, seconds=0, details={})
        jobs.close_draft(db, task, stopped=False)
    assert (jobs.lease(store, "w", 60).kind, work(store)) == ("judge", [second])
    order.pause_job(store, first, False, LOCAL)
    assert work(store) == [first, first]


def test_a_job_waits_for_its_time(store, shipped):
    soon = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    later, now = add(store, shipped, placing=Placing(not_before=soon)), add(store, shipped)
    assert work(store) == [now]
    while datetime.now(UTC) <= datetime.fromisoformat(soon):
        pass
    assert work(store) == [later]


@pytest.mark.parametrize("key", [turns.PAUSED, turns.PAUSED_BECAUSE])
def test_a_paused_queue_gives_nothing_also_after_a_restart(tmp_path, shipped, key):
    store = Store(tmp_path / "studio.db")
    job = add(store, shipped)
    store.set(key, "The disk is nearly full.")
    store.close()
    again = Store(tmp_path / "studio.db")
    assert turns.why_paused(again) == "The disk is nearly full."
    assert work(again) == []
    again.set(key, "")
    assert work(again) == [job]
    again.close()


def test_what_was_drawn_of_a_job_cancelled_after_a_crash_is_still_scored(store, shipped):
    job = add(store, shipped, draft=4)
    task = jobs.lease(store, "w", 60)
    with store.write() as db:
        images.mark_drawn(db, job, 2, path="x.png", width=8, height=8, seconds=0, details={})
    jobs.release_leases(store, blame=False)
    jobs.cancel_job(store, job, LOCAL)
    assert task.kind == "draft"
    judge = jobs.lease(store, "w", 60)
    assert (judge.kind, judge.payload) == ("judge", {"numbers": [2]})


# The forecast.


def waiting(job: int, person: str = "a", *, batches: int = 1, seconds: float | None = 1.0, **fields) -> Waiting:
    defaults = {"priority": 0, "place": job, "card": "embedded", "running": 0}
    return Waiting(**({"job": job, "person": person, "batches": batches, "seconds": seconds} | defaults | fields))


def seen(*jobs: Waiting, served: dict[str, int] | None = None, loadings: dict[str, float] | None = None) -> dict[int, tuple]:
    found = foresee(jobs, served or {}, loadings)
    return {job: (outlook.position, outlook.eta, round(outlook.others, 2)) for job, outlook in found.items()}


def test_the_forecast_takes_turns_as_the_worker_does():
    found = seen(waiting(1, batches=3), waiting(2), waiting(3, "b"), served={"a": 4})
    assert found == {1: (2, 4.0, 1.0), 2: (3, 5.0, 4.0), 3: (1, 1.0, 0.0)}


def test_the_forecast_begins_with_what_is_under_way_then_priorities():
    low, high = waiting(1, running=1, batches=1, priority=-1), waiting(2, "b", batches=2, priority=1)
    assert seen(low, high) == {1: (1, 4.0, 2.0), 2: (2, 3.0, 1.0)}


def test_the_forecast_knows_start_times_pauses_and_what_it_cannot_know():
    tonight, held, now = waiting(1, release=100.0), waiting(2, held=True), waiting(3, batches=2)
    assert seen(tonight, held, now) == {1: (2, 101.0, 100.0), 2: (None, None, 0.0), 3: (1, 2.0, 0.0)}
    assert seen(waiting(1), waiting(2, seconds=None), waiting(3)) == {1: (1, 1.0, 0.0), 2: (2, None, 0.0), 3: (3, None, 0.0)}


def test_the_forecast_counts_the_loading_of_another_model_once_for_those_who_share_it():
    big = [waiting(job, "b", card="big") for job in (2, 4)]
    found = seen(waiting(1, running=1, batches=0), *big, waiting(3, "c"), loadings={"big": 10.0})
    assert (found[2][1], found[4][1]) == (11.0 + 1, 12.0 + 1)
    assert found[3][1] == 14.0


def test_a_very_long_queue_is_foreseen_in_strides():
    found = foresee([waiting(job, f"p{job % 20}", batches=30) for job in range(1000)], {})
    assert max(outlook.eta for outlook in found.values()) == 30_000
    assert sorted(outlook.position for outlook in found.values()) == list(range(1, 1001))


def test_the_forecast_and_the_worker_agree(store, shipped):
    """Whatever is in the queue: the jobs are first drawn in the order of their positions."""
    for person, draft, placing in ((ADA, 24, Placing()), (ADA, 1, Placing(front=True)), (BEN, 20, Placing(priority=1)), (EVA, 9, Placing()),
                                   (BEN, 1, Placing(priority=-1)), (EVA, 12, Placing(front=True))):  # fmt: skip
        add(store, shipped, person, draft, placing)
    rows = [
        waiting(row["id"], row["person"], batches=row["tasks"], priority=row["priority"], place=row["place"], card=row["card"])
        for row in turns.open_jobs(store)
    ]
    positions = {job: outlook.position for job, outlook in foresee(rows, turns.served(store)).items()}
    assert list(dict.fromkeys(work(store))) == sorted(positions, key=positions.get)


# What a submission may say.


def test_a_time_of_day_is_the_next_such_time_here():
    start = datetime.fromisoformat(start_time({"start_at": "02:00"})).astimezone()
    assert (start.hour, start.minute) == (2, 0)
    assert timedelta(0) < start - datetime.now().astimezone() <= timedelta(hours=25)


def test_a_date_and_time_is_kept_to_the_second():
    tomorrow = (datetime.now().astimezone() + timedelta(days=1)).replace(microsecond=0)
    in_utc, here = tomorrow.astimezone(UTC).isoformat().replace("+00:00", "Z"), tomorrow.replace(tzinfo=None).isoformat()
    for said in (tomorrow.isoformat(), in_utc, here):
        assert datetime.fromisoformat(start_time({"start_at": said})) == tomorrow
    assert start_time({"start_at": None}) is None


@pytest.mark.parametrize(
    "data",
    [
        *[{"start_at": value} for value in ("24:00", "tonight", "2020-01-01T00:00", "9999-12-31T23:59", "0001-01-01T00:00")],
        *[{"start_at": value} for value in (5, [], "\ud800", "\u0660\u0662:\u0660\u0660")],
        *[{"priority": value} for value in (2, -2, 0.5, "high", True, 10**400)],
        *[{"front": value} for value in (1, "yes", [])],
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_is_refused_by_name(data):
    with pytest.raises(BadInput) as refused:
        take_placing({"prompt": "a red mug"} | data, LOCAL)
    assert refused.value.field == next(iter(data))


def test_only_an_admin_goes_before_everybody():
    with pytest.raises(BadInput, match="Only an admin"):
        take_placing({"priority": 1}, ADA)
    assert take_placing({"priority": -1, "front": None, "prompt": "x"}, ADA) == (Placing(priority=-1), {"prompt": "x"})


# Over HTTP.


@pytest.fixture
def crowd(studio: Studio, door: httpx.Client):
    """The door of a studio in which ada has two jobs and this computer one; `studio` in between."""
    people(studio.store)
    own = studio.submit({"prompt": "a red mug"})["id"]
    return door, own, studio.submit({"prompt": "a secret", "draft": 3}, ADA)["id"], studio.submit({"prompt": "another"}, ADA)["id"]


def test_the_queue_shows_everybodys_jobs_in_order_and_nobodys_secrets(crowd, studio):
    door, own, first, second = crowd
    body = door.get("/api/queue").json()
    assert {name: body[name] for name in ("paused", "why", "yours_to_pause")} == {"paused": False, "why": "", "yours_to_pause": True}
    assert [(job["id"], job["position"], job["mine"], job["person"]) for job in body["jobs"]] == [
        (first, 1, False, "ada"), (own, 2, True, "local"), (second, 3, False, "ada"),
    ]  # fmt: skip
    assert "a secret" not in str(body)
    assert {"request", "family", "card"} & set(body["jobs"][0]) == set()
    assert (body["jobs"][0]["draft"], body["jobs"][0]["prompt"]) == (3, None)


def test_each_change_answers_with_the_job_and_tells_the_order(crowd):
    door, own, first, second = crowd

    def post(path: str, **data) -> dict:
        answer = door.post(path, json=data)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids() -> list[int]:
        return [job["id"] for job in door.get("/api/queue").json()["jobs"]]

    assert post(f"/api/jobs/{second}/up")["position"] == 1
    assert ids() == [second, own, first]
    assert post(f"/api/jobs/{first}/front")["position"] == 1
    assert post(f"/api/jobs/{first}/down")["position"] == 3
    paused = post(f"/api/jobs/{own}/pause")
    assert (paused["paused"], paused["position"], paused["eta"]) == (True, None, None)
    assert ids() == [second, first, own]
    assert post(f"/api/jobs/{own}/resume")["paused"] is False
    assert post(f"/api/jobs/{first}/priority", priority=1)["position"] == 1
    assert post(f"/api/jobs/{own}/start_at", start_at="02:00")["not_before"].endswith("Z")
    assert ids() == [first, second, own]
    assert post(f"/api/jobs/{own}/start_at", start_at=None)["not_before"] is None
    # An admin ends anybody's job, and still does not read it.
    gone = post(f"/api/jobs/{first}/cancel")
    assert (gone["state"], gone["prompt"]) == ("cancelled", None)
    assert door.post(f"/api/jobs/{first}/up", json={}).status_code == 409


def test_the_whole_queue_is_paused_and_resumed(crowd, studio):
    door, *_ = crowd
    body = door.post("/api/queue/pause", json={}).json()
    assert (body["paused"], body["why"]) == (True, "local paused the queue.")
    assert {job["eta"] for job in body["jobs"]} == {None}
    assert door.get("/api/studio").json()["paused"] == "local paused the queue."
    assert jobs.lease(studio.store, "w", 60) is None
    studio.store.set(turns.PAUSED_BECAUSE, "The disk is nearly full.")
    body = door.post("/api/queue/resume", json={}).json()
    assert (body["paused"], body["why"]) == (True, "The disk is nearly full.")


def test_only_an_admin_pauses_for_everybody_and_others_names_are_theirs(studio):
    people(studio.store)
    studio.submit({"prompt": "a secret"})
    own = studio.submit({"prompt": "a red mug"}, ADA)["id"]
    app = make_app(studio)
    app.dependency_overrides[who_asks] = lambda: ADA
    client = TestClient(app, base_url="http://localhost")
    for act in ("pause", "resume"):
        assert client.post(f"/api/queue/{act}", json={}).status_code == 403
    body = client.get("/api/queue").json()
    assert not body["paused"] and not body["yours_to_pause"]
    assert [(job["id"] == own, job["person"], job["prompt"], job["yours_to_change"]) for job in body["jobs"]] == [
        (True, "ada", "a red mug", True), (False, None, None, False),
    ]  # fmt: skip
    assert client.post(f"/api/jobs/{own - 1}/pause", json={}).status_code == 404


def test_a_submission_says_where_it_stands(door, studio):
    first = door.post("/api/jobs", json={"prompt": "a red mug"}).json()["id"]
    front = door.post("/api/jobs", json={"prompt": "a red mug", "front": True}).json()
    late = door.post("/api/jobs", json={"prompt": "a red mug", "start_at": "02:00", "priority": 1}).json()
    assert (front["position"], late["position"], late["priority"]) == (1, 3, 1)
    assert set(front["request"]) & {"front", "priority", "start_at"} == set()
    assert [job["id"] for job in door.get("/api/queue").json()["jobs"]] == [front["id"], first, late["id"]]
    before = late["id"]
    for field, value in (("front", "x"), ("priority", 9), ("start_at", "noon")):
        answer = door.post("/api/jobs", json={"prompt": "a red mug", field: value})
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert studio.store.db.execute("SELECT max(id) FROM jobs").fetchone()[0] == before, "a refused request left a job behind"


@pytest.mark.parametrize("act", ["pause", "resume", "front", "up", "down", "start_at", "priority"])
def test_what_is_no_field_is_refused_by_name(crowd, act):
    door, own, *_ = crowd
    answer = door.post(f"/api/jobs/{own}/{act}", json={"strange": 1})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "strange")
    empty = {"start_at": {"start_at": None}, "priority": {"priority": 0}}.get(act, {})
    assert door.post(f"/api/jobs/999/{act}", json=empty).status_code == 404


def test_an_estimate_counts_what_is_before_a_job(start_studio):
    studio = start_studio(0.02)
    ended(studio, studio.submit({"prompt": "a red mug", "draft": 8})["id"])
    first = studio.submit({"prompt": "a red mug", "draft": 40})
    second = studio.submit({"prompt": "a red mug", "draft": 40})
    assert second["eta"] > 1.5 * first["eta"] > 0
    done = [ended(studio, job["id"])["finished"] for job in (first, second)]
    assert done[0] < done[1]
