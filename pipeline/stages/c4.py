"""Clean a page as C4 did, line by line, and drop what is no prose or has too little left."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import compress
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
    refuse_negative,
)
from pipeline.text.features import WordSplit

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_TERMINAL = (".", "?", "!", '"', "'")


@dataclass(frozen=True, kw_only=True, slots=True)
class C4:
    """Remove lines that are no prose, and citations; drop pages with placeholder text, code or too few sentences.

    Source: Raffel et al. 2020, jmlr.org/papers/v21/20-074; as FineWeb applies it (datatrove 0.10.1): the rule that a
    line must end in terminal punctuation is off, the list of bad words is not used. Lines are those of
    `str.splitlines`, stripped.
    """

    max_word_length: int | None = 1000
    """Characters; a line with a longer word is removed."""
    remove_citations: bool = True
    """Take out `[1]`, `[]`, `[edit]` and `[citation needed]`."""
    require_terminal_punctuation: bool = False
    """Remove lines that do not end in one of . ? ! " ' or that end in an ellipsis (C4 did, FineWeb does not)."""
    min_words_per_line: int | None = 3
    """Words set apart by white space, citations included; a line with fewer is removed."""
    remove_javascript_lines: bool = True
    """Remove lines that mention JavaScript."""
    policy_phrases: tuple[str, ...] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """Remove lines that hold one of these, written in lower case; an empty list removes none."""
    max_lorem_ipsum_lines: int | None = 0
    """More lines with the placeholder text than this drop the page."""
    max_curly_bracket_lines: int | None = 0
    """More lines with a `{` than this drop the page: it is probably code."""
    min_sentences: int | None = 5
    """Sentences in the lines that are left."""
    word_split: WordSplit = "fast"
    """`fast`: our rules; `datatrove`: the splitter of datatrove's filters, slower to start, for exact agreement."""
    languages: Languages = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {zh: {min_sentences: 3}}; null turns a rule off there."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("lorem_ipsum_lines", "at most", "max_lorem_ipsum_lines", "lorem_ipsum"),
        Rule("curly_bracket_lines", "at most", "max_curly_bracket_lines", "curly_bracket"),
        Rule("sentences", "at least", "min_sentences", "too_few_sentences"),
    )
    SIGNALS: ClassVar[tuple[str, ...]] = ("lorem_ipsum_lines", "curly_bracket_lines", "sentences", "removed_lines")
    MADE_FOR: ClassVar[tuple[str, ...]] = ("en",)

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_negative(self)
        shouted = [phrase for phrase in self.policy_phrases if phrase != phrase.lower() or not phrase]
        if shouted:
            raise ValueError(f"policy_phrases: must be lower case and not empty, got {shouted[0]!r}")
        check_languages(self)

    def measure(self, doc: Document) -> Document:
        """The document with the lines that are left, how many were removed, and what else the rules look at."""
        sieve = _Sieve(self, doc.text)
        cleaned = doc.replace(text="\n".join(compress(sieve.lines, sieve.keep)).strip())
        if cleaned.text != doc.text and not sieve.rewritten:
            cleaned.features.inherit(doc.features, np.repeat(sieve.keep, sieve.chunks))
        words = cleaned.features.words(self.word_split)
        values = {
            "lorem_ipsum_lines": float(sieve.lorem_ipsum),
            "curly_bracket_lines": float(sieve.curly_bracket),
            "sentences": float(words.sentences(list(compress(sieve.chunks, sieve.keep)))),
            "removed_lines": float(sieve.keep.count(False)),
        }
        return cleaned.with_signals("c4", values)

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        """The first limit broken."""
        return first_broken(self, self.RULES, values, language)

    def unsuited(self, language: str) -> tuple[str, ...]:
        """The limits that are English ones and hold for `language`."""
        names = ("policy_phrases", "min_words_per_line", "min_sentences")
        return defaults_for_others(self, names, language)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)


class _Sieve:
    """One walk over the lines of a text, in the order of rules that datatrove keeps.

    Attributes:
        lines: the lines, stripped, without citations.
        chunks: how many words set apart by white space each of them holds.
        keep: whether it stays.
        rewritten: whether a citation was taken out of any.
        lorem_ipsum, curly_bracket: lines with that which condemns the page.
    """

    def __init__(self, stage: C4, text: str) -> None:
        self._stage = stage
        self.lines = [line.strip() for line in text.splitlines()]
        self.chunks = [len(line.split()) for line in self.lines]
        self.keep = [count >= (stage.min_words_per_line or 0) for count in self.chunks]
        self.rewritten = False
        self.lorem_ipsum = self.curly_bracket = 0
        if stage.max_word_length is not None and max(map(len, self.lines), default=0) > stage.max_word_length:
            self._each(self._has_no_long_word)
        if stage.remove_citations and "[" in text:
            self._remove_citations()
        if stage.require_terminal_punctuation:
            self._each(_ends_a_sentence)
        if _is_telling(stage, text):
            self._each(self._tells_nothing)

    def _each(self, stays: Callable[[str], bool]) -> None:
        self.keep = [keep and stays(line) for line, keep in zip(self.lines, self.keep, strict=True)]

    def _remove_citations(self) -> None:
        for index, line in enumerate(self.lines):
            cleaned = _CITATION.sub("", line) if "[" in line else line
            if cleaned != line:
                self.lines[index], self.chunks[index] = cleaned, len(cleaned.split())
                self.rewritten = True

    def _has_no_long_word(self, line: str) -> bool:
        limit = self._stage.max_word_length or 0
        return len(line) <= limit or all(len(chunk) <= limit for chunk in line.split())

    def _tells_nothing(self, line: str) -> bool:
        """Count what condemns the page; False for a line that only has to go itself."""
        lower = line.lower()
        self.lorem_ipsum += "lorem ipsum" in lower
        if self._stage.remove_javascript_lines and "javascript" in lower:
            return False
        self.curly_bracket += "{" in line
        return not any(phrase in lower for phrase in self._stage.policy_phrases)


def _ends_a_sentence(line: str) -> bool:
    return line.endswith(_TERMINAL) and not line.endswith("...")


def _is_telling(stage: C4, text: str) -> bool:
    """Whether any line can hold a phrase or bracket that the rules look for: most texts hold none."""
    lower = text.lower()
    return "{" in text or any(phrase in lower for phrase in ("lorem ipsum", "javascript", *stage.policy_phrases))
