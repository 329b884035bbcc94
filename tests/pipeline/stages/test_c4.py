"""What C4's rules remove from a page, and which pages they drop."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.document import Document, Drop
from pipeline.stages.c4 import C4
from pipeline.text.features import TextFeatures

OFF: dict[str, Any] = {rule.limit: None for rule in C4.RULES}
PROSE = "One two three."

CASES = {
    "lorem_ipsum": ("max_lorem_ipsum_lines", 0, "Ipsum lorem dolor sit.", "Then Lorem Ipsum dolor.", 1.0),
    "curly_bracket": ("max_curly_bracket_lines", 0, "if (a) return b;", "if (a) { return b;", 1.0),
    "too_few_sentences": ("min_sentences", 5, "\n".join([PROSE] * 5), "\n".join([PROSE] * 4), 4.0),
}


@pytest.mark.parametrize("reason", CASES)
def test_a_limit_keeps_what_reaches_it_and_drops_what_breaks_it(reason: str, make_doc: Callable[..., Document]) -> None:
    field, limit, kept, dropped, value = CASES[reason]
    stage = C4(**{**OFF, field: limit})
    assert isinstance(stage(make_doc(kept)), Document)
    assert stage(make_doc(dropped)) == Drop(reason, value=value, limit=limit)


@pytest.mark.parametrize("reason", CASES)
def test_none_turns_a_rule_off(reason: str, make_doc: Callable[..., Document]) -> None:
    assert isinstance(C4(**OFF)(make_doc(CASES[reason][3])), Document)


def test_every_reason_has_a_case_with_the_default_of_its_limit() -> None:
    assert list(CASES) == [rule.reason for rule in C4.RULES]
    assert all(getattr(C4(), field) == limit for field, limit, *_ in CASES.values())


REMOVED = {
    "max_word_length": (C4(**OFF), None, "a b " + "c" * 1000, "a b " + "c" * 1001),
    "min_words_per_line": (C4(**OFF), None, "one two three", "one two"),
    "remove_javascript_lines": (C4(**OFF), False, "Java script is off", "Please turn JavaScript on"),
    "policy_phrases": (C4(**OFF), (), "Our policy on privacy", "Read our Privacy Policy"),
    "require_terminal_punctuation": (
        C4(**OFF, require_terminal_punctuation=True),
        False,
        'He said "no"',
        "He said no...",
    ),
}


@pytest.mark.parametrize("field", REMOVED)
def test_a_line_is_removed_by_one_rule_and_kept_without_it(field: str, make_doc: Callable[..., Document]) -> None:
    stage, off, kept, removed = REMOVED[field]
    page = f"{PROSE}\n{kept}\n{removed}\n{PROSE}"
    cleaned = stage.measure(make_doc(page))
    assert cleaned.text == f"{PROSE}\n{kept}\n{PROSE}"
    assert cleaned.signals["c4"]["removed_lines"] == 1
    assert C4(**{**OFF, field: off}).measure(make_doc(page)).text == page


def test_citations_are_taken_out(make_doc: Callable[..., Document]) -> None:
    page = "One two[1] three.[23][] [edit]\nFour five six[citation needed] [note 1] [a]"
    assert C4(**OFF).measure(make_doc(page)).text == "One two three. \nFour five six [note 1] [a]"
    assert C4(**OFF, remove_citations=False).measure(make_doc(page)).text == page


def test_citations_count_as_words_of_their_line(make_doc: Callable[..., Document]) -> None:
    assert C4(**OFF).measure(make_doc("one two [1]")).text == "one two"
    assert C4(**OFF).measure(make_doc("one two[1]")).text == ""


def test_lines_end_where_splitlines_says_and_are_stripped(make_doc: Callable[..., Document]) -> None:
    page = "  one two three \r\nfour five six\u2028seven eight nine\x0bten\n\n"
    assert C4(**OFF).measure(make_doc(page)).text == "one two three\nfour five six\nseven eight nine"


def test_a_line_that_goes_condemns_no_page(make_doc: Callable[..., Document]) -> None:
    assert C4(**{**OFF, "max_lorem_ipsum_lines": 0})(make_doc("Lorem ipsum")).__class__ is Document
    assert C4(**{**OFF, "max_curly_bracket_lines": 0})(make_doc("javascript: { } code")).__class__ is Document
    assert C4(**{**OFF, "max_curly_bracket_lines": 0})(make_doc("privacy policy { }")).__class__ is Drop


def test_sentences_are_counted_in_the_lines_that_are_left(make_doc: Callable[..., Document]) -> None:
    page = "One. Two. Three.\nFour five six\nSeven! Eight?\nNine ten eleven [1]."
    assert C4().measure(make_doc(page)).signals["c4"]["sentences"] == 5  # 3 + 1 + (2 words: removed) + 1


def test_a_page_of_which_nothing_is_left_is_dropped(make_doc: Callable[..., Document]) -> None:
    for text in ("", "\n", "Home", "Home\nAbout us\n"):
        assert C4()(make_doc(text)) == Drop("too_few_sentences", value=0.0, limit=5)
    assert C4(**OFF).measure(make_doc("Home")).text == ""


@pytest.mark.parametrize("citation", ["", "[1]"])
def test_the_cleaned_page_has_the_words_of_its_own_text(citation: str, make_doc: Callable[..., Document]) -> None:
    doc = make_doc(f"One two three{citation}, don't.\nHome\n  Four five (six).\nAbout us")
    doc.features.words()
    cleaned = C4(**OFF).measure(doc)
    fresh = TextFeatures(cleaned.text).words()
    assert cleaned.features.words().hashes.tolist() == fresh.hashes.tolist()
    assert cleaned.features.words().per_chunk.tolist() == fresh.per_chunk.tolist()


def test_a_page_that_needs_no_cleaning_keeps_its_features(make_doc: Callable[..., Document]) -> None:
    doc = make_doc("\n".join([PROSE] * 5))
    cleaned = C4()(doc)
    assert isinstance(cleaned, Document)
    assert cleaned.features is doc.features


def test_a_chunk_longer_than_a_piece_is_one_word_of_its_line(make_doc: Callable[..., Document]) -> None:
    stage = C4(**OFF, max_word_length=None)
    page = "a b " + "c" * 5_000_000 + "\nHome\nd e f."
    assert stage.measure(make_doc(page)).signals["c4"]["sentences"] == 2


def test_policy_phrases_are_lower_case() -> None:
    with pytest.raises(ValueError, match="policy_phrases: must be lower case and not empty, got 'Privacy'"):
        C4(policy_phrases=("Privacy",))
