"""Failure modes: what is there is found, what chance alone makes is not, and too little is told as too little."""
from __future__ import annotations

import json
import math
import random

import pytest
from histories import ask, draw
from test_insights import mark, settle

from pipelines.failures import ANY, Asked, find_modes, student, words_of
from studio.store import Store
from studio.store.people import LOCAL

THINGS = "mug vase candle bottle bowl lamp watch kettle teapot chair camera notebook jar ring basket clock".split()
COLOURS = "red blue green yellow purple orange white black".split()
PLACES = "marble beach wood snow studio meadow".split()


def asked(rng: random.Random, rate, requests: int = 200, pictures: int = 8, spread: float = 0.0) -> list[Asked]:
    """Requests whose pictures are rejected with probability `rate(words)`, the same for all pictures of a prompt but for `spread`."""
    found = []
    for _ in range(requests):
        words = (rng.choice(COLOURS), rng.choice(THINGS), rng.choice(PLACES))
        share = min(0.98, max(0.02, rate(words) + rng.gauss(0, spread)))
        bad = sum(rng.random() < share for _ in range(pictures))
        found.append(Asked("a {} {} on {}".format(*words), pictures, {ANY: bad, "sharpness": bad}))
    return found


def test_the_words_of_a_prompt():
    assert words_of("A red Mug, on the café's table (4k) — it's 3 o'clock") == {"red", "mug", "café's", "table", "it's", "o'clock"}


def test_students_quantiles():
    # From the tables, to a percent.
    for freedom, value in ((4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)):
        assert student(0.975, freedom) == pytest.approx(value, rel=0.01)


def test_a_word_that_spoils_pictures_is_found_with_its_size():
    found = find_modes(asked(random.Random(3), lambda words: 0.6 if "marble" in words else 0.2, spread=0.1), ["sharpness"])
    first = found.modes[0]
    assert first.features == (("word", "marble"),)
    assert first.low < 3.0 < first.high and first.low > 1.5
    assert first.having.judged + first.others.judged == 1600
    assert first.having.share == pytest.approx(0.6, abs=0.1)


def test_intervals_hold_where_a_side_has_nothing_rejected():
    rng = random.Random(2)
    for bad, low, high in ((0, 0.0, 1.0), (8, 1.0, math.inf)):
        some = [Asked(f"a {thing} in {colour}", 8, {ANY: rng.randrange(3, 6)}) for thing in THINGS for colour in COLOURS if colour != "red"]
        some += [Asked(f"a {thing} in red", 8, {ANY: bad}) for thing in THINGS]
        first = next(mode for mode in find_modes(some, [ANY]).modes if mode.features == (("word", "red"),))
        assert low <= first.low <= first.lift <= first.high <= high and first.p < 1e-4
        assert first.low > 1.5 or first.high < 0.3


def test_what_chance_makes_is_not_told():
    false = sum(bool(find_modes(asked(random.Random(seed), lambda words: 0.3, spread=0.25), [ANY]).modes) for seed in range(60))
    assert false <= 8  # of 60 at 5 %: 8 or more happens once in a hundred times


def test_one_prompt_drawn_many_times_is_one_prompt():
    """240 blurred pictures of one request say nothing of its words."""
    some = [*asked(random.Random(1), lambda words: 0.2, requests=60), Asked("a chrome toaster on marble", 240, {ANY: 240})]
    found = find_modes(some, [ANY])
    assert not [mode for mode in found.modes if ("word", "toaster") in mode.features or ("word", "marble") in mode.features]
    assert found.thin >= 2  # chrome, toaster
    same = [Asked("a chrome toaster", 8, {ANY: 8})] * 30
    assert find_modes([*asked(random.Random(1), lambda words: 0.2, requests=60), *same], [ANY]).thin >= 2


def test_what_always_occurs_together_is_told_as_one():
    rng = random.Random(5)
    some = asked(rng, lambda words: 0.15, requests=120)
    for colour in COLOURS * 2:
        values = {"product": "glass bowl", "colour": colour, "note": "x" * 500}
        some.append(Asked(f"{colour} glass bowl, professional hero shot", 8, {ANY: 6}, "hero", values))
    first = next(mode for mode in find_modes(some, [ANY]).modes if mode.features[0] == ("template", "hero"))
    assert first.low > 1 and ("value", "product=glass bowl") in first.features
    assert ("word", "professional") in first.features and not [name for kind, name in first.features if kind == "value" and "note" in name]


def test_nothing_and_everything_rejected():
    assert find_modes([]).modes == ()
    for bad in (0, 8):
        found = find_modes([Asked(f"a {thing} {colour}", 8, {ANY: bad}) for thing in THINGS for colour in COLOURS], [ANY])
        assert found.modes == () and found.looked == 24


def fill(studio, requests: int = 16) -> None:
    for at in range(requests):
        word = "marble" if at % 2 else "wood"
        ids = draw(studio, 6, prompt=f"a {COLOURS[at % 8]} {THINGS[at]} on {word}", tier="preview", ladder=False)
        for place, image in enumerate(ids):
            bad = word == "marble" and place < 5
            settle(studio, image, "rejected" if bad else "kept", mark("sharpness", 30 if bad else 80, 50), mark("exposure", 70, 60))


def test_over_http_and_a_click_opens_the_pictures(door, studio):
    fill(studio)
    view = ask(door.get("/api/failures"))
    assert view["judged"] == 96 and view["requests"] == 16
    assert [one["name"] for one in view["outcomes"]] == ["any", "sharpness"]
    top = next(mode for mode in view["modes"] if mode["outcome"] == "sharpness" and mode["lift"] > 1)
    assert top["features"] == [{"kind": "word", "name": "marble"}] and top["outcome_title"] == "Sharpness"
    assert top["having"] == {"prompts": 8, "judged": 48, "rejected": 40, "share": 0.8333}
    assert 1 < top["low"] < top["lift"] and top["high"] is None  # without it nothing was rejected: there is no most
    opened = ask(door.get("/api/history", params={"q": '"marble"', "failed": "sharpness", "limit": 100}))
    assert opened["total"] == 40 and all(image["verdict"] == "rejected" for image in opened["images"])
    assert ask(door.get("/api/history", params={"failed": "exposure"}))["total"] == 0
    assert ask(door.get("/api/failures", params={"outcome": "any"}))["modes"][0]["outcome"] == "any"
    assert ask(door.get("/api/failures", params={"range": "7", "card": "embedded"}))["judged"] == 96
    assert ask(door.get("/api/failures", params={"since": "1999-01-01", "until": "1999-02-01"}))["modes"] == []
    assert ask(door.get("/api/failures", params={"colour": "red"}), 422)["error"]["field"] == "colour"


def test_a_template_and_its_values(door, studio):
    fill(studio, 8)
    for at in range(8):
        body = {"template": {"name": "hero", "version": 1}, "values": {"product": "glass bowl", "colour": COLOURS[at]}}
        ids = draw(studio, 6, prompt=f"{COLOURS[at]} glass bowl, hero shot", ladder=False)
        with studio.store.write() as db:
            for image in ids:
                job = db.execute("SELECT job_id FROM images WHERE id = ?", [image]).fetchone()[0]
                db.execute("UPDATE jobs SET request = json_patch(request, ?), template = 'hero' WHERE id = ?", [json.dumps(body), job])
        for image in ids:
            settle(studio, image, "rejected", mark("exposure", 10, 60))
    modes = ask(door.get("/api/failures", params={"outcome": "exposure"}))["modes"]
    names = [feature["name"] for feature in modes[0]["features"]]
    assert names[0] == "hero" and "product=glass bowl" in names
    assert ask(door.get("/api/history", params={"template": "hero", "failed": "exposure"}))["total"] == 48


@pytest.mark.slow
def test_a_long_history_is_read_soon(tmp_path, shipped):
    import time

    from benchmarks.history import fill as bulk
    from studio.failures import Failures
    from studio.studio import Studio

    store = Store(tmp_path / "data" / "studio.db")
    bulk(store, 20_000)
    store.close()
    studio = Studio(tmp_path / "data", shipped, engine="scripted")
    try:
        began = time.perf_counter()
        view = Failures(studio).view([("range", "all")], LOCAL)
        assert view["judged"] > 15_000 and math.isfinite(sum(mode["lift"] for mode in view["modes"]))
        assert time.perf_counter() - began < 5
        print(f"failures of 20,000 pictures: {time.perf_counter() - began:.2f} s")
    finally:
        studio.stop()
