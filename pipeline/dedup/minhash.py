"""MinHash signatures, their bands and sketches.

Broder 1997 (MinHash), Indyk and Motwani 1998 (banding), Li and König 2010, arXiv:0910.3349 (sketches of b bits).
"""

import functools
import hashlib

import numpy as np
import numpy.typing as npt

from pipeline.dedup.config import MinHashConfig
from pipeline.dedup.shingles import U64, Offsets, splitmix

Sketches = npt.NDArray[np.uint8]
"""One byte for each hash of a signature, shape (documents, hashes)."""

_LARGEST = np.uint64(2**64 - 1)
# Two rows of 16,384 products (256 KB) stay in the second-level cache: half the time of one row or of eight.
_BLOCK_SHINGLES, _BLOCK_HASHES = 1 << 14, 2


def signatures(shingles: U64, offsets: Offsets, config: MinHashConfig) -> U64:
    """The smallest value of each hash function over each document's shingles, shape (documents, config.hashes).

    Function i maps shingle x to a_i * x + b_i modulo 2**64, a permutation as a_i is odd; since shingles are themselves
    well mixed hashes this multiply-add suffices. (a_i, b_i) are the halves of BLAKE2b-128 of "tokenmill minhash SEED
    i", so they stay the same in every version. A document without shingles has the largest value everywhere.

    Args:
        shingles: of all documents, one after another.
        offsets: document d has `shingles[offsets[d]:offsets[d + 1]]`.
    """
    factors, terms = _functions(config.seed, config.hashes)
    found = np.full((config.hashes, len(offsets) - 1), _LARGEST)
    buffer = np.empty((_BLOCK_HASHES, _BLOCK_SHINGLES), np.uint64)
    for start in range(0, len(shingles), _BLOCK_SHINGLES):
        block = shingles[start : start + _BLOCK_SHINGLES]
        documents, starts = _documents_in(offsets, start, start + len(block))
        for first in range(0, config.hashes, _BLOCK_HASHES):
            some = slice(first, first + _BLOCK_HASHES)
            values = buffer[: len(factors[some]), : len(block)]
            np.multiply(factors[some], block, out=values)
            values += terms[some]
            smallest = np.minimum.reduceat(values, starts, axis=1)
            found[some, documents] = np.minimum(found[some, documents], smallest)
    return np.ascontiguousarray(found.T)


def band_hashes(signature: U64, config: MinHashConfig, salts: U64) -> U64:
    """One 64-bit hash for each band of each signature, shape (documents, bands).

    Args:
        signature: shape (documents, hashes).
        salts: shape (documents,); documents with different salts never share a hash. Nor do different bands.
    """
    rows = signature.reshape(-1, config.bands, config.rows)
    band_salts = splitmix(np.arange(1, config.bands + 1, dtype=np.uint64))
    mixed = salts[:, None] ^ band_salts
    for row in range(config.rows):
        mixed = splitmix(mixed * np.uint64(0x9E3779B97F4A7C15) + rows[:, :, row])
    return mixed


def sketches(signature: U64) -> Sketches:
    """A byte of each hash: enough to estimate Jaccard similarities at an eighth of the size."""
    return (signature * np.uint64(0xD6E8FEB86659FD93) >> np.uint64(56)).astype(np.uint8)


def estimated_jaccard(left: Sketches, right: Sketches) -> npt.NDArray[np.float32]:
    """Jaccard similarity of pairs of documents, estimated from their sketches, shape (pairs,).

    Bytes agree by chance once in 256 times, which is taken out (Li and König 2010). Standard error at similarity s
    and n hashes: sqrt(s (1 - s) / n), 0.038 at 0.8 and 112.
    """
    agreeing = (left == right).mean(axis=1, dtype=np.float64)
    return np.asarray(np.maximum(0.0, (agreeing - 1 / 256) / (1 - 1 / 256)), np.float32)


def found_probability(similarity: float, config: MinHashConfig) -> float:
    """The S-curve: how likely two documents of this Jaccard similarity share a band, 1 - (1 - s^rows)^bands."""
    return float(1 - (1 - similarity**config.rows) ** config.bands)


def salt(value: str) -> int:
    """A 64-bit salt for band hashes and digests: 0 for the empty value."""
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little") if value else 0


def _documents_in(offsets: Offsets, start: int, end: int) -> tuple[Offsets, Offsets]:
    """The documents that have shingles in [start, end), and where in the block their shingles begin."""
    first = int(np.searchsorted(offsets, start, side="right")) - 1
    last = int(np.searchsorted(offsets, end, side="left"))
    documents = np.arange(first, last)
    documents = documents[offsets[documents + 1] > np.maximum(offsets[documents], start)]
    return documents, np.maximum(offsets[documents], start) - start


@functools.cache
def _functions(seed: int, count: int) -> tuple[U64, U64]:
    """(odd factors, terms) of `count` permutations, each of shape (count, 1)."""
    digests = [hashlib.blake2b(f"tokenmill minhash {seed} {i}".encode(), digest_size=16).digest() for i in range(count)]
    pairs = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).astype(np.uint64)
    return pairs[:, :1] | np.uint64(1), pairs[:, 1:].copy()
