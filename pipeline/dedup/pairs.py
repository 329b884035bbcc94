"""Pairs of document keys in a file: little-endian uint64, two to a pair, nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.shingles import U64

PAIR_BYTES = 16


class PairWriter:
    """Appends pairs to a new file."""

    def __init__(self, path: Path) -> None:
        self.pairs = 0
        self._sink: BinaryIO = path.open("wb")

    def __enter__(self) -> "PairWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()

    def append(self, first: U64, second: U64) -> None:
        """Write the pairs (first[i], second[i])."""
        self._sink.write(np.column_stack([first, second]).astype("<u8", copy=False).tobytes())
        self.pairs += len(first)


def count_pairs(path: Path) -> int:
    """Pairs in the file.

    Raises:
        IntegrityError: it is missing, or its size is no multiple of a pair.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IntegrityError(f"{path}: cannot be read: {error.strerror}") from error
    if size % PAIR_BYTES:
        raise IntegrityError(f"{path}: {size} bytes are no whole number of pairs")
    return size // PAIR_BYTES


def read_pairs(path: Path, start: int = 0, stop: int | None = None) -> U64:
    """Pairs [start, stop), shape (pairs, 2)."""
    start, stop, _ = slice(start, stop).indices(count_pairs(path))
    count = max(0, stop - start)
    return np.fromfile(path, "<u8", 2 * count, offset=start * PAIR_BYTES).reshape(-1, 2)


def pair_blocks(paths: Sequence[Path], max_rows: int) -> Iterator[U64]:
    """All pairs of all files, at most `max_rows` at a time."""
    for path in paths:
        for start in range(0, count_pairs(path), max_rows):
            yield read_pairs(path, start, start + max_rows)


def distinct(first: U64, second: U64) -> tuple[U64, U64]:
    """The pairs without repeats, sorted by (first, second)."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    fresh = np.ones(len(first), np.bool_)
    fresh[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[fresh], second[fresh]
