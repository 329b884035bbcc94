"""Loops of a fastText classifier; `stages/support/quantized_fasttext.py` calls them and says what the arrays hold."""

import math

import numpy as np

from pipeline.text.machine_code import F32, I32, U8

CONSTANTS_OF = ()
SPACE, CONTINUES, LEADING_BITS = 0x20, 0x80, 0xC0
_FNV_START, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)


def absorb_byte(state: np.uint32, byte: int) -> np.uint32:
    """FNV-1a over signed bytes, as fastText has it."""
    return np.uint32((state ^ np.uint32(np.int8(byte))) * _FNV_PRIME)


def same_bytes(left: U8, at: int, right: U8, start: int, size: int) -> bool:
    """Whether `size` bytes from `at` in one array are those from `start` in another."""
    for offset in range(size):  # noqa: SIM110 - the compiler knows no generators
        if left[at + offset] != right[start + offset]:
            return False
    return True


def slot_of_word(text: U8, at: int, end: int, starts: I32, data: U8, table: I32, table_size: int) -> int:
    """Where the word text[at:end] stands in the table, or would stand."""
    state = _FNV_START
    for place in range(at, end):
        state = absorb_byte(state, text[place])
    slot = np.int64(state) & (table_size - 1)
    while table[slot] >= 0:
        row = table[slot]
        size = starts[row + 1] - starts[row]
        if size == end - at and same_bytes(text, at, data, starts[row], size):
            return int(slot)
        slot = (slot + 1) & (table_size - 1)
    return int(slot)


def fill_words(starts: I32, data: U8, words: int, table: I32, table_size: int) -> int:
    """Put the words, which stand one after another in `data`, into the table."""
    for word in range(words):
        table[slot_of_word(data, starts[word], starts[word + 1], starts, data, table, table_size)] = word
    return words


def slot_of_ngram(bucket: int, keys: I32, size: int) -> int:
    """Where a bucket stands in the table, or would stand."""
    slot = ((bucket * 40503) >> 4) & (size - 1)
    while keys[slot] >= 0 and keys[slot] != bucket:
        slot = (slot + 1) & (size - 1)
    return slot


def fill_ngrams(pairs: I32, count: int, keys: I32, rows: I32, size: int) -> int:
    """Put pairs (bucket, row) into the table."""
    for pair in range(count):
        slot = slot_of_ngram(pairs[2 * pair], keys, size)
        keys[slot], rows[slot] = pairs[2 * pair], pairs[2 * pair + 1]
    return count


def add_row(row: int, shape: I32, codes: U8, centroids: F32, norms: F32, hidden: F32) -> None:
    """Add the vector of a row."""
    norm, parts, size = norms[row], shape[4], shape[5]
    for part in range(parts):
        start = (part * 256 + codes[row * parts + part]) * size
        for offset in range(size):
            hidden[part * size + offset] += norm * centroids[start + offset]


def classify(
    text: U8, text_size: int, shape: I32, words: I32, words_size: int, starts: I32, data: U8,
    buckets: I32, buckets_size: int, bucket_rows: I32, codes: U8, centroids: F32, norms: F32,
    children: I32, weights: F32, hidden: F32, scores: F32,
) -> int:  # fmt: skip
    """The number of the likeliest label of `<word> <word> ...`, its probability in `scores`; -1 if nothing is known."""
    word_rows, bucket_count, shortest, longest = shape[0], shape[1], shape[2], shape[3]
    found = at = 0
    while at < text_size:
        end = at
        while end < text_size and text[end] != SPACE:
            end += 1
        word = words[slot_of_word(text, at + 1, end - 1, starts, data, words, words_size)]
        if word >= 0:
            add_row(word, shape, codes, centroids, norms, hidden)
            found += 1
        if word != shape[7] or word < 0:
            for first in range(at, end):
                if text[first] & LEADING_BITS == CONTINUES:
                    continue
                state, last, length = _FNV_START, first, 1
                while last < end and length <= longest:
                    state = absorb_byte(state, text[last])
                    last += 1
                    while last < end and text[last] & LEADING_BITS == CONTINUES:
                        state = absorb_byte(state, text[last])
                        last += 1
                    if length >= shortest and not (length == 1 and (first == at or last == end)):
                        bucket = np.int64(state) % bucket_count
                        slot = slot_of_ngram(bucket, buckets, buckets_size)
                        if buckets[slot] >= 0:
                            add_row(word_rows + bucket_rows[slot], shape, codes, centroids, norms, hidden)
                            found += 1
                    length += 1
        at = end + 1
    if shape[7] >= 0:  # the end of the line is a word, too
        add_row(shape[7], shape, codes, centroids, norms, hidden)
        found += 1
    if found == 0:
        return -1
    dim, labels = shape[4] * shape[5], shape[6]
    for place in range(dim):
        hidden[place] *= np.float32(1.0 / found)
    return likeliest(dim, labels, children, weights, hidden, scores)


def likeliest(dim: int, labels: int, children: I32, weights: F32, hidden: F32, scores: F32) -> int:
    """The leaf with the greatest product of probabilities on its way from the root; its probability in `scores`."""
    scores[2 * labels - 2] = 0
    for inner in range(labels - 2, -1, -1):
        dot = np.float32(0)
        for place in range(dim):
            dot += weights[inner * dim + place] * hidden[place]
        right = np.float32(1.0 / np.float32(np.float32(1) + math.exp(-dot)))
        before = scores[labels + inner]
        scores[children[2 * inner]] = before + np.float32(math.log(np.float32(1.0 - right) + 1e-5))
        scores[children[2 * inner + 1]] = before + np.float32(math.log(right + 1e-5))
    best = 0
    for label in range(labels):
        if scores[label] > scores[best]:
            best = label
    scores[best] = math.exp(scores[best])
    return best


HELPERS = (absorb_byte, same_bytes, slot_of_word, slot_of_ngram, add_row, likeliest)
LOOPS = (fill_words, fill_ngrams, classify)
