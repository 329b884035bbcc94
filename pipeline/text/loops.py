"""The loops over characters and words, in the Python that becomes machine code (`pipeline/text/machine_code.py`).

For 5 KB of text they take a tenth of the time of the same work in numpy calls or dictionary look-ups, and they are
shorter. Whole numbers only: the same answer on every machine. They are called through `pipeline/text/kernels.py`, which
says what they do and makes the arrays they fill; `..._size` arguments are lengths of arrays.
"""

import numpy as np

from pipeline.text.characters import (
    ALPHA,
    CLOSES,
    DIGIT,
    DOT,
    LETTER,
    LOOKED_UP,
    LOWER,
    OPENS,
    PUNCTUATION,
    SEPARATOR,
    SPACE,
    TERMINAL,
)
from pipeline.text.machine_code import I32, I64, U8, U32, U64

CONSTANTS_OF = ("pipeline.text.characters",)
"""Modules whose numbers are compiled in."""

_STEP, _LENGTH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_S27, _S29, _S30, _S31 = np.uint64(27), np.uint64(29), np.uint64(30), np.uint64(31)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ZERO = np.uint64(48)  # the digit
BLANK, EXCLAMATION, DASH, SLASH, LESS, GREATER, QUESTION = 0x20, 0x21, 0x2D, 0x2F, 0x3C, 0x3E, 0x3F


def mix(value: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele et al. 2014): spreads every bit over all others."""
    value = (value ^ (value >> _S30)) * _MIX1
    value = (value ^ (value >> _S27)) * _MIX2
    return value ^ (value >> _S31)


def absorb(state: np.uint64, point: np.uint64) -> np.uint64:
    """One character more."""
    state = (state ^ point) * _STEP
    return state ^ (state >> _S29)


def finish(state: np.uint64, length: int) -> np.uint64:
    """The hash of a word of which all characters have been absorbed, beginning with state 0."""
    return mix(state ^ (np.uint64(length) * _LENGTH))


def hash_words(points: U32, lengths: I32, words: int, hashes: U64) -> int:
    """Fills `hashes`, shape (words,); gives the number of characters."""
    at = 0
    for word in range(words):
        state = np.uint64(0)
        end = at + lengths[word]
        while at < end:
            state = absorb(state, np.uint64(points[at]))
            at += 1
        hashes[word] = finish(state, lengths[word])
    return at


def slot_of(table: U64, table_size: int, key: np.uint64) -> int:
    """Where `key` stands in a table of open addressing (a power of two long, 0 is empty), or would stand."""
    last = table_size - 1
    slot = int(key >> _S31) & last
    while table[slot] != key and table[slot] != 0:
        slot = (slot + 1) & last
    return slot


def find_slot(table: U64, table_size: int, key: np.uint64) -> int:
    """`slot_of`, for callers from outside."""
    return slot_of(table, table_size, key)


def is_space(point: int, classes: U8, classes_size: int) -> bool:
    """White space, as `str.isspace`."""
    return bool(point < classes_size and classes[point] & SPACE)


def scan_chunks(
    points: U32, points_size: int, classes: U8, classes_size: int, signs: U8, special: U64, special_size: int,
    starts: I64, ends: I64, counts: I32, hashes: U64, lengths: I32, flags: U8, found: I64,
) -> int:  # fmt: skip
    """Fills `starts`, `ends`, `counts` for each chunk, `hashes`, `lengths`, `flags` for each word, found[0] with the
    number of words; gives the chunks."""
    chunks = words = at = 0
    while at < points_size:
        if is_space(points[at], classes, classes_size):
            at += 1
            continue
        start = at
        letters = digits = first = last = second_last = 0
        whole = but_first = but_last = np.uint64(0)
        while at < points_size and not is_space(points[at], classes, classes_size):
            point = points[at]
            second_last, last = last, classes[point] if point < classes_size else 0
            letters += last & LETTER != 0
            digits += last & DIGIT != 0
            but_last = whole
            whole = absorb(whole, np.uint64(point))
            if at == start:
                first = last
            else:
                but_first = absorb(but_first, np.uint64(point))
            at += 1
        size = at - start
        count = -1
        word = finish(whole, size)
        if special[slot_of(special, special_size, word)] == 0:
            before, after = 0, 0  # signs that come off
            if letters == size - 1 and size > 1:
                if last & CLOSES or (last & DOT and second_last & LOWER):
                    after, word = 1, finish(but_last, size - 1)
                elif first & OPENS:
                    before, word = 1, finish(but_first, size - 1)
            plain = letters == size or digits == size
            if plain or ((before or after) and special[slot_of(special, special_size, word)] == 0):
                count = 1 + before + after
                if before:
                    hashes[words] = finish(absorb(np.uint64(0), np.uint64(points[start])), 1)
                    lengths[words], flags[words] = 1, signs[points[start]]
                middle = words + before
                hashes[middle], lengths[middle] = word, size - before - after
                flags[middle] = 0 if digits == size else ALPHA
                if after:
                    hashes[middle + 1] = finish(absorb(np.uint64(0), np.uint64(points[at - 1])), 1)
                    lengths[middle + 1], flags[middle + 1] = 1, signs[points[at - 1]]
                words += count
        starts[chunks], ends[chunks], counts[chunks] = start, at, count
        chunks += 1
    found[0] = words
    return chunks


def end_of_number(points: U32, at: int, end: int) -> int:
    """Where a number ends that begins at `at`: digits, and after a point or comma some more."""
    while at < end and 48 <= points[at] <= 57:
        at += 1
    if at + 1 < end and (points[at] == 44 or points[at] == 46) and 48 <= points[at + 1] <= 57:
        at += 1
        while at < end and 48 <= points[at] <= 57:
            at += 1
    return at


def scan_normal(
    points: U32, points_size: int, classes: U8, classes_size: int, normal: U32, normal_size: int,
    starts: I64, ends: I64, counts: I32, hashes: U64, lengths: I32, found: I64,
) -> int:  # fmt: skip
    """Fills `starts`, `ends`, `counts` for each chunk, `hashes`, `lengths` for each word, found[0] with the number of
    words; gives the chunks."""
    chunks = words = at = 0
    while at < points_size:
        if is_space(points[at], classes, classes_size):
            at += 1
            continue
        start, plain = at, True
        while at < points_size and not is_space(points[at], classes, classes_size):
            plain = plain and points[at] < normal_size and normal[points[at]] != LOOKED_UP
            at += 1
        starts[chunks], ends[chunks], counts[chunks] = start, at, -1
        if plain:
            words_before, state, size, here = words, np.uint64(0), 0, start
            while here <= at:
                becomes = np.uint64(normal[points[here]]) if here < at else np.uint64(SEPARATOR)
                here = end_of_number(points, here, at) if becomes == _ZERO else here + 1
                if becomes > LOOKED_UP:
                    state = absorb(state, becomes)
                    size += 1
                elif becomes == SEPARATOR and size > 0:
                    hashes[words], lengths[words] = finish(state, size), size
                    words += 1
                    state, size = np.uint64(0), 0
            counts[chunks] = words - words_before
        chunks += 1
    found[0] = words
    return chunks


def count_merged(counts: I32, counts_size: int, rows: I64, row_counts: I32, per_chunk: I32) -> int:
    """Fills `per_chunk`, shape (chunks,), from `counts` and, where that is -1, the table; gives their sum."""
    total = asked = 0
    for chunk in range(counts_size):
        count = counts[chunk]
        if count < 0:
            count = row_counts[rows[asked]]
            asked += 1
        per_chunk[chunk] = count
        total += count
    return total


def merge(
    counts: I32, counts_size: int, per_chunk: I32, rows: I64, row_starts: I64,
    found_hashes: U64, found_lengths: I32, found_flags: U8, known_hashes: U64, known_lengths: I32, known_flags: U8,
    hashes: U64, lengths: I32, flags: U8,
) -> int:  # fmt: skip
    """Fills `hashes`, `lengths`, `flags`, shape (words,); gives the words."""
    word = taken = asked = 0
    for chunk in range(counts_size):
        if counts[chunk] < 0:
            first = row_starts[rows[asked]]
            asked += 1
            for at in range(first, first + per_chunk[chunk]):
                hashes[word], lengths[word], flags[word] = known_hashes[at], known_lengths[at], known_flags[at]
                word += 1
        else:
            for at in range(taken, taken + counts[chunk]):
                hashes[word], lengths[word], flags[word] = found_hashes[at], found_lengths[at], found_flags[at]
                word += 1
            taken += counts[chunk]
    return word


def count_sentences(flags: U8, per_chunk: I32, chunks_per_line: I64, lines: int) -> int:
    """Sentences, counted line by line; see `Words.sentences`."""
    sentences = chunk = word = 0
    for line in range(lines):
        words_of_line, ended = 0, False
        for _ in range(chunks_per_line[line]):
            for _ in range(per_chunk[chunk]):
                if flags[word] & TERMINAL:
                    ended = True
                elif ended and not flags[word] & PUNCTUATION:
                    sentences += 1
                    ended = False
                word += 1
                words_of_line += 1
            chunk += 1
        sentences += words_of_line > 0
    return sentences


def repeated(
    hashes: U64, words: int, ends: I64, longest_top: int, longest: int,
    runs: U64, keys: U64, stamps: U8, firsts: I32, counts: I32, room: int, tops: I64, duplicated: I64,
) -> int:  # fmt: skip
    """Fills `tops` and `duplicated`, shape (longest + 1,); `ends`: characters before each word, and in all."""
    for at in range(words):
        runs[at] = hashes[at]
    for n in range(2, longest + 1):
        best = best_first = free = 0
        for at in range(words - n + 1):
            runs[at] = runs[at] * _STEP + hashes[at + n - 1]
            if n > longest_top and at < free:
                continue
            slot = int(mix(runs[at]) >> _S31) & (room - 1)
            while stamps[slot] == n and keys[slot] != runs[at]:
                slot = (slot + 1) & (room - 1)
            if stamps[slot] != n:
                stamps[slot], keys[slot], firsts[slot], counts[slot] = n, runs[at], at, 1
            elif n > longest_top:
                duplicated[n] += ends[at + n] - ends[at]
                free = at + n
                continue
            else:
                counts[slot] += 1
            if counts[slot] > best or (counts[slot] == best and firsts[slot] < best_first):
                best, best_first = counts[slot], firsts[slot]
        if n <= longest_top and best > 0:
            tops[n] = (ends[best_first + n] - ends[best_first] + n - 1) * best
    return words


def hash_runs(hashes: U64, n: int, runs: U64, runs_size: int) -> int:
    """Fills `runs`, shape (runs_size,); see `pipeline.text.ngrams.ngram_hashes`."""
    for at in range(runs_size):
        state = hashes[at]
        for offset in range(1, n):
            state = state * _STEP + hashes[at + offset]
        runs[at] = mix(state)
    return runs_size


def element_name(page: U8, at: int, size: int) -> np.uint64:
    """The ASCII letters from `at` on, lower case, as a number of up to eight bytes; 0 for none, or a longer name."""
    name = np.uint64(0)
    end = at
    while end < size and 65 <= (page[end] & 0xDF) <= 90:
        if end - at >= 8:
            return np.uint64(0)
        name = (name << np.uint64(8)) | np.uint64(page[end] | 0x20)
        end += 1
    return name


def find_end_tag(page: U8, at: int, size: int, name: np.uint64) -> int:
    """Where the next `</name` begins, or -1."""
    while at + 1 < size:
        if page[at] == LESS and page[at + 1] == SLASH and element_name(page, at + 2, size) == name:
            return at
        at += 1
    return -1


def find_end_of_comment(page: U8, at: int, size: int) -> int:
    """The byte after the next `-->`, or -1."""
    while at + 2 < size:
        if page[at] == DASH and page[at + 1] == DASH and page[at + 2] == GREATER:
            return at + 3
        at += 1
    return -1


def begins_tag(page: U8, at: int, size: int) -> bool:
    """Whether a `<` before `at` opens a tag: a letter, `/`, `!` or `?` stands there."""
    if at >= size:
        return True
    return bool(65 <= (page[at] & 0xDF) <= 90 or page[at] == SLASH or page[at] == EXCLAMATION or page[at] == QUESTION)


def visible_text(page: U8, size: int, unseen: U64, unseen_size: int, open_for_ever: U8, text: U8) -> int:
    """Writes what stands between the tags of an HTML page, runs of white space as one space; gives the bytes written.

    A tag is a space, and so is an element of the names `unseen` or a comment, unless it is never closed: then what
    follows is text. `open_for_ever`, shape (unseen_size + 1,), zeros: notes that, so that no rest is searched twice.
    """
    at = written = 0
    space = True
    while at < size:
        byte = page[at]
        if byte != LESS or not begins_tag(page, at + 1, size):
            if byte > BLANK:
                text[written] = byte
                written += 1
                space = False
            elif not space:
                text[written] = BLANK
                written += 1
                space = True
            at += 1
            continue
        end = at + 1
        if end + 2 < size and page[end] == EXCLAMATION and page[end + 1] == DASH and page[end + 2] == DASH:
            if open_for_ever[unseen_size] == 0:
                after = find_end_of_comment(page, end + 3, size)
                open_for_ever[unseen_size] = after < 0
                end = after if after >= 0 else end
        else:
            name = element_name(page, end, size)
            if name != 0:
                for known in range(unseen_size):
                    if unseen[known] == name and open_for_ever[known] == 0:
                        after = find_end_tag(page, end, size, name)
                        open_for_ever[known] = after < 0
                        end = after + 2 if after >= 0 else end
        if page[end - 1] != GREATER:
            while end < size and page[end] != GREATER and page[end] != LESS:
                end += 1
            end += end < size and page[end] == GREATER
        if not space:
            text[written] = BLANK
            written += 1
            space = True
        at = end
    return written


HELPERS = (
    begins_tag,
    element_name,
    find_end_tag,
    find_end_of_comment,
    mix,
    absorb,
    finish,
    slot_of,
    is_space,
    end_of_number,
)
"""Compiled into the loops that call them."""
LOOPS = (
    hash_words, find_slot, scan_chunks, scan_normal, count_merged, merge, count_sentences, repeated, hash_runs,
    visible_text,
)  # fmt: skip
"""What is called from Python."""
