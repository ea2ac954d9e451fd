"""Train the classifier of the embedded world (`models/scorers/recognised.py`) and measure it on scenes it never saw:

    python -m models.embedded.training.recognised --work DIR              make pictures, train, write recognised.safetensors
    python -m models.embedded.training.recognised --work DIR --measure    what the shipped weights tell, by way of spoiling

About ten minutes of one core; stopped, it goes on when called again. It learns from renders alone, not from anybody's labels and not from
anything that the project's claims are judged by.
"""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from models.embedded.training.clips_measure import auc
from models.embedded.training.loop import Loop
from models.embedded.training.muon import ConvMuon
from models.embedded.training.recognised_data import KINDS, LOST, make
from models.scorers.recognised import HEADS, WEIGHTS, WHOLE, load, network

COUNTS = {"train": 32_000, "test": 2_000}
BATCH, STEPS = 56, 2600
SMOOTH = 0.02
IGNORE = -1
NAMES_WEIGHT = 0.25  # of each of the three names, beside the one question whether it is whole


@dataclass(frozen=True)
class Shelf:
    """Pictures of one size: uint8 (n, h, w, 3), the ways of spoiling, and (n, 3) places in HEADS, IGNORE where nothing can be told."""

    pictures: np.ndarray
    kinds: np.ndarray
    names: np.ndarray


def open_shelves(files: list[Path]) -> list[Shelf]:
    parts: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    for file in files:
        with np.load(file) as stored:
            for stem in {name.partition(":")[0] for name in stored.files}:
                parts.setdefault(stem, []).append((stored[f"{stem}:pictures"], stored[f"{stem}:kinds"], stored[f"{stem}:names"]))
    shelves = []
    for _, rows in sorted(parts.items()):
        pictures, kinds, names = (np.concatenate(column) for column in zip(*rows, strict=True))
        for place, head in enumerate(HEADS):
            names[np.isin(kinds, LOST[head]), place] = IGNORE
        shelves.append(Shelf(pictures, kinds, names))
    return shelves


def train(shelves: list[Shelf], work: Path, steps: int, seed: int, out: Path) -> None:
    torch.manual_seed(seed)
    made = network().to(memory_format=torch.channels_last)
    kernels = [one for one in made.parameters() if one.ndim == 4 and one.shape[1] > 3]
    rest = [one for one in made.parameters() if not (one.ndim == 4 and one.shape[1] > 3)]
    optimizers = [ConvMuon(kernels, lr=5e-3), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.95), weight_decay=0.01)]
    loop = Loop("recognised", {"recognised": made}, optimizers, steps=steps, folder=work, seed=seed, decay=0.5, ema=0.995)
    shares = np.array([len(shelf.kinds) for shelf in shelves], float)
    for _, rng in loop:
        shelf = shelves[rng.choice(len(shelves), p=shares / shares.sum())]
        chosen = rng.integers(len(shelf.kinds), size=BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            logits = made(varied(shelf.pictures[chosen], rng).contiguous(memory_format=torch.channels_last))
        loop.update(loss(logits.float(), shelf.kinds[chosen], shelf.names[chosen]))
    averaged = made.state_dict() | loop.averaged("recognised")
    save_file({name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in averaged.items()}, out)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def loss(logits: torch.Tensor, kinds: np.ndarray, names: np.ndarray) -> torch.Tensor:
    whole = torch.from_numpy((kinds == "").astype(np.float32)) * (1 - 2 * SMOOTH) + SMOOTH
    total = functional.binary_cross_entropy_with_logits(logits[:, WHOLE], whole)
    start = 0
    for place, wanted in enumerate(HEADS.values()):
        truth = torch.from_numpy(names[:, place]).long()
        if bool((truth != IGNORE).any()):
            total = total + NAMES_WEIGHT * functional.cross_entropy(logits[:, start : start + len(wanted)], truth, ignore_index=IGNORE)
        start += len(wanted)
    return total


def varied(pictures: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """What is no fault must not matter: mirrored, moved a little, lighter, tinted, grainy. (n, 3, h, w) in -1..1."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    if rng.random() < 0.5:
        x = x.flip(-1)
    reach = 6
    dy, dx = (int(move) for move in rng.integers(0, 2 * reach + 1, 2))
    height, width = x.shape[2:]
    x = functional.pad(x, (reach, reach, reach, reach), mode="reflect")[:, :, dy : dy + height, dx : dx + width]
    x = x * torch.from_numpy(rng.uniform(0.88, 1.12, (len(x), 1, 1, 1)).astype(np.float32))
    x = x + torch.from_numpy(rng.normal(0, 0.03, (len(x), 3, 1, 1)).astype(np.float32))
    if rng.random() < 0.3:
        x = x + float(rng.uniform(0, 0.04)) * torch.randn_like(x)
    return x.clamp(-1, 1)


def measure(shelves: list[Shelf], weights: Path) -> dict[str, float]:
    """On the test part: the share of right names on pictures that were not spoiled, and for each way of spoiling the ROC AUC of `whole`."""
    made = load(weights)
    whole: dict[str, list[float]] = {}
    right: dict[str, list[bool]] = {head: [] for head in HEADS}
    for shelf in shelves:
        with torch.inference_mode():
            x = torch.from_numpy(shelf.pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
            logits = torch.cat([made(part) for part in x.split(64)])
        for kind, value in zip(shelf.kinds, logits[:, WHOLE].sigmoid().tolist(), strict=True):
            whole.setdefault(str(kind), []).append(value)
        start = 0
        for place, (head, names) in enumerate(HEADS.items()):
            best = logits[:, start : start + len(names)].argmax(1).numpy()
            right[head] += list((best == shelf.names[:, place])[shelf.kinds == ""])
            start += len(names)
    found = {head: float(np.mean(hits)) for head, hits in right.items()}
    print("right on sound pictures: " + ", ".join(f"{head} {share:.3f}" for head, share in found.items()))
    sound = 1 - np.array(whole.pop(""))
    for kind in KINDS:
        found[kind] = auc(1 - np.array(whole[kind]), sound)
        print(f"{kind:10} {len(whole[kind]):4}  AUC {found[kind]:.3f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.embedded.training.recognised", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and checkpoints (about 1.6 GB)")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--pictures", type=int, default=COUNTS["train"])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="only measure the weights in OUT")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.measure:
        train(open_shelves(make(args.work, "train", args.pictures)), args.work, args.steps, args.seed, args.out)
    measure(open_shelves(make(args.work, "test", COUNTS["test"])), args.out)


if __name__ == "__main__":
    main()
