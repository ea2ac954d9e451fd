"""Safety of prompts: what the rules find, what happens to a prompt that they find, the list as versions, and the record."""
from __future__ import annotations

import sqlite3
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadInput
from pipelines.safety import fold, list_toml, read_list, shipped
from studio.safety import Guardian, Unsafe
from studio.store import incidents
from studio.store.people import Who
from studio.studio import Studio

LIST = read_list(shipped().read_text(encoding="utf-8"), 0)


def found(prompt: str, *texts: str) -> list[str]:
    return [finding.rule for finding in LIST.check(prompt, texts)]


def one_rule(**given: object) -> str:
    return list_toml({"action": "ask", "rules": [{"name": "own", "title": "Own", "kind": "brand", **given}]})


# What is found.


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        ("a naked man on a beach", "nudity"),
        ("a NÁKED man", "nudity"),
        ("a \uff4e\uff41\uff4b\uff45\uff44 man", "nudity"),  # full width
        ("a n4k3d man", "nudity"),
        ("a n-a-k-e-d man", "nudity"),
        ("n a k e d, on a beach", "nudity"),
        ("na\u200bked man", "nudity"),
        ("a beheaded statue", "gore"),
        ("a severed\nhead", "gore"),
        ("a SWASTIKA on a wall", "hate"),
        ("an AK-47 on a table", "weapons"),
        ("photo of a child, undressed", "minors"),
        ("nude lipstick beside a naked woman", "nudity"),
    ],
)
def test_words_are_found_however_they_are_written(prompt, rule):
    assert rule in found(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red mug on a wooden table", "nude lipstick on marble", "nude tones, beige heels", "a naked cake", "a Gore-Tex jacket",
        "a glue gun on a workbench", "a child with a balloon", "a sonata in a minor", "blood orange juice", "the word sextant", "50mm f1.8",
        "a cockatoo and a titmouse", "Essex landscape", "a torture test of a watch", "", "!!!", "\ud800",
    ],
)  # fmt: skip
def test_harmless_prompts_pass(prompt):
    assert found(prompt) == []


def test_words_that_the_picture_is_to_show_are_looked_at_too():
    assert found("a banner", "Sale", "sieg heil") == ["hate"]


def test_a_rule_with_a_second_list_needs_both():
    toml = one_rule(words=["bottle*"], **{"with": ["wine", "beer"]})
    rules = read_list(toml, 1)
    assert not rules.check("a bottle of milk") and not rules.check("a glass of wine")
    assert rules.check("bottles of wine")[0].words == ("bottles", "wine")


def test_words_of_scripts_without_spaces_are_found_inside_a_line():
    rules = read_list(one_rule(words=["裸体"]), 1)
    assert rules.check("浜辺の裸体の像") and not rules.check("浜辺の像")


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    LIST.check(text)
    assert incidents.hash_of(text) == incidents.hash_of(f"  {text}  ")
    assert fold(fold(text)) == fold(text)


def test_a_long_prompt_takes_milliseconds():
    prompt = "a red mug on a wooden table, morning light; " * 100
    LIST.check(prompt)
    started = time.perf_counter()
    LIST.check(prompt)
    assert time.perf_counter() - started < 0.1


# The list.


def test_what_is_written_down_reads_back_the_same():
    assert read_list(list_toml(LIST.as_dict()), 0) == LIST


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ('action = "maybe"', "action"),
        ('action = "ask"\n[rules.own]\ntitle = "Own"\nkind = "rude"\nwords = ["x"]', "rules.own.kind"),
        ('action = "ask"\n[rules.own]\ntitle = "Own"\nkind = "brand"\nwords = []', "rules.own.words"),
        ('action = "ask"\n[rules.own]\ntitle = "Own"\nkind = "brand"\nwords = ["*"]', "rules.own.words"),
        ('action = "ask"\n[rules.own]\ntitle = "Own"\nkind = "brand"\nwords = ["x"]\nword = ["y"]', "rules.own.word"),
        ('action = "ask"\n[classifiers.own]\ntitle = "S"\nkind = "sexual"\nthreshold = 101', "classifiers.own.threshold"),
        ('action = "ask"\n[rules', "safety.toml"),
    ],
)
def test_a_list_that_is_none_is_refused_by_its_key(toml, field):
    with pytest.raises(BadInput) as refused:
        read_list(toml, 1)
    assert refused.value.field == field


# What happens to a prompt.


def actions(studio: Studio) -> list[tuple[str, str]]:
    return [(row["rule"], row["action"]) for row in studio.store.db.execute("SELECT rule, action FROM incidents ORDER BY id")]


def submit(door: httpx.Client, prompt: str, **more: object) -> httpx.Response:
    return door.post("/api/jobs", json={"prompt": prompt, "tier": "preview", **more})


def test_a_refused_prompt_is_never_queued(studio, door):
    answer = submit(door, "a naked child", safety="confirmed")
    error = answer.json()["error"]
    assert answer.status_code == 422 and error["field"] == "prompt"
    assert '"Minors and nudity"' in error["what"] and '"naked"' in error["what"] and "Quality tab" in error["todo"]
    assert studio.jobs() == []
    assert actions(studio) == [("minors", "refused")]


def test_what_needs_a_word_of_the_person_is_drawn_after_it_and_asked_once(studio, door):
    asked = submit(door, "a naked man")
    assert asked.status_code == 422 and asked.json()["error"]["field"] == "safety"
    assert studio.jobs() == []
    assert submit(door, "a naked man", safety="confirmed").status_code == 201
    assert submit(door, "A  Naked man").status_code == 201, "the same prompt is not asked about again"
    assert submit(door, "a naked woman").status_code == 422
    assert actions(studio) == [("nudity", "asked"), ("nudity", "confirmed"), ("nudity", "asked")]


def test_what_is_only_marked_is_drawn_and_written_down(studio, door):
    assert submit(door, "a rifle on a table").status_code == 201
    assert actions(studio) == [("weapons", "marked")]
    (row,) = studio.store.db.execute("SELECT * FROM incidents").fetchall()
    assert row["person"] == "local" and row["kind"] == "brand" and row["list"] == 0 and row["image_id"] is None
    assert row["prompt_hash"] == incidents.hash_of("a rifle on a table") and "rifle" not in "".join(map(str, tuple(row)))


def test_a_confirmation_is_one_person_s(studio):
    mine, yours = Who("local", admin=True), Who("ada")
    studio.safety.check("a naked man", (), mine, confirmed=True)
    studio.safety.check("a naked man", (), mine)
    with pytest.raises(Unsafe):
        studio.safety.check("a naked man", (), yours)


def test_only_the_word_confirmed_confirms(door):
    answer = submit(door, "a red mug", safety="yes")
    assert answer.status_code == 422 and answer.json()["error"]["field"] == "safety"


def test_harmless_prompts_leave_no_trace(studio, door):
    assert submit(door, "a red mug").status_code == 201
    assert actions(studio) == []


# The list as a team changes it.


def test_the_list_is_changed_restored_and_never_lost(studio, door):
    view = door.get("/api/safety").json()
    assert view["version"] == 0 and view["admin"] and view["list"]["action"] == "ask"
    changed = view["list"] | {"rules": [{"name": "mugs", "title": "Mugs", "kind": "brand", "action": "refuse", "words": ["mug*"]}]}
    saved = door.post("/api/safety", json={"list": changed, "note": "No mugs", "base": 0}).json()
    newest = {"version": 1, "person": "local", "note": "No mugs", "created": ""}
    assert saved["version"] == 1 and saved["versions"][0] | {"created": ""} == newest
    assert submit(door, "a red mug").json()["error"]["field"] == "prompt"
    assert submit(door, "a naked man").status_code == 201
    late = door.post("/api/safety", json={"list": changed, "base": 0})
    assert late.status_code == 409 and "meanwhile" in late.json()["error"]["why"]

    assert door.post("/api/safety/restore", json={"version": 0}).json()["version"] == 2
    assert submit(door, "a red mug").status_code == 201
    assert submit(door, "a naked man").status_code == 422
    assert "mug*" in door.get("/api/safety/versions/1").json()["toml"]
    assert door.get("/api/safety/versions/9").status_code == 404


def test_the_list_travels_as_toml(door):
    toml = door.get("/api/safety").json()["toml"]
    saved = door.post("/api/safety", json={"list": toml.replace('action = "ask"', 'action = "mark"', 1)}).json()
    assert saved["list"]["action"] == "mark" and saved["toml"].startswith("# What a studio looks for")
    assert submit(door, "a naked man").status_code == 201


@pytest.mark.parametrize(
    "given",
    [5, {"rules": 5}, {"action": "ask", "rules": [{"name": "a"}, {"name": "a"}]}, {"action": "ask", "pictures": []}, "[", {"action": None}],
)
def test_what_is_no_list_is_refused(door, given):
    answer = door.post("/api/safety", json={"list": given})
    assert answer.status_code == (200 if given == {"action": "ask", "pictures": []} else 422)


def test_a_prompt_is_tried_out_on_a_list_that_is_not_saved(studio, door):
    draft = {"action": "ask", "rules": [{"name": "mugs", "title": "Mugs", "kind": "brand", "words": ["mug"]}]}
    tried = door.post("/api/safety/try", json={"prompt": "a red mug", "list": draft}).json()["findings"]
    assert [(one["rule"], one["words"]) for one in tried] == [("mugs", ["mug"])]
    assert door.post("/api/safety/try", json={"prompt": "a red mug"}).json()["findings"] == []
    assert actions(studio) == []


def test_only_an_admin_changes_the_list(studio):
    with pytest.raises(Exception, match="Only an admin"):
        studio.safety.save(LIST.as_dict(), "", Who("ada"))
    assert studio.safety.view(Who("ada"))["admin"] is False


def test_lately_is_counted(door):
    submit(door, "a naked man")
    submit(door, "a rifle")
    submit(door, "a rifle")
    counts = door.get("/api/safety").json()["incidents"]["counts"]
    assert [(one["rule"], one["action"], one["count"]) for one in counts] == [("weapons", "marked", 2), ("nudity", "asked", 1)]


# Classifiers, which the worker asks.


class Reads:
    """A text classifier that finds a word."""

    dimensions = ("prompt_sexual",)

    def __init__(self) -> None:
        self.read_count = 0

    def read(self, text: str) -> float | None:
        self.read_count += 1
        return 97.0 if "risque" in text else 3.0


def queued(studio: Studio, prompt: str) -> int:
    return studio.submit({"prompt": prompt, "tier": "preview"})["id"]


def test_what_a_classifier_finds_stops_the_job_and_is_known_when_it_is_sent_again(studio):
    reader = Reads()
    guardian = Guardian(studio.store, lambda: [reader])
    harmless, job = queued(studio, "a red mug"), queued(studio, "something risque")
    guardian.check(harmless)
    guardian.check(harmless)
    assert reader.read_count == 1, "once a job"
    with pytest.raises(Unsafe, match="97 % sure") as stopped:
        guardian.check(job)
    assert "Send it again" in stopped.value.todo
    with pytest.raises(Unsafe) as asked:
        queued(studio, "something risque")
    assert asked.value.field == "safety"
    again = studio.submit({"prompt": "something risque", "tier": "preview", "safety": "confirmed"})["id"]
    guardian.check(again)
    assert actions(studio) == [("prompt_sexual", "asked"), ("prompt_sexual", "asked"), ("prompt_sexual", "confirmed")]


def test_without_a_classifier_nothing_is_claimed(studio):
    job = queued(studio, "something risque")
    Guardian(studio.store, lambda: []).check(job)
    assert actions(studio) == []


def test_a_classifier_that_only_marks_marks_once_a_job(studio):
    given = LIST.as_dict()
    given["classifiers"][0]["action"] = "mark"
    studio.safety.save(given, "", Who("local", admin=True))
    job = queued(studio, "something risque")
    for _ in range(2):  # a worker that was started again
        Guardian(studio.store, lambda: [Reads()]).check(job)
    assert actions(studio) == [("prompt_sexual", "marked")]


def test_the_record_holds_known_kinds_alone(studio):
    with pytest.raises(sqlite3.IntegrityError):
        values = "('a', 'rude', 'r', 0, 'marked', '')"
        studio.store.db.execute(f"INSERT INTO incidents (person, kind, rule, list, action, created) VALUES {values}")
