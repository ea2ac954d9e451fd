"""Where a training stands, on disk: everything the next step rests on. A checkpoint is there whole or not at all."""
from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS, OPTIMIZER, STATE = "adapter.safetensors", "optimizer.pt", "state.json"
PICTURES = "lora.safetensors"  # The LoRA as it is used: what a sheet of weight x checkpoint draws with.


@dataclass
class Progress:
    """step: steps done. seconds: of computing in all stretches. best: lowest validation loss, at best_step. worse: validations since.
    threads: that computed, for sums of another number of threads round otherwise."""

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    threads: int = 0
    fingerprint: str = ""
    dataset: str = ""
    finished: bool = False
    curve: list[tuple[int, float]] = field(default_factory=list)


def save(folder: Path, progress: Progress, weights: dict[str, torch.Tensor], lora: Path | None, optimizer: dict[str, Any]) -> Path:
    """`folder`/NNNNNN. Older checkpoints keep their LoRA and lose what only going on needs."""
    final = folder / f"{progress.step:06d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(weights, temporary / WEIGHTS)
    torch.save(optimizer, temporary / OPTIMIZER)
    if lora is not None:
        os.link(lora, temporary / PICTURES) if hasattr(os, "link") else shutil.copyfile(lora, temporary / PICTURES)
    (temporary / STATE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
    for file in temporary.iterdir():
        sync(file)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    sync(folder)
    for older in whole(folder):
        if older != final:
            for name in (OPTIMIZER, WEIGHTS, STATE):  # In this order: without the first one it is no longer gone on from.
                (older / name).unlink(missing_ok=True)
    return final


def whole(folder: Path) -> list[Path]:
    """Checkpoints to go on from, the newest last."""
    names = (OPTIMIZER, WEIGHTS, STATE)
    return sorted(one for one in folder.glob("[0-9]*") if all((one / name).is_file() for name in names))


def load(checkpoint: Path) -> tuple[Progress, dict[str, torch.Tensor], dict[str, Any]]:
    state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    state["curve"] = [(step, value) for step, value in state["curve"]]
    return Progress(**state), load_file(checkpoint / WEIGHTS), torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True)


def sync(path: Path) -> None:
    """To the disk, so that it outlives the machine's sudden end."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
