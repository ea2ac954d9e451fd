"""Trainings as the studio starts them: a run's folder, and `python -m pipelines.training` in a process of its own."""
from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from benchmarks.lora_world import PRINT, ROBOT, TRIGGERS, save_examples
from benchmarks.running import ROOT
from models.training.recipe import Recipe
from pipelines.dataset import Sample, Sizes, write_run
from pipelines.training import config

BEST = "best.safetensors"
KINDS = {ROBOT: "product", PRINT: "style"}


def prepare(folder: Path, concept: str, recipe: Recipe, captions: Sequence[str] | None = None) -> Path:
    """A run's folder with the twenty pictures of `concept`; `captions` instead of the right ones, to spoil it."""
    brought = folder / "brought"
    made = save_examples(concept, brought)
    words = captions or [example.caption for example in made]
    samples = [
        Sample(hashlib.sha256(file.read_bytes()).hexdigest(), file.name, 256, 256, caption, path=file)
        for file, caption in zip(sorted(brought.glob("*.png")), words, strict=True)
    ]
    write_run(folder, samples, TRIGGERS[concept], Sizes(256, 32))
    config.write_run(folder, replace(recipe, name=concept, trigger=TRIGGERS[concept]))
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.training", str(folder), "--device", "cpu"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def train(folder: Path) -> float:
    """Seconds from the start of the process to its end. Raises RuntimeError with what the training said."""
    began = time.monotonic()
    process = start(folder)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the training in {folder} ended with {process.returncode}: {said[-2000:]}")
    return time.monotonic() - began


def train_through_kills(folder: Path, kills: int, rng: random.Random, seconds: float) -> int:
    """Train, killed (SIGKILL) at random moments of the first `seconds` of a process, `kills` times; how many kills met it alive."""
    met = 0
    for _ in range(kills):
        process = start(folder)
        try:
            process.communicate(timeout=rng.uniform(0.3, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            met += 1
    train(folder)
    return met


def steps_done(folder: Path) -> int:
    """The last step that the training told of."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return max((json.loads(line).get("step", 0) for line in lines), default=0)


def tensors_digest(file: Path) -> str:
    """Of names, shapes and bits of all tensors, without the metadata."""
    digest = hashlib.sha256()
    with safe_open(file, "pt") as stored:
        for name in sorted(stored.keys()):
            tensor = stored.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
