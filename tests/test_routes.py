"""The HTTP door: what it answers, to whom, and what it tells as things happen. Real sockets on the loopback."""
from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from studios import ended, served, wait_for

from models.cards import Catalogue
from models.scripted import seed_picture
from pipelines.tasks import Draft
from studio import files, serve
from studio.guard import JSON_LIMIT
from studio.store import images, jobs
from studio.store.people import LOCAL
from studio.studio import Studio

JOB = {
    "id", "state", "prompt", "tier", "family", "card", "request", "created", "started", "finished", "error", "draft", "keep", "done",
    "step", "steps", "eta", "parent", "images", "person", "shared", "priority", "paused", "not_before", "position",
    "cached", "served", "profile", "profile_version", "ladder", "round", "rounds", "passed", "outcome", "funnel",
    "template", "template_version", "brand", "loras", "where", "route", "cost_micro", "expected_micro",
}  # fmt: skip
IMAGE = {
    "id", "job", "number", "seed", "state", "width", "height", "url", "thumb", "verdict", "reasons", "kept_by_person", "rank", "scores",
    "tier", "card", "prompt", "created", "parent", "children", "steps", "guidance", "seconds", "rating", "note",
    "tags", "boards", "trashed", "shared", "person", "mine", "served_from", "pinned", "stage", "round", "finished", "comments", "processed",
    "loras", "place", "cost_micro",
}  # fmt: skip
SCORE = {"dimension", "value", "threshold", "bound", "passed", "hard", "note", "scorer", "version", "percentile", "title", "unit", "better"}


def draw(studio: Studio, job: int) -> list[int]:
    """Puts files and rows of every candidate in place, as a worker would; their ids."""
    found = []
    while task := jobs.lease(studio.store, "test", 60):
        if task.kind == "judge":
            continue
        draft = Draft.from_dict(task.payload)
        for number, seed in zip(draft.numbers, draft.spec.seeds, strict=True):
            path = files.picture_path("2026-11-21", task.job, number)
            image = seed_picture(seed, draft.spec.width, draft.spec.height)
            about: dict[str, Any] = {"id": task.job, "card": draft.card, "request": {}, "lineage": []}
            files.write_picture(studio.data_dir, path, image, files.metadata(draft.spec, seed, number, image, draft.card, about, {}))
            with studio.store.write() as db:
                found.append(
                    images.mark_drawn(db, task.job, number, path=path, width=image.width, height=image.height, seconds=1.5, details={})
                )
    assert len(found) == studio.job(job)["draft"]
    return [image for image in found if image is not None]


def submit(door: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = door.post("/api/jobs", json={"prompt": "a red mug"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"field", "what", "why", "todo"}
    return answer.json()["error"]


def test_the_studio_says_what_it_offers(door):
    about = door.get("/api/studio").json()
    assert set(about) == {"version", "person", "admin", "login", "projects", "family", "families", "limits", "device", "queued", "paused"}
    limits = {"draft": 240, "prompt": 4000, "texts": 8, "palette": 12, "retries": 8}
    assert (about["family"], about["limits"], about["queued"]) == ("embedded", limits, 0)
    embedded = next(family for family in about["families"] if family["name"] == "embedded")
    assert [tier["name"] for tier in embedded["tiers"]] == ["preview", "standard", "premium"]
    preview = embedded["tiers"][0]
    assert (preview["card"], preview["steps"], preview["draft"], preview["keep"], preview["next"]) == ("embedded", 4, 8, 2, "standard")
    assert {"name": "1:1", "width": 256, "height": 256} in preview["sizes"]
    assert embedded["tiers"][2]["next"] is None
    schnell = next(family for family in about["families"] if family["name"] == "flux1")["tiers"][0]
    assert (schnell["guidance_used"], schnell["negative_used"]) == (False, False)


def test_a_job_is_queued_found_again_and_cancelled(door):
    job = submit(door, draft=3, seed=7)
    assert set(job) == JOB
    assert (job["state"], job["draft"], job["keep"], job["done"], job["steps"], job["eta"]) == ("queued", 3, 2, 0, 4, None)
    assert [(image["number"], image["seed"], image["state"]) for image in job["images"]] == [
        (1, 7, "waiting"),
        (2, 8, "waiting"),
        (3, 9, "waiting"),
    ]
    assert set(job["images"][0]) == IMAGE
    assert door.get(f"/api/jobs/{job['id']}").json() == job
    [listed] = door.get("/api/jobs?active=1").json()["jobs"]
    assert set(listed) == JOB - {"images"}
    assert door.get("/api/studio").json()["queued"] == 1
    assert door.post(f"/api/jobs/{job['id']}/cancel", json={}).json()["state"] == "cancelled"
    assert "cancelled" in error(door.post(f"/api/jobs/{job['id']}/cancel", json={}), 409)["why"]
    assert door.get("/api/jobs?active=1").json() == {"jobs": []}
    assert len(door.get("/api/jobs").json()["jobs"]) == 1


def test_pictures_thumbnails_and_downloads(studio, door):
    job = submit(door, draft=1, seed=7)
    waiting = job["images"][0]
    error(door.get(waiting["url"]), 404)
    [image] = draw(studio, job["id"])
    picture = door.get(f"/image/{image}.png")
    assert picture.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert opened.tobytes() == seed_picture(7, 256, 256).tobytes()
        assert "parameters" in opened.text
    thumb = door.get(f"/thumb/{image}.webp")
    assert thumb.headers["content-type"] == "image/webp"
    again = door.get(f"/thumb/{image}.webp", headers={"If-None-Match": thumb.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    download = door.get(f"/image/{image}.png?download=1")
    assert download.headers["content-disposition"] == 'attachment; filename="contact-sheet-000001-001.png"'
    (studio.data_dir / files.picture_path("2026-11-21", 1, 1)).unlink()
    assert "gone" in error(door.get(f"/image/{image}.png"), 404)["what"]


def test_history_goes_page_by_page_and_a_picture_knows_where_it_came_from(studio, door):
    first = draw(studio, submit(door, draft=5)["id"])
    page = door.get("/api/history?limit=2").json()
    assert [image["id"] for image in page["images"]] == [first[4], first[3]]
    rest = door.get(f"/api/history?limit=60&after={page['next']}").json()
    assert [image["id"] for image in rest["images"]] == [first[2], first[1], first[0]]
    assert rest["next"] is None

    up = door.post(f"/api/images/{first[1]}/promote", json={"tier": "standard"})
    assert up.status_code == 201
    assert (up.json()["tier"], up.json()["draft"], up.json()["parent"]) == ("standard", 1, first[1])
    assert up.json()["images"][0]["seed"] == studio.image(first[1])["seed"]
    [second] = draw(studio, up.json()["id"])
    whole = door.get(f"/api/images/{second}").json()
    assert set(whole) == IMAGE | {"request", "lineage"}
    assert whole["request"]["tier"] == "standard"
    assert [link["id"] for link in whole["lineage"]] == [first[1], second]
    assert door.get(f"/api/images/{first[1]}").json()["children"] == [second]


def test_a_person_s_word_wins_over_the_verdict_and_can_be_taken_back(studio, door):
    [image] = draw(studio, submit(door, draft=1)["id"])
    with studio.store.write() as db:
        images.set_verdict(db, image, "rejected", ["sharpness 41 < 45"], None)
    kept = door.post(f"/api/images/{image}/keep", json={"keep": True}).json()
    assert (kept["verdict"], kept["kept_by_person"], kept["reasons"]) == ("kept", True, ["sharpness 41 < 45"])
    back = door.post(f"/api/images/{image}/keep", json={"keep": None}).json()
    assert (back["verdict"], back["kept_by_person"]) == ("rejected", None)
    out = door.post(f"/api/images/{image}/keep", json={"keep": False}).json()
    assert (out["verdict"], out["kept_by_person"]) == ("rejected", False)
    for body, field in (({"keep": "yes"}, "keep"), ({}, "keep"), ({"keep": True, "all": 1}, "all")):
        assert error(door.post(f"/api/images/{image}/keep", json=body), 422)["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/api/jobs", {"prompt": ""}, 422, "prompt"),
        ("/api/jobs", {"prompt": "a mug", "parent": 99}, 422, "parent"),
        ("/api/jobs", {"prompt": "a mug", "image": 99, "role": "img2img"}, 422, "image"),
        ("/api/words", {"prompt": "a mug", "family": "none"}, 422, "family"),
        ("/api/words", {"prompt": "a mug", "tier": "none"}, 422, "tier"),
        ("/api/words", {"prompt": 7}, 422, "prompt"),
        ("/api/images/1/promote", {"tier": "standard"}, 404, None),
        ("/api/images/1/keep", {"keep": True}, 404, None),
        ("/api/jobs/1/cancel", {}, 404, None),
        (f"/api/jobs/{2**70}/cancel", {}, 404, None),
        ("/api/nothing", {}, 404, None),
    ],
)
def test_refusals_name_the_field_and_leave_no_job(door, path, body, status, field):
    assert error(door.post(path, json=body), status)["field"] == field
    assert door.get("/api/jobs").json() == {"jobs": []}


@pytest.mark.parametrize(
    "path", ["/api/jobs/abc", "/api/jobs/0", f"/api/jobs/{'9' * 5000}", "/api/images/7", "/image/7.png", "/thumb/x.webp", "/api/no"]
)
def test_what_is_not_there_is_not_found(door, path):
    error(door.get(path), 404)


def test_promotion_is_refused_where_it_leads_nowhere(studio, door):
    [image] = draw(studio, submit(door, draft=1, tier="premium")["id"])
    for body in ({"tier": "standard"}, {"tier": "premium"}, {"tier": None}, {"tier": 7}, {}):
        assert error(door.post(f"/api/images/{image}/promote", json=body), 422)["field"] == "tier"
    assert error(door.post(f"/api/images/{image}/promote", json={"tier": "premium", "draft": 0}), 422)["field"] == "draft"


def test_words_offsets_are_into_the_text_as_sent(door):
    answer = door.post("/api/words", json={"prompt": "  a red mug"}).json()
    assert set(answer) == {"counts", "unknown", "knows", "cut"}
    assert set(answer["counts"]) == {"clip", "t5"}
    for word in door.post("/api/words", json={"prompt": "  a zyxwv portrait"}).json()["unknown"]:
        assert "  a zyxwv portrait"[word["start"] : word["end"]] == word["word"]


# Who may ask.


def test_another_site_s_page_can_neither_read_nor_order(door):
    body = json.dumps({"prompt": "a mug"})
    as_json = {"Content-Type": "application/json"}
    error(door.post("/api/jobs", content=body, headers=as_json | {"Origin": "http://evil.example"}), 403)
    error(door.post("/api/jobs", content=body, headers=as_json | {"Origin": "null"}), 403)
    error(door.post("/api/jobs", content=body, headers=as_json | {"Sec-Fetch-Site": "cross-site"}), 403)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        error(door.post("/api/jobs", content=body, headers={"Content-Type": kind}), 415)
    error(door.post("/api/jobs", content=body), 415)
    preflight = door.options("/api/jobs", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    answer = door.get("/api/studio", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert door.get("/api/jobs").json() == {"jobs": []}
    own = str(door.base_url).rstrip("/")
    assert door.post("/api/jobs", content=body, headers=as_json | {"Origin": own, "Sec-Fetch-Site": "same-origin"}).status_code == 201


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:7860", 200),
        ("LOCALHOST:7860", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
    ],
)
def test_only_our_own_names_are_answered_to(door, host, status):
    assert door.get("/api/studio", headers={"Host": host}).status_code == status


def test_every_answer_carries_the_security_headers(studio, door):
    [image] = draw(studio, submit(door, draft=1)["id"])
    for path in ("/api/studio", f"/image/{image}.png", "/api/none", "/none"):
        headers = door.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert door.get(path).status_code == 404


def test_a_body_beyond_the_limit_is_not_read(door):
    error(door.post("/api/jobs", content=b" " * (JSON_LIMIT + 1), headers={"Content-Type": "application/json"}), 413)

    def pieces() -> Iterator[bytes]:  # no Content-Length: counted as it comes
        for _ in range(40):
            yield b" " * (JSON_LIMIT // 32)

    error(door.post("/api/jobs", content=pieces(), headers={"Content-Type": "application/json"}), 413)
    assert door.get("/api/studio").status_code == 200


def test_a_bug_is_answered_without_its_insides(studio, door, monkeypatch):
    def broken(_who: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(studio, "about", broken)
    answer = door.get("/api/studio")
    assert error(answer, 500)["why"] == "ZeroDivisionError"
    assert "secret" not in answer.text


# What is told as it happens.


class Listener:
    """A browser's event stream, read on a thread."""

    def __init__(self, address: str) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[str] = []
        self.ended = False
        threading.Thread(target=self._read, args=[address], daemon=True).start()
        wait_for(lambda: self.lines, "the stream to open")

    def _read(self, address: str) -> None:
        event = ""
        with httpx.stream("GET", f"{address}/api/events", timeout=60) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                self.lines.append(line)
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    self.events.append((event, json.loads(line[6:])))
        self.ended = True

    def named(self, name: str) -> list[dict[str, Any]]:
        return [data for event, data in list(self.events) if event == name]


def test_every_browser_sees_steps_previews_pictures_scores_and_the_end(start_studio):
    studio = start_studio(0.05)
    with served(studio) as address:
        two = [Listener(address), Listener(address)]
        assert two[0].lines[0] == "retry: 1000"
        job = httpx.post(f"{address}/api/jobs", json={"prompt": "a red mug", "draft": 2, "keep": 1}).json()["id"]
        ended(studio, job)
        for browser in two:
            wait_for(lambda browser=browser: [data for data in browser.named("job") if data["state"] == "done"], "the end")
            steps = browser.named("step")
            assert [step["step"] for step in steps] == sorted(step["step"] for step in steps)
            assert {(step["steps"], tuple(step["numbers"])) for step in steps} == {(4, (1, 2))}
            assert steps[-1]["eta"] is not None
            assert all(preview["src"].startswith("data:image/jpeg;base64,") for preview in browser.named("preview"))
            assert {preview["number"] for preview in browser.named("preview")} == {1, 2}
            pictures = {image["id"]: image for image in browser.named("image")}
            assert sorted(image["verdict"] for image in pictures.values()) == ["kept", "spare"]
            assert set(pictures[1]["scores"][0]) == SCORE
            wait_for(lambda browser=browser: browser.named("device")[-1]["device"]["state"] == "ready", "the device to be told ready")
            assert "images" not in browser.named("job")[-1]
        studio.keep(1, False)
        wait_for(lambda: two[0].named("image")[-1]["kept_by_person"] is False, "a person's word to reach the page")
        studio.hub.close()
        wait_for(lambda: two[0].ended and two[1].ended, "the streams to end with the studio")


def test_a_browser_that_reads_nothing_is_cut_off_and_newer_hints_replace_older():
    import asyncio

    from studio.events import BACKLOG, Watcher, line_of

    def put(watcher: Watcher, event: str, data: dict) -> None:
        watcher.put(event, data, line_of(event, data))

    async def read(fill: int) -> list[str]:
        watcher = Watcher(LOCAL)
        for number in range(fill):
            put(watcher, "image", {"id": number})
        for step in range(5):
            put(watcher, "step", {"job": 1, "numbers": [1, 2], "step": step})
        lines = []
        async for line in watcher.lines(heartbeat=0.01):
            lines.append(line.decode())
            if "still here" in lines[-1]:
                break
        return lines

    # What waits together rides together, and of five steps the last.
    retry, events, idle = asyncio.run(read(3))
    assert (retry, idle) == ("retry: 1000\n\n", ": still here\n\n")
    assert [line for line in events.split("\n") if line.startswith("event")] == [*["event: image"] * 3, "event: step"]
    assert '"step": 4' in events
    assert asyncio.run(read(BACKLOG + 1)) == ["retry: 1000\n\n"]


# One studio a data folder.


def test_a_second_studio_is_told_who_holds_the_folder(tmp_path, capsys):
    from studio.config import parse

    with serve.Holder(tmp_path) as holder:
        holder.say("http://127.0.0.1:7860")
        assert serve.run(parse(["--data-dir", str(tmp_path), "--no-open", "--port", "0"])) == 1
    told = capsys.readouterr().err
    assert "process" in told
    assert "http://127.0.0.1:7860" in told
    assert not (tmp_path / "studio.json").exists()
    with serve.Holder(tmp_path):  # free again
        assert Path(tmp_path / "studio.lock").exists()


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path, capsys):
    from studio.config import parse

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve.run(parse(["--data-dir", str(tmp_path), "--no-open", "--port", str(port)])) == 1
    assert f"Port {port}" in capsys.readouterr().err
    assert not (tmp_path / "studio.db").exists()


def test_a_model_that_is_not_here_is_refused(tmp_path: Path, shipped: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    studio = Studio(tmp_path / "own", shipped, engine="local", models_dir=tmp_path / "models")
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        usable = {family["name"]: family["usable"] for family in client.get("/api/studio").json()["families"]}
        assert usable == {"embedded": True, "flux1": False, "flux2-klein": False}
        answer = client.post("/api/jobs", json={"prompt": "a red mug", "family": "flux2-klein"})
        assert answer.status_code == 503
        assert "hf download" in answer.json()["error"]["todo"]
        assert client.get("/api/jobs").json()["jobs"] == []
    studio.stop()
