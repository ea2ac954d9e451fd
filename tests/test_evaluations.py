"""Evaluations of LoRA versions: what is measured and said, the way through the queue, promotion, trials in live use, and descriptions."""
from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from logins import ADA, BOB, browser
from lorafiles import embedded_lora
from PIL import Image
from studios import served, wait_for

from models.cards import Catalogue
from models.errors import BadInput, NotFound
from pipelines import trials
from pipelines.evaluation import Cell, Limits, Setup, cells, read_setup
from pipelines.measuring import Seen, interval, measure, share, sides, student
from pipelines.verdicts import told
from studio.evaluations import defaults
from studio.loras import Made
from studio.people import hand_over, hold_all
from studio.store import evaluations, loras
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, NotYours, Who
from studio.studio import Studio

DIM = 32
SETUP = Setup(
    tuple(f"a {colour} zubot {place}" for colour in ("red", "blue", "green") for place in ("outside", "inside")),
    tuple(f"a {colour} {place}" for colour in ("red", "blue", "green") for place in ("outside", "inside")),
    tuple(f"a mug, number {number}" for number in range(8)), ("zubot",), (0.6, 1.0, 1.2), 2, 7, Limits(),
)  # fmt: skip


class World:
    """Embeddings as a CLIP's would be: a picture lies where its prompt does, a little off by its seed, and towards the concept as far as
    a LoRA takes it there."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.texts = {part: unit(rng.standard_normal((len(SETUP.prompts(part)), DIM))) for part in ("concept", "ordinary")}
        self.concept = unit(rng.standard_normal(DIM))
        self.shift = {cell: 0.1 * rng.standard_normal(DIM) for cell in cells(SETUP, False) if cell.arm == "base"}
        self.dataset = np.stack([unit(0.3 * text + self.concept) for text in self.texts["concept"]])

    def picture(self, cell: Cell, learnt: float, asked: int | None = None, leak: float = 0.0, noise: float = 0.02) -> np.ndarray:
        """learnt: how far the concept is there; leak: where it was not asked for; asked: the prompt that it shows, its own for None."""
        base = replace(cell, arm="base", weight=0.0)
        text = self.texts[cell.part][cell.prompt if asked is None else asked]
        there = learnt if cell.part == "concept" else leak
        return unit((1 - 0.7 * there) * (text + self.shift[base]) + there * self.concept + noise * self.rng.standard_normal(DIM))

    def seen(self, against: dict | None, **version) -> list[Seen]:
        found = []
        for cell in cells(SETUP, against is not None):
            about = {"base": {"learnt": 0.0, "noise": 0.0}, "against": against or {}, "version": version}[cell.arm]
            given = {"learnt": 1.0, **about}
            flaws = given.pop("flaws", ())
            given["learnt"] *= min(1.0, cell.weight / given.pop("full", 0.8))
            if given.pop("shuffled", False) and cell.part == "concept":
                given["asked"] = (cell.prompt + 2) % len(SETUP.concept)
            found.append(Seen(cell, self.picture(cell, **given), flaws, {"sharpness": 60.0 - 20 * bool(flaws), "adherence": 50.0}))
        return found

    def finding(self, against: dict | None = None, known: bool = True, **version) -> dict:
        finding = measure(SETUP, self.seen(against, **version), self.texts, self.dataset if known else None)
        assert json.loads(json.dumps(finding, allow_nan=False)) == finding
        return finding


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def words(finding: dict, against: str = "") -> str:
    return told(finding, SETUP, against, {"sharpness": "sharpness"})


# What is measured.


def test_a_version_that_learnt_and_keeps_to_its_trigger_is_good():
    finding = World().finding()
    assert finding["verdict"] == "better" and finding["faults"] == [] and finding["compared"] is None
    base, row = finding["rows"][0], next(one for one in finding["rows"] if one["weight"] == 1.0)
    assert base["hit"]["hits"] == 0 and row["hit"]["hits"] == row["hit"]["n"] == 12 and row["concept"]["low"] > 0.7
    assert abs(row["adherence"]["value"]) < 10 and finding["drift"][0]["change"]["value"] < 0.3
    said = words(finding)
    assert said.startswith("Good:") and "12 of 12 pictures" in said and "followed as well as by the base" in said


@pytest.mark.parametrize(
    ("version", "cause", "said"),
    [
        ({"leak": 0.8}, {"leak", "drift"}, "Unfit, overtrained"),
        ({"shuffled": True}, {"adherence"}, "wrong captions"),
        ({"learnt": 0.05}, {"not learnt"}, "Unfit, not learnt"),
        ({"flaws": ("sharpness",)}, {"flaws"}, "(sharpness)"),
        ({"noise": 1.5, "learnt": 0.0}, {"not learnt", "adherence", "drift"}, "Unfit, broken"),
    ],
)
def test_a_bad_version_is_caught_and_its_cause_is_named(version: dict, cause: set[str], said: str):
    finding = World().finding(**version)
    assert finding["verdict"] == "unfit" and cause <= {one["cause"] for one in finding["faults"]}
    assert said in words(finding), words(finding)


def test_one_that_learnt_too_little_is_told_the_weight_at_which_it_would_do():
    finding = World().finding(learnt=0.52, full=1.2)
    assert finding["verdict"] == "unfit" and finding["weights"] == [1.2]
    assert "undertrained" in words(finding) and "At weight 1.2 nothing is wrong" in words(finding)


def test_flaws_that_read_the_prompt_are_no_flaws_of_the_picture():
    assert World().finding(flaws=("adherence", "contrast"))["faults"] == []


def test_the_version_before_is_compared_by_the_same_seeds():
    better = World().finding({"learnt": 0.65, "leak": 0.05})
    assert better["verdict"] == "better" and sides(better["compared"], better["rows"][0])[0][0] == "concept"
    assert words(better, "v1").startswith("Better than v1: the concept shows more clearly")
    worse = World().finding({}, learnt=0.62)
    assert worse["verdict"] == "worse" and "the concept shows less clearly" in words(worse, "v1")
    same = World().finding({})
    assert same["verdict"] == "no difference" and words(same, "v1").startswith("No difference to v1")
    spoilt = World().finding({"leak": 0.9})
    assert spoilt["verdict"] == "better" and "which is unfit" in words(spoilt, "v1")


def test_without_a_dataset_the_concept_is_not_measured_and_the_rest_is():
    finding = World().finding(known=False)
    assert finding["verdict"] == "no difference" and finding["rows"][1]["hit"] is None
    assert "nobody knows what it was trained on" in words(finding)
    assert World().finding(known=False, shuffled=True)["verdict"] == "unfit"


def test_one_without_a_trigger_word_may_act_on_every_prompt():
    world = World()
    free = replace(SETUP, triggers=())
    finding = measure(free, world.seen(None, leak=0.8), world.texts, world.dataset)
    assert {one["cause"] for one in finding["faults"]} <= {"forgets"}


def test_pictures_that_are_missing_leave_a_verdict_and_no_nonsense():
    world = World()
    seen = [one for place, one in enumerate(world.seen({})) if place % 5]
    seen = [replace(one, vector=None) if place % 7 == 0 else one for place, one in enumerate(seen)]
    finding = measure(SETUP, seen, world.texts, world.dataset)
    json.dumps(finding, allow_nan=False)
    assert finding["verdict"] == "no difference" and words(finding, "v1")
    blind = measure(SETUP, [replace(one, vector=None) for one in seen], {}, world.dataset)
    assert blind["rows"][1]["concept"] is None and words(blind, "v1")


def test_intervals_hold_what_they_promise():
    assert [round(student(df), 2) for df in (1, 4, 5, 11, 60)] == [12.71, 2.78, 2.57, 2.20, 2.00]
    assert interval({0: [1.0, 2.0]}) is None and share({}) is None
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(800):  # twelve pictures of six prompts, which differ from prompt to prompt
        found = interval({prompt: list(rng.normal(rng.normal(0.3, 1.0), 0.5, 2)) for prompt in range(6)})
        held += found["low"] <= 0.3 <= found["high"]
    assert 0.93 <= held / 800 <= 0.97


# What is drawn.


def test_cells_are_of_the_same_prompts_and_seeds():
    order = cells(SETUP, True)
    assert len(order) == len(set(order)) == 6 * 2 * 7 + 8 * 2 * 3
    assert [one.arm for one in order[:12]] == ["base"] * 12 and order[12].weight == 1.0
    assert len(cells(SETUP, False)) == 6 * 2 * 4 + 8 * 2 * 2


def test_a_setup_is_read_and_refused_by_name():
    assert Setup.from_dict(json.loads(json.dumps(SETUP.to_dict()))) == SETUP
    other = read_setup({"ordinary": ["a", "b", "c"], "weights": [1, 0.5], "pictures": 3}, SETUP, {})
    assert other.ordinary == ("a", "b", "c") and other.weights == (0.5, 1.0) and other.concept == SETUP.concept
    mine = read_setup({"concept": ["a zubot", "b zubot", "c"]}, SETUP, {"a zubot": "a"})
    assert mine.plain == ("a", "b zubot", "c")
    bad = {
        "concept": (["a", "b"], "concept"), "ordinary": (["a", "b", "a"], "ordinary.2"), "weights": ([0.5], "weights"),
        "pictures": (1, "pictures"), "seed": (-1, "seed"),
    }  # fmt: skip
    for name, (value, field) in bad.items():
        with pytest.raises(BadInput) as error:
            read_setup({name: value}, SETUP, {})
        assert error.value.field == field


def test_every_family_has_prompts_that_its_files_say(shipped: Catalogue):
    for family in shipped.families:
        found = defaults(shipped, family)
        assert len(found.ordinary) >= 6 and found.pictures >= 2 and 0 < found.limits.leak < 1


# Through the queue.


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., None]:
    """Registers versions of a LoRA for the model that ships, trained on a dataset of the studio if it is given one."""

    def register(studio: Studio, versions: int = 1, name: str = "ceramic", who: Who = LOCAL, dataset: dict | None = None, **fields) -> None:
        if name not in studio.loras.names(who):
            studio.loras.create({"name": name, "kind": "product", **fields}, who)
        for _ in range(versions):
            seed = studio.store.db.execute("SELECT count(*) + 1 FROM lora_versions").fetchone()[0]
            file = embedded_lora(tmp_path / f"{seed}.safetensors", seed)
            studio.loras.register(name, Made(file, "embedded", triggers=["cera"], dataset=dataset), who)

    return register


def dataset_of(studio: Studio, folder: Path, count: int = 6) -> dict:
    """A set of plain pictures, as a training would have taken it."""
    number = studio.datasets.create({"title": "Cups", "kind": "product", "trigger": "cera", "card": "embedded"}, LOCAL)["id"]
    for place in range(count):
        noise = np.random.default_rng(place).integers(0, 256, (256, 256, 3), np.uint8)
        path = folder / f"{place}.png"
        Image.fromarray(noise).save(path)
        studio.datasets.bring(number, path.read_bytes(), path.name, LOCAL)
    rows = studio.datasets.views.view(number, LOCAL)["images"]
    studio.datasets.caption(number, {"captions": {str(one["id"]): f"a cera cup, number {place}" for place, one in enumerate(rows)}}, LOCAL)
    return studio.datasets.write(number, folder / "run", LOCAL)


SMALL = {"ordinary": ["a mug", "a vase", "a chair"], "weights": [0.8, 1.0]}


def finished(studio: Studio, evaluation: int) -> dict:
    return wait_for(
        lambda: (view := studio.evaluations.view(evaluation, LOCAL))["state"] != "running" and view, f"evaluation {evaluation} to end"
    )


def test_an_evaluation_is_drawn_and_judged(start_studio, made, tmp_path: Path):
    studio = start_studio()
    (tmp_path / "set").mkdir()
    made(studio, 2, dataset=dataset_of(studio, tmp_path / "set"))
    proposal = studio.evaluations.propose({"lora": "ceramic", "version": 2}, LOCAL)
    assert proposal["against"] == 1 and proposal["measured"] and not proposal["missing"] and len(proposal["setup"]["concept"]) == 6
    assert proposal["setup"]["concept"][0] == "a cera cup, number 0" and proposal["setup"]["plain"][0] == "a cup, number 0"
    begun = studio.evaluations.create({"lora": "ceramic", "version": 2, **SMALL}, LOCAL)
    with pytest.raises(NotNow):
        studio.evaluations.create({"lora": "ceramic", "version": 2, **SMALL}, LOCAL)
    view = finished(studio, begun["id"])
    assert view["state"] == "done" and view["done"] == view["of"] == 6 * 2 * 5 + 3 * 2 * 3
    assert {one["state"] for one in view["cells"]} == {"drawn"}
    # The scripted engine draws the same with whatever LoRA: nothing is learnt, and nothing else is wrong.
    assert view["verdict"] == "unfit" and [one["cause"] for one in view["finding"]["faults"]] == ["not learnt"]
    whole = studio.lora_rack.version("ceramic", 2, LOCAL)
    assert whole["verdict"] == view["words"] and whole["evaluation"] == begun["id"] and whole["scores"]["concept_hit"] < 0.5
    rows = studio.store.db.execute("SELECT jobs.* FROM jobs ORDER BY id").fetchall()
    assert {row["priority"] for row in rows} == {-1} and {row["feature"] for row in rows} == {"evaluation"}
    requests = [json.loads(row["request"]) for row in rows]
    silent = [one for one in requests if one["prompt"] in SMALL["ordinary"]]
    assert silent and all("cera" not in one["prompt"] for one in silent), "no trigger word is put into ordinary prompts"
    assert {one["loras"][0]["version"] for one in requests if one["loras"]} == {1, 2}
    # Again: everything comes from history.
    again = finished(studio, studio.evaluations.create({"lora": "ceramic", "version": 2, **SMALL}, LOCAL)["id"])
    select = "SELECT count(*) AS n, sum(served) AS served, sum(draft) AS drawn FROM jobs WHERE id > ?"
    counts = studio.store.db.execute(select, [rows[-1]["id"]]).fetchone()
    assert counts["n"] == len(rows) and counts["served"] == counts["drawn"] and again["verdict"] == "unfit"


@pytest.mark.slow
def test_it_goes_on_after_kills_and_draws_nothing_twice(start_studio, made, tmp_path: Path):
    """The worker is killed again and again; the page's process ends in the middle and starts anew."""
    studio = start_studio(0.004)
    made(studio, 1)
    asked = {"lora": "ceramic", "version": 1, **SMALL, "pictures": 2}
    evaluation = studio.evaluations.create(asked, LOCAL)["id"]
    rng = random.Random(3)
    for _ in range(4):
        done = studio.evaluations.view(evaluation, LOCAL)["done"]
        goal = done + rng.randint(1, 5)
        wait_for(lambda goal=goal: studio.evaluations.view(evaluation, LOCAL)["done"] >= goal, "pictures")
        if (pid := studio.worker_pid) is not None:
            os.kill(pid, signal.SIGKILL)
    studio.stop()
    studio = start_studio(data_dir=studio.data_dir)
    view = finished(studio, evaluation)
    assert view["state"] == "done" and view["done"] == view["of"] == 36 + 12
    db = studio.store.db
    assert db.execute("SELECT count(*) FROM images WHERE state = 'drawn'").fetchone()[0] == view["of"], "each once"
    assert db.execute("SELECT count(DISTINCT job_id || '-' || place) FROM evaluation_cells").fetchone()[0] == view["of"]
    assert db.execute("SELECT count(*) FROM lora_verdicts").fetchone()[0] == 1


def test_what_is_cancelled_leaves_the_queue_and_can_go_on(start_studio, studio: Studio, made):
    made(studio, 1)
    evaluation = studio.evaluations.create({"lora": "ceramic", "version": 1, **SMALL}, LOCAL)["id"]
    assert 0 < len(studio.jobs(active=True)) <= 4, "only a few wait at a time"
    assert studio.evaluations.cancel(evaluation, LOCAL)["state"] == "cancelled" and studio.jobs(active=True) == []
    with pytest.raises(NotNow):
        studio.evaluations.cancel(evaluation, LOCAL)
    assert studio.evaluations.resume(evaluation, LOCAL)["state"] == "running" and studio.jobs(active=True)
    studio.stop()
    assert finished(start_studio(data_dir=studio.data_dir), evaluation)["state"] == "done"


def test_one_that_cannot_be_drawn_says_why(studio: Studio, made):
    made(studio, 2)
    evaluation = studio.evaluations.create({"lora": "ceramic", "version": 1, "against": None, **SMALL}, LOCAL)["id"]
    for _ in range(2):
        jobs = [job["id"] for job in studio.jobs(active=True)]
        studio.store.db.execute("UPDATE jobs SET state = 'failed', error = ?", [json.dumps({"what": "The device is on fire."})])
        studio.store.db.execute("UPDATE tasks SET state = 'failed'")
        assert jobs
        studio.evaluations.evaluator.advance(evaluation)
    for _ in range(20):
        studio.store.db.execute("UPDATE jobs SET state = 'failed', error = ?", [json.dumps({"what": "The device is on fire."})])
        studio.store.db.execute("UPDATE tasks SET state = 'failed'")
        studio.evaluations.evaluator.advance(evaluation)
    view = studio.evaluations.view(evaluation, LOCAL)
    assert view["state"] == "failed" and view["error"]["why"] == "The device is on fire." and studio.jobs(active=True) == []
    with pytest.raises(BadInput, match="compared"):
        studio.evaluations.create({"lora": "ceramic", "version": 1, "against": 9, **SMALL}, LOCAL)
    with pytest.raises(BadInput) as error:
        studio.evaluations.create({"lora": "ceramic", "version": 1, "ordinary": ["a", "b"]}, LOCAL)
    assert error.value.field == "ordinary"


def test_what_was_trained_is_evaluated_by_itself_when_told_so(studio: Studio, made):
    made(studio, 1)
    studio.store.db.execute(
        "INSERT INTO datasets (id, person, title, kind, \"trigger\", card, resolution, fit, created, changed)"
        " VALUES (1, 'local', 'Cups', 'product', 'cera', 'embedded', 256, 'square', '', '')"
    )
    insert = (
        "INSERT INTO trainings (person, lora, dataset_id, dataset, card, steps, gives_way, note, state, number, created, evaluate)"
        " VALUES ('local', 'ceramic', 1, '{}', 'embedded', 1, 'never', '', 'done', 1, '', ?)"
    )
    studio.store.db.execute(insert, [0])
    assert evaluations.wished(studio.store) == []
    studio.store.db.execute(insert, [1])
    studio.evaluations._by_themselves()
    found = studio.evaluations.overview(LOCAL, "ceramic")["evaluations"]
    assert [(one["number"], one["automatic"], one["state"]) for one in found] == [(1, True, "running")]
    studio.evaluations._by_themselves()
    assert len(studio.evaluations.overview(LOCAL)["evaluations"]) == 1


# Promotion.


def test_production_asks_for_an_evaluation_and_for_a_look(studio: Studio, made):
    made(studio, 2)
    registry = studio.loras
    with pytest.raises(NotNow) as error:
        registry.move("ceramic", "production", 1, LOCAL)
    assert "has not been evaluated" in error.value.why and "looked" in error.value.why
    registry.judge("ceramic", 1, "better", "Good.", {"concept_hit": 1.0})
    with pytest.raises(NotNow, match="not ready"):
        registry.move("ceramic", "production", 1, LOCAL)
    assert studio.evaluations.look({"lora": "ceramic", "version": 1}, LOCAL)["lacks"] == ""
    registry.move("ceramic", "production", 1, LOCAL)
    registry.judge("ceramic", 2, "unfit", "Unfit, overtrained: it acts where it is not called.", {})
    studio.evaluations.look({"lora": "ceramic", "version": 2}, LOCAL)
    with pytest.raises(NotNow) as error:
        registry.move("ceramic", "production", 2, LOCAL)
    assert "overtrained" in error.value.why
    with pytest.raises(BadInput):
        registry.move("ceramic", "production", 2, LOCAL, "", forced=True)
    registry.move("ceramic", "production", 2, LOCAL, "the customer wants it so", forced=True)
    last = studio.lora_rack.view("ceramic", LOCAL)["moves"][0]
    assert last["forced"] and last["reason"] == "the customer wants it so"
    assert registry.rollback("ceramic", "production", LOCAL) == 1, "the way back asks for nothing"


# Trials.


def on_trial(studio: Studio, share: float = 0.25) -> None:
    for alias, number in (("production", 1), ("candidate", 2)):
        studio.loras.move("ceramic", alias, number, LOCAL, "test", forced=True)
    studio.trials.set({"lora": "ceramic", "share": share}, LOCAL)


ASKED = {"prompt": "a mug", "tier": "standard", "draft": 2, "keep": 1, "ladder": False, "loras": [{"name": "ceramic"}]}


def test_a_share_of_requests_gets_the_candidate_and_the_job_says_so(studio: Studio, made):
    made(studio, 3)
    on_trial(studio)
    rng = random.Random(4)
    studio.trials.chance = rng.random
    got = [studio.trials.submit(ASKED, LOCAL)["loras"][0] for _ in range(60)]
    assert set(got) == {"ceramic/v1", "ceramic/v2"} and 6 <= got.count("ceramic/v2") <= 24
    rows = studio.store.db.execute("SELECT * FROM lora_trial_jobs").fetchall()
    assert len(rows) == 60 and sum(row["arm"] == "candidate" for row in rows) == got.count("ceramic/v2")
    assert all((row["number"] == 2) == (row["arm"] == "candidate") for row in rows)
    # A version that is named, and whatever is not a person's own request, is left alone.
    studio.trials.chance = lambda: 0.0
    named = {**ASKED, "loras": [{"name": "ceramic", "version": 3}]}
    assert studio.trials.submit(named, LOCAL)["loras"] == ["ceramic/v3"]
    assert studio.submit(ASKED, LOCAL)["loras"] == ["ceramic/v1"]
    assert studio.store.db.execute("SELECT count(*) FROM lora_trial_jobs").fetchone()[0] == 60
    studio.trials.set({"lora": "ceramic", "share": 0}, LOCAL)
    assert studio.trials.submit(ASKED, LOCAL)["loras"] == ["ceramic/v1"]


def test_the_trigger_words_are_those_of_the_version_that_is_tried(studio: Studio, made, tmp_path: Path):
    made(studio, 1)
    studio.loras.register("ceramic", Made(embedded_lora(tmp_path / "other.safetensors", 77), "embedded", triggers=["glaz"]), LOCAL)
    on_trial(studio)
    studio.trials.chance = lambda: 0.0
    assert "glaz" in studio.trials.submit(ASKED, LOCAL)["prompt"]
    studio.trials.chance = lambda: 0.99
    assert "cera" in studio.trials.submit(ASKED, LOCAL)["prompt"]


def test_a_trial_needs_both_aliases_and_its_owner(studio: Studio, made):
    made(studio, 2)
    with pytest.raises(NotNow, match="no production"):
        studio.trials.set({"lora": "ceramic", "share": 0.1}, LOCAL)
    for bad in (0.9, None, "half"):
        with pytest.raises(BadInput):
            studio.trials.set({"lora": "ceramic", "share": bad}, LOCAL)
    with pytest.raises(NotFound):
        studio.trials.set({"lora": "ceramic", "share": 0.1}, Who("eve"))


def test_insights_compare_what_was_tried(studio: Studio, made):
    made(studio, 2)
    on_trial(studio, 0.5)
    chance = iter(range(100))
    studio.trials.chance = lambda: (next(chance) % 2) / 2
    for _ in range(24):
        studio.trials.submit(ASKED, LOCAL)
    db = studio.store.db
    better = "job_id IN (SELECT job_id FROM lora_trial_jobs WHERE arm = 'candidate')"
    verdict = f"CASE WHEN {better} OR job_id % 6 = 1 THEN 'kept' ELSE 'rejected' END"
    db.execute(f"UPDATE images SET state = 'drawn', stage = 'final', verdict = {verdict}")
    with served(studio) as address, httpx.Client(base_url=address) as door:
        found = door.get("/api/insights/trials", params={"range": "30"}).raise_for_status().json()["trials"][0]
        table = door.get("/api/insights/trials.csv", params={"range": "30"}).raise_for_status().text
        trial = door.get("/api/trials/ceramic").raise_for_status().json()
    assert (found["production"], found["candidate"], found["requests"]) == (1, 2, [12, 12])
    passed = found["measures"][0]
    assert passed["candidate"]["value"] == 1.0 and passed["production"]["value"] < 0.5 and passed["difference"]["low"] > 0
    assert "passes more often" in found["words"] and trial["found"]["words"] == found["words"] and trial["share"] == 0.5
    assert table.splitlines()[0].startswith("lora,") and len(table.splitlines()) == 4


def test_requests_count_as_one_however_many_pictures_they_have():
    alike = [(4, 4)] * 5 + [(0, 4)] * 5
    mixed = [(2, 4)] * 10
    wide, narrow = trials.arm(alike), trials.arm(mixed)
    assert wide["value"] == narrow["value"] == 0.5
    assert wide["high"] - wide["low"] > 1.8 * (narrow["high"] - narrow["low"])
    assert trials.arm([]) is None and trials.arm([(4, 4)] * 3)["low"] < 0.5, "three requests that all went well prove little"
    assert "Too few requests" in trials.told([], (3, 40), "v1", "v2")


# Descriptions.


def test_what_is_said_of_a_version_can_be_mended_and_the_version_stays(studio: Studio, made):
    made(studio, 1)
    with served(studio) as address, httpx.Client(base_url=address) as door:
        body = {"triggers": ["glaze", " blue  glaze "], "licence": "CC0", "note": "as the maker says"}
        told_now = door.post("/api/loras/ceramic/versions/1", json=body).raise_for_status().json()["versions"][0]
        assert told_now["triggers"] == ["glaze", "blue glaze"] and told_now["licence"] == "CC0" and told_now["note"] == "as the maker says"
        whole = door.get("/api/loras/ceramic/versions/1").json()
        assert [one["person"] for one in whole["described"]] == ["local"]
        assert door.post("/api/loras/ceramic/versions/1", json={"triggers": "glaze"}).json()["error"]["field"] == "triggers"
        assert door.post("/api/loras/ceramic/versions/1", json={"bytes": 1}).status_code == 422
        assert door.post("/api/loras/ceramic/versions/9", json={"note": "x"}).status_code == 404
    assert "blue glaze" in studio.submit(ASKED, LOCAL)["prompt"], "requests are called by the words as they are now"
    as_came = studio.store.db.execute("SELECT triggers FROM lora_versions").fetchone()[0]
    assert json.loads(as_came) == ["cera"], "the version itself is as it came"
    manifest = json.loads((studio.data_dir / "loras/ceramic/v1/manifest.json").read_text(encoding="utf-8"))
    assert manifest["triggers"] == ["cera"]


# Who may.


def test_others_see_what_they_may_use_and_begin_nothing(guarded: Studio, address: str, made):
    made(guarded, 1, who=Who("bob"), access="everyone")
    made(guarded, 1, name="secret", who=Who("bob"))
    with browser(address, "bob", BOB) as bob, browser(address, "ada", ADA) as ada:
        begun = bob.post("/api/evaluations", json={"lora": "ceramic", "version": 1, **SMALL})
        assert begun.status_code == 201
        mine = bob.post("/api/evaluations", json={"lora": "secret", "version": 1, **SMALL}).json()["id"]
        assert ada.get(f"/api/evaluations/{begun.json()['id']}").status_code == 200
        assert ada.get(f"/api/evaluations/{mine}").status_code == 404, "an admin sees no more LoRAs than anybody"
    with pytest.raises(NotYours):
        guarded.evaluations.create({"lora": "ceramic", "version": 1, **SMALL}, Who("eve"))
    with pytest.raises(NotYours):
        guarded.evaluations.look({"lora": "ceramic", "version": 1}, Who("eve"))
    with pytest.raises(NotFound):
        guarded.evaluations.propose({"lora": "secret", "version": 1}, Who("eve"))
    assert loras.needed_by(guarded.store, "ceramic", 1)[1] > 0, "it is not thrown away while it is drawn"
    with guarded.store.write() as db:
        hold_all(db, "bob")
        hand_over(db, "bob", "ada")
    found = guarded.evaluations.view(begun.json()["id"], Who("ada"))
    assert (found["person"], found["state"], found["may_change"]) == ("ada", "cancelled", True), "nothing is drawn on for one who left"
