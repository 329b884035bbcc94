"""Union-find on arrays: all unions of a block of edges at once (after Shiloach and Vishkin 1982)."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.dedup.shingles import U64

Indices = npt.NDArray[np.int64]
CONTRACT_BYTES = 128
"""Memory for one edge that is contracted."""


def union_find(blocks: Iterable[U64], group_sizes: Sequence[int]) -> tuple[U64, U64]:
    """(documents with an edge, sorted; the smallest document of the component of each).

    The array of parents is indexed by position among all documents, so memory depends on their number alone; edges
    come in blocks of pairs.

    Args:
        blocks: pairs of document keys `group << 32 | row`, shape (pairs, 2).
        group_sizes: documents in each group.
    """
    starts = np.concatenate([[0], np.cumsum(np.asarray(group_sizes, np.int64))])
    parent = np.arange(starts[-1], dtype=np.int64)
    for block in blocks:
        _join(parent, _index(block[:, 0], starts), _index(block[:, 1], starts))
    members, roots = _members(parent)
    return _key(members, starts), _key(roots, starts)


def contract(pairs: U64) -> tuple[U64, U64]:
    """(nodes of `pairs`, sorted; the smallest node of the component of each), looking at these pairs alone."""
    nodes, indices = np.unique(pairs, return_inverse=True)
    indices = indices.reshape(-1, 2)
    parent = np.arange(len(nodes), dtype=np.int64)
    _join(parent, indices[:, 0], indices[:, 1])
    members, roots = _members(parent)
    return nodes[members], nodes[roots]


def _join(parent: Indices, left: Indices, right: Indices) -> None:
    """Unite one[i] with other[i] for every i: roots are hooked under smaller roots until none are left to hook."""
    while len(left):
        left, right = _roots(parent, left), _roots(parent, right)
        apart = left != right
        left, right = left[apart], right[apart]
        high, low = np.maximum(left, right), np.minimum(left, right)
        np.minimum.at(parent, high, low)
        # Roots hooked one under the other can form a path as long as the block: halve it before it is walked.
        _roots(parent, high)


def _roots(parent: Indices, nodes: Indices) -> Indices:
    """The roots of `nodes`, whose paths are halved until they are one step long."""
    while True:
        above = parent[nodes]
        top = parent[above]
        if np.array_equal(above, top):
            return above
        parent[nodes] = top


def _members(parent: Indices) -> tuple[Indices, Indices]:
    """(indices that have a root other than themselves or are such a root, their roots)."""
    roots = parent
    while True:
        above = roots[roots]
        if np.array_equal(above, roots):
            break
        roots = above
    linked = roots != np.arange(len(roots))
    linked[roots[linked]] = True
    members = np.flatnonzero(linked)
    return members, roots[members]


def _index(keys: U64, starts: Indices) -> Indices:
    return starts[(keys >> np.uint64(32)).astype(np.int64)] + (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _key(indices: Indices, starts: Indices) -> U64:
    group = np.searchsorted(starts, indices, side="right") - 1
    return (group.astype(np.uint64) << np.uint64(32)) | (indices - starts[group]).astype(np.uint64)
