"""Earlier results for a similar prompt: what counts as similar, who sees what, what is offered first, and how quickly."""
from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import BadInput, NotFound
from studio.history import History
from studio.similar import likenesses
from studio.store.people import LOCAL, Who

ADA = Who("ada")


def put(studio, *prompts: str, person: str = "local", shared: str | None = None) -> list[int]:
    """A drawn picture a prompt."""
    db = studio.store.db
    db.execute("INSERT OR IGNORE INTO persons (name, title, created) VALUES (?, ?, '2026-11-21')", [person, person])
    made = []
    for prompt in prompts:
        job = db.execute(
            "INSERT INTO jobs (person, state, request, prompt, family, tier, card, draft, keep, steps, guidance, profile, created)"
            " VALUES (?, 'done', '{}', ?, 'embedded', 'preview', 'embedded', 1, 1, 4, 3, 'generic', '2026-11-21') RETURNING id",
            [person, prompt],
        ).fetchone()["id"]
        row = db.execute(
            "INSERT INTO images (job_id, number, person, shared, state, seed, width, height, tier, card, prompt, steps, guidance, path,"
            " drawn) VALUES (?, 1, ?, ?, 'drawn', 1, 256, 256, 'preview', 'embedded', ?, 4, 3, 'outputs/x.png', '2026-11-21') RETURNING id",
            [job, person, shared, prompt],
        ).fetchone()
        made.append(row["id"])
    return made


def found(studio, prompt: str, threshold: float = 0.5, who: Who = LOCAL, **more) -> list[str]:
    return [one["image"]["prompt"] for one in studio.similar.find({"prompt": prompt} | more, threshold, who)["results"]]


def pins(studio, who: Who) -> list[int]:
    return [image["id"] for image in History(studio).page([("pinned", "1")], who)["images"]]


def test_words_in_another_order_and_misspellings_are_found(studio):
    put(studio, "a red mug on a wooden table", "a teal vase in a white studio, soft light", "two black teapots, marble kitchen")
    assert found(studio, "on a wooden table a red mug") == ["a red mug on a wooden table"]
    assert found(studio, "a red mgu on a woden table") == ["a red mug on a wooden table"]
    assert found(studio, "Two black teapot in a marble kitchen") == ["two black teapots, marble kitchen"]
    assert found(studio, "a teal vase") == []
    assert found(studio, "a teal vase", 0.2)[0] == "a teal vase in a white studio, soft light"
    assert found(studio, "") == found(studio, "zzz") == found(studio, '"; DROP TABLE images; --') == []


def test_the_threshold_is_a_setting(studio, door):
    put(studio, "a red mug on a wooden table")

    def offered() -> int:
        answer = door.post("/api/similar", json={"prompt": "a blue mug on a wooden table"})
        assert answer.status_code == 200
        return len(answer.json()["results"])

    assert offered() == 1
    studio.settings.set({"similar.threshold": 0.95}, LOCAL)
    assert offered() == 0
    assert door.post("/api/similar", json={"prompt": 5}).json()["error"]["field"] == "prompt"
    assert door.post("/api/similar", json={"promt": "x"}).status_code == 422


def test_the_same_prompt_is_one_result_its_best_picture(studio):
    images = put(studio, *["a red mug"] * 4)
    studio.store.db.execute("UPDATE images SET verdict = 'kept' WHERE id IN (?, ?)", images[:2])
    studio.store.db.execute("UPDATE images SET rating = 5 WHERE id = ?", [images[0]])
    [one] = studio.similar.find({"prompt": "a red mug"}, 0.5, LOCAL)["results"]
    assert (one["image"]["id"], one["similarity"], one["exact"], one["pinned"]) == (images[0], 1.0, True, False)


def test_pinned_ones_come_first_and_all_of_them(studio):
    exact, near, other = put(studio, "a red mug on a table", "a red mug on a wooden table", "a green lamp")
    [second] = put(studio, "a red mug on a wooden table")
    for image in (near, second):
        studio.similar.pin(image, {"pinned": True}, LOCAL)
    results = studio.similar.find({"prompt": "a red mug on a table"}, 0.5, LOCAL)["results"]
    assert [(one["image"]["id"], one["pinned"]) for one in results] == [(second, True), (near, True), (exact, False)]
    assert pins(studio, LOCAL) == [second, near]
    assert studio.image(near)["pinned"]
    studio.similar.pin(near, {"pinned": False}, LOCAL)
    assert not studio.image(near)["pinned"]
    assert found(studio, "a red mug on a table", limit=1) == ["a red mug on a wooden table"]
    assert other not in [one["image"]["id"] for one in results]


def test_pins_belong_to_the_owner(studio):
    [mine] = put(studio, "a red mug", shared="*")
    with pytest.raises(NotFound):
        studio.similar.pin(mine, {"pinned": True}, ADA)
    with pytest.raises(BadInput):
        studio.similar.pin(mine, {"pinned": 1}, LOCAL)
    studio.similar.pin(mine, {"pinned": True}, LOCAL)
    assert pins(studio, ADA) == [mine]


def test_only_what_a_person_may_see(studio):
    put(studio, "a red mug on a table")
    put(studio, "a red mug on the table", person="ada")
    [shared] = put(studio, "a red mug on tables", person="ada", shared="*")
    assert set(found(studio, "a red mug on a table")) == {"a red mug on a table", "a red mug on tables"}
    assert set(found(studio, "a red mug on a table", who=ADA)) == {"a red mug on the table", "a red mug on tables"}
    studio.store.db.execute("UPDATE images SET trashed = '2026-11-21' WHERE id = ?", [shared])
    assert found(studio, "a red mug on a table") == ["a red mug on a table"]


def test_others_prompts_do_not_crowd_out_ones_own(studio):
    put(studio, *(f"a red mug on a wooden table {n}" for n in range(200)), person="ada")
    put(studio, "a red mug on my wooden table")
    assert found(studio, "a red mug on a wooden table") == ["a red mug on my wooden table"]


def test_what_is_deleted_for_good_leaves_no_words(studio):
    one, other, last = put(studio, "a secret mug", "a secret mug", "a lamp")
    db = studio.store.db
    for image, left in ((one, 2), (other, 1)):
        db.execute("DELETE FROM images WHERE id = ?", [image])
        assert db.execute("SELECT count(*) FROM prompts").fetchone()[0] == left
    assert found(studio, "a secret mug") == []
    assert db.execute("SELECT term FROM prompt_words_counts").fetchall()[0]["term"] in ("a", "lamp")
    for name in ("prompt_words", "prompt_trigrams"):
        db.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")
    assert last


def test_likeness_is_a_share():
    for likeness in likenesses():
        assert likeness.of("a red mug", "a red mug") == 1
        assert likeness.of("a red mug", "xyz") == 0
        assert 0 < likeness.of("a red mug", "a red cup") < 1
    assert likenesses()[0].of("Café au lait", "cafe AU LAIT") == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_prompt_can_be_asked_for(studio, prompt):
    with contextlib.suppress(BadInput):
        for one in studio.similar.find({"prompt": prompt}, 0.0, LOCAL)["results"]:
            assert 0 <= one["similarity"] <= 1
    put(studio, prompt)


def test_the_nearest_is_found_among_thousands(studio):
    draw = random.Random(1)
    things, colours, places = ([f"{kind}{n}" for n in range(300)] for kind in ("mug", "red", "kitchen"))
    with studio.store.write() as db:
        [image] = put(studio, "a red mug on a table")
        rows = [f"a {draw.choice(colours)} {draw.choice(things)} on a table in a {draw.choice(places)}, soft light" for _ in range(4_000)]
        columns = "job_id, person, state, seed, width, height, tier, card, prompt, steps, guidance, path, drawn"
        db.executemany(
            f"INSERT INTO images (number, {columns}) SELECT ?, job_id, person, state, seed, width, height, tier, card, ?, steps, guidance,"
            " path, drawn FROM images WHERE id = ?",
            [(number, prompt, image) for number, prompt in enumerate(rows, start=2)],
        )
    for prompt in draw.sample(rows, 20):
        assert found(studio, prompt + " and")[0] == prompt
