"""The three small CLIPs that score adherence, each in open_clip's own format.

`a` and `b` score, `alarm` only watches for pictures chosen to please the other two. They differ in architecture, picture size, picture
seed and start. Beside the usual contrast of pictures and captions within a batch (https://arxiv.org/abs/2103.00020), every batch holds
for each right picture a twin with one attribute changed and a spoiled copy; a sigmoid term (https://arxiv.org/abs/2303.15343) fixes
what a cosine means: right above BORDER, wrong below. Linear heads on both towers name the attributes and are thrown away.
"""
from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import nn

from models.embedded.training.clips_data import Wording, compose, disturb, open_groups, word_alike
from models.embedded.training.loop import Loop
from models.embedded.training.muon import ConvMuon, split
from models.embedded.training.tokenizers import clip_tokenizer
from models.embedded.world import COLOURS, FRAMINGS, LIGHTS, OBJECTS, SCENES, SIGNS, STYLES, Scene

CONTEXT = 64  # tokens; the longest caption has 48
BORDER, STEEPNESS = 0.5, 12.0
MEAN, STD = 0.5, 0.27
GROUPS_A_STEP, MUSH_A_STEP = 32, 16
SEEING = 0.45  # of the steps: first name the attributes of right pictures only; a tower that sees no objects yet calls everything spoiled
DRAWN = 96  # pixels, of the pictures on disk
_HEADS = {  # attribute: (values, weight in the loss)
    "object": (OBJECTS, 1.0), "colour": (tuple(COLOURS), 1.0), "scene": (SCENES, 1.0), "sign": (SIGNS, 0.4),
    "light": (LIGHTS, 0.15), "framing": (FRAMINGS, 0.15), "style": (STYLES, 0.15),
}


@dataclass(frozen=True)
class Recipe:
    """vision, text: open_clip's vision_cfg and text_cfg; groups: how many training groups; steps: share of the asked steps."""

    seed: int
    embed_dim: int
    vision: dict[str, Any]
    text: dict[str, Any]
    groups: int = 2200
    steps: float = 1.0


RECIPES = {
    "a": Recipe(
        1_000_000, 96, {"image_size": 96, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}, {"width": 80, "heads": 5, "layers": 2},
    ),
    "b": Recipe(
        2_000_000, 64, {"image_size": 72, "layers": [1, 2, 1, 1], "width": 16, "head_width": 32}, {"width": 64, "heads": 4, "layers": 2},
    ),
    "alarm": Recipe(
        3_000_000, 80, {"image_size": 80, "layers": [1, 1, 2, 1], "width": 12, "head_width": 48}, {"width": 96, "heads": 4, "layers": 1},
    ),
}
KERNEL_RATE, MATRIX_RATE, ADAM_RATE = 1.5e-2, 5e-3, 2e-3


def train_clips(work: Path, *, steps: int, seed: int, device: str, names: tuple[str, ...] = tuple(RECIPES)) -> None:
    """Train the named CLIPs; checkpoints and pictures go to `work`/clips."""
    for name in names:
        _train(name, RECIPES[name], work / "clips", round(steps * RECIPES[name].steps), seed, device)


def export_clips(work: Path, out: Path, names: tuple[str, ...] = tuple(RECIPES)) -> None:
    """Write `out`/clips/NAME: open_clip_config.json, 16-bit weights and the tokenizer. Those not trained in `work` stay as they are."""
    for name in names:
        recipe, folder, trained = RECIPES[name], out / "clips" / name, work / "clips" / f"{name}.pt"
        if not trained.exists():
            print(f"clip {name} was not trained here: {folder} is left as it is")
            continue
        state = torch.load(trained, map_location="cpu", weights_only=True)["averages"]["model"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        clip_tokenizer().save_pretrained(folder)
        weights = {key: value.half().contiguous() if value.is_floating_point() else value for key, value in state.items()}
        save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
        (folder / "open_clip_model.safetensors").chmod(0o644)
        (folder / "open_clip_config.json").write_text(json.dumps(_config(recipe), indent=2) + "\n")
        print(f"exported to {folder}: {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.2f} MB")


def _config(recipe: Recipe) -> dict[str, Any]:
    text = {"context_length": CONTEXT, "vocab_size": len(clip_tokenizer()), "hf_tokenizer_name": "local", **recipe.text}
    return {
        "model_cfg": {"embed_dim": recipe.embed_dim, "vision_cfg": recipe.vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [MEAN] * 3, "std": [STD] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
    }


class _Heads(nn.Module):
    """The same linear heads read the embeddings of both towers, which pulls the two towards one meaning."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, (values, _) in _HEADS.items()})
        self.clear = nn.Linear(width, 1)

    def forward(self, embeddings: torch.Tensor, truth: dict[str, torch.Tensor]) -> torch.Tensor:
        """The first embeddings have the labels of `truth`; those behind them belong to spoiled pictures."""
        n = len(truth["object"])
        losses = [
            weight * F.cross_entropy(self.heads[name](8 * embeddings[:n]), truth[name], ignore_index=-1, label_smoothing=0.05)
            for name, (_, weight) in _HEADS.items()
        ]
        if len(embeddings) > n:
            clear = (torch.arange(len(embeddings), device=embeddings.device) < n).float()
            losses.append(F.binary_cross_entropy_with_logits(self.clear(8 * embeddings).squeeze(1), clear))
        return torch.stack(losses).sum()

    @torch.no_grad()
    def right(self, embeddings: torch.Tensor, truth: dict[str, torch.Tensor]) -> str:
        """Shares of objects, colours and scenes named right."""
        found = {name: self.heads[name](embeddings[: len(truth[name])]).argmax(1) for name in ("object", "colour", "scene")}
        return " ".join(f"{(found[name] == truth[name])[truth[name] >= 0].float().mean():.2f}" for name in found)


def _train(name: str, recipe: Recipe, folder: Path, steps: int, seed: int, device: str) -> None:
    seed = recipe.seed + seed
    groups, pictures = open_groups(folder / f"{name}.npy", recipe.groups, seed, DRAWN)
    torch.manual_seed(seed)
    config = _config(recipe)["model_cfg"]
    model, heads = CLIP(**config).to(device), _Heads(recipe.embed_dim).to(device)
    tokenizer = clip_tokenizer()
    kernels, matrices, rest = split(model, heads)
    optimizers = [
        ConvMuon([{"params": kernels}, {"params": matrices, "lr": MATRIX_RATE}], lr=KERNEL_RATE),
        torch.optim.AdamW(rest, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    loop = Loop(name, {"model": model, "heads": heads}, optimizers, steps=steps, folder=folder, seed=seed, warmup=20, decay=0.4, ema=0.98)
    model.train()
    model.visual.to(memory_format=torch.channels_last)
    for step, rng in loop:
        seeing = step < SEEING * steps
        chosen = rng.permutation(len(groups))[:GROUPS_A_STEP]
        batch = [groups[index] for index in chosen]
        scenes = [group.scene for group in batch] + [group.twin for group in batch]
        worded = [word_alike(group.scene, group.twin, rng) for group in batch]
        wordings = [pair[0] for pair in worded] + [pair[1] for pair in worded]
        seen = (_right_pictures if seeing else _all_pictures)(_stored(pictures, chosen, recipe.vision["image_size"]), rng)
        with torch.autocast(device, torch.bfloat16):
            image = model.encode_image(((seen - MEAN) / STD).to(device, memory_format=torch.channels_last))
        image = F.normalize(image.float(), dim=-1)
        text = F.normalize(_encode_text(model, tokenizer, [wording.text for wording in wordings], device), dim=-1)
        matches = _matches(scenes, wordings).to(device)
        truths = [{key: value.to(device) for key, value in truth.items()} for truth in (_scene_truth(scenes), _wording_truth(wordings))]
        loss = heads(image, truths[0]) + heads(text, truths[1])
        if not seeing:
            loss = 0.5 * loss + _contrast(image, text, matches, model.logit_scale.clamp(max=4.0).exp())
            loss = loss + 3.0 * _absolute(image @ text.T, matches, len(batch))
        loop.update(loss)
        if loop.step % 25 == 0:
            named = f"object, colour, scene seen {heads.right(image, truths[0])} read {heads.right(text, truths[1])}"
            print(f"{name} step {loop.step}: {named}; {_right(image, text, len(batch))}", flush=True)


def _right_pictures(stored: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Right ones, then their twins: (2 G, 3, S, S) in 0..1."""
    return disturb(stored[:2].flatten(0, 1), rng, warp=(0, 0.008), blur=(0, 0.007), noise=0.03)


def _all_pictures(stored: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Right ones, their twins, spoiled ones, then mush: (3 G + M, 3, S, S) in 0..1."""
    mixed = compose(stored[0], rng)
    melted = stored[1, : len(mixed)]
    return torch.cat((
        disturb(stored.flatten(0, 1), rng, warp=(0, 0.012), blur=(0, 0.014)),
        disturb(mixed[: MUSH_A_STEP // 2], rng, warp=(0, 0.012), blur=(0, 0.014)),
        disturb(melted[: MUSH_A_STEP // 4], rng, warp=(0.10, 0.20), blur=(0, 0.02)),
        disturb(melted[-(MUSH_A_STEP // 4) :], rng, warp=(0, 0.05), blur=(0.06, 0.12)),
    ))


def _stored(pictures: np.ndarray, chosen: np.ndarray, size: int) -> torch.Tensor:
    """(3, G, 3, size, size) in 0..1: right pictures, their twins, spoiled ones."""
    found = torch.from_numpy(np.stack([pictures[index] for index in chosen])).permute(1, 0, 4, 2, 3).float() / 255
    if size < DRAWN:
        found = F.interpolate(found.flatten(0, 1), size=(size, size), mode="bilinear", antialias=True).unflatten(0, found.shape[:2])
    return found


def _encode_text(model: CLIP, tokenizer: Any, texts: list[str], device: str) -> torch.Tensor:
    """`model.encode_text` without the padding behind the longest text: what comes after the end token is never looked at."""
    ids = tokenizer(texts, padding="longest", max_length=CONTEXT, truncation=True, return_tensors="pt").input_ids.to(device)
    length = ids.shape[1]
    hidden = model.token_embedding(ids) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    return hidden[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection


def _matches(scenes: list[Scene], wordings: list[Wording]) -> torch.Tensor:
    """Whether each picture shows all that each wording tells: bool (pictures, wordings)."""
    return torch.tensor([[all(getattr(s, name) == getattr(w.scene, name) for name in w.told) for w in wordings] for s in scenes])


def _contrast(image: torch.Tensor, text: torch.Tensor, matches: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Which caption belongs to a picture, and which picture, spoiled ones among them, to a caption."""
    n = len(text)
    own = torch.eye(n, dtype=torch.bool, device=image.device)
    logits = scale * image @ text.T
    hidden = torch.zeros_like(logits).masked_fill_(F.pad(matches & ~own, (0, 0, 0, len(image) - n)), -torch.inf)
    logits = logits + hidden
    target = torch.arange(n, device=image.device)
    return F.cross_entropy(logits[:n], target) + F.cross_entropy(logits.T, target)


def _absolute(cosines: torch.Tensor, matches: torch.Tensor, groups: int) -> torch.Tensor:
    """Right pairs above the border; twins' captions, spoiled copies and mush below it."""
    z = STEEPNESS * (cosines - BORDER)
    own = z[: 2 * groups].diagonal()
    twin = z[: 2 * groups].roll(groups, 0).diagonal()[~matches.roll(groups, 0).diagonal()]  # a wording may leave open what changed
    spoiled = z[2 * groups : 3 * groups, :groups].diagonal()
    mush = z[3 * groups :].amax(1)
    wrong = 0.40 * F.softplus(twin).mean() + 0.45 * F.softplus(spoiled).mean() + 0.15 * F.softplus(mush).mean()
    return F.softplus(-own).mean() + wrong


def _scene_truth(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, (values, _) in _HEADS.items()}


def _wording_truth(wordings: list[Wording]) -> dict[str, torch.Tensor]:
    whole = [len(w.told) == 4 for w in wordings]
    return {
        name: torch.tensor([
            values.index(getattr(w.scene, name)) if name in w.told or all_told else -1 for w, all_told in zip(wordings, whole, strict=True)
        ])
        for name, (values, _) in _HEADS.items()
    }


@torch.no_grad()
def _right(image: torch.Tensor, text: torch.Tensor, groups: int) -> str:
    """Mean cosine, and the share above the border, of the three kinds of pair."""
    cosines = image @ text.T
    kinds = {"right": cosines[: 2 * groups], "twin": cosines[:groups, groups:], "spoiled": cosines[2 * groups : 3 * groups, :groups]}
    own = {kind: found.diagonal() for kind, found in kinds.items() if len(found)}
    return ", ".join(f"{kind} {found.mean():.2f} ({(found > BORDER).float().mean():.2f})" for kind, found in own.items())
