"""Connected components in memory: which documents are the same, directly or through others.

The result is a list of (document, smallest document of its component); documents without any edge are left out. What
fits no memory goes through `star_passes.py` and comes to the same list.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.dedup.pairs import PairWriter, pair_blocks
from pipeline.dedup.union_find import CONTRACT_BYTES, contract, union_find

DOCUMENT_BYTES = 32
"""Memory for one document: its parent, and two copies when paths are compared at the end."""
EDGE_BYTES = 96
"""Memory for one edge of the block at hand."""
BLOCK_EDGES = 1 << 20


def write_components(edges: Sequence[Path], group_sizes: Sequence[int], path: Path, budget: int) -> list[int]:
    """Write the pairs (document, smallest document of its component), sorted by document.

    Args:
        edges: files of pairs.
        group_sizes: documents in each group of parts; document keys are `group << 32 | row`.
        path: of the file of pairs.
        budget: bytes of memory; whether the documents fit it decides how they are joined, not what comes out.

    Returns:
        The position of the first pair of each group, and of the end.
    """
    if in_memory(sum(group_sizes), budget):
        documents, roots = union_find(pair_blocks(edges, BLOCK_EDGES), group_sizes)
    else:
        none = np.empty((0, 2), np.uint64)
        documents, roots = contract(np.concatenate([none, *pair_blocks(edges, BLOCK_EDGES)]))
    with PairWriter(path) as writer:
        writer.append(documents, roots)
    bounds = np.arange(len(group_sizes), dtype=np.uint64) << np.uint64(32)
    return [*np.searchsorted(documents, bounds).tolist(), len(documents)]


def fits(documents: int, edges: int, budget: int) -> bool:
    """Whether `write_components` keeps to the budget: the documents fit it, or the edges do."""
    return in_memory(documents, budget) or edges * CONTRACT_BYTES <= budget


def in_memory(documents: int, budget: int) -> bool:
    """Whether union-find over this many documents fits the budget."""
    return documents * DOCUMENT_BYTES + BLOCK_EDGES * EDGE_BYTES <= budget
