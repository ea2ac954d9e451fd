"""A training loop that can be stopped at any moment and goes on from its last checkpoint.

Every batch is drawn from a generator seeded by (seed, step), so a resumed run sees the batches an uninterrupted one would.
"""
from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

SAVE_SECONDS = 120.0


class Loop:
    """Iterate over steps; call `update(loss)` once in each.

    The learning rate warms up, stays, and decays linearly over the last `decay` share of the steps (the warmup-stable-decay schedule),
    so a run may be resumed with another number of steps. The exponential average of the weights warms up too: at step n it forgets
    with 1 - min(ema, (1 + n) / (10 + n)).
    """

    def __init__(
        self, name: str, modules: dict[str, nn.Module], optimizers: list[torch.optim.Optimizer], *, steps: int, folder: Path, seed: int,
        warmup: int = 50, decay: float = 0.3, ema: float = 0.999, clip: float = 1.0,
    ) -> None:
        self.name, self.modules, self.optimizers = name, modules, optimizers
        self.steps, self.file, self.seed = steps, folder / f"{name}.pt", seed
        self.warmup, self.decay, self.ema, self.clip = warmup, decay, ema, clip
        self.step, self.average_loss = 0, math.nan
        self.parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
        self.base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.averages = {name: {k: v.detach().clone().float() for k, v in m.state_dict().items()} for name, m in modules.items()}
        folder.mkdir(parents=True, exist_ok=True)
        if self.file.exists():
            self._load()

    def __iter__(self) -> Iterator[tuple[int, np.random.Generator]]:
        started = saved = told = time.monotonic()
        first = self.step
        while self.step < self.steps:
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            yield self.step, np.random.default_rng([self.seed, self.step])
            now = time.monotonic()
            if now - told > 15 or self.step == self.steps:
                per_step = (now - started) / (self.step - first)
                print(f"{self.name} step {self.step}/{self.steps} loss {self.average_loss:.4f} "
                      f"{per_step:.2f} s/step, {per_step * (self.steps - self.step) / 60:.1f} min left", flush=True)
                told = now
            if now - saved > SAVE_SECONDS:
                self.save()
                saved = now
        self.save()

    def update(self, loss: torch.Tensor) -> None:
        """Backward, clip, step every optimizer, move the averages. Raises FloatingPointError when the loss is not finite."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"{self.name}: the loss is {value} at step {self.step}; lower the learning rate")
        self.average_loss = value if math.isnan(self.average_loss) else 0.98 * self.average_loss + 0.02 * value
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        rate = self._rate()
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average()

    def averaged(self, name: str) -> dict[str, torch.Tensor]:
        return self.averages[name]

    def save(self) -> None:
        temporary = self.file.with_suffix(".tmp")
        torch.save({
            "step": self.step, "loss": self.average_loss, "averages": self.averages,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }, temporary)
        os.replace(temporary, self.file)

    def _load(self) -> None:
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        self.step, self.average_loss, self.averages = state["step"], state["loss"], state["averages"]
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        print(f"{self.name}: resumed at step {self.step}", flush=True)

    def _rate(self) -> float:
        left = (self.steps - self.step) / max(1, int(self.steps * self.decay))
        return min((self.step + 1) / self.warmup, 1.0, max(left, 0.02))

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.ema, (1 + self.step) / (10 + self.step))
        for name, module in self.modules.items():
            average = self.averages[name]
            mine = dict(module.state_dict())
            floats = [k for k, v in mine.items() if v.is_floating_point()]
            torch._foreach_lerp_([average[k] for k in floats], [mine[k].float() for k in floats], 1 - keep)


def optimizers_for(modules: list[nn.Module], *, muon_rate: float, adam_rate: float) -> list[torch.optim.Optimizer]:
    """Muon (https://kellerjordan.github.io/posts/muon) for the inner matrices; Adam for the rest, modulation included: it is a
    third of the weights, used once a picture rather than once a token, and Muon's price goes by weights."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                inner = parameter.ndim == 2 and not any(part in name for part in ("embed", "proj_out.weight", "norm", "shared"))
                (matrices if inner and min(parameter.shape) >= 32 else others).append(parameter)
    adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    if not matrices:
        return [adam]
    muon = torch.optim.Muon(matrices, lr=muon_rate, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw", ns_steps=4)
    return [muon, adam]
