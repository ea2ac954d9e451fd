"""`python -m pipelines.training FOLDER [--lines]`: train what FOLDER says, or go on with it.

On several GPUs: `accelerate launch --multi_gpu --num_processes N -m pipelines.training FOLDER`.

Ends with 0 (done), 75 (gave way: asked to stop, can go on) or 1 (failed; FOLDER/failure.json says why). SIGTERM makes it give way: it
writes a checkpoint first. With --lines every event is printed as a line of JSON, and the end of standard input makes it give way too,
so that it never outlives who started it. A file FOLDER/stop ends it as done, with the best so far.
"""
from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from models.errors import StudioError
from models.machine import probe
from models.memory import Machine
from models.presets import load_catalogue
from models.threads import compute
from models.training.recipe import Recipe, TrainingError
from models.weights import Shelves
from pipelines.training import failures
from pipelines.training.config import read_job
from pipelines.training.events import Writer

GAVE_WAY = 75
STOP = "stop"
LOCK = "training.lock"  # held while a process is at work in the folder; the system lets go of it, however that ends
PATIENCE_SECONDS = 60.0  # for an earlier process, which ends after its step


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.training", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", action="store_true", help="events as JSON lines on standard output")
    parser.add_argument("--device", choices=("cuda", "mps", "cpu"), help="default: the best there is")
    parser.add_argument("--lowvram", action="store_true", help="as on the next smaller device")
    parser.add_argument("--models-dir", type=Path, help="where weights lie besides Hugging Face's cache")
    parser.add_argument("--weights", type=Path, action="append", default=[], metavar="FOLDER", help="folders of other studios")
    told = parser.parse_args(arguments)
    folder: Path = told.folder.resolve()
    if not folder.is_dir():
        print(f"There is no folder {folder}.", file=sys.stderr)
        return 1
    first = int(os.environ.get("RANK", "0")) == 0
    try:
        with FileLock(folder / LOCK, timeout=PATIENCE_SECONDS) if first else nullcontext():
            return _run(folder, told, first)
    except Timeout:
        print(f"Another process is training in {folder}.", file=sys.stderr)
        return 1


def _run(folder: Path, told: argparse.Namespace, first: bool) -> int:
    asked = _Asked(folder, stdin=told.lines)
    writer = Writer(folder, sys.stdout if told.lines else None) if first else None
    (folder / failures.FAILURE).unlink(missing_ok=True)
    recipe: Recipe | None = None
    try:
        catalogue = load_catalogue()
        job = read_job(folder, tuple(name for name, card in catalogue.cards.items() if card.lora))
        recipe = job.recipe
        shelves = Shelves(told.models_dir, tuple(told.weights))

        def train() -> str:
            from models.training.trainer import Trainer

            machine: Machine = probe(told.device, told.lowvram)
            return Trainer(job, catalogue.card(job.recipe.card), writer or _silent, asked, machine, shelves).run()

        ended = compute(train)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as a cause and kept whole in the log.
        _failed(folder, error, recipe, writer)
        return 1
    finally:
        if writer is not None:
            writer.close()
    return GAVE_WAY if ended == "gave way" else 0


class _Asked:
    """What somebody wants of the training, as it is asked before every step."""

    def __init__(self, folder: Path, stdin: bool) -> None:
        self._file, self._leave = folder / STOP, threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self._leave.set())
        if stdin:
            threading.Thread(target=self._until_the_end, daemon=True).start()

    def _until_the_end(self) -> None:
        # Not through sys.stdin: a thread that holds its lock at the end of the process is a fatal error of Python's.
        while os.read(0, 4096):
            pass
        self._leave.set()

    def __call__(self) -> Literal["", "give way", "keep"]:
        if self._leave.is_set():
            return "give way"
        return "keep" if self._file.exists() else ""


def _silent(_event: dict[str, Any]) -> None:
    """Only the first process tells."""


def _failed(folder: Path, error: Exception, recipe: Recipe | None, writer: Writer | None) -> None:
    failure = failures.failure_of(error, recipe)
    if not isinstance(error, StudioError | TrainingError):
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)) + "\n")
    failures.write(folder, failure)
    if writer is not None:
        writer({"event": "failed", **failure})
    print(" ".join(part for part in (failure["what"], failure["why"], failure["todo"]) if part), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
