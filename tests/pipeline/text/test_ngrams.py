"""Hashes and repetition of runs of words, beside the definitions written out."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.ngrams import ngram_hashes, repeated_characters
from pipeline.text.words import ChunkTable, Words

TABLE = ChunkTable(lambda chunks: [(chunk,) for chunk in chunks])


def words(text: str) -> Words:
    """The words of a text between spaces."""
    return TABLE.look_up(text)


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


@settings(deadline=None)  # the first example waits for the compiler
@given(TOKENS, st.integers(1, 5))
def test_repetition_is_what_the_definition_says(tokens: list[str], longest_top: int) -> None:
    found = repeated_characters(words(" ".join(tokens)), longest_top=longest_top, longest=10)
    assert found.top == {n: top_by_definition(tokens, n) for n in range(2, longest_top + 1)}
    assert found.duplicated == {n: duplicated_by_definition(tokens, n) for n in range(longest_top + 1, 11)}


def test_repetition_written_out() -> None:
    assert repeated_characters(words("to be or not to be"), longest_top=2, longest=2).top == {2: 10}  # "to be", twice
    # The second "to be", without its space:
    assert repeated_characters(words("to be or not to be"), longest_top=1, longest=2).duplicated == {2: 4}


@pytest.mark.parametrize(("text", "top"), [("", 0), ("word", 0), ("two words", 9)])
def test_a_text_shorter_than_the_run_repeats_nothing(text: str, top: int) -> None:
    found = repeated_characters(words(text), longest_top=2, longest=3)
    assert found.top == {2: top}
    assert found.duplicated == {3: 0}


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
