"""Drop pages that hold questions of the benchmarks a model will be judged by."""

import dataclasses

import numpy as np
import numpy.typing as npt

from pipeline.contract.contamination import Overlap
from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support.benchmark_index import U64, BenchmarkIndex, Grams, covered, load_index, read_items, runs


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Decontaminate:
    """Drop a page that shares runs of `ngram` words with a benchmark item, or only put it on record.

    Words are those MinHash sees: lower case, no symbols, no diacritics, every number 0. An item shorter than `ngram`
    words must occur whole, and is looked for only if it has at least `min_ngram` words; anything shorter is ordinary
    language. A run of words counts only if at least half of them differ (no rows of numbers).
    Every match is on record in OUT/contamination, whether its page is dropped or kept.
    Source of the 13-gram rule: Brown et al. 2020, arXiv:2005.14165, appendix C.
    """

    benchmarks: tuple[str, ...] = ()
    """JSON lines files with one item a line, such as hellaswag.jsonl."""
    fields: tuple[str, ...] = ("context", "query", "question", "text", "choices")
    """Fields that hold an item's text, joined in this order; of a list, each string is a choice, put after the rest.
    `a.b` is field b of field a."""
    ngram: int = 13
    """Words in a row that must be equal."""
    min_ngram: int = 8
    """Items of fewer words are not looked for."""
    max_overlap: int | None = 0
    """Different n-grams that a page may share with all benchmarks together. null: no page is dropped, matches are
    only put on record."""
    max_items: int = 10
    """An n-gram that more items than this have in common is the form of a question, not its content."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, least in (("min_ngram", 1), ("max_overlap", 0), ("max_items", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: must be at least {least}, got {value}")
        if self.ngram < self.min_ngram:
            raise ValueError(f"ngram: must be at least min_ngram ({self.min_ngram}), got {self.ngram}")
        for number, path in enumerate(self.benchmarks):
            try:
                for _ in read_items(path, self.fields):
                    pass
            except ValueError as error:
                raise ValueError(f"benchmarks[{number}]: {error}") from error

    def index(self) -> BenchmarkIndex:
        """The n-grams of all benchmarks, made once per process."""
        return load_index(self.benchmarks, self.fields, self.ngram, self.min_ngram, self.max_items)

    def prepare(self) -> None:
        """Make the index before a run starts."""
        self.index()

    def __call__(self, doc: Document) -> Document | Drop:
        """Drop with reason `benchmark_overlap`, the number of different shared n-grams, and the item that has most.

        What was found goes with the document, or with the Drop, as `overlaps`.
        """
        total, found = self._compare(doc)
        if not found:
            return doc
        overlaps = tuple(found)
        if self.max_overlap is None or total <= self.max_overlap:
            return doc.replace(overlaps=(*doc.overlaps, *overlaps))
        most = overlaps[0]
        others = f" (and {len(overlaps) - 1} other items)" if len(overlaps) > 1 else ""
        detail = f"{most.benchmark} {most.item}{others}: {most.words}"
        return Drop("benchmark_overlap", value=total, limit=self.max_overlap, detail=detail, overlaps=overlaps)

    def overlaps(self, doc: Document) -> list[Overlap]:
        """Every item the page shares an n-gram with, the most n-grams first, then in the order of the benchmarks."""
        return self._compare(doc)[1]

    def _compare(self, doc: Document) -> tuple[int, list[Overlap]]:
        """(different n-grams shared with any item, what is shared with each)."""
        index = self.index()
        total, shared = 0, dict[int, dict[int, _Shared]]()
        for length, hashes in runs(doc.features.normal_words.hashes, index.grams):
            different, found = _by_item(hashes, index.grams[length])
            total += different
            for item, entry in found.items():
                shared.setdefault(item, {})[length] = entry
        overlaps = [(item, _overlap(doc, index, item, entries)) for item, entries in shared.items()]
        return total, [overlap for _, overlap in sorted(overlaps, key=lambda pair: (-pair[1].ngrams, pair[0]))]


@dataclasses.dataclass(frozen=True, slots=True)
class _Shared:
    """The n-grams of one length that a page shares with one item."""

    hashes: U64
    places: npt.NDArray[np.int64]
    """Where they begin, in words of the page, ascending."""


def _by_item(hashes: U64, grams: Grams) -> tuple[int, dict[int, _Shared]]:
    """(different n-grams of the page that any item has, those of each item)."""
    at = np.flatnonzero(grams.contains(hashes))
    if not len(at):
        return 0, {}
    values, inverse = np.unique(hashes[at], return_inverse=True)
    places = np.split(at[np.argsort(inverse, kind="stable")], np.cumsum(np.bincount(inverse))[:-1])
    found: dict[int, list[int]] = {}
    for number, value in enumerate(values):
        for item in grams.items_of(value):
            found.setdefault(item, []).append(number)
    return len(values), {
        item: _Shared(values[numbers], np.sort(np.concatenate([places[number] for number in numbers])))
        for item, numbers in found.items()
    }


def _overlap(doc: Document, index: BenchmarkIndex, number: int, entries: dict[int, _Shared]) -> Overlap:
    item = index.items[number]
    place, length = min((int(entry.places[0]), length) for length, entry in entries.items())
    return Overlap(
        benchmark=item.benchmark,
        item=item.id,
        ngrams=sum(len(entry.hashes) for entry in entries.values()),
        words=_shown(doc, place, length),
        length=max(_longest(entry.places) + length - 1 for length, entry in entries.items()),
        share=covered(item, {length: entry.hashes for length, entry in entries.items()}),
    )


def _longest(places: npt.NDArray[np.int64]) -> int:
    """The most places in a row."""
    breaks = np.flatnonzero(np.diff(places) != 1)
    return int(np.diff(np.concatenate([[-1], breaks, [len(places) - 1]])).max())


def _shown(doc: Document, place: int, length: int) -> str:
    """The chunks of the text that hold the normalized words from `place` on."""
    chunk = np.repeat(np.arange(len(doc.features.normal_words.per_chunk)), doc.features.normal_words.per_chunk)
    return " ".join(doc.text.split()[int(chunk[place]) : int(chunk[place + length - 1]) + 1])
