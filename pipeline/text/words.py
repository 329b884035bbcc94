"""Words as arrays: what the quality rules and MinHash need to know of each word of a text.

Whether `don't,` is one word or three depends on nothing but those six characters: splitting never looks past white
space. Most chunks (runs of characters without white space) are `word` or `word,`, and a compiled loop splits them. The
others go through a table that splits each distinct one once and remembers its words. No string of a word is kept.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.text.characters import flags_of

U64 = npt.NDArray[np.uint64]
Split = Callable[[Sequence[str]], list[Sequence[str]]]
"""Chunks to the words of each chunk, in order; an empty sequence where a chunk holds no word."""
Columns = tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.uint8]]
"""Hashes, lengths and flags of some words."""
Scan = Callable[
    [npt.NDArray[np.uint32]],
    tuple[
        npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32],
        U64, npt.NDArray[np.int32], npt.NDArray[np.uint8],
    ],
]  # fmt: skip
"""Code points to the chunks, and the words of those with a plain shape: see `pipeline.text.kernels.scan_chunks`."""

MAX_REMEMBERED_CHUNK = 64
"""Characters; longer chunks hardly ever come back, so they are split anew each time."""
MAX_REMEMBERED_WORDS = 1 << 18
"""Words a table holds before it starts over (some 30 MB); four times as many made no page faster."""


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """The words of one text, in order, as arrays of shape (words,)."""

    hashes: U64
    """64-bit hash of the word's characters: the same on every machine, in every process and version."""
    lengths: npt.NDArray[np.int32]
    """Characters."""
    flags: npt.NDArray[np.uint8]
    """ALPHA | SYMBOL | PUNCTUATION | TERMINAL."""
    per_chunk: npt.NDArray[np.int32]
    """Words of each chunk, shape (chunks,)."""

    def __len__(self) -> int:
        return len(self.hashes)

    def with_flag(self, flag: int) -> npt.NDArray[np.bool_]:
        """Which words carry `flag`."""
        carried: npt.NDArray[np.bool_] = (self.flags & flag) != 0
        return carried

    def in_chunks(self, chunks: npt.NDArray[np.bool_]) -> "Words":
        """The words of the chunks that a mask of shape (chunks,) keeps."""
        kept = np.repeat(chunks, self.per_chunk)
        return Words(self.hashes[kept], self.lengths[kept], self.flags[kept], self.per_chunk[chunks])

    def sentences(self, chunks_per_line: Sequence[int]) -> int:
        """Sentences, counted line by line; a line that holds a word holds at least one.

        A sentence goes on to the end of the punctuation after a TERMINAL word, as in spaCy's sentencizer, which
        datatrove counts the sentences of C4's rule with.
        """
        from pipeline.text.kernels import count_sentences

        return int(count_sentences(self.flags, self.per_chunk, np.array(chunks_per_line, np.int64)))


class _Rows(dict[str, int]):
    """Row numbers by chunk; asking for an unknown chunk gives it the next row and notes it in `pending`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.pending: list[str] = []

    def __missing__(self, chunk: str) -> int:
        row, self.count = self.count, self.count + 1
        self.pending.append(chunk)
        if len(chunk) <= MAX_REMEMBERED_CHUNK:
            self[chunk] = row
        return row


class _Column:
    """A growing array."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.data = np.empty(1024, dtype)
        self.size = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        size = self.size + len(values)
        if size > len(self.data):
            grown = np.empty(max(size, 2 * len(self.data)), self.data.dtype)
            grown[: self.size] = self.data[: self.size]
            self.data = grown
        self.data[self.size : size] = values
        self.size = size


class ChunkTable:
    """Splits texts into words and remembers the words of a chunk, which depend on the chunk alone.

    It is a cache of a pure function: what it has seen changes how long an answer takes, never the answer.

    Args:
        split: the words of the chunks that `scan` does not split.
        scan: finds the chunks, and the words of those with a plain shape; without it all chunks go to `split`.
    """

    def __init__(self, split: Split, scan: Scan | None = None) -> None:
        self._split, self._scan = split, scan
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._rows = _Rows()
        self._starts, self._counts = _Column(np.int64), _Column(np.int32)
        self._hashes, self._lengths, self._flags = _Column(np.uint64), _Column(np.int32), _Column(np.uint8)

    def look_up(self, text: str) -> Words:
        """The words of a text."""
        if self._scan is None:
            chunks = text.split()
            return self._complete(
                chunks,
                np.full(len(chunks), -1, np.int32),
                (np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.uint8)),
            )
        starts, ends, counts, hashes, lengths, flags = self._scan(code_points(text))
        asked = np.flatnonzero(counts < 0)
        chunks = [text[start:end] for start, end in zip(starts[asked].tolist(), ends[asked].tolist(), strict=True)]
        return self._complete(chunks, counts, (hashes, lengths, flags))

    def _complete(self, chunks: Sequence[str], counts: npt.NDArray[np.int32], found: Columns) -> Words:
        """Put the words of `chunks`, which are those that `counts` marks with -1, among the words found."""
        if not chunks:
            return Words(*found, counts)
        with self._lock:
            try:
                rows = np.fromiter(map(self._rows.__getitem__, chunks), np.int64, len(chunks))
                if self._rows.pending:
                    self._learn()
                words = self._merge(counts, found, rows)
            except BaseException:  # an interrupted lesson leaves rows without words
                self._clear()
                raise
            if self._hashes.size > MAX_REMEMBERED_WORDS:
                self._clear()
            return words

    def _learn(self) -> None:
        split = self._split(self._rows.pending)
        words = [word for words in split for word in words]
        counts = np.fromiter(map(len, split), np.int32, len(split))
        ends = self._hashes.size + np.cumsum(counts, dtype=np.int64)
        self._starts.extend(ends - counts)
        self._counts.extend(counts)
        self._hashes.extend(hash_words(words))
        self._lengths.extend(np.fromiter(map(len, words), np.int32, len(words)))
        self._flags.extend(np.fromiter(map(flags_of, words), np.uint8, len(words)))
        self._rows.pending = []

    def _merge(self, counts: npt.NDArray[np.int32], found: Columns, rows: npt.NDArray[np.int64]) -> Words:
        from pipeline.text.kernels import merge

        known = self._hashes.data, self._lengths.data, self._flags.data
        per_chunk, hashes, lengths, flags = merge(counts, found, rows, self._starts.data, self._counts.data, known)
        return Words(hashes, lengths, flags, per_chunk)


def concatenate(parts: Sequence[tuple[Words, bool]]) -> Words:
    """The words of consecutive pieces of a text; a piece marked True goes on with the last chunk of the one before."""
    hashes, lengths, flags = (
        np.concatenate([getattr(words, name) for words, _ in parts]) for name in ("hashes", "lengths", "flags")
    )
    per_chunk = [parts[0][0].per_chunk]
    for words, glued in parts[1:]:
        counts = words.per_chunk
        if glued:
            per_chunk[-1][-1] += counts[0]
            counts = counts[1:]
        if len(counts):
            per_chunk.append(counts)
    return Words(hashes, lengths, flags, np.concatenate(per_chunk))


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The characters as numbers, shape (characters,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def hash_words(words: Sequence[str]) -> U64:
    """The hashes of words, as in `Words.hashes`."""
    from pipeline.text import kernels

    lengths = np.fromiter(map(len, words), np.int32, len(words))
    return kernels.hash_words(code_points("".join(words)), lengths)


def hash_set(words: Iterable[str]) -> U64:
    """The hashes of words as a set that the compiled loops can ask."""
    from pipeline.text import kernels

    hashes = hash_words(sorted(words))
    table = np.zeros(1 << (4 * len(hashes)).bit_length(), np.uint64)
    for value in hashes:
        table[kernels.slot_of(table, value)] = value
    return table
