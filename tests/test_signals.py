"""What people do with pictures is noted, once for each time something changed."""
from __future__ import annotations

import pytest
from histories import ask, bulk, draw

from studio.store import signals
from studio.studio import Studio


def kinds(studio: Studio, image: int) -> list[str]:
    return [row["kind"] for row in studio.store.db.execute("SELECT kind FROM signals WHERE image_id = ? ORDER BY id", [image])]


def test_flags_are_noted_by_what_they_change(studio, door):
    [one, two, *_] = draw(studio)
    studio.store.db.execute("UPDATE images SET verdict = 'kept' WHERE id = ?", [one])
    studio.store.db.execute("UPDATE images SET verdict = 'rejected' WHERE id = ?", [two])
    for keep in (True, True, False, None, None):
        for image in (one, two):
            ask(door.post(f"/api/images/{image}/keep", json={"keep": keep}))
    assert kinds(studio, one) == ["pick", "reject", "unflag"]
    assert kinds(studio, two) == ["keep-anyway", "reject", "unflag"]
    bulk(door, "keep", [one, two], keep=True)
    assert [kinds(studio, image)[-1] for image in (one, two)] == ["pick", "keep-anyway"]
    said = studio.store.db.execute("SELECT DISTINCT person FROM signals").fetchall()
    assert [row["person"] for row in said] == ["local"]


def test_stars_are_noted_when_there_are_any_or_none_any_more(studio, door):
    [one, two, *_] = draw(studio)
    for rating in (0, 3, 5, 0, None, 1):
        ask(door.post(f"/api/images/{one}/rate", json={"rating": rating}))
    assert kinds(studio, one) == ["star", "unstar", "star"]
    bulk(door, "rate", [one, two], rating=4)
    assert (kinds(studio, one)[3:], kinds(studio, two)) == ([], ["star"])


def test_downloads_restores_and_what_is_refused(studio, door):
    [one, two, *_] = draw(studio)
    assert door.get(f"/image/{one}.png").status_code == 200
    assert kinds(studio, one) == [], "looking is no signal"
    assert door.get(f"/image/{one}.png?download=1").status_code == 200
    ask(door.post("/api/exports", json={"ids": [one, two]}), 201)
    assert (kinds(studio, one), kinds(studio, two)) == (["download"] * 2, ["download"])
    bulk(door, "trash", [two])
    for _ in range(2):
        bulk(door, "restore", [two])
    assert kinds(studio, two) == ["download", "restore"]
    before = studio.store.db.execute("SELECT count(*) FROM signals").fetchone()[0]
    ask(door.post("/api/exports", json={"ids": [one, 999]}), 422)
    ask(door.post(f"/api/images/{one}/keep", json={"keep": "yes"}), 422)
    assert studio.store.db.execute("SELECT count(*) FROM signals").fetchone()[0] == before
    with pytest.raises(ValueError, match="no signal"), studio.store.write() as db:
        signals.note(db, [one], "local", "applaud")  # type: ignore[arg-type]


def test_asking_for_the_same_again_regenerates_the_last_ones(studio, door):
    same = {"prompt": "a red mug", "draft": 2, "keep": 1}
    first, second = draw(studio, 2), draw(studio, 2)
    assert [kinds(studio, image) for image in (*first, *second)] == [[], [], [], []], "nobody asked through the door yet"
    ask(door.post("/api/jobs", json=same | {"seed": 7, "draft": 4}), 201)
    assert [kinds(studio, image) for image in (*first, *second)] == [[], [], ["regenerate"], ["regenerate"]]
    for other in ({"prompt": "a red mug!"}, {"tier": "standard"}, {"negative": "a hand"}):
        ask(door.post("/api/jobs", json=same | other), 201)
    assert [kinds(studio, image) for image in second] == [["regenerate"], ["regenerate"]], "something else was asked for"


def test_signals_go_with_their_picture(studio, door):
    [one, *_] = draw(studio, 1)
    ask(door.post(f"/api/images/{one}/rate", json={"rating": 5}))
    bulk(door, "trash", [one])
    bulk(door, "delete", [one])
    assert studio.store.db.execute("SELECT count(*) FROM signals").fetchone()[0] == 0
