"""Documents that share a band become pairs to be compared: each with a few anchors of their bucket.

All m (m - 1) / 2 pairs of a bucket would be too many. Documents of equal text need no comparing (exact dedup joins
them), so a bucket is a list of distinct texts; its first texts are its anchors, and every text is paired with the
anchors before it: at most m * anchors pairs, and every pair where the bucket has at most anchors + 1 texts. Texts are
ordered by their digest XOR the hash of the bucket: the order is the texts' own, whatever document or file they stand
in, and another in every bucket, so a text meets other anchors in each band it shares.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.pairs import distinct
from pipeline.dedup.shingles import U64
from pipeline.dedup.sorted_runs import (
    ROW_BYTES,
    KeyRange,
    Run,
    StoredRun,
    key_ranges,
    read_blocks,
    read_range,
    step_for,
)

NAME = "pair"
"""Of the run of pairs in its file (see sorted_runs.StoredRun)."""
_PAIR_BYTES = 64
"""Memory for one pair while a block of them is sorted."""


def candidate_blocks(
    runs: Sequence[Run], low: int, high: int, anchors: int, budget: int
) -> Iterator[dict[str, npt.NDArray[np.uint64]]]:
    """The pairs of the buckets with `low` <= hash < `high`, as the arrays of a sorted run of (larger, smaller) keys.

    Documents of any bucket of two or more texts also stand in a pair with themselves, which says that their shingles
    will be wanted.

    Args:
        runs: bands of all groups, the first half of each document's digest as the keys' second halves.
        anchors: texts that the others of a bucket are paired with.
        budget: bytes of memory to use, about.
    """
    rows = budget * ROW_BYTES // (ROW_BYTES + anchors * _PAIR_BYTES)
    for keys in key_ranges(runs, low, high, rows):
        if keys.fits:
            blocks = iter([_pairs(*_texts(*read_range(runs, keys)), anchors)])
        else:
            blocks = _one_bucket(runs, keys, anchors, max(1, rows // ROW_BYTES))
        for larger, smaller in blocks:
            if len(larger):
                yield {
                    f"{NAME}.key": larger,
                    f"{NAME}.row": smaller,
                    f"{NAME}.samples": larger[:: step_for(len(larger))],
                }


def bands_of_texts(signature: ArrayFile, group: int) -> Run:
    """The bands of a signature file, with digests beside them; where none are stored (a run without verification wrote
    it), they are looked up."""
    bands = StoredRun(signature, "band", group)
    return bands if "band.low" in signature else _JoinedRun(bands, digest_halves(signature, "key"))


def digest_halves(signature: ArrayFile, half: str) -> U64:
    """The first (`key`) or second (`low`) half of the digest of every document of a signature file."""
    halves = np.empty(signature.rows("digest.row"), np.uint64)
    halves[signature.read("digest.row")] = signature.read(f"digest.{half}")
    return halves


@dataclasses.dataclass(frozen=True, slots=True)
class _JoinedRun:
    """A run of bands with the digests of its documents (see runs.Run)."""

    bands: StoredRun
    digests: U64

    @property
    def samples(self) -> U64:
        return self.bands.samples

    @property
    def step(self) -> int:
        return self.bands.step

    @property
    def rows(self) -> int:
        return self.bands.rows

    def read(self, start: int, stop: int) -> tuple[U64, U64, U64]:
        keys, _, values = self.bands.read(start, stop)
        return keys, self.digests[(values & np.uint64(0xFFFFFFFF)).astype(np.int64)], values


def _texts(keys: U64, lows: U64 | None, values: U64) -> tuple[U64, U64, U64]:
    """(bucket, order within it, document) of rows, sorted by all three."""
    if lows is None:
        raise ValueError("bands without the digests of their documents cannot be paired")
    ranks = lows ^ keys
    order = np.lexsort((values, ranks, keys))
    return keys[order], ranks[order], values[order]


def _pairs(keys: U64, ranks: U64, values: U64, anchors: int) -> tuple[U64, U64]:
    """Every text with the anchors before it, and the documents of all buckets that have two texts with themselves."""
    if not len(keys):
        return keys, values
    new_bucket = _differs(keys)
    text = np.flatnonzero(new_bucket | _differs(ranks))
    first = np.flatnonzero(new_bucket[text])
    texts = np.diff(first, append=len(text))
    number = np.arange(len(text)) - np.repeat(first, texts)
    start = np.repeat(first, texts)
    documents = values[text]
    bucket = np.cumsum(new_bucket) - 1
    compared = values[texts[bucket] > 1]
    pairs = [(compared, compared)]
    for anchor in range(anchors):
        later = np.flatnonzero(number > anchor)
        pairs.append((documents[later], documents[start[later] + anchor]))
    return _ordered(pairs)


def _one_bucket(runs: Sequence[Run], keys: KeyRange, anchors: int, max_rows: int) -> Iterator[tuple[U64, U64]]:
    """The pairs of a bucket too large to hold: read once for its anchors, once more to pair each text with them."""
    ranks, documents = np.empty(0, np.uint64), np.empty(0, np.uint64)
    for block in read_blocks(runs, keys, max_rows):
        _, more, values = _texts(*block)
        ranks, documents = np.concatenate([ranks, more]), np.concatenate([documents, values])
        order = np.lexsort((documents, ranks))
        first = order[_differs(ranks[order])][: anchors + 1]
        ranks, documents = ranks[first], documents[first]
    if len(ranks) == 1:
        return
    for block in read_blocks(runs, keys, max_rows):
        _, more, values = _texts(*block)
        text = np.flatnonzero(_differs(more))
        pairs = [(values, values)]
        for rank, document in zip(ranks[:anchors], documents[:anchors], strict=True):
            later = text[more[text] > rank]
            pairs.append((values[later], np.full(len(later), document)))
        yield _ordered(pairs)


def _ordered(pairs: list[tuple[U64, U64]]) -> tuple[U64, U64]:
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return distinct(np.maximum(one, other), np.minimum(one, other))


def _differs(values: U64) -> npt.NDArray[np.bool_]:
    """Where a value is not that before it; True at the first."""
    fresh = np.ones(len(values), np.bool_)
    fresh[1:] = values[1:] != values[:-1]
    return fresh
