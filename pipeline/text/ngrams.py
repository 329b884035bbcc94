"""Runs of words: their hashes, and how much of a text repeats them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipeline.text.words import U64, Words


def ngram_hashes(hashes: U64, n: int) -> U64:
    """One 64-bit hash for each run of `n` word hashes; of all words, if there are fewer than `n`.

    A polynomial in an odd constant modulo 2**64 (so the order of words counts), well mixed at the end. Shape
    (max(words - n + 1, 1),), or (0,) of no words.
    """
    from pipeline.text.kernels import hash_runs

    n = min(n, len(hashes))
    return hash_runs(hashes, n) if n else np.empty(0, np.uint64)


@dataclasses.dataclass(frozen=True, slots=True)
class Repeated:
    """Characters of a text in repeated runs of words, by run length; 0 where the text is shorter than the run."""

    top: Mapping[int, int]
    """The most frequent run (of equals, the one met first): its occurrences times its length with single spaces."""
    duplicated: Mapping[int, int]
    """All runs met before, read from the left: such a run counts its characters without spaces and is jumped over; any
    other is remembered and one word is passed."""


def repeated_characters(words: Words, longest_top: int = 4, longest: int = 10) -> Repeated:
    """How many characters lie in repeated runs of words (Rae et al. 2021, arXiv:2112.11446, table A1).

    Args:
        words: of a text.
        longest_top: `top` holds runs of 2 to this many words,
        longest: `duplicated` the longer ones, to this many words.
    """
    from pipeline.text.kernels import repeated

    top, duplicated = repeated(words.hashes, words.lengths, longest_top, longest)
    return Repeated(
        {n: int(top[n]) for n in range(2, longest_top + 1)},
        {n: int(duplicated[n]) for n in range(longest_top + 1, longest + 1)},
    )
