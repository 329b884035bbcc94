"""The loops of substring dedup, run as the Python they are written in, beside brute force and their machine code."""

import random

import numpy as np
import pytest

from pipeline.dedup.span_loops import ALONE, IN_WORD, SPACE, cut_words, find_lowest, kind_of
from pipeline.text import machine_code

KINDS = np.full(128, IN_WORD, np.uint8)
KINDS[ord(" ")] = SPACE
KINDS[ord("1") : ord("9") + 1] = ALONE


def points_of(text):
    return np.array([ord(character) for character in text], np.uint32)


def cut(text, loop=cut_words):
    """(words, their hashes)."""
    points = points_of(text)
    starts, ends, hashes = np.zeros(len(text), np.int64), np.zeros(len(text), np.int64), np.zeros(len(text), np.uint64)
    with np.errstate(over="ignore"):  # the hash is taken modulo 2^64
        words = loop(points, len(points), KINDS, len(KINDS), starts, ends, hashes)
    return [text[start:end] for start, end in zip(starts[:words], ends[:words], strict=True)], hashes[:words].tolist()


def lowest(values, width, loop=find_lowest):
    array = np.array(values, np.uint64)
    queue, found = np.zeros(len(values), np.int64), np.full(len(values), -1, np.int64)
    number = loop(array, len(values), width, queue, found)
    assert found[number:].tolist() == [-1] * (len(values) - number)  # nothing is written past the end
    return found[:number].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   ", []),
        ("one", ["one"]),
        (" one  two ", ["one", "two"]),
        ("a12b 3", ["a", "1", "2", "b", "3"]),
        ("caf\u00e9 \U0001f600x", ["caf\u00e9", "\U0001f600x"]),  # past the end of the table
    ],
)
def test_words_end_at_spaces_and_around_characters_that_stand_alone(text, words):
    assert cut(text)[0] == words


def test_a_word_has_one_hash_wherever_it_stands():
    words, hashes = cut("ab ba ab a b abb 1 1 2")
    assert len(set(zip(words, hashes, strict=True))) == len(set(words)) == len(set(hashes)) == 7


def test_the_table_ends_before_the_character():
    assert [kind_of(point, KINDS, 128) for point in (32, 49, 65, 127, 128)] == [SPACE, ALONE, IN_WORD, IN_WORD, IN_WORD]
    assert kind_of(32, KINDS, 32) == IN_WORD


def test_of_equal_values_the_first_is_the_lowest():
    assert lowest([3, 1, 2, 1, 1, 5], 3) == [1, 1, 3, 3]
    assert lowest([7, 7, 7], 2) == [0, 1]
    assert lowest([2, 1], 1) == [0, 1]
    assert lowest([2**64 - 1, 1 << 63], 2) == [1]
    assert lowest([4, 5], 3) == lowest([], 1) == []


def test_random_values_as_by_brute_force_and_in_machine_code():
    draw, loops = random.Random(1), machine_code.load("pipeline.dedup.span_loops")
    for width in (1, 2, 5, 40):
        values = [draw.choice([0, 1, 2**63, 2**64 - 1, draw.getrandbits(64)]) for _ in range(60)]
        windows = [values[at : at + width] for at in range(61 - width)]
        wanted = [at + window.index(min(window)) for at, window in enumerate(windows)]
        assert lowest(values, width) == lowest(values, width, loops["find_lowest"]) == wanted
    text = "".join(draw.choice("abc 12\u00e9") for _ in range(300))
    assert cut(text) == cut(text, loops["cut_words"])
