"""Why a training failed, as something a person can act on: never "exited with code 1". No torch."""
from __future__ import annotations

import errno
import json
import os
import signal
import traceback
from pathlib import Path
from typing import Any

from models.errors import BadInput, NotFound, OutOfMemory, StudioError, Unavailable
from models.training.recipe import Recipe, TrainingError

FAILURE = "failure.json"
Failure = dict[str, Any]


def failure_of(error: BaseException, recipe: Recipe | None) -> Failure:
    """{"cause", "what", "why", "todo", "field"} for whatever a training raised."""
    if isinstance(error, TrainingError):
        return _told(error.cause, error.what, error.why, error.todo, error.field)
    if isinstance(error, OutOfMemory) or _no_memory(error):
        return _memory(str(error).splitlines()[0][:300] if str(error) else "", recipe)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _told("disk", "The disk is full.", str(error), "Make room, then let the training go on: it does so from its checkpoint.")
    if isinstance(error, BadInput):
        return _told("settings", error.what, error.why, error.todo, error.field)
    if isinstance(error, Unavailable | NotFound):
        return _told("base", error.what, error.why, error.todo, "card")
    if isinstance(error, StudioError):
        return _told("settings", error.what, error.why, error.todo, error.field)
    last = traceback.extract_tb(error.__traceback__)[-1:] if error.__traceback__ else []
    place = f" ({Path(last[0].filename).name}, line {last[0].lineno})" if last else ""
    return _told(
        "bug", "The training met something it was not made for.", f"{type(error).__name__}: {error}{place}"[:600],
        "Please report this, with the end of log.txt in the training's folder.",
    )  # fmt: skip


def failure_of_exit(folder: Path, code: int) -> Failure | None:
    """What the end of a process says: None where it ended well (0) or gave way (75). What it wrote itself counts first."""
    if code in (0, 75):
        return None
    try:
        written = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
        if isinstance(written, dict) and "what" in written:
            return written
    except (OSError, ValueError):
        pass
    if code in (-9, 137):
        return _told(
            "memory", "The system ended the training.", "Most often its main memory was full (a process is then killed without a word).",
            "Close other programs, or choose a preset for less memory; then let it go on from its last checkpoint.",
        )  # fmt: skip
    try:
        name = signal.Signals(-code).name if code < 0 else f"code {code}"
    except ValueError:
        name = f"code {code}"
    return _told("bug", "The training ended suddenly.", f"Its process ended with {name}.", "Let it go on, or see log.txt in its folder.")


def write(folder: Path, failure: Failure) -> None:
    part = folder / f"{FAILURE}.part"
    part.write_text(json.dumps(failure, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(part, folder / FAILURE)


def _told(cause: str, what: str, why: str = "", todo: str = "", field: str | None = None) -> Failure:
    return {"cause": cause, "what": what, "why": why, "todo": todo, "field": field}


def _memory(why: str, recipe: Recipe | None) -> Failure:
    """With what to lower, the one that costs least first."""
    ways: list[tuple[str, str]] = []
    if recipe is not None:
        if not recipe.gradient_checkpointing:
            ways.append(("gradient_checkpointing", "turn gradient checkpointing on (a third slower, the same result)"))
        if recipe.batch > 1:
            ways.append(("batch", f"lower the batch from {recipe.batch} to {recipe.batch // 2} and double the accumulation"))
        if recipe.precision == "fp32":
            ways.append(("precision", "compute at 16 bits (bf16)"))
        if recipe.quantise != "nf4":
            ways.append(("quantise", "keep the base in 8 bits (fp8)" if recipe.quantise == "none" else "keep the base in 4 bits (nf4)"))
        if recipe.resolutions and recipe.resolutions[-1] > 512:
            ways.append(("resolutions", f"leave out {recipe.resolutions[-1]} pixels"))
        if recipe.rank > 8:
            ways.append(("rank", f"lower the rank from {recipe.rank}"))
    words = "; or ".join(way for _, way in ways[:3])
    todo = f"{words[0].upper()}{words[1:]}." if words else "Choose a smaller model, or close other programs that use the device."
    return _told("memory", "The device has too little memory for this training.", why, todo, ways[0][0] if ways else None)


def _no_memory(error: BaseException) -> bool:
    text = str(error).lower()
    named = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    signs = ("out of memory", "can't allocate memory", "invalid buffer size")
    return named or (isinstance(error, RuntimeError) and any(sign in text for sign in signs))
