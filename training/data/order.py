"""The order in which sequences are read: a function of the seed and the position alone.

A permutation is computed, not stored: the place of each sequence comes from a small block cipher (a Feistel network
with cycle walking), so an order of 10^12 sequences needs no memory, every position can be entered at once, and how many
processes or threads read has no influence. Sources: Black and Rogaway 2002 (ciphers with arbitrary finite domains);
Steele et al. 2014 (the SplitMix64 mixer).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

MIX_BLOCK = 4096
"""Sequences within which a mix has exactly its shares."""
_ROUNDS = 6


def permute(positions: Numbers, size: int, key: str) -> Numbers:
    """The items at `positions` of a pseudo-random permutation of range(size) chosen by `key`."""
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    digest = hashlib.blake2b(key.encode(), digest_size=8 * _ROUNDS).digest()
    keys = np.frombuffer(digest, dtype="<u8")
    items = positions.astype(np.uint64)
    outside = np.ones(items.shape, dtype=bool)
    while outside.any():  # the cipher permutes 4^half numbers: walk on until inside; under 4 walks on average
        items[outside] = _encrypt(items[outside], half, keys)
        outside = items >= size
    return items.astype(np.int64)


def _encrypt(items: npt.NDArray[np.uint64], half: int, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = items >> shift, items & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << shift) | right


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer; products wrap around."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Order:
    """Which sequence of which source stands at each position of an endless stream.

    Every source is gone through whole, in a new permutation each time, before any of its sequences comes again. A mix
    keeps its shares within every MIX_BLOCK positions.

    Args:
        sizes: sequences in each source, at least 1.
        weights: relative share of each source in the stream.

    Raises:
        ValueError: a source without sequences, or whose share is too small for one place in MIX_BLOCK.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        if min(sizes) < 1:
            raise ValueError(f"source {list(sizes).index(min(sizes))} has no sequence")
        self.sizes, self.seed = tuple(sizes), seed
        self.places = _shares(weights)
        self._firsts = np.concatenate([[0], np.cumsum(self.places)])

    def locate(self, positions: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Source, epoch of it, and sequence number in it for each position."""
        block, slot = np.divmod(positions, MIX_BLOCK)
        if len(self.sizes) > 1:
            slot = self._shuffled(slot, MIX_BLOCK, block, "mix")
        source = np.searchsorted(self._firsts, slot, side="right") - 1
        taken = block * self.places[source] + slot - self._firsts[source]
        epoch, place = np.divmod(taken, np.array(self.sizes)[source])
        for which, size in enumerate(self.sizes):
            here = source == which
            place[here] = self._shuffled(place[here], size, epoch[here], str(which))
        return source, epoch, place

    def _shuffled(self, places: Numbers, size: int, turns: Numbers, name: str) -> Numbers:
        """`places` permuted, with another permutation for each turn (block or epoch)."""
        shuffled = np.empty_like(places)
        for turn in np.unique(turns):
            here = turns == turn
            shuffled[here] = permute(places[here], size, f"{self.seed}:{name}:{turn}")
        return shuffled


def _shares(weights: Sequence[float]) -> Numbers:
    """Whole places in MIX_BLOCK for each weight, by largest remainder."""
    exact = np.array(weights, dtype=np.float64) / sum(weights) * MIX_BLOCK
    places = np.floor(exact).astype(np.int64)
    for which in np.argsort(places - exact, kind="stable")[: MIX_BLOCK - int(places.sum())]:
        places[which] += 1
    if places.min() < 1:
        which = int(places.argmin())
        raise ValueError(f"source {which} has a share of {exact[which] / MIX_BLOCK:.1e}; the least is 1/{MIX_BLOCK}")
    return places
