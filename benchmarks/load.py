"""A day with twenty people in two minutes: `python -m benchmarks.load [--quick]`.

Twenty people log in, submit, watch, look through their history and change their minds over HTTP, each with an event stream open, while
the scripted engine is never idle. Every third of them is greedy and keeps ten times as many jobs waiting. A second part has fifty
browsers watch one job with all its previews and takes the processor time of the page's process.
"""
from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import httpx

from benchmarks.report import Report
from benchmarks.running import studio

PASSWORD = "tall-ship-of-amber-7"
PEOPLE = [f"person{number:02d}" for number in range(1, 21)]
WATCHERS = 50
PATIENT, GREEDY = 3, 30  # jobs that one keeps waiting
FIGURES = (
    ("load.errors", "count", "=", 0), ("load.fairness", "ratio", "<=", 1.10),
    ("load.p95.ms", "ms", "<=", 300), ("load.growth.megabytes", "MB", "<=", 20),
)  # fmt: skip
THINK_SECONDS = 0.7  # between two actions of one person, on average


@dataclass
class Tally:
    """What the people saw. seconds: of each action, by its name."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)  # pictures announced, by person
    ended: bool = False


class Person:
    """One of them, with a browser's two connections: one that asks, one that listens."""

    def __init__(self, name: str, url: str, cookie: str, tally: Tally, number: int) -> None:
        self.name, self.tally = name, tally
        self.http = httpx.AsyncClient(base_url=url, timeout=30, headers={"Cookie": cookie, "Origin": url})
        self.chance = random.Random(number)
        self.backlog = GREEDY if number % 3 == 0 else PATIENT
        self.open: list[int] = []
        self.images: list[int] = []

    async def live(self) -> None:
        watching = asyncio.create_task(self.watch())
        await self.fill()
        acts = [self.jobs, self.job, self.history, self.picture, self.queue, self.keep, self.change]
        while not self.tally.ended:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * THINK_SECONDS)
            await self.chance.choice(acts)()
            await self.fill()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await self.http.aclose()

    async def fill(self) -> None:
        """Sends jobs until as many wait as this person likes."""
        answer = await self.ask("jobs", "GET", "/api/jobs?active=true")
        self.open = [job["id"] for job in (answer or {"jobs": []})["jobs"]]
        while len(self.open) < self.backlog and not self.tally.ended:
            job = await self.ask("submit", "POST", "/api/jobs", {"prompt": f"a red mug of {self.name}", "draft": 1})
            if job is None:
                return
            self.open.append(job["id"])

    async def jobs(self) -> None:
        answer = await self.ask("jobs", "GET", "/api/jobs")
        if answer and any(job["person"] != self.name for job in answer["jobs"]):
            self.tally.errors.append(f"{self.name} was shown another person's job")

    async def job(self) -> None:
        if self.open:
            await self.ask("job", "GET", f"/api/jobs/{self.chance.choice(self.open)}")

    async def history(self) -> None:
        answer = await self.ask("history", "GET", "/api/history?limit=60")
        self.images = [image["id"] for image in (answer or {"images": []})["images"]]

    async def picture(self) -> None:
        if self.images:
            await self.ask("thumb", "GET", f"/thumb/{self.chance.choice(self.images)}.webp")

    async def queue(self) -> None:
        await self.ask("queue", "GET", "/api/queue")

    async def keep(self) -> None:
        if self.images:
            choice = {"keep": self.chance.choice((True, None))}
            await self.ask("keep", "POST", f"/api/images/{self.chance.choice(self.images)}/keep", choice)

    async def change(self) -> None:
        """Moves the job that is last in one's line up; it may have begun meanwhile."""
        if self.open:
            await self.ask("reorder", "POST", f"/api/jobs/{self.open[0]}/up", {}, fine=(409,))

    async def ask(self, what: str, method: str, path: str, body: dict | None = None, fine: tuple[int, ...] = ()) -> dict | None:
        started = time.monotonic()
        try:
            answer = await self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            if not self.tally.ended:
                self.tally.errors.append(f"{method} {path}: {type(error).__name__}")
            return None
        self.tally.seconds.setdefault(what, []).append(time.monotonic() - started)
        if answer.status_code >= 400:
            if answer.status_code not in fine:
                self.tally.errors.append(f"{method} {path}: {answer.status_code} {answer.text[:120]}")
            return None
        return answer.json() if answer.headers["content-type"].startswith("application/json") else None

    async def watch(self) -> None:
        """Listens as a browser does. A stream that ends by itself is an error."""
        try:
            async with self.http.stream("GET", "/api/events", timeout=None) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: {\"number\""):
                        self.tally.events[self.name] += 1
        except httpx.HTTPError as error:
            self.tally.errors.append(f"the stream of {self.name}: {type(error).__name__}")
            return
        if not self.tally.ended:
            self.tally.errors.append(f"the stream of {self.name} ended")


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """`launch.py` with a login, and everybody logged in: (process id, address, each one's cookie)."""
    listed = folder / "people"
    listed.write_text("\n".join([f"boss:{PASSWORD}:admin", *(f"{name}:{PASSWORD}" for name in PEOPLE)]) + "\n")
    listed.chmod(0o600)
    with studio(folder / "data", "--engine", "scripted:0.0", "--auth-file", str(listed)) as running:
        cookies = {name: log_in(running.url, name) for name in PEOPLE}
        with httpx.Client(base_url=running.url, timeout=30, headers={"Cookie": cookies[PEOPLE[0]]}) as http:
            end = time.monotonic() + 120
            while http.get("/api/studio").json()["device"]["state"] != "ready":
                if time.monotonic() > end:
                    raise TimeoutError("the worker did not become ready")
                time.sleep(0.1)
        yield running.process.pid, running.url, cookies


def log_in(url: str, name: str) -> str:
    with httpx.Client(base_url=url, timeout=30, headers={"Origin": url}) as http:
        answer = http.post("/login", data={"name": name, "password": PASSWORD})
        if not http.cookies:
            raise RuntimeError(f"{name} cannot log in: {answer.status_code}")
        return "; ".join(f"{cookie}={value}" for cookie, value in http.cookies.items())


async def twenty_people(
    pid: int, url: str, cookies: dict[str, str], seconds: float, warm: float
) -> tuple[Tally, list[tuple[float, float]], tuple[float, float]]:
    """What they saw, the page's memory (moment, MB) over time, and the window in unix seconds."""
    tally, memory = Tally(), []
    people = [asyncio.create_task(Person(name, url, cookies[name], tally, number).live()) for number, name in enumerate(PEOPLE)]
    await asyncio.sleep(warm)
    for times in tally.seconds.values():
        times.clear()
    begun, end = time.time(), time.monotonic() + seconds
    while time.monotonic() < end:
        memory.append((time.time() - begun, megabytes(pid)))
        await asyncio.sleep(1)
    window = (begun, time.time())
    tally.ended = True
    await asyncio.gather(*people)
    return tally, memory, window


def shares(database: Path, window: tuple[float, float]) -> Counter[str]:
    """Pictures drawn within the window, by person."""
    first, last = (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) for moment in window)
    db = sqlite3.connect(database)
    rows = db.execute("SELECT person, count(*) FROM images WHERE drawn >= ? AND drawn < ? GROUP BY person", [first, last]).fetchall()
    db.close()
    return Counter(dict.fromkeys(PEOPLE, 0) | dict(rows))


def fifty_browsers(seconds: float) -> tuple[float, float, float]:
    """Cores that the page's process uses while fifty watch; the same with nobody watching; KB a second that each gets."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder, studio(Path(folder), "--engine", "scripted:0.1") as running:
        running.wait_until_ready()
        job = running.submit(prompt="a red mug", draft=240, steps=40)  # two minutes; it is cancelled
        pid = running.process.pid
        alone = cores(pid, lambda: time.sleep(seconds))
        got = asyncio.run(watch_for(running.url, pid, seconds))
        running.http.post(f"/api/jobs/{job}/cancel", json={})
        return got[0], alone, got[1]


async def watch_for(url: str, pid: int, seconds: float) -> tuple[float, float]:
    address = urlparse(url)
    request = f"GET /api/events HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()
    read = 0

    async def browser() -> None:
        nonlocal read
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        while data := await reader.read(65536):
            read += len(data)

    browsers = [asyncio.create_task(browser()) for _ in range(WATCHERS)]
    await asyncio.sleep(1)
    read, used, started = 0, cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(seconds)
    wall = time.monotonic() - started
    result = (cpu_seconds(pid) - used) / wall, read / WATCHERS / 1024 / wall
    if any(task.done() for task in browsers) or not read:
        raise RuntimeError("a browser was cut off")
    for task in browsers:
        task.cancel()
    await asyncio.gather(*browsers, return_exceptions=True)
    return result


def cores(pid: int, during: Callable[[], object]) -> float:
    used, started = cpu_seconds(pid), time.monotonic()
    during()
    return (cpu_seconds(pid) - used) / (time.monotonic() - started)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    report = Report.start("load", "Twenty people submit and watch; fifty browsers watch one job.")
    if not Path("/proc/self/stat").exists():
        report.row("this benchmark reads /proc, so it needs Linux")
        for name, unit, operator, bound in FIGURES:
            report.figure(name, None, unit, operator, bound)
        report.finish()
        return
    seconds, warm = (20.0, 8.0) if report.args.quick else (120.0, 15.0)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        data = Path(folder) / "data"
        with serving(Path(folder)) as (pid, url, cookies):
            tally, memory, window = asyncio.run(twenty_people(pid, url, cookies, seconds, warm))
        drawn = shares(data / "studio.db", window)

    every = sorted(value for values in tally.seconds.values() for value in values)
    for what, values in sorted(tally.seconds.items()):
        if len(values) >= 2:
            ranked = sorted(values)
            middle, high, worst = (1000 * value for value in (statistics.median(ranked), at(ranked, 0.95), ranked[-1]))
            report.row(what, f"{len(values)} times", f"median {middle:.0f} ms", f"p95 {high:.0f} ms", f"max {worst:.0f} ms")
    least, most = min(drawn.values()), max(drawn.values())
    report.row("pictures a person", f"{least} to {most}", f"{sum(drawn.values())} in all, {sum(drawn.values()) / seconds:.1f} a second")
    report.row("pictures announced", f"{min(tally.events[name] for name in PEOPLE)} to {max(tally.events.values(), default=0)} a person")
    early = statistics.fmean(size for moment, size in memory if 0.2 * seconds <= moment < 0.4 * seconds)
    late = statistics.fmean(size for moment, size in memory if moment >= 0.8 * seconds)
    report.row("memory of the page", f"{early:.0f} MB early, {late:.0f} MB late")
    watching, alone, kilobytes = fifty_browsers(6.0 if report.args.quick else 15.0)
    rate = f"{kilobytes:.0f} KB/s each"
    report.row("50 watching browsers, cores", f"{watching:.2f} (aim < 1)", f"{alone:.2f} with nobody watching", rate)
    for words in tally.errors[:10]:
        report.row("error", words)
    values = (len(tally.errors), most / least if least else float("inf"), 1000 * at(every, 0.95), late - early)
    for (name, unit, operator, bound), value in zip(FIGURES, values, strict=True):
        report.figure(name, value, unit, operator, bound)
    report.finish()


def at(ranked: list[float], share: float) -> float:
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


if __name__ == "__main__":
    main()
