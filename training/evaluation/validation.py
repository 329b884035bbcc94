"""The loss on held-out data during training. All processes measure together: each holds a part of the model."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.chat.batches import row_batches
from training.chat.packing import PackedRows
from training.data.batches import IGNORE_INDEX, Batch
from training.data.corpus import Windows
from training.data.token_batches import WindowReader, validation_batches
from training.losses import bits_per_byte, next_token_losses
from training.model.transformer import Transformer
from training.runtime import distributed
from training.runtime.distributed import World


@torch.no_grad()
def held_out_totals(
    model: Transformer, batches: Iterable[Batch], world: World, *, loss_chunk: int | None,
    totals: Callable[[Batch, Tensor], Tensor],
) -> list[float]:  # fmt: skip
    """The sum over all batches of all processes.

    Args:
        batches: this process's.
        loss_chunk: see `Transformer.forward`.
        totals: what to add up of a batch and the losses of its targets, float64 (K,).

    Returns:
        K sums.
    """
    sums: Tensor | None = None
    for batch in batches:
        found = totals(batch, next_token_losses(model, batch.to(world.device), chunk=loss_chunk))
        sums = found if sums is None else sums + found
    assert sums is not None, "every process has as many batches, and at least one"
    values: list[float] = distributed.all_reduce_sum(world, sums.to(world.device)).tolist()
    return values


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenValidation:
    """The loss on held-out windows of token shards, per token and per byte."""

    model: Transformer
    world: World
    windows: Windows
    reader: WindowReader
    sequences: int | None
    """Windows measured. None: all."""
    micro_batch_size: int
    loss_chunk: int | None
    byte_lengths: npt.NDArray[np.int64] | None
    """UTF-8 bytes of each id, shape (V,), 0 where it stands for no text; None where the tokenizer does not tell."""

    def __call__(self) -> dict[str, float]:
        """`validation_loss` in nats per token, and `bits_per_byte` where the tokenizer tells its bytes."""
        batches = validation_batches(
            self.windows, self.reader, limit=self.sequences, micro=self.micro_batch_size,
            rank=self.world.rank, size=self.world.size,
        )  # fmt: skip
        nats, tokens, nats_of_bytes, size = held_out_totals(
            self.model, batches, self.world, loss_chunk=self.loss_chunk, totals=self._totals
        )
        row = {"validation_loss": nats / tokens}
        if size:
            row["bits_per_byte"] = bits_per_byte(np.array([nats_of_bytes]), np.array([int(size)]))
        return row

    def _totals(self, batch: Batch, losses: Tensor) -> Tensor:
        """Nats, tokens, nats of tokens that stand for bytes, bytes."""
        targets, nats = batch.targets.numpy(), losses.double().cpu().numpy()
        kept = targets != IGNORE_INDEX
        sizes = np.zeros(1) if self.byte_lengths is None else self.byte_lengths[targets[kept]]
        nats_of_bytes = nats[kept][sizes > 0].sum() if self.byte_lengths is not None else 0.0
        return torch.tensor([nats[kept].sum(), kept.sum(), nats_of_bytes, sizes.sum()], dtype=torch.float64)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChatValidation:
    """The loss on held-out conversations, per supervised token."""

    model: Transformer
    world: World
    rows: PackedRows
    micro_batch_size: int
    loss_chunk: int | None

    def __call__(self) -> dict[str, float]:
        """`validation_loss` in nats per supervised token."""
        every = range(len(self.rows.tokens))
        batches = row_batches(self.rows, every, micro=self.micro_batch_size, rank=self.world.rank, size=self.world.size)
        nats, tokens = held_out_totals(self.model, batches, self.world, loss_chunk=self.loss_chunk, totals=self._totals)
        return {"validation_loss": nats / tokens}

    @staticmethod
    def _totals(batch: Batch, losses: Tensor) -> Tensor:
        """Nats and tokens."""
        return torch.tensor([losses.double().sum().item(), batch.supervised], dtype=torch.float64)
