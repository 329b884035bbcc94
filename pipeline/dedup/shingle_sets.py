"""Shingles of the documents that are compared exactly, on disk, and the Jaccard similarity of any pairs of them.

A group of documents has two files: the sets, one after another, each sorted and without repeats, as little-endian
uint64; and an array file that says where they are:

    row       (n,) uint32: documents of the group, ascending
    set       (n,) uint32: the number of the set of each; documents of equal text share one
    offsets   (sets + 1,) int64: set s has the shingles offsets[s] to offsets[s + 1]
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.shingles import U64, Offsets, Shingled

Values = npt.NDArray[np.float64]
_SHINGLE_BYTES = 8
_COPIES = 3
"""Of the shingles of a block of pairs: as read, joined, and of the two documents at hand."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetFiles:
    """The sets of one group."""

    index: Path
    shingles: Path


def first_of_each(digests: U64) -> tuple[Offsets, npt.NDArray[np.uint32]]:
    """(rows of the documents whose texts no earlier one has, number of the text of every document)."""
    _, first, number = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return first[order], rank[number.reshape(-1)]


def write_sets(batches: Iterable[Shingled], path: Path) -> Offsets:
    """Write the sets of documents, one after another; where each begins, and the end."""
    sizes = [0]
    with path.open("wb") as sink:
        for batch in batches:
            for start, end in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
                found = np.unique(batch.shingles[start:end])
                sink.write(found.astype("<u8", copy=False).tobytes())
                sizes.append(len(found))
    return np.cumsum(sizes)


def jaccards(files: Sequence[SetFiles], left: U64, right: U64, budget: int) -> Values:
    """The Jaccard similarity of the shingles of the documents left[i] and right[i].

    Args:
        files: of all groups.
        left: document keys `group << 32 | row`, whose sets are stored.
        right: the same.
        budget: bytes of memory to use, about; a single pair may need more.

    Raises:
        ValueError: a document's set is not stored.
    """
    sets = _Sets(files)
    sizes = sets.sizes(left) + sets.sizes(right)
    found = [
        sets.jaccards(left[start:stop], right[start:stop])
        for start, stop in _blocks(sizes, max(1, budget // (_SHINGLE_BYTES * _COPIES)))
    ]
    return np.concatenate([np.empty(0), *found])


def jaccard(left: U64, right: U64) -> float:
    """Of two sorted arrays without repeats; 0 where both are empty."""
    # Two sorted runs are merged, not sorted, by a stable sort: half the time of a search for each.
    both = np.sort(np.concatenate([left, right]), kind="stable")
    shared = int((both[1:] == both[:-1]).sum())
    union = len(both) - shared
    return shared / union if union else 0.0


def _blocks(sizes: Offsets, max_shingles: int) -> Iterator[tuple[int, int]]:
    """Consecutive pairs of `max_shingles` shingles in all, or single ones."""
    total = np.cumsum(sizes)
    start = before = 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(total, before + max_shingles, side="right")))
        yield start, stop
        start, before = stop, int(total[stop - 1])


class _Sets:
    """The sets of all groups."""

    def __init__(self, files: Sequence[SetFiles]) -> None:
        self._files = files
        self._index = functools.lru_cache(maxsize=16)(self._read_index)

    def sizes(self, keys: U64) -> Offsets:
        """Shingles of each document."""
        found = np.empty(len(keys), np.int64)
        for group, members in _by_group(keys):
            number, offsets = self._numbers(group, keys[members])
            found[members] = offsets[number + 1] - offsets[number]
        return found

    def jaccards(self, left: U64, right: U64) -> Values:
        """Of pairs whose sets fit the memory together."""
        keys, at = np.unique(np.concatenate([left, right]), return_inverse=True)
        sets = self._read(keys)
        pairs = zip(at[: len(left)].tolist(), at[len(left) :].tolist(), strict=True)
        return np.array([jaccard(sets[a], sets[b]) for a, b in pairs], np.float64)

    def _read(self, keys: U64) -> list[U64]:
        """The sets of the documents `keys`, which are sorted."""
        sets: list[U64] = []
        for group, members in _by_group(keys):
            number, offsets = self._numbers(group, keys[members])
            path = self._files[group].shingles
            with path.open("rb") as source:
                for begin, end in zip(offsets[number].tolist(), offsets[number + 1].tolist(), strict=True):
                    source.seek(begin * _SHINGLE_BYTES)
                    sets.append(np.fromfile(source, "<u8", end - begin))
        return sets

    def _numbers(self, group: int, keys: U64) -> tuple[Offsets, Offsets]:
        """(numbers of the sets of documents of a group, offsets of all its sets)."""
        rows, numbers, offsets = self._index(group)
        wanted = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        at = np.minimum(np.searchsorted(rows, wanted), max(len(rows) - 1, 0))
        if not len(rows) or (rows[at] != wanted).any():
            raise ValueError(f"group {group}: not all of {len(keys)} documents have stored shingles")
        return numbers[at].astype(np.int64), offsets

    def _read_index(self, group: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], Offsets]:
        index = ArrayFile(self._files[group].index)
        return index.read("row"), index.read("set"), index.read("offsets")


def _by_group(keys: U64) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """(group, positions of its documents), group by group; positions ascending."""
    groups = (keys >> np.uint64(32)).astype(np.int64)
    for group in np.unique(groups).tolist():
        yield group, np.flatnonzero(groups == group)
