"""The Insights tab's figures: kept right whatever happens to a picture, counted by who asks, and quick with a long history."""
from __future__ import annotations

import csv
import io
import itertools
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from histories import ask, bulk, draw
from logins import ADA, BOB, browser
from studios import ended

from benchmarks.history import fill
from models.errors import BadInput
from pipelines.judge import Mark
from studio.insights import Insights
from studio.people import hand_over
from studio.period import Period, read_period
from studio.store import Store, images
from studio.store.people import LOCAL, Who
from studio.store.schema import insights as schema
from studio.studio import Studio

TABLES = ("insights_days", "insights_reasons", "insights_scores", "insights_requests", "insights_groups")
TODAY = date(2026, 11, 21)


def panel(door, name: str, status: int = 200, **query):
    return ask(door.get(f"/api/insights/{name}", params=query), status)


def mark(dimension: str, value: float | None, threshold: float | None = None, bound=">=", hard=True, version="1") -> Mark:
    passed = None if value is None or threshold is None else value >= threshold if bound == ">=" else value <= threshold
    return Mark(dimension, value, threshold, bound, passed, hard, "", "technical", version)


def settle(studio: Studio, image: int, verdict: str, *marks: Mark) -> None:
    """A picture as the judge leaves it."""
    with studio.store.write() as db:
        images.add_marks(db, image, marks)
        images.set_verdict(db, image, verdict, [], None)


def tables(store: Store) -> dict[str, list[tuple]]:
    """All figures, without the rows that came to nothing."""
    figures = {*schema.FIGURES, *schema.MEASURES, "asked", "job_id"}
    found = {}
    for table in TABLES:
        rows = store.db.execute(f"SELECT * FROM {table}").fetchall()
        names = figures.intersection(rows[0].keys() if rows else ())
        left = [tuple(row) for row in rows if any(row[name] for name in names)]
        found[table] = [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in left]
    return found


def from_scratch(store: Store) -> dict[str, list[tuple]]:
    """The same figures, counted anew from what is there by the migration for a studio that had none."""
    from sqlite_utils import Database

    db = store.db
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'insights%'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    for table in TABLES:
        db.execute(f"DROP TABLE {table}")
    factory, db.row_factory = db.row_factory, None
    with store.write():
        schema.insights_by_day(Database(db))
    db.row_factory = factory
    return tables(store)


def test_figures_follow_whatever_happens_to_pictures(studio, door):
    one, two, three, four = draw(studio)
    settle(studio, one, "kept", mark("sharpness", 80, 45), mark("exposure", 90, 70))
    settle(studio, two, "rejected", mark("sharpness", 20, 45), mark("exposure", 30, 70))
    settle(studio, three, "rejected", mark("sharpness", 30, 45), mark("exposure", None, 70))
    settle(studio, four, "review", mark("sharpness", None, 45))
    ask(door.post(f"/api/images/{three}/keep", json={"keep": True}))  # a person's word wins over the verdict
    with studio.store.write() as db:  # measured again, by the same version
        images.add_marks(db, two, [mark("sharpness", 60, 45)])
    totals = panel(door, "overview")["totals"]
    expected = {"drawn": 4, "judged": 4, "passed": 1, "rejected": 2, "review": 1, "kept": 2, "seconds": 4.0, "requests": 1, "asked": 1,
                "delivered": 1, "filled": 1, "seconds_per_kept": 2.0}  # fmt: skip
    assert {name: totals[name] for name in expected} == expected
    assert totals["pass_rate"]["value"] == 0.25 and totals["pass_rate"]["low"] < 0.25 < totals["pass_rate"]["high"]
    reasons = panel(door, "reasons", by="tier")
    assert [(one["title"], one["n"]) for one in reasons["reasons"]] == [("Exposure", 1), ("Sharpness", 1)]
    [group] = reasons["groups"]
    assert (group["title"], group["judged"], group["reasons"]) == ("Preview", 4, {"exposure": 1, "sharpness": 1})
    sharpness = next(one for one in panel(door, "scores")["dimensions"] if one["name"] == "sharpness")
    assert (sharpness["n"], sharpness["unscored"], round(sharpness["mean"], 3)) == (3, 1, 56.667)
    assert tables(studio.store) == from_scratch(studio.store)


def test_a_held_out_verifier_says_whether_the_choosing_is_gamed(studio, door):
    assert panel(door, "alarm") == {"requests": 0, "place": None, "known": False}
    for job in range(12):
        pictures = draw(studio, again=True)
        for place, image in enumerate(pictures):
            # What was chosen pleases its own verifier most, and the held-out one least: in all requests but two.
            alarm = place if job < 2 else -place
            settle(studio, image, "kept" if place == 3 else "spare", mark("adherence", 60 + place, 50), mark("alarm", 50 + alarm))
    found = panel(door, "alarm")
    assert found["known"] and found["requests"] == 12 and found["place"]["value"] == pytest.approx(2 / 12, abs=0.001)
    assert found["place"]["high"] < 0.5
    rows = list(csv.reader(io.StringIO(door.get("/api/insights/alarm.csv").text)))
    assert rows[0] == ["requests", "place", "low", "high"] and rows[1][0] == "12"
    # By a dimension that a profile asks for, something was chosen: it is no witness.
    with studio.store.write() as db:
        db.execute("UPDATE scores SET hard = 0, threshold = 20 WHERE dimension = 'alarm'")
    assert panel(door, "alarm")["requests"] == 0


def test_figures_outlive_what_is_deleted(studio, door):
    one, two, *_ = draw(studio)
    settle(studio, one, "kept", mark("sharpness", 80, 45))
    settle(studio, two, "rejected", mark("sharpness", 20, 45))
    before = [panel(door, name) for name in ("overview", "reasons", "scores")]
    assert before[0]["totals"]["rejected"] == 1
    bulk(door, "trash", [one, two])
    bulk(door, "delete", [one, two])
    assert studio.store.db.execute("SELECT count(*) FROM scores").fetchone()[0] == 0
    assert [panel(door, name) for name in ("overview", "reasons", "scores")] == before, "they were drawn, measured and paid for"


def test_a_person_s_figures_go_with_their_pictures(studio, door):
    anna = Who("anna")
    mine, hers = draw(studio, 2), draw(studio, 3, anna)
    for image in (*mine, *hers):
        settle(studio, image, "rejected", mark("sharpness", 20, 45))
    assert panel(door, "overview")["totals"]["drawn"] == 5
    assert [panel(door, "overview", person=name)["totals"]["drawn"] for name in ("local", "anna", "*")] == [2, 3, 5]
    with studio.store.write() as db:
        hand_over(db, "anna", "local")
    for name in ("overview", "scores", "reasons"):
        local, everybody = panel(door, name, person="local"), panel(door, name, person="*")
        assert {**local, "person": None} == {**everybody, "person": None}
    assert panel(door, "overview", person="anna")["totals"]["drawn"] == 0
    assert tables(studio.store) == from_scratch(studio.store)


def test_what_is_served_from_history_takes_no_time(studio, door):
    one, two = draw(studio, 2)
    studio.store.db.execute("UPDATE images SET served_from = ? WHERE id = ?", [one, two])
    assert panel(door, "overview")["totals"]["seconds"] == 1.0


def test_groups_by_template_lora_profile_and_model(studio, door):
    for request in ({"template": "hero"}, {"template": {"name": "hero", "version": 2}}, {"loras": [{"name": "a"}, {"name": "b"}]}):
        [image] = draw(studio, 1)
        job = studio.store.db.execute("SELECT * FROM jobs ORDER BY id DESC").fetchone()
        # As later requests will be: the row is made once, with its job.
        made = json.dumps(json.loads(job["request"]) | request)
        columns = [name for name in job.keys() if name != "id"]  # noqa: SIM118 - a row of SQLite's
        with studio.store.write() as db:
            new = db.execute(
                f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) RETURNING id",
                [made if name == "request" else job[name] for name in columns],
            ).fetchone()["id"]
            db.execute("UPDATE images SET job_id = ?, state = 'waiting' WHERE id = ?", [new, image])
            db.execute("UPDATE images SET state = 'drawn' WHERE id = ?", [image])
        settle(studio, image, "kept")

    def drawn(by: str) -> dict[str, int]:
        return {group["title"]: group["judged"] for group in panel(door, "reasons", by=by)["groups"] if group["judged"]}

    assert drawn("template") == {"hero": 2, "No template": 1}
    assert drawn("lora") == {"a": 1, "b": 1, "No LoRA": 2}
    assert list(drawn("profile")) == ["Generic"] and list(drawn("tier")) == ["Preview"]
    assert list(drawn("card").values()) == [3]
    panel(door, "reasons", 422, by="moon")


def test_agreement_is_of_the_last_word_of_each(studio, door):
    pictures = draw(studio, 6)
    said = [("kept", 1, 1.0), ("spare", 1, 1.0), ("kept", 0, 1.0), ("rejected", 0, 0.05), ("rejected", 1, 1.0), ("review", 1, 1.0)]
    with studio.store.write() as db:
        for image, (machine, approved, chance) in zip(pictures, said, strict=True):
            db.execute(
                "INSERT INTO verdicts (image_id, person, approved, reasons, blind, source, why, chance, machine, created)"
                " VALUES (?, 'local', ?, ?, 1, 'review', 'sample', ?, ?, ?)",
                [image, approved, "[]" if approved else '["sharpness"]', chance, machine, f"{date.today().isoformat()}T00:00:00.000Z"],
            )
        db.execute("UPDATE verdicts SET undone = '2026-11-21T00:00:00.000Z' WHERE image_id = ?", [pictures[1]])
    answer = panel(door, "people", range="7")
    assert answer["table"] == {
        "passed": {"approved": 1, "refused": 1}, "rejected": {"approved": 1, "refused": 1}, "undecided": {"approved": 1, "refused": 0},
    }  # fmt: skip
    assert answer["agreement"]["value"] == 0.5 and answer["agreement"]["n"] == 4
    assert answer["estimate"] == round(21 / 23, 4), "the rejected one was drawn from twenty"
    assert [(one["name"], one["n"]) for one in answer["named"]] == [("sharpness", 2)]
    assert panel(door, "overview")["totals"]["agreement"]["value"] == 0.5


def test_incidents_per_10000(studio, door):
    one, *_ = draw(studio, 4)
    with studio.store.write() as db:
        columns = "person, kind, rule, list, prompt_hash, image_id, action, created"
        new = f"INSERT INTO incidents ({columns}) VALUES ('local', ?, ?, 0, ?, ?, ?, ?)"
        today = f"{date.today().isoformat()}T12:00:00.000Z"
        db.execute(new, ["violent", "gore", None, one, "marked", today])
        db.execute(new, ["sexual", "nudity", "ab12", None, "refused", today])
        db.execute(new, ["sexual", "nudity", "ab12", None, "refused", "2020-01-01T12:00:00.000Z"])
    answer = panel(door, "safety")
    assert answer["pictures"] == {"n": 1, "of": 4, "per_10000": 2500.0}
    assert answer["prompts"] == {"n": 1, "of": 1, "per_10000": 10000.0}
    assert [(rule["picture"], rule["rule"], rule["n"]) for rule in answer["rules"]] == [(False, "nudity", 1), (True, "gore", 1)]
    assert sum(step["n"] for step in answer["course"]) == 1


def test_only_an_admin_sees_other_people_s_figures(guarded, address):
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        draw(guarded, 2, Who("ada"))
        draw(guarded, 3, Who("bob"))
        for name in ("overview", "reasons", "scores", "people", "safety"):
            for whose in ("*", "ada"):
                panel(bob, name, 403, person=whose)
                assert ada.get(f"/api/insights/{name}.csv", params={"person": whose}).status_code == 200
                assert bob.get(f"/api/insights/{name}.csv", params={"person": whose}).status_code == 403
        assert panel(bob, "overview")["totals"]["drawn"] == panel(ada, "overview", person="bob")["totals"]["drawn"] == 3
        assert panel(ada, "overview")["totals"]["drawn"] == 2, "by itself one's own"
        assert panel(bob, "overview")["persons"] == [] and [one["name"] for one in panel(ada, "overview")["persons"]][:1] == ["ada"]
        panel(ada, "overview", 422, person="nobody")


def test_csv_says_the_same_and_holds_no_formula(studio, door):
    one, two, *_ = draw(studio)
    settle(studio, one, "kept", mark("sharpness", 80, 45))
    settle(studio, two, "rejected", mark("sharpness", 20, 45))
    with studio.store.write() as db:
        for table in ("insights_days", "insights_reasons"):
            db.execute(f"UPDATE {table} SET key = '=HYPERLINK(1)' WHERE kind = 'template'")
    answer = door.get("/api/insights/overview.csv", params={"range": "7"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8" and "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 7 and [sum(float(row[name]) for row in rows) for name in ("drawn", "judged", "kept")] == [4, 2, 1]
    [group] = csv.DictReader(io.StringIO(door.get("/api/insights/reasons.csv", params={"by": "template"}).text))
    assert group["template"] == "'=HYPERLINK(1)" and group["rejected for sharpness"] == "1"
    scores = list(csv.DictReader(io.StringIO(door.get("/api/insights/scores.csv", params={"dimension": "sharpness"}).text)))
    assert [row["mean"] for row in scores if row["mean"]] == ["50.0"]
    for name in ("people", "safety"):
        assert door.get(f"/api/insights/{name}.csv").status_code == 200
    for nothing in ("moon", "moon.csv"):
        assert door.get(f"/api/insights/{nothing}").status_code == 404


@pytest.mark.parametrize("query", [
    {"range": "12"}, {"range": "7", "since": "2026-01-01"}, {"since": "2026-13-01"}, {"since": "2026-02-02", "until": "2026-02-01"},
    {"since": "0001-01-01"}, {"until": "9999-12-31"}, {"card": "moon"}, {"moon": "1"}, {"since": "1980-01-01", "until": "2020-01-01"},
])  # fmt: skip
def test_bad_questions_are_named(door, query):
    assert panel(door, "overview", 422, **query)["error"]["field"] in query


def test_an_empty_studio_has_figures_too(door):
    for name in ("overview", "reasons", "scores", "people", "safety"):
        for span in ("7", "365", "all"):
            assert panel(door, name, range=span)
    assert panel(door, "overview")["totals"]["pass_rate"] is None


def test_periods():
    def steps(days: int) -> list[Period]:
        period = Period(TODAY - timedelta(days - 1), TODAY)
        found = period.steps()
        assert [found[0].first, found[-1].last] == [period.first, period.last] and sum(step.days for step in found) == days
        assert all(one.last + timedelta(1) == other.first for one, other in itertools.pairwise(found))
        return found

    assert [len(steps(days)) for days in (1, 7, 45)] == [1, 7, 45]
    assert all(step.first.weekday() == 0 for step in steps(365)[1:]) and len(steps(365)) in (53, 54)
    assert all(step.first.day == 1 for step in steps(800)[1:])
    known = ("2025-01-05", "2026-11-20")
    assert read_period({}, TODAY, None) == Period(date(2026, 10, 23), TODAY)
    assert read_period({"range": "all"}, TODAY, known) == Period(date(2025, 1, 5), TODAY)
    assert read_period({"until": "2025-02-01"}, TODAY, known) == Period(date(2025, 1, 5), date(2025, 2, 1))
    assert Period(date(2026, 11, 15), TODAY).before() == Period(date(2026, 11, 8), date(2026, 11, 14))
    with pytest.raises(BadInput, match="after until"):
        read_period({"since": "2026-11-22"}, TODAY, known)


def test_triggers_and_the_count_from_scratch_agree_on_a_long_history(tmp_path: Path):
    store = Store(tmp_path / "studio.db")
    fill(store, 2000)
    followed = tables(store)
    assert sum(len(rows) for rows in followed.values()) > 3000
    assert followed == from_scratch(store)
    store.close()


def test_the_worker_s_own_jobs_are_counted_as_they_come(start_studio):
    studio = start_studio()
    jobs = [ended(studio, studio.submit({"prompt": f"a red mug {i}", "draft": 4, "keep": 2, "tier": tier})["id"]) for i, tier in
            enumerate(("preview", "standard"))]  # fmt: skip
    again = ended(studio, studio.submit({"prompt": "a red mug 0", "draft": 4, "keep": 2, "seed": jobs[0]["request"]["seed"]})["id"])
    shown = [image for job in (*jobs, again) for image in studio.job(job["id"])["images"] if image["state"] == "drawn"]
    totals = Insights(studio).overview([("range", "7")], LOCAL)["totals"]
    assert totals["drawn"] == len(shown) >= 12 and totals["requests"] == 3
    assert totals["kept"] == sum(image["verdict"] == "kept" for image in shown)
    assert totals["judged"] == sum(image["verdict"] is not None for image in shown)
    assert totals["drafts"] == sum(image["stage"] == "draft" for image in shown) > 0, "the second is a ladder"
    own = sum(image["seconds"] for image in shown if image["served_from"] is None)
    assert totals["seconds"] == pytest.approx(own, abs=0.01)
    assert tables(studio.store) == from_scratch(studio.store)
