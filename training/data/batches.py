"""What training reads: batches as a function of the position, made ahead of time in a thread."""

import dataclasses
import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

IGNORE_INDEX = -100
"""A target that is not supervised: its loss is 0 and has no gradient. The value that PyTorch's cross-entropy has."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What goes through the model at one time on one process; see `Transformer.forward`."""

    tokens: Tensor
    """int64 (B, T)."""
    targets: Tensor
    """int64 (B, T), IGNORE_INDEX where nothing is to be learned."""
    document_ids: Tensor | None = None
    """int64 (B, T)."""

    @property
    def supervised(self) -> int:
        """Targets that count."""
        return int((self.targets != IGNORE_INDEX).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`; from pinned memory without waiting."""
        if device == self.tokens.device:
            return self
        moved = {name: None if value is None else value.to(device, non_blocking=True) for name, value in self._fields()}
        return Batch(**moved)  # type: ignore[arg-type]

    def pinned(self) -> "Batch":
        """The same in memory a GPU can fetch from by itself."""
        moved = {name: None if value is None else value.pin_memory() for name, value in self._fields()}
        return Batch(**moved)  # type: ignore[arg-type]

    def _fields(self) -> list[tuple[str, Tensor | None]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]


class BatchSource(Protocol):
    """Training data as a function of the position: nothing about it needs to be saved but that number."""

    @property
    def sequences_per_step(self) -> int:
        """Positions that one optimizer step takes, over all processes."""

    def step(self, first: int) -> list[Batch]:
        """This process's micro-batches of the step that starts at position `first`; as many on every process."""


def micro_batches(count: int, micro: int, rank: int, size: int) -> Iterator[list[int | None]]:
    """Which of `count` sequences process `rank` of `size` takes, in micro-batches of `micro`; None fills up.

    Every process gets the same number of micro-batches, since sharded models work in step.
    """
    micro = min(micro, -(-count // size))
    for first in range(rank * micro, rank * micro + count, micro * size):
        yield [index if index < count else None for index in range(first, first + micro)]


class Prefetcher:
    """Makes the batches of coming steps in a thread, while the device works on this one's."""

    def __init__(self, source: BatchSource, first: int, *, pin: bool, depth: int = 2) -> None:
        self._source, self._next, self._pin = source, first, pin
        self._queue: queue.Queue[list[Batch] | BaseException] = queue.Queue(depth)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def take(self) -> list[Batch]:
        """The next step's micro-batches; what the thread raised, raised here."""
        found = self._queue.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Stop the thread."""
        self._closing.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                batches = self._source.step(self._next)
                made: list[Batch] | BaseException = [batch.pinned() for batch in batches] if self._pin else batches
            except BaseException as error:  # noqa: BLE001 - handed to the one who takes
                made = error
            self._next += self._source.sequences_per_step
            self._queue.put(made)
            if isinstance(made, BaseException):
                return
