"""A page on each side of each of FineWeb's own limits."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.document import Document, Drop
from pipeline.stages.fineweb import Fineweb

OFF: dict[str, Any] = {rule.limit: None for rule in Fineweb.RULES}


def lines(ended: int, open_ended: int) -> str:
    """Different lines, so many of them ended by a full stop."""
    return "\n".join([f"line {n}." for n in range(ended)] + [f"line {n}" for n in range(open_ended)])


SHORT, LONG = "x" * 30, "y" * 31
CASES = {
    "too_few_punctuated_lines": ("min_punctuated_lines", 0.12, lines(3, 22), lines(1, 9), 0.1),
    "too_many_short_lines": (
        "max_short_lines", 0.67, "\n".join([SHORT, "b", LONG]), "\n".join([SHORT, "b", "c", LONG]), 0.75,
    ),
    "duplicate_line_characters": (
        "max_duplicate_line_characters", 0.01, "ab\nab\n" + "c" * 196, "ab\nab\n" + "c" * 156, 2 / 160,
    ),
    "too_many_newlines": ("max_newlines_per_word", 0.3, "\n".join(["one"] * 3) + "\n" + "two " * 7, "a\nb\nc d", 0.5),
}  # fmt: skip


@pytest.mark.parametrize("reason", CASES)
def test_a_limit_keeps_what_reaches_it_and_drops_what_breaks_it(reason: str, make_doc: Callable[..., Document]) -> None:
    field, limit, kept, dropped, value = CASES[reason]
    stage = Fineweb(**{**OFF, field: limit})
    assert isinstance(stage(make_doc(kept)), Document)
    assert stage(make_doc(dropped)) == Drop(reason, value=value, limit=limit)


@pytest.mark.parametrize("reason", CASES)
def test_none_turns_a_rule_off(reason: str, make_doc: Callable[..., Document]) -> None:
    assert isinstance(Fineweb(**OFF)(make_doc(CASES[reason][3])), Document)


def test_every_reason_has_a_case_with_the_default_of_its_limit() -> None:
    assert list(CASES) == [rule.reason for rule in Fineweb.RULES]
    assert all(getattr(Fineweb(), field) == limit for field, limit, *_ in CASES.values())


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_a_text_of_blank_lines_is_empty_whatever_the_limits(text: str, make_doc: Callable[..., Document]) -> None:
    assert Fineweb(**OFF)(make_doc(text)) == Drop("empty", value=0.0, limit=1.0)


def test_one_line_is_not_empty(make_doc: Callable[..., Document]) -> None:
    assert isinstance(Fineweb(**OFF)(make_doc("\na")), Document)


@pytest.mark.parametrize("mark", [".", "!", "?", "。", "؟", "।", "‼"])
def test_a_line_may_end_in_the_mark_of_any_script(mark: str, make_doc: Callable[..., Document]) -> None:
    stage = Fineweb(**{**OFF, "min_punctuated_lines": 1.0})
    assert isinstance(stage(make_doc(f"one{mark}")), Document)
    assert isinstance(stage(make_doc(f"one{mark} ")), Drop)  # as it stands: a space is no mark


def test_pages_without_any_mark_may_be_allowed(make_doc: Callable[..., Document]) -> None:
    stage = Fineweb(**{**OFF, "min_punctuated_lines": 0.12}, allow_unpunctuated=True)
    assert isinstance(stage(make_doc(lines(0, 10))), Document)
    assert isinstance(stage(make_doc(lines(1, 9))), Drop)
    limited = Fineweb(**{**OFF, "max_short_lines": 0.5}, allow_unpunctuated=True)
    assert isinstance(limited(make_doc("a\nb")), Drop)


def test_the_length_of_a_short_line_is_a_field(make_doc: Callable[..., Document]) -> None:
    stage = Fineweb(**{**OFF, "max_short_lines": 0.0}, short_line_length=3)
    assert isinstance(stage(make_doc("abcd")), Document)
    assert isinstance(stage(make_doc("abc")), Drop)


def test_blank_lines_count_as_newlines_but_not_as_lines(make_doc: Callable[..., Document]) -> None:
    values = Fineweb().measure(make_doc("one.\n\n \ntwo")).signals["fineweb"]
    assert (values["lines"], values["punctuated_lines"]) == (2, 0.5)
    assert values["newlines_per_word"] == 1.0  # 3 newlines, 3 words: one . two


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="short_line_length: must be a number of at least 0, got -1"):
        Fineweb(short_line_length=-1)


def test_a_language_without_full_stops_is_not_asked_for_them(make_doc):
    text = "\n".join(f"a line of some length that ends in a letter {letter}" for letter in "abcdefgh")
    stage = Fineweb(unpunctuated_languages=("th",))
    assert stage(make_doc(text, language="en")).reason == "too_few_punctuated_lines"
    assert stage(make_doc(text, language="th")).text == text
