"""Which sampled hashes occur twice anywhere, before anything larger is stored of what they stand for.

A run holds the distinct hashes of some documents, sorted, 9 bytes each; runs are merged by ranges of hashes, and each
group of documents is told which of its own hashes occur more than once in all.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.edges import partition_bounds
from pipeline.dedup.repeats import key_range
from pipeline.dedup.shingles import U64
from pipeline.dedup.sorted_runs import step_for

MEMORY_BYTES = 64
"""Memory for one hash while hashes are sorted."""


def write_anchor_run(path: Path, hashes: U64) -> int:
    """Write the distinct ones of `hashes` and whether each came twice; how many they are."""
    keys, counts = np.unique(hashes, return_counts=True)
    write_arrays(path, {"key": keys, "samples": keys[:: step_for(len(keys))], "twice": (counts > 1).astype(np.uint8)})
    return len(keys)


def write_shared(runs: Sequence[tuple[int, Path]], partition: int, partitions: int, groups: int, path: Path) -> int:
    """Write the hashes of one of `partitions` equal ranges that occur more than once, group by group.

    Args:
        runs: (group, file of `write_anchor_run`); a group may have several.
        partition: which range.
        partitions: of how many.
        groups: how many groups there are.
        path: gets `key`, sorted by (group, key), and `offsets` of the groups, shape (groups + 1,).

    Returns:
        How many different hashes those are.
    """
    keys: dict[int, list[U64]] = {}
    twice: list[U64] = []
    for group, run in runs:
        file = ArrayFile(run)
        rows = key_range(file, *partition_bounds(partition, partitions))
        found = file.read("key", *rows)
        keys.setdefault(group, []).append(found)
        twice.append(found[file.read("twice", *rows) > 0])
    shared = _shared([found for parts in keys.values() for found in parts], twice)
    lists = [_common(keys[group], shared) if group in keys else shared[:0] for group in range(groups)]
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.uint64)
    write_arrays(path, {"key": np.concatenate([shared[:0], *lists]), "offsets": offsets})
    return len(shared)


def read_shared(files: Sequence[Path], group: int) -> U64:
    """The group's hashes that occur more than once anywhere, sorted, from the files of all ranges in order."""
    found = [np.empty(0, np.uint64)]
    for path in files:
        file = ArrayFile(path)
        found.append(file.read("key", *file.read("offsets", group, group + 2).tolist()))
    return np.concatenate(found)


def member(hashes: U64, known: U64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of `hashes` are among `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[at] == hashes)


def _shared(parts: Sequence[U64], twice: Sequence[U64]) -> U64:
    """The hashes that stand in two of the parts, or twice in one."""
    keys = np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
    return np.unique(np.concatenate([keys[1:][keys[1:] == keys[:-1]], *twice]))


def _common(parts: Sequence[U64], shared: U64) -> U64:
    return np.unique(np.concatenate([part[member(part, shared)] for part in parts]))
