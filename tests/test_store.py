"""The database: migrations, transactions, pages, percentiles, timings, descent."""
from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from models.errors import BadInput, NotFound, Unavailable
from pipelines.judge import Mark
from pipelines.plan import plan_for
from pipelines.request import Request
from studio.store import Store, history, images, jobs
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who
from studio.store.scores import Percentiles
from studio.store.timings import learn, timing
from studio.studio import Studio


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "studio.db")
    yield store
    store.close()


def add(store: Store, shipped, **fields) -> int:
    request = Request.from_dict({"prompt": "a red mug"} | fields, shipped)
    return jobs.add_job(store, request, plan_for(request, shipped), LOCAL.name)


def drawn(store: Store, job: int) -> list[int]:
    """Marks every candidate of a job as drawn; their ids."""
    found = []
    for row in images.of_job(store, job):
        with store.write() as db:
            path = f"outputs/{job}-{row['number']}.png"
            found.append(images.mark_drawn(db, job, row["number"], path=path, width=8, height=8, seconds=0.1, details={}))
    return found


def test_opening_again_keeps_what_is_there(tmp_path):
    for _ in range(3):
        store = Store(tmp_path / "studio.db")
        store.set("device", "CPU, 2 cores")
        assert [row["name"] for row in store.db.execute("SELECT name FROM persons")] == ["local"]
        store.close()
    assert Store(tmp_path / "studio.db").setting("device") == "CPU, 2 cores"


def test_the_file_is_in_wal_mode_with_foreign_keys(store):
    pragma = {
        name: store.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000, "foreign_keys": 1}
    with pytest.raises(sqlite3.IntegrityError):
        store.db.execute("INSERT INTO tasks (job_id, kind, position, payload, state) VALUES (99, 'draft', 0, '{}', 'waiting')")


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    (tmp_path / "studio.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match=r"studio\.db cannot be opened"):
        Store(tmp_path / "studio.db")


def test_a_database_of_a_newer_studio_is_refused(tmp_path):
    store = Store(tmp_path / "studio.db")
    store.db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('contact-sheet', 'from_the_future', '')")
    store.close()
    with pytest.raises(Unavailable, match="newer version"):
        Store(tmp_path / "studio.db")


def test_a_transaction_is_all_or_nothing(store):
    def half() -> None:
        with store.write() as db:
            db.execute("INSERT INTO settings VALUES ('a', '1')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.setting("a") is None
    store.set("a", "2")
    assert store.setting("a") == "2"


def test_a_candidate_number_exists_once_a_job(store, shipped):
    job = add(store, shipped, draft=3)
    with pytest.raises(sqlite3.IntegrityError):
        store.db.execute(
            "INSERT INTO images (job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance)"
            " SELECT job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance FROM images WHERE job_id = ?",
            [job],
        )
    assert [row["number"] for row in images.of_job(store, job)] == [1, 2, 3]


def test_a_job_keeps_its_whole_request_and_the_largest_seed(store, shipped):
    job = add(store, shipped, draft=1, seed=2**63 - 1, note="für später")
    request = jobs.request_of(jobs.job_row(store, job))
    assert request["note"] == "für später"
    assert Request.from_dict(request, shipped).to_dict() == request
    assert images.of_job(store, job)[0]["seed"] == 2**63 - 1


def test_a_number_is_recorded_as_drawn_once(store, shipped):
    job = add(store, shipped, draft=1)
    [first] = drawn(store, job)
    assert first is not None
    with store.write() as db:
        assert images.mark_drawn(db, job, 1, path="elsewhere.png", width=1, height=1, seconds=0, details={}) is None
    assert images.image_row(store, first)["path"] == f"outputs/{job}-1.png"


def test_pages_of_history_are_newest_first_without_gap_or_repeat_while_pictures_arrive(store, shipped):
    drawn(store, add(store, shipped, draft=7))
    waiting = add(store, shipped, draft=2)
    drawn(store, add(store, shipped, draft=7))
    seen, after = [], None
    while len(seen) < 14:
        page = history.page(store, LOCAL, history.Search(), after, 4)
        seen += [row["id"] for row in page.rows]
        after = page.next
        drawn(store, add(store, shipped, draft=1))
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 14
    assert not {row["id"] for row in images.of_job(store, waiting)} & set(seen)


def test_somebody_elses_records_do_not_exist(store, shipped):
    job = add(store, shipped, draft=1)
    [image] = drawn(store, job)
    eve = Who("eve")
    for look in (
        lambda: jobs.job_row(store, job, eve),
        lambda: images.image_row(store, image, eve),
        lambda: images.keep(store, image, True, eve),
    ):
        with pytest.raises(NotFound):
            look()


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30, 12345])
def test_ids_of_any_size_that_do_not_exist_are_not_found(store, number):
    with pytest.raises(NotFound):
        jobs.job_row(store, number)
    with pytest.raises(NotFound):
        images.image_row(store, number)


def test_lineage_runs_from_the_oldest_and_children_are_those_drawn(store, shipped):
    [first] = drawn(store, add(store, shipped, draft=1))
    [second] = drawn(store, add(store, shipped, draft=1, tier="standard", parent=first))
    [third] = drawn(store, add(store, shipped, draft=1, tier="premium", parent=second))
    add(store, shipped, draft=1, tier="premium", parent=second)  # not drawn
    assert [row["id"] for row in images.lineage(store, third)] == [first, second, third]
    assert images.children(store, [first, second, third], LOCAL) == {first: [second], second: [third], third: []}


def test_measuring_again_replaces_a_value_and_another_version_stands_beside_it(store, shipped):
    [image] = drawn(store, add(store, shipped, draft=1))
    marks = [
        Mark("sharpness", 41.0, 45.0, ">=", False, True, "", "technical", "1"),
        Mark("sharpness", 60.0, 45.0, ">=", True, True, "", "technical", "1"),
        Mark("sharpness", 70.0, 45.0, ">=", True, True, "", "technical", "2"),
        Mark("adherence", None, None, ">=", None, False, "no model", "clip-a", ""),
    ]
    with store.write() as db:
        images.add_marks(db, image, marks)
    rows = images.scores_of(store, [image])[image]
    assert [(row["dimension"], row["version"], row["value"], row["threshold"], row["passed"]) for row in rows] == [
        ("sharpness", "1", 60.0, 45.0, 1),
        ("sharpness", "2", 70.0, 45.0, 1),
        ("adherence", "", None, None, None),
    ]
    assert rows[2]["bound"] is None
    assert rows[2]["hard"] is None


def test_a_person_s_word_needs_a_drawn_picture(store, shipped):
    waiting = images.of_job(store, add(store, shipped, draft=1))[0]["id"]
    with pytest.raises(NotNow, match="waiting"):
        images.keep(store, waiting, True, LOCAL)


def test_percentiles_need_twenty_values_and_count_ties_half(store, shipped):
    ids = drawn(store, add(store, shipped, draft=41))
    percentiles = Percentiles(store)

    def mark(image: int, value: float) -> None:
        with store.write() as db:
            images.add_marks(db, image, [Mark("sharpness", value, None, ">=", None, False, "", "technical", "1")])

    for value, image in enumerate(ids[:19]):
        mark(image, float(value))
    assert percentiles.of("sharpness", "technical", "1", "embedded", 5.0) is None
    for value, image in enumerate(ids[19:40], start=19):
        mark(image, float(value))
    fresh = Percentiles(store)
    assert fresh.of("sharpness", "technical", "1", "embedded", -1.0) == 0.0
    assert fresh.of("sharpness", "technical", "1", "embedded", 19.5) == 50.0
    assert fresh.of("sharpness", "technical", "1", "embedded", 20.0) == 51.2
    assert fresh.of("sharpness", "technical", "1", "embedded", 99.0) == 100.0
    assert fresh.of("sharpness", "technical", "2", "embedded", 20.0) is None
    assert fresh.of("sharpness", "technical", "1", "embedded", None) is None


def test_timings_are_smoothed_and_scaled_by_pixels(store):
    assert timing(store, "cpu", "embedded", 256, 256).of_draft(8, 4) is None
    learn(store, "cpu", "embedded", 256, 256, step=1.0)
    learn(store, "cpu", "embedded", 256, 256, step=2.0, rest=0.5)
    learn(store, "cpu", "embedded", 256, 256, judge=0.25)
    here = timing(store, "cpu", "embedded", 256, 256)
    assert (here.step, here.rest, here.judge) == (pytest.approx(1.3), 0.5, 0.25)
    assert here.of_draft(2, 4) == pytest.approx(2 * (4 * 1.3 + 0.5 + 0.25))
    assert timing(store, "cpu", "embedded", 512, 256).step == pytest.approx(2.6)
    assert timing(store, "gpu", "embedded", 256, 256).step is None
    assert timing(store, "cpu", "flux1-dev", 256, 256).step is None


def test_threads_write_at_once_and_none_is_lost(store):
    def bump() -> None:
        for _ in range(50):
            with store.write() as db:
                count = int((db.execute("SELECT value FROM settings WHERE key = 'n'").fetchone() or ["0"])[0])
                db.execute("INSERT OR REPLACE INTO settings VALUES ('n', ?)", [str(count + 1)])

    threads = [threading.Thread(target=bump) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.setting("n") == "200"


def test_threads_that_end_leave_no_connection_open(store):
    for _ in range(20):
        thread = threading.Thread(target=lambda: store.setting("a"))
        thread.start()
        thread.join()
    assert len(store._all) == 1


def test_a_studio_refuses_a_parent_or_start_picture_that_is_not_there(studio: Studio):
    with pytest.raises(BadInput) as refused:
        studio.submit({"prompt": "a red mug", "parent": 7})
    assert refused.value.field == "parent"
    with pytest.raises(BadInput) as refused:
        studio.submit({"prompt": "a red mug", "image": 7, "role": "img2img"})
    assert refused.value.field == "image"
    assert studio.jobs() == []
