"""Muon (https://kellerjordan.github.io/posts/muon) for convolutions too: torch's own takes matrices only."""
from __future__ import annotations

import torch
from torch import nn


class ConvMuon(torch.optim.Optimizer):
    """Momentum, made orthogonal by five Newton-Schulz steps; a kernel (out, in, h, w) counts as the matrix (out, in h w).

    The update is scaled to the size that Adam's would have, so the learning rates compare.
    """

    def __init__(self, parameters: list, lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # Loop never passes a closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                moved = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonal(parameter.grad.add(moved, alpha=group["momentum"]).flatten(1))
                parameter.add_(update.reshape(parameter.shape), alpha=-0.2 * group["lr"] * max(update.shape) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: singular values end between 0.7 and 1.2."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


def split(model: nn.Module, heads: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """(the picture tower's kernels and matrices, the text tower's matrices, all else)

    The attention pool is large and learns well with Adam; embeddings, the first convolution and heads are Adam's by custom.
    """
    kernels, matrices, rest = [], [], list(heads.parameters())
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or any(part in name for part in ("embed", "attnpool", "visual.conv1.", "stem", "projection")):
            rest.append(parameter)
        elif name.startswith("visual."):
            kernels.append(parameter)
        else:
            matrices.append(parameter)
    return kernels, matrices, rest
