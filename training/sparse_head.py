"""The output head of `Transformer` for the tokens that count alone.

Where few targets are supervised (a quarter, in fine-tuning; the continuation, in evaluation) most of the head's work
and of its memory, logits of (tokens, vocabulary), is for nothing: a step of a small model with a vocabulary of 50,000
and a quarter supervised took 0.48 CPU s instead of 2.7. Sizes then depend on the data, so `torch.compile` keeps the
dense head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model import IGNORE


def supervised_logits(x: Tensor, weight: Tensor, targets: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Which rows are supervised, bool (N,), and their logits, float32 (supervised, V).

    Args:
        x: (N, D).
        weight: (padded V, D).
        targets: int64 (N,), IGNORE where nothing is to be predicted.
        vocabulary: V.
    """
    wanted = targets != IGNORE
    return wanted, F.linear(x[wanted], weight)[:, :vocabulary].float()


def sparse_head_nats(x: Tensor, weight: Tensor, targets: Tensor, vocabulary: int) -> Tensor:
    """As `model.head_nats`: the loss of each row, float32 (N,), 0 where the target is IGNORE."""
    wanted, logits = supervised_logits(x, weight, targets, vocabulary)
    # Even without a supervised row the result hangs on x and weight, as a sharded backward pass needs.
    losses = F.cross_entropy(logits, targets[wanted], reduction="none")
    return torch.zeros(len(x), device=x.device).masked_scatter(wanted, losses)
