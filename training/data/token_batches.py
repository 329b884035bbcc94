"""Token shards as training batches.

    shards -> spans (train | held out) -> windows of T + 1 tokens -> the global order -> this process's micro-batches
                     corpus.py                                       order.py              here

A step takes the next `count` positions of the order, whatever the number of processes; each process reads its part of
them. Where they do not divide evenly, rows without targets fill up. So any world size goes on with the same sequences.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pipeline.contract.errors import ConfigError, InputError
from training.config import PretrainConfig
from training.data.batches import IGNORE_INDEX, Batch, micro_batches
from training.data.corpus import Corpus, Windows
from training.data.order import Numbers, Order


class TokenBatches:
    """The training sequences of a mix, for one of the processes."""

    def __init__(
        self,
        windows: Sequence[Windows],
        order: Order,
        reader: "WindowReader",
        *,
        count: int,
        micro: int,
        rank: int,
        size: int,
    ) -> None:
        self.windows, self.order, self.reader = tuple(windows), order, reader
        self.sequences_per_step, self.micro, self.rank, self.size = count, micro, rank, size

    def step(self, first: int) -> list[Batch]:
        """See BatchSource."""
        return [
            self.reader.batch([None if place is None else (self.windows[place[0]], place[2]) for place in places])
            for places in self._shares(first)
        ]

    def _shares(self, first: int) -> Iterator[list[tuple[int, int, int] | None]]:
        located = zip(*(part.tolist() for part in self.order.locate(self.positions(first))), strict=True)
        every: list[tuple[int, int, int] | None] = list(located)
        for mine in micro_batches(len(every), self.micro, self.rank, self.size):
            yield [every[index] if index is not None else None for index in mine]

    def positions(self, first: int) -> Numbers:
        """The positions of a step."""
        return np.arange(first, first + self.sequences_per_step, dtype=np.int64)


class WindowReader:
    """Turns windows into batches, and refuses ids that the model does not have."""

    def __init__(self, *, length: int, vocab_size: int, document_mask: bool) -> None:
        self.length, self.vocab_size, self.document_mask = length, vocab_size, document_mask

    def batch(self, windows: Sequence[tuple[Windows, int] | None]) -> Batch:
        """One row for each window; a row without targets for None.

        Raises:
            InputError: an id outside the vocabulary, with its shard and position.
        """
        tokens = np.zeros((len(windows), self.length), dtype=np.int64)
        targets = np.full_like(tokens, IGNORE_INDEX)
        documents = np.zeros_like(tokens)
        for row, window in enumerate(windows):
            if window is None:
                continue
            ids = window[0].tokens(window[1])
            if int(ids.max()) >= self.vocab_size:
                self._refuse(*window, ids)
            tokens[row], targets[row] = ids[:-1], ids[1:]
            if self.document_mask:
                documents[row] = window[0].document_ids(window[1])
        masked = torch.from_numpy(documents) if self.document_mask else None
        return Batch(tokens=torch.from_numpy(tokens), targets=torch.from_numpy(targets), document_ids=masked)

    def _refuse(self, windows: Windows, number: int, ids: Numbers) -> None:
        shard, start = windows.place(number)
        at = int((ids >= self.vocab_size).argmax())
        problem = f"has the id {ids[at]} at token {start + at}; the model's vocabulary is {self.vocab_size}"
        raise InputError(str(shard.path), problem, hint="the shard is damaged, or its manifest is another shard's")


def validation_batches(
    windows: Windows, reader: WindowReader, *, limit: int | None, micro: int, rank: int, size: int
) -> Iterator[Batch]:
    """The first `limit` held-out windows, in their order, as `TokenBatches.step` shares them out."""
    count = len(windows) if limit is None else min(limit, len(windows))
    for mine in micro_batches(count, micro, rank, size):
        yield reader.batch([None if index is None else (windows, index) for index in mine])


def training_batches(
    config: PretrainConfig, corpus: Corpus, reader: WindowReader, *, rank: int, size: int
) -> TokenBatches:
    """The training sequences of a config for one process.

    Raises:
        ConfigError: a source's weight is too small.
    """
    try:
        order = Order([len(windows) for windows in corpus.train], corpus.weights, config.seed)
    except ValueError as error:
        raise ConfigError("data.tokens", str(error)) from error
    return TokenBatches(
        corpus.train,
        order,
        reader,
        count=config.sequences_per_step,
        micro=config.batch.micro_batch_size,
        rank=rank,
        size=size,
    )
