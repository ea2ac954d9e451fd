"""What people do with pictures: ratings, tags, notes, boards, the trash, bulk actions; retention; a full disk."""
from __future__ import annotations

import json

import httpx
import pytest
from filelock import FileLock
from histories import ANNA, ask, bulk, draw

from studio import disk, files
from studio.history import History
from studio.retention import retire
from studio.store import jobs, turns
from studio.store.people import LOCAL
from studio.studio import Studio


def shown(door: httpx.Client, query: str = "") -> list[int]:
    return [image["id"] for image in ask(door.get(f"/api/history?{query}"))["images"]]


def test_ratings_notes_and_tags_are_kept_shown_and_found(studio, door):
    a, b, *_ = draw(studio)
    assert ask(door.post(f"/api/images/{a}/rate", json={"rating": 4}))["rating"] == 4
    assert ask(door.post(f"/api/images/{b}/rate", json={"rating": 2}))["rating"] == 2
    assert shown(door, "sort=rating")[:2] == [a, b]
    assert ask(door.post(f"/api/images/{a}/rate", json={"rating": None}))["rating"] is None
    assert shown(door, "rating=1") == [b]
    told = ask(door.post(f"/api/images/{a}/tags", json={"tags": [" Hero  Shot ", "hero shot", "Straße"]}))
    assert told["tags"] == ["hero shot", "straße"]
    assert shown(door, "tag=Hero shot") == shown(door, "q=hero stra") == [a]
    assert ask(door.post(f"/api/images/{a}/note", json={"note": "For the café page"}))["note"] == "For the café page"
    assert shown(door, "q=cafe") == [a]
    assert ask(door.post(f"/api/images/{a}/note", json={"note": ""}))["note"] == ""
    assert shown(door, "q=cafe") == []
    assert shown(door, "q=mug&sort=oldest")[0] == a, "the prompt is still found after the note has changed"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("images/1/rate", {"rating": 6}, "rating"), ("images/1/rate", {}, "rating"), ("images/1/rate", {"rating": True}, "rating"),
        ("images/1/note", {"note": 3}, "note"), ("images/1/note", {"note": "x" * 4001}, "note"),
        ("images/1/tags", {"tags": "a"}, "tags"), ("images/1/tags", {"tags": [""]}, "tags"),
        ("images/1/tags", {"tags": ["\ud800"]}, "tags"),
        ("images/bulk", {"ids": [1], "do": "explode"}, "do"), ("images/bulk", {"ids": [1], "do": ["trash"]}, "do"),
        ("images/bulk", {"ids": [], "do": "trash"}, "ids"), ("images/bulk", {"ids": [0], "do": "trash"}, "ids.0"),
        ("images/bulk", {"ids": [1], "do": "tag"}, "tag"), ("images/bulk", {"ids": [1], "do": "board", "board": 9}, "board"),
        ("images/bulk", {"ids": [1], "do": "keep"}, "keep"), ("images/bulk", {"ids": [1], "do": "share", "shared": "shop"}, "shared"),
        ("images/bulk", {"ids": [1], "do": "rate"}, "rating"), ("images/bulk", {"ids": [1], "do": "trash", "why": 1}, "why"),
        ("boards", {"name": "  "}, "name"), ("boards", {}, "name"), ("exports", {"ids": [1], "as": "exe"}, "as"),
        ("exports", {"ids": [99]}, "ids.0"), ("exports", {"ids": [1], "strip": 1}, "strip"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(studio, door, path, body, field):
    draw(studio, 1)
    headers = {"Content-Type": "application/json"}
    assert ask(door.post(f"/api/{path}", content=json.dumps(body), headers=headers), 422)["error"]["field"] == field


def test_boards_are_made_filled_ordered_renamed_and_deleted(studio, door):
    a, b, c, d = draw(studio)
    board = ask(door.post("/api/boards", json={"name": " Spring  mugs "}), 201)
    assert (board["name"], board["pictures"], board["cover"], board["mine"]) == ("Spring mugs", 0, None, True)
    assert ask(door.post("/api/boards", json={"name": "spring MUGS"}), 422)["error"]["field"] == "name"
    address = f"/api/boards/{board['id']}"
    assert ask(door.post(f"{address}/add", json={"ids": [c, a, b]}))["pictures"] == 3
    assert ask(door.post(f"{address}/add", json={"ids": [a]}))["pictures"] == 3
    in_order = f"board={board['id']}&sort=board"
    assert shown(door, in_order) == [c, a, b]
    ask(door.post(f"{address}/move", json={"ids": [b, a], "before": c}))
    assert shown(door, in_order) == [b, a, c]
    ask(door.post(f"{address}/move", json={"ids": [b]}))
    assert shown(door, in_order) == [a, c, b]
    assert ask(door.post(f"{address}/move", json={"ids": [d]}), 422)["error"]["field"] == "ids"
    assert ask(door.post(f"{address}/move", json={"ids": [a], "before": a}), 422)["error"]["field"] == "before"
    assert ask(door.post(f"{address}/remove", json={"ids": [c]}))["pictures"] == 2
    assert ask(door.get(f"/api/images/{a}"))["boards"] == [board["id"]]
    assert ask(door.post(address, json={"name": "Mugs"}))["name"] == "Mugs"
    other = ask(door.post("/api/boards", json={"name": "Vases"}), 201)
    told = ask(door.post("/api/boards/order", json={"ids": [other["id"]]}))
    assert [one["name"] for one in told["boards"]] == ["Vases", "Mugs"]
    ask(door.post(f"{address}/delete", json={}))
    assert [one["name"] for one in ask(door.get("/api/boards"))["boards"]] == ["Vases"]
    assert len(shown(door)) == 4, "the pictures stay"
    ask(door.post(f"{address}/add", json={"ids": [a]}), 404)


def test_the_trash_hides_restores_and_only_then_deletes(studio, door):
    a, b, c, d = ids = draw(studio)
    paths = {image: studio.picture_file(image) for image in ids}
    studio.thumb_file(a)
    refused = bulk(door, "delete", [a, 99])
    assert (refused["done"], [one["id"] for one in refused["skipped"]]) == (0, [a, 99])
    assert bulk(door, "trash", [a, b]) == {"done": 2, "skipped": []}
    assert shown(door) == [d, c]
    assert shown(door, "trashed=1") == [b, a]
    assert ask(door.get(f"/api/images/{a}"))["trashed"] is not None
    assert [one["id"] for one in ask(door.get("/api/history"))["images"]] == [d, c]
    bulk(door, "restore", [b])
    assert shown(door) == [d, c, b]
    assert bulk(door, "delete", [a])["done"] == 1
    assert not paths[a].exists() and paths[b].exists()
    assert not (studio.data_dir / files.thumb_path(paths[a].relative_to(studio.data_dir).as_posix())).exists()
    ask(door.get(f"/api/images/{a}"), 404)
    left = [b, c, d]
    bulk(door, "trash", left)
    assert ask(door.post("/api/trash/empty", json={}))["done"] == 3
    assert ask(door.get("/api/jobs"))["jobs"] == [], "with its last picture a job is gone, prompt and all"
    assert studio.store.db.execute("SELECT count(*) FROM images_fts WHERE images_fts MATCH 'mug'").fetchone()[0] == 0
    studio.store.db.execute("INSERT INTO images_fts (images_fts) VALUES ('integrity-check')")
    assert studio.store.db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_what_was_made_from_a_deleted_picture_stays(studio, door):
    [a] = draw(studio, 1)
    child = studio.promote(a, "standard")
    with studio.store.write() as db:
        db.execute("UPDATE tasks SET state = 'done' WHERE job_id = ?", [child["id"]])
    bulk(door, "trash", [a])
    bulk(door, "delete", [a])
    assert ask(door.get(f"/api/jobs/{child['id']}"))["parent"] is None


def test_nothing_of_a_job_under_way_is_deleted(studio, door):
    [a] = draw(studio, 1)
    studio.store.db.execute("UPDATE jobs SET state = 'running'")
    bulk(door, "trash", [a])
    assert "not done" in bulk(door, "delete", [a])["skipped"][0]["why"]
    studio.store.db.execute("UPDATE jobs SET state = 'done'")
    with FileLock(studio.data_dir / "backup.lock"):
        assert ask(door.post("/api/images/bulk", json={"do": "delete", "ids": [a]}), 409)["error"]["what"]
    assert bulk(door, "delete", [a])["done"] == 1


def test_bulk_rates_tags_keeps_boards_and_shares(studio, door):
    ids = draw(studio)
    board = ask(door.post("/api/boards", json={"name": "Mugs"}), 201)["id"]
    bulk(door, "rate", ids, rating=5)
    bulk(door, "tag", ids, tag="Client A")
    bulk(door, "tag", ids[:2], tag="hero")
    bulk(door, "untag", ids[:1], tag="client a")
    bulk(door, "keep", ids[:3], keep=True)
    bulk(door, "board", ids[1:], board=board)
    bulk(door, "unboard", ids[3:], board=board)
    bulk(door, "share", ids[:1], shared="*")
    told = [ask(door.get(f"/api/images/{image}")) for image in ids]
    assert [one["rating"] for one in told] == [5] * 4
    assert [one["tags"] for one in told] == [["hero"], ["client a", "hero"], ["client a"], ["client a"]]
    assert [one["verdict"] for one in told] == ["kept"] * 3 + [None]
    assert [one["boards"] for one in told] == [[], [board], [board], []]
    assert [one["shared"] for one in told] == ["*", None, None, None]


def test_each_changes_only_their_own(studio):
    mine, [theirs, hidden] = draw(studio, 1), draw(studio, 2, who=ANNA)
    history = History(studio)
    history.bulk({"do": "share", "ids": [theirs], "shared": "*"}, ANNA)
    seen = [image["id"] for image in history.page([], LOCAL)["images"]]
    assert seen == [theirs, *mine]
    deeds = {"trash": {}, "rate": {"rating": 1}, "tag": {"tag": "x"}, "keep": {"keep": True}, "share": {"shared": None}}
    for do, fields in deeds.items():
        told = history.bulk({"do": do, "ids": [theirs, hidden, *mine]} | fields, LOCAL)
        assert (told["done"], [one["id"] for one in told["skipped"]]) == (1, [theirs, hidden]), do
    board = history.create_board({"name": "mixed"}, LOCAL)["id"]
    told = history.bulk({"do": "board", "ids": [theirs, hidden], "board": board}, LOCAL)
    assert (told["done"], [one["id"] for one in told["skipped"]]) == (1, [hidden]), "what is shared may go on a board of one's own"
    assert history.boards(ANNA) == {"boards": []}
    view = next(image for image in history.page([], LOCAL)["images"] if image["id"] == theirs)
    assert (view["person"], view["mine"], view["boards"], view["rating"]) == ("anna", False, [board], None)
    history.change_board(board, {"shared": "*"}, LOCAL)
    assert [(one["name"], one["mine"]) for one in history.boards(ANNA)["boards"]] == [("mixed", False)]
    history.bulk({"do": "trash", "ids": [theirs]}, ANNA)
    assert theirs not in [image["id"] for image in history.page([], LOCAL)["images"]]
    assert history.page([("trashed", "1")], LOCAL)["images"][0]["id"] == mine[0]


# Retention.


def age(studio: Studio, ids: list[int], moment: str = "2020-01-01T00:00:00.000Z") -> None:
    studio.store.db.executemany("UPDATE images SET drawn = ? WHERE id = ?", [(moment, image) for image in ids])


def wanted_in_every_way(studio: Studio, door: httpx.Client) -> tuple[list[int], list[int]]:
    """-> (pictures that are kept by verdict, kept by hand, rated, boarded, pinned; those that are none of it)."""
    verdict, hand, rated, boarded, pinned, *others = ids = draw(studio, 8)
    studio.store.db.execute("UPDATE images SET verdict = 'kept' WHERE id = ?", [verdict])
    bulk(door, "keep", [hand], keep=True)
    bulk(door, "rate", [rated], rating=1)
    bulk(door, "board", [boarded], board=ask(door.post("/api/boards", json={"name": "b"}), 201)["id"])
    studio.store.db.execute("INSERT INTO pins (image_id, person, created) VALUES (?, 'local', '')", [pinned])
    return ids[:5], others


def test_by_age_unwanted_pictures_go_to_the_trash_and_then_for_good(studio, door):
    wanted, others = wanted_in_every_way(studio, door)
    recent = draw(studio, 1)
    age(studio, wanted + others)
    assert retire(studio).trashed == 0, "nothing is retired unless asked for"
    studio.settings.set({"retention.days": 30, "retention.trash_days": 7}, LOCAL)
    assert (retire(studio).trashed, sorted(shown(door, "trashed=1"))) == (len(others), others)
    assert sorted(shown(door)) == sorted(wanted + recent)
    assert retire(studio).deleted == 0, "the trash has its own days"
    studio.store.db.execute("UPDATE images SET trashed = '2020-01-01T00:00:00.000Z' WHERE trashed IS NOT NULL")
    assert retire(studio).deleted == len(others)
    assert sorted(shown(door)) == sorted(wanted + recent)


def test_by_space_the_trash_goes_first_then_the_oldest_and_never_what_is_wanted(studio, door):
    wanted, others = wanted_in_every_way(studio, door)
    every = wanted + others
    studio.store.db.execute("UPDATE images SET bytes = 1000000000")  # a gigabyte each: eight in all
    studio.settings.set({"retention.gigabytes": 7, "retention.trash_days": 0}, LOCAL)
    thrown = others[-1]
    bulk(door, "trash", [thrown])
    done = retire(studio)
    assert (done.deleted, done.trashed) == (1, 0)
    assert sorted(shown(door)) == sorted(set(every) - {thrown})
    studio.settings.set({"retention.gigabytes": 1}, LOCAL)
    done = retire(studio)
    assert (done.deleted, done.trashed) == (0, 2), "first out of sight, so that there is time to take them back"
    assert retire(studio).deleted == 2
    assert retire(studio).deleted == 0
    assert sorted(shown(door)) == sorted(wanted)


def test_bytes_are_those_of_the_files(studio, door):
    ids = draw(studio, 3)
    studio.settings.set({"retention.gigabytes": 1}, LOCAL)
    retire(studio)
    sizes = dict(tuple(row) for row in studio.store.db.execute("SELECT id, bytes FROM images"))
    assert sizes == {image: studio.picture_file(image).stat().st_size for image in ids}


# A full disk.


def test_a_nearly_full_disk_pauses_the_queue_and_says_so(studio, door):
    free = disk.shutil.disk_usage(studio.data_dir).free / disk.GB
    assert not disk.watch(studio.store, studio.data_dir, free / 2)
    assert disk.watch(studio.store, studio.data_dir, free * 2)
    assert "disk is nearly full" in turns.why_paused(studio.store)
    studio.submit({"prompt": "a red mug"})
    assert jobs.lease(studio.store, "test", 60) is None
    assert not disk.watch(studio.store, studio.data_dir, free / 1.1), "a little more than the least is not room enough to go on"
    assert disk.watch(studio.store, studio.data_dir, free / 2)
    assert turns.why_paused(studio.store) == ""
    assert jobs.lease(studio.store, "test", 60) is not None


def test_room_again_does_not_undo_a_persons_pause(studio):
    free = disk.shutil.disk_usage(studio.data_dir).free / disk.GB
    studio.store.set(turns.PAUSED, "anna paused the queue.")
    disk.watch(studio.store, studio.data_dir, free * 2)
    disk.watch(studio.store, studio.data_dir, free / 2)
    assert turns.why_paused(studio.store) == "anna paused the queue."
