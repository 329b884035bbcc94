"""Texts to shingles: normalize, split into words, hash the words and their runs, many texts at a time.

Everything is table look-ups and array arithmetic over code points: 0.1 ms for a page of 6 KB, where going word by word
in Python takes 0.3 to 10 ms. The normalization is FineWeb's (datatrove 0.10.1, `simplify_text`): lower case, numbers
as 0, punctuation as space, no diacritics. It departs from it where a rule of one character at a time reads better:

- punctuation is every character of the Unicode categories P and S, not a list of some of them;
- invisible characters (category Cf: soft hyphens, zero-width spaces) vanish instead of standing inside words;
- 1,234,567 is one number, not two;
- a character of a script written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word of its own.
"""

import dataclasses
import functools
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

BATCH_CHARACTERS = 1 << 16
"""Characters handled at once: enough to forget numpy's cost per call, few enough to stay in the cache. A longer text is
handled in pieces of this size, cut at white space, so that memory stays bounded."""

# Classes in the table of characters; everything above them is a normalized character.
_UNKNOWN, _SPACE, _DELETED, _DECIMAL_MARK, _BOUNDARY = range(5)
_FIRST_CHARACTER = 5
_ZERO = ord("0")
# Set on the characters that are words of their own; the other 31 bits hold the character.
_ALONE = np.uint32(1 << 31)
_DECIMAL_MARKS = ".,،٫⎖⎗⎘"
_SCRIPTS_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
    (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
_HANGUL = range(0xAC00, 0xD7A4)
_PAGE = 256
_BASE = 0x9E3779B97F4A7C15


@dataclasses.dataclass(frozen=True, slots=True)
class Shingled:
    """What dedup knows of a batch of texts."""

    shingles: U64
    """Hashes of all runs of n words, text after text, repeats included."""
    offsets: Offsets
    """Shape (texts + 1,): text i has `shingles[offsets[i]:offsets[i + 1]]`; none if it has fewer than n words."""
    digests: U64
    """Shape (texts, 2): 128-bit BLAKE2b of the normalized text (of the raw text where nothing is left of it)."""


def shingle(texts: Sequence[str], n: int = 5) -> Shingled:
    """Shingles and digests of `texts`.

    A shingle is the 64-bit hash of `n` consecutive normalized words. Equal words in equal order have equal shingles on
    every machine and in every version. It is no cryptographic hash: words of 2,000 characters can be made to collide.
    """
    parts = [_shingle_batch(batch, n) for batch in _batches(texts)]
    if not parts:
        return Shingled(np.empty(0, np.uint64), np.zeros(1, np.int64), np.empty((0, 2), np.uint64))
    shingles, counts, digests = zip(*parts, strict=True)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))])
    return Shingled(np.concatenate(shingles), offsets, np.concatenate(digests))


def splitmix(x: U64) -> U64:
    """The finalizer of SplitMix64 (Steele et al. 2014), in place: spreads every bit of `x` over all others."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    return x


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield batch


def _shingle_batch(texts: list[str], n: int) -> tuple[U64, Offsets, U64]:
    """(shingles, shingles of each text, digests) of texts that fit one batch, or of a single longer one."""
    long = len(texts[0]) > BATCH_CHARACTERS
    characters = [_normalize([piece]) for piece in _pieces(texts[0])] if long else [_normalize(texts)]
    hashed = [_word_hashes(piece) for piece in characters]
    words = np.concatenate([hashes for hashes, _ in hashed])
    ends = np.array([len(words)]) if long else hashed[0][1]
    plain = [" ".join(filter(None, (_plain(piece)[0] for piece in characters)))] if long else _plain(characters[0])
    shingles, counts = _runs(words, np.concatenate([[0], ends]), n)
    return shingles, counts, _digests(texts, plain)


def _pieces(text: str) -> Iterator[str]:
    """`text` in pieces of up to BATCH_CHARACTERS, cut at white space where there is some in the second half."""
    start = 0
    while start < len(text):
        end = start + BATCH_CHARACTERS
        if end < len(text):
            cut = max(text.rfind(mark, start + BATCH_CHARACTERS // 2, end) for mark in "\n ")
            end = cut + 1 if cut > 0 else end
        yield text[start:end]
        start = end


def _normalize(texts: Sequence[str]) -> U32:
    """The normalized characters of `texts`: one _SPACE between words, _BOUNDARY after each text."""
    composed = [text if text.isascii() else unicodedata.normalize("NFC", text) for text in texts]
    raw = np.frombuffer("\n".join([*composed, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    table = _table()
    characters = table[raw]
    while not characters.all():
        _learn(table, raw[characters == _UNKNOWN])
        characters = table[raw]
    characters[np.cumsum([len(text) + 1 for text in composed]) - 1] = _BOUNDARY
    deleted = characters == _DELETED
    if deleted.any():
        characters = characters[~deleted]
    return characters[_wanted(characters)]


def _wanted(characters: U32) -> npt.NDArray[np.bool_]:
    """All but the spaces after spaces, and the first digit alone of a number."""
    digit = characters == _ZERO
    inner = characters == _DECIMAL_MARK
    inner[0] = False
    inner[1:] &= digit[:-1]
    inner[:-1] &= digit[1:]
    wanted = characters >= _BOUNDARY
    later = digit[1:] & (digit[:-1] | inner[:-1])
    wanted[1:] |= wanted[:-1]
    wanted[1:] &= ~later
    wanted &= ~inner
    return wanted


def _word_hashes(characters: U32) -> tuple[U64, Offsets]:
    """(hash of each word, number of words up to the end of each text).

    A polynomial modulo 2**64 in an odd constant, then SplitMix64's finalizer. Sums of all words come from one running
    sum over the batch, whose powers are divided out again (an odd number has an inverse modulo 2**64).
    """
    inside = characters >= _FIRST_CHARACTER
    start = inside.copy()
    start[1:] &= ~inside[:-1]
    alone = characters >= _ALONE
    if alone.any():
        start |= alone
        start[1:] |= inside[1:] & alone[:-1]
    starts = np.flatnonzero(start)
    ends = np.searchsorted(starts, np.flatnonzero(characters == _BOUNDARY))
    powers, inverses = _powers(1 << len(characters).bit_length())
    sums = powers[: len(characters)] * (characters * inside)
    np.cumsum(sums, out=sums)
    before = sums[starts - 1]
    if len(starts) and starts[0] == 0:
        before[0] = 0
    hashes = np.diff(before, append=sums[-1:])
    hashes *= inverses[starts]
    return splitmix(hashes), ends


def _runs(words: U64, bounds: Offsets, n: int) -> tuple[U64, Offsets]:
    """(hashes of the runs of `n` words that lie within one text, runs of each text)."""
    counts = np.maximum(np.diff(bounds) - n + 1, 0)
    total = len(words) - n + 1
    if total <= 0:
        return np.empty(0, np.uint64), counts
    mixed = words[:total].copy()
    for offset in range(1, n):
        mixed *= np.uint64(_BASE)
        mixed += words[offset : offset + total]
    if len(counts) > 1:
        first = np.repeat(bounds[:-1] - (np.cumsum(counts) - counts), counts)
        first += np.arange(len(first))
        mixed = mixed[first]
    return splitmix(mixed), counts


def _plain(characters: U32) -> list[str]:
    """The normalized form of each text: its words, parted by one space (or by nothing, where they stand alone)."""
    printed = np.where(characters >= _FIRST_CHARACTER, characters & ~_ALONE, np.uint32(ord(" ")))
    text = printed.tobytes().decode("utf-32-le", "surrogatepass")
    ends = np.flatnonzero(characters == _BOUNDARY).tolist()
    return [text[start:end].strip(" ") for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]


def _digests(texts: Sequence[str], plain: Sequence[str]) -> U64:
    found = bytearray()
    for text, normal in zip(texts, plain, strict=True):
        content = (normal or "raw " + text).encode("utf-8", "surrogatepass")
        found += hashlib.blake2b(content, digest_size=16).digest()
    return np.frombuffer(bytes(found), "<u8").reshape(-1, 2)


@functools.cache
def _powers(size: int) -> tuple[U64, U64]:
    """`size` powers of _BASE and of its inverse modulo 2**64, from the 0th."""
    return _power_table(_BASE, size), _power_table(pow(_BASE, -1, 1 << 64), size)


def _power_table(base: int, size: int) -> U64:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


@functools.cache
def _table() -> U32:
    """Class or normalized character by code point; pages of 256 are filled in when first met."""
    return np.zeros(0x110000, np.uint32)


def _learn(table: U32, characters: U32) -> None:
    for page in np.unique(characters // _PAGE):
        start = int(page) * _PAGE
        table[start : start + _PAGE] = [_classify(chr(code)) for code in range(start, start + _PAGE)]


def _classify(char: str) -> int:
    if char in _DECIMAL_MARKS:
        return _DECIMAL_MARK
    category = unicodedata.category(char)
    if category == "Nd":
        return _ZERO
    if category in ("Mn", "Cf"):
        return _DELETED
    if category[0] in "PSZ" or category == "Cc":
        return _SPACE
    code = _base(char)
    alone = any(low <= code <= high for low, high in _SCRIPTS_WITHOUT_SPACES)
    return code | int(_ALONE) if alone else code


def _base(char: str) -> int:
    """The code point of `char` in lower case, without diacritics."""
    lower = char.lower()
    if ord(char) in _HANGUL:
        return ord(char)
    bare = [part for part in unicodedata.normalize("NFD", lower) if unicodedata.category(part) != "Mn"]
    return ord(bare[0]) if bare else ord(lower[0])
