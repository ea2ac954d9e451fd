"""What a program that was taken to a provider consists of: one request for one picture, sent with the standard library alone.

The studio never imports this module: its own calls are `models.cloud.transport`'s, which do more. `pipelines.bundle` copies from it, as
text, the functions that a program needs, so what people take home is what is checked and tested here. It keeps the rules that money
makes: a submit is repeated only where the provider said that it did not begin, and a key goes to the provider's own hosts alone.
"""
from __future__ import annotations

import argparse
import base64
import fnmatch
import hashlib
import http.client
import json
import os
import string
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ANSWER_LIMIT, PICTURE_LIMIT = 64 * 2**20, 48 * 2**20  # bytes; an answer may carry a picture as base64
POLL_SECONDS, TRY_SECONDS = 0.5, 60.0
WHOLE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # how PNG, JPEG and WebP begin


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key along to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fal(line: Line, path: str, body: dict[str, Any]) -> bytes:
    """fal's queue: a submit gives addresses to poll; failure is a COMPLETED with an error."""
    told = line.send(path, body)
    say(f"fal took it as request {told['request_id']}")
    while (state := line.ask(told["status_url"]))["status"] != "COMPLETED":
        line.wait()
    if state.get("error"):
        fail(f"fal could not draw it: {state['error']}")
    answer = line.ask(told["response_url"])
    if any(answer.get("has_nsfw_concepts") or ()):
        fail("fal's safety checker refused the picture.")
    return line.picture(first(answer.get("images"))["url"])


def replicate(line: Line, path: str, body: dict[str, Any]) -> bytes:
    """Replicate: a prediction is polled until it has ended; some models answer with one address, others with a list."""
    told = line.send(path, body)
    say(f"Replicate took it as prediction {told['id']}")
    while told["status"] not in ("succeeded", "failed", "canceled", "aborted"):
        line.wait()
        told = line.ask(told["urls"]["get"])
    if told["status"] != "succeeded":
        fail(f"Replicate could not draw it: {told.get('error') or told['status']}")
    output = told.get("output")
    return line.picture(output if isinstance(output, str) else first(output))


def bfl(line: Line, path: str, body: dict[str, Any]) -> bytes:
    """Black Forest Labs: the address to poll leads to a host of a region. The picture's address lives for ten minutes."""
    told = line.send(path, body)
    say(f"Black Forest Labs took it as {told['id']}")
    while (state := line.ask(told["polling_url"]))["status"] != "Ready":
        if state["status"] in ("Error", "Failed", "Request Moderated", "Content Moderated", "Task not found"):
            fail(f"Black Forest Labs did not draw it: {state['status']} {state.get('details') or ''}")
        line.wait()
    return line.picture(state["result"]["sample"])


def at_once(line: Line, path: str, body: dict[str, Any]) -> bytes:
    """Together, and servers that speak OpenAI's images API: one call that answers when it has drawn."""
    made = first(line.send(path, body).get("data"))
    if made.get("b64_json"):
        return whole(base64.b64decode(made["b64_json"], validate=True))
    return line.picture(made["url"])


class Line:
    """A provider that is called with a key. base: its address. header: how it wants the key of the environment's `variable`. hosts:
    patterns of others that may see it. seconds: for all of it."""

    def __init__(self, base: str, header: tuple[str, str], variable: str, hosts: tuple[str, ...], seconds: float, needed: bool) -> None:
        key = os.environ.get(variable, "").strip()
        if needed and not key:
            fail(f"Set {variable} to your key first.")
        self.base, self.hosts = base.rstrip("/"), hosts
        self.headers = {"User-Agent": "contact-sheet-export", **({header[0]: header[1].format(key=key)} if key else {})}
        self.until = time.monotonic() + seconds
        self.opener = urllib.request.build_opener(NoRedirects)

    def send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Orders. Repeated only when the provider says that it is too much just now, for then nothing was begun."""
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), {**self.headers, "Content-Type": "application/json"})
        while True:
            try:
                return self.read(request, self.left())
            except urllib.error.HTTPError as error:
                with error:
                    words = error.read(2000).decode(errors="replace")
                    if error.code != 429:
                        fail(f"{urllib.parse.urlsplit(self.base).hostname} answered {error.code}: {words}")
                    self.wait(retry_after(error))
            except urllib.error.URLError as error:
                if isinstance(error.reason, ConnectionRefusedError):
                    fail(f"{self.base} does not answer.")
                fail(f"No answer came ({error.reason}). It may have been taken, and charged: look there before you send it again.")
            except (OSError, http.client.HTTPException, ValueError) as error:
                fail(f"No whole answer came ({error!r}). It may have been taken, and charged: look there before you send it again.")

    def ask(self, url: str) -> dict[str, Any]:
        """Polls, which costs nothing: again when no answer comes."""
        there, own = urllib.parse.urlsplit(url), urllib.parse.urlsplit(self.base)
        if there.hostname != own.hostname and not (
            there.scheme == "https" and any(fnmatch.fnmatchcase(there.hostname or "", one) for one in self.hosts)
        ):
            fail(f"The answer leads to {there.hostname}, which is not the provider's: the key is not sent there.")
        while True:
            try:
                return self.read(urllib.request.Request(url, headers=self.headers), min(TRY_SECONDS, self.left()))
            except urllib.error.HTTPError as error:
                with error:
                    words = error.read(2000)
                    if words.startswith(b"{") and b'"status"' in words and error.code >= 500:
                        return dict(json.loads(words))  # a task that failed may be told as a 503
                    if error.code != 429 and error.code < 500:
                        fail(f"{there.hostname} answered {error.code}: {words.decode(errors='replace')}")
                    self.wait(retry_after(error))
            except (OSError, http.client.HTTPException, ValueError):
                self.wait()

    def picture(self, url: str) -> bytes:
        """Fetched without the key, from wherever it lies."""
        if url.startswith("data:"):
            return whole(base64.b64decode(url.partition(",")[2], validate=True))
        for last in (False, False, True):
            try:
                with urllib.request.urlopen(url, timeout=min(TRY_SECONDS, self.left())) as answer:
                    data = answer.read(PICTURE_LIMIT + 1)
                    length = answer.headers.get("Content-Length")
                if length is None or len(data) == int(length):
                    return whole(data)
                raise ValueError("it was cut off")
            except (OSError, http.client.HTTPException, ValueError) as error:
                if last:
                    fail(f"The picture was drawn, but could not be fetched ({error}): {url}")
                self.wait()
        raise AssertionError

    def read(self, request: urllib.request.Request, seconds: float) -> dict[str, Any]:
        with self.opener.open(request, timeout=seconds) as answer:
            told = json.loads(answer.read(ANSWER_LIMIT))
        if not isinstance(told, dict):
            raise ValueError("the answer is not a JSON object")
        return told

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        time.sleep(min(seconds, self.left()))

    def left(self) -> float:
        if (seconds := self.until - time.monotonic()) <= 0:
            fail("It took longer than --timeout. It may still be drawn, and charged: look there before you send it again.")
        return seconds


def retry_after(error: urllib.error.HTTPError) -> float:
    told = error.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else 5.0


def first(made: Any) -> Any:
    """The first of a list: a success without a picture is none."""
    if not isinstance(made, list) or not made:
        fail("The provider says that all went well, but sent no picture.")
    return made[0]


def whole(data: bytes) -> bytes:
    if not data.startswith(WHOLE) or len(data) > PICTURE_LIMIT:
        raise ValueError("it is not a picture")
    return data


def filled(value: Any, seed: int | None, values: dict[str, str], here: Path) -> Any:
    """The body with a seed, with values in the places of its prompts, and with the pictures that lie beside this program."""
    if isinstance(value, list):
        return [filled(one, seed, values, here) for one in value]
    if not isinstance(value, dict):
        return value
    if "sha256" in value:
        data = (here / value["file"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != value["sha256"]:
            fail(f"{value['file']} is not the file that belongs beside this program.")
        return value["before"] + base64.b64encode(data).decode()
    done = {name: filled(one, seed, values, here) for name, one in value.items()}
    if values:
        done |= {name: string.Template(done[name]).substitute(values) for name in ("prompt", "negative_prompt") if name in done}
    return done | ({"seed": seed} if "seed" in done else {})


def read_flags(about: str, name: str, base: str, seed: int | None, values: dict[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--out", type=Path, default=Path(name), help="where to put the picture (default: %(default)s)")
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed, help="another seed draws another picture (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="for all of it (default: %(default)g)")
    parser.add_argument("--base-url", default=base, help="another address that speaks the same (default: %(default)s)")
    if values:
        known = ", ".join(f"{key}={value!r}" for key, value in values.items()).replace("%", "%%")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=f"a variable of the prompt: {known}")
    flags = parser.parse_args()
    for given in flags.set if values else ():
        key, sign, _ = given.partition("=")
        if not sign or key not in values:
            parser.error(f"--set {given}: write NAME=VALUE with one of {', '.join(values)}")
    flags.values = values | dict(given.split("=", 1) for given in getattr(flags, "set", ()))
    return flags


def say(words: str) -> None:
    print(words, file=sys.stderr)


def fail(words: str) -> Any:
    sys.exit(words)
