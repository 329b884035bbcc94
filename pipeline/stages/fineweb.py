"""Drop pages that are lists, menus or fragments."""

import dataclasses
from collections.abc import Mapping
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
from pipeline.text.characters import TERMINAL_PUNCTUATION
from pipeline.text.features import WordSplit


@dataclass(frozen=True, kw_only=True, slots=True)
class Fineweb:
    """Drop pages that are lists, menus or fragments (FineWeb's own rules).

    Lines are those between newlines that are not blank; the limits are inclusive. Source: Penedo et al. 2024,
    arXiv:2406.17557, section 3.6, and datatrove 0.10.1, whose limit for duplicated characters (0.01) is stricter than
    the 0.1 in the paper's text and in FineWeb2.
    """

    min_punctuated_lines: float | None = 0.12
    """Share of lines that end in a sentence-ending mark of any script, as they stand (a space after it counts)."""
    allow_unpunctuated: bool = False
    """Keep pages none of whose lines ends so: their language may have no such mark."""
    unpunctuated_languages: tuple[str, ...] = ()
    """Languages that have no such mark, such as th: the share counts as 1 there."""
    max_short_lines: float | None = 0.67
    """Share of short lines."""
    short_line_length: int = 30
    """Characters up to which a line is short."""
    max_duplicate_line_characters: float | None = 0.01
    """Share of the characters (without newlines) in lines that stood earlier in the text."""
    max_newlines_per_word: float | None = 0.3
    """Newlines per word, punctuation marks counted as words."""
    word_split: WordSplit = "fast"
    """`fast`: our rules; `datatrove`: the splitter of datatrove's filters, slower to start, for exact agreement."""
    languages: Languages = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {zh: {min_punctuated_lines: 0.1}}; null turns a rule off there."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("punctuated_lines", "at least", "min_punctuated_lines", "too_few_punctuated_lines"),
        Rule("short_lines", "at most", "max_short_lines", "too_many_short_lines"),
        Rule("duplicate_line_characters", "at most", "max_duplicate_line_characters", "duplicate_line_characters"),
        Rule("newlines_per_word", "at most", "max_newlines_per_word", "too_many_newlines"),
    )
    SIGNALS: ClassVar[tuple[str, ...]] = ("lines", *(rule.signal for rule in RULES))
    MADE_FOR: ClassVar[tuple[str, ...]] = ("en",)

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_negative(self)
        check_languages(self)

    def measure(self, doc: Document) -> Document:
        """The document with its shares and ratios; all 0 where no line is left."""
        text = doc.text
        lines = [line for line in doc.features.lines if line and not line.isspace()]
        repeated = sum(map(len, lines)) - sum(map(len, set(lines)))
        newlines = text.count("\n")
        punctuated = sum(line[-1] in TERMINAL_PUNCTUATION for line in lines)
        values = {
            "lines": float(len(lines)),
            "punctuated_lines": 1.0 if doc.language in self.unpunctuated_languages else share(punctuated, len(lines)),
            "short_lines": share(sum(len(line) <= self.short_line_length for line in lines), len(lines)),
            "duplicate_line_characters": share(repeated, len(text) - newlines),
            "newlines_per_word": share(newlines, len(doc.features.words(self.word_split))),
        }
        return doc.with_signals("fineweb", values)

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        """`empty` for a text of blank lines, else the first limit broken."""
        if values["lines"] == 0:
            return Drop("empty", value=0.0, limit=1.0)
        if values["punctuated_lines"] == 0 and self.allow_unpunctuated:
            return first_broken(self, self.RULES[1:], values, language)
        return first_broken(self, self.RULES, values, language)

    def unsuited(self, language: str) -> tuple[str, ...]:
        """The limits that are English ones and hold for `language`."""
        names = ("min_punctuated_lines", "max_short_lines", "max_newlines_per_word")
        return defaults_for_others(self, names, language)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)
