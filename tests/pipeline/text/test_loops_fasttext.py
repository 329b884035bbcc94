"""The tables that the loops of a fastText classifier look words and n-grams up in, run here as plain Python."""

import numpy as np
import pytest

from pipeline.text.loops_fasttext import absorb_byte, fill_ngrams, fill_words, same_bytes, slot_of_ngram, slot_of_word


def packed(words):
    data = np.frombuffer("".join(words).encode(), np.uint8)
    return np.cumsum([0, *(len(word.encode()) for word in words)]).astype(np.int32), data


@pytest.mark.filterwarnings("ignore:overflow")
def test_the_hash_is_fnv_1a_over_signed_bytes():
    state = np.uint32(2166136261)
    for byte in b"foobar":
        state = absorb_byte(state, np.uint8(byte))
    assert int(state) == 0xBF9CF968  # FNV-1a of "foobar"
    assert int(absorb_byte(np.uint32(0), np.uint8(0xFF).view(np.int8))) == (0xFFFFFFFF * 16777619) & 0xFFFFFFFF


def test_bytes_are_compared_within_their_size():
    left, right = np.frombuffer(b"xabcy", np.uint8), np.frombuffer(b"abcz", np.uint8)
    assert same_bytes(left, 1, right, 0, 3)
    assert not same_bytes(left, 1, right, 0, 4)
    assert same_bytes(left, 0, right, 3, 0)


@pytest.mark.filterwarnings("ignore:overflow")
def test_every_word_is_found_in_a_full_table_and_no_other():
    words = ["mill", "river", "mil", "milk", "a"]
    starts, data = packed(words)
    table = np.full(8, -1, np.int32)
    assert fill_words(starts, data, len(words), table, 8) == 5
    for number, word in enumerate(words):
        text = np.frombuffer(f"..{word}".encode(), np.uint8)
        assert table[slot_of_word(text, 2, len(text), starts, data, table, 8)] == number
    other = np.frombuffer(b"rive", np.uint8)
    assert table[slot_of_word(other, 0, 4, starts, data, table, 8)] == -1


def test_buckets_that_fall_on_one_slot_are_told_apart():
    pairs = np.array([3, 30, 3 + 16 * 8, 31, 5, 32], np.int32)  # the first two begin at one slot
    keys, rows = np.full(8, -1, np.int32), np.zeros(8, np.int32)
    assert fill_ngrams(pairs, 3, keys, rows, 8) == 3
    assert [int(rows[slot_of_ngram(bucket, keys, 8)]) for bucket in pairs[::2].tolist()] == [30, 31, 32]
    assert keys[slot_of_ngram(4, keys, 8)] == -1
