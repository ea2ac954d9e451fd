"""Train the detector of mush (`models/scorers/mush.py`) and measure it on pictures it never saw:

    python -m models.embedded.training.mush --work DIR [--seconds S]    make pictures, train, write mush.safetensors
    python -m models.embedded.training.mush --work DIR --measure        ROC AUC of the shipped weights, by way of spoiling

It shares neither weights nor pictures with the CLIPs that ship, nor with anything that the project's claims are judged by.
"""
from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from models.embedded.training.clips_measure import auc
from models.embedded.training.loop import Loop
from models.embedded.training.mush_data import KINDS, PARTS, UNSEEN, make
from models.scorers.mush import WEIGHTS, load, network, squeezed

SCENES = {"train": 260, "test": 80}
BATCH = 32
STEPS = 1500
SMOOTH = 0.03  # a picture with one step of denoising may look well all the same


def make_and_train(work: Path, out: Path, steps: int = STEPS, seed: int = 1, seconds: float = math.inf) -> None:
    """Make the pictures of both parts with the shipped checkpoint, train on the one and measure on the other."""
    for part in PARTS:
        if not make(work, part, SCENES[part], seconds):
            raise SystemExit(f"not all pictures of {part} are there yet: call this again")
    train(work, steps, seed, out)
    measure(work, out)


def train(work: Path, steps: int, seed: int, out: Path) -> None:
    """Balanced batches: half of them good pictures, the other half from each way of spoiling alike."""
    good = pictures(work, "train", "good")
    spoiled = [pictures(work, "train", kind) for kind in KINDS]
    torch.manual_seed(seed)
    made = network()
    optimizer = torch.optim.AdamW(made.parameters(), lr=2e-3, weight_decay=0.02)
    loop = Loop("mush", {"mush": made}, [optimizer], steps=steps, folder=work, seed=seed, ema=0.99)
    for _, rng in loop:
        chosen = [good[int(i)] for i in rng.integers(len(good), size=BATCH // 2)]
        for kind in rng.integers(len(spoiled), size=BATCH // 2):
            chosen.append(spoiled[kind][int(rng.integers(len(spoiled[kind])))])
        batch = torch.stack([varied(one, rng) for one in chosen])
        truth = torch.tensor([SMOOTH] * (BATCH // 2) + [1 - SMOOTH] * (BATCH // 2))
        loop.update(functional.binary_cross_entropy_with_logits(made(batch), truth))
    from safetensors.torch import save_file

    averaged = loop.averaged("mush") | {name: value for name, value in made.state_dict().items() if "running" in name}
    save_file({name: value.half() if value.is_floating_point() else value for name, value in averaged.items()}, out)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def varied(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What is no mush must not matter: mirrored, cut a little, softened, lighter or darker, grainy. (3, SIDE, SIDE) as it came."""
    side = picture.shape[-1]
    if rng.random() < 0.5:
        picture = picture.flip(-1)
    height, width = (int(side * rng.uniform(0.85, 1)) for _ in range(2))
    top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    cut = picture[None, :, top : top + height, left : left + width]
    if rng.random() < 0.3:
        small = [int(size * rng.uniform(0.6, 1)) for size in (height, width)]
        cut = functional.interpolate(cut, size=small, mode="bilinear", antialias=True)
    picture = functional.interpolate(cut, size=(side, side), mode="bicubic")[0]
    picture = picture * float(rng.uniform(0.85, 1.15)) + torch.from_numpy(rng.normal(0, 0.06, (3, 1, 1)).astype(np.float32))
    if rng.random() < 0.3:
        picture = picture + float(rng.uniform(0, 0.03)) * torch.randn_like(picture)
    return picture.clamp(-1, 1)


def measure(work: Path, weights: Path) -> dict[str, float]:
    """ROC AUC of spoiled against good pictures of the test part: by way of spoiling, and "all" over those that were trained on.

    Printed besides: how many of each would be rejected at 50.
    """
    made = load(weights)

    def values(kind: str) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([torch.sigmoid(made(part)).numpy() * 100 for part in pictures(work, "test", kind).split(64)])

    good = values("good")
    found = {kind: values(kind) for kind in (*KINDS, *UNSEEN)}
    print(f"good      {len(good):4}  median {np.median(good):5.1f}  over 50: {np.mean(good > 50):.3f}")
    for kind, own in found.items():
        unseen = "  (never trained on)" if kind in UNSEEN else ""
        print(f"{kind:9} {len(own):4}  median {np.median(own):5.1f}  over 50: {np.mean(own > 50):.3f}  AUC {auc(own, good):.4f}{unseen}")
    areas = {kind: auc(own, good) for kind, own in found.items()}
    areas["all"] = auc(np.concatenate([found[kind] for kind in KINDS]), good)
    print(f"all trained-on kinds, pictures of held-out scenes: AUC {areas['all']:.4f}")
    return areas


def pictures(work: Path, part: str, kind: str) -> torch.Tensor:
    """(n, 3, SIDE, SIDE) in -1..1, in the order of their names."""
    files = sorted((work / "mush" / part / kind).glob("*.png"))
    if not files:
        raise SystemExit(f"there are no pictures in {work / 'mush' / part / kind}")
    return torch.stack([squeezed(Image.open(file)) for file in files])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.embedded.training.mush", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and checkpoints (about 100 MB)")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="leave off making pictures after this; call it again to go on")
    parser.add_argument("--measure", action="store_true", help="only measure the weights in OUT")
    args = parser.parse_args()
    if args.measure:
        measure(args.work, args.out)
    else:
        make_and_train(args.work, args.out, args.steps, args.seed, args.seconds)


if __name__ == "__main__":
    main()
