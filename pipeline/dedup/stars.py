"""Connected components on disk, for more documents than the memory has room for.

Alternating stars (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond"): the large star links every
larger neighbour of a node to the smallest, the small star every smaller one. Both keep the components as they are;
when neither changes anything, each component is a star around its smallest node. Edges lie on disk as runs sorted by
node, and a round reads one range of nodes after another.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.dedup.pairs import PairWriter, distinct, pair_blocks, read_pairs
from pipeline.dedup.runs import KEYS, ROW_BYTES, Grouped, Run, grouped, step_for
from pipeline.dedup.shingles import U64
from pipeline.dedup.unionfind import contract

CONTRACT_BYTES = 128
"""Memory for one edge of a block that is contracted."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScratchRun:
    """Pairs in a temporary file, sorted by the first (see runs.Run)."""

    path: Path
    samples: U64
    step: int
    rows: int

    def read(self, start: int, stop: int) -> tuple[U64, None, U64]:
        """See Run."""
        pairs = read_pairs(self.path, start, stop)
        return pairs[:, 0], None, pairs[:, 1]


def star_components(edges: Sequence[Path], scratch: Path, budget: int) -> Iterator[tuple[U64, U64]]:
    """Blocks of (documents with an edge, smallest document of the component of each), documents ascending.

    Args:
        edges: files of pairs.
        scratch: an existing folder; what is written there is removed again.
        budget: bytes of memory to use, about.
    """
    names = (scratch / f"run-{number:06d}" for number in itertools.count())
    down = _Runs(names, budget // 4, reverse=True)
    for block in pair_blocks(edges, max(1, budget // 2 // CONTRACT_BYTES)):
        nodes, roots = contract(block)
        below = nodes != roots
        down.append(nodes[below], roots[below])
    down.close()
    changed = True
    while changed:
        stars = _Runs(names, budget // 4)
        news = [_large_star(block, stars) for block in grouped(down.all(), 0, KEYS, budget // 2)]
        down = _replace(down, stars)
        stars = _Runs(names, budget // 4, reverse=True)
        news += [_small_star(block, stars) for block in grouped(down.all(), 0, KEYS, budget // 2)]
        down = _replace(down, stars)
        changed = any(news)
    yield from _with_roots(down, names, budget)


def _large_star(block: Grouped, stars: "_Runs") -> bool:
    """Link every larger neighbour of each node to the smallest of its neighbours and itself; whether that is news."""
    larger = block.values > block.keys
    keys, values = block.keys[larger], block.values[larger]
    least = np.minimum(keys, block.smallest[larger])
    stars.append(values, least)
    return bool((least != keys).any())


def _small_star(block: Grouped, stars: "_Runs") -> bool:
    """Link each node and its neighbours, all smaller than it, to the smallest of them; whether that is news."""
    other = block.values != block.smallest
    stars.append(block.values[other], block.smallest[other])
    stars.append(block.keys, block.smallest)
    return bool(other.any())


def _with_roots(down: "_Runs", names: Iterator[Path], budget: int) -> Iterator[tuple[U64, U64]]:
    """The edges of finished stars, sorted, with each centre as its own root among them."""
    centres = _Runs(names, budget // 4)
    for run in down.forward:
        for start in range(0, run.rows, max(1, budget // 4 // ROW_BYTES)):
            _, _, roots = run.read(start, start + max(1, budget // 4 // ROW_BYTES))
            roots = np.unique(roots)
            centres.append(roots, roots)
    centres.close()
    for block in grouped([*down.forward, *centres.forward], 0, KEYS, budget // 2):
        yield distinct(block.keys, block.smallest)
    down.delete()
    centres.delete()


def _replace(old: "_Runs", new: "_Runs") -> "_Runs":
    new.close()
    old.delete()
    return new


class _Runs:
    """Collects pairs (larger, smaller) and spills them as runs sorted by the larger; with `reverse` by both."""

    def __init__(self, names: Iterator[Path], budget: int, *, reverse: bool = False) -> None:
        self.forward: list[ScratchRun] = []
        self._backward: list[ScratchRun] = []
        self._names, self._most, self._reverse = names, max(1, budget // ROW_BYTES), reverse
        self._waiting: list[tuple[U64, U64]] = []
        self._pairs = 0

    def append(self, larger: U64, smaller: U64) -> None:
        self._waiting.append(distinct(larger, smaller))
        self._pairs += len(self._waiting[-1][0])
        if self._pairs >= self._most:
            self.close()

    def close(self) -> None:
        """Write what is waiting."""
        if self._pairs:
            first, second = zip(*self._waiting, strict=True)
            larger, smaller = distinct(np.concatenate(first), np.concatenate(second))
            self.forward.append(self._write(larger, smaller))
            if self._reverse:
                self._backward.append(self._write(*distinct(smaller, larger)))
        self._waiting, self._pairs = [], 0

    def all(self) -> list[Run]:
        return [*self.forward, *self._backward]

    def delete(self) -> None:
        for run in (*self.forward, *self._backward):
            run.path.unlink()

    def _write(self, first: U64, second: U64) -> ScratchRun:
        path = next(self._names)
        with PairWriter(path) as writer:
            writer.append(first, second)
        step = step_for(len(first))
        return ScratchRun(path, first[::step].copy(), step, len(first))
