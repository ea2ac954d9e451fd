"""X/Y/Z grids: read from any JSON or refused with the place, told beforehand, drawn once each, gone on with, and taken away."""
from __future__ import annotations

import contextlib
import csv
import io
import json

import httpx
import pytest
from histories import ask, draw
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from studios import ended, served, wait_for

from models.errors import BadInput, StudioError
from pipelines.grid import CELLS_LIMIT, Grid, kind_of, read_values
from studio.grids import Grids
from studio.gridsheet import PIXELS_MOST, SIDE_MOST, sheet_size
from studio.store import jobs
from studio.store.people import LOCAL, Who
from studio.studio import Studio

GRID = {
    "title": "Guidance against steps",
    "base": {"prompt": "a red mug", "seed": 7},
    "x": {"field": "steps", "values": "2, 4-8 (+2)"},
    "y": {"field": "words", "values": ["red", "blue"]},
}


@pytest.mark.parametrize(
    ("spec", "kind", "values"),
    [
        ("1-10 (+3)", int, [1, 4, 7, 10]),
        ("1 - 2 [5]", float, [1.0, 1.25, 1.5, 1.75, 2.0]),
        ("10..4 (+3), 20", int, [10, 7, 4, 20]),
        ("9007199254740993, 3 to 5", int, [9007199254740993, 3, 4, 5]),
        ("0-.3 (.1)", float, [0.0, 0.1, 0.2, 0.3]),
        ('red, "wood, oak", blue', str, ["red", "wood, oak", "blue"]),
        ("a mug, red\na vase", str, ["a mug, red", "a vase"]),
    ],
)
def test_values_as_people_type_them(spec, kind, values):
    assert read_values(spec, kind, "x.values") == values


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"x": {"field": "steps", "values": "1-2000"}}, "x.values"),
        ({"x": {"field": "steps", "values": "2.5"}}, "x.values"),
        ({"x": {"field": "steps", "values": "two"}}, "x.values"),
        ({"x": {"field": "steps", "values": "2, 2"}}, "x.values"),
        ({"x": {"field": "draft", "values": "1, 2"}}, "x.field"),
        ({"x": {"field": "", "values": "1, 2"}}, "x.field"),
        ({"x": None}, "x"),
        ({"y": {"field": "steps", "values": [3]}}, "y.field"),
        ({"y": {"field": "words", "values": ["green", "blue"]}}, "y.values"),
        ({"y": None, "z": {"field": "guidance", "values": [1]}}, "y"),
        ({"y": {"field": "guidance", "values": {"from": 0, "to": 9.9, "count": 100}}, "z": {"field": "seed", "values": "1-100"}}, "grid"),
        ({"base": {"seed": "x"}}, "seed"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_wrong_names_its_place(change, field):
    with pytest.raises(BadInput) as wrong:
        Grid.from_dict(GRID | change)
    assert wrong.value.field == field


NAMES = ["field", "values", "from", "to", "step", "count", "prompt"]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(["1-9 (+2)", "steps", "1-2 [3]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["title", "base", "x", "y", "z"]), junk) | junk)
def test_any_json_is_a_grid_or_refused(data):
    try:
        grid = Grid.from_dict(data, 5)
    except StudioError:
        return
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
    assert sorted(cell for group in grid.groups() for cells in group.cells for cell in cells) == list(range(grid.count))


@given(st.text(max_size=40))
def test_any_text_is_values_or_refused(spec):
    for field in ("steps", "guidance", "prompt"):
        with contextlib.suppress(BadInput):
            assert isinstance(read_values(spec, kind_of(field), field), list)


def test_cells_that_differ_in_seeds_ride_together_and_the_same_picture_is_drawn_once():
    grid = Grid.from_dict({
        "base": {"prompt": "a red mug", "values": {"size": "big"}},
        "x": {"field": "seed", "values": "1-3"},
        "y": {"field": "words", "values": ["red", "blue"]},
        "z": {"field": "prompt", "values": ["a red mug", "a blue mug, red"]},
    })  # fmt: skip
    assert grid.shape == (3, 2, 2) and grid.count == 12
    assert [group.fields["prompt"] for group in grid.groups()] == ["a red mug", "a blue mug", "a blue mug, red", "a blue mug, blue"]
    assert {group.seeds for group in grid.groups()} == {(1, 2, 3)}
    words, prompts = {"field": "words", "values": ["a", "b"]}, {"field": "prompt", "values": ["a b", "b b a"]}
    same = Grid.from_dict({"base": {"prompt": "a b"}, "x": words, "y": prompts})
    fields = [same.fields(place)[0]["prompt"] for place in same.places()]
    assert fields == ["a b", "b b", "b b a", "b b b"]
    nested = Grid.from_dict({
        "base": {"template": "hero", "values": {"product": "mug", "place": "desk"}, "loras": [{"name": "clay", "weight": 1}]},
        "x": {"field": "values.product", "values": "mug, vase"}, "y": {"field": "loras.clay", "values": "0-1 (.5)"},
        "z": {"field": "template.version", "values": "1, 2"},
    })  # fmt: skip
    last, _ = nested.fields((1, 2, 1))
    assert last["values"] == {"product": "vase", "place": "desk"} and last["template"] == {"name": "hero", "version": 2}
    assert last["loras"] == [{"name": "clay", "weight": 1.0}] and nested.base["values"]["product"] == "mug"


def test_the_sheet_stays_one_that_viewers_open():
    for x, y, z in ((1, 1, 1), (100, 10, 1), (10, 100, 1), (10, 10, 10), (1, 1, 50)):
        asked = zip("xyz", ("steps", "guidance", "seed"), (x, y, z), strict=True)
        axes = {letter: {"field": field, "values": f"1-{count}"} for letter, field, count in asked}
        size = sheet_size(Grid.from_dict({"base": {"prompt": "a"}} | axes), [(1024, 1536), (2048, 1024)])
        assert x * y * z <= CELLS_LIMIT and size["width"] <= SIDE_MOST and size["height"] <= SIDE_MOST + 2000
        assert size["width"] * size["height"] <= PIXELS_MOST * 1.2


def test_a_grid_is_told_before_it_starts(door, studio):
    told = ask(door.post("/api/grids/plan", json=GRID))
    assert (told["cells"], told["pictures"], told["jobs"], told["refused"]) == (8, 8, 8, [])
    assert told["seconds"] is None and told["sheet"]["width"] > 4 * told["sheet"]["cell_width"]  # nothing was ever timed here
    assert told["axes"][0]["labels"] == ["2", "4", "6", "8"] and jobs.count_queued(studio.store) == 0
    with studio.store.write() as db:
        db.execute("INSERT INTO timings VALUES (?, 'embedded', 256, 256, 0.5, 0.25, 0.25)", [studio.device()["device"]["words"]])
    assert ask(door.post("/api/grids/plan", json=GRID))["seconds"] == pytest.approx(2 * (2 + 4 + 6 + 8) * 0.5 + 8 * 0.5)


def test_cells_that_cannot_be_drawn_are_listed_and_can_be_left_empty(door, studio):
    grid = GRID | {"x": {"field": "size", "values": "1:1, 17:3"}}
    told = ask(door.post("/api/grids/plan", json=grid))
    assert told["refused_cells"] == 2 and told["refused"][0]["field"] == "size" and told["refused"][0]["labels"] == ["17:3", "red"]
    assert ask(door.post("/api/grids", json=grid), 422)["error"]["field"] == "grid"
    assert studio.store.db.execute("SELECT count(*) FROM grids").fetchone()[0] == 0
    view = ask(door.post("/api/grids", json=grid | {"skip": True}), 201)
    assert [cell["state"] for cell in view["cells"]] == ["waiting", "refused", "waiting", "refused"]
    assert "17:3" in view["cells"][1]["why"]
    all_wrong = GRID | {"x": {"field": "size", "values": "17:3"}}
    ask(door.post("/api/grids", json=all_wrong | {"skip": True}), 422)


def test_each_cell_is_drawn_once_with_the_same_seed_and_taken_away_labelled(start_studio):
    studio = start_studio()
    rooms = Grids(studio)
    view = rooms.start(GRID, LOCAL)
    for job in view["jobs"]:
        ended(studio, job)
    view = rooms.view(view["id"], LOCAL)
    assert view["state"] == "done" and view["counts"]["drawn"] == 8 and view["title"] == "Guidance against steps"
    assert [(cell["image"]["steps"], cell["image"]["prompt"]) for cell in view["cells"]] == [
        (steps, f"a {colour} mug") for colour in ("red", "blue") for steps in (2, 4, 6, 8)
    ]
    assert {cell["image"]["seed"] for cell in view["cells"]} == {7}
    assert all(studio.job(job)["priority"] == -1 for job in view["jobs"])
    with served(studio) as address:
        sheet = httpx.get(f"{address}/api/grids/{view['id']}/sheet.png")
        assert f'filename="grid-{view["id"]}-guidance-against-steps.png"' in sheet.headers["content-disposition"]
        with Image.open(io.BytesIO(sheet.content)) as picture:
            told = rooms.plan(GRID, LOCAL)["sheet"]
            assert picture.size == (told["width"], told["height"])
            assert Grid.from_dict(json.loads(picture.info["grid"])) == Grid.from_dict(GRID)
            colours = picture.getcolors(maxcolors=2**24)
            assert colours is not None and len(colours) > 50  # pictures, not only labels
        rows = list(csv.DictReader(io.StringIO(httpx.get(f"{address}/api/grids/{view['id']}/cells.csv").text)))
    assert [row["Steps"] for row in rows] == ["2", "4", "6", "8"] * 2 and {row["Words"] for row in rows} == {"red", "blue"}
    assert all(float(row["sharpness"]) >= 0 for row in rows) and {row["state"] for row in rows} == {"drawn"}


def test_it_goes_on_after_whatever_stopped_it(start_studio):
    studio = start_studio(0.05)
    rooms = Grids(studio)
    grid = {"base": {"prompt": "a red mug"}, "x": {"field": "seed", "values": "1-4"}, "y": {"field": "steps", "values": "2, 3, 4"}}
    view = rooms.start(grid, LOCAL)
    assert len(view["jobs"]) == 3  # seeds ride together
    assert rooms.pause(view["id"], LOCAL)["state"] == "paused"
    view = rooms.cancel(view["id"], LOCAL)
    for job in view["jobs"]:
        ended(studio, job)
    stopped = rooms.view(view["id"], LOCAL)
    assert stopped["state"] == "stopped" and stopped["counts"]["missing"]
    kept = {cell["image"]["id"] for cell in stopped["cells"] if cell["image"]}
    again = rooms.resume(view["id"], LOCAL)
    assert again["state"] == "running" and again["counts"]["missing"] == 0
    assert rooms.resume(view["id"], LOCAL)["jobs"] == again["jobs"]  # nothing is queued twice
    for job in again["jobs"]:
        ended(studio, job)
    done = rooms.view(view["id"], LOCAL)
    assert done["state"] == "done" and kept <= {cell["image"]["id"] for cell in done["cells"]}
    assert len({cell["image"]["id"] for cell in done["cells"]}) == 12
    assert [cell["image"]["seed"] for cell in done["cells"]] == [1, 2, 3, 4] * 3
    assert rooms.listed(LOCAL)["grids"][0]["drawn"] >= 12
    rooms.remove(view["id"], LOCAL)
    assert rooms.listed(LOCAL) == {"grids": []} and studio.picture_file(min(kept, default=done["cells"][0]["image"]["id"])).exists()


def test_killed_in_the_middle_of_queueing_a_grid_is_whole_after_a_restart(tmp_path, shipped, start_studio):
    studio = Studio(tmp_path / "killed", shipped, engine="scripted")
    rooms = Grids(studio)
    queued, submit = [], studio.submit

    def dying(data, who, then):
        if len(queued) == 5:
            raise KeyboardInterrupt  # what nobody catches
        queued.append(submit(data, who, then))
        return queued[-1]

    studio.submit = dying
    with pytest.raises(KeyboardInterrupt):
        rooms.start(GRID, LOCAL)
    studio.stop()
    studio = start_studio(data_dir=tmp_path / "killed")
    rooms = Grids(studio)
    number = rooms.listed(LOCAL)["grids"][0]["id"]
    assert rooms.view(number, LOCAL)["counts"]["missing"] == 3
    rooms.resume(number, LOCAL)
    wait_for(lambda: rooms.view(number, LOCAL)["state"] == "done", "the grid to be drawn")
    assert studio.store.db.execute("SELECT count(*) FROM images").fetchone()[0] == 8


def test_a_grid_is_its_persons_and_what_is_thrown_away_is_gone_from_it(door, studio):
    number = ask(door.post("/api/grids", json=GRID), 201)["id"]
    draw(studio, 1)  # draws what waits, too
    view = ask(door.get(f"/api/grids/{number}"))
    assert view["counts"]["drawn"] == 8
    thrown = view["cells"][2]["image"]["id"]
    ask(door.post("/api/images/bulk", json={"do": "trash", "ids": [thrown]}))
    view = ask(door.get(f"/api/grids/{number}"))
    assert view["cells"][2]["state"] == "gone" and view["cells"][2]["image"] is None and view["state"] == "done"
    assert ask(door.post(f"/api/grids/{number}/resume", json={}))["jobs"] == view["jobs"]  # it is not drawn behind their back
    with pytest.raises(StudioError):
        Grids(studio).view(number, Who("anna"))
    ask(door.get("/api/grids/999"), 404)
    ask(door.get(f"/api/grids/{2**70}"), 404)


def test_a_templates_variables_and_words_that_a_seed_draws(door, studio):
    template = {"base": {"template": "ecommerce-hero", "seed": 3}, "x": {"field": "values.product", "values": "red mug, blue vase"}}
    view = ask(door.post("/api/grids", json=template), 201)
    prompts = [studio.job(job)["prompt"] for job in view["jobs"]]
    assert "red mug" in prompts[0] and prompts[0].replace("red mug", "blue vase") == prompts[1]
    assert all(studio.job(job)["request"]["template"]["name"] == "ecommerce-hero" for job in view["jobs"])
    drawn = ask(door.post("/api/grids", json={"base": {"prompt": "a {red|blue} mug"}, "x": {"field": "seed", "values": "1-6"}}), 201)
    prompts = [studio.job(job)["prompt"] for job in drawn["jobs"]]
    assert len(prompts) == 6 and set(prompts) == {"a red mug", "a blue mug"}  # each seed draws its own word
    words = template | {"y": {"field": "words", "values": "a, b"}}
    assert ask(door.post("/api/grids/plan", json=words))["error"]["field"] == "y.field"
