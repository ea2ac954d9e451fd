"""Profiles: what their TOML may say, thresholds that were learned, versions that follow one another, and what a change would do."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import httpx
import pytest
from studios import ended, served

from models.errors import BadInput, NotFound
from models.presets import load_catalogue
from models.spec import Score
from pipelines.changes import changes
from pipelines.judge import Learned, judge, load_profiles, parse_profile
from pipelines.profile import profile_toml, shipped_dimensions, with_learned, without_learned
from studio.profiles import Profiles
from studio.store import Store
from studio.store.jobs import NotNow
from studio.store.people import LOCAL

TOML = """
title = "Test"
ranks = ["adherence"]
rules = ["no visible text", "advisory: exposure >= 90"]

[dimensions.sharpness]
bound = ">="
threshold = 50.0
gate = "hard"

[dimensions.sexual]
bound = "<="
threshold = 50.0
gate = "measured"

[dimensions.exposure]
bound = ">="
threshold = 70.0
gate = "hard"

[dimensions.adherence]
bound = ">="
threshold = 20.0
gate = "advisory"

[dimensions."background_distance:#FFFFFF"]
bound = "<="
threshold = 5.0
gate = "advisory"

[thresholds.embedded]
sharpness = 60.0

[gates.embedded]
adherence = "hard"

[doubt.embedded]
share = 0.75
sharpness = 70.0

[[learned]]
card = "embedded"
dimension = "sharpness"
scorer = "technical"
version = "1"
threshold = 40.0
low = 35.0
high = 45.0
verdicts = 212
"""
PROFILE = parse_profile(TOML, "test")


def scores(version: str = "1", **values: float | None) -> list[Score]:
    good = {"sharpness": 80, "sexual": 1, "exposure": 99, "visible_text": 0, "adherence": 90} | values
    return [Score(name, value, "technical", version) for name, value in good.items()]


def verdict(card: str = "", version: str = "1", **values: float | None) -> tuple[str, list[str]]:
    found = judge(scores(version, **values), PROFILE, card)
    return found.verdict, found.reasons


# What a profile says.


def test_a_rule_stands_beside_the_table_and_wins_over_it():
    assert PROFILE.asked() == ("sharpness", "sexual", "adherence", "background_distance:#FFFFFF", "visible_text", "exposure")
    assert verdict(visible_text=3) == ("rejected", ["visible_text 3 > 0"])
    assert verdict(exposure=80) == ("spare", [])  # the table alone would let it pass too, but the rule is told as advice
    assert judge(scores(exposure=60), PROFILE).advice == ["exposure 60 < 90"]


def test_what_not_every_studio_can_measure_rejects_where_it_is_measured():
    assert verdict(sexual=90) == ("rejected", ["sexual 90 > 50"])
    assert verdict(sexual=None) == ("spare", [])
    assert verdict(sharpness=None)[0] == "review"


def test_a_learned_threshold_counts_for_its_card_and_scorer_version_only():
    assert verdict("embedded", sharpness=46) == ("spare", [])  # 60 by the profile's own word for this model, 40 by what people taught
    assert verdict("embedded", "2", sharpness=46) == ("rejected", ["sharpness 46 < 60"])
    assert verdict("flux1-dev", sharpness=46) == ("rejected", ["sharpness 46 < 50"])
    bar = PROFILE.bar_for("embedded", "sharpness", "technical", "1")
    assert bar is not None and (bar.threshold, bar.low, bar.high) == (40, 35, 45)


def test_between_two_learned_bounds_people_decide():
    assert verdict("embedded", sharpness=34) == ("rejected", ["sharpness 34 < 40"])
    assert verdict("embedded", sharpness=41.26) == ("review", ["sharpness 41.26 undecided between 35 and 45"])
    mark = next(mark for mark in judge(scores(sharpness=41), PROFILE, "embedded").marks if mark.dimension == "sharpness")
    assert mark.undecided and mark.passed is None
    # What is certain comes first.
    assert verdict("embedded", sharpness=41, visible_text=1) == ("rejected", ["visible_text 1 > 0"])


def test_a_profile_can_be_made_gentler_for_drafts():
    gentle = PROFILE.advised({"sharpness", "background_distance"})
    assert judge(scores(sharpness=3), gentle).verdict == "spare"
    assert judge(scores(visible_text=3), gentle).verdict == "rejected"


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ('"no visible text"', '"no visible texts and more"', "rules.0", "not understood"),
        ('"no visible text"', '"beauty >= 4"', "rules.0", '"beauty"'),
        ('"no visible text"', '"exposure >= 4"', "rules.1", "another bar for exposure"),
        ("[dimensions.sharpness]", "[dimensions.sharpnes]", "dimensions.sharpnes", "sharpness"),
        ('[dimensions."background_distance:#FFFFFF"]', "[dimensions.background_distance]", "dimensions.background_distance", "colour"),
        ("threshold = 50.0", "threshold = 150.0", "dimensions.sharpness.threshold", "0 to 100"),
        ("sharpness = 60.0", "sharpness = 160.0", "thresholds.embedded.sharpness", "0 to 100"),
        ("low = 35.0\n", "", "learned.0.low", "both"),
        ("low = 35.0", "low = 95.0", "learned.0.low", "smaller"),
        ('dimension = "sharpness"', 'dimension = "banana"', "learned.0.dimension", "not a dimension of this profile"),
        ("verdicts = 212", "verdicts = 212\nmood = 1", "learned.0.mood", "not known"),
        ("verdicts = 212", "verdicts = -1", "learned.0.verdicts", "at least 0"),
        ('title = "Test"', 'title = ""', "title", "empty"),
        ('gate = "measured"', 'gate = "measured"\nlow = 60\nhigh = 70', "dimensions.sexual.threshold", "between low and high"),
    ],
)
def test_a_wrong_profile_names_the_field(old, new, field, says):
    assert TOML.count(old) >= 1
    with pytest.raises(BadInput) as caught:
        parse_profile(TOML.replace(old, new, 1), "test")
    assert caught.value.field == field
    assert says in str(caught.value)


def test_what_is_written_reads_back_the_same():
    data = tomllib.loads(TOML)
    written = profile_toml(data)
    assert tomllib.loads(written) == data
    assert profile_toml(tomllib.loads(written)) == written
    odd = data | {"title": 'a "quote" \\ and \u007f and ü', "about": "two\nlines"}
    assert tomllib.loads(profile_toml(odd)) == odd


def test_learned_thresholds_are_put_in_and_taken_out():
    newer = Learned("embedded", "sharpness", "technical", "2", 41.5, ">=", 40, 43, 300)
    same = replace(newer, version="1", threshold=39, low=38, high=40)
    profile = parse_profile(with_learned(TOML, [newer, same]), "test")
    assert sorted((one.version, one.threshold) for one in profile.learned) == [("1", 39), ("2", 41.5)]
    assert parse_profile(without_learned(TOML, "embedded", "sharpness"), "test").learned == ()


def test_changes_are_told_in_words():
    new = TOML.replace("threshold = 50.0", "threshold = 55", 1).replace('"no visible text", ', "")
    new = new.replace("sharpness = 60.0", "sharpness = 65.0")
    new = new.replace("share = 0.75\nsharpness = 70.0", "share = 0.5")
    new = new.replace("verdicts = 212", "verdicts = 230").replace('title = "Test"', 'title = "Other"')
    assert changes(PROFILE, parse_profile(new, "test"), shipped_dimensions(), {"embedded": "Embedded"}.get) == [
        'Title: "Test" → "Other"',
        "Sharpness: at least 50, hard → at least 55, hard",
        'Rule "no visible text", removed',
        "For Embedded, Sharpness: 60 → 65",
        "For Embedded, in doubt, Share: 75 % → 50 %",
        "For Embedded, in doubt, Sharpness: 70, removed",
        "Learned for Embedded, Sharpness: at least 40, from 212 verdicts, people decide between 35 and 45"
        " → at least 40, from 230 verdicts, people decide between 35 and 45",
    ]
    assert changes(PROFILE, PROFILE, shipped_dimensions()) == []


def test_verifiers_of_the_models_own_world_only_hint_where_a_lora_is_worn(tmp_path):
    profile = load_profiles()["generic"]
    usual, worn = profile.bars_for("embedded"), profile.worn("embedded").bars_for("embedded")
    changed = {name for name in usual if usual[name].hard != worn[name].hard}
    assert changed == {"adherence", "adherence_b", "contrast", "recognised", "whole"} and not any(worn[name].hard for name in changed)
    assert profile.worn("flux1-dev").bars_for("flux1-dev") == profile.bars_for("flux1-dev")
    shelf = Profiles(Store(tmp_path / "studio.db"))
    job = {"profile": "generic", "profile_version": 0, "card": "embedded"}
    for loras, hard in (([], True), ([{"name": "robot", "version": 1}], False)):
        assert shelf.of_job(job | {"request": json.dumps({"loras": loras})}).bars_for("embedded")["adherence"].hard is hard


def test_the_profiles_that_ship():
    profiles, cards = load_profiles(), load_catalogue().cards
    assert set(profiles) == {"generic", "product-hero", "lifestyle", "headshot", "banner-text", "social-post", "ad-variant"}
    for profile in profiles.values():
        assert set(profile.thresholds) | set(profile.gates) <= set(cards), profile.name
        assert profile.ranks[:2] == ("adherence", "adherence_b")  # and what else is known of a family's world
        assert profile.about and {"resolution", "sharpness", "exposure"} <= set(profile.bars)
        # Classifiers that never were measured outside their own data only hint.
        assert {profile.bars[name].gate for name in ("violent", "hateful", "brand_risk")} == {"advisory"}
        assert profile.bars["sexual"].gate == "measured"


# Versions.


@pytest.fixture
def profiles(studio):
    return studio.profiles


def test_a_profile_is_at_version_0_until_it_is_changed(profiles):
    assert profiles.names()[0] == "generic" and set(profiles.names()) == set(load_profiles())
    assert profiles.current("headshot").version == 0
    assert profiles.save("headshot", TOML, LOCAL, "tried") == 1
    assert (profiles.current("headshot").version, profiles.current("headshot").title) == (1, "Test")
    assert profiles.at("headshot", 0).title == "Headshot"
    assert [(one.version, one.person, one.note) for one in profiles.versions("headshot")] == [(1, "local", "tried"), (0, "", "As shipped")]


def test_restoring_is_a_version_of_its_own(profiles):
    profiles.save("headshot", TOML, LOCAL)
    assert profiles.restore("headshot", 0, LOCAL) == 2
    assert profiles.current("headshot").title == "Headshot"
    assert profiles.restore("headshot", 1, LOCAL, "back again") == 3
    assert profiles.text("headshot") == TOML
    with pytest.raises(NotFound):
        profiles.restore("headshot", 9, LOCAL)


def test_nobody_overwrites_what_they_have_not_seen(profiles):
    profiles.save("headshot", TOML, LOCAL, base=0)
    with pytest.raises(NotNow, match="version 1"):
        profiles.save("headshot", TOML.replace("Test", "Lost"), LOCAL, base=0)
    assert profiles.current("headshot").title == "Test"


def test_what_is_wrong_is_not_saved(profiles):
    with pytest.raises(BadInput):
        profiles.save("headshot", TOML.replace("[dimensions.sharpness]", "[dimensions.banana]"), LOCAL)
    with pytest.raises(BadInput):
        profiles.save("../evil", TOML, LOCAL)
    assert profiles.current("headshot").version == 0


def test_copies_are_removed_and_come_back(profiles):
    assert profiles.duplicate("headshot", "team", "Our team", LOCAL) == 1
    assert profiles.current("team").title == "Our team" and profiles.current("team").bars.keys() == profiles.current("headshot").bars.keys()
    with pytest.raises(BadInput, match="already"):
        profiles.duplicate("headshot", "team", "", LOCAL)
    profiles.remove("team", LOCAL)
    assert "team" not in profiles.names() and profiles.removed() == ("team",)
    with pytest.raises(NotFound):
        profiles.current("team")
    assert profiles.at("team", 1).title == "Our team"  # for jobs that asked for it
    assert profiles.restore("team", 1, LOCAL) == 3
    assert "team" in profiles.names()
    with pytest.raises(NotNow):
        profiles.remove("generic", LOCAL)


def test_a_job_is_judged_by_the_version_it_was_asked_for_with(start_studio):
    studio = start_studio()
    before = ended(studio, studio.submit({"prompt": "a red mug", "seed": 1})["id"])
    strict = studio.profiles.text("generic").replace("threshold = 45.0", "threshold = 100.0", 1)
    studio.profiles.save("generic", strict, LOCAL)
    after = ended(studio, studio.submit({"prompt": "a blue mug", "seed": 2})["id"])
    versions = [row["profile_version"] for row in studio.store.db.execute("SELECT profile_version FROM jobs ORDER BY id")]
    assert versions == [0, 1]

    def bar(job):
        return next(score["threshold"] for score in job["images"][0]["scores"] if score["dimension"] == "sharpness")

    assert (bar(before), bar(after)) == (45, 100)


# Over HTTP.


def test_the_overview_says_what_can_be_measured(door):
    told = door.get("/api/profiles").json()
    assert told["profiles"][0]["name"] == "generic" and told["profiles"][0]["version"] == 0
    dimensions = {one["name"]: one for one in told["dimensions"]}
    assert dimensions["sharpness"]["title"] == "Sharpness" and dimensions["background_distance"]["argument"] == "colour"
    assert {"text": "no people", "words": "People exactly 0, or the picture is rejected."} in told["examples"]


def test_a_profile_is_changed_compared_and_restored(door):
    view = door.get("/api/profiles/headshot").json()
    view["profile"]["dimensions"]["sharpness"]["threshold"] = 61
    saved = door.post("/api/profiles/headshot", json={"profile": view["profile"], "note": "softer lens", "base": 0}).json()
    assert (saved["version"], saved["versions"][0]["note"]) == (1, "softer lens")
    told = door.get("/api/profiles/headshot/changes", params={"old": 0, "new": 1}).json()
    assert told == {"changes": ["Sharpness: at least 50, hard → at least 61, hard"]}
    assert door.post("/api/profiles/headshot", json={"profile": view["profile"], "base": 0}).status_code == 409
    assert door.post("/api/profiles/headshot/restore", json={"version": 0}).json()["version"] == 2


def test_toml_is_carried_from_studio_to_studio(door):
    text = door.get("/api/profiles/headshot/toml")
    assert text.headers["content-disposition"] == 'attachment; filename="headshot.toml"'
    made = door.post("/api/profiles", json={"name": "from-berlin", "toml": text.text, "note": "Imported"})
    assert made.status_code == 200 and made.json()["toml"] == text.text
    assert door.post("/api/jobs", json={"prompt": "a red mug", "profile": "from-berlin"}).json()["request"]["profile"] == "from-berlin"
    assert door.post("/api/jobs", json={"prompt": "a red mug", "profile": "from-bern"}).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/api/profiles/headshot", {}, 422, "profile"),
        ("/api/profiles/headshot", {"profile": 3}, 422, "profile"),
        ("/api/profiles/headshot", {"toml": "title = "}, 422, "headshot"),
        ("/api/profiles/headshot", {"profile": {"title": "x", "dimensions": {"sharpness": 4}}}, 422, "dimensions.sharpness"),
        ("/api/profiles/headshot", {"profile": {"title": "x", "learned": [{"card": 3}], "rules": ["no text"]}}, 422, "learned.0.dimension"),
        ("/api/profiles/headshot", {"profile": {"title": "x"}}, 422, "dimensions"),
        ("/api/profiles/nobody", {"toml": "x"}, 404, None),
        ("/api/profiles/headshot/restore", {"version": 10**30}, 422, "version"),
        ("/api/profiles/headshot/restore", {}, 422, "version"),
        ("/api/profiles/generic/remove", {}, 409, None),
        ("/api/profiles", {"name": "generic", "from": "headshot"}, 422, "name"),
        ("/api/profiles", {"name": "Über", "from": "headshot"}, 422, "name"),
        ("/api/rules", {"text": 3}, 422, "text"),
        ("/api/rules", {"colour": 3}, 422, "colour"),
    ],
)
def test_what_is_wrong_is_refused_by_field(door, path, body, status, field):
    answer = door.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
    assert door.get("/api/profiles/headshot").json()["version"] == 0


def test_who_is_still_writing_is_told_what_is_wrong(door):
    told = door.post("/api/rules", json={"text": "sharpnes >= 3"})
    assert told.status_code == 200 and told.json()["wrong"]["todo"] == "Did you mean sharpness?"
    assert door.post("/api/rules", json={"text": "no people"}).json()["words"] == "People exactly 0, or the picture is rejected."
    told = door.post("/api/profiles/headshot/preview", json={"profile": {"title": "x", "rules": ["banana >= 3"]}}).json()
    assert told["wrong"]["field"] == "rules.0" and '"banana"' in told["wrong"]["what"]


def test_there_is_no_such_version(door):
    for version in ("7", "-1", str(10**30)):
        assert door.get(f"/api/profiles/headshot?version={version}").status_code == 404


def test_a_change_is_tried_on_recent_pictures(start_studio):
    studio = start_studio()
    ended(studio, studio.submit({"prompt": "a red mug", "draft": 6, "keep": 2, "seed": 5})["id"])
    row = studio.store.db.execute("SELECT value FROM scores WHERE dimension = 'adherence' ORDER BY value").fetchall()
    middle = (row[2]["value"] + row[3]["value"]) / 2
    with served(studio) as address:
        with httpx.Client(base_url=address, timeout=20) as client:
            profile = client.get("/api/profiles/generic").json()["profile"]
            now = client.post("/api/profiles/generic/preview", json={"profile": profile}).json()
            assert now["pictures"] == 6 and now["changes"] == [] and now["now"] == now["would"]
            profile["dimensions"] = {"adherence": {"bound": ">=", "threshold": middle, "gate": "hard"}}
            profile |= {"ranks": [], "thresholds": {}, "gates": {}, "doubt": {}}
            told = client.post("/api/profiles/generic/preview", json={"profile": profile}).json()
            assert told["would"] == {"passes": 3, "rejected": 3, "review": 0}
            assert told["dimensions"]["adherence"]["fails"] == 3 and sum(told["dimensions"]["adherence"]["bins"]) == 6
            profile["rules"] = ["exactly one face"]
            told = client.post("/api/profiles/generic/preview", json={"profile": profile}).json()
            assert told["would"]["passes"] == 0 and told["dimensions"]["faces"]["unmeasured"] == 6


def test_what_is_held_out_of_selection_is_in_no_profile(studio, door):
    toml = 'title = "Sly"\n[dimensions.alarm]\nbound = ">="\nthreshold = 20\ngate = "advisory"\n'
    answer = door.post("/api/profiles", json={"name": "sly", "toml": toml})
    assert answer.status_code == 422
    assert "dimensions.alarm is held out of every selection" in answer.json()["error"]["what"]
