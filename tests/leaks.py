"""That no key of this suite's stands in anything that a studio wrote or said. `conftest` hooks it in: every test is watched.

What a studio of a test's own process publishes or answers is looked through as it goes, and fails the test that did it. What studios of any
process left on the disk (databases, logs, pictures, whatever lies in a data folder) is looked through when the whole suite is over.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, UnidentifiedImageError

from models.cloud import keys
from models.cloud.catalogue import load_providers
from studio.doors.base import Json
from studio.events import Hub

CANARY = "canary-7c1f0e52"  # tests whose keys are to be found anywhere begin them with this
WEIGHTS = (".safetensors", ".bin", ".npz")  # copies of what ships
FILE_LIMIT = 64 * 2**20


def known() -> tuple[bytes, ...]:
    """The demo providers' keys, canaries, and every key that went through this process."""
    demo = [f"demo-{name}-key" for name in load_providers()]
    return tuple({one.encode() for one in (CANARY, *demo, *keys._seen) if len(one) >= keys.SHORTEST})


def in_text(data: bytes, secrets: Iterable[bytes]) -> list[str]:
    """The keys that stand in it."""
    return [one.decode() for one in secrets if one in data]


def in_folder(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Where keys stand in the files below a folder, with what pictures say of themselves."""
    found, secrets = [], tuple(secrets)
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.suffix in WEIGHTS or path.stat().st_size > FILE_LIMIT:
            continue
        data = path.read_bytes()
        if path.suffix in (".png", ".webp", ".jpg"):
            data += _said_inside(path)
        found += [f"{path}: {one}" for one in in_text(data, secrets)]
    return found


def _said_inside(path: Path) -> bytes:
    """Texts of a picture, which may be compressed in the file."""
    try:
        with Image.open(path) as picture:
            return "\n".join(str(value) for value in picture.info.values()).encode(errors="replace")
    except (UnidentifiedImageError, OSError):
        return b""  # a test's own spoilt picture


# Hooks.


@pytest.fixture(scope="session")
def overheard() -> Iterator[list[str]]:
    """What events and JSON answers of this process said that they should not."""
    found: list[str] = []
    publish, render = Hub.publish, Json.render

    def watched_publish(self: Hub, event: str, data: Any, owner: Any = None) -> None:
        found.extend(f"event {event}: {one}" for one in in_text(json.dumps(data, default=str).encode(), known()))
        publish(self, event, data, owner)

    def watched_render(self: Json, content: object) -> bytes:
        body = render(self, content)
        found.extend(f"answer: {one}" for one in in_text(body, known()))
        return body

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hub, "publish", watched_publish)
        patch.setattr(Json, "render", watched_render)
        yield found


@pytest.fixture(autouse=True)
def nothing_leaks(overheard: list[str]) -> Iterator[None]:
    """Fails the test in which a key was said."""
    overheard.clear()
    yield
    assert not overheard, f"a key was said: {sorted(set(overheard))}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Looks through every data folder that the suite left."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if base is None or not base.is_dir():
        return
    folders = {path.parent for path in base.rglob("studio.db")}
    found = sorted(one for folder in folders for one in in_folder(folder, known()))
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\nKeys were left in {len(found)} files:", red=True)
            for one in found[:20]:
                reporter.write_line(f"  {one}", red=True)
