"""Teach the oracle: `python -m benchmarks.oracle.train --work DIR` (about 15 minutes of one CPU core; resumable).

Draws its own pictures once (seeds of no other stage, all triples, held-out ones too), about half of them gone wrong, learns from them,
sets its thresholds on fresh renders, and writes `oracle.safetensors` with a report of what it can and cannot tell. Afterwards
`python -m benchmarks.oracle.label thresholds` sets them by generated pictures that a person looked at.
"""
from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from benchmarks.oracle import HEADS, WEIGHTS, Oracle, OracleNet, shrink, to_input
from benchmarks.oracle.pictures import IGNORE, KINDS, WRONG_SHARE, Drawn, draw
from benchmarks.report import wilson
from models.embedded.render import render
from models.embedded.training.loop import Loop, optimizers_for
from models.embedded.world import SIZES, sample_scene

SEED = 5_150_000  # training pictures; thresholds are set on SEED + 1, the report is made on SEED + 2
SHARES = {"1:1": 0.70, "4:5": 0.06, "3:2": 0.06, "16:9": 0.06, "9:16": 0.06, "banner": 0.06}
BATCH, CHUNK = 64, 100
LOSS_WEIGHTS = {"clear": 3.0}  # the hardest question
LOST = {"object": 0.0005, "colour": 0.0005, "scene": 0.0005, "sign": 0.0005, "clear": 0.003}  # sound pictures given up for each threshold


@dataclass
class Shelf:
    """Pictures of one size: `small` uint8 (n, h, w, 3); `classes` int64 (n, heads), IGNORE where a head learns nothing."""

    small: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Part:
    """A part of the pictures: `share` as a multiple of --pictures, `seed` added to SEED, the rest as `draw` takes it."""

    name: str
    share: float
    seed: int
    decoded: bool = False
    wrong_share: float = WRONG_SHARE


PARTS = (Part("", 1.0, 0), Part("decoded-", 0.3, 10, decoded=True), Part("wrong-", 0.6, 20, wrong_share=0.8))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oracle.train", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and checkpoints (about 1 GB)")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--pictures", type=int, default=14000)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--fresh", type=int, default=2000, metavar="N", help="renders for the thresholds, and as many for the report")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    shelves = [open_shelf(args.work, part, name, round(args.pictures * part.share * share))
               for part in PARTS for name, share in SHARES.items()]
    net = learn(shelves, args.work, args.steps)
    keep(net, calibrate(net, args.fresh), args.out)
    tell(Oracle.load(args.out), args.fresh)
    print(f"{time.process_time():.0f} s of CPU in this process")


def keep(net: OracleNet, thresholds: dict[str, float], file: Path) -> None:
    weights = {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}
    told = json.dumps(thresholds)
    save_file(weights, file, metadata={"thresholds": told, "on_renders": told})
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB", flush=True)


def open_shelf(folder: Path, part: Part, size_name: str, count: int) -> Shelf:
    """Draw what `folder` lacks of the first `count` pictures of one size, in files of CHUNK."""
    stem = f"{part.name}{SIZES[size_name][0]}x{SIZES[size_name][1]}"
    files = [folder / f"{stem}-{start:05}.npz" for start in range(0, count, CHUNK)]
    for i, file in enumerate(files):
        if not file.exists():
            drawn = draw_many(part, size_name, range(i * CHUNK, (i + 1) * CHUNK), SEED)
            temporary = file.with_suffix(".tmp.npz")
            np.savez(temporary, small=np.stack([d.small for d in drawn]), classes=np.array([d.classes for d in drawn]))
            os.replace(temporary, file)
            print(f"{file.name} of {files[-1].name}", flush=True)
    stored = [np.load(file) for file in files]
    return Shelf(np.concatenate([s["small"] for s in stored]), np.concatenate([s["classes"] for s in stored]))


def draw_many(part: Part, size_name: str, numbers: range, seed: int, kind: str | None = None) -> list[Drawn]:
    """Picture i depends on (seed, part, size, i) alone, so processes may share the work."""
    jobs = [(part, size_name, seed, i, kind) for i in numbers]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_draw_one, jobs, chunksize=8))


def _draw_one(job: tuple[Part, str, int, int, str | None]) -> Drawn:
    part, size_name, seed, i, kind = job
    rng = np.random.default_rng([seed + part.seed, list(SIZES).index(size_name), i])
    return draw(rng, SIZES[size_name], kind, part.decoded, part.wrong_share)


def draw_fresh(count: int, seed: int, kind: str, part: int = 0) -> list[Drawn]:
    """`count` pictures over all sizes."""
    return [drawn for name, share in SHARES.items() for drawn in draw_many(PARTS[part], name, range(round(count * share)), seed, kind)]


def learn(shelves: list[Shelf], folder: Path, steps: int) -> OracleNet:
    torch.manual_seed(SEED)
    net = OracleNet()
    loop = Loop("oracle", {"net": net}, optimizers_for([net], muon_rate=5e-3, adam_rate=2e-3), steps=steps, folder=folder, seed=SEED,
                decay=0.5, ema=0.99)
    weights = np.array([len(shelf.small) for shelf in shelves], float)
    for _, rng in loop:
        shelf = shelves[rng.choice(len(shelves), p=weights / weights.sum())]
        chosen = rng.choice(len(shelf.small), min(BATCH, len(shelf.small)), replace=False)
        x, classes = varied(shelf.small[chosen], rng), torch.from_numpy(shelf.classes[chosen])
        with torch.autocast("cpu", torch.bfloat16):
            answers = net(x)
        losses = []
        for i, head in enumerate(HEADS):
            counted = (classes[:, i] != IGNORE).sum()
            total = F.cross_entropy(answers[head].float(), classes[:, i], ignore_index=IGNORE, reduction="sum")
            losses.append(LOSS_WEIGHTS.get(head, 1.0) * total / counted.clamp(min=1))
        loop.update(torch.stack(losses).sum())
    net.load_state_dict(loop.averaged("net"))
    return net.eval()


def varied(small: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Slightly moved, blurred, grainy, lighter or tinted copies (n, 3, h, w): what never makes a picture wrong."""
    n, height, width, _ = small.shape
    reach = 2  # half-resolution pixels: 4 of the picture's own
    moved = np.empty_like(small)
    for i, (dy, dx) in enumerate(rng.integers(-reach, reach + 1, (n, 2))):
        rows, columns = np.clip(np.arange(height) + dy, 0, height - 1), np.clip(np.arange(width) + dx, 0, width - 1)
        moved[i] = small[i][rows][:, columns]
    x = to_input(torch.from_numpy(moved))
    soft = rng.permutation(n)[:n // 3]
    sigma = torch.from_numpy(rng.uniform(0.1, 0.7, (len(soft), 1)).astype(np.float32))
    taps = torch.softmax(-torch.arange(-2, 3).float() ** 2 / (2 * sigma ** 2), 1).repeat_interleave(3, 0)
    padded = F.pad(x[soft], (2, 2, 2, 2), mode="replicate").reshape(1, -1, height + 4, width + 4)
    blurred = F.conv2d(F.conv2d(padded, taps[:, None, :, None], groups=len(taps)), taps[:, None, None, :], groups=len(taps))
    x[soft] = blurred.view(len(soft), 3, height, width)
    gain = torch.from_numpy((rng.uniform(0.94, 1.06, (n, 1)) * rng.uniform(0.97, 1.03, (n, 3))).astype(np.float32))
    x = (x + 1) * gain[..., None, None] - 1
    grainy = x[::3]
    grainy += torch.randn_like(grainy) * torch.from_numpy(rng.uniform(0, 0.05, (len(grainy), 1, 1, 1)).astype(np.float32))
    return x.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def calibrate(net: OracleNet, count: int) -> dict[str, float]:
    """The thresholds that give up the shares LOST of fresh renders as they are commonly drawn; never above 0.9."""
    plain = Oracle(net, {})
    drawn = common(count, SEED + 1)
    sure: dict[str, list[float]] = {head: [] for head in HEADS}
    for found, _ in _read(plain, drawn):
        for head, p in found.items():
            sure[head].append(float(p[1] if head == "clear" else p.max()))
    return {head: min(0.9, float(np.quantile(values, LOST[head]))) for head, values in sure.items()}


def common(count: int, seed: int) -> list[Drawn]:
    """Flawless renders as `sample_scene` draws them for every other purpose: signs in 15 %, none of them garbled."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, held_out=None) for _ in range(count)]
    return [Drawn(shrink(render(s)), "", (*(HEADS[head].index(getattr(s, head)) for head in tuple(HEADS)[:-1]), 1)) for s in scenes]


def tell(oracle: Oracle, count: int) -> None:
    """Print what the oracle gets right on sound renders and what it calls unclear, with 95 % intervals."""
    print("thresholds", {head: round(value, 3) for head, value in oracle.thresholds.items()})
    for name, drawn in (
        ("fresh renders", common(count, SEED + 2)),
        ("slightly flawed", draw_fresh(count // 4, SEED + 2, "slight")),
        ("as if decoded", draw_fresh(count // 4, SEED + 2, "slight", part=1)),
    ):
        found = _read(oracle, drawn)
        for i, head in enumerate(HEADS):
            _row(f"{name}: {head}", [int(p[head].argmax()) == d.classes[i] for p, d in found])
        _row(f"{name}: all right, clear", [_verdict(oracle, p) == d.classes for p, d in found])
    for kind in KINDS:
        _row(f"unclear: {kind}", [_verdict(oracle, p)[-1] == 0 for p, _ in _read(oracle, draw_fresh(200, SEED + 2, kind))])


def _read(oracle: Oracle, drawn: list[Drawn]) -> list[tuple[dict[str, np.ndarray], Drawn]]:
    pairs = []
    for shape in sorted({d.small.shape for d in drawn}):
        same = [d for d in drawn if d.small.shape == shape]
        for start in range(0, len(same), BATCH):
            batch = same[start:start + BATCH]
            found = oracle.probabilities(np.stack([d.small for d in batch]))
            pairs += [({head: p[i] for head, p in found.items()}, d) for i, d in enumerate(batch)]
    return pairs


def _verdict(oracle: Oracle, found: dict[str, np.ndarray]) -> tuple[int, ...]:
    """Class indices as `Oracle.read` would answer."""
    best = {head: int(p.argmax()) for head, p in found.items()}
    sure = {head: (found[head][1] if head == "clear" else found[head].max()) >= least for head, least in oracle.thresholds.items()}
    if not sure["sign"]:
        best["sign"] = len(HEADS["sign"]) - 1
    best["clear"] = int(all(sure[head] for head in ("object", "colour", "scene", "clear")))
    return tuple(best[head] for head in HEADS)


def _row(what: str, hits: list[bool]) -> None:
    low, high = wilson(sum(hits), len(hits))
    print(f"  {what:<34} {sum(hits) / len(hits):.4f}  ({sum(hits)} of {len(hits)}, 95 % interval {low:.4f} to {high:.4f})", flush=True)


if __name__ == "__main__":
    main()
