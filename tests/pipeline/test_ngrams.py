"""Hashes and repetition of runs of words, beside the definitions written out."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ngrams
from pipeline.ngrams import ngram_hashes, repeated_characters
from pipeline.words import ChunkTable, Words

TABLE = ChunkTable(lambda chunks: [(chunk,) for chunk in chunks])


def words(text: str) -> Words:
    """The words of a text between spaces."""
    return TABLE.look_up(text.split())


def top_by_definition(tokens: list[str], n: int) -> int:
    """Occurrences of the most frequent run times its length with spaces; of equals the one met first."""
    runs = Counter(" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
    if not runs:
        return 0
    run, count = runs.most_common(1)[0]
    return len(run) * count


def duplicated_by_definition(tokens: list[str], n: int) -> int:
    """Characters of runs met before, jumping over each of them."""
    met: set[tuple[str, ...]] = set()
    at = characters = 0
    while at <= len(tokens) - n:
        run = tuple(tokens[at : at + n])
        if run in met:
            characters += sum(map(len, run))
            at += n
        else:
            met.add(run)
            at += 1
    return characters


TOKENS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), max_size=60)


@given(TOKENS, st.booleans())
def test_repetition_is_what_the_definition_says(tokens: list[str], huge: bool) -> None:
    before, ngrams.HUGE = ngrams.HUGE, 3 if huge else 1 << 18
    try:
        found = repeated_characters(words(" ".join(tokens)), top=(2, 3, 4), duplicated=range(5, 11))
    finally:
        ngrams.HUGE = before
    assert found.top == {n: top_by_definition(tokens, n) for n in (2, 3, 4)}
    assert found.duplicated == {n: duplicated_by_definition(tokens, n) for n in range(5, 11)}


def test_repetition_written_out() -> None:
    found = repeated_characters(words("to be or not to be"), top=(2,), duplicated=(2,))
    assert found.top == {2: 10}  # "to be", twice
    assert found.duplicated == {2: 4}  # the second "to be", without its space


@pytest.mark.parametrize(("text", "top"), [("", 0), ("word", 0), ("two words", 9)])
def test_a_text_shorter_than_the_run_repeats_nothing(text: str, top: int) -> None:
    found = repeated_characters(words(text), top=(2,), duplicated=(5,))
    assert found.top == {2: top}
    assert found.duplicated == {5: 0}


def test_run_hashes_know_the_order_of_words() -> None:
    hashes = ngram_hashes(words("a b b a a b").hashes, 2)
    assert hashes[0] == hashes[4]
    assert len(set(hashes.tolist())) == 4


@pytest.mark.parametrize(("text", "runs"), [("", 0), ("a", 1), ("a b c d e", 1), ("a b c d e f", 2)])
def test_number_of_runs(text: str, runs: int) -> None:
    assert ngram_hashes(words(text).hashes, 5).shape == (runs,)


def test_run_hashes_leave_the_word_hashes_alone() -> None:
    found = words("a b c")
    before = found.hashes.copy()
    ngram_hashes(found.hashes, 1)
    assert np.array_equal(found.hashes, before)
