"""Runs of words that occur more than once anywhere: which windows of a text can be such, and what is left without them.

A window is `min_words` consecutive words. All windows that hold the same words are found, by sampling that cannot miss:
of the shorter runs (anchors, half as long) in a window the one with the smallest hash stands for the window, so that
equal windows have equal anchors (winnowing: Schleimer, Wilkerson, Aiken 2003). Only windows whose anchor occurs twice
in the corpus are then compared, by a 128-bit BLAKE2b digest of their words' characters.

What counts as repeated is what Lee et al. 2022 (arXiv:2107.06499, ExactSubstr) find with a suffix array.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.dedup import span_loops
from pipeline.dedup.anchors import member
from pipeline.dedup.shingles import U64
from pipeline.text import characters, machine_code
from pipeline.text.ngrams import ngram_hashes
from pipeline.text.words import code_points

Index = npt.NDArray[np.int64]
Keep = Literal["first", "none"]
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
            (0xF900, 0xFAFF), (0x20000, 0x3FFFF))  # fmt: skip
"""Scripts written without spaces between words: Thai and Lao, Burmese, Khmer, kana, Han."""
BLOCK = 1 << 18
"""Windows that are compared at a time."""
PIECE = 1 << 20
"""Characters whose words are cut at a time."""
_WHITE = re.compile(r"\s")
_BLANK = 0x20


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SubstringDedup:
    """Exact substring dedup, after Lee et al. 2022: runs of words that occur elsewhere are cut out."""

    min_words: int = 50
    """Words a run must have at least; between white space, and in scripts without spaces a character counts as one.
    Lee et al. take 50 BPE tokens, which are about 38 English words."""
    keep: Keep = "first"
    """The occurrence in the earliest document stays (by date, then by a hash of the id), or none does (as in the
    paper)."""
    min_document_words: int | None = 50
    """Documents that lost something and have fewer words left are dropped; null keeps them."""

    def __post_init__(self) -> None:
        if self.min_words < 2:
            raise ValueError(f"min_words: must be at least 2, got {self.min_words}")
        if self.min_document_words is not None and self.min_document_words < 0:
            raise ValueError(f"min_document_words: must be at least 0, got {self.min_document_words}")

    @property
    def anchor_words(self) -> int:
        """Words in an anchor: long ones are rarely shared by chance, short ones are fewer."""
        return (self.min_words + 1) // 2


@dataclasses.dataclass(frozen=True, slots=True)
class CutWords:
    """The words of one text."""

    starts: Index
    ends: Index
    """In characters."""
    hashes: U64

    def __len__(self) -> int:
        return len(self.hashes)


@dataclasses.dataclass(frozen=True, slots=True)
class Windows:
    """Some windows of one text, shape (windows,): their first words, ascending, and their digests."""

    starts: Index
    digests: U64
    """Shape (windows, 2)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A text without some of its words."""

    text: str
    spans: int
    """Stretches that were cut out."""
    words: int
    """Words in them."""


def prepare() -> None:
    """Compile the loops, or load them, so that not every worker has to."""
    _loops()


def cut_words(text: str) -> CutWords:
    """The words of a text: runs of characters without white space; in scripts without spaces, single characters."""
    found = [_cut(piece, at) for piece, at in _pieces(text)]
    if len(found) == 1:
        return found[0]
    return CutWords(
        *(np.concatenate([getattr(words, name) for words in found]) for name in ("starts", "ends", "hashes"))
    )


def _cut(text: str, offset: int) -> CutWords:
    points = code_points(text)
    starts, ends, hashes = (
        np.empty(len(points), np.int64),
        np.empty(len(points), np.int64),
        np.empty(len(points), np.uint64),
    )
    kinds = _kinds()
    words = _loops()["cut_words"](points, len(points), kinds, len(kinds), starts, ends, hashes)
    return CutWords(starts[:words] + offset, ends[:words] + offset, hashes[:words].copy())


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """The text in pieces that end at white space (a run of PIECE characters without any is cut), and where they begin:
    the arrays of a huge text never stand in memory all at once."""
    at = 0
    while len(text) - at > 2 * PIECE:
        space = _WHITE.search(text, at + PIECE, at + 2 * PIECE)
        end = space.start() if space else at + 2 * PIECE
        yield text[at:end], at
        at = end
    yield text[at:], at


def count_words(text: str) -> int:
    """How many words `cut_words` finds."""
    return len(cut_words(text))


def anchors(text: str, config: SubstringDedup) -> U64:
    """Hashes of the anchors of all windows of a text, each place once; none where it is shorter than a window."""
    hashes, standing = _anchors(cut_words(text), config)
    return hashes[np.unique(standing)]


def windows(text: str, config: SubstringDedup, shared: U64) -> Iterator[Windows]:
    """The windows of a text whose anchor is among `shared`, which is sorted; at most BLOCK at a time."""
    words = cut_words(text)
    hashes, standing = _anchors(words, config)
    starts = np.flatnonzero(member(hashes, shared)[standing])
    if not len(starts):
        return
    joined = _joined(text, words)
    edges = np.concatenate([[-1], np.flatnonzero(np.frombuffer(joined, np.uint8) == _BLANK), [len(joined)]])
    for at in range(0, len(starts), BLOCK):
        some = starts[at : at + BLOCK]
        yield Windows(some, _digests(joined, edges[some] + 1, edges[some + config.min_words]))


def cut_out(text: str, starts: Index, config: SubstringDedup) -> Cut:
    """The text without the words of the windows that begin at the words `starts`.

    Of the white space on both sides of a stretch, the one with more line breaks stays; none at the ends of the text.
    """
    words = cut_words(text)
    covered = np.zeros(len(words) + 1, np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + config.min_words, -1)
    removed = np.cumsum(covered)[:-1] > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], removed, [False]]).astype(np.int8)))
    stretches = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return Cut(_without(text, words, stretches), len(stretches), int(removed.sum()))


def _anchors(words: CutWords, config: SubstringDedup) -> tuple[U64, Index]:
    """(hashes of all runs of an anchor's length, which of them stands for each window)."""
    if len(words) < config.min_words:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = ngram_hashes(words.hashes, config.anchor_words)
    return hashes, _lowest(hashes, config.min_words - config.anchor_words + 1)


def _lowest(values: U64, width: int) -> Index:
    """Where the smallest of every `width` consecutive values stands (of equals the first)."""
    found, queue = np.empty(len(values) - width + 1, np.int64), np.empty(len(values), np.int64)
    _loops()["find_lowest"](values, len(values), width, queue, found)
    return found


def _loops() -> dict[str, machine_code.Loop]:
    return machine_code.load("pipeline.dedup.span_loops")


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What each code point is to a word."""
    kinds = np.full(0x40000, span_loops.IN_WORD, np.uint8)
    classes = characters.classes()
    kinds[: len(classes)][(classes & characters.SPACE) != 0] = span_loops.SPACE
    for first, last in UNSPACED:
        kinds[first : last + 1] = span_loops.ALONE
    return kinds


def _digests(joined: bytes, begins: Index, ends: Index) -> U64:
    """BLAKE2b of stretches of the words' characters, single spaces between words: equal only for equal words."""
    view, digest = memoryview(joined), hashlib.blake2b
    raw = b"".join([digest(view[begin:end], digest_size=16).digest()
                    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)])  # fmt: skip
    return np.frombuffer(raw, "<u8").reshape(-1, 2)


def _joined(text: str, words: CutWords) -> bytes:
    """The words in UTF-8 with single spaces between them."""
    pieces = text.split()
    if len(pieces) != len(words):  # some characters are words by themselves
        pieces = [text[start:end] for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)]
    return " ".join(pieces).encode("utf-8", "surrogatepass")


def _without(text: str, words: CutWords, stretches: list[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = 0
    for first, last in stretches:
        before, after = words.ends[first - 1] if first else 0, words.starts[last] if last < len(words) else len(text)
        kept.append(text[at:before])
        spaces = text[before : words.starts[first]], text[words.ends[last - 1] : after]
        if first and last < len(words):
            kept.append(max(spaces, key=lambda space: space.count("\n")))
        at = after
    return "".join([*kept, text[at:]])
