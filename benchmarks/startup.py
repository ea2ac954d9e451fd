"""How long a person waits: `python -m benchmarks.startup [--quick]`, embedded family, a fresh data folder each run.

From the command to a page whose Generate button can be clicked (headless Chromium where there is one, else the page's HTML); from the
click to the first preview, cold (clicked as soon as the page is there) and warm; from the click to eight scored candidates, warm.
"""
from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report
from benchmarks.running import Running, studio

PROMPT = "a red mug on a wooden table"


def page_usable(running: Running) -> tuple[float, str]:
    """-> (seconds from the command to a clickable Generate button, how that was seen)."""
    chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if chromium is None:
        while "gradio" not in running.http.get("/").text:
            time.sleep(0.02)
        return time.monotonic() - running.started, "HTML answered; no Chromium here"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        before = time.monotonic()
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        own = time.monotonic() - before  # a person's browser is open already
        page = browser.new_page()
        page.goto(running.url, wait_until="commit")
        page.get_by_role("button", name="Generate").first.wait_for(state="visible", timeout=60_000)
        seconds = time.monotonic() - running.started - own
        browser.close()
    return seconds, "Generate visible in Chromium"


def first_preview(running: Running, seed: int) -> float:
    clicked = time.monotonic()
    job = running.submit(prompt=PROMPT, family="embedded", tier="preview", draft=8, seed=seed)
    seconds = None
    for moment, name, data in running.events(300):
        if name == "preview" and data["job"] == job and seconds is None:
            seconds = moment - clicked
        if name == "job" and data["id"] == job and data["state"] in ("done", "failed"):
            if data["state"] == "failed" or seconds is None:
                raise RuntimeError(f"the job failed or had no preview: {data}")
            return seconds
    raise AssertionError


def scored_grid(running: Running, seed: int) -> float:
    clicked = time.monotonic()
    job = running.submit(prompt=PROMPT, family="embedded", tier="preview", draft=8, seed=seed)
    for moment, name, data in running.events(300):
        if name == "job" and data["id"] == job and data["state"] in ("done", "failed"):
            images = running.http.get(f"/api/jobs/{job}").json()["images"]
            if len(images) != 8 or any(image["verdict"] is None or not image["scores"] for image in images):
                raise RuntimeError("the job ended without eight scored candidates")
            return moment - clicked
    raise AssertionError


def main() -> None:
    report = Report.start("startup", "Command to page, click to preview, click to a scored grid.")
    runs, warm_runs = (1, 3) if report.args.quick else (3, 7)
    pages, cold, warm, grids, how = [], [], [], [], ""
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as running:
            seconds, how = page_usable(running)
            pages.append(seconds)
            running.watch()
            cold.append(first_preview(running, 1))
            running.wait_until_ready()
            for i in range(warm_runs):
                warm.append(first_preview(running, 100 + i))
                grids.append(scored_grid(running, 200 + i))
    report.row("page", how)
    for what, values in (("page", pages), ("preview, cold", cold), ("preview, warm", warm), ("grid of 8, warm", grids)):
        spread = f"min {min(values):.2f}", f"max {max(values):.2f}", f"n {len(values)}"
        report.row(what, f"median {statistics.median(values):.2f} s", *spread)
    report.figure("startup.page.seconds", statistics.median(pages), "s", "<=", 5)
    report.figure("startup.preview.cold.seconds", statistics.median(cold), "s")
    report.figure("startup.preview.warm.seconds", statistics.median(warm), "s", "<=", 1)
    report.figure("startup.grid.warm.seconds", statistics.median(grids), "s", "<=", 8)
    report.finish()


if __name__ == "__main__":
    main()
