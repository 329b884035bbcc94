"""Drop pages that repeat themselves: lines, paragraphs, and runs of words."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support.limits import (
    Languages,
    Rule,
    check_languages,
    decide,
    defaults_for_others,
    first_broken,
    refuse_negative,
    share,
)
from pipeline.text.features import WordSplit
from pipeline.text.ngrams import repeated_characters

_TOP, _DUPLICATED = (2, 3, 4), (5, 6, 7, 8, 9, 10)
_KINDS = (
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    "duplicate_lines",
    "duplicate_line_characters",
    *(f"top_{n}_gram" for n in _TOP),
    *(f"duplicated_{n}_grams" for n in _DUPLICATED),
)
"""Signals, which are also the reasons; `max_` before them makes the fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherRepetition:
    """Drop pages that repeat lines, paragraphs or runs of words (Gopher's repetition rules).

    Shares lie in 0..1 and the limits are inclusive. Shares of characters are shares of the whole text.
    Source: Rae et al. 2021, arXiv:2112.11446, table A1; measured as datatrove 0.10.1 does.
    """

    max_duplicate_paragraphs: float | None = 0.30
    """Share of paragraphs (set apart by blank lines) that stood earlier in the text."""
    max_duplicate_paragraph_characters: float | None = 0.20
    """Characters in such paragraphs."""
    max_duplicate_lines: float | None = 0.30
    """Share of lines that stood earlier in the text."""
    max_duplicate_line_characters: float | None = 0.20
    """Characters in such lines."""
    max_top_2_gram: float | None = 0.20
    """Characters in all occurrences of the most frequent pair of words."""
    max_top_3_gram: float | None = 0.18
    """Characters in all occurrences of the most frequent run of 3 words."""
    max_top_4_gram: float | None = 0.16
    """Characters in all occurrences of the most frequent run of 4 words."""
    max_duplicated_5_grams: float | None = 0.15
    """Characters in runs of 5 words that stood earlier in the text, no character counted twice."""
    max_duplicated_6_grams: float | None = 0.14
    """The same for runs of 6 words."""
    max_duplicated_7_grams: float | None = 0.13
    """The same for runs of 7 words."""
    max_duplicated_8_grams: float | None = 0.12
    """The same for runs of 8 words."""
    max_duplicated_9_grams: float | None = 0.11
    """The same for runs of 9 words."""
    max_duplicated_10_grams: float | None = 0.10
    """The same for runs of 10 words."""
    word_split: WordSplit = "fast"
    """`fast`: our rules; `datatrove`: the splitter of datatrove's filters, slower to start, for exact agreement."""
    languages: Languages = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {zh: {max_top_2_gram: 0.26}}; null turns a rule off there."""

    RULES: ClassVar[tuple[Rule, ...]] = tuple(Rule(name, "at most", f"max_{name}", name) for name in _KINDS)
    SIGNALS: ClassVar[tuple[str, ...]] = ("characters", *_KINDS)
    MADE_FOR: ClassVar[tuple[str, ...]] = ("en",)

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_negative(self)
        check_languages(self)

    def measure(self, doc: Document) -> Document:
        """The document with the share of each kind of repetition, and its length in characters."""
        size = len(doc.text)
        paragraphs, in_paragraphs = _repeats(_paragraphs(doc.text))
        lines, in_lines = _repeats(_lines(doc.features.lines))
        runs = repeated_characters(doc.features.words(self.word_split), longest_top=_TOP[-1], longest=_DUPLICATED[-1])
        values = {
            "characters": float(size),
            "duplicate_paragraphs": paragraphs,
            "duplicate_paragraph_characters": share(in_paragraphs, size),
            "duplicate_lines": lines,
            "duplicate_line_characters": share(in_lines, size),
            **{f"top_{n}_gram": share(characters, size) for n, characters in runs.top.items()},
            **{f"duplicated_{n}_grams": share(characters, size) for n, characters in runs.duplicated.items()},
        }
        return doc.with_signals("gopher_repetition", values)

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        """`empty` for a text without a character, else the first limit broken."""
        if values["characters"] == 0:
            return Drop("empty", value=0.0, limit=1.0)
        return first_broken(self, self.RULES, values, language)

    def unsuited(self, language: str) -> tuple[str, ...]:
        """The limits that are English ones and hold for `language`."""
        return defaults_for_others(self, [rule.limit for rule in self.RULES], language)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)


def _paragraphs(text: str) -> list[str]:
    """What two newlines or more set apart."""
    return [part.lstrip("\n") for part in text.strip().split("\n\n") if part.strip("\n")] or [""]


def _lines(lines: Sequence[str]) -> list[str]:
    """What one newline or more set apart: an empty line counts only at the beginning and the end of a text."""
    inner = [line for line in lines[1:-1] if line]
    return [lines[0], *inner, lines[-1]] if len(lines) > 1 else list(lines)


def _repeats(parts: Sequence[str]) -> tuple[float, int]:
    """The share of the parts that stood earlier, and their characters."""
    unique = set(parts)
    return (len(parts) - len(unique)) / len(parts), sum(map(len, parts)) - sum(map(len, unique))
