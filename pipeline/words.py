"""Words as arrays: what the quality rules and MinHash need to know of each word of a text.

Whether `don't,` is one word or three depends on nothing but those six characters: splitting never looks past white
space. A ChunkTable therefore splits each distinct chunk (a run of characters without white space) once in the life of a
process and answers with array look-ups after that; the strings of the words are never kept.
"""

import dataclasses
import threading
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

U64 = npt.NDArray[np.uint64]
Split = Callable[[Sequence[str]], list[Sequence[str]]]
"""Chunks to the words of each chunk, in order; an empty sequence where a chunk holds no word."""

ALPHA, SYMBOL, PUNCTUATION, TERMINAL = 1, 2, 4, 8
"""Flags of a word: it has a letter; it is nothing but SYMBOLS; nothing but Unicode punctuation; it ends a sentence."""

TERMINAL_PUNCTUATION = frozenset(
    ".?!\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u1362"
    "\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u17d6\u17d9\u17da\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa\u1aab\u1b5a"
    "\u1b5b\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002"
    "\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e\uaa5f\uaaf0\uaaf1\uabeb\ufe52"
    "\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a56\U00010a57\U00010f55\U00010f56\U00010f57\U00010f58\U00010f59"
    "\U00010f86\U00010f87\U00010f88\U00010f89\U00011047\U00011048\U000110be\U000110bf\U000110c0\U000110c1\U00011141"
    "\U00011142\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df\U00011238\U00011239\U0001123b\U0001123c"
    "\U000112a9\U0001144b\U0001144c\U000115c2\U000115c3\U000115c9\U000115ca\U000115cb\U000115cc\U000115cd\U000115ce"
    "\U000115cf\U000115d0\U000115d1\U000115d2\U000115d3\U000115d4\U000115d5\U000115d6\U000115d7\U00011641\U00011642"
    "\U0001173c\U0001173d\U0001173e\U00011944\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42"
    "\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016e98"
    "\U0001bc9f\U0001da88"
)
"""What ends a sentence in the scripts that have such a mark (Unicode's Sentence_Terminal, as FineWeb2 uses it)."""

SYMBOLS = TERMINAL_PUNCTUATION | frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + "".join(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
)
"""Characters that make no word: FineWeb's list (datatrove 0.10.1, utils/text.py)."""

MAX_REMEMBERED_CHUNK = 64
"""Characters; longer chunks hardly ever come back, so they are split anew each time."""
MAX_REMEMBERED_WORDS = 1 << 20
"""Words a table holds before it starts over (about 20 MB of arrays, 100 MB of strings): memory stays bounded."""


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """The words of one text, in order, as arrays of shape (words,)."""

    hashes: U64
    """XXH3-64 of the word's UTF-8 bytes: the same on every machine, in every process and version."""
    lengths: npt.NDArray[np.int32]
    """Characters."""
    flags: npt.NDArray[np.uint8]
    """ALPHA | SYMBOL | PUNCTUATION | TERMINAL."""
    per_chunk: npt.NDArray[np.int32]
    """Words of each chunk, shape (chunks,)."""

    def __len__(self) -> int:
        return len(self.hashes)

    def having(self, flag: int) -> npt.NDArray[np.bool_]:
        """Which words carry `flag`."""
        carried: npt.NDArray[np.bool_] = (self.flags & flag) != 0
        return carried

    def only(self, chunks: npt.NDArray[np.bool_]) -> "Words":
        """The words of the chunks that a mask of shape (chunks,) keeps."""
        kept = np.repeat(chunks, self.per_chunk)
        return Words(self.hashes[kept], self.lengths[kept], self.flags[kept], self.per_chunk[chunks])

    def sentences(self, chunks_per_line: Sequence[int]) -> int:
        """Sentences, counted line by line; a line that holds a word holds at least one.

        A sentence goes on to the end of the punctuation after a TERMINAL word, as in spaCy's sentencizer, which
        datatrove counts the sentences of C4's rule with.
        """
        chunks = np.array(chunks_per_line, np.int64)
        starts = np.cumsum(chunks) - chunks
        words_before = np.concatenate(([0], np.cumsum(self.per_chunk)))
        per_line = np.diff(words_before[starts], append=len(self))
        ended = np.concatenate(([0], np.cumsum(self.having(TERMINAL))))
        opening = np.flatnonzero(~self.having(PUNCTUATION))
        line_began = np.repeat(ended[words_before[starts]], per_line)[opening]
        since = np.maximum(np.concatenate(([0], ended[opening[:-1]])), line_began)
        return int(np.count_nonzero(ended[opening] > since)) + int(np.count_nonzero(per_line))


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

    def extend(self, values: Sequence[int] | npt.NDArray[np.int64]) -> None:
        size = self.size + len(values)
        if size > len(self.data):
            grown = np.empty(max(size, 2 * len(self.data)), self.data.dtype)
            grown[: self.size] = self.data[: self.size]
            self.data = grown
        self.data[self.size : size] = values
        self.size = size


class ChunkTable:
    """Splits chunks into words and remembers the answer, which depends on the chunk alone.

    It is a cache of a pure function: what it has seen changes how long an answer takes, never the answer.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._rows = _Rows()
        self._described: dict[str, tuple[int, int, int]] = {}
        self._starts, self._counts = _Column(np.int64), _Column(np.int32)
        self._hashes, self._lengths, self._flags = _Column(np.uint64), _Column(np.int32), _Column(np.uint8)

    def look_up(self, chunks: Sequence[str]) -> Words:
        """The words of `chunks`, one chunk after another."""
        with self._lock:
            try:
                rows = np.fromiter(map(self._rows.__getitem__, chunks), np.int64, len(chunks))
                if self._rows.pending:
                    self._learn()
                found = self._gather(rows)
            except BaseException:  # an interrupted lesson leaves rows without words
                self._clear()
                raise
            if self._hashes.size > MAX_REMEMBERED_WORDS:
                self._clear()
            return found

    def _learn(self) -> None:
        split = self._split(self._rows.pending)
        counts = list(map(len, split))
        described = [self._describe(word) for words in split for word in words]
        ends = self._hashes.size + np.cumsum(counts, dtype=np.int64)
        self._starts.extend(ends - counts)
        self._counts.extend(counts)
        if described:
            hashes, lengths, flags = zip(*described, strict=True)
            self._hashes.extend(hashes)
            self._lengths.extend(lengths)
            self._flags.extend(flags)
        self._rows.pending = []

    def _describe(self, word: str) -> tuple[int, int, int]:
        known = self._described.get(word)
        if known is None:
            known = stable_hash(word), len(word), flags_of(word)
            if len(word) <= MAX_REMEMBERED_CHUNK:
                self._described[word] = known
        return known

    def _gather(self, rows: npt.NDArray[np.int64]) -> Words:
        counts = self._counts.data[rows]
        ends = np.cumsum(counts)
        first = self._starts.data[rows] - (ends - counts)
        at = np.repeat(first, counts)
        at += np.arange(len(at))
        return Words(self._hashes.data[at], self._lengths.data[at], self._flags.data[at], counts)


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


def stable_hash(word: str) -> int:
    """XXH3-64 of the UTF-8 bytes (lone surrogates encoded as they stand)."""
    return xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))


def flags_of(word: str) -> int:
    """ALPHA, SYMBOL, PUNCTUATION and TERMINAL of one word."""
    if word.isalpha():
        return ALPHA
    flags = ALPHA if any(map(str.isalpha, word)) else 0
    if all(char in SYMBOLS for char in word):
        flags |= SYMBOL
    if word in TERMINAL_PUNCTUATION:
        flags |= TERMINAL | PUNCTUATION
    elif all(unicodedata.category(char)[0] == "P" for char in word):
        flags |= PUNCTUATION
    return flags
