"""Fixtures that more than one test file uses: real studios over real data folders, with real workers that draw by script."""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from clouds import draw, far_away, stand_in
from leaks import nothing_leaks, overheard, pytest_sessionfinish  # noqa: F401
from logins import guarded_studio
from studios import served

from models.cards import Catalogue
from models.cloud.demo import DemoProviders
from models.presets import load_catalogue
from studio.studio import Studio


@pytest.fixture(scope="session")
def shipped() -> Catalogue:
    """The cards and families that ship."""
    return load_catalogue()


@pytest.fixture
def studio(tmp_path: Path, shipped: Catalogue) -> Iterator[Studio]:
    """A studio without a worker: jobs stay queued."""
    studio = Studio(tmp_path / "data", shipped, engine="scripted")
    yield studio
    studio.stop()


@pytest.fixture
def start_studio(tmp_path: Path, shipped: Catalogue) -> Iterator[Callable[..., Studio]]:
    """Starts a studio with its worker process; `seconds` is what a step of a batch takes. Stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(seconds: float = 0.0, data_dir: Path | None = None) -> Studio:
            studio = Studio(data_dir or tmp_path / "data", shipped, engine=f"scripted:{seconds}")
            stack.callback(studio.stop)
            studio.start()
            return studio

        yield start


@pytest.fixture
def door(studio: Studio) -> Iterator[httpx.Client]:
    """A client of a studio without a worker."""
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


@pytest.fixture
def guarded(tmp_path: Path, shipped: Catalogue) -> Iterator[Studio]:
    """A studio with a login, without a worker."""
    studio = guarded_studio(tmp_path / "data", shipped)
    yield studio
    studio.stop()


@pytest.fixture
def address(guarded: Studio) -> Iterator[str]:
    """Where `guarded` answers."""
    with served(guarded) as address:
        yield address


@pytest.fixture
def demos(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoProviders]:
    """Demo providers that stand in for the real ones."""
    demos = DemoProviders(draw)
    stand_in(monkeypatch, demos)
    yield demos
    demos.close()


@pytest.fixture
def cloudy(demos: DemoProviders, studio: Studio) -> Studio:
    """A studio without a device, whose requests can only be drawn by providers."""
    far_away(studio)
    return studio


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser tests come last: Playwright keeps an event loop running in this thread, in which no other can be started."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
