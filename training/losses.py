"""Losses, in nats: of each token under the output head, and what is made of them.

An output head maps the last hidden states (N, hidden_size) to the loss of each row, float32 (N,), 0 where the target is
IGNORE_INDEX. The dense head computes all logits. The sparse one computes those of supervised rows alone: where few
targets are supervised (a quarter, in fine-tuning; the continuation, in evaluation) most of the head's work and of its
memory, logits of (tokens, vocabulary), is for nothing: a step of a small model with a vocabulary of 50,000 and a
quarter supervised took 0.48 CPU s instead of 2.7. Its sizes depend on the data, so `torch.compile` wants the dense
head.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.data.batches import IGNORE_INDEX, Batch

HeadLoss = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""From hidden states (N, D), the head's weight (padded V, D), targets int64 (N,) and V to losses, float32 (N,)."""


def next_token_losses(model: Callable[..., Tensor], batch: Batch, *, chunk: int | None) -> Tensor:
    """The loss of each target of a batch, float32 (B, T), 0 where it is IGNORE_INDEX.

    Args:
        model: a Transformer.
        batch: on the model's device.
        chunk: tokens whose logits exist at one time. None: all.
    """
    return model(batch.tokens, targets=batch.targets, document_ids=batch.document_ids, loss_chunk=chunk)


def dense_head_losses(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """A HeadLoss that computes every row's logits; padding of the vocabulary takes no part."""
    logits = F.linear(x, weight)[:, :vocab_size].float()
    return F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="none")


def sparse_head_losses(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """A HeadLoss that computes the logits of supervised rows alone."""
    supervised, logits = supervised_logits(x, weight, targets, vocab_size)
    # Even without a supervised row the result hangs on x and weight, as a sharded backward pass needs.
    losses = F.cross_entropy(logits, targets[supervised], reduction="none")
    return torch.zeros(len(x), device=x.device).masked_scatter(supervised, losses)


def supervised_logits(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Which rows are supervised, bool (N,), and their logits, float32 (supervised, V); arguments as of a HeadLoss."""
    supervised = targets != IGNORE_INDEX
    return supervised, F.linear(x[supervised], weight)[:, :vocab_size].float()


def chunked_head_losses(
    head: HeadLoss, x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int, *, chunk: int | None
) -> Tensor:
    """What `head` returns, `chunk` rows at a time; their logits are computed again in the backward pass, which costs
    2 D V FLOPs a token. None: all rows at once."""
    if chunk is None or chunk >= len(targets):
        return head(x, weight, targets, vocab_size)
    parts = [
        checkpoint(head, rows, weight, ids, vocab_size, use_reentrant=False)
        for rows, ids in zip(torch.split(x, chunk), torch.split(targets, chunk), strict=True)
    ]
    return torch.cat(parts)


def bits_per_byte(nats: npt.NDArray[np.floating], byte_lengths: npt.NDArray[np.integer]) -> float:
    """Loss per UTF-8 byte, comparable between tokenizers.

    Args:
        nats: loss of each target token, shape (N,), natural log, masked targets removed.
        byte_lengths: UTF-8 bytes of each target token, shape (N,), 0 for special tokens.

    Returns:
        Bits per byte, >= 0; a uniform guess over bytes scores 8.

    Raises:
        ValueError: no target has bytes, so the ratio is undefined (not infinite).

    Source: Gao et al. 2020, arXiv:2101.00027 (The Pile).
    """
    total_bytes = int(byte_lengths.sum())
    if total_bytes == 0:
        raise ValueError(f"bits_per_byte: all {len(nats)} targets have byte length 0")
    return float(nats[byte_lengths > 0].sum(dtype=np.float64)) / (math.log(2) * total_bytes)
