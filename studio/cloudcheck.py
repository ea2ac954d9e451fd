"""`python -m studio.cloudcheck PROVIDER DATA_DIR`: whether a provider's key works, asked in a process of its own.

Keys are read here and nowhere in the page's process. The answer is one line of JSON: {"ok", "words", "credit_micro"}.
"""
from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.cloud import keys
from models.errors import StudioError, Unavailable
from studio.providers import Providers
from studio.settings import Settings
from studio.store import Store

SECONDS = 45.0  # for the process to start and the provider to answer

log = logging.getLogger(__name__)


def ask(name: str, data_dir: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The answer of a provider by that name. env: as `Providers.child_env` gives it. Raises Unavailable where the process fails."""
    command = [sys.executable, "-m", "studio.cloudcheck", name, str(data_dir)]
    try:
        done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable("The test did not end.", f"There was no answer within {SECONDS:.0f} s.", "Try again later.") from error
    if done.returncode:
        log.error("the test of %s failed: %s", name, keys.hide(done.stderr[-2000:]))
        raise Unavailable("The test could not be made.", "Its process failed.", "See logs/studio.log in the data folder.")
    answer = json.loads(done.stdout.splitlines()[-1])
    return {"ok": answer["ok"], "words": keys.hide(answer["words"]), "credit_micro": answer["credit_micro"]}


async def check(name: str, data_dir: Path) -> dict[str, Any]:
    """Asks it, in this process."""
    from models.cloud import engine_for
    from models.cloud.transport import Transport

    store = Store(data_dir / "studio.db")
    try:
        provider = Providers(Settings(store)).one(name)
    finally:
        store.close()
    key = keys.key_of(provider)
    if key is None and not provider.enabled_without_key:
        return {"ok": False, "words": "There is no key.", "credit_micro": None}
    async with Transport() as transport:
        engine = engine_for(provider, key or "", transport)
        try:
            found = await engine.check()
        except StudioError as error:
            return {"ok": False, "words": keys.hide(str(error)), "credit_micro": None}
        finally:
            await engine.aclose()
    return {"ok": found.ok, "words": keys.hide(found.words), "credit_micro": found.credit_micro}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(check(sys.argv[1], Path(sys.argv[2])))) + "\n")
