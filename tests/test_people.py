"""People, projects and sharing over HTTP: who may do what, and what becomes of what somebody made."""
from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from logins import ADA, BOB, browser
from PIL import Image

from studio import files
from studio.settings import TABLE
from studio.studio import Studio


@pytest.fixture
def two(address: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """ada, an admin, and bob."""
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        yield ada, bob


def post(client: httpx.Client, path: str, status: int = 200, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def drawn(studio: Studio, client: httpx.Client, prompt: str = "a red mug") -> dict:
    """A job of one picture that is there."""
    job = post(client, "/api/jobs", 201, prompt=prompt, draft=1, keep=1)
    path = files.picture_path(job["created"], job["id"], 1)
    files.write_picture(studio.data_dir, path, Image.new("RGB", (64, 64), "red"), {})
    studio.store.db.execute("UPDATE images SET state = 'drawn', path = ?, drawn = ? WHERE job_id = ?", [path, job["created"], job["id"]])
    return job


def sees(client: httpx.Client, job: dict) -> bool:
    """By every way there is, or by none."""
    image = job["images"][0]["id"]
    ways = [client.get(path).status_code == 200 for path in (f"/api/jobs/{job['id']}", f"/api/images/{image}", f"/image/{image}.png")]
    ways.append(image in [one["id"] for one in client.get("/api/history").json()["images"]])
    assert len(set(ways)) == 1, ways
    return ways[0]


def test_an_admin_adds_people_and_nobody_else_does(two, address):
    ada, bob = two
    for refused in (
        lambda: post(bob, "/api/people", 403, name="eve", password="eve's own words"),
        lambda: post(bob, "/api/people/ada/remove", 403),
        lambda: post(bob, "/api/people/ada/password", 403, password="another one"),
        lambda: post(bob, "/api/people/bob", 403, admin=True),
        lambda: post(bob, "/api/people/ada/restore", 403, password="another one"),
        lambda: post(bob, "/api/settings", 403, **{"cache.days": 5}),
    ):
        refused()
    made = post(ada, "/api/people", 201, name=" Eve ", title="Eve  <b>", password="eve's own words")
    assert (made["name"], made["title"], made["admin"], made["can_log_in"]) == ("eve", "Eve <b>", False, True)
    with browser(address, "eve", "eve's own words") as eve:
        assert eve.get("/api/studio").json()["admin"] is False
    post(ada, "/api/people", 422, name="eve", password="eve's own words")
    assert "password" not in bob.get("/api/people").text and "argon2" not in ada.get("/api/people").text
    assert {person["name"] for person in bob.get("/api/people").json()["people"]} == {"ada", "bob", "eve"}


def test_what_is_no_person_is_refused_by_field(two):
    ada, _ = two
    wrong = {
        "name": ["", "a b", "*", "x" * 41, 5, None, "a\x00"], "password": ["short", None, "x" * 257], "title": ["x" * 81], "admin": ["yes"],
        "colour": ["red"],
    }  # fmt: skip
    for field, values in wrong.items():
        for value in values:
            answer = post(ada, "/api/people", 422, **({"name": "eve", "password": "eve's own words"} | {field: value}))
            assert answer["error"]["field"] == field
    assert len(ada.get("/api/people").json()["people"]) == 3  # with "local"


def test_a_new_password_ends_the_other_sessions(two, address):
    ada, bob = two
    with browser(address, "bob", BOB) as elsewhere:
        post(bob, "/api/people/bob/password", 403, old="wrong", password="quite another")
        post(bob, "/api/people/bob/password", 403, password="quite another")
        post(bob, "/api/people/bob/password", old=BOB, password="quite another")
        assert elsewhere.get("/api/studio").status_code == 401 and bob.get("/api/studio").status_code == 200
    post(ada, "/api/people/bob/password", password="set by ada")
    assert bob.get("/api/studio").status_code == 401
    with browser(address, "bob", "set by ada"):
        pass


def test_somebody_stays_an_admin(two):
    ada, bob = two
    post(ada, "/api/people/ada", 409, admin=False)
    post(ada, "/api/people/ada/remove", 409)
    post(ada, "/api/people/bob", admin=True)
    assert bob.get("/api/studio").json()["admin"] is True
    post(bob, "/api/people/ada", admin=False)
    post(ada, "/api/people/bob", 403, admin=False)


def test_a_removed_person_is_out_at_once_and_their_pictures_stay(guarded, two, address):
    ada, bob = two
    job, waiting = drawn(guarded, bob), post(bob, "/api/jobs", 201, prompt="still waiting")
    post(bob, f"/api/jobs/{job['id']}/share", **{"with": "*"})
    gone = post(ada, "/api/people/bob/remove")
    assert gone["removed"] and not gone["can_log_in"] and gone["pictures"] == 1
    assert bob.get("/api/studio").status_code == 401
    with pytest.raises(AssertionError), browser(address, "bob", BOB):
        pass
    assert sees(ada, job) and ada.get(f"/api/jobs/{job['id']}").json()["person"] == "bob"
    assert guarded.store.db.execute("SELECT state FROM jobs WHERE id = ?", [waiting["id"]]).fetchone()["state"] == "cancelled"
    post(ada, "/api/people", 422, name="bob", password="another bob")  # nobody else gets at what bob left
    post(ada, "/api/people/bob/restore", password="welcome back")
    with browser(address, "bob", "welcome back") as again:
        assert sees(again, job)


def test_a_removed_person_s_things_can_be_handed_over(guarded, two):
    ada, bob = two
    mine, job = drawn(guarded, ada), drawn(guarded, bob)
    waiting = post(bob, "/api/jobs", 201, prompt="still waiting")
    for client in two:
        post(client, "/api/boards", 201, name="Spring")
    board = post(bob, "/api/boards", 201, name="Autumn")
    post(bob, f"/api/boards/{board['id']}/add", ids=[job["images"][0]["id"]])
    assert not sees(ada, job)
    post(ada, "/api/people/bob/remove", 422, to="nobody")
    post(ada, "/api/people/bob/remove", 422, to="bob")
    assert post(ada, "/api/people/bob/remove", to="ada")["pictures"] == 0
    assert sees(ada, job) and sees(ada, mine)
    assert ada.get(f"/api/jobs/{waiting['id']}").json()["state"] == "queued"
    boards = {board["name"]: board["pictures"] for board in ada.get("/api/boards").json()["boards"]}
    assert boards == {"Spring": 0, "Spring (bob)": 0, "Autumn": 1}
    post(ada, f"/api/images/{job['images'][0]['id']}/keep", keep=True)  # hers in every way


DESIGN = {
    "title": "Steps", "pairs": 12, "rows": [{"prompt": "a red mug"}],
    "sides": [{"title": "few", "fields": {"steps": 2}}, {"title": "many", "fields": {"steps": 4}}],
}  # fmt: skip
GRID = {"title": "Steps", "base": {"prompt": "a red mug", "keep": 1}, "x": {"field": "steps", "values": "2, 4"}}
SETUP = {"columns": {"prompt": "prompt"}, "fields": {"draft": 1, "keep": 1}}


def furnish(client: httpx.Client, image: int) -> dict[str, int]:
    """A batch under way, an experiment that runs, a grid and a seed; their ids."""
    raw = {"Content-Type": "application/octet-stream"}
    catalogue = client.post("/api/batches/catalogues?name=a.csv", content=b"prompt\na red mug\na blue bowl\n", headers=raw).json()["id"]
    experiment = post(client, "/api/experiments", 201, design=DESIGN)["id"]
    post(client, f"/api/experiments/{experiment}/start")
    return {
        "catalogue": catalogue, "experiment": experiment, "grid": post(client, "/api/grids", 201, **GRID)["id"],
        "batch": post(client, "/api/batches", 201, catalogue=catalogue, **SETUP)["id"],
        "seed": post(client, "/api/seeds", 201, image=image, title="bob's")["id"],
    }  # fmt: skip


def ways(ids: dict[str, int]) -> list[str]:
    return [
        f"/api/batches/catalogues/{ids['catalogue']}", f"/api/batches/{ids['batch']}", f"/api/batches/{ids['batch']}/rows",
        f"/api/experiments/{ids['experiment']}", f"/api/grids/{ids['grid']}", f"/api/seeds/{ids['seed']}/picture.webp",
    ]  # fmt: skip


def test_batches_experiments_grids_and_seeds_go_with_their_pictures(guarded, two):
    ada, bob = two
    job = drawn(guarded, bob)
    image = job["images"][0]["id"]
    ids = furnish(bob, image)
    assert [bob.get(path).status_code for path in ways(ids)] == [200] * 6
    assert [ada.get(path).status_code for path in ways(ids)] == [404] * 6
    post(ada, "/api/people/bob/remove", to="ada")
    assert [ada.get(path).status_code for path in ways(ids)] == [200] * 6
    # Hers in every way: she goes on with what bob had begun.
    assert ada.get(f"/api/experiments/{ids['experiment']}").json()["mine"] is True
    assert ada.get("/api/batches").json()["batches"][0]["state"] == "running"
    assert post(ada, f"/api/batches/{ids['batch']}/pause")["state"] == "paused"
    assert post(ada, f"/api/experiments/{ids['experiment']}/stop")["finding"] == "stopped"
    post(ada, f"/api/grids/{ids['grid']}/cancel")
    [version] = ada.get(f"/api/batches/{ids['batch']}").json()["versions"]
    assert version["person"] == "bob"  # who wrote it does not change
    for table in ("batches", "catalogues", "experiments", "grids", "seeds"):
        assert guarded.store.db.execute(f"SELECT count(*) FROM {table} WHERE person = 'bob'").fetchone()[0] == 0, table


def test_a_seed_that_both_have_pinned_stays_the_taker_s(guarded, two):
    ada, bob = two
    image = drawn(guarded, bob)["images"][0]["id"]
    post(bob, f"/api/images/{image}/share", **{"with": "*"})
    for client, title in ((ada, "ada's"), (bob, "bob's")):
        post(client, "/api/seeds", 201, image=image, title=title)
    post(ada, "/api/people/bob/remove", to="ada")
    assert [one["title"] for one in ada.get("/api/seeds").json()["seeds"]] == ["ada's"]


def test_nothing_more_is_drawn_for_a_person_who_is_gone(guarded, two):
    ada, bob = two
    ids = furnish(bob, drawn(guarded, bob)["images"][0]["id"])
    post(ada, "/api/people/bob/remove")
    db = guarded.store.db
    assert db.execute("SELECT count(*) FROM jobs WHERE person = 'bob' AND state IN ('queued', 'running')").fetchone()[0] == 0
    guarded.batches.runner.look()
    guarded.experimenter.advance(ids["experiment"])
    assert db.execute("SELECT count(*) FROM jobs WHERE person = 'bob' AND state IN ('queued', 'running')").fetchone()[0] == 0
    row = db.execute("SELECT paused, why FROM batches WHERE id = ?", [ids["batch"]]).fetchone()
    assert (row["paused"], row["why"]) == (1, "bob was removed.")


def test_shared_with_everyone_and_taken_back(guarded, two):
    ada, bob = two
    job = drawn(guarded, bob)
    image = job["images"][0]["id"]
    assert sees(bob, job) and not sees(ada, job)
    post(bob, f"/api/jobs/{job['id']}/share", **{"with": "*"})
    assert sees(ada, job)
    for path, body in ((f"/api/images/{image}/keep", {"keep": True}), (f"/api/jobs/{job['id']}/share", {"with": None}),
                       (f"/api/images/{image}/share", {"with": None}), (f"/api/images/{image}/rate", {"rating": 1})):  # fmt: skip
        post(ada, path, 404, **body)  # to look at, not to change
    post(bob, f"/api/images/{image}/share", **{"with": None})
    assert ada.get(f"/api/jobs/{job['id']}").json()["images"] == [] and ada.get(f"/thumb/{image}.webp").status_code == 404
    post(bob, f"/api/jobs/{job['id']}/share", **{"with": None})
    assert not sees(ada, job)


def test_one_picture_tells_nothing_of_those_it_comes_from(guarded, two):
    ada, bob = two
    first = drawn(guarded, bob, "a secret beginning")
    parent = first["images"][0]["id"]
    second = drawn(guarded, bob)
    child = second["images"][0]["id"]
    guarded.store.db.execute("UPDATE images SET parent = ? WHERE id = ?", [parent, child])
    post(bob, f"/api/images/{child}/share", **{"with": "*"})
    assert [one["id"] for one in ada.get(f"/api/images/{child}").json()["lineage"]] == [child]
    assert [one["id"] for one in bob.get(f"/api/images/{child}").json()["lineage"]] == [parent, child]
    post(bob, f"/api/images/{parent}/share", **{"with": "*"})
    post(bob, f"/api/images/{child}/share", **{"with": None})
    assert ada.get(f"/api/images/{parent}").json()["children"] == [] and bob.get(f"/api/images/{parent}").json()["children"] == [child]


def test_projects(guarded, two, address):
    ada, bob = two
    post(ada, "/api/people", 201, name="eve", password="eve's own words")
    with browser(address, "eve", "eve's own words") as eve:
        project = post(bob, "/api/projects", 201, title="Spring  Sale!")
        assert (project["name"], project["title"], project["members"], project["owner"]) == ("spring-sale", "Spring Sale!", ["bob"], "bob")
        assert post(eve, "/api/projects", 201, title="spring sale")["name"] == "spring-sale-2"
        job = drawn(guarded, bob)
        for wrong in ("spring-sale-2", "nothing", "", 5, ["*"]):
            assert post(bob, f"/api/jobs/{job['id']}/share", 422, **{"with": wrong})["error"]["field"] == "with"
        post(bob, f"/api/jobs/{job['id']}/share", **{"with": "spring-sale"})
        assert not sees(eve, job) and not sees(ada, job)  # an admin is no member
        post(eve, "/api/projects/spring-sale", 404, add=["eve"])
        assert post(bob, "/api/projects/spring-sale", add=["eve"])["members"] == ["bob", "eve"]
        assert sees(eve, job)
        assert eve.get("/api/studio").json()["projects"] == [
            {"name": "spring-sale-2", "title": "spring sale"}, {"name": "spring-sale", "title": "Spring Sale!"},
        ]  # fmt: skip
        post(eve, "/api/projects/spring-sale", 403, remove=["bob"])
        post(eve, "/api/projects/spring-sale", 403, title="Mine now")
        post(eve, "/api/projects/spring-sale/remove", 403)
        post(eve, "/api/projects/spring-sale", remove=["eve"])  # anybody may leave
        assert not sees(eve, job)
        post(bob, "/api/projects/spring-sale", add=["eve"])
        post(bob, "/api/projects/spring-sale/remove")
        assert not sees(eve, job) and sees(bob, job)
        assert bob.get(f"/api/jobs/{job['id']}").json()["shared"] is None


def test_settings_have_bounds_and_owners(guarded, two):
    ada, bob = two
    view = {setting["name"]: setting for setting in bob.get("/api/settings").json()["settings"]}
    assert set(view) == {setting.name for setting in TABLE}
    assert not view["cache.days"]["may_change"] and view["export.strip"]["may_change"]
    post(bob, "/api/settings", **{"export.strip": True})
    values = lambda client: {one["name"]: one["value"] for one in client.get("/api/settings").json()["settings"]}  # noqa: E731
    assert values(bob)["export.strip"] is True and values(ada)["export.strip"] is False
    before = values(ada)
    for name, wrong in (("cache.days", 0), ("cache.days", 1.5), ("cache.days", "9"), ("similar.threshold", 2), ("similar.threshold", True),
                        ("export.strip", 1), ("models.folders", ["relative"]), ("models.folders", [5])):  # fmt: skip
        answer = post(ada, "/api/settings", 422, **{"login.days": 9, name: wrong})
        assert answer["error"]["field"].startswith(name)
    post(ada, "/api/settings", 404, **{"no.such": 1})
    assert values(ada) == before, "all or none"
    post(ada, "/api/settings", **{"cache.days": 5, "login.days": 9})
    assert guarded.settings.get("cache.days") == 5 and guarded.sessions.longest_days == 9
    post(ada, "/api/settings", **{"cache.days": None})
    assert guarded.settings.get("cache.days") == 90
    assert json.loads(guarded.store.setting("login.days") or "") == 9
