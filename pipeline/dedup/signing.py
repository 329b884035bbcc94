"""What is stored of a group of documents so that they can be compared without their texts.

Arrays of a signature file (n documents, of which m have enough shingles):
    digest.key, digest.low, digest.row, digest.samples   128-bit digest of the text, a sorted run of n rows
    band.key, band.row, band.samples                     band hashes, a sorted run of m * bands rows
    band.low                                             digest.key of the document, where candidates are verified
    order                                                (n,) uint64: smaller is kept (keep.py)
    sketch                                               (n, hashes) uint8
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.minhash import band_hashes, salt, signatures, sketches
from pipeline.dedup.shingles import U64, Shingled, shingle
from pipeline.dedup.sorted_runs import run_arrays


class Signer:
    """Collects the documents of a group, batch by batch."""

    def __init__(self, config: DedupConfig) -> None:
        self._config = config
        self._digests: list[U64] = [np.empty((0, 2), np.uint64)]
        # Empty arrays to begin with, so that a group without documents has every array too.
        self._bands: list[U64] = [np.empty((0, config.minhash.bands), np.uint64)] if config.minhash else []
        self._rows: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
        hashes = config.minhash.hashes if config.minhash else 0
        self._sketches: list[npt.NDArray[np.uint8]] = [np.empty((0, hashes), np.uint8)]
        self._orders: list[U64] = [np.empty(0, np.uint64)]
        self.documents = 0

    def add(self, texts: Sequence[str], orders: U64, scopes: Sequence[str]) -> None:
        """Add documents.

        Args:
            texts: of the documents.
            orders: of `keep_orders`.
            scopes: documents are compared with others of the same scope.
        """
        minhash = self._config.minhash
        found = shingled(texts, self._config)
        salts = _salts(scopes)
        self._digests.append(found.digests ^ salts[:, None])
        self._orders.append(orders)
        if minhash:
            signature = signatures(found.shingles, found.offsets, minhash)
            enough = np.flatnonzero(np.diff(found.offsets) >= minhash.min_shingles)
            self._bands.append(band_hashes(signature[enough], minhash, salts[enough]))
            self._rows.append(enough + self.documents)
            self._sketches.append(sketches(signature))
        self.documents += len(texts)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the signature file."""
        digests = np.concatenate(self._digests)
        every = np.arange(self.documents, dtype=np.uint64)
        found = run_arrays("digest", digests[:, 0], every, digests[:, 1]) | {"order": np.concatenate(self._orders)}
        minhash = self._config.minhash
        if minhash:
            bands, rows = np.concatenate(self._bands), np.concatenate(self._rows).astype(np.uint64)
            # Only what orders the texts of a bucket needs the digests beside the bands.
            texts = np.repeat(digests[rows.astype(np.int64), 0], minhash.bands) if minhash.verify else None
            found |= run_arrays("band", bands.reshape(-1), np.repeat(rows, minhash.bands), texts)
            found["sketch"] = np.concatenate(self._sketches)
        return found


def shingled(texts: Sequence[str], config: DedupConfig) -> Shingled:
    """Shingles and digests as the config wants them."""
    minhash = config.minhash or MinHashConfig(ngram=1)
    return shingle(texts, minhash.ngram, minhash.shingle, config.normalize)


def _salts(scopes: Sequence[str]) -> U64:
    known = {scope: salt(scope) for scope in set(scopes)}
    return np.array([known[scope] for scope in scopes], np.uint64)
