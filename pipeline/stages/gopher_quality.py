"""Drop pages that do not read like prose."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support.limits import (
    Languages,
    Rule,
    check_languages,
    decide,
    defaults_for_others,
    first_broken,
    limit_of,
    refuse_crossed,
    refuse_negative,
    share,
)
from pipeline.text.characters import ALPHA, SYMBOL
from pipeline.text.features import WordSplit
from pipeline.text.words import U64, Words, hash_words

_BULLETS = frozenset("•-")


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherQuality:
    """Drop pages that do not read like prose (Gopher's quality rules).

    The limits are inclusive. Source: Rae et al. 2021, arXiv:2112.11446, appendix A1; measured as datatrove 0.10.1 does.
    """

    min_words: int | None = 50
    """Words that are not pure symbols."""
    max_words: int | None = 100_000
    """Words that are not pure symbols."""
    min_mean_word_length: float | None = 3
    """Characters, over words that are not pure symbols."""
    max_mean_word_length: float | None = 10
    """Characters, over words that are not pure symbols."""
    max_hashes_per_word: float | None = 0.1
    """Occurrences of `#` per word, symbols included."""
    max_ellipses_per_word: float | None = 0.1
    """Occurrences of `...` and `…` per word, symbols included."""
    max_bullet_lines: float | None = 0.9
    """Share of lines that begin with `•` or `-`."""
    max_ellipsis_lines: float | None = 0.3
    """Share of lines that end in `...` or `…`."""
    min_alphabetic_words: float | None = 0.8
    """Share of words, symbols included, that have a letter."""
    min_stop_words: int | None = 2
    """How many different stop words must occur."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Compared with the words as they stand, upper case and lower case apart."""
    stop_words_by_language: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Those of other languages, such as {de: [der, die, und]}; a language that is not named here has `stop_words`."""
    word_split: WordSplit = "fast"
    """`fast`: our rules; `datatrove`: the splitter of datatrove's filters, slower to start, for exact agreement."""
    languages: Languages = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {zh: {max_mean_word_length: 5}}; null turns a rule off there."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("words", "at least", "min_words", "too_few_words"),
        Rule("words", "at most", "max_words", "too_many_words"),
        Rule("mean_word_length", "at least", "min_mean_word_length", "words_too_short"),
        Rule("mean_word_length", "at most", "max_mean_word_length", "words_too_long"),
        Rule("hashes_per_word", "at most", "max_hashes_per_word", "too_many_hashes"),
        Rule("ellipses_per_word", "at most", "max_ellipses_per_word", "too_many_ellipses"),
        Rule("bullet_lines", "at most", "max_bullet_lines", "too_many_bullet_lines"),
        Rule("ellipsis_lines", "at most", "max_ellipsis_lines", "too_many_ellipsis_lines"),
        Rule("alphabetic_words", "at least", "min_alphabetic_words", "too_few_alphabetic_words"),
        Rule("stop_words", "at least", "min_stop_words", "too_few_stop_words"),
    )
    SIGNALS: ClassVar[tuple[str, ...]] = (
        "words", "mean_word_length", "hashes_per_word", "ellipses_per_word", "bullet_lines", "ellipsis_lines",
        "alphabetic_words", "stop_words",
    )  # fmt: skip
    MADE_FOR: ClassVar[tuple[str, ...]] = ("en",)

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_negative(self)
        refuse_crossed(self, "min_words", "max_words")
        refuse_crossed(self, "min_mean_word_length", "max_mean_word_length")
        if self.min_stop_words is not None and self.min_stop_words > len(set(self.stop_words)):
            have = len(set(self.stop_words))
            raise ValueError(f"min_stop_words: must be at most the {have} stop_words given, got {self.min_stop_words}")
        for language, words in self.stop_words_by_language.items():
            if self.min_stop_words is not None and self.min_stop_words > len(set(words)):
                found = f"{len(set(words))} for '{language}'"
                raise ValueError(f"stop_words_by_language: must be at least {self.min_stop_words}, got {found}")
        check_languages(self)

    def measure(self, doc: Document) -> Document:
        """The document with its counts and ratios; ratios of a text without words or lines are 0."""
        text, words = doc.text, doc.features.words(self.word_split)
        lines, ellipses = text.splitlines(), text.count("...") + text.count("…")
        plain = words.lengths[~words.with_flag(SYMBOL)]
        values = {
            "words": float(len(plain)),
            "mean_word_length": share(int(plain.sum()), len(plain)),
            "hashes_per_word": share(text.count("#"), len(words)),
            "ellipses_per_word": share(ellipses, len(words)),
            "bullet_lines": share(sum([line.lstrip()[:1] in _BULLETS for line in lines]), len(lines)),
            "ellipsis_lines": share(
                sum([line.rstrip().endswith(("...", "…")) for line in lines if ellipses]), len(lines)
            ),
            "alphabetic_words": share(int(np.count_nonzero(words.flags & ALPHA)), len(words)),
            "stop_words": float(_present(_hashes(self._stop_words(doc.language)), words)),
        }
        return doc.with_signals("gopher_quality", values)

    def _stop_words(self, language: str) -> tuple[str, ...]:
        return self.stop_words_by_language.get(language, self.stop_words)

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        """The first limit broken."""
        return first_broken(self, self.RULES, values, language)

    def unsuited(self, language: str) -> tuple[str, ...]:
        """The limits that are English ones and hold for `language`."""
        limits = ("min_mean_word_length", "max_mean_word_length", "min_alphabetic_words")
        return (*self._english_stop_words(language), *defaults_for_others(self, limits, language))

    def _english_stop_words(self, language: str) -> tuple[str, ...]:
        """`stop_words` where another language is judged by the English ones."""
        default = next(field.default for field in dataclasses.fields(self) if field.name == "stop_words")
        needed = limit_of(self, "min_stop_words", language)
        suited = language in self.MADE_FOR or self._stop_words(language) != default
        return () if suited or not needed else ("stop_words",)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)


@cache
def _hashes(words: tuple[str, ...]) -> U64:
    return np.unique(hash_words(words))


def _present(wanted: U64, words: Words) -> int:
    """How many of the wanted hashes occur among the words'."""
    if not len(wanted):
        return 0
    at = np.minimum(np.searchsorted(wanted, words.hashes), len(wanted) - 1)
    return len(np.unique(at[wanted[at] == words.hashes]))
