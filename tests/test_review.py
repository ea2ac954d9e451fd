"""People in the loop: what they are asked about, several of them at once, blind, taken back; and what is learned and applied."""
from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import httpx
import pytest
from histories import ask
from logins import ADA, BOB, browser

from models.spec import Score
from studio.choosing import record
from studio.store import verdicts
from studio.store.people import LOCAL, Who
from studio.studio import Studio

SCORER, VERSION = "bench", "1"
GOOD = {
    "resolution": 100.0, "flatness": 30.0, "exposure": 90.0, "blockiness": 10.0, "sharpness": 70.0, "adherence": 80.0, "adherence_b": 80.0,
}  # fmt: skip


def draw(studio: Studio, count: int, who: Who = LOCAL, prompt: str = "a red mug") -> list[int]:
    """A job's pictures, drawn and done, without their files: nothing here looks at one."""
    with studio.store.write() as db:
        db.execute("INSERT OR IGNORE INTO persons (name, title, created) VALUES (?, ?, '')", [who.name, who.name])
    job = studio.submit({"prompt": prompt, "draft": count, "keep": 1, "again": True}, who)["id"]
    with studio.store.write() as db:
        db.execute("UPDATE images SET state = 'drawn', path = 'outputs/' || id || '.png', drawn = '2026-11-21' WHERE job_id = ?", [job])
        db.execute("UPDATE tasks SET state = 'done' WHERE job_id = ?", [job])
        db.execute("UPDATE jobs SET state = 'done' WHERE id = ?", [job])
        return [row["id"] for row in db.execute("SELECT id FROM images WHERE job_id = ? ORDER BY number", [job])]


def measure(studio: Studio, image: int, verdict: str, **values: float) -> None:
    """Scores and verdict of a picture, as a worker would leave them."""
    profile = studio.profiles.current("generic")
    with studio.store.write() as db:
        scores = [Score(name, value, SCORER, VERSION) for name, value in (GOOD | values).items()]
        record(db, image, scores, profile, "embedded")
        db.execute("UPDATE images SET verdict = ? WHERE id = ?", [verdict, image])


def following(door: httpx.Client, seat: str = "a", count: int = 12) -> dict[str, Any]:
    return ask(door.post("/api/review/next", json={"seat": seat, "count": count}))


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["id"] for item in answer["items"]]


def say(door: httpx.Client, image: int, approved: bool, seat: str = "a", reasons: list[str] | None = None, status: int = 200) -> Any:
    return ask(door.post(f"/api/review/{image}", json={"seat": seat, "approved": approved, "reasons": reasons or []}), status)


def column(studio: Studio, image: int, name: str) -> Any:
    return studio.store.db.execute(f"SELECT {name} FROM images WHERE id = ?", [image]).fetchone()[0]


def last(studio: Studio) -> dict[str, Any]:
    return dict(studio.store.db.execute("SELECT * FROM verdicts ORDER BY id DESC LIMIT 1").fetchone())


@pytest.fixture
def four(studio: Studio) -> list[int]:
    """Pictures that the studio could not decide about."""
    images = draw(studio, 4)
    for image in images:
        measure(studio, image, "review")
    return images


def test_what_is_undecided_waits_for_a_person(studio, door, four):
    found = following(door)
    assert set(ids(found)) == set(four) and found["left"] == 4 and (found["given"], found["others"], found["more"]) == (0, 0, False)
    item = found["items"][0]
    assert set(item) == {
        "id", "number", "width", "height", "prompt", "tier", "card", "stage", "person", "job", "url", "thumb", "card_title", "profile",
        "texts", "palette", "likeness", "reasons",
    }  # fmt: skip
    assert item["reasons"][0] == {"dimension": "adherence", "title": "Adherence"}
    assert not {"adherence_b", "resolution"} & {reason["dimension"] for reason in item["reasons"]}
    # Blind: nothing of what was measured is in it.
    assert not any(word in json.dumps(found) for word in ("bench", "verdict", "score", "rank", "undecided", "borderline"))


def test_a_word_settles_it_and_is_taken_back(studio, door, four):
    first, second = ids(following(door))[:2]
    assert say(door, first, True) == {"id": first, "approved": True, "reasons": []}
    say(door, second, False, reasons=["sharpness", "adherence", "sharpness"])
    assert (column(studio, first, "kept_by_person"), column(studio, second, "kept_by_person")) == (1, 0)
    assert door.get(f"/api/images/{first}").json()["verdict"] == "kept"
    assert json.loads(last(studio)["reasons"]) == ["sharpness", "adherence"]
    found = following(door)
    assert found["left"] == 2 and found["given"] == 2 and first not in ids(found) and second not in ids(found)

    back = ask(door.post("/api/review/undo", json={"seat": "a"}))
    assert back["id"] == second and back["said"] == {"approved": False, "reasons": ["sharpness", "adherence"]}
    assert column(studio, second, "kept_by_person") is None
    assert ids(following(door))[0] == second, "and it is looked at again at once"
    say(door, second, True)
    assert ask(door.post("/api/review/undo", json={"seat": "a"}))["id"] == second
    assert ask(door.post("/api/review/undo", json={"seat": "a"}))["id"] == first
    assert "nothing to take back" in ask(door.post("/api/review/undo", json={"seat": "a"}), 409)["error"]["what"]
    assert following(door)["left"] == 4


def test_what_its_owner_said_since_is_not_undone(studio, door, four):
    image = ids(following(door))[0]
    say(door, image, True)
    ask(door.post(f"/api/images/{image}/keep", json={"keep": False}))
    ask(door.post("/api/review/undo", json={"seat": "a"}))
    assert column(studio, image, "kept_by_person") == 0


def test_blind_unless_asked(studio, door, four):
    first, second = ids(following(door))[:2]
    shown = ask(door.post(f"/api/review/{first}/show", json={"seat": "a"}))
    assert set(shown) == {"id", "verdict", "reasons", "scores", "rank"} and shown["scores"][0]["scorer"] == SCORER
    say(door, first, True)
    assert (last(studio)["blind"], last(studio)["why"], last(studio)["machine"]) == (0, "undecided", "review")
    say(door, second, True)
    assert last(studio)["blind"] == 1
    # Taken back and said again, it stays what it was: they have seen it.
    ask(door.post("/api/review/undo", json={"seat": "a"}))
    ask(door.post("/api/review/undo", json={"seat": "a"}))
    say(door, first, False)
    assert last(studio)["blind"] == 0


def test_reviewers_do_not_step_on_each_other(studio, door, four):
    mine, others = following(door, "a", 2), following(door, "b", 4)
    assert not set(ids(mine)) & set(ids(others)) and len(ids(others)) == 2
    assert (mine["others"], others["others"]) == (0, 1)
    assert ids(following(door, "a", 2)) == ids(mine), "asking again gives the same"
    refused = say(door, ids(mine)[0], True, "b", status=409)["error"]
    assert "looking at" in refused["what"]
    say(door, ids(mine)[0], True)
    assert "judged already" in say(door, ids(mine)[0], False, "b", status=409)["error"]["what"]
    # Who goes away holds nothing up for long.
    studio.store.db.execute("UPDATE claims SET until = ?", [time.time() - 1])
    assert len(ids(following(door, "b", 4))) == 3
    # Passing on gives it to the others and takes it from oneself.
    given_up = ids(following(door, "b", 4))[0]
    ask(door.post(f"/api/review/{given_up}/pass", json={"seat": "b"}))
    assert given_up not in ids(following(door, "b", 4)) and given_up in ids(following(door, "a", 4))


def test_many_at_once_judge_each_picture_once(studio, door):
    images = [image for _ in range(4) for image in draw(studio, 10)]
    for image in images:
        measure(studio, image, "review")
    said: list[int] = []

    def work(seat: str) -> None:
        with httpx.Client(base_url=door.base_url, timeout=30) as client:
            while found := ids(following(client, seat, 3)):
                for image in found:
                    say(client, image, True, seat)
                    said.append(image)

    threads = [threading.Thread(target=work, args=(f"seat {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(images)
    assert studio.store.db.execute("SELECT count(*) FROM verdicts").fetchone()[0] == len(images)


def test_borderline_and_a_random_share_are_asked_about_too(studio, door):
    """400 pictures, half of them far on the wrong side of a bar: about one in twenty of those is asked about, the same ones each time."""
    images = [image for _ in range(2) for image in draw(studio, 200)]
    rng = random.Random(1)
    good, bad = images[:200], images[200:]
    for image in good:
        measure(studio, image, "spare", sharpness=rng.uniform(60, 90))
    for image in bad:
        measure(studio, image, "rejected", sharpness=rng.uniform(5, 35))
    close, closely_failed = good[0], bad[0]
    measure(studio, close, "kept", sharpness=46.0)
    measure(studio, closely_failed, "rejected", sharpness=44.0)
    failed_elsewhere = bad[1]
    measure(studio, failed_elsewhere, "rejected", sharpness=44.0, adherence=10.0)

    waiting = {one.image: one for one in verdicts.backlog(studio.store, LOCAL, 0.05, verdicts.close_widths(studio.store))}
    assert waiting[close].why == waiting[closely_failed].why == "borderline"
    assert failed_elsewhere not in waiting or waiting[failed_elsewhere].why == "sample"
    drawn = [one for one in waiting.values() if one.why == "sample"]
    assert all(one.chance == 0.05 for one in drawn) and 3 <= len(drawn) <= 20 and not {one.image for one in drawn} & set(good[1:])
    again = verdicts.backlog(studio.store, LOCAL, 0.05, verdicts.close_widths(studio.store))
    assert [one.image for one in again] == list(waiting)
    everything = verdicts.backlog(studio.store, LOCAL, 1.0, {})
    assert {one.image for one in everything} == set(bad) | {close}, "spare ones are nobody's to deliver"
    assert verdicts.backlog(studio.store, LOCAL, 0.0, {}) == []

    sample = drawn[0].image
    studio.store.db.execute("DELETE FROM claims")
    while sample not in (found := ids(following(door))):
        for image in found:
            say(door, image, True)
    say(door, sample, False)
    assert (last(studio)["why"], last(studio)["chance"], last(studio)["machine"]) == ("sample", 0.05, "rejected")


def test_drafts_are_looked_at_as_their_finals(studio, door):
    draft, final, lone = draw(studio, 3)
    for image in (draft, lone):
        measure(studio, image, "review")
        studio.store.db.execute("UPDATE images SET stage = 'draft' WHERE id = ?", [image])
    measure(studio, final, "review")
    studio.store.db.execute("UPDATE images SET parent = ? WHERE id = ?", [draft, final])
    assert set(ids(following(door))) == {final, lone}
    say(door, lone, True)
    assert column(studio, lone, "kept_by_person") is None, "a draft is not delivered by a word"
    assert set(ids(following(door))) == {final}


def test_a_spare_one_that_is_good_stays_spare(studio, door):
    image, other = draw(studio, 2)
    measure(studio, image, "spare")
    measure(studio, other, "spare")
    say(door, image, True)
    assert column(studio, image, "kept_by_person") is None and last(studio)["why"] == "chosen"
    say(door, other, False)
    assert column(studio, other, "kept_by_person") == 0


def test_flags_on_the_sheet_are_verdicts_of_their_own_kind(studio, door, four):
    ask(door.post(f"/api/images/{four[0]}/keep", json={"keep": True}))
    assert (last(studio)["source"], last(studio)["approved"], last(studio)["blind"], last(studio)["person"]) == ("sheet", 1, 0, "local")
    ask(door.post("/api/images/bulk", json={"do": "keep", "ids": four[:2], "keep": False}))
    standing = "SELECT image_id, approved FROM verdicts WHERE source = 'sheet' AND undone IS NULL ORDER BY image_id"
    assert [tuple(row) for row in studio.store.db.execute(standing)] == [(four[0], 0), (four[1], 0)]
    assert set(ids(following(door))) == set(four[2:]), "what its owner has decided does not wait"
    ask(door.post(f"/api/images/{four[0]}/keep", json={"keep": None}))
    assert [tuple(row) for row in studio.store.db.execute(standing)] == [(four[1], 0)]
    assert set(ids(following(door))) == {four[0], *four[2:]}


def test_what_makes_no_sense_is_refused(studio, door, four):
    def field(path: str, data: dict[str, Any], status: int = 422) -> str | None:
        return ask(door.post(f"/api/review/{path}", json=data), status)["error"]["field"]

    assert field("next", {}) == field("next", {"seat": "x" * 41}) == "seat"
    assert field("next", {"seat": "a", "count": 99}) == "count"
    assert field(str(four[0]), {"seat": "a"}) == "approved"
    assert field(str(four[0]), {"seat": "a", "approved": "yes"}) == "approved"
    assert field(str(four[0]), {"seat": "a", "approved": True, "reasons": ["sharpness"]}) == "reasons"
    assert field(str(four[0]), {"seat": "a", "approved": False, "reasons": ["beauty"]}) == "reasons"
    assert field(str(four[0]), {"seat": "a", "approved": False, "reasons": [1]}) == "reasons"
    assert field(str(four[0]), {"seat": "a", "approved": False, "why": 1}) == "why"
    assert field("99999", {"seat": "a", "approved": True}, 404) is None
    assert studio.store.db.execute("SELECT count(*) FROM verdicts").fetchone()[0] == 0


def test_only_what_somebody_may_see_waits_for_them(guarded, address):
    bobs = draw(guarded, 2, Who("bob"))
    for image in bobs:
        measure(guarded, image, "review")
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        assert ids(following(ada)) == [] and following(ada)["left"] == 0
        say(ada, bobs[0], True, status=404)
        for path in ("show", "pass"):
            ask(ada.post(f"/api/review/{bobs[0]}/{path}", json={"seat": "a"}), 404)
        ask(bob.post(f"/api/images/{bobs[0]}/share", json={"with": "*"}))
        assert ids(following(ada)) == [bobs[0]]
        assert ids(following(bob, "b")) == [bobs[1]], "which ada is looking at"
        say(ada, bobs[0], False, reasons=["sharpness"])
        assert column(guarded, bobs[0], "kept_by_person") == 0 and last(guarded)["person"] == "ada"
        # Nobody takes back what somebody else said, not even with their window's word.
        ask(bob.post("/api/review/undo", json={"seat": "a"}), 409)


def test_a_purged_picture_takes_its_verdicts_along(studio, door, four):
    say(door, four[0], False)
    following(door)
    ask(door.post("/api/images/bulk", json={"do": "trash", "ids": four}))
    assert following(door)["left"] == 0
    ask(door.post("/api/images/bulk", json={"do": "delete", "ids": four}))
    assert [studio.store.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("verdicts", "claims")] == [0, 0]


# What is learned.


@pytest.fixture
def judged(studio: Studio) -> list[int]:
    """240 pictures of 24 prompts with verdicts of somebody who wants a sharpness of 60, where the profile asks for 45."""
    rng = random.Random(3)
    images = []
    for i in range(24):
        drawn = draw(studio, 10, prompt=f"a red mug, take {i}")
        images += drawn
        for image in drawn:
            value = rng.uniform(46, 75)
            measure(studio, image, "spare", sharpness=value, exposure=rng.uniform(75, 99))
            with studio.store.write() as db:
                row = db.execute("SELECT * FROM images WHERE id = ?", [image]).fetchone()
                good = (value >= 60) ^ (rng.random() < 0.05)
                verdicts.say(db, row, LOCAL, "a", good, [])
    return images


def test_a_threshold_is_suggested_applied_and_taken_back(studio, door, judged):
    view = ask(door.get("/api/thresholds"))
    assert (view["profile"], view["card"], view["verdicts"], view["sure"]) == ("generic", "embedded", 240, 80)
    assert view["about"] == [{"profile": "generic", "card": "embedded", "review": 240, "sheet": 0, "title": "Generic",
                              "card_title": view["card_title"]}]  # fmt: skip
    by_name = {one["dimension"]: one for one in view["dimensions"]}
    sharp = by_name["sharpness"]
    assert (sharp["threshold"], sharp["method"], sharp["prompts"], sharp["learned"], sharp["better"]) == (45, "logistic", 24, False, True)
    assert abs(sharp["suggestion"]["threshold"] - 60) < 2.5
    low, high = sharp["suggestion"]["band"]
    assert low < sharp["suggestion"]["threshold"] < high
    assert sharp["now"]["false_accepts"]["value"] == 1 and sharp["then"]["false_accepts"]["value"] < 0.2
    assert by_name["exposure"]["suggestion"] is None and by_name["exposure"]["why"]
    assert "resolution" not in by_name
    assert 0.3 < view["agreement"]["value"] < 0.7

    told = ask(door.post("/api/thresholds/apply", json={"profile": "generic", "card": "embedded", "dimensions": ["sharpness"]}))
    assert (told["version"], told["before"]) == (1, 0) and "Sharpness 45 to" in told["note"]
    profile = studio.profiles.current("generic")
    bar = profile.bar_for("embedded", "sharpness", SCORER, VERSION)
    assert (bar.threshold, bar.low, bar.high) == (sharp["suggestion"]["threshold"], low, high)
    assert profile.bar_for("embedded", "sharpness", SCORER, "2").threshold == 45, "another version measures otherwise"
    assert profile.bar_for("flux1-dev", "sharpness", SCORER, VERSION).threshold == 45, "and another model draws otherwise"
    after = ask(door.get("/api/thresholds?profile=generic&card=embedded"))
    assert next(one for one in after["dimensions"] if one["dimension"] == "sharpness")["learned"] and after["before"] == 0

    ask(door.post("/api/thresholds/restore", json={"profile": "generic", "version": 0}))
    assert studio.profiles.current("generic").version == 2 and studio.profiles.current("generic").learned == ()


def test_a_learned_band_sends_what_is_unsure_to_people(studio, door, judged):
    ask(door.post("/api/thresholds/apply", json={"profile": "generic", "card": "embedded", "dimensions": ["sharpness"]}))
    bar = studio.profiles.current("generic").bar_for("embedded", "sharpness", SCORER, VERSION)
    found = {}
    for name, value in (("in it", bar.threshold), ("below", bar.low - 1), ("above", bar.high + 1)):
        [image] = draw(studio, 1, prompt=f"a blue mug {name}")
        with studio.store.write() as db:
            scores = [Score(one, number, SCORER, VERSION) for one, number in (GOOD | {"sharpness": value}).items()]
            record(db, image, scores, studio.profiles.current("generic"), "embedded")
        found[name] = column(studio, image, "verdict")
    assert found == {"in it": "review", "below": "rejected", "above": None}


def test_a_surer_studio_leaves_more_to_people(studio, door, judged):
    def band() -> float:
        view = ask(door.get("/api/thresholds"))
        low, high = next(one for one in view["dimensions"] if one["dimension"] == "sharpness")["suggestion"]["band"] or (0, 0)
        return high - low

    bands = []
    for sure in (50, 75, 90):
        ask(door.post("/api/settings", json={"review.sure": sure}))
        bands.append(band())
    assert bands[0] == 0 < bands[1] < bands[2]


def test_flags_count_only_where_asked_for(studio, door):
    images = draw(studio, 40)
    for i, image in enumerate(images):
        measure(studio, image, "spare", sharpness=40 + i)
    ask(door.post("/api/images/bulk", json={"do": "keep", "ids": images[20:], "keep": True}))
    ask(door.post("/api/images/bulk", json={"do": "keep", "ids": images[:20], "keep": False}))
    assert ask(door.get("/api/thresholds"))["verdicts"] == 0
    assert ask(door.get("/api/thresholds?sheet=true"))["verdicts"] == 40


def test_an_empty_studio_says_what_is_missing(door):
    view = ask(door.get("/api/thresholds"))
    assert (view["profile"], view["card"], view["verdicts"], view["agreement"], view["about"]) == ("generic", "embedded", 0, None, [])
    refused = ask(door.post("/api/thresholds/apply", json={"profile": "generic", "card": "embedded", "dimensions": ["sharpness"]}), 409)
    assert "Nothing is suggested" in refused["error"]["what"]
    assert ask(door.post("/api/thresholds/apply", json={"profile": "generic", "card": "embedded"}), 422)["error"]["field"] == "dimensions"
    assert ask(door.post("/api/thresholds/restore", json={"profile": "generic"}), 422)["error"]["field"] == "version"
    ask(door.get("/api/thresholds?profile=nothing&card=embedded"), 404)
