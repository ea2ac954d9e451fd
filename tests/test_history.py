"""Finding pictures again: words, filters, orders, pages. Real SQLite; what each query must find is worked out here in plain Python."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.history import fill
from studio.asked import read_search
from studio.store import Store, history
from studio.store.people import LOCAL, Who

PICTURES = 1200


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = Store(tmp_path_factory.mktemp("history") / "studio.db")
    fill(store, PICTURES, seed=3)
    yield store
    store.close()


@pytest.fixture(scope="module")
def truth(filled: Store) -> list[dict[str, Any]]:
    """Every picture with its scores, LoRAs and boards, as plain values."""
    found = {row["id"]: dict(row) | {"scores": {}, "boards": set()} for row in filled.db.execute("SELECT * FROM images")}
    for row in filled.db.execute("SELECT * FROM scores ORDER BY id"):
        found[row["image_id"]]["scores"][row["dimension"]] = row["value"]
    for row in filled.db.execute("SELECT * FROM board_images"):
        found[row["image_id"]]["boards"].add(row["board_id"])
    for row in filled.db.execute("SELECT image_id, lora FROM job_loras JOIN (SELECT id AS image_id, job_id FROM images) USING (job_id)"):
        found[row["image_id"]]["lora"] = row["lora"]
    return list(found.values())


def search(store: Store, pairs: list[tuple[str, str]], who: Who = LOCAL, limit: int = 50) -> list[int]:
    """Ids over all pages, and that the pages, the total and `ids` agree."""
    asked, rest = read_search(pairs)
    assert rest == {}
    first = page = history.page(store, who, asked, None, limit)
    found = [row["id"] for row in page.rows]
    while page.next is not None:
        assert len(page.rows) == limit
        page = history.page(store, who, asked, page.next, limit)
        found += [row["id"] for row in page.rows]
    assert len(found) == len(set(found)), "a picture came twice"
    assert (first.total, first.exact) == (min(len(found), max(limit, history.COUNTED)), len(found) <= history.COUNTED)
    assert history.ids(store, who, asked, 10_000) == found
    return found


def seen(image: dict[str, Any], who: str = "local") -> bool:
    return image["trashed"] is None and (image["person"] == who or image["shared"] == "*")


def test_without_anything_asked_everything_one_may_see_comes_newest_first(filled, truth):
    assert search(filled, []) == sorted((image["id"] for image in truth if seen(image)), reverse=True)
    assert search(filled, [("sort", "oldest")]) == sorted(image["id"] for image in truth if seen(image))
    anna = Who("anna")
    assert search(filled, [], anna) == sorted((image["id"] for image in truth if seen(image, "anna")), reverse=True)
    assert search(filled, [], Who("nobody")) == sorted((image["id"] for image in truth if seen(image, "nobody")), reverse=True)


CONDITIONS: dict[str, Any] = {
    "q=mug": lambda image: " mug" in image["prompt"],
    "q=mu": lambda image: any(word.startswith("mu") for word in image["prompt"].replace(",", " ").split()),
    'q="in the snow"': lambda image: "in the snow" in image["prompt"],
    "q=RED vase": lambda image: {"red", "vase"} <= set(image["prompt"].replace(",", " ").split()),
    "q=hero": lambda image: "hero" in image["tags"] or "hero" in image["note"],
    "q=zebra": lambda image: False,
    "tier=premium": lambda image: image["tier"] == "premium",
    "card=flux1-dev": lambda image: image["card"] == "flux1-dev",
    "lora=brand-a": lambda image: image.get("lora") == "brand-a",
    "verdict=kept": lambda image: image["shown"] == "kept",
    "verdict=review": lambda image: image["shown"] == "review",
    "score=sharpness:60..": lambda image: image["scores"]["sharpness"] >= 60,
    "score=adherence:..20": lambda image: image["scores"]["adherence"] <= 20,
    "score=flatness:30..35.5": lambda image: 30 <= image["scores"]["flatness"] <= 35.5,
    "score=unheard_of:1..": lambda image: False,
    "rating=4": lambda image: (image["rating"] or 0) >= 4,
    "rating=none": lambda image: image["rating"] is None,
    "person=anna": lambda image: image["person"] == "anna",
    "board=2": lambda image: 2 in image["boards"],
    "tag=print": lambda image: '"print"' in image["tags"],
    "tag=Sale": lambda image: '"sale"' in image["tags"],
}
SORTS = ["newest", "oldest", "rating", "best:sharpness", "best:blockiness"]


@pytest.mark.parametrize("few", [0, 40, 12_000])
def test_any_filters_together_in_any_order_find_exactly_what_they_say(filled, truth, monkeypatch, few):
    """With `few` 0 every query walks, with 12,000 every one gathers: the answers must be the same."""
    monkeypatch.setattr(history, "FEW", few)
    rng = random.Random(few)
    combinations = [[name] for name in CONDITIONS] + [rng.sample(list(CONDITIONS), rng.choice((2, 2, 3))) for _ in range(40)]
    for names in combinations:
        pairs = [tuple(name.split("=", 1)) for name in names]
        fields = [field for field, _ in pairs]
        if any(fields.count(once) > 1 for once in ("q", "rating", "board")) or fields.count("verdict") > 1:
            continue
        wanted = [image for image in truth if seen(image) and all(CONDITIONS[name](image) for name in names)]
        for sort in rng.sample(SORTS, 2):
            if sort.startswith("best:"):
                dimension, sign = sort[5:], -1 if sort == "best:sharpness" else 1
                wanted.sort(key=lambda image: (sign * image["scores"][dimension], sign * image["id"]))
            elif sort == "rating":
                wanted.sort(key=lambda image: (-1 if image["rating"] is None else image["rating"], image["id"]), reverse=True)
            else:
                wanted.sort(key=lambda image: image["id"], reverse=sort == "newest")
            assert search(filled, [*pairs, ("sort", sort)], limit=rng.choice((7, 60))) == [image["id"] for image in wanted], (names, sort)


def test_the_trash_is_ones_own_and_nothing_else(filled, truth):
    mine = [image["id"] for image in truth if image["trashed"] is not None and image["person"] == "local"]
    assert mine
    assert search(filled, [("trashed", "1")]) == sorted(mine, reverse=True)
    assert search(filled, [("trashed", "1")], Who("nobody")) == []


def test_the_pinned_are_found_by_whoever_may_see_them(filled, truth):
    pins = [image["id"] for image in truth][::37]
    with filled.write() as db:
        db.executemany("INSERT INTO pins VALUES (?, 'local', '2026-01-01T00:00:00.000Z')", [[image] for image in pins])
    try:
        visible = [image["id"] for image in truth if seen(image) and image["id"] in pins]
        assert visible and search(filled, [("pinned", "1")]) == sorted(visible, reverse=True)
        assert history.facets(filled, LOCAL)["pinned"] == len(visible)
        kept = [image["id"] for image in truth if seen(image) and image["id"] in pins and (image["rating"] or 0) >= 3]
        assert search(filled, [("pinned", "1"), ("rating", "3")]) == sorted(kept, reverse=True)
    finally:
        filled.db.execute("DELETE FROM pins")


def test_a_board_keeps_its_own_order(filled, truth):
    rows = filled.db.execute("SELECT image_id FROM board_images WHERE board_id = 1 ORDER BY position")
    visible = {image["id"] for image in truth if seen(image)}
    assert search(filled, [("board", "1"), ("sort", "board")]) == [row[0] for row in rows if row[0] in visible]


def test_days_include_their_ends_and_moments_are_exact(filled, truth):
    days = sorted(image["drawn"][:10] for image in truth)
    first, last = days[300], days[600]
    found = search(filled, [("since", first), ("until", last)])
    assert set(found) == {image["id"] for image in truth if seen(image) and first <= image["drawn"][:10] <= last}
    moment = sorted(image["drawn"] for image in truth if seen(image))[100]
    assert len(search(filled, [("until", moment)])) == 100
    assert len(search(filled, [("until", moment.replace("Z", "+00:00"))])) == 100


def test_what_the_facets_count_is_what_the_filters_find(filled):
    facets = history.facets(filled, LOCAL)
    assert facets["total"] == len(search(filled, []))
    assert facets["trashed"] == len(search(filled, [("trashed", "1")]))
    for plural, field in (("tiers", "tier"), ("cards", "card"), ("verdicts", "verdict"), ("persons", "person"), ("tags", "tag")):
        assert facets[plural]
        for name, count in facets[plural].items():
            assert len(search(filled, [(field, name)])) == count, (field, name)
    assert facets["loras"] == ["brand-a", "brand-b", "ceramic", "watercolour"]
    sharpness = next(one for one in facets["dimensions"] if one["name"] == "sharpness")
    assert sharpness["bound"] == ">=" and 0 <= sharpness["least"] < sharpness["most"] <= 100


def test_a_value_measured_again_replaces_the_old_one(tmp_path: Path):
    store = Store(tmp_path / "studio.db")
    fill(store, 8)
    image, other = (row["id"] for row in store.db.execute("SELECT id FROM images WHERE person = 'local' LIMIT 2"))
    insert = "INSERT INTO scores (image_id, dimension, value, scorer, version) VALUES (?, 'sharpness', ?, 'new', ?)"
    store.db.execute(insert, [image, 777.0, "2"])
    assert search(store, [("score", "sharpness:700..")]) == [image]
    store.db.execute(insert, [image, None, "3"])
    assert image not in search(store, [("score", "sharpness:0..")])
    store.db.execute("UPDATE scores SET value = 800 WHERE image_id = ? AND scorer = 'bench' AND dimension = 'sharpness'", [other])
    assert search(store, [("score", "sharpness:700..")]) == [other]
    store.close()


MARKS = [*"\"*^:(){}[]+-,.\\/'%_& \t", "AND ", "OR ", "NOT ", "NEAR(", "mug ", "prompt", "é", "\u4e2d", "\U0001f600", "\0"]
anything = st.text(max_size=40) | st.lists(st.sampled_from(MARKS), max_size=20).map("".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=anything)
def test_nothing_that_is_typed_is_a_syntax_error(filled, typed):
    """Straight at SQLite: the match expression of any text runs."""
    expression = history.match(typed.encode("utf-8", "replace").decode())
    if expression is not None:
        filled.db.execute("SELECT rowid FROM images_fts WHERE images_fts MATCH ? LIMIT 1", [expression]).fetchall()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from("red mug snow soft light wooden hero zebra".split()), min_size=1, max_size=3), marks=st.lists(
    st.sampled_from(["(", ")", '"', "*", "-", "AND", ":", "^", "{"]), max_size=3))  # fmt: skip
def test_marks_between_words_change_nothing(filled, words, marks):
    plain = search(filled, [("q", " ".join(words))])
    marked = " ".join(word + mark for word, mark in zip(words, [*marks, "", "", ""], strict=False) if mark not in ('"', "AND"))
    if marked and len(marked.split()) == len(words):
        assert search(filled, [("q", marked)]) == plain


fields = st.sampled_from(
    "q tier card lora verdict score rating person board tag since until trashed sort after limit nonsense \ud800 x\0".split(" ")
)
values = anything | st.sampled_from(
    ["1", "-1", "0", "99999999999999999999", "nan", "inf,1", "nan,1", "1e999,3", "2026-11-21", "0001-01-01T00:00+23:59", "sharpness:1..2",
     "sharpness:nan..", "a:..", "best:sharpness", "best:", "board", "none", "5", "1.5,9", "9" * 5000, ",", "1,", ",1",
     "0,99999999999999999999"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(fields, values), max_size=5))
def test_whatever_is_asked_over_http_is_answered_or_refused_by_name(door: httpx.Client, pairs):
    sendable = [(name.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode()) for name, value in pairs]
    answer = door.get("/api/history", params=sendable)
    if answer.status_code == 422:
        field = answer.json()["error"]["field"]
        assert field.split(".")[0] in {name[:80] for name, _ in sendable}
    else:
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"images", "next", "total", "total_exact"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("sort=best", "sort"), ("sort=board", "sort"),
        ("rating=6", "rating"), ("rating=0", "rating"), ("verdict=good", "verdict"), ("score=sharpness", "score"),
        ("score=sharpness:..", "score"), ("score=sharpness:a..", "score"), ("since=yesterday", "since"), ("until=2026-13-01", "until"),
        ("board=7", "board"), ("board=x", "board"), ("after=12", "after"), ("trashed=2", "trashed"), ("pinned=yes", "pinned"),
        ("tiers=preview", "tiers"),
        ("q=a&q=b", "q"), ("q=%00", "q"), ("&".join(f"tag=t{i}" for i in range(21)), "tag"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(door, query, field):
    answer = door.get(f"/api/history?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
