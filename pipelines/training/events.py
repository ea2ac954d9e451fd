"""`events.jsonl`: what a training tells, one JSON object a line. Written by its process, read by the studio. No torch.

    {"event": "step", "step": 12, "steps": 600, "loss": .41, "prior": .002, "rate": 1e-4, "seconds": 9.1, "eta": 440.0, "memory": 7.9}
    {"event": "validation", ..., "validation": .38, "best": true}     {"event": "sample", ..., "files": ["samples/000100/0.png"]}
    {"event": "checkpoint", ..., "files": ["checkpoints/000100"]}     {"event": "note", ..., "words": "Reading the captions."}
    {"event": "done", ..., "best_step": 450, "files": ["best.safetensors"]}
    {"event": "failed", ..., "cause": "memory", "what", "why", "todo", "field"}

"seconds" is all computing so far; "eta" seconds that are left; "memory" the peak in GiB. A note with "resumed": N says that the training
went on from step N: what was told of later steps before it is done anew and counts no more.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

EVENTS = "events.jsonl"
FINAL = ("done", "failed")


class Writer:
    """Appends to a folder's events; `lines` gets each as well."""

    def __init__(self, folder: Path, lines: TextIO | None = None) -> None:
        path = folder / EVENTS
        _mend(path)
        self._file = path.open("a", encoding="utf-8")
        self._lines = lines

    def __call__(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, ensure_ascii=False, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()
        if self._lines is not None:
            print(line, file=self._lines, flush=True)

    def close(self) -> None:
        self._file.close()


def _mend(path: Path) -> None:
    """A process that was killed may have left half a line."""
    if path.is_file():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            path.write_bytes(data[: data.rfind(b"\n") + 1])


def read_events(folder: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from a byte offset on, and the offset to ask with the next time. A line that is not whole yet is left for then."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found, offset + len(whole)


def valid(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that count: those of steps that a later stretch did anew are left out."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if event.get("event") == "note" and isinstance(event.get("resumed"), int):
            kept = [one for one in kept if one.get("event") == "note" or one.get("step", 0) <= event["resumed"]]
        kept.append(event)
    return kept


def curves(events: Iterable[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """{"loss", "prior", "validation"} -> points (step, value), in order."""
    found: dict[str, list[tuple[int, float]]] = {"loss": [], "prior": [], "validation": []}
    for event in valid(events):
        for name, points in found.items():
            value = event.get(name)
            if event.get("event") in ("step", "validation") and isinstance(value, int | float):
                points.append((int(event["step"]), float(value)))
    return found
