"""Stands in for `python -m pipelines.training FOLDER`: its files, events and exit statuses, without weights. Steps are 20 ms.

What it does is told in FOLDER/script.json: {"fail": step, "hang": step, "done": false for leaving the done event out}.
"""
from __future__ import annotations

import json
import os
import sys
import threading
import time
import tomllib
from pathlib import Path

from filelock import FileLock
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

STEP = 0.02


def main(folder: Path) -> int:
    leave = threading.Event()

    def until_the_end() -> None:
        while os.read(0, 4096):
            pass
        leave.set()

    threading.Thread(target=until_the_end, daemon=True).start()
    recipe = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    file = folder / "script.json"
    script = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    there = folder / "step.txt"
    step, steps = int(there.read_text(encoding="utf-8")) if there.is_file() else 0, recipe["steps"]
    (folder / "pid").write_text(str(os.getpid()), encoding="utf-8")

    def tell(event: str, **more: object) -> None:
        line = json.dumps({"event": event, "step": step, "steps": steps, "seconds": step * STEP, **more})
        with (folder / "events.jsonl").open("a", encoding="utf-8") as out:
            out.write(line + "\n")

    if step:
        tell("note", words=f"Going on from step {step}.", resumed=step)
    while step < steps:
        if leave.is_set() and script.get("hang", -1) < 0:
            there.write_text(str(step), encoding="utf-8")
            tell("checkpoint", files=[f"checkpoints/{step:06d}"])
            return 75
        if (folder / "stop").exists():
            break
        time.sleep(STEP)
        step += 1
        if script.get("fail") == step:
            failure = {"cause": "nan", "what": "The loss is no longer a number.", "why": "", "todo": "Lower the rate.", "field": "rate"}
            (folder / "failure.json").write_text(json.dumps(failure), encoding="utf-8")
            tell("failed", **failure)
            return 1
        tell("step", loss=1 / step, eta=(steps - step) * STEP, memory=0.1, rate=1e-3)
        if step % 10 == 0 or step == steps:
            best(folder)
            tell("validation", validation=1 / step, best=True)
            sample = folder / "samples" / f"{step:06d}" / "0.png"
            sample.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (step % 256, 90, 90)).save(sample)
            tell("sample", files=[sample.relative_to(folder).as_posix()])
            there.write_text(str(step), encoding="utf-8")
    best(folder)
    tell("done", best_step=step, validation=1 / max(1, step), files=["best.safetensors"])
    return 0


def best(folder: Path) -> None:
    from lorafiles import embedded_lora

    if not (folder / "best.safetensors").is_file():
        part = embedded_lora(folder / "part.safetensors")
        os.replace(part, folder / "best.safetensors")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with FileLock(place / "training.lock"):
        sys.exit(main(place))
