"""A page on each side of each of Gopher's quality limits."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.document import Document, Drop
from pipeline.stages.gopher_quality import GopherQuality

OFF: dict[str, Any] = {rule.limit: None for rule in GopherQuality.RULES}
LINES = [f"line number {n}" for n in range(10)]

CASES = {
    "too_few_words": ("min_words", 50, "the cat " * 25, "the cat " * 24 + "the", 49.0),
    "too_many_words": ("max_words", 10, "word " * 10, "word " * 11, 11.0),
    "words_too_short": ("min_mean_word_length", 3, "abc def", "abcd e", 2.5),
    "words_too_long": ("max_mean_word_length", 10, "abcdefghij", "abcdefghij abcdefghijkl", 11.0),
    "too_many_hashes": ("max_hashes_per_word", 0.1, "word " * 9 + "#", "word " * 7 + "#", 0.125),
    "too_many_ellipses": ("max_ellipses_per_word", 0.1, "word " * 9 + "...", "word " * 7 + "…", 0.125),
    "too_many_bullet_lines": (
        "max_bullet_lines", 0.9, "\n".join(["• a", "- b"] * 4 + [" - c", "d"]), "\n".join(["• a"] * 10), 1.0,
    ),
    "too_many_ellipsis_lines": (
        "max_ellipsis_lines", 0.3,
        "\n".join([*LINES[:7], "a...", "b…", "c... "]), "\n".join([*LINES[:6], "a...", "b…", "c... ", "d…"]), 0.4,
    ),
    "too_few_alphabetic_words": ("min_alphabetic_words", 0.8, "one two b2 four 5", "one two b2 4", 0.75),
    "too_few_stop_words": ("min_stop_words", 2, "the end of it", "the end, the end. The end", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("reason", CASES)
def test_a_limit_keeps_what_reaches_it_and_drops_what_breaks_it(reason: str, make_doc: Callable[..., Document]) -> None:
    field, limit, kept, dropped, value = CASES[reason]
    stage = GopherQuality(**{**OFF, field: limit})
    assert isinstance(stage(make_doc(kept)), Document)
    assert stage(make_doc(dropped)) == Drop(reason, value=value, limit=limit)


@pytest.mark.parametrize("reason", CASES)
def test_none_turns_a_rule_off(reason: str, make_doc: Callable[..., Document]) -> None:
    assert isinstance(GopherQuality(**OFF)(make_doc(CASES[reason][3])), Document)


def test_every_reason_has_a_case_with_the_default_of_its_limit() -> None:
    assert list(CASES) == [rule.reason for rule in GopherQuality.RULES]
    assert all(getattr(GopherQuality(), field) == limit for field, limit, *_ in CASES.values() if field != "max_words")


def test_zero_is_a_limit_and_not_off(make_doc: Callable[..., Document]) -> None:
    stage = GopherQuality(**{**OFF, "max_hashes_per_word": 0.0})
    assert isinstance(stage(make_doc("a # b")), Drop)
    assert isinstance(stage(make_doc("a b")), Document)


def test_words_of_symbols_only_are_counted_apart(make_doc: Callable[..., Document]) -> None:
    values = GopherQuality().measure(make_doc("a bc , ! — 12")).signals["gopher_quality"]
    assert values["words"] == 3
    assert values["mean_word_length"] == pytest.approx(5 / 3)
    assert values["alphabetic_words"] == pytest.approx(2 / 6)


def test_the_first_broken_limit_is_the_reason(make_doc: Callable[..., Document]) -> None:
    assert GopherQuality()(make_doc("### 123")) == Drop("too_few_words", value=1.0, limit=50)


@pytest.mark.parametrize("text", ["", " \n ", "?! ..."])
def test_a_text_without_words_is_short_and_divides_by_nothing(text: str, make_doc: Callable[..., Document]) -> None:
    assert GopherQuality()(make_doc(text)) == Drop("too_few_words", value=0.0, limit=50)


def test_stop_words_of_another_language(make_doc: Callable[..., Document]) -> None:
    stage = GopherQuality(**{**OFF, "min_stop_words": 2}, stop_words=("der", "und", "die"))
    assert isinstance(stage(make_doc("der Hund und die Katze", language="de")), Document)
    assert stage(make_doc("der Hund der Katze", language="de")) == Drop("too_few_stop_words", value=1.0, limit=2)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"min_words": -1}, "min_words: must be a number of at least 0, got -1"),
        ({"max_bullet_lines": float("nan")}, "max_bullet_lines: must be a finite number or None, got nan"),
        ({"min_words": 10, "max_words": 9}, r"min_words: must be at most max_words \(9\), got 10"),
        ({"min_mean_word_length": 11}, r"min_mean_word_length: must be at most max_mean_word_length \(10\), got 11"),
        (
            {"min_stop_words": 3, "stop_words": ("a", "b", "a")},
            "min_stop_words: must be at most the 2 stop_words given",
        ),
    ],
)
def test_impossible_limits_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GopherQuality(**fields)


def test_a_language_with_its_own_limit_is_dropped_by_it_and_the_row_says_so(make_doc):
    stage = GopherQuality(min_stop_words=None, languages={"de": {"min_words": 60, "max_mean_word_length": None}})
    text = "Wort " * 59
    german, english = make_doc(text).replace(language="de"), make_doc(text).replace(language="en")
    assert stage(german) == Drop("too_few_words", value=59, limit=60)
    assert stage(english) == stage.measure(english)
    long = "Donaudampfschifffahrtsgesellschaft " * 60
    assert stage(make_doc(long).replace(language="de")).text == long
    assert stage(make_doc(long).replace(language="nl")) == Drop("words_too_long", value=34, limit=10)


def test_limits_of_a_language_may_not_cross():
    with pytest.raises(ValueError, match=r"languages.de.min_words: must be at most max_words \(100000\), got 200000"):
        GopherQuality(languages={"de": {"min_words": 200_000}})
