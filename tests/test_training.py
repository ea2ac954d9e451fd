"""The training loop of the embedded family: a run that was stopped ends as one that was not."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from models.embedded.training.autoencoder import new_autoencoder, start_as_thumbnail
from models.embedded.training.loop import Loop, optimizers_for

ROOT = Path(__file__).parents[1]


def train(folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 48), nn.SiLU(), nn.Linear(48, 32))
    loop = Loop("toy", {"net": module}, optimizers_for([module], muon_rate=1e-2, adam_rate=1e-2), steps=12, folder=folder, seed=5, warmup=2)
    for step, rng in loop:
        if step == stop_at:
            loop.save()
            break
        x = torch.from_numpy(rng.normal(size=(8, 32))).float()
        loop.update((module(x) - x.flip(1)).pow(2).mean())
    return {**loop.averaged("net"), **{f"now.{k}": v for k, v in module.state_dict().items()}}


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    train(tmp_path / "halves", stop_at=7)
    resumed = train(tmp_path / "halves")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    module = nn.Linear(4, 4)
    loop = Loop("toy", {"net": module}, optimizers_for([module], muon_rate=1e-2, adam_rate=1e-2), steps=3, folder=tmp_path, seed=5)
    with pytest.raises(FloatingPointError, match="step 0"):
        for _ in loop:
            loop.update(module(torch.full((1, 4), float("nan"))).sum())


def test_the_untrained_autoencoder_passes_colours_through() -> None:
    torch.manual_seed(0)
    vae = new_autoencoder()
    start_as_thumbnail(vae)
    red = torch.tensor([0.8, -0.6, -0.6])[:, None, None].expand(3, 128, 128)
    blue = torch.tensor([-0.6, -0.6, 0.8])[:, None, None].expand(3, 128, 128)
    picture = torch.cat([red, blue], 2)[None]
    with torch.no_grad():
        out = vae.decode(vae.encode(picture).latent_dist.mode()).sample[0]
    left, right = out[:, 32:96, 32:96].mean((1, 2)), out[:, 32:96, 160:224].mean((1, 2))
    assert left.argmax() == 0 and right.argmax() == 2


def test_every_process_makes_the_same_tokenizers() -> None:
    show = (
        "from models.embedded.training.tokenizers import clip_tokenizer, t5_tokenizer;"
        "print(*(t.backend_tokenizer.to_str() for t in (clip_tokenizer(), t5_tokenizer())))"
    )
    command = [sys.executable, "-c", show]
    made = {
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1 and len(made.pop()) > 10_000


def test_every_word_of_the_world_is_one_token() -> None:
    from models.embedded.captions import vocabulary
    from models.embedded.training.tokenizers import clip_tokenizer

    tokenizer = clip_tokenizer()
    words = [word for word in vocabulary() if word.isalpha() and word.isascii()]
    assert len(words) > 100
    assert all(len(tokenizer(word).input_ids) == 3 for word in words)  # between the start and the end
