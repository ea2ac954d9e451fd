"""How well a CLIP folder tells right pictures from wrong ones: `python -m models.embedded.training.clips_measure FOLDER ...`.

Everything is loaded through open_clip, as the product does, and drawn from seeds that no training uses.
"""
from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from models.embedded.captions import caption
from models.embedded.render import render
from models.embedded.training.clips_data import FIRST_SEED, SPOILS, change, compose, disturb, sample_group, spoiled
from models.embedded.world import Scene

CHANGED = ("object", "colour", "scene")
MUSH = ("crossfade", "melted", "blurred")
KINDS = (*CHANGED, "sign", *SPOILS, *MUSH)


@dataclass(frozen=True)
class Trials:
    """n prompts, and for each a list of pictures (uint8, (H, W, 3)): "right", "soft" (right, but blurred, bent and noisy), and KINDS."""

    prompts: list[str]
    pictures: dict[str, list[np.ndarray]]


def draw_trials(count: int, seed: int, held: bool | None = None, kinds: tuple[str, ...] = KINDS) -> Trials:
    """held: True for held-out triples, False for training triples, None for any."""
    rng = np.random.default_rng([FIRST_SEED + seed, 2])
    torch.manual_seed(seed)
    prompts: list[str] = []
    pictures: dict[str, list[np.ndarray]] = {kind: [] for kind in ("right", "soft", *kinds)}
    for _ in range(count):
        scene = sample_group(rng, held=held).scene
        prompts.append(caption(scene, rng))
        right = render(scene)
        pictures["right"].append(right)
        pictures["soft"].append(_disturbed(right, rng, warp=(0.002, 0.01), blur=(0.005, 0.013)))
        for kind in kinds:
            pictures[kind].append(_wrong(kind, scene, right, rng))
    return Trials(prompts, pictures)


def _wrong(kind: str, scene: Scene, right: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if kind in CHANGED or kind == "sign":
        return render(change(scene, kind, rng))
    if kind in SPOILS:
        return spoiled(scene, kind, rng)
    if kind == "crossfade":
        other = render(change(change(scene, "object", rng), "colour", rng))
        return _array(compose(torch.cat((_tensor(right), _tensor(other))), rng))
    if kind == "melted":
        return _disturbed(right, rng, warp=(0.10, 0.20), blur=(0, 0.02))
    return _disturbed(right, rng, warp=(0, 0.05), blur=(0.06, 0.12))


def _disturbed(picture: np.ndarray, rng: np.random.Generator, *, warp: tuple[float, float], blur: tuple[float, float]) -> np.ndarray:
    return _array(disturb(_tensor(picture), rng, warp=warp, blur=blur))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    """Squared, because the disturbances are: uint8 (H, W, 3) -> (1, 3, 192, 192) in 0..1."""
    square = np.array(Image.fromarray(picture).resize((192, 192), Image.Resampling.BICUBIC))
    return torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255


def _array(picture: torch.Tensor) -> np.ndarray:
    return (picture[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)


class Clip:
    """A CLIP folder in open_clip's "local-dir:" form."""

    def __init__(self, folder: Path) -> None:
        source = f"local-dir:{folder}"
        model, _, self.preprocess = open_clip.create_model_and_transforms(source, require_pretrained=True)
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(source, local_files_only=True)

    @torch.inference_mode()
    def text(self, prompts: list[str]) -> torch.Tensor:
        return self.model.encode_text(self.tokenizer(prompts), normalize=True)

    @torch.inference_mode()
    def image(self, pictures: list[np.ndarray]) -> torch.Tensor:
        batches = [pictures[start : start + 32] for start in range(0, len(pictures), 32)]
        return torch.cat([
            self.model.encode_image(torch.stack([self.preprocess(Image.fromarray(picture)) for picture in batch]), normalize=True)
            for batch in batches
        ])

    def cosines(self, trials: Trials) -> dict[str, np.ndarray]:
        """For each kind of picture, its cosines with the prompts: (n,)."""
        text = self.text(trials.prompts)
        return {kind: (self.image(pictures) * text).sum(1).numpy() for kind, pictures in trials.pictures.items()}


def auc(right: np.ndarray, wrong: np.ndarray) -> float:
    """The area under the ROC curve: the share of (right, wrong) pairs in which the right one scores higher."""
    order = np.argsort(np.concatenate((right, wrong)), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    return float((ranks[: len(right)].sum() - len(right) * (len(right) + 1) / 2) / (len(right) * len(wrong)))


def aucs(cosines: dict[str, np.ndarray]) -> dict[str, float]:
    """Right and soft pictures together against each kind of wrong one; "attributes" and "spoiled" pool kinds, "all" all but the sign."""
    right = np.concatenate((cosines["right"], cosines["soft"]))
    pools: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS}
    pools |= {"attributes": CHANGED, "spoiled": tuple(SPOILS), "mush": MUSH, "all": (*CHANGED, *SPOILS, *MUSH)}
    return {
        name: auc(right, np.concatenate([cosines[kind] for kind in kinds]))
        for name, kinds in pools.items() if all(kind in cosines for kind in kinds)
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.embedded.training.clips_measure", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=200, help="prompts of training triples, and as many of held-out ones")
    parser.add_argument("--seed", type=int, default=900_000)
    args = parser.parse_args()
    sets = {name: draw_trials(args.count, args.seed + held, held) for name, held in (("training", False), ("held-out", True))}
    for folder in args.folders:
        clip = Clip(folder)
        for name, trials in sets.items():
            started = time.process_time()
            cosines = clip.cosines(trials)
            each = (time.process_time() - started) / sum(map(len, trials.pictures.values()))
            print(f"\n{folder.name}, {name} triples, {args.count} pictures a kind, {1000 * each:.1f} ms a picture")
            found = aucs(cosines)
            for kind in ("right", "soft", *KINDS):
                low, median, high = np.percentile(cosines[kind], (10, 50, 90))
                print(f"  {kind:10s} cosine {low:6.3f} {median:6.3f} {high:6.3f}" + (f"   AUC {found[kind]:.4f}" if kind in found else ""))
            print("  AUC " + "  ".join(f"{kind} {found[kind]:.4f}" for kind in ("attributes", "spoiled", "mush", "all")))


if __name__ == "__main__":
    main()
