"""Downloads from the Hugging Face hub: `python -m models.hub`, a process of its own that one order on its standard input sets to work.

It is the only part of the studio that opens the network, and it is started by a click. It answers in lines of JSON on its standard
output, and ends when its standard input does; whatever had arrived by then stays, and the same order goes on from there.

huggingface_hub lists, authorises, transfers and lays out its cache. The one thing done here is to keep what arrived: from 2.x on its
own downloads write to a file of random name that is deleted on any failure, so 9 GB of a 10 GB file would come twice. Here each
file grows as `blobs/ETAG.part.incomplete` (or NAME.part in a plain folder), goes on where it ended, is checked against its SHA-256,
and is then handed to huggingface_hub, which finds the blob in its place and links it.
"""
from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from models.arriving import Part, Progress, Stopped, Tell
from models.refusals import Refused, endpoint, refusal

log = logging.getLogger("models.hub")

# What diffusers reads of a repository: nothing at its top but the index and the licence, and of each part the safetensors alone.
PARTS = ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae")
KINDS = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
ALLOW = ("model_index.json", "LICENSE*", *(f"{part}/{kind}" for part in PARTS for kind in KINDS))
IGNORE = ("*.fp16.safetensors", "*.fp16.safetensors.index.json", "*.bf16.safetensors", "*/flax_*", "*/openvino_*")

WEIGHTS = (".safetensors", ".onnx", ".pth", ".pt", ".bin")

FILES_AT_ONCE = 4
CHUNK = 2**18  # bytes: at most this much of a file comes again after a lost connection
RESERVE = 2 * 2**30  # bytes left free on the disk
TRIES = 3  # addresses of a file that may run out before the download fails


@dataclass(frozen=True)
class Order:
    """repo, revision: of the hub. commit: what the revision was when the download began, "" at first. cache: Hugging Face's cache.
    folder: a plain folder to fill instead, or "". without: parts that are here already as single files. token: "" for Hugging Face's
    own. reserve: bytes to leave free. files: those that are wanted, () for what diffusers reads."""

    repo: str
    revision: str
    commit: str
    cache: str
    folder: str = ""
    without: tuple[str, ...] = ()
    token: str = ""
    reserve: int = RESERVE
    files: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        data = json.loads(line)
        return cls(**data | {name: tuple(data[name]) for name in ("without", "files")})


@dataclass(frozen=True)
class Remote:
    """A file of the repository. sha256: "" where git keeps the file itself."""

    path: str
    size: int
    sha256: str

    @property
    def weights(self) -> bool:
        return self.path.endswith(WEIGHTS)


def wanted(files: Iterable[Remote], without: Iterable[str] = ()) -> list[Remote]:
    """Those that diffusers reads, small ones first; of parts in `without` the weights stay away."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    ignore = [*IGNORE, *(f"{part}/*.safetensors*" for part in without)]
    chosen = filter_repo_objects(files, allow_patterns=list(ALLOW), ignore_patterns=ignore, key=lambda file: file.path)
    return sorted(chosen, key=lambda file: (file.weights, file.path))


class Download:
    """One order at work. `run` returns the folder of the whole model; raises Refused. It may be run again after any failure."""

    def __init__(self, order: Order, tell: Tell) -> None:
        self.order, self._tell = order, tell
        self._cached = Path(order.cache) / ("models--" + order.repo.replace("/", "--"))
        self._commit = order.commit
        self._progress = Progress()
        self._failed = threading.Event()

    def run(self) -> Path:
        files = self._plan()
        with self._progress.told(self._tell):
            # A model counts as whole once its weights are there, so what is small comes first.
            for stage in (False, True):
                self._fetch_all([file for file in files if file.weights == stage])
        return self._finish()

    # What there is to do.

    def _plan(self) -> list[Remote]:
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        api = HfApi(token=self.order.token or None)
        try:
            if not self._commit:
                info = api.model_info(self.order.repo, revision=self.order.revision)
                self._commit = str(info.sha)
            tree = api.list_repo_tree(self.order.repo, recursive=True, revision=self._commit)
            files = [Remote(one.path, one.size, one.lfs.sha256 if one.lfs else "") for one in tree if isinstance(one, RepoFile)]
        except Exception as error:
            raise self._refusal(error) from error
        chosen = self._named(files) if self.order.files else self._model(files)
        total = sum(file.size for file in chosen)
        have = sum(self._have(file) for file in chosen)
        self._progress.begin(total, have)
        self._tell({"event": "plan", "commit": self._commit, "total": total, "done": have, "files": len(chosen)})
        self._check_space(total - have)
        return chosen

    def _model(self, files: list[Remote]) -> list[Remote]:
        chosen = wanted(files, self.order.without)
        if not any(file.path == "model_index.json" for file in chosen):
            raise Refused("gone", f"{self.order.repo} holds no model in diffusers' layout.", "It has no model_index.json.")
        return chosen

    def _named(self, files: list[Remote]) -> list[Remote]:
        lacking = sorted(set(self.order.files) - {file.path for file in files})
        if lacking:
            raise Refused("gone", f"{self.order.repo} does not hold {', '.join(lacking)}.", f"Looked for at {self._commit}.")
        return sorted((file for file in files if file.path in self.order.files), key=lambda file: (file.weights, file.path))

    def _check_space(self, needed: int) -> None:
        place = Path(self.order.folder or self.order.cache)
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed and free < needed + self.order.reserve:
            raise Refused(
                "space",
                "There is not enough room on the disk.",
                f"{_gb(needed)} are still to come and {_gb(self.order.reserve)} should stay free; {_gb(free)} are free at {place}.",
                "Make room, then resume.",
            )

    def _have(self, file: Remote) -> int:
        """Bytes of it that are here."""
        if self._target(file).exists():
            return file.size
        part = self._part(file, file.sha256)
        return min(file.size, part.stat().st_size) if part.exists() else 0

    # Files.

    def _target(self, file: Remote) -> Path:
        root = Path(self.order.folder) if self.order.folder else self._cached / "snapshots" / self._commit
        return root / file.path

    def _part(self, file: Remote, etag: str) -> Path:
        if self.order.folder:
            target = self._target(file)
            return target.with_name(f"{target.name}.part")
        # ".incomplete" is what Hugging Face's own tools know as left over and clear away.
        return self._cached / "blobs" / f"{etag or file.path.replace('/', '--')}.part.incomplete"

    def _fetch_all(self, files: list[Remote]) -> None:
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file") as pool:
            futures = [pool.submit(self._fetch, file) for file in files]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [error for future in done if (error := future.exception())]
            if failed:
                self._failed.set()
                for future in waiting:
                    future.cancel()
        if failed:
            raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])

    def _fetch(self, file: Remote) -> None:
        if self._target(file).exists():
            return
        if self._failed.is_set():
            raise Stopped
        try:
            self._transfer(file)
        except (Refused, Stopped):
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _transfer(self, file: Remote) -> None:
        """Brings one file to its place; where an address runs out half way (they are signed for an hour) it asks for another."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        url = hf_hub_url(self.order.repo, file.path, revision=self._commit)
        for left in reversed(range(TRIES)):
            about = get_hf_file_metadata(url, token=self.order.token or None, retry_on_errors=True)
            etag = about.etag or ""
            part = self._part(file, etag if file.sha256 else "")
            blob = self._target(file) if self.order.folder else self._cached / "blobs" / etag
            # The same lock as huggingface_hub's: another program that fetches the same file waits, and then finds it.
            lock = part.with_suffix(".lock") if self.order.folder else self._lock(etag)
            for place in (part, blob, lock):
                place.parent.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(lock):
                try:
                    if blob.exists():
                        self._progress.add(file.size)
                    else:
                        self._receive(file, about.location, part)
                        os.replace(part, blob)
                except HfHubHTTPError as error:
                    if left and error.response.status_code in (401, 403) and about.location != url:
                        continue
                    raise
            if self.order.folder:
                lock.unlink(missing_ok=True)
            else:
                hf_hub_download(
                    self.order.repo, file.path, revision=self._commit, cache_dir=self.order.cache, token=self.order.token or None
                )
            return

    def _receive(self, file: Remote, location: str, part: Path) -> None:
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        ours = urlsplit(location).netloc == urlsplit(endpoint()).netloc
        # A token is for the hub; the store that it points to has its own signature in the address.
        headers = build_hf_headers(token=(self.order.token or None) if ours else False)
        if part.exists() and part.stat().st_size > file.size:
            part.unlink()
        with open(part, "ab") as opened:
            grown = Part(opened, part, opened.tell(), self._progress, self._failed)
            # A file object as far as http_get cares: it tells, seeks, truncates and writes.
            http_get(location, cast(BinaryIO, grown), resume_size=opened.tell(), headers=headers, expected_size=file.size)
            digest = grown.digest()
        if file.sha256 and digest != file.sha256:
            self._progress.add(-file.size)
            part.unlink()
            raise Refused("damaged", f"{file.path} arrived damaged.", "It is not what the hub says it is.", "Resume: it is fetched again.")

    def _lock(self, etag: str) -> Path:
        return Path(self.order.cache) / ".locks" / self._cached.name / f"{etag}.lock"

    def _refusal(self, error: Exception) -> Refused:
        return refusal(error, self.order.repo, self._commit or self.order.revision, bool(self.order.token))

    def _finish(self) -> Path:
        if self.order.folder:
            folder = Path(self.order.folder)
            note = {"repo": self.order.repo, "revision": self.order.revision, "commit": self._commit}
            (folder / "contact-sheet.json").write_text(json.dumps(note), encoding="utf-8")
            return folder
        # What huggingface_hub does for a branch: others who ask for it by name find this commit.
        ref = self._cached / "refs" / self.order.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        if self.order.revision != self._commit:
            ref.write_text(self._commit, encoding="utf-8")
        return self._cached / "snapshots" / self._commit


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def main() -> None:
    """Fulfils the order on standard input. Lines out: plan, progress, and at last {"event": "done", "folder"} or {"event": "failed"}."""
    os.environ.update(HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    order = Order.from_line(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    lock = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock:
            print(json.dumps(message), flush=True)

    from huggingface_hub import constants

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # of 10 MiB: a chunk that is cut off comes again
    try:
        folder = Download(order, tell).run()
    except Refused as error:
        log.warning("%s: %s", order.repo, error)
        tell({"event": "failed", "kind": error.kind, **error.as_dict()})
        return
    tell({"event": "done", "folder": str(folder)})


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
