"""Refinement by a model on this machine: found on disk, downloaded from a hub on the loopback, asked in a real worker."""
from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from histories import ask
from hubs import Hub, Repo, hub
from logins import BOB, browser
from speakers import ANSWER, BETTER, build, taught
from studios import served, wait_for

from models import language
from models.errors import NotFound, OutOfMemory, StudioError, Unavailable
from models.language import find, lacking, load_language
from models.refine import read_proposal, task
from studio.answering import WAITING_LIMIT, Answerer, Questions
from studio.engines import Engines
from studio.refining import Refining, _vocabulary
from studio.store.jobs import NotNow
from studio.store.people import LOCAL, Who

CARDS = load_language()
NAME = next(iter(CARDS))
NEEDED = CARDS[NAME].weights
FILES = dict.fromkeys(NEEDED.files, b"{}") | {"model.safetensors": b"\1" * 60_000, "pytorch_model.bin": b"\2" * 9000}
SAID = [{"role": "user", "content": "a red mug"}]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def fill(folder: Path, *without: str) -> Path:
    """What looks like a model from outside."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        if name not in without:
            (folder / name).write_bytes(content)
    return folder


# What is offered, and where it lies.


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_what_is_offered_is_small_and_permissive(card):
    needed = card.weights
    assert needed.licence in ("Apache-2.0", "MIT") and needed.licence_url.startswith("https://")
    assert len(needed.revision) == 40 and 0 < needed.megabytes < 4000 and "/" not in card.name
    assert {"config.json", "tokenizer.json"} <= set(needed.files)
    assert not any(name.endswith((".bin", ".pkl", ".py")) for name in needed.files)


def test_a_model_is_found_in_a_folder_the_models_folder_and_the_hub_cache(tmp_path, cache):
    folder = fill(tmp_path / "mine")
    assert find(str(folder), None, CARDS) == folder
    fill(tmp_path / "models" / NEEDED.repo)
    assert find(NAME, tmp_path / "models", CARDS) == tmp_path / "models" / NEEDED.repo
    snapshot = fill(cache / "models--ada--tiny" / "snapshots" / ("a" * 40))
    (cache / "models--ada--tiny" / "refs").mkdir()
    (cache / "models--ada--tiny" / "refs" / "main").write_text("a" * 40)
    assert find("ada/tiny", None, CARDS) == snapshot


def test_what_is_missing_is_named(tmp_path):
    assert lacking(fill(tmp_path / "a", "config.json")) == "config.json"
    assert "tokenizer" in lacking(fill(tmp_path / "b", "tokenizer.json", "vocab.json"))
    assert "safetensors" in lacking(fill(tmp_path / "c", "model.safetensors")), "pickles are no weights"
    parts = fill(tmp_path / "d", "model.safetensors")
    (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    (parts / "one.safetensors").write_bytes(b"")
    assert lacking(parts) == "two.safetensors"
    with pytest.raises(Unavailable, match=r"1000 MB, Apache-2\.0"):
        find(NAME, None, CARDS)
    with pytest.raises(Unavailable, match="hf download ada/tiny"):
        find("ada/tiny", None, CARDS)
    assert not any(language.is_place(place, CARDS) for place in ("", "tiny", "a/b/c", "../x", "http://a/b"))


# The set-up.


def test_it_is_set_up_and_explains_itself_while_it_is_not_here(door, tmp_path):
    about = ask(door.post("/api/refine/settings", json={"local": NAME}))
    assert (about["ready"], about["local"], about["model"], about["sampled"]) == (False, NAME, CARDS[NAME].title, False)
    assert "not on this machine" in about["why"] and "1000 MB, Apache-2.0" in about["why"]
    assert "Download" in ask(door.post("/api/refine", json={"prompt": "a red mug"}), 503)["error"]["todo"]
    folder = fill(tmp_path / "mine")
    about = ask(door.post("/api/refine/settings", json={"local": str(folder)}))
    assert about["ready"] and about["model"] == "mine"
    for wrong, status in ((str(tmp_path / "none"), 503), ("ada/tiny", 503), ("tiny", 422)):
        ask(door.post("/api/refine/settings", json={"local": wrong}), status)
    assert ask(door.post("/api/refine/settings", json={"local": NAME, "url": "http://127.0.0.1:9"}), 422)["error"]["field"] == "local"
    assert ask(door.get("/api/refine"))["local"] == str(folder), "what was refused changed nothing"
    assert not ask(door.post("/api/refine/settings", json={"url": ""}))["ready"]


def test_only_an_admin_sets_it_up_and_downloads(address):
    with browser(address, "bob", BOB) as bob:
        ask(bob.post("/api/refine/settings", json={"local": NAME}), 403)
        ask(bob.post(f"/api/refine/models/{NAME}/download", json={}), 403)
        assert [one["state"] for one in ask(bob.get("/api/refine/models"))["models"]] == ["missing"] * len(CARDS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as made:
        made.repos[NEEDED.repo] = Repo(NEEDED.revision, dict(FILES))
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield made


def test_one_click_brings_it_and_another_takes_it_away(door, server):
    [before, *_] = ask(door.get("/api/refine/models"))["models"]
    assert (before["state"], before["size"], before["licence"]["name"]) == ("missing", "1000 MB", "Apache-2.0")
    assert door.post(f"/api/refine/models/{NAME}/download", json={}).status_code == 202

    def arrived():
        [now, *_] = ask(door.get("/api/refine/models"))["models"]
        return now if now["state"] not in ("waiting", "running") else None

    after = wait_for(arrived, "the download to end")
    assert after["state"] == "ready", after["download"]
    assert sorted(path.name for path in Path(after["path"]).iterdir()) == sorted(NEEDED.files)
    assert ask(door.post("/api/refine/settings", json={"local": NAME}))["ready"]
    ask(door.post(f"/api/refine/models/{NAME}/download", json={}), 409)
    ask(door.post(f"/api/refine/models/{NAME}/remove", json={"confirm": ""}), 422)
    assert ask(door.post(f"/api/refine/models/{NAME}/remove", json={"confirm": NAME}))["model"]["state"] == "missing"
    assert not ask(door.get("/api/refine"))["ready"]


# Waiting for an answer.


def test_the_page_comes_again_for_the_answer(studio, tmp_path, monkeypatch):
    monkeypatch.setattr("studio.refining.WAIT_SECONDS", 0.01)
    refining = Refining(studio)
    refining.set({"local": str(fill(tmp_path / "mine"))}, LOCAL)
    first = refining.propose({"prompt": "a red mug"}, LOCAL)
    assert "mine" in first["words"]
    with pytest.raises(NotFound):
        refining.asked(first["asked"], Who("eve"))
    studio.submit({"prompt": "a red mug"})
    assert "Drawing goes first: 1" in refining.asked(first["asked"], LOCAL)["words"]
    studio.questions.heard({"id": first["asked"], "text": f"Sure! {ANSWER}"})
    found = refining.asked(first["asked"], LOCAL)
    assert (found["prompt"], found["reasons"], found["model"]) == (BETTER["prompt"], BETTER["reasons"], "mine")
    assert found["diff"][-1]["kind"] == "add"
    with pytest.raises(NotFound):
        refining.asked(first["asked"], LOCAL)
    second = refining.propose({"prompt": "a red mug"}, LOCAL)
    studio.questions.heard({"id": second["asked"], "text": "a mug!"})
    with pytest.raises(StudioError, match=r'no proposal.*"a mug!"'):
        refining.asked(second["asked"], LOCAL)


def test_questions_wait_for_a_worker_and_none_outlives_it():
    sent = []
    questions = Questions(sent.append)
    first = questions.ask("tiny", SAID, None, LOCAL)
    assert sent == [], "nobody would hear it"
    questions.device_is("ready")
    assert sent == [{"ask": {"id": first, "place": "tiny", "messages": SAID}}]
    questions.device_is("busy")
    questions.device_is("down")
    assert len(sent) == 1
    with pytest.raises(Unavailable, match="worker stopped"):
        questions.answered(first, LOCAL, 0)
    questions.device_is("ready")
    assert len(sent) == 1, "what may have ended one worker is not given to the next"


def test_only_so_many_wait_and_who_leaves_makes_room():
    sent = []
    questions = Questions(sent.append)
    questions.device_is("ready")
    ids = [questions.ask("tiny", SAID, None, LOCAL) for _ in range(WAITING_LIMIT)]
    with pytest.raises(NotNow, match="busy"):
        questions.ask("tiny", SAID, None, LOCAL)
    questions.drop(ids[0], LOCAL)
    assert sent[-1] == {"unask": ids[0]}
    questions.heard({"id": ids[0], "text": "too late"})
    questions.ask("tiny", SAID, None, LOCAL)
    questions.heard({"id": ids[1], "error": {"kind": "OutOfMemory", "what": "Too large.", "why": "", "todo": ""}})
    with pytest.raises(OutOfMemory, match="Too large"):
        questions.answered(ids[1], LOCAL, 1)


# Real models, of transformers' own classes.


@pytest.fixture(scope="module")
def scholar(tmp_path_factory) -> Path:
    """It knows how to refine "a red mug" for the embedded family."""
    return taught(tmp_path_factory.mktemp("language") / "scholar", task("a red mug", 30, _vocabulary()))


@pytest.fixture(scope="module")
def babbler(tmp_path_factory) -> Path:
    """Random weights."""
    folder = tmp_path_factory.mktemp("language") / "babbler"
    build(folder)
    return folder


@pytest.mark.slow
def test_a_model_is_asked_in_a_real_worker_and_what_it_says_is_read_strictly(start_studio, scholar, babbler):
    studio = start_studio()
    with served(studio) as address, httpx.Client(base_url=address, timeout=60) as door:
        assert ask(door.post("/api/refine/settings", json={"local": str(scholar)}))["ready"]
        found = proposed(door, "a red mug")
        assert (found["prompt"], found["reasons"], found["model"]) == (BETTER["prompt"], BETTER["reasons"], "scholar")
        assert found["diff"] == [{"kind": "same", "text": "a red mug"}, {"kind": "add", "text": " on a wooden table, warm light"}]
        assert proposed(door, "a red mug") == found, "it does not sample"
        ask(door.post("/api/refine/settings", json={"local": str(babbler)}))
        assert "no proposal" in proposed(door, "a red mug", 409)["error"]["what"]
        (babbler / "tokenizer.json").rename(babbler / "gone.json")
        try:
            assert "lacks its tokenizer" in proposed(door, "a red mug", 503)["error"]["why"]
        finally:
            (babbler / "gone.json").rename(babbler / "tokenizer.json")
        job = ask(door.post("/api/jobs", json={"prompt": "a red mug", "draft": 1, "keep": 1}), 201)["id"]
        wait_for(lambda: studio.job(job)["state"] == "done", "the worker to draw afterwards")


@pytest.mark.slow
def test_a_worker_that_dies_of_it_is_told_and_replaced(start_studio, scholar):
    studio = start_studio()
    wait_for(lambda: studio.device()["device"]["state"] == "ready", "a worker")
    id = studio.questions.ask(str(scholar), task("a red mug", 30, _vocabulary()), None, LOCAL)
    os.kill(studio.worker_pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="worker stopped"):
        studio.questions.answered(id, LOCAL, 30)


@pytest.mark.slow
def test_drawing_comes_first_and_the_answer_goes_on_from_its_tokens(studio, scholar, monkeypatch):
    from models import speaker

    told, reads, tokens = [], [], []
    engines = Engines("scripted", studio.catalogue, None, None)
    answerer = Answerer(studio.store, None, engines, lambda event, **message: told.append(message))
    real_read, real_give = speaker._read, answerer._gives_way

    def counted(folder, device):
        reads.append(folder)
        return real_read(folder, device)

    def drawing_comes(id):
        tokens.append(id)
        if len(tokens) == 6:
            jobs.append(studio.submit({"prompt": "a red mug", "tier": "preview", "draft": 1, "keep": 1})["id"])
            answerer._looked = 0.0
        return real_give(id)

    jobs: list[int] = []
    monkeypatch.setattr(speaker, "_read", counted)
    monkeypatch.setattr(answerer, "_gives_way", drawing_comes)
    answerer.hear({"ask": {"id": "x", "place": str(scholar), "messages": task("a red mug", 30, _vocabulary())}})
    assert answerer.catch_up() and told == [] and answerer.waiting
    said = answerer._said["x"]
    assert 0 < len(said) < 10
    answerer._looked = 0.0
    assert answerer.catch_up() and told == [] and len(reads) == 1, "while it waits nothing is even read"
    studio.cancel(jobs[0])
    answerer._looked = 0.0
    assert answerer.catch_up() and told == [{"id": "x", "text": ANSWER}] and not answerer.waiting
    assert not answerer.catch_up()


@pytest.mark.slow
def test_who_leaves_stops_the_answer(studio, babbler):
    told, engines = [], Engines("scripted", studio.catalogue, None, None)
    answerer = Answerer(studio.store, None, engines, lambda event, **message: told.append(message))
    answerer.hear({"ask": {"id": "x", "place": str(babbler), "messages": SAID}})
    threading.Timer(0.2, answerer.hear, [{"unask": "x"}]).start()
    started = time.monotonic()
    while answerer.waiting:
        assert answerer.catch_up()
        assert time.monotonic() - started < 60
    assert answerer._said == {} and len(told) <= 1


@pytest.mark.slow
def test_what_cannot_answer_says_why(babbler, tmp_path, monkeypatch):
    from models import speaker
    from models.speaker import speak

    spoken = speak(babbler, SAID, most=12)
    assert spoken.whole and len(spoken.tokens) <= 12
    with pytest.raises(StudioError):
        read_proposal(spoken.text)
    build(tmp_path / "plain", template=None)
    with pytest.raises(Unavailable, match="no chat template"):
        speak(tmp_path / "plain", SAID)
    build(tmp_path / "short", positions=64)
    with pytest.raises(StudioError, match="too long"):
        speak(tmp_path / "short", SAID)
    no_system = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0]['content'] }}"
    build(tmp_path / "strict", template=no_system)
    assert speak(tmp_path / "strict", task("a mug"), most=2).whole, "a template without a system role is served"
    (tmp_path / "short" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(Unavailable, match="cannot be read"):
        speak(tmp_path / "short", SAID)
    monkeypatch.setattr(speaker, "_spare", lambda: 1000.0)
    with pytest.raises(OutOfMemory, match="not enough memory"):
        speak(babbler, SAID)


@pytest.mark.slow
def test_what_draws_is_freed_where_memory_is_short(studio, babbler, monkeypatch):
    from models import speaker

    told = []
    engines = Engines("scripted", studio.catalogue, None, None)
    engines.get("embedded")
    monkeypatch.setattr(speaker, "_spare", lambda: 1000.0 if engines.card else None)
    answerer = Answerer(studio.store, None, engines, lambda event, **message: told.append(message))
    answerer.hear({"ask": {"id": "x", "place": str(babbler), "messages": SAID}})
    assert answerer.catch_up() and "text" in told[0] and engines.card is None


def proposed(door: httpx.Client, prompt: str, status: int = 200) -> dict:
    """What the page gets, however often it has to come again."""
    answer = door.post("/api/refine", json={"prompt": prompt})
    while answer.status_code == 202:
        answer = door.get(f"/api/refine/asked/{answer.json()['asked']}")
    return ask(answer, status)
