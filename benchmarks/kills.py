"""What is lost when processes are killed: `python -m benchmarks.kills [--quick] [--seed N]`.

Real `launch.py` processes with the scripted engine; the worker, the page or both get SIGKILL at 50 random moments (10 in --quick),
starting up included, while jobs are drawn and new ones are sent. At the end everything that was accepted must be there, once.
"""
from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.report import Report
from benchmarks.running import ROOT
from models.scripted import seed_picture

STEP_SECONDS = 0.03
AHEAD = 4  # jobs that are kept waiting
VANISH_SECONDS = 3.0  # a worker that lives longer than this without its page is an orphan
PATIENCE = 120.0
OPEN = """SELECT (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running'))
    + (SELECT count(*) FROM tasks WHERE state IN ('waiting', 'leased'))"""


class Studio:
    """`launch.py` on one port and one data folder, started again whenever it was killed; a thread keeps sending it jobs."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.page: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.accepted: list[int] = []
        self.sending = threading.Event()
        self._log = open(folder / "launch.log", "ab")  # noqa: SIM115 - closed by `end`
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._ended = False

    def start(self) -> None:
        flags = ["--no-open", "--port", str(self.port), "--data-dir", str(self.data), "--engine", f"scripted:{STEP_SECONDS}"]
        self.page = subprocess.Popen([sys.executable, str(ROOT / "launch.py"), *flags], cwd=ROOT, stdout=self._log, stderr=self._log)
        self.starts += 1
        if not self._sender.is_alive():
            self._sender.start()

    def workers(self) -> list[int]:
        return children(self.page.pid) if self.page else []

    def end(self) -> None:
        """As Ctrl+C would."""
        self._ended = True
        if self.page is not None:
            self.page.send_signal(signal.SIGINT)
            try:
                self.page.wait(20)
            except subprocess.TimeoutExpired:
                self.page.kill()
                self.page.wait()
        self._log.close()

    def count(self, query: str) -> int:
        """One number from the database, through a connection that is gone afterwards."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'studio.db'}?mode=ro", uri=True, timeout=5)) as db:
            return db.execute(query).fetchone()[0]

    def drawn(self) -> int:
        return self.count("SELECT count(*) FROM images WHERE state = 'drawn'")

    def _send(self) -> None:
        moments = random.Random(1)
        with httpx.Client(base_url=self.url, timeout=5) as http:
            while not self._ended:
                self.sending.wait(0.2)
                try:
                    if self.sending.is_set() and len(http.get("/api/jobs?active=true").json()["jobs"]) < AHEAD:
                        tier = moments.choice(({"tier": "preview"}, {"tier": "standard", "steps": 6}))
                        answer = http.post("/api/jobs", json={"prompt": "a red mug", "draft": moments.choice((3, 8, 20))} | tier)
                        answer.raise_for_status()
                        self.accepted.append(answer.json()["id"])
                        continue
                except httpx.TransportError:
                    pass  # it is being killed, which is what this is about: nothing was accepted
                time.sleep(0.05)


@dataclass
class Toll:
    """What the kills cost. Each list holds words on one finding."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    went_on: list[float] = field(default_factory=list)  # seconds from a kill to the next picture
    vanished: list[float] = field(default_factory=list)  # seconds a worker outlived its page


def kill_all_the_time(studio: Studio, times: int, chance: random.Random, toll: Toll) -> None:
    for number in range(times):
        if studio.page is None:
            studio.start()
        killed_at = time.monotonic()
        # Two of three while it works, the third wherever it happens to be, the start of both processes included.
        if chance.random() < 0.67:
            before = studio.drawn() if (studio.data / "studio.db").exists() and number else 0
            wait_for(lambda before=before: progressed(studio, before), "the work to go on")
            toll.went_on.append(time.monotonic() - killed_at)
            time.sleep(chance.uniform(0.0, 0.8))
        else:
            time.sleep(chance.uniform(0.0, 2.5))
        kill(studio, chance.choice(("worker", "page", "both")), chance, toll)


def kill(studio: Studio, kind: str, chance: random.Random, toll: Toll) -> None:
    assert studio.page is not None
    workers = studio.workers()
    toll.kinds[kind] += 1
    if kind != "page":
        victims = [*workers, studio.page.pid] if kind == "both" else workers
        chance.shuffle(victims)
        for victim in victims:
            send_kill(victim)
    if kind == "worker":
        return
    # Whatever it has started in this very moment counts too.
    workers = sorted({*workers, *studio.workers()})
    studio.page.kill()
    studio.page.wait()
    studio.page = None
    gone = time.monotonic()
    # A new page starts at once, as a person or a service manager would have it.
    studio.start()
    while left := [worker for worker in workers if is_worker(worker)]:
        if time.monotonic() - gone > VANISH_SECONDS:
            toll.orphans += [f"worker {worker}, {kind} killed" for worker in left]
            for worker in left:
                send_kill(worker)
            return
        time.sleep(0.005)
    toll.vanished.append(time.monotonic() - gone)


def progressed(studio: Studio, before: int) -> bool:
    assert studio.page is not None
    if studio.page.poll() is not None:
        raise RuntimeError(f"launch.py ended by itself with status {studio.page.returncode}: see launch.log")
    return (studio.data / "studio.db").exists() and tables_there(studio) and studio.drawn() > before


def tables_there(studio: Studio) -> bool:
    return bool(studio.count("SELECT count(*) FROM sqlite_master WHERE name = 'scores'"))


def take_stock(studio: Studio, toll: Toll) -> tuple[int, int]:
    """Compares what was accepted with what is there; (jobs, candidates)."""
    db = sqlite3.connect(studio.data / "studio.db")
    db.row_factory = sqlite3.Row
    jobs = {row["id"]: row for row in db.execute("SELECT * FROM jobs")}
    toll.lost += [f"job {job} was accepted and is not there" for job in studio.accepted if job not in jobs]
    toll.lost += [f"job {row['id']} is {row['state']}: {row['error']}" for row in jobs.values() if row["state"] != "done"]
    rows = db.execute("SELECT * FROM images ORDER BY job_id, number").fetchall()
    seen = Counter((row["job_id"], row["number"]) for row in rows)
    for job in jobs.values():
        for number in range(1, job["draft"] + 1):
            count = seen.pop((job["id"], number), 0)
            if count != 1:
                (toll.lost if count == 0 else toll.doubled).append(f"candidate {number} of job {job['id']} is there {count} times")
    toll.doubled += [f"candidate {number} of job {job} was not asked for" for job, number in sorted(set(seen) - followed(rows))]
    claimed = Counter(row["path"] for row in rows if row["path"])
    toll.doubled += [f"{path} belongs to {count} candidates" for path, count in claimed.items() if count > 1]
    for row in rows:
        name = f"candidate {row['number']} of job {row['job_id']}"
        path = studio.data / row["path"] if row["path"] else None
        if row["state"] != "drawn" or path is None or not path.exists():
            toll.lost.append(f"{name} is {row['state']}, its file {row['path']}")
            continue
        if not db.execute("SELECT 1 FROM scores WHERE image_id = ?", [row["id"]]).fetchone() or row["verdict"] is None:
            toll.lost.append(f"the scores or the verdict of {name}")
        if path.stat().st_mtime > datetime.fromisoformat(row["drawn"]).timestamp() + 0.05:
            toll.doubled.append(f"{name} was drawn again after it was recorded")
        if not is_whole(path, row["seed"]):
            toll.half.append(str(path))
    db.close()
    files = [path for part in ("outputs", "thumbs") for path in (studio.data / part).rglob("*") if path.is_file()]
    toll.half += [str(path) for path in files if path.suffix == ".tmp" or (path.suffix == ".webp" and not is_whole(path))]
    pictures = {path.relative_to(studio.data).as_posix() for path in files if path.suffix == ".png"}
    toll.doubled += [f"{path} belongs to nobody" for path in sorted(pictures - set(claimed))]
    return len(jobs), len(rows)


def followed(rows: Sequence[sqlite3.Row]) -> set[tuple[int, int]]:
    """Job and number of what a ladder added to what was asked for: finals, one a draft, and drafts of later rounds, one a seed."""
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    jobs = {row["id"]: row["job_id"] for row in rows if row["stage"] == "draft"}
    for row in rows:
        place = (row["job_id"], row["number"])
        if row["stage"] == "final" and jobs.get(row["parent"]) == row["job_id"]:
            found.setdefault(("final", row["parent"]), place)
        elif row["round"]:
            found.setdefault((row["job_id"], row["stage"], row["seed"]), place)
    return set(found.values())


def is_whole(path: Path, seed: int | None = None) -> bool:
    """Whether a picture can be read to its end, and is the one of its seed."""
    try:
        with Image.open(path) as image:
            image.load()
            return seed is None or image.tobytes() == seed_picture(seed, image.width, image.height).tobytes()
    except (OSError, SyntaxError):
        return False


def children(parent: int) -> list[int]:
    """Process ids of the workers that `parent` started."""
    return [pid for pid, ppid in processes() if ppid == parent and is_worker(pid)]


def processes() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])


def is_worker(pid: int) -> bool:
    """False also for one that has ended and whom nobody has asked for its status yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and b"studio.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def send_kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for(met: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def main() -> None:
    report = Report.start("kills", "Kills the page, the worker or both at random moments.", ("--seed", {"type": int, "default": 1}))
    times = 10 if report.args.quick else 50
    names = ("kills.lost", "kills.doubled", "kills.orphans", "kills.half_files")
    if not Path("/proc/self/stat").exists():
        report.row("this benchmark reads /proc, so it needs Linux")
        for name in names:
            report.figure(name, None, "count", "=", 0)
        report.finish()
        return
    toll = Toll()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        studio = Studio(Path(folder))
        try:
            studio.start()
            studio.sending.set()
            kill_all_the_time(studio, times, random.Random(report.args.seed), toll)
            if studio.page is None:
                studio.start()
            wait_for(lambda: studio.drawn() > 0, "the first picture")
            studio.sending.clear()
            wait_for(lambda: studio.count(OPEN) == 0, "the queue to be empty")
            workers = studio.workers()
        finally:
            studio.end()
        toll.orphans += [f"worker {worker} after the end" for worker in workers if is_worker(worker)]
        jobs, candidates = take_stock(studio, toll)

    report.row(f"{times} kills, seed {report.args.seed}", ", ".join(f"{kind} {count}" for kind, count in sorted(toll.kinds.items())),
               f"{time.monotonic() - started:.0f} s, {studio.starts} starts of the page")  # fmt: skip
    report.row("accepted", f"{len(studio.accepted)} jobs", f"there: {jobs} jobs, {candidates} candidates")
    if toll.went_on:
        report.row("kill to next picture", f"median {statistics.median(toll.went_on):.2f} s", f"max {max(toll.went_on):.2f} s")
    if toll.vanished:
        milliseconds = [1000 * seconds for seconds in toll.vanished]
        report.row("worker outlives its page", f"median {statistics.median(milliseconds):.0f} ms", f"max {max(milliseconds):.0f} ms")
    found = (toll.lost, toll.doubled, toll.orphans, toll.half)
    for name, what in zip(names, found, strict=True):
        for words in what[:10]:
            report.row(name.removeprefix("kills."), words)
        report.figure(name, len(what), "count", "=", 0)
    report.finish()


if __name__ == "__main__":
    main()
