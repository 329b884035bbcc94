"""Drop pages that hold questions of the benchmarks a model will be judged by."""

import dataclasses
from collections import Counter
from typing import NamedTuple

import numpy as np

from pipeline.document import Document, Drop
from pipeline.stages._benchmarks import BenchmarkIndex, load_index, read_items, runs


class Overlap(NamedTuple):
    """What a page shares with one benchmark item."""

    benchmark: str
    """File name."""
    item: str
    """The item's id."""
    ngrams: int
    """Different n-grams of the item found on the page."""
    words: str
    """The first of them, as the page writes it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Decontaminate:
    """Drop a page that shares runs of `ngram` words with a benchmark item.

    Words are those MinHash sees: lower case, no symbols, no diacritics, every number 0. An item shorter than `ngram`
    words must occur whole, and is looked for only if it has at least `shortest` words; anything shorter is ordinary
    language. A run of words counts only if at least half of them differ (no rows of numbers).
    Source of the 13-gram rule: Brown et al. 2020, arXiv:2005.14165, appendix C.
    """

    benchmarks: tuple[str, ...] = ()
    """JSON lines files with one item a line, such as hellaswag.jsonl."""
    fields: tuple[str, ...] = ("context", "query", "question", "text", "choices")
    """Fields that hold an item's text, joined in this order; of a list, each string is a choice, put after the rest.
    `a.b` is field b of field a."""
    ngram: int = 13
    """Words in a row that must be equal."""
    shortest: int = 8
    """Items of fewer words are not looked for."""
    max_overlap: int = 0
    """Different n-grams that a page may share with all benchmarks together."""
    max_items: int = 10
    """An n-gram that more items than this have in common is the form of a question, not its content."""

    def __post_init__(self) -> None:
        for name, least in (("shortest", 1), ("max_overlap", 0), ("max_items", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if self.ngram < self.shortest:
            raise ValueError(f"ngram: must be at least shortest ({self.shortest}), got {self.ngram}")
        for number, path in enumerate(self.benchmarks):
            try:
                for _ in read_items(path, self.fields):
                    pass
            except ValueError as error:
                raise ValueError(f"benchmarks[{number}]: {error}") from error

    def index(self) -> BenchmarkIndex:
        """The n-grams of all benchmarks, made once per process."""
        return load_index(self.benchmarks, self.fields, self.ngram, self.shortest, self.max_items)

    def __call__(self, doc: Document) -> Document | Drop:
        """Drop with reason `benchmark_overlap`, the number of different shared n-grams, and the item that has most."""
        total, overlaps = self._compare(doc)
        if total <= self.max_overlap:
            return doc
        most = overlaps[0]
        others = f" (and {len(overlaps) - 1} other items)" if len(overlaps) > 1 else ""
        detail = f"{most.benchmark} {most.item}{others}: {most.words}"
        return Drop("benchmark_overlap", value=total, limit=self.max_overlap, detail=detail)

    def overlaps(self, doc: Document) -> list[Overlap]:
        """Every item the page shares an n-gram with, the most n-grams first, then in the order of the benchmarks."""
        return self._compare(doc)[1]

    def _compare(self, doc: Document) -> tuple[int, list[Overlap]]:
        index = self.index()
        words = doc.features.normal_words.hashes
        counts: Counter[int] = Counter()
        first: dict[int, tuple[int, int]] = {}
        total = 0
        for length, hashes in runs(words, index.grams):
            grams = index.grams[length]
            places = np.flatnonzero(grams.contains(hashes))
            if not len(places):
                continue
            shared, where = np.unique(hashes[places], return_index=True)
            total += len(shared)
            for value, place in zip(shared, places[where].tolist(), strict=True):
                for item in grams.items_of(value):
                    counts[item] += 1
                    first[item] = min(first.get(item, (place, length)), (place, length))
        ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return total, [
            Overlap(index.items[item].benchmark, index.items[item].id, count, _shown(doc, *first[item]))
            for item, count in ranked
        ]


def _shown(doc: Document, place: int, length: int) -> str:
    """The chunks of the text that hold the normalized words from `place` on."""
    chunk = np.repeat(np.arange(len(doc.features.normal_words.per_chunk)), doc.features.normal_words.per_chunk)
    return " ".join(doc.text.split()[int(chunk[place]) : int(chunk[place + length - 1]) + 1])
