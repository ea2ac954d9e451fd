"""Batches: checked before anything runs, each row done exactly once, paused, resumed, tried again, taken away."""
from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from datetime import datetime

import httpx
import pytest
from studios import served, wait_for

from models.errors import BadInput, NotFound
from pipelines.batch import OffPeak, Setup, TemplateUse, guess_columns, read_off_peak, read_setup, row_request
from studio.store import batches as store
from studio.store.people import LOCAL, NotYours, Who
from studio.studio import Studio

PROMPTS = b"name,prompt,size\nred,a red mug,1:1\nblue,a blue bowl,\ngreen,a green box,3:2\n"
ADA = Who("ada")


def bring(studio: Studio, data: bytes = PROMPTS, name: str = "autumn.csv") -> int:
    return studio.catalogues.bring(data, name, LOCAL)["id"]


def plain(catalogue: int, **more) -> dict:
    """A batch whose rows bring prompts of their own."""
    columns = {"prompt": "prompt", "size": "size"}
    return {"catalogue": catalogue, "columns": columns, "fields": {"draft": 1, "keep": 1}, "label": "name"} | more


def hero(catalogue: int, **more) -> dict:
    columns = {"values.product": "name", "values.colour": "shade"}
    return {"catalogue": catalogue, "templates": [{"name": "ecommerce-hero"}], "columns": columns, "fields": {"draft": 1, "keep": 1}} | more


def done(studio: Studio, batch: int) -> dict:
    return wait_for(lambda: (view := studio.batches.view(batch, LOCAL))["state"] == "done" and view, f"batch {batch}")


def test_rows_become_pictures_once_each(start_studio):
    studio = start_studio()
    made = studio.batches.create(plain(bring(studio)), LOCAL)
    assert (made["title"], made["rows"], made["source"]) == ("autumn", 3, "autumn.csv")
    view = done(studio, made["id"])
    assert view["counts"]["done"] + view["counts"]["short"] == 3
    rows = studio.batches.rows(made["id"], LOCAL)["rows"]
    assert [(row["label"], row["line"], row["attempt"]) for row in rows] == [("red", 2, 1), ("blue", 3, 1), ("green", 4, 1)]
    jobs = studio.jobs()
    assert sorted(job["id"] for job in jobs) == sorted(row["job_id"] for row in rows)
    assert {(job["prompt"], job["priority"]) for job in jobs} == {("a red mug", -1), ("a blue bowl", -1), ("a green box", -1)}
    assert {job["request"]["size"] for job in jobs} == {"1:1", "3:2"}
    assert all(row["images"] for row in rows)


def test_a_template_s_values_come_from_columns(studio):
    catalogue = bring(studio, b"name,shade,price\nmug,#e01e1e,4\nbowl,#2255cc,5\n")
    outlook = studio.batches.check(hero(catalogue, templates=[{"name": "ecommerce-hero"}, {"name": "flat-lay"}]), LOCAL)
    assert (outlook["rows"], outlook["tasks"]) == (2, 4)
    outlook = studio.batches.check(hero(catalogue), LOCAL)
    assert (outlook["good"], outlook["bad"], outlook["draft"], outlook["keep"]) == (2, 0, 2, 2)
    assert "red mug" in outlook["first"][0]["prompt"]
    assert outlook["first"][0]["template"] == "ecommerce-hero"
    made = studio.batches.create(hero(catalogue), LOCAL)
    studio.batches.runner.look()
    job = studio.jobs()[0]
    assert job["request"]["template"] == {"name": "ecommerce-hero", "version": 0}
    assert job["request"]["values"]["product"] in ("mug", "bowl")
    assert made["setup"]["templates"] == [{"name": "ecommerce-hero", "version": 0}]


def test_every_row_s_error_is_listed_before_anything_runs(studio):
    catalogue = bring(studio, b"name,shade,size\nmug,red,1:1\nbowl,notacolour,1:1\n,blue,1:1\nbox,blue,7:5\n")
    asked = hero(catalogue, columns={"values.product": "name", "values.colour": "shade", "size": "size"})
    outlook = studio.batches.check(asked, LOCAL)
    assert [(problem["line"], problem["column"]) for problem in outlook["problems"]] == [(3, "shade"), (4, "name"), (5, "size")]
    assert "Product is missing" in outlook["problems"][1]["what"]
    assert (outlook["good"], outlook["bad"]) == (1, 3)
    with pytest.raises(BadInput, match="3 of 4 rows") as refused:
        studio.batches.create(asked, LOCAL)
    assert refused.value.field == "leave_out"
    assert studio.batches.all(LOCAL) == []
    made = studio.batches.create(asked | {"leave_out": True}, LOCAL)
    assert made["rows"] == 1
    assert studio.jobs() == []  # nobody has looked yet


def test_a_row_is_mended_before_anything_runs(studio, door):
    catalogue = bring(studio, b"name,shade,size\nmug,red,1:1,what\nbowl,notacolour,1:1\nbox,=1/0,1:1\nvase,#REF!,1:1\n")
    asked, at = hero(catalogue), f"/api/batches/catalogues/{catalogue}/rows"
    found = door.post("/api/batches/check", json=asked).json()["problems"]
    assert [(one["line"], one["column"], one["cell"]) for one in found] == [
        (2, "", ""), (3, "shade", "notacolour"), (4, "shade", "=1/0"), (5, "shade", ""),
    ]  # fmt: skip
    assert door.post(f"{at}/3", json={"cells": {"shade": " teal "}}).json()["cells"] == {"name": "bowl", "shade": "teal", "size": "1:1"}
    assert [one["line"] for one in door.post("/api/batches/check", json=asked).json()["problems"]] == [2, 4, 5]
    one = door.post("/api/batches/check", json=asked | {"lines": [3]}).json()
    assert (one["rows"], one["good"], one["problems"]) == (1, 1, [])
    for line, cells in ((2, {"size": "1:1"}), (4, {"shade": ""}), (5, {"shade": "blue"})):
        assert door.post(f"{at}/{line}", json={"cells": cells}).status_code == 200
    assert door.post("/api/batches/check", json=asked).json()["problems"] == []
    page = door.get(at, params={"after": 2, "limit": 2}).json()
    assert ([row["line"] for row in page["rows"]], page["next"]) == ([3, 4], 4)
    assert [row["line"] for row in door.get(at, params={"lines": "2,5,x"}).json()["rows"]] == [2, 5]
    made = studio.batches.create(asked, LOCAL)
    assert [row["cells"].get("shade") for row in studio.batches.rows(made["id"], LOCAL)["rows"]] == ["red", "teal", None, "blue"]
    refused = (({"nothing": "x"}, "cells"), ({"shade": "#N/A"}, "cells.shade"), ({}, "cells"), ({"shade": 3}, "cells.shade"))
    for cells, field in refused:
        answer = door.post(f"{at}/3", json={"cells": cells})
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert door.post(f"{at}/99", json={"cells": {"shade": "red"}}).status_code == 404
    with pytest.raises(NotFound):
        studio.catalogues.change_row(catalogue, 3, {"cells": {"shade": "red"}}, ADA)


def test_a_batch_s_setup_begins_a_new_one(studio, door):
    catalogue = bring(studio, b"name,shade\nmug,red\nbowl,teal\n")
    uses = [{"name": "ecommerce-hero"}, {"name": studio.templates.names()[0]}]
    asked = hero(catalogue, templates=uses, label="name", off_peak={"from": "22:00", "until": "06:00"}, paused=True)
    made = studio.batches.create(asked | {"fields": {"draft": 3, "keep": 1, "steps": 7}}, LOCAL)
    studio.batches.change_row(made["id"], 1, {"cells": {"shade": "blue"}}, LOCAL)
    start = door.post(f"/api/batches/{made['id']}/setup", json={})
    assert start.status_code == 201
    again = start.json()
    assert again["title"] == "autumn" and again["catalogue"]["name"] == "autumn.csv" and again["catalogue"]["id"] != catalogue
    assert [row["cells"] for row in again["catalogue"]["first"]] == [{"name": "mug", "shade": "blue"}, {"name": "bowl", "shade": "teal"}]
    setup = again["setup"]
    assert setup["fields"] == {"draft": 3, "keep": 1, "steps": 7} and setup["off_peak"] == {"from": "22:00", "until": "06:00"}
    assert [use["version"] for use in setup["templates"]] == [0, 0]
    second = studio.batches.create(setup | {"catalogue": again["catalogue"]["id"]}, LOCAL)
    assert second["rows"] == 4 and second["setup"] == setup
    with pytest.raises(NotFound):
        studio.catalogues.of_batch(made["id"], ADA)


def test_what_safety_stops_is_a_row_s_problem_and_no_incident(studio):
    catalogue = bring(studio, b"prompt\na red mug\na corpse in a red mug\n")
    asked = {"catalogue": catalogue, "columns": {"prompt": "prompt"}}
    outlook = studio.batches.check(asked, LOCAL)
    assert [problem["line"] for problem in outlook["problems"]] == [3]
    assert '"Gore"' in outlook["problems"][0]["what"]
    assert studio.batches.check(asked | {"fields": {"safety": "confirmed"}}, LOCAL)["good"] == 2
    assert studio.store.db.execute("SELECT count(*) FROM incidents").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"columns": {"promt": "prompt"}}, "columns"),
        ({"columns": {"prompt": "no such"}}, "columns.prompt"),
        ({"columns": {}}, "columns"),
        ({"fields": {"draught": 3}}, "fields"),
        ({"fields": {"values": {"x": 1}}}, "fields.values"),
        ({"templates": [{"name": "hero"}, {"name": "hero"}]}, "templates.1"),
        ({"templates": "hero"}, "templates"),
        ({"label": "no such"}, "label"),
        ({"off_peak": {"from": "22:00"}}, "off_peak"),
        ({"off_peak": {"from": "25:00", "until": "06:00"}}, "off_peak.from"),
        ({"off_peak": {"from": "06:00", "until": "6:00"}}, "off_peak"),
        ({"catalogue": "x"}, "catalogue"),
    ],
)
def test_what_is_wrong_with_the_batch_as_a_whole_is_refused_by_field(studio, change, field):
    with pytest.raises(BadInput) as refused:
        studio.batches.check(plain(bring(studio)) | change, LOCAL)
    assert refused.value.field == field


def test_a_window_of_rows_is_in_the_queue_at_low_priority_and_a_pause_holds_it(studio):
    data = b"prompt\n" + b"".join(f"mug {number}\n".encode() for number in range(30))
    batch = studio.batches.create({"catalogue": bring(studio, data), "columns": {"prompt": "prompt"}, "fields": {"draft": 1}}, LOCAL)["id"]
    for _ in range(3):
        studio.batches.runner.look()
    assert len(studio.jobs()) == 8
    assert studio.batches.view(batch, LOCAL)["counts"] == dict.fromkeys(store.STATES, 0) | {"waiting": 22, "open": 8}
    assert studio.batches.pause(batch, True, LOCAL)["state"] == "paused"
    assert all(job["paused"] for job in studio.jobs())
    studio.batches.runner.look()
    assert len(studio.jobs()) == 8
    assert studio.batches.pause(batch, False, LOCAL)["state"] == "running"
    assert not any(job["paused"] for job in studio.jobs())
    stopped = studio.batches.stop(batch, LOCAL)
    assert (stopped["state"], stopped["counts"]["stopped"]) == ("done", 30)
    assert {job["state"] for job in studio.jobs()} == {"cancelled"}
    # Those with a try of their own count another; those that never began do not.
    assert studio.batches.again(batch, {"states": ["stopped"]}, LOCAL)["again"] == 30
    assert Counter(row["attempt"] for row in studio.batches.rows(batch, LOCAL)["rows"]) == {1: 22, 2: 8}


def test_off_peak_rows_wait_for_their_hours_and_are_held_outside_of_them(studio):
    night = {"from": "22:00", "until": "06:00"}
    batch = studio.batches.create(plain(bring(studio), off_peak=night), LOCAL)["id"]
    runner = studio.batches.runner
    runner.look(datetime(2026, 11, 21, 12, 0))
    assert studio.jobs() == []
    runner.look(datetime(2026, 11, 21, 23, 30))
    assert len(studio.jobs()) == 3
    runner.look(datetime(2026, 11, 22, 6, 0))
    assert all(job["paused"] for job in studio.jobs())
    runner.look(datetime(2026, 11, 22, 22, 0))
    assert not any(job["paused"] for job in studio.jobs())
    assert studio.batches.view(batch, LOCAL)["off_peak"] == night


def test_hours():
    night = read_off_peak({"off_peak": {"from": "22:00", "until": "6:30"}})
    assert isinstance(night, OffPeak)
    at = [night.holds(datetime(2026, 1, 1, hour, minute).time()) for hour, minute in ((21, 59), (22, 0), (0, 0), (6, 29), (6, 30), (12, 0))]
    assert at == [False, True, True, True, False, False]
    day = read_off_peak({"off_peak": {"from": "09:00", "until": "17:00"}})
    assert [day.holds(datetime(2026, 1, 1, hour).time()) for hour in (8, 9, 16, 17)] == [False, True, True, False]


def test_a_row_that_cannot_be_queued_fails_alone_and_is_tried_again_when_mended(studio):
    catalogue = bring(studio)
    batch = studio.batches.create(plain(catalogue), LOCAL)["id"]
    studio.store.db.execute("""UPDATE batch_rows SET cells = '{"prompt": "a mug", "size": "9:1"}' WHERE number = 2""")
    studio.batches.runner.look()
    view = studio.batches.view(batch, LOCAL)
    assert (view["counts"]["failed"], view["counts"]["open"]) == (1, 2)
    (row,) = studio.batches.rows(batch, LOCAL, ["failed"])["rows"]
    assert (row["number"], row["error"]["field"]) == (2, "size")
    with pytest.raises(BadInput):
        studio.batches.change_row(batch, 2, {"cells": {"size": "8:1"}}, LOCAL)
    assert studio.batches.change_row(batch, 2, {"cells": {"size": "1:1"}}, LOCAL)["cells"]["size"] == "1:1"
    assert studio.batches.again(batch, {"states": ["failed"]}, LOCAL)["again"] == 1
    studio.batches.runner.look()
    assert studio.batches.view(batch, LOCAL)["counts"]["open"] == 3
    assert [row["attempt"] for row in studio.batches.rows(batch, LOCAL)["rows"]] == [1, 2, 1]


def test_weights_that_are_gone_pause_the_batch_instead_of_failing_its_rows(tmp_path, shipped):
    studio = Studio(tmp_path / "data", shipped, engine="local", models_dir=tmp_path)
    try:
        asked = plain(bring(studio)) | {"fields": {"draft": 1, "family": "embedded"}}
        batch = studio.batches.create(asked, LOCAL)["id"]
        _, setup = store.setup_of(studio.store, batch)
        setup["fields"]["family"] = "flux1"
        store.save_setup(studio.store, batch, setup, LOCAL, "", None)
        studio.batches.runner.look()
        view = studio.batches.view(batch, LOCAL)
        assert (view["state"], view["counts"]["waiting"]) == ("paused", 3)
        assert view["why"]
    finally:
        studio.stop()


def test_the_setup_is_versioned_and_holds_for_what_is_still_to_come(studio):
    data = b"prompt\n" + b"".join(f"mug {number}\n".encode() for number in range(12))
    batch = studio.batches.create({"catalogue": bring(studio, data), "columns": {"prompt": "prompt"}, "fields": {"draft": 1}}, LOCAL)["id"]
    studio.batches.runner.look()
    changed = studio.batches.change(batch, {"fields": {"draft": 3}, "note": "more to choose from", "base": 1}, LOCAL)
    assert (changed["version"], changed["versions"][0]["changes"]) == (2, ["fields.draft: 1 → 3"])
    with pytest.raises(BadInput):
        studio.batches.change(batch, {"fields": {"draft": 1000}}, LOCAL)
    for job in studio.jobs():
        studio.cancel(job["id"])
    studio.batches.runner.look()
    assert Counter(job["request"]["draft"] for job in studio.jobs()) == {1: 8, 3: 4}
    assert Counter(row["version"] for row in studio.batches.rows(batch, LOCAL)["rows"]) == {1: 8, 2: 4}
    assert studio.batches.restore_version(batch, 1, LOCAL)["setup"]["fields"] == {"draft": 1}


def test_it_goes_on_after_a_restart(start_studio, tmp_path):
    studio = start_studio(0.01)
    data = b"prompt\n" + b"".join(f"mug {number}\n".encode() for number in range(24))
    batch = studio.batches.create({"catalogue": bring(studio, data), "columns": {"prompt": "prompt"}, "fields": {"draft": 1}}, LOCAL)["id"]
    wait_for(lambda: len(studio.jobs()) > 8, "a few rows")
    studio.stop()
    studio = start_studio(0.0)
    view = done(studio, batch)
    assert view["counts"]["done"] + view["counts"]["short"] == 24
    tries = studio.store.db.execute("SELECT count(*), count(DISTINCT row_id), count(DISTINCT job_id) FROM batch_tries").fetchone()
    assert tuple(tries) == (24, 24, 24)
    assert studio.store.db.execute("SELECT count(*) FROM jobs").fetchone()[0] == 24


def test_two_runners_on_the_same_data_queue_nothing_twice(studio, shipped):
    other = Studio(studio.data_dir, shipped, engine="scripted")
    try:
        batch = studio.batches.create(plain(bring(studio)), LOCAL)["id"]
        row = store.rows_of(studio.store, batch)[0]
        kept = store.batch_row(studio.store, batch)
        setup = Setup.from_dict(store.setup_of(studio.store, batch)[1])
        assert studio.batches.runner._begin(kept, row, setup, 1, LOCAL) is True
        assert other.batches.runner._begin(kept, row, setup, 1, LOCAL) is False  # it had read the row before
        assert len(studio.jobs()) == 1
    finally:
        other.stop()


def test_pictures_by_name_and_an_admin_s_folder(studio, tmp_path, door):
    from PIL import Image

    folder = tmp_path / "shots"
    folder.mkdir()
    Image.new("RGB", (64, 48), "red").save(folder / "Mug.png")
    catalogue = bring(studio, b"name,photo\nmug,Mug.png\nbowl,bowl.jpg\nbox,../secret.png\n")
    assert studio.catalogues.view(catalogue, LOCAL)["files"]["missing"] == ["Mug.png", "bowl.jpg", "secret.png"]
    asked = hero(catalogue, columns={"values.product": "name", "values.photo": "photo"})
    assert studio.batches.check(asked, LOCAL)["bad"] == 3
    with pytest.raises(BadInput, match="outside"):
        studio.catalogues.add_pictures(catalogue, {"folder": str(folder)}, LOCAL)
    with pytest.raises(NotYours):
        studio.catalogues.bring_from(str(folder / "x.csv"), ADA)
    upload = door.post("/api/import", content=(folder / "Mug.png").read_bytes(), headers={"Content-Type": "image/png"}).json()["upload"]
    assert studio.catalogues.add_pictures(catalogue, {"pictures": {"C:\\shots\\MUG.PNG": upload}}, LOCAL)["files"]["missing_count"] == 2
    outlook = studio.batches.check(asked, LOCAL)
    assert [problem["line"] for problem in outlook["problems"]] == [3, 4]
    assert "bowl.jpg" in outlook["problems"][0]["what"]
    with pytest.raises(NotFound):
        studio.catalogues.add_pictures(catalogue, {"pictures": {"a.png": "0" * 64}}, LOCAL)
    inside = bring(studio, b"name,photo\nmug,Mug.png\n")
    assert studio.catalogues.add_pictures(inside, {"folder": str(folder)}, LOCAL)["files"]["missing_count"] == 0
    assert studio.batches.check(asked | {"catalogue": inside}, LOCAL)["bad"] == 0


def test_another_person_s_batch_is_none(studio):
    batch = studio.batches.create(plain(bring(studio)), LOCAL)["id"]
    for ask in (
        lambda: studio.batches.view(batch, ADA), lambda: studio.batches.rows(batch, ADA), lambda: studio.batches.pause(batch, True, ADA),
        lambda: studio.batches.stop(batch, ADA), lambda: studio.batches.again(batch, {}, ADA), lambda: studio.catalogues.view(1, ADA),
        lambda: studio.batches.check(plain(1), ADA), lambda: studio.batches.put_away(batch, True, ADA),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            ask()
    assert studio.batches.all(ADA) == []


def test_over_http_and_away_as_a_zip(start_studio):
    studio = start_studio()
    with served(studio) as address, httpx.Client(base_url=address, timeout=30) as door:
        raw = {"Content-Type": "application/octet-stream"}
        assert door.post("/api/batches/catalogues", content=PROMPTS, headers={"Content-Type": "text/csv"}).status_code == 415
        brought = door.post("/api/batches/catalogues", content=PROMPTS, headers=raw, params={"name": "C:\\goods\\autumn.csv"}).json()
        assert (brought["name"], brought["rows"]) == ("autumn.csv", 3)
        assert brought["columns"][0] == {"name": "name", "filled": 3, "example": "red"}
        assert door.post("/api/batches/catalogues", content=b"", headers=raw).json()["error"]["field"] == "file"
        assert door.post(f"/api/batches/catalogues/{brought['id']}/guess", json={}).json()["columns"]["prompt"] == "prompt"
        asked = plain(brought["id"])
        assert door.post("/api/batches/check", json=asked).json()["good"] == 3
        made = door.post("/api/batches", json=asked | {"title": "Café =1+1"})
        assert made.status_code == 201
        batch = made.json()["id"]
        done(studio, batch)
        archive = door.get(f"/api/batches/{batch}/files.zip", params={"what": "all"})
        assert 'filename="cafe-1-1.zip"' in archive.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(archive.content)) as packed:
            assert packed.testzip() is None
            manifest = json.loads(packed.read("manifest.json"))
            table = list(csv.DictReader(io.StringIO(packed.read("results.csv").decode("utf-8-sig"))))
            names = packed.namelist()
        assert [row["cells"]["name"] for row in manifest["rows"]] == ["red", "blue", "green"]
        files = [picture["file"] for row in manifest["rows"] for picture in row["pictures"]]
        assert files == ["00001-red-001.png", "00002-blue-001.png", "00003-green-001.png"]
        assert names == ["manifest.json", "results.csv", *files]
        assert [row["file"] for row in table] == files
        assert {row["catalogue: name"] for row in table} == {"red", "blue", "green"}
        assert all(float(row["sharpness"]) >= 0 for row in table)
        stripped = door.get(f"/api/batches/{batch}/files.zip", params={"what": "all", "strip": True})
        with zipfile.ZipFile(io.BytesIO(stripped.content)) as packed:
            assert "results.csv" not in packed.namelist()
            assert b"a red mug" not in packed.read("manifest.json")
        table = door.get(f"/api/batches/{batch}/results.csv").text
        assert "00001-red" in table or "short" in table
        assert door.post(f"/api/batches/{batch}/remove", json={}).json()["removed"] is True
        assert door.get("/api/batches").json()["batches"] == []
        assert [one["id"] for one in door.get("/api/batches?removed=true").json()["batches"]] == [batch]


def test_cells_and_columns():
    setup = read_setup(
        {"templates": [{"name": "hero"}], "columns": {"values.product": "Name", "texts": "Words", "seed": "Seed"},
         "fields": {"values": {"light": "soft"}, "prompt": ""}},
        ["Name", "Words", "Seed"], ["product", "light"],
    )  # fmt: skip
    assert setup.templates == (TemplateUse("hero"),)
    assert Setup.from_dict(json.loads(json.dumps(setup.to_dict()))) == setup
    cells = {"Name": "{a|b}", "Words": "SALE | 50 %", "Seed": "7"}
    made = row_request(setup, 0, cells, {"product": "text", "light": "choice"}, {})
    assert made == {
        "template": {"name": "hero", "version": None}, "values": {"light": "soft", "product": "{a|b}"}, "texts": ["SALE", "50 %"],
        "seed": 7,
    }  # fmt: skip
    again = row_request(setup, 0, cells, {"product": "text"}, {}, attempt=2)
    assert again["seed"] != 7
    assert "light" not in again["values"]
    guessed = guess_columns(["Product name", "Color", "SKU", "Size"], {"product": "Product", "colour": "Colour", "details": "Details"})
    assert guessed == {"values.product": "Product name", "values.colour": "Color", "size": "Size"}
