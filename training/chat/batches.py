"""Packed rows of conversations as training batches."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from training.chat.packing import PackedRows
from training.data.batches import IGNORE_INDEX, Batch, micro_batches
from training.data.order import Order


class ChatBatches:
    """The training rows for one of the processes; see `data.batches.BatchSource`.

    Every epoch has an order of its own. The last step of the last epoch may have fewer rows.
    """

    def __init__(
        self, rows: PackedRows, *, epochs: int, count: int, micro: int, seed: int, rank: int, size: int
    ) -> None:
        self._rows, self._total = rows, epochs * len(rows.tokens)
        self._order = Order([len(rows.tokens)], [1.0], seed)
        self._count, self._micro, self._rank, self._size = count, micro, rank, size

    @property
    def sequences_per_step(self) -> int:
        """See BatchSource."""
        return self._count

    @property
    def steps(self) -> int:
        """Steps until every row has been seen `epochs` times."""
        return -(-self._total // self._count)

    def step(self, first: int) -> list[Batch]:
        """See BatchSource."""
        positions = np.arange(first, min(first + self._count, self._total), dtype=np.int64)
        rows = self._order.locate(positions)[2].tolist()
        return list(row_batches(self._rows, rows, micro=self._micro, rank=self._rank, size=self._size))


def row_batches(rows: PackedRows, chosen: Sequence[int], *, micro: int, rank: int, size: int) -> Iterator[Batch]:
    """One process's share of the `chosen` rows."""
    for mine in micro_batches(len(chosen), micro, rank, size):
        yield _batch(rows, [None if index is None else chosen[index] for index in mine])


def _batch(rows: PackedRows, chosen: Sequence[int | None]) -> Batch:
    """One row for each number; one that teaches nothing for None."""
    numbers = np.array([0 if number is None else number for number in chosen])
    targets = rows.targets[numbers].astype(np.int64)
    targets[[number is None for number in chosen]] = IGNORE_INDEX
    return Batch(
        tokens=torch.from_numpy(rows.tokens[numbers].astype(np.int64)),
        targets=torch.from_numpy(targets),
        document_ids=torch.from_numpy(rows.document_ids[numbers].astype(np.int64)),
    )
