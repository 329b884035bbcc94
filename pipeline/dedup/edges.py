"""Documents that share a hash become edges to the smallest of them."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.dedup.pairs import PairWriter, distinct
from pipeline.dedup.sorted_runs import KEYS, Run, grouped


def partition_bounds(partition: int, partitions: int) -> tuple[int, int]:
    """The hashes [low, high) of one of `partitions` equal parts of the 64-bit range."""
    return KEYS * partition // partitions, KEYS * (partition + 1) // partitions


def write_edges(runs: Sequence[Run], partition: int, partitions: int, path: Path, budget: int) -> int:
    """Write the star edges (document, smallest document with the same hash) of a partition; the number written.

    m documents with the same hash are all connected by m - 1 edges instead of m (m - 1) / 2. The same edge found by
    several bands is written once if they fall into one block of the budget, else once for each block.

    Args:
        runs: bands (or digests) of all groups of parts, sorted by hash.
        budget: bytes of memory to use, about.
    """
    low, high = partition_bounds(partition, partitions)
    with PairWriter(path) as writer:
        for block in grouped(runs, low, high, budget):
            other = block.values != block.smallest
            writer.append(*distinct(block.values[other], block.smallest[other]))
        return writer.pairs
