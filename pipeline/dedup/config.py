"""What counts as a duplicate, and which one stays."""

import dataclasses
from typing import Literal

Scope = Literal["dump", "global", "language"]
Unit = Literal["word", "character"]
_MAX_WORDS = 1_000_000_000  # a document with more could not be held, and numpy counts in 64 bits


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BestSignal:
    """Keep the document for which a quality stage measured most."""

    best_signal: str
    """`STAGE.SIGNAL` of a quality stage under `extract` or `filter`, such as `quality_classifier.score` or
    `gopher_quality.words`; the highest raw value stays, and a document without one loses to any with one."""

    def __post_init__(self) -> None:
        stage, dot, signal = self.best_signal.rpartition(".")
        if not (stage and dot and signal):
            found = f"got '{self.best_signal}'"
            raise ValueError(f"best_signal: must be STAGE.SIGNAL, such as gopher_quality.words, {found}")


Keep = Literal["earliest", "longest"] | BestSignal


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NormalizeConfig:
    """What makes no difference between two texts, in exact as in near dedup; all of it, as in FineWeb.

    White space and invisible characters never make any.
    """

    lowercase: bool = True
    """Capital and small letters are the same."""
    numbers: bool = True
    """All numbers are the same."""
    punctuation: bool = True
    """Punctuation and symbols are white space; false leaves them on the words they stand at."""
    diacritics: bool = True
    """Letters are the same with and without marks such as accents."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """Join two documents that share a band only where their shingles are alike, compared one by one."""

    min_jaccard: float = 0.7
    """Least Jaccard similarity of the shingles of two documents that are joined."""
    anchors: int = 4
    """Texts of a bucket (documents with the same band) that every other text in it is compared with; all pairs are
    where it has one more. More find more in large buckets, at so much more time."""

    def __post_init__(self) -> None:
        if not 0 < self.min_jaccard <= 1:
            raise ValueError(f"min_jaccard: must be above 0 and at most 1, got {self.min_jaccard}")
        if not 1 <= self.anchors <= 1000:
            raise ValueError(f"anchors: must be 1 to 1000, got {self.anchors}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MinHashConfig:
    """Near-duplicates by MinHash and locality-sensitive hashing; FineWeb's parameters."""

    shingle: Unit = "word"
    """What a shingle is made of: words, or the characters of the normalized text. A page has about six times as many
    shingles of characters, and its signature costs three times as much."""
    ngram: int = 5
    """Words (or characters) in a shingle."""
    bands: int = 14
    """Two documents are candidates when all hashes of one band agree: at Jaccard similarity s with probability
    1 - (1 - s^rows)^bands, for the defaults 0.56 at 0.70, 0.77 at 0.75, 0.92 at 0.80, 0.99 at 0.85."""
    rows: int = 8
    """Hashes in a band."""
    seed: int = 1
    """Chooses the hash functions."""
    min_shingles: int = 1
    """Documents with fewer shingles have no near-duplicates (exact ones they may have)."""
    verify: VerifyConfig | None = None
    """Compare those that share a band; null joins them unseen, as FineWeb does."""

    def __post_init__(self) -> None:
        for name in ("ngram", "bands", "rows", "min_shingles"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
            if getattr(self, name) > _MAX_WORDS:
                raise ValueError(f"{name}: must be at most {_MAX_WORDS}, got {getattr(self, name)}")
        if self.bands * self.rows > 4096:
            raise ValueError(f"bands: {self.bands} bands of {self.rows} rows are {self.bands * self.rows} hashes; "
                             "at most 4096 are possible")  # fmt: skip
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed: must be at least 0 and below 2^63, got {self.seed}")

    @property
    def hashes(self) -> int:
        """Hash functions in a signature."""
        return self.bands * self.rows


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DedupConfig:
    """Duplicates are joined into clusters (transitively), and one document of each cluster is kept."""

    exact: bool = True
    """Join documents whose normalized text is the same (128-bit hash)."""
    normalize: NormalizeConfig = NormalizeConfig()
    """What of a text is compared."""
    minhash: MinHashConfig | None = MinHashConfig()
    """Join near-duplicates; null joins exact ones alone."""
    scope: Scope = "dump"
    """Compare documents of the same dump only (FineWeb), of the same language only (FineWeb2), or all (global).
    Documents without the name of a dump, or of a language, count as one of it."""
    keep: Keep = "earliest"
    """Which document of a cluster stays: `earliest` by date (those without a date come last), `longest` text in
    characters, or `{best_signal: STAGE.SIGNAL}`, the highest raw value. Ties go to the smallest id."""
    remove: bool = True
    """Drop all other documents of a cluster; false keeps them all, each with its `cluster_size` and, in `cluster_id`,
    the id of the one that would have stayed."""
    previous_runs: tuple[str, ...] = ()
    """Run folders of earlier builds: a document that is in a cluster with one of theirs goes, and `dropped` says which
    it matched and how similar the two are. What those runs kept stays as it is. They must have the same `normalize`,
    `scope` and `minhash` (but for `verify`)."""

    def __post_init__(self) -> None:
        if self.previous_runs and not self.remove:
            raise ValueError("previous_runs: drops what previous runs have, and remove: false keeps all; leave one out")
        if not self.exact and self.minhash is None:
            raise ValueError("exact: false and minhash: null leave nothing to do; write `dedup: null` to skip the step")
        if self.minhash and self.minhash.verify and not self.exact:
            raise ValueError("exact: false cannot go with minhash.verify: equal texts are joined, not compared; "
                             "set exact: true")  # fmt: skip
