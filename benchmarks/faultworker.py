"""A cloud worker in a process of its own, which can be told to kill itself at a line of a call. Forked from a server that imported it."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.faultlane import LATER, LIMITS
from models.presets import load_catalogue
from studio import cloudcalls, clouddelivery, cloudendings, cloudrecords, cloudworker, files, spool
from studio.store import Store, cloudtasks, images, jobs, ledger

MODULES = (cloudcalls, clouddelivery, cloudendings, cloudrecords, cloudworker, files, spool, cloudtasks, images, jobs, ledger)
WATCHED = {module.__file__ for module in MODULES}


def live(folder: str, places: Mapping[str, Any], env: Mapping[str, str], lines: Any = None, die_at: int = 0) -> None:
    """Works until it is killed. lines: shared, counts the lines of a call that were run; at `die_at` of them the process kills itself."""
    os.environ.update(env)
    if lines is not None:
        _watch(lines, die_at)
    store = Store(Path(folder) / "studio.db")
    worker = cloudworker.CloudWorker(store, Path(folder), load_catalogue(), f"worker-{os.getpid()}", LIMITS, LATER)
    worker.providers.stand_in(places, {})
    asyncio.run(worker.run())


def _watch(lines: Any, die_at: int) -> None:
    begun = False

    def line(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            lines.value += 1
            if lines.value == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, _: str, __: object) -> Any:
        nonlocal begun
        if frame.f_code.co_filename not in WATCHED:
            return None
        # What it does while nothing is sent is always the same, and would only push the lines of a call back by chance.
        begun = begun or (frame.f_code.co_name == "start" and frame.f_code.co_filename == cloudcalls.__file__)
        return line if begun else None

    threading.settrace(call)
    sys.settrace(call)
