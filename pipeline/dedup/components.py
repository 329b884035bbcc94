"""Connected components: which documents are the same, directly or through others.

The result is the same list of (document, smallest document of its component) however it was found; documents without
any edge are left out. Two ways, chosen by what fits the memory: union-find over an array of all documents
(`unionfind.py`), and stars on disk (`stars.py`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.dedup.pairs import PairWriter, pair_blocks
from pipeline.dedup.stars import star_components
from pipeline.dedup.unionfind import union_find

DOCUMENT_BYTES = 32
"""Memory for one document: its parent, and two copies when paths are compared at the end."""
EDGE_BYTES = 96
"""Memory for one edge of the block at hand."""
BLOCK_EDGES = 1 << 20


def write_components(
    edges: Sequence[Path], group_sizes: Sequence[int], path: Path, scratch: Path, budget: int
) -> tuple[int, list[int]]:
    """Write the pairs (document, smallest document of its component), sorted by document.

    Args:
        edges: files of pairs.
        group_sizes: documents in each group of parts; document keys are `group << 32 | row`.
        scratch: an existing folder for temporary files.
        budget: bytes of memory to use, about.

    Returns:
        Pairs written, and the position of the first pair of each group (and of the end).
    """
    bounds = np.arange(len(group_sizes), dtype=np.uint64) << np.uint64(32)
    positions = np.zeros(len(bounds), np.int64)
    with PairWriter(path) as writer:
        if in_memory(sum(group_sizes), budget):
            found = iter([union_find(pair_blocks(edges, BLOCK_EDGES), group_sizes)])
        else:
            found = star_components(edges, scratch, budget)
        for documents, roots in found:
            positions += np.searchsorted(documents, bounds)
            writer.append(documents, roots)
        return writer.pairs, [*positions.tolist(), writer.pairs]


def in_memory(documents: int, budget: int) -> bool:
    """Whether union-find over this many documents fits the budget."""
    return documents * DOCUMENT_BYTES + BLOCK_EDGES * EDGE_BYTES <= budget
