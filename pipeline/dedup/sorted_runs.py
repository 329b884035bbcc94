"""Sorted runs on disk, read together by ranges of their key.

A run is a list of (key, value) rows sorted by key. Many runs (one for each group of parts) together are one big sorted
list, of which a range of keys is read at a time: each run gives the slice that lies in the range. What is wanted of
the rows is always the same: which values share a key, and the smallest of them.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.shingles import U64

MAX_SAMPLES = 4096
"""Entries in a run's table of contents."""
MIN_STEP = 64
"""Least number of rows between two entries."""
ROW_BYTES = 64
"""Memory for one row while a range is grouped: key, value, order, two copies."""
KEYS = 1 << 64


class Run(Protocol):
    """Rows sorted by key."""

    @property
    def samples(self) -> U64:
        """The key of every `step`-th row, from row 0."""

    @property
    def step(self) -> int:
        """Rows between two samples."""

    @property
    def rows(self) -> int:
        """Rows in the run."""

    def read(self, start: int, stop: int) -> tuple[U64, U64 | None, U64]:
        """(keys, the keys' second halves or None, values) of rows [start, stop)."""


@dataclasses.dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in an array file: `NAME.key`, `NAME.row`, `NAME.samples` and, for keys of 128 bits, `NAME.low`."""

    file: ArrayFile
    name: str
    group: int
    """The group of parts the file belongs to; a value is `group << 32 | row`."""

    @property
    def samples(self) -> U64:
        """See Run."""
        return self.file.read(f"{self.name}.samples")

    @property
    def rows(self) -> int:
        """See Run."""
        return self.file.rows(f"{self.name}.key")

    @property
    def step(self) -> int:
        """See Run."""
        return step_for(self.rows)

    def read(self, start: int, stop: int) -> tuple[U64, U64 | None, U64]:
        """See Run."""
        low = self.file.read(f"{self.name}.low", start, stop) if f"{self.name}.low" in self.file else None
        values = self.file.read(f"{self.name}.row", start, stop) | np.uint64(self.group << 32)
        return self.file.read(f"{self.name}.key", start, stop), low, values


def run_arrays(name: str, keys: U64, rows: U64, low: U64 | None = None) -> dict[str, np.ndarray]:
    """The arrays of a StoredRun, sorted by (key, low, row)."""
    order = np.lexsort((rows, keys) if low is None else (rows, low, keys))
    arrays: dict[str, np.ndarray] = {f"{name}.key": keys[order], f"{name}.row": rows[order].astype(np.uint32)}
    if low is not None:
        arrays[f"{name}.low"] = low[order]
    arrays[f"{name}.samples"] = keys[order][:: step_for(len(keys))]
    return arrays


def step_for(rows: int) -> int:
    """Rows between two samples of a run."""
    return max(MIN_STEP, -(-rows // MAX_SAMPLES))


@dataclasses.dataclass(frozen=True, slots=True)
class Grouped:
    """Rows sorted by key, each with the smallest value that has its key anywhere in the runs."""

    keys: U64
    values: U64
    smallest: U64


def grouped(runs: Sequence[Run], low: int, high: int, budget: int) -> Iterator[Grouped]:
    """All rows with `low` <= key < `high`, grouped by key, in blocks of ascending keys that need about `budget` bytes.

    A key whose rows alone exceed the budget comes in several blocks, read twice.
    """
    for keys in key_ranges(runs, low, high, budget):
        if keys.fits:
            yield _group(*read_range(runs, keys))
        else:
            yield from _one_key(runs, keys, max(1, budget // ROW_BYTES))


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys [start, stop), and the rows of each run among which theirs are."""

    start: int
    stop: int
    slices: tuple[tuple[int, int], ...]
    fits: bool
    """Whether all rows may be held at once; if not, they are the rows of a single key."""


def key_ranges(runs: Sequence[Run], low: int, high: int, budget: int) -> Iterator[KeyRange]:
    """Ranges that cover the keys [low, high), of rows that need about `budget` bytes or of one key."""
    contents = [run.samples for run in runs]
    for start, stop in _ranges(runs, contents, low, high, max(1, budget // ROW_BYTES)):
        slices = tuple(_slice(run, samples, start, stop) for run, samples in zip(runs, contents, strict=True))
        total = sum(end - begin for begin, end in slices)
        if total:
            yield KeyRange(start, stop, slices, fits=stop - start > 1 or total * ROW_BYTES <= budget)


def read_range(runs: Sequence[Run], keys: KeyRange) -> tuple[U64, U64 | None, U64]:
    """(keys, second halves or None, values) of all rows of all runs whose key is in the range."""
    wanted = [(run, rows) for run, rows in zip(runs, keys.slices, strict=True) if rows[0] < rows[1]]
    parts = [_trim(run.read(*rows), keys.start, keys.stop) for run, rows in wanted]
    if not parts:
        return np.empty(0, np.uint64), None, np.empty(0, np.uint64)
    found, lows, values = zip(*parts, strict=True)
    return np.concatenate(found), None if lows[0] is None else np.concatenate(lows), np.concatenate(values)


def read_blocks(runs: Sequence[Run], keys: KeyRange, max_rows: int) -> Iterator[tuple[U64, U64 | None, U64]]:
    """The same, at most `max_rows` rows at a time, run after run."""
    for run, (begin, end) in zip(runs, keys.slices, strict=True):
        for start in range(begin, end, max_rows):
            block = _trim(run.read(start, min(end, start + max_rows)), keys.start, keys.stop)
            if len(block[0]):
                yield block


def _ranges(runs: Sequence[Run], contents: list[U64], low: int, high: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys that cover [low, high), each of about `most` rows or of a single key."""
    samples = np.sort(np.concatenate([s[(s >= low) & (s <= high - 1)] for s in contents] or [np.empty(0, np.uint64)]))
    step = max((run.step for run in runs), default=1)
    # A slice reaches up to a step beyond its samples in each run.
    every = max(1, (most - step * len(runs)) // step if most > 2 * step * len(runs) else most // (2 * step))
    start = low
    for cut in np.unique(samples[every::every]).tolist():
        if cut > start:
            yield start, cut
            start = cut
        if cut + 1 < high and np.searchsorted(samples, cut, side="right") - np.searchsorted(samples, cut) >= every:
            yield cut, cut + 1
            start = cut + 1
    if start < high:
        yield start, high


def _slice(run: Run, samples: U64, low: int, high: int) -> tuple[int, int]:
    """Rows of `run` that hold every key in [low, high), and up to a step of others on either side."""
    begin = int(np.searchsorted(samples, np.uint64(low), side="left"))
    end = len(samples) if high >= KEYS else int(np.searchsorted(samples, np.uint64(high), side="left"))
    return max(0, begin - 1) * run.step, min(end * run.step, run.rows)


def _trim(part: tuple[U64, U64 | None, U64], low: int, high: int) -> tuple[U64, U64 | None, U64]:
    keys, lows, values = part
    begin = int(np.searchsorted(keys, np.uint64(low)))
    end = int(np.searchsorted(keys, np.uint64(high - 1), side="right"))
    return keys[begin:end], None if lows is None else lows[begin:end], values[begin:end]


def _group(keys: U64, lows: U64 | None, values: U64) -> Grouped:
    if not len(keys):
        return Grouped(keys, values, values)
    order = np.argsort(keys) if lows is None else np.lexsort((lows, keys))
    keys, values = keys[order], values[order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    if lows is not None:
        lows = lows[order]
        first[1:] |= lows[1:] != lows[:-1]
    starts = np.flatnonzero(first)
    smallest = np.repeat(np.minimum.reduceat(values, starts), np.diff(starts, append=len(keys)))
    return Grouped(keys, values, smallest)


def _one_key(runs: Sequence[Run], key_range: KeyRange, max_rows: int) -> Iterator[Grouped]:
    """The rows of one key that are too many to hold: read once for the smallest values, once more to give them out."""
    smallest: dict[int, int] = {}
    for _, lows, values in read_blocks(runs, key_range, max_rows):
        for low in [0] if lows is None else np.unique(lows).tolist():
            least = int((values if lows is None else values[lows == low]).min())
            smallest[low] = min(smallest.get(low, least), least)
    halves = np.array(sorted(smallest), np.uint64)
    least_values = np.array([smallest[low] for low in sorted(smallest)], np.uint64)
    for keys, lows, values in read_blocks(runs, key_range, max_rows):
        at = np.zeros(len(keys), np.int64) if lows is None else np.searchsorted(halves, lows)
        yield Grouped(keys, values, least_values[at])
