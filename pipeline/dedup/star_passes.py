"""Connected components of more edges than the memory has room for: passes of large and small stars over node ranges.

Kiveris et al. 2014, "Connected Components in MapReduce and Beyond": the large star links every larger neighbour of a
node to the smallest of its neighbours, the small star every smaller one. Here a pass looks at as many nodes together as
fit the memory, with all their edges, and links what it sees connected to the smallest node of it, not of one
neighbourhood alone: a chain of 10^5 nodes in random order takes 6 to 9 rounds over 8 to 32 ranges.

    edges -> contract_edges -> (large_star -> small_star)* -> star_members

Why components stay as they are: each edge has one larger node, and a small star puts a star of all nodes in the place
of the edges that connect them. A large star sees each edge (c, a), c < a, where c is, in a piece with smallest node m,
and writes (a, m) and (c, m). It leaves (c, m) out where that is an edge already and m lies below the nodes it looks at;
where m is, (m, c) is seen, and so on down: c and m stay connected.

Why it ends in stars: when nothing moves, every edge seen leads to the smallest node of its piece. So no node has two
smaller neighbours (the small star would move one), and no smaller neighbour has a smaller one of its own (the large
star would move its edge): every node but the smallest of its component has one edge, to that. Until then every move
lowers an end of an edge.

Pairs are (larger node, smaller node). A pass reads what the one before wrote: pairs sorted by the larger node (`down`)
and, where the next pass wants a node's neighbours on both sides, once more by the smaller (`up`).
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.pairs import distinct, pair_blocks
from pipeline.dedup.shingles import U64
from pipeline.dedup.sorted_runs import ROW_BYTES, Grouped, Run, grouped, step_for
from pipeline.dedup.union_find import CONTRACT_BYTES, contract

BLOCK_SHARE = 4
"""A quarter of the memory holds the pairs of a block, half what contracts them, a quarter what is yet to be written."""
Sink = Callable[[Mapping[str, npt.NDArray[Any]]], None]
"""Writes one file of arrays; called in a fixed order."""


@dataclasses.dataclass(frozen=True, slots=True)
class PairRun:
    """Pairs of an array file sorted by one of their nodes (see runs.Run)."""

    file: ArrayFile
    name: str

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

    def read(self, start: int, stop: int) -> tuple[U64, None, U64]:
        """See Run."""
        return self.file.read(f"{self.name}.key", start, stop), None, self.file.read(f"{self.name}.value", start, stop)


def contract_edges(edges: Sequence[Path], sink: Sink, budget: int) -> int:
    """Replace the edges of some files by stars, as many edges at a time as the memory allows.

    Args:
        edges: files of pairs.
        sink: takes files of pairs `down` and `up`.
        budget: bytes of memory to use, about.

    Returns:
        Pairs written.
    """
    out = _SortedPairs(sink, budget // BLOCK_SHARE, up=True)
    for block in _joined(edges, max(1, budget // 2 // CONTRACT_BYTES)):
        nodes, roots = contract(block)
        below = nodes != roots
        out.append(nodes[below], roots[below])
    return out.close()


def large_star(files: Sequence[ArrayFile], low: int, high: int, sink: Sink, budget: int) -> tuple[int, int]:
    """Link the nodes in [low, high) and their larger neighbours to the smallest node they are seen connected with.

    An edge whose smaller node is below the range is seen there as well, and kept there: a node that has one to its
    smallest is not linked again.

    Args:
        files: of pairs `down` and `up`.
        low: first node.
        high: the one after the last.
        sink: takes files of pairs `down`.
        budget: bytes of memory to use, about.

    Returns:
        Pairs written, and how many of those read did not lead to such a smallest node.
    """
    out = _SortedPairs(sink, budget // BLOCK_SHARE, up=False)
    moved = 0
    for block in _blocks(files, ("down", "up"), low, high, budget // BLOCK_SHARE):
        nodes, roots = _contract(block)
        first, at = block.keys[0], np.searchsorted(nodes, block.keys)
        here = (nodes >= first) & (nodes != roots)
        here[at[(block.smallest == roots[at]) & (block.smallest < first)]] = False
        out.append(nodes[here], roots[here])
        moved += _moved(np.minimum(block.keys, block.values), nodes, roots)
    return out.close(), moved


def small_star(files: Sequence[ArrayFile], low: int, high: int, sink: Sink, budget: int) -> tuple[int, int]:
    """Link the nodes in [low, high) and their smaller neighbours to the smallest node they are seen connected with.

    Args:
        files: of pairs `down`.
        low: first node.
        high: the one after the last.
        sink: takes files of pairs `down` and `up`.
        budget: bytes of memory to use, about.

    Returns:
        Pairs written, and how many of those read did not lead to such a smallest node.
    """
    out = _SortedPairs(sink, budget // BLOCK_SHARE, up=True)
    moved = 0
    for block in _blocks(files, ("down",), low, high, budget // BLOCK_SHARE):
        nodes, roots = _contract(block)
        below = nodes != roots
        out.append(nodes[below], roots[below])
        moved += _moved(block.values, nodes, roots)
    return out.close(), moved


def star_members(files: Sequence[ArrayFile], low: int, high: int, budget: int) -> Iterator[tuple[U64, U64]]:
    """Blocks of (nodes in [low, high) that have an edge, centre of the star of each), nodes ascending.

    Args:
        files: of pairs `down` and `up`, in which every component is a star around its smallest node.
        low: first node.
        high: the one after the last.
        budget: bytes of memory to use, about.
    """
    last: int | None = None
    for block in _blocks(files, ("down", "up"), low, high, budget // 2):
        nodes, roots = distinct(block.keys, np.minimum(block.keys, block.smallest))
        skip = int(nodes[0] == last)  # a node of many blocks comes once
        last = int(nodes[-1])
        yield nodes[skip:], roots[skip:]


def _blocks(files: Sequence[ArrayFile], names: Sequence[str], low: int, high: int, budget: int) -> Iterator[Grouped]:
    runs: list[Run] = [PairRun(file, name) for name in names for file in files]
    return (block for block in grouped(runs, low, high, budget) if len(block.keys))


def _contract(block: Grouped) -> tuple[U64, U64]:
    """The components of a block. Of a node too large for one block each has the smallest neighbour of them all."""
    pairs = np.column_stack([block.keys, block.values])
    if block.keys[0] == block.keys[-1]:
        pairs = np.append(pairs, [[block.keys[0], block.smallest[0]]], axis=0)
    return contract(pairs)


def _moved(smaller: U64, nodes: U64, roots: U64) -> int:
    return int(np.count_nonzero(roots[np.searchsorted(nodes, smaller)] != smaller))


def _joined(edges: Sequence[Path], most: int) -> Iterator[U64]:
    """Blocks of pairs of at most `most`, small ones put together."""
    waiting: list[U64] = []
    pairs = 0
    for block in pair_blocks(edges, most):
        if pairs + len(block) > most:
            yield np.concatenate(waiting)
            waiting, pairs = [], 0
        waiting.append(block)
        pairs += len(block)
    if waiting:
        yield np.concatenate(waiting)


class _SortedPairs:
    """Collects pairs (larger, smaller) and writes them as sorted files, each of what fits the budget."""

    def __init__(self, sink: Sink, budget: int, *, up: bool) -> None:
        self._sink, self._most, self._up = sink, max(1, budget // ROW_BYTES), up
        self._waiting: list[tuple[U64, U64]] = []
        self._pairs = self._written = 0

    def append(self, larger: U64, smaller: U64) -> None:
        for start in range(0, len(larger), self._most):
            self._waiting.append((larger[start : start + self._most], smaller[start : start + self._most]))
            self._pairs += len(self._waiting[-1][0])
            if self._pairs >= self._most:
                self._write()

    def close(self) -> int:
        """Write what is waiting; pairs written in all."""
        self._write()
        return self._written

    def _write(self) -> None:
        if not self._pairs:
            return
        first, second = zip(*self._waiting, strict=True)
        larger, smaller = distinct(np.concatenate(first), np.concatenate(second))
        self._waiting, self._pairs = [], 0
        self._written += len(larger)
        arrays = _run_arrays("down", larger, smaller)
        if self._up:
            order = np.lexsort((larger, smaller))
            arrays |= _run_arrays("up", smaller[order], larger[order])
        self._sink(arrays)


def _run_arrays(name: str, keys: U64, values: U64) -> dict[str, npt.NDArray[Any]]:
    return {f"{name}.key": keys, f"{name}.value": values, f"{name}.samples": keys[:: step_for(len(keys))]}
