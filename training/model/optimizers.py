"""Optimizers and their learning rate."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import OptimizerConfig
from training.model.muon import Muon


class Optimizers:
    """One or two optimizers that together hold every parameter once."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer], names: dict[Tensor, str]) -> None:
        self.parts, self._names = tuple(parts), names

    def set_learning_rate(self, rate: float) -> None:
        """Use `rate` for the next steps."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """Update the parameters from their gradients."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The state under its names in a checkpoint, `optimizer.PARAMETER.KEY`; made first where no step was done."""
        if not any(part.state for part in self.parts):
            self._make_state()
        return {
            f"optimizer.{self._names[parameter]}.{key}": value
            for part in self.parts
            for parameter, state in part.state.items()
            for key, value in state.items()
        }

    def _make_state(self) -> None:
        """A step that changes nothing: no gradient, no rate. What it leaves in the state is overwritten by a load."""
        rates = [[group["lr"] for group in part.param_groups] for part in self.parts]
        for parameter in self._names:
            parameter.grad = torch.zeros_like(parameter)
        self.set_learning_rate(0.0)
        self.step()
        self.zero_grad()
        for part, kept in zip(self.parts, rates, strict=True):
            for group, rate in zip(part.param_groups, kept, strict=True):
                group["lr"] = rate


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> Optimizers:
    """AdamW on everything, or Muon on the matrices of the blocks and AdamW on the rest.

    Weight decay is on parameters of two or more dimensions alone. Muon takes matrices that map one hidden state to
    another: not embeddings, head, norms and biases (Jordan et al. 2024).
    """
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    matrices = {name for name, p in parameters.items() if name.startswith("blocks.") and p.ndim == 2}
    muon = matrices if config.name == "muon" else set()
    rest = [parameter for name, parameter in parameters.items() if name not in muon]
    parts: list[torch.optim.Optimizer] = [_adamw(rest, config)]
    if muon:
        chosen = [parameters[name] for name in parameters if name in muon]
        parts.append(Muon(chosen, lr=config.learning_rate, weight_decay=config.weight_decay))
    return Optimizers(parts, {parameter: name for name, parameter in parameters.items()})


def _adamw(parameters: Sequence[Tensor], config: OptimizerConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, fused=True)


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """The rate of update number `step` (from 0) of `steps`.

    Linear warm-up reaches the peak at update `warmup_steps`; the last update of either schedule is made at
    `min_lr_ratio` of the peak. Sources: Loshchilov and Hutter 2017, arXiv:1608.03983 (cosine); Hu et al. 2024,
    arXiv:2404.06395 (warm-up, stable, decay).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    floor = config.min_lr_ratio
    if config.schedule == "cosine":
        done = (step - config.warmup_steps) / max(1, steps - 1 - config.warmup_steps)
        share = floor + (1 - floor) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    else:
        decay = max(1, round(config.decay_fraction * steps))
        done = max(0.0, (step - (steps - 1 - decay)) / decay)
        share = 1 - (1 - floor) * min(done, 1.0)
    return config.learning_rate * share
