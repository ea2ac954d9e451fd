"""What a batch loses when processes are killed: `python -m benchmarks.batch [--quick] [--seed N]`.

A catalogue of 1,000 rows (150 in --quick) goes over HTTP into a real `launch.py` with the scripted engine, while the worker, the page or
both get SIGKILL five times, at random moments of the work. At the end every row must have been drawn exactly once. What was asked for is
known from the catalogue alone: each row has a prompt of its own, which is looked for among the jobs, the pictures and their files.
"""
from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.kills import Studio, Toll, is_whole, kill, wait_for
from benchmarks.report import Report

KILLS = 5
PATIENCE = 1200.0
ENDED = "SELECT count(*) FROM batch_rows WHERE state NOT IN ('waiting', 'open')"
LEFT = "SELECT count(*) FROM batch_rows WHERE state IN ('waiting', 'open')"
COLOURS, THINGS = ("red", "blue", "green", "white", "black"), ("mug", "bowl", "bottle", "box", "vase")


def prompts_of(rows: int) -> list[str]:
    return [f"a {COLOURS[number % 5]} {THINGS[number // 5 % 5]}, article {number}" for number in range(1, rows + 1)]


def send(studio: Studio, prompts: list[str], report: Report) -> None:
    """Brings the catalogue, has it checked and starts the batch."""
    table = "\n".join(["article,text", *(f'{number},"{prompt}"' for number, prompt in enumerate(prompts, start=1))])
    with httpx.Client(base_url=studio.url, timeout=60, headers={"Origin": studio.url}) as http:
        wait_for(lambda: answers(http), "the studio to answer")
        raw = {"Content-Type": "application/octet-stream"}
        brought = http.post("/api/batches/catalogues", content=table.encode(), headers=raw, params={"name": "articles.csv"})
        brought.raise_for_status()
        asked = {"catalogue": brought.json()["id"], "columns": {"prompt": "text"}, "fields": {"draft": 1, "keep": 1}, "label": "article"}
        started = time.monotonic()
        outlook = http.post("/api/batches/check", json=asked).raise_for_status().json()
        report.row("checked", f"{outlook['good']} rows good, {outlook['bad']} not", f"{time.monotonic() - started:.2f} s")
        http.post("/api/batches", json=asked).raise_for_status()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/api/studio").status_code == 200
    except httpx.TransportError:
        return False


def kill_on_the_way(studio: Studio, rows: int, chance: random.Random, toll: Toll) -> None:
    """Five kills, each at a random moment of its fifth of the work."""
    kinds = ["page", "worker", "both", "page", "worker"]
    chance.shuffle(kinds)
    for place, kind in enumerate(kinds):
        moment = int(rows * (place + chance.uniform(0.1, 0.9)) / KILLS)
        wait_for(lambda moment=moment: studio.count(ENDED) >= moment, f"row {moment} to end", PATIENCE)
        time.sleep(chance.uniform(0.0, 0.4))
        before = studio.count(ENDED)
        killed = time.monotonic()
        kill(studio, kind, chance, toll)
        wait_for(lambda before=before: studio.count(ENDED) > before, "the batch to go on", PATIENCE)
        toll.went_on.append(time.monotonic() - killed)


def take_stock(studio: Studio, prompts: list[str], toll: Toll) -> None:
    db = sqlite3.connect(studio.data / "studio.db")
    db.row_factory = sqlite3.Row
    select = "SELECT jobs.prompt, images.path, images.seed FROM images JOIN jobs ON jobs.id = job_id WHERE images.state = 'drawn'"
    drawn = db.execute(select).fetchall()
    asked, found = Counter(row["prompt"] for row in db.execute("SELECT prompt FROM jobs")), Counter(row["prompt"] for row in drawn)
    whole = {row["prompt"] for row in drawn if is_whole(studio.data / row["path"], row["seed"])}
    ends = Counter(row["state"] for row in db.execute("SELECT state FROM batch_rows"))
    for prompt in prompts:
        if prompt not in whole:
            toll.lost.append(f'no picture of "{prompt}"')
        if asked[prompt] > 1 or found[prompt] > 1:
            toll.doubled.append(f'"{prompt}" was queued {asked[prompt]} times and drawn {found[prompt]} times')
    toll.lost += [f"{count} rows are {state}" for state, count in ends.items() if state not in ("done", "short")]
    toll.doubled += [f'"{prompt}" was never asked for' for prompt in asked if prompt not in set(prompts)]
    files = {path.relative_to(studio.data).as_posix() for path in (studio.data / "outputs").rglob("*.png")}
    toll.doubled += [f"{path} belongs to no row" for path in sorted(files - {row["path"] for row in drawn})]
    db.close()


def main() -> None:
    report = Report.start("batch", "Kills the page, the worker or both while a batch runs.", ("--seed", {"type": int, "default": 1}))
    rows = 150 if report.args.quick else 1000
    names = ("batch.rows.lost", "batch.rows.doubled")
    if not Path("/proc/self/stat").exists():
        report.row("this benchmark reads /proc, so it needs Linux")
        for name in names:
            report.figure(name, None, "count", "=", 0)
        report.finish()
        return
    toll, prompts = Toll(), prompts_of(rows)
    with tempfile.TemporaryDirectory(prefix="batch-") as folder:
        studio = Studio(Path(folder))
        try:
            studio.start()
            send(studio, prompts, report)
            started = time.monotonic()
            kill_on_the_way(studio, rows, random.Random(report.args.seed), toll)
            wait_for(lambda: studio.count(LEFT) == 0, "the batch to end", PATIENCE)
            seconds = time.monotonic() - started
        finally:
            studio.end()
        take_stock(studio, prompts, toll)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(toll.kinds.items()))
    report.row(f"{KILLS} kills, seed {report.args.seed}", kinds, f"{studio.starts} starts of the page")
    report.row("rows", rows, f"{seconds:.0f} s, {rows / seconds:.1f} a second")
    report.row("kill to the next row's end", f"max {max(toll.went_on):.1f} s")
    for name, what in zip(names, (toll.lost, toll.doubled), strict=True):
        for words in what[:10]:
            report.row(name.removeprefix("batch."), words)
        report.figure(name, len(what), "count", "=", 0)
    report.finish()


if __name__ == "__main__":
    main()
