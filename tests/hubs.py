"""A hub on the loopback that speaks as much of Hugging Face's protocol as a download needs, and misbehaves on demand.

Model info, tree, resolve with ETag and commit; large files lie with a second server, a store for signed addresses, as the real ones do.
"""
from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = 20_000  # bytes from which git hands a file over to the store
BLOCK = 2**16


@dataclass
class Repo:
    """files: path -> content. tokens: those that are let in, None for anybody. known: tokens of accounts that were not let in."""

    commit: str
    files: dict[str, bytes]
    tokens: set[str] | None = None
    known: set[str] = field(default_factory=set)

    @classmethod
    def of_folder(cls, folder: Path, more: dict[str, bytes] | None = None) -> Repo:
        files = {str(path.relative_to(folder).as_posix()): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return cls(hashlib.sha1(str(folder).encode()).hexdigest(), files | (more or {}))


class Hub:
    """address: for HF_ENDPOINT. sent: bytes of content by path. starts: where each answer began. seen: (server, method, path, token)
    of every request.

    drop: after so many bytes of its content a file's connection is cut, once for every entry. rate: bytes a second. spent: a signed
    address is refused from its second request on.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.sent: Counter[str] = Counter()
        self.starts: dict[str, list[int]] = {}
        self.seen: list[tuple[str, str, str, str]] = []
        self.drop: dict[str, list[int]] = {}
        self.rate: float | None = None
        self.spent = False
        self.damaged: set[str] = set()
        self.used: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.hub = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, "hub"))
        self.store = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, "store"))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.hub.server_address[1]}"

    @property
    def store_address(self) -> str:
        return f"http://127.0.0.1:{self.store.server_address[1]}"

    def requests(self, server: str, method: str = "GET") -> list[str]:
        return [path for where, how, path, _ in self.seen if where == server and how == method]


@contextmanager
def hub() -> Iterator[Hub]:
    made = Hub()
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in (made.hub, made.store)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for server in (made.hub, made.store):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def _handler(hub: Hub, server: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            path = unquote(urlsplit(self.path).path)
            with hub.lock:
                hub.seen.append((server, self.command, path, token))
            if server == "store":
                self.stored(path)
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path):
                self.listing(*found.groups())
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self.resolve(*found.groups(), token, body)
            else:
                self.say(404, {}, b"")

        def listing(self, name: str, kind: str, revision: str) -> None:
            repo = hub.repos.get(name)
            if repo is None:
                self.say(401, {"X-Error-Message": "Invalid username or password."}, b'{"error":"Invalid username or password."}')
            elif revision not in ("main", repo.commit):
                self.say(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
            elif kind == "revision":
                self.json({"id": name, "modelId": name, "sha": repo.commit, "siblings": [], "gated": "auto" if repo.tokens else False})
            else:
                self.json([self.entry(path, data) for path, data in sorted(repo.files.items())])

        def entry(self, path: str, data: bytes) -> dict:
            found = {"type": "file", "path": path, "size": len(data), "oid": git_id(data)}
            if len(data) >= LARGE:
                found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            return found

        def resolve(self, name: str, revision: str, path: str, token: str, body: bool) -> None:
            repo = hub.repos[name]
            if repo.tokens is not None and token not in repo.tokens:
                page = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to model {name} is restricted."}
                if token and token not in repo.known:
                    self.say(401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}")
                else:
                    self.say(403 if token else 401, page, b"{}")
                return
            data = repo.files.get(path)
            if data is None:
                self.say(404, {"X-Error-Code": "EntryNotFound"}, b"")
            elif len(data) >= LARGE:
                digest = hashlib.sha256(data).hexdigest()
                with hub.lock:
                    hub.used["signatures"] += 1
                    signature = hub.used["signatures"]
                headers = {
                    "X-Repo-Commit": repo.commit, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)),
                    "Location": f"{hub.store_address}/{name}/{signature}/{path}", "ETag": '"of-the-pointer"',
                }  # fmt: skip
                self.say(302, headers, b"")
            else:
                self.content(path, data, {"X-Repo-Commit": repo.commit, "ETag": f'"{git_id(data)}"'}, body)

        def stored(self, path: str) -> None:
            owner, name, signature, inner = path.lstrip("/").split("/", 3)
            with hub.lock:
                hub.used[signature] += 1
                first = hub.used[signature] == 1
            if hub.spent and not first:
                self.say(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
                return
            data = hub.repos[f"{owner}/{name}"].files[inner]
            if inner in hub.damaged:
                data = bytes([data[0] ^ 255]) + data[1:]
            self.content(inner, data, {"ETag": '"of-the-store"'}, True)

        def content(self, path: str, data: bytes, headers: dict[str, str], body: bool) -> None:
            start = 0
            if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or ""):
                start = int(wanted[1])
                headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            self.send_response(206 if wanted else 200)
            for key, value in (headers | {"Content-Length": str(len(data) - start), "Accept-Ranges": "bytes"}).items():
                self.send_header(key, value)
            self.end_headers()
            if not body:
                return
            with hub.lock:
                hub.starts.setdefault(path, []).append(start)
            cut = hub.drop[path].pop(0) if hub.drop.get(path) else len(data) - start
            end = min(len(data), start + cut)
            try:
                while start < end:
                    block = data[start : min(end, start + BLOCK)]
                    self.wfile.write(block)
                    start += len(block)
                    with hub.lock:
                        hub.sent[path] += len(block)
                    if hub.rate:
                        time.sleep(len(block) / hub.rate)
            except (BrokenPipeError, ConnectionResetError):  # the other end was killed, which is what several tests do
                self.close_connection = True
            if end < len(data):
                self.close_connection = True

        def json(self, value: object) -> None:
            self.say(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

        def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
