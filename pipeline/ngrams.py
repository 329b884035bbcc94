"""Runs of words: their hashes, and how much of a text repeats them. Arrays in, arrays and counts out."""

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pipeline.words import U64, Words

Places = npt.NDArray[np.int64]
"""Positions of words in a text."""

HUGE = 1 << 18
"""Words from which on memory counts more than speed."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def ngram_hashes(hashes: U64, n: int) -> U64:
    """One 64-bit hash for each run of `n` word hashes; of all words, if there are fewer than `n`.

    A polynomial in an odd constant modulo 2**64 (so the order of words counts), then the finalizer of SplitMix64
    (Steele et al. 2014), which spreads every bit over all others. Shape (max(words - n + 1, 1),), or (0,) of no words.
    """
    n = min(n, len(hashes))
    if n == 0:
        return np.empty(0, np.uint64)
    windows = len(hashes) - n + 1
    mixed = hashes[:windows].copy()
    for offset in range(1, n):
        mixed *= _ODD
        mixed += hashes[offset : offset + windows]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


@dataclasses.dataclass(frozen=True, slots=True)
class Repeated:
    """Characters of a text in repeated runs of words, by run length; 0 where the text is shorter than the run."""

    top: Mapping[int, int]
    """The most frequent run (of equals, the one met first): its occurrences times its length with single spaces."""
    duplicated: Mapping[int, int]
    """All runs met before, read from the left: such a run counts its characters without spaces and is jumped over; any
    other is remembered and one word is passed."""


def repeated_characters(words: Words, top: Collection[int], duplicated: Collection[int]) -> Repeated:
    """How many characters lie in repeated runs, for the run lengths asked for (Rae et al. 2021, arXiv:2112.11446, A1).

    A run of n words that occurs twice begins with a run of n - 1 words that does, so longer runs are looked for only
    where a shorter one was found again. Lengths share three sorts: arrays this small cost by the number of numpy calls.
    """
    ends = np.concatenate(([0], np.cumsum(words.lengths, dtype=np.int64)))
    tops, duplicates = dict.fromkeys(top, 0), dict.fromkeys(duplicated, 0)
    lengths = sorted({*top, *duplicated})
    places, runs, length = np.arange(len(words)), words.hashes, 1
    for batch in _batches(lengths, len(words)):
        rows: list[tuple[int, Places, U64]] = []
        for n in batch:
            fit = int(np.searchsorted(places, len(words) - n, side="right"))
            places, runs = places[:fit], runs[:fit]
            for offset in range(length, n):
                runs = runs * _ODD + words.hashes[places + offset]
            length = n
            rows.append((n, places, runs))
        for n, places, groups, counts in _grouped(rows):
            again = counts > 1
            if n in tops and len(words) >= n:
                tops[n] = _top(n, places, counts, ends)
            if n in duplicates:
                duplicates[n] = _jumped_over(n, places[again], groups[again], ends)
        places, runs = places[again], runs[again]
    return Repeated(tops, duplicates)


def _batches(lengths: list[int], words: int) -> Iterator[list[int]]:
    """Which lengths share a sort: of a huge text none do, or a page of 10 MB would take gigabytes."""
    bounds = [0, 1, 3, len(lengths)] if words < HUGE else list(range(len(lengths) + 1))
    yield from (lengths[start:end] for start, end in itertools.pairwise(bounds) if lengths[start:end])


def _grouped(rows: list[tuple[int, Places, U64]]) -> Iterator[tuple[int, Places, Places, Places]]:
    """For each row its length and places, and for each place the number of its run and how often that occurs."""
    flat = np.concatenate([runs for _, _, runs in rows])
    order = np.argsort(flat)
    ordered = flat[order]
    rank = np.zeros(len(flat), np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=rank[1:])
    groups = np.empty(len(flat), np.int64)
    groups[order] = rank
    counts = np.bincount(rank)[groups]
    start = 0
    for n, places, _ in rows:
        row = slice(start, start + len(places))
        yield n, places, groups[row], counts[row]
        start = row.stop


def _top(n: int, places: Places, counts: Places, ends: Places) -> int:
    """Characters of the most frequent run; where no place is left over, every run occurs once."""
    best = int(np.argmax(counts)) if len(counts) else 0
    first, count = (int(places[best]), int(counts[best])) if len(counts) and counts[best] > 1 else (0, 1)
    return (int(ends[first + n] - ends[first]) + n - 1) * count


def _jumped_over(n: int, places: Places, groups: Places, ends: Places) -> int:
    """Characters of the runs met before; only places whose run occurs more than once can matter."""
    seen: set[int] = set()
    characters = free = 0
    for start in range(0, len(places), HUGE):
        some = places[start : start + HUGE]
        sizes = ends[some + n] - ends[some]
        for place, group, size in zip(
            some.tolist(), groups[start : start + HUGE].tolist(), sizes.tolist(), strict=True
        ):
            if place < free:
                continue
            if group in seen:
                characters += size
                free = place + n
            else:
                seen.add(group)
    return characters
