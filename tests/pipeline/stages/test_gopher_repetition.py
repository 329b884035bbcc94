"""A page on each side of each of Gopher's repetition limits."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.document import Document, Drop
from pipeline.stages.gopher_repetition import GopherRepetition

OFF: dict[str, Any] = {rule.limit: None for rule in GopherRepetition.RULES}
RUN = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st"]


def twice(n: int, size: int) -> str:
    """A run of n two-letter words, twice, and one long word that fills the text up to `size` characters."""
    run = " ".join(RUN[:n])
    return f"{run} {run} ".ljust(size, "x")


def parts(separator: str, different: int, repeats: int) -> str:
    """So many different parts, the first of them repeated."""
    return separator.join([f"part {n}" for n in range(different)] + ["part 0"] * repeats)


CASES = {
    "duplicate_paragraphs": (0.30, parts("\n\n", 7, 3), parts("\n\n", 6, 4), 0.4),
    "duplicate_paragraph_characters": (0.20, "aaaa\n\naaaa\n\n" + "b" * 8, "aaaa\n\naaaa\n\n" + "b" * 4, 0.25),
    "duplicate_lines": (0.30, parts("\n", 7, 3), parts("\n", 6, 4), 0.4),
    "duplicate_line_characters": (0.20, "aaaa\naaaa\n" + "b" * 10, "aaaa\naaaa\n" + "b" * 6, 0.25),
    "top_2_gram": (0.20, twice(2, 50), twice(2, 49), 10 / 49),
    "top_3_gram": (0.18, twice(3, 89), twice(3, 88), 16 / 88),
    "top_4_gram": (0.16, twice(4, 138), twice(4, 137), 22 / 137),
    "duplicated_5_grams": (0.15, twice(5, 67), twice(5, 66), 10 / 66),
    "duplicated_6_grams": (0.14, twice(6, 86), twice(6, 85), 12 / 85),
    "duplicated_7_grams": (0.13, twice(7, 108), twice(7, 107), 14 / 107),
    "duplicated_8_grams": (0.12, twice(8, 134), twice(8, 133), 16 / 133),
    "duplicated_9_grams": (0.11, twice(9, 164), twice(9, 163), 18 / 163),
    "duplicated_10_grams": (0.10, twice(10, 200), twice(10, 199), 20 / 199),
}


@pytest.mark.parametrize("reason", CASES)
def test_a_limit_keeps_what_reaches_it_and_drops_what_breaks_it(reason: str, make_doc: Callable[..., Document]) -> None:
    limit, kept, dropped, value = CASES[reason]
    stage = GopherRepetition(**{**OFF, f"max_{reason}": limit})
    assert isinstance(stage(make_doc(kept)), Document)
    assert stage(make_doc(dropped)) == Drop(reason, value=value, limit=limit)


@pytest.mark.parametrize("reason", CASES)
def test_none_turns_a_rule_off(reason: str, make_doc: Callable[..., Document]) -> None:
    assert isinstance(GopherRepetition(**OFF)(make_doc(CASES[reason][2])), Document)


def test_every_reason_has_a_case_with_the_default_of_its_limit() -> None:
    assert list(CASES) == [rule.reason for rule in GopherRepetition.RULES]
    assert all(getattr(GopherRepetition(), f"max_{reason}") == case[0] for reason, case in CASES.items())


def test_an_empty_text_is_dropped_whatever_the_limits(make_doc: Callable[..., Document]) -> None:
    assert GopherRepetition(**OFF)(make_doc("")) == Drop("empty", value=0.0, limit=1.0)
    assert isinstance(GopherRepetition()(make_doc("a")), Document)


def test_blank_lines_between_paragraphs_are_no_lines(make_doc: Callable[..., Document]) -> None:
    values = GopherRepetition().measure(make_doc("one\n\n\ntwo\n\n\n\nthree\nfour")).signals["gopher_repetition"]
    assert values["duplicate_lines"] == 0
    assert values["duplicate_paragraphs"] == 0
    values = GopherRepetition().measure(make_doc("one\n\n\none\n\nthree\n\n\n\nthree")).signals["gopher_repetition"]
    assert values["duplicate_lines"] == values["duplicate_paragraphs"] == 0.5


def test_shares_are_of_the_whole_text_with_its_white_space(make_doc: Callable[..., Document]) -> None:
    values = GopherRepetition().measure(make_doc("  to be or not to be \n")).signals["gopher_repetition"]
    assert values["characters"] == 22
    assert values["top_2_gram"] == pytest.approx(10 / 22)


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_top_2_gram: must be a number of at least 0, got -0\.1"):
        GopherRepetition(max_top_2_gram=-0.1)
