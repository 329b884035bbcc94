"""Substring dedup against brute force, and what it does to texts."""

import numpy as np
import pytest

from pipeline.dedup import repeats, substrings
from pipeline.dedup.repeats import COLUMNS, Items, combined, matches
from pipeline.dedup.substrings import SubstringDedup, cut_out, cut_words

SMALL = SubstringDedup(min_words=6, min_document_words=None)


def words_of(text):
    cut = cut_words(text)
    return [text[start:end] for start, end in zip(cut.starts, cut.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "starts", "rest"),
    [
        ("a b  c d e f", [1], "a f"),
        ("a b\nc d e f", [1], "a f"),
        ("a\nb c d e f", [1], "a\nf"),
        ("a b c d e\n\nf", [1], "a\n\nf"),
        ("  a b c d e", [0], "e"),
        ("a b c d e\n", [1], "a"),
        ("a b c d", [0], ""),
        ("a b c d e f g h i", [0, 5], "e"),
        ("a b c d e f g h i", [1, 2], "a g h i"),
        ("東京都に行った", [1], "東った"),
    ],
)
def test_white_space_around_a_cut(text, starts, rest):
    config = SubstringDedup(min_words=4)
    assert cut_out(text, np.array(starts), config).text == rest


def test_words_of_scripts_with_and_without_spaces(monkeypatch):
    assert words_of(" I say: Hello,\u3000world!\n") == ["I", "say:", "Hello,", "world!"]
    assert words_of("Tokyo東京 is") == ["Tokyo", "東", "京", "is"]
    assert words_of("") == words_of(" \n\t") == []
    text = "some 日本 words and more \u0e01\u0e02 of them " * 9
    whole = cut_words(text)
    monkeypatch.setattr(substrings, "PIECE", 10)
    for name in ("starts", "ends", "hashes"):
        assert getattr(cut_words(text), name).tolist() == getattr(whole, name).tolist()
    assert substrings.anchors(text, SMALL).tolist()


def test_keys_that_share_their_first_half_are_told_apart():
    known = np.array([5, 5, 5, 9], np.uint64), np.array([1, 3, 7, 3], np.uint64)
    wanted = np.array([5, 5, 5, 9, 9, 4, 10], np.uint64), np.array([7, 1, 2, 3, 1, 1, 3], np.uint64)
    assert matches(*known, *wanted).tolist() == [2, 0, -1, 3, -1, -1, -1]


def test_combined_keeps_the_first_place_and_adds_up():
    rows = [(5, 1, 2, 0, 0, 9, 1), (5, 1, 1, 4, 0, 3, 2), (5, 2, 0, 0, 0, 0, 1), (5, 1, 1, 4, 0, 2, 4),
            (3, 9, 9, 9, 9, 9, 1)]  # fmt: skip
    items = Items(*(np.array(column, dtype) for column, dtype in zip(
        zip(*rows, strict=True), COLUMNS.values(), strict=True)))  # fmt: skip
    found = combined(items)
    assert [[int(getattr(found, name)[n]) for name in COLUMNS] for n in range(3)] == [
        [3, 9, 9, 9, 9, 9, 1], [5, 1, 1, 4, 0, 2, 7], [5, 2, 0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert len(combined(repeats.concatenate([]))) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [({"min_words": 1}, "min_words: must be at least 2, got 1"),
     ({"min_document_words": -1}, "min_document_words: must be at least 0, got -1")],
)  # fmt: skip
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SubstringDedup(**values)
