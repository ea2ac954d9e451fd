"""Refinement against a real server that speaks the OpenAI protocol: proposals with reasons, and every way in which it can go wrong."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from histories import ask
from hypothesis import given
from hypothesis import strategies as st
from logins import BOB, browser

from models.errors import BadInput, StudioError, Unavailable
from models.refine import Endpoint, check_url, refine
from studio.refining import diff

BETTER = {"prompt": "a red mug on a wooden table, warm light", "reasons": ["says where the light comes from"]}


class Llm:
    """A server on this machine. say: the message; raw, status: instead of a proper answer. asked: bodies that came, with their keys."""

    def __init__(self) -> None:
        self.say, self.raw, self.status, self.delay = json.dumps(BETTER), None, 200, 0.0
        self.asked: list[tuple[str, str | None, Any]] = []
        llm = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                llm.asked.append((self.path, self.headers.get("Authorization"), body))
                threading.Event().wait(llm.delay)
                answer = llm.raw if llm.raw is not None else json.dumps(
                    {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": llm.say}}]}
                ).encode()  # fmt: skip
                self.send_response(llm.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def llm() -> Iterator[Llm]:
    llm = Llm()
    thread = threading.Thread(target=llm.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield llm
    llm.server.shutdown()
    thread.join()
    llm.server.server_close()


def test_a_proposal_comes_with_its_reasons_and_a_diff_and_is_not_applied(studio, door, llm):
    about = ask(door.post("/api/refine/settings", json={"url": llm.url, "model": "tiny", "key": "secret"}))
    assert about == {"ready": True, "url": llm.url, "model": "tiny", "local": "", "key": True, "sampled": True, "may_set": True, "why": ""}
    found = ask(door.post("/api/refine", json={"prompt": "a red mug"}))
    assert (found["prompt"], found["reasons"], found["model"]) == (BETTER["prompt"], BETTER["reasons"], "tiny")
    assert found["diff"] == [{"kind": "same", "text": "a red mug"}, {"kind": "add", "text": " on a wooden table, warm light"}]
    [(path, key, body)] = llm.asked
    assert path == "/v1/chat/completions" and key == "Bearer secret" and body["model"] == "tiny"
    assert body["messages"][-1] == {"role": "user", "content": "a red mug"} and "teapot" in body["messages"][0]["content"]
    assert studio.jobs() == [] and "secret" not in door.get("/api/refine").text


def test_offline_it_explains_itself(door):
    about = ask(door.get("/api/refine"))
    assert not about["ready"] and "Ollama" in about["why"]
    assert "Ollama" in ask(door.post("/api/refine", json={"prompt": "a red mug"}), 503)["error"]["todo"]
    assert ask(door.post("/api/refine", json={"prompt": " "}), 422)["error"]["field"] == "prompt"


def test_another_address_does_not_get_the_key(door, llm):
    ask(door.post("/api/refine/settings", json={"url": llm.url, "model": "tiny", "key": "secret"}))
    assert ask(door.post("/api/refine/settings", json={"url": llm.url, "model": "other"}))["key"]
    assert not ask(door.post("/api/refine/settings", json={"url": "http://127.0.0.1:9", "model": "other"}))["key"]
    assert not ask(door.post("/api/refine/settings", json={"url": ""}))["ready"]


def test_only_an_admin_sets_it_up(address):
    with browser(address, "bob", BOB) as bob:
        ask(bob.post("/api/refine/settings", json={"url": "http://127.0.0.1:9", "model": "x"}), 403)


@pytest.mark.parametrize("say", ["no", "", "{}", '{"prompt": 3}', '{"prompt": " "}', '{"prompt": "x', "[1]"])
def test_an_answer_without_a_proposal_is_told(llm, say):
    llm.say = say
    with pytest.raises(StudioError, match="no proposal"):
        refine(Endpoint(llm.url, "tiny"), "a mug")


def test_a_model_that_talks_around_it_is_understood(llm):
    llm.say = f"<think>{{hmm}}</think>Sure!\n```json\n{json.dumps({'prompt': 'a mug,  lit', 'reasons': 'light'})}\n```"
    assert refine(Endpoint(llm.url, "tiny"), "a mug").prompt == "a mug, lit"


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[" * 50_000])
def test_what_is_no_such_endpoint_is_told(llm, raw):
    llm.raw = raw
    with pytest.raises(StudioError):
        refine(Endpoint(llm.url, "tiny"), "a mug")


def test_refusals_silence_and_absence_are_told(llm):
    llm.status, llm.raw = 404, b'{"error": {"message": "model tiny not found"}}'
    with pytest.raises(Unavailable, match="model tiny not found"):
        refine(Endpoint(llm.url, "tiny"), "a mug")
    llm.status, llm.raw, llm.delay = 200, None, 0.4
    with pytest.raises(Unavailable, match="too long"):
        refine(Endpoint(llm.url, "tiny"), "a mug", seconds=0.1)
    with pytest.raises(Unavailable, match="does not answer"):
        refine(Endpoint("http://127.0.0.1:9/v1", "tiny"), "a mug")


@pytest.mark.parametrize("url", ["ftp://x/v1", "localhost", "http://", "http://a:b@x/v1", "http://x/v1?key=3"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadInput):
        check_url(url)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_diff_holds_both_texts(old, new):
    pieces = diff(old, new)
    assert "".join(one["text"] for one in pieces if one["kind"] != "add") == old
    assert "".join(one["text"] for one in pieces if one["kind"] != "remove") == new
