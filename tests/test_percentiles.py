"""Percentiles among this studio's own pictures of a model: of that model alone, and quickly."""
from __future__ import annotations

import sqlite3
import time

import pytest

from pipelines.judge import Mark
from studio.store import Store, images
from studio.store.people import LOCAL
from studio.store.scores import FEWEST, RECENT, Percentiles


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "studio.db")
    yield opened
    opened.close()


def fill(store: Store, card: str, values: list[float], version: str = "1") -> list[int]:
    """Drawn pictures of a card, each with one value; their ids."""
    with store.write() as db:
        first = 1 + (db.execute("SELECT max(id) FROM images").fetchone()[0] or 0)
        job = db.execute(
            "INSERT INTO jobs (person, state, request, prompt, family, tier, card, draft, keep, steps, guidance, profile, created)"
            " VALUES (?, 'done', '{}', 'a mug', 'f', 'preview', ?, ?, 1, 4, 3, 'generic', '2026-11-21T00:00:00Z') RETURNING id",
            [LOCAL.name, card, len(values)],
        ).fetchone()[0]
        db.executemany(
            "INSERT INTO images (id, job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance, drawn)"
            " VALUES (?, ?, ?, ?, 'drawn', 1, 64, 64, 'preview', ?, 'a mug', 4, 3, '2026-11-21T00:00:00Z')",
            [(first + i, job, i + 1, LOCAL.name, card) for i in range(len(values))],
        )
        db.executemany(
            "INSERT INTO scores (image_id, dimension, value, scorer, version) VALUES (?, 'aesthetic', ?, 'aesthetic', ?)",
            [(first + i, value, version) for i, value in enumerate(values)],
        )
    return list(range(first, first + len(values)))


def percentile(store: Store, card: str, value: float | None, version: str = "1") -> float | None:
    return Percentiles(store).of("aesthetic", "aesthetic", version, card, value)


def test_a_value_is_placed_among_its_own_model_s_pictures(store):
    fill(store, "flux1-dev", [5 + i / 100 for i in range(100)])
    fill(store, "embedded", [3 + i / 100 for i in range(100)])
    assert percentile(store, "flux1-dev", 5.25) == 25.5
    assert percentile(store, "embedded", 5.25) == 100
    assert percentile(store, "embedded", 3.25) == 25.5
    assert percentile(store, "flux2-klein-4b", 5.25) is None, "nothing of that model is known"


def test_few_pictures_and_other_weights_say_nothing(store):
    fill(store, "embedded", [5.0] * (FEWEST - 1))
    assert percentile(store, "embedded", 5.0) is None
    fill(store, "embedded", [5.0])
    assert percentile(store, "embedded", 5.0) == 50
    assert percentile(store, "embedded", 5.0, version="2") is None
    assert percentile(store, "embedded", None) is None


def test_the_most_recent_ones_count(store):
    fill(store, "embedded", [9.0] * 500)
    fill(store, "embedded", [1.0] * RECENT)
    assert percentile(store, "embedded", 5.0) == 100


def test_scores_that_the_worker_writes_know_their_model(store):
    (image, *_) = fill(store, "embedded", [1.0])
    with store.write() as db:
        images.add_marks(db, image, [Mark("sharpness", 50.0, None, ">=", None, False, "", "technical", "1")])
        images.add_marks(db, image, [Mark("sharpness", 60.0, None, ">=", None, False, "", "technical", "1")])
    rows = images.scores_of(store, [image])[image]
    assert {row["card"] for row in rows} == {"embedded"}
    assert [row["value"] for row in rows if row["dimension"] == "sharpness"] == [60.0]


def test_scores_of_before_know_their_model_after_the_migration(tmp_path):
    """A database as it was before `scores.card`, opened by this version."""
    store = Store(tmp_path / "studio.db")
    fill(store, "embedded", [float(i) for i in range(30)])
    store.close()
    db = sqlite3.connect(tmp_path / "studio.db")
    db.executescript(
        "DROP INDEX scores_of_a_card; DROP TRIGGER scores_card; ALTER TABLE scores DROP COLUMN card;"
        "DELETE FROM _sqlite_migrations WHERE name = 'scores_by_card';"
    )
    db.close()
    again = Store(tmp_path / "studio.db")
    assert percentile(again, "embedded", 14.5) == 50
    again.close()


def test_one_index_answers(store):
    plan = store.db.execute(
        "EXPLAIN QUERY PLAN SELECT value FROM scores WHERE dimension = 'a' AND scorer = 'b' AND version = 'c' AND card = 'd'"
        " AND value IS NOT NULL ORDER BY id DESC LIMIT 2000"
    ).fetchall()
    assert ["COVERING INDEX scores_of_a_card" in row["detail"] for row in plan] == [True]


@pytest.mark.slow
def test_a_hundred_thousand_pictures_are_quick(store):
    """A model drawn long ago and rarely, under 100,000 pictures of another: the worst case of a search by time."""
    fill(store, "flux1-dev", [5 + i / 1000 for i in range(100)])
    fill(store, "embedded", [(i * 7919 % 1000) / 100 for i in range(100_000)])
    times = []
    for card, value in (("flux1-dev", 5.05), ("embedded", 5.0)) * 5:
        percentiles = Percentiles(store)
        started = time.process_time()
        assert percentiles.of("aesthetic", "aesthetic", "1", card, value) == pytest.approx(50, abs=2)
        times.append(time.process_time() - started)
    assert min(times[::2]) < 0.02 and min(times[1::2]) < 0.02
