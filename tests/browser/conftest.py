"""The real studio in a real browser: `launch.py` with the scripted engine on a free port and an empty data folder, and Chromium."""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import httpx
import pytest

ROOT = Path(__file__).parents[2]
# Bounds for slow and busy machines; nothing waits this long where things work.
PATIENCE_MS = 45_000
START_SECONDS = 300


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything is to run, a browser test that skips has failed."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.name} was skipped: {call.excinfo.value if call.excinfo else report.longrepr}"
    return report


class Launched:
    """A studio that was started as a person would, and can be stopped and started again on the same port and data."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        self.data_dir, self.flags = data_dir, flags
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Does nothing while it runs."""
        if self._process is not None:
            return
        flags = ["--engine", "scripted:0.12", "--port", str(self.port), "--data-dir", str(self.data_dir), "--no-open", *self.flags]
        with (self.data_dir.parent / "launch.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "launch.py", *flags], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"the studio did not start: {(self.data_dir.parent / 'launch.log').read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def draw(self, **request: object) -> dict:
        """Sends a request through the door and waits until the job is done; the job."""
        self.start()
        answer = httpx.post(f"{self.url}/api/jobs", json={"prompt": "a red mug", "draft": 2, "keep": 1} | request)
        answer.raise_for_status()
        return self.finished(answer.json()["id"])

    def finished(self, job: int) -> dict:
        deadline = time.monotonic() + 90
        while (found := self.job(job))["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, f"job {job} is still {found['state']}"
            time.sleep(0.05)
        return found

    def job(self, job: int) -> dict:
        return httpx.get(f"{self.url}/api/jobs/{job}").json()

    def jobs(self) -> list[dict]:
        return httpx.get(f"{self.url}/api/jobs").json()["jobs"]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/studio", timeout=2).status_code in (200, 401)
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    studio = Launched(tmp_path_factory.mktemp("browser") / "data")
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture(scope="session")
def launcher() -> type[Launched]:
    """For a studio with other flags, or of a test's own."""
    return Launched


@pytest.fixture(scope="session")
def browser():
    # Imported here: without the test extra the rest of the tests still run.
    playwright = pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else __import__("playwright.sync_api").sync_api
    chromium = next((found for name in ("chromium", "chromium-headless-shell", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def expect():
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect


@pytest.fixture
def new_page(browser, launched):
    """Opens the studio in a fresh profile. At the end nothing may have gone wrong in the console or have left the machine."""
    contexts, wrong = [], []

    def open_page(width: int = 1280, height: int = 900, allowed: str | None = None, **options):
        def said(message) -> None:
            if message.type == "error" and not (allowed and allowed in message.text):
                wrong.append(message.text)

        def asked(request) -> None:
            if urlparse(request.url).hostname not in ("127.0.0.1", None):
                wrong.append(request.url)

        launched.start()  # a test that stops it may have failed in between
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", said)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        page.goto(launched.url)
        page.wait_for_function("document.querySelector('#cs-draft')?.placeholder")  # the form knows its tier
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
