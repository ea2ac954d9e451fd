"""A studio with a login for tests: two people, and clients that are logged in. conftest.py has it as fixtures."""
from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from models.cards import Catalogue
from studio import passwords
from studio.authfile import Entry, take_in
from studio.studio import Studio

ADA, BOB = "ada's own words", "bob's own words"


# As a line of an auth file may have it; made once for all tests.
_hashed = functools.cache(passwords.hashed)


def guarded_studio(data_dir: Path, catalogue: Catalogue) -> Studio:
    """Without a worker. ada is an admin, bob is not."""
    studio = Studio(data_dir, catalogue, engine="scripted", login=True)
    take_in(studio.store, [Entry("ada", _hashed(ADA), True), Entry("bob", _hashed(BOB), False)])
    return studio


@contextlib.contextmanager
def browser(address: str, name: str = "", password: str = "", **options: Any) -> Iterator[httpx.Client]:
    """A client with its own cookies, logged in if a name is given."""
    with httpx.Client(base_url=address, timeout=30, **options) as client:
        if name:
            answer = client.post("/login", data={"name": name, "password": password})
            assert answer.status_code == 303, answer.text
        yield client
