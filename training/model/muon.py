"""Muon on sharded matrices: torch.optim.Muon's update, with the orthogonalisation done on the whole matrix.

torch.optim.Muon (2.11 to 2.13) would iterate on the shards through DTensor, with a collective in each of its 15 matrix
products and partial sums in bfloat16; here each matrix is gathered once and every process works on the whole of it.

Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025, arXiv:2502.16982 (the scaling
to AdamW's RMS).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from training.runtime.distributed import copy_full_tensor, full_tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest semi-orthogonal matrix; for matrices, sharded or not."""

    def __init__(self, matrices: Iterable[Tensor], *, lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, group)

    def _update(self, matrix: Tensor, group: dict[str, Any]) -> None:
        state, momentum, gradient = self.state[matrix], group["momentum"], matrix.grad
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        update = orthogonalize(full_tensor(gradient.lerp(average, momentum)))  # Nesterov's look ahead
        change = torch.empty_like(matrix)
        copy_full_tensor(change, update)
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        # 0.2 sqrt(longer side): entries as large as AdamW's usually are, so that both use one learning rate
        matrix.add_(change, alpha=-group["lr"] * 0.2 * math.sqrt(max(matrix.shape)))


def orthogonalize(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T of `matrix` (A, B), in bfloat16, by Newton-Schulz."""
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
