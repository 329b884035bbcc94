"""The lazily computed features of one text, shared by every filter and by MinHash."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pipeline.words import SYMBOLS, U64, ChunkTable, Words

_NUMBER = re.compile(r"\d+(?:[.,،٫⎖⎗⎘]\d+)?")
_SYMBOLS_TO_SPACES = dict.fromkeys(map(ord, SYMBOLS), " ")
_ODD = np.uint64(0x9E3779B97F4A7C15)


class TextFeatures:
    """Lines, paragraphs, words, n-gram hashes and character classes of one text, each computed at most once."""

    def __init__(self, text: str, *, language: str = "") -> None:
        self.text = text
        self.language = language

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def words(self) -> list[str]:
        """The words, in order."""
        return self.text.split()

    @cached_property
    def normal_words(self) -> Words:
        """The words MinHash sees: lower case, numbers as 0, no symbols, no diacritics (FineWeb's normalization)."""
        return _normal_table().look_up(self.text.split())

    def shingles(self, n: int = 5) -> U64:
        """Hashes of all runs of `n` normalized words, in order, repeats included.

        Shape (max(words - n + 1, 1),), and (0,) where the text has no word; a text of fewer than `n` words has one
        shingle, of them all. Equal for equal runs on every machine, in every process and version.
        """
        return ngram_hashes(self.normal_words.hashes, n)


def ngram_hashes(hashes: U64, n: int) -> U64:
    """One 64-bit hash for each run of `n` word hashes; of all words, if there are fewer than `n`.

    A polynomial in an odd constant modulo 2**64 (so the order of words counts), then the finalizer of SplitMix64
    (Steele et al. 2014), which spreads every bit over all others.
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


@functools.cache
def _normal_table() -> ChunkTable:
    return ChunkTable(_normalize)


def _normalize(chunks: Sequence[str]) -> list[Sequence[str]]:
    return [(chunk.lower(),) if chunk.isascii() and chunk.isalpha() else _normal(chunk) for chunk in chunks]


def _normal(chunk: str) -> list[str]:
    plain = _NUMBER.sub("0", chunk.lower()).translate(_SYMBOLS_TO_SPACES)
    if not plain.isascii():
        plain = "".join(char for char in unicodedata.normalize("NFD", plain) if unicodedata.category(char) != "Mn")
    return plain.split()
