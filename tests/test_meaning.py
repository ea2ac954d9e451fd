"""Prompts that say the same in other words: read by the text tower that ships, stored, compared, and never shown to those who may not."""
from __future__ import annotations

import base64

import numpy as np
import pytest
from studios import served, wait_for
from test_similar import ADA, found, put

from models.scorers import prompt_encoder
from studio.meaning import MOST, Meanings, Reading
from studio.similar import Similar
from studio.store.people import LOCAL
from studio.studio import Studio

OTHER_WORDS = "Commercial photograph of a gray gift box, brick wall"


@pytest.fixture(scope="module")
def encoder(shipped):
    return prompt_encoder(shipped.card("embedded"))


@pytest.fixture
def reading(studio, encoder):
    """The worker's side in this process, joined to the page's side of `studio`."""
    told = []
    reading = Reading(studio.store, studio.catalogue.card("embedded"), None, encoder, lambda event, **answer: told.append((event, answer)))

    def ask(prompt: str) -> bool:
        # As the socket would, but heard before `ask` returns: what a busy worker does is another test's.
        count = len(told)
        reading.ask(prompt)
        wait_for(lambda: len(told) > count, "the answer")
        meanings.heard(told[-1][1])
        return True

    meanings = Meanings(studio.store, ask)
    studio.similar = Similar(studio.store, studio.percentiles, meanings)
    return reading


def catch_up(reading: Reading) -> int:
    count = 0
    while read := reading.catch_up():
        count += read
    return count


def test_other_words_for_the_same_thing_are_found(studio, reading):
    put(studio, "Professional product photograph of a grey present in front of a brick wall", "a teal bottle, night skyline",
        "a yellow lamp on a wooden table")  # fmt: skip
    assert OTHER_WORDS not in found(studio, OTHER_WORDS), "no word of weight in common"
    assert found(studio, OTHER_WORDS, 0.8) == []
    assert catch_up(reading) == 3
    [one] = studio.similar.find({"prompt": OTHER_WORDS}, 0.8, LOCAL)["results"]
    assert one["image"]["prompt"].startswith("Professional product photograph of a grey present")
    assert 0.8 < one["similarity"] <= 1 and not one["exact"]


def test_each_prompt_is_read_once_and_leaves_with_its_pictures(studio, reading):
    images = put(studio, "a red mug", "a red mug", "a blue vase")
    assert catch_up(reading) == 2
    assert reading.catch_up() == 0
    put(studio, "a green lamp")
    assert reading.catch_up() == 1
    assert found(studio, "red cup, photo", 0.9) == ["a red mug"]
    studio.store.db.execute("DELETE FROM images WHERE id IN (?, ?)", images[:2])
    assert found(studio, "red cup, photo", 0.9) == []
    left = studio.store.db.execute("SELECT count(*) FROM prompt_vectors").fetchone()[0]
    assert left == 2


def test_a_prompt_with_words_it_never_learnt_has_no_place(studio, reading):
    put(studio, "a portrait of my grandmother in Lisbon", "an elephant, watercolour")
    catch_up(reading)
    assert [row["vector"] for row in studio.store.db.execute("SELECT vector FROM prompt_vectors")] == [None, None]
    assert found(studio, "two penguins dancing the polka", 0.3) == []
    assert Reading(studio.store, studio.catalogue.card("embedded"), None, reading._encoder, print).catch_up() == 0, "tried once only"


def test_only_what_a_person_may_see(studio, reading):
    put(studio, "a grey present in front of a brick wall", person="ada")
    catch_up(reading)
    assert found(studio, OTHER_WORDS, 0.5) == []
    assert found(studio, OTHER_WORDS, 0.5, who=ADA) == ["a grey present in front of a brick wall"]


def test_a_busy_worker_answers_the_next_time(studio, encoder):
    put(studio, "a red mug on a wooden table")
    reading = Reading(studio.store, studio.catalogue.card("embedded"), None, encoder, lambda event, **answer: told.append(answer))
    told: list[dict] = []
    catch_up(reading)
    asked: list[str] = []

    def ask(prompt: str) -> bool:
        asked.append(prompt)
        return False

    meanings = Meanings(studio.store, ask)
    assert meanings.near("a red tea cup, wooden desk", LOCAL, 5) == {}
    reading.ask(asked[-1])
    wait_for(lambda: told, "the answer")
    meanings.heard(told[-1])
    assert list(meanings.near("a red tea cup, wooden desk", LOCAL, 5)) == ["a red mug on a wooden table"]
    assert len(asked) == 1


def test_another_text_tower_starts_a_space_of_its_own(studio):
    put(studio, *(f"prompt {n}" for n in range(3)))
    db = studio.store.db
    rng = np.random.default_rng(0)

    def fill(space: str, dim: int) -> np.ndarray:
        vectors = rng.normal(size=(3, dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for row, vector in zip(db.execute("SELECT id FROM prompts ORDER BY id").fetchall(), vectors, strict=True):
            db.execute("INSERT INTO prompt_vectors (prompt_id, space, vector) VALUES (?, ?, ?)",
                       [row["id"], space, vector.astype("<f2").tobytes()])  # fmt: skip
        return vectors

    meanings = Meanings(studio.store, lambda prompt: False)
    for space, dim in (("clip-a 1", 96), ("clip-l 7", 32), ("clip-a 1", 96)):
        db.execute("DELETE FROM prompt_vectors WHERE space = ?", [space])
        vectors = fill(space, dim)
        told = {"prompt": "asked", "space": space, "vector": base64.b64encode(vectors[1].astype("<f2").tobytes()).decode()}
        meanings.heard(told)
        near = meanings.near("asked", LOCAL, 1)
        assert list(near) == ["prompt 1"] and near["prompt 1"] == pytest.approx(1, abs=0.01)
    assert MOST >= 10_000


@pytest.mark.slow
def test_the_worker_reads_what_is_typed_and_what_was_drawn(tmp_path, shipped):
    studio = Studio(tmp_path / "data", shipped, engine="local", device="cpu")
    put(studio, "a grey present in front of a brick wall")
    studio.start()
    try:
        with served(studio):
            wait_for(lambda: found(studio, OTHER_WORDS, 0.7), "the worker to read both")
    finally:
        studio.stop()
