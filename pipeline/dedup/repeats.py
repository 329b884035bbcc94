"""What stands in more than one place, among more items than fit any memory.

    items of documents -> combined -> write_run          sorted runs on disk: one row for each key of a group
    runs, one range of keys -> write_repeats             the keys with enough places, and the first place of each
    items of a part, repeats -> repeated_elsewhere       which of them stand elsewhere (before)

An item is a line or a run of words, known by a 128-bit key. A run holds a key once, however often its documents do, so
that a key has at most as many rows as there are runs: what stands in a million places costs no more than that.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.edges import partition_bounds
from pipeline.dedup.shingles import U64
from pipeline.dedup.sorted_runs import KEYS, step_for

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
COLUMNS: dict[str, npt.DTypeLike] = {
    "key": np.uint64, "low": np.uint64, "order": np.uint64, "tie": np.uint64, "place": np.uint64, "at": np.uint32,
    "count": np.uint32,
}  # fmt: skip
FIRST = ("key", "low", "order", "tie", "place", "at")
"""What is told of a repeated key: itself and its first place."""
ROW_BYTES = 48
"""Of one item on disk, the alignment of arrays included."""
MEMORY_BYTES = 192
"""Memory for one item while items are sorted: the columns, their order, two copies."""
_MOST = 2**32 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """Keys and where they stand; every column has shape (items,)."""

    key: U64
    low: U64
    """The two halves of the 128-bit key."""
    order: U64
    """Of the document: smaller comes first (its date)."""
    tie: U64
    """Of the document: decides between equal orders (a hash of its id)."""
    place: U64
    """Of the document: group << 32 | row; decides between documents of the same id and date."""
    at: npt.NDArray[np.uint32]
    """Place in the document."""
    count: npt.NDArray[np.uint32]
    """Places (or documents) it stands for."""

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: Index | Mask | slice) -> "Items":
        """Some of the items."""
        return Items(*(getattr(self, name)[rows] for name in COLUMNS))


def concatenate(parts: Sequence[Items]) -> Items:
    """All items of all parts."""
    columns = ([getattr(part, name) for part in parts] for name in COLUMNS)
    return Items(*(np.concatenate([np.empty(0, dtype), *found])
                   for dtype, found in zip(COLUMNS.values(), columns, strict=True)))  # fmt: skip


def combined(items: Items) -> Items:
    """One item for each key, sorted by key: its first place and the sum of its counts."""
    items = items.take(_sorted(items))
    starts = np.flatnonzero(_fresh(items.key, items.low))
    if not len(starts):
        return items
    counts = np.minimum(np.add.reduceat(items.count.astype(np.uint64), starts), _MOST)
    return dataclasses.replace(items.take(starts), count=counts.astype(np.uint32))


def write_run(path: Path, items: Items) -> None:
    """Write combined items."""
    arrays: dict[str, npt.NDArray[Any]] = {name: getattr(items, name) for name in COLUMNS}
    write_arrays(path, arrays | {"samples": items.key[:: step_for(len(items))]})


def key_range(file: ArrayFile, low: int, high: int) -> tuple[int, int]:
    """The rows of a run (sorted by its array `key`) with `low` <= key < `high`."""
    samples, rows = file.read("samples"), file.rows("key")
    step = step_for(rows)
    begin = max(0, int(np.searchsorted(samples, np.uint64(low))) - 1) * step
    last = len(samples) if high >= KEYS else int(np.searchsorted(samples, np.uint64(high)))
    keys = file.read("key", begin, min(last * step, rows))
    start = begin + int(np.searchsorted(keys, np.uint64(low)))
    return start, begin + int(np.searchsorted(keys, np.uint64(high - 1), side="right"))


def write_repeats(
    runs: Sequence[tuple[int, Path]], partition: int, partitions: int, groups: int, least: int, path: Path
) -> int:
    """Write the keys of one of `partitions` equal ranges that stand in at least `least` places, group by group.

    Args:
        runs: (group, file of `write_run`); a group may have several.
        partition: which range.
        partitions: of how many.
        groups: how many groups there are.
        least: places a key must have in all.
        path: gets the arrays of FIRST sorted by (group, key), and `offsets` of the groups, shape (groups + 1,).

    Returns:
        How many different keys those are.
    """
    bounds = partition_bounds(partition, partitions)
    files = [(group, ArrayFile(run)) for group, run in runs]
    parts = [_read(file, *key_range(file, *bounds)) for _, file in files]
    numbers = np.repeat(np.array([group for group, _ in files], np.int64), [len(part) for part in parts])
    items = concatenate(parts)
    order = np.lexsort((items.low, items.key))
    chosen = order[_enough(items.take(order), least)]
    items, numbers = items.take(chosen), numbers[chosen]
    first = combined(items)
    names = np.cumsum(_fresh(items.key, items.low)) - 1  # items are still sorted by key, so this numbers the keys
    pairs = np.unique(numbers * max(1, len(first)) + names)
    owners, keys = np.divmod(pairs, max(1, len(first)))
    arrays: dict[str, npt.NDArray[Any]] = {name: getattr(first, name)[keys] for name in FIRST}
    write_arrays(path, arrays | {"offsets": np.searchsorted(owners, np.arange(groups + 1)).astype(np.uint64)})
    return len(first)


def repeated_elsewhere(
    files: Sequence[Path], group: int, items: Items, *, keep_first: bool, apart: int | None = None
) -> Mask:
    """Which items stand elsewhere, shape (items,); with `keep_first`, which stand elsewhere before.

    Args:
        files: of `write_repeats`, one for each range of keys, in order.
        group: the group the items' documents belong to.
        items: not combined; `count` does not matter.
        keep_first: the first place of a key by (order, tie, place, at) is not reported.
        apart: places of one document count as two when they lie at least so far apart; None makes them one.
    """
    found = np.zeros(len(items), np.bool_)
    order = np.argsort(items.key, kind="stable")
    keys = items.key[order]
    for number, path in enumerate(files):
        low, high = partition_bounds(number, len(files))
        rows = order[np.searchsorted(keys, np.uint64(low)) : np.searchsorted(keys, np.uint64(high - 1), side="right")]
        file = ArrayFile(path)
        start, stop = file.read("offsets", group, group + 2).tolist()
        if start == stop or not len(rows):
            continue
        mine = items.take(rows)
        match = matches(file.read("key", start, stop), file.read("low", start, stop), mine.key, mine.low)
        hit = match >= 0
        if keep_first:
            hit[hit] = ~_is_first(file, start, stop, mine.take(hit), match[hit], apart)
        found[rows] = hit
    return found


def matches(known_key: U64, known_low: U64, key: U64, low: U64) -> Index:
    """Where each (key, low) stands among known ones, which are sorted and distinct; -1 where it does not."""
    at = np.searchsorted(known_key, key)
    found = np.full(len(key), -1, np.int64)
    pending = np.arange(len(key))
    while len(pending):  # more than once only where two known keys share their first half
        pending = pending[at[pending] < len(known_key)]
        pending = pending[known_key[at[pending]] == key[pending]]
        hit = known_low[at[pending]] == low[pending]
        found[pending[hit]] = at[pending[hit]]
        pending = pending[~hit]
        at[pending] += 1
    return found


def _is_first(file: ArrayFile, start: int, stop: int, items: Items, match: Index, apart: int | None) -> Mask:
    """Whether an item is at (or, in one document, too near to) the first place of its key."""
    first: Callable[[str], npt.NDArray[Any]] = lambda name: file.read(name, start, stop)[match]  # noqa: E731
    same: Mask = first("place") == items.place
    if apart is not None:
        same &= items.at.astype(np.int64) - first("at").astype(np.int64) < apart
    return same


def _read(file: ArrayFile, start: int, stop: int) -> Items:
    return Items(*(file.read(name, start, stop) for name in COLUMNS))


def _sorted(items: Items) -> Index:
    """The order by key and place; what decides between equal keys is looked at for those alone, which are few."""
    order = np.argsort(items.key, kind="stable")
    keys = items.key[order]
    equal = np.zeros(len(keys), np.bool_)
    equal[1:] = keys[1:] == keys[:-1]
    equal[:-1] |= equal[1:]
    some = order[equal]
    columns = tuple(getattr(items, name)[some] for name in reversed(FIRST))
    order[equal] = some[np.lexsort(columns)]
    return order


def _fresh(key: U64, low: U64) -> Mask:
    """Which of sorted keys differ from the one before."""
    fresh = np.ones(len(key), np.bool_)
    fresh[1:] = (key[1:] != key[:-1]) | (low[1:] != low[:-1])
    return fresh


def _enough(items: Items, least: int) -> Mask:
    """Which of the items, sorted by key, have a key with at least `least` places in all."""
    starts = np.flatnonzero(_fresh(items.key, items.low))
    if not len(starts):
        return np.zeros(0, np.bool_)
    totals = np.add.reduceat(items.count.astype(np.uint64), starts)
    return np.repeat(totals >= least, np.diff(starts, append=len(items)))
