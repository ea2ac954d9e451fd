"""Comments on a picture: by whoever may see it, changed by who wrote them, deleted by them or whose picture it is, and taken back."""
from __future__ import annotations

import json

import pytest
from histories import ask, bulk, draw
from logins import ADA, BOB, browser

from studio.store.people import Who


@pytest.fixture
def two(address):
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        yield ada, bob


def said(client, image: int) -> list[str]:
    return [one["text"] for one in ask(client.get(f"/api/images/{image}/comments"))["comments"]]


def write(client, image: int, text: str, status: int = 201):
    answer = ask(client.post(f"/api/images/{image}/comments", json={"text": text}), status)
    return answer["comments"][-1]["id"] if status == 201 else answer["error"]


def test_whoever_sees_a_picture_talks_about_it(guarded, two):
    ada, bob = two
    [image] = draw(guarded, 1, Who("ada"))
    write(bob, image, "hello", 404)
    assert bob.get(f"/api/images/{image}/comments").status_code == 404
    ask(ada.post(f"/api/images/{image}/share", json={"with": "*"}))
    first, second = write(ada, image, "  too dark <b> \r\n really "), write(bob, image, "it is not")
    assert said(ada, image) == said(bob, image) == ["too dark <b> \n really", "it is not"]
    rights = [[(one["mine"], one["may_delete"]) for one in ask(client.get(f"/api/images/{image}/comments"))["comments"]] for client in two]
    assert rights == [[(True, True), (False, True)], [(False, False), (True, True)]]
    assert ask(bob.get(f"/api/images/{image}"))["comments"] == 2
    assert ask(bob.post(f"/api/comments/{first}", json={"text": "mine now"}), 403)["error"]["todo"]
    ask(bob.post(f"/api/comments/{first}/delete", json={}), 403)
    edited = ask(bob.post(f"/api/comments/{second}", json={"text": "well"}))["comments"][1]
    assert edited["text"] == "well" and edited["edited"] >= edited["created"]
    ask(ada.post(f"/api/images/{image}/share", json={"with": None}))
    ask(bob.post(f"/api/comments/{second}", json={"text": "still here"}), 404)
    assert said(ada, image) == ["too dark <b> \n really", "well"]


def test_who_deletes_takes_back_and_nobody_else(guarded, two):
    ada, bob = two
    [image] = draw(guarded, 1, Who("ada"))
    ask(ada.post(f"/api/images/{image}/share", json={"with": "*"}))
    comment = write(bob, image, "ugly")
    ask(ada.post(f"/api/comments/{comment}/delete", json={}))
    assert said(bob, image) == [] and ask(ada.get(f"/api/images/{image}"))["comments"] == 0
    ask(bob.post(f"/api/comments/{comment}/restore", json={}), 403)
    for gone in ("", "/delete"):
        ask(bob.post(f"/api/comments/{comment}{gone}", json={"text": "again"} if not gone else {}), 404)
    for _ in range(2):
        assert [one["id"] for one in ask(ada.post(f"/api/comments/{comment}/restore", json={}))["comments"]] == [comment]
    ask(bob.post(f"/api/comments/{comment}/delete", json={}))
    assert said(ada, image) == []


def test_what_is_no_comment_is_refused(studio, door):
    [image] = draw(studio, 1)
    for text in ("", "   ", None, 7, "x" * 4001, "\x00"):
        assert ask(door.post(f"/api/images/{image}/comments", json={"text": text}), 422)["error"]["field"] == "text"
    ask(door.post(f"/api/images/{image}/comments", json={"text": "x", "person": "eve"}), 422)
    for number in (0, 999, 2**63):
        ask(door.post(f"/api/comments/{number}", json={"text": "x"}), 404)
    assert said(door, image) == []


def test_comments_go_with_their_picture(studio, door):
    [image] = draw(studio, 1)
    write(door, image, "fine")
    bulk(door, "trash", [image])
    assert said(door, image) == ["fine"], "it can be taken out of the trash"
    bulk(door, "delete", [image])
    assert studio.store.db.execute("SELECT count(*) FROM comments").fetchone()[0] == 0


def test_watchers_hear_of_comments_on_what_they_may_see(guarded, two, address):
    ada, _ = two
    secret, shared = draw(guarded, 2, Who("ada"))
    ask(ada.post(f"/api/images/{shared}/share", json={"with": "*"}))
    with browser(address, "bob", BOB) as bob, bob.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")  # the stream is open
        write(ada, secret, "for me alone")
        write(ada, shared, "for all")
        heard, event = [], ""
        for line in lines:
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            if line.startswith("data: ") and event == "comment":
                heard.append(json.loads(line.removeprefix("data: "))["id"])
                break
    assert heard == [shared]
