"""The loops over characters and words, compiled by numba.

For 5 KB of text they take a tenth of the time of the same work in numpy calls or dictionary look-ups, and they are
shorter. Whole numbers only: the same answer on every machine. Compiled once per machine (some seconds), kept beside
this file or in the user's cache, and loaded in a third of a second; import this module only where text is processed.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from pipeline.characters import (
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

F = TypeVar("F", bound=Callable[..., object])
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

_STEP, _LENGTH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_S27, _S29, _S30, _S31 = np.uint64(27), np.uint64(29), np.uint64(30), np.uint64(31)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ZERO = np.uint64(48)  # the digit


def compiled(function: F) -> F:
    """Compile, and keep the result on disk if there is a folder that can be written to."""
    jit: Any = numba.njit
    try:
        done: F = jit(cache=True, nogil=True)(function)
    except RuntimeError:  # no such folder: compile anew in each process
        done = jit(nogil=True)(function)
    return done


@compiled
def mix(value: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele et al. 2014): spreads every bit over all others."""
    value = (value ^ (value >> _S30)) * _MIX1
    value = (value ^ (value >> _S27)) * _MIX2
    return value ^ (value >> _S31)


@compiled
def absorb(state: np.uint64, point: np.uint64) -> np.uint64:
    """One character more."""
    state = (state ^ point) * _STEP
    return state ^ (state >> _S29)


@compiled
def finish(state: np.uint64, length: int) -> np.uint64:
    """The hash of a word of which all characters have been absorbed, beginning with state 0."""
    return mix(state ^ (np.uint64(length) * _LENGTH))


@compiled
def hash_words(points: U32, lengths: I32) -> U64:
    """The hashes of words that stand one after another in `points`."""
    hashes = np.empty(len(lengths), np.uint64)
    at = 0
    for word in range(len(lengths)):
        state = np.uint64(0)
        for point in points[at : at + lengths[word]]:
            state = absorb(state, np.uint64(point))
        hashes[word] = finish(state, lengths[word])
        at += lengths[word]
    return hashes


@compiled
def slot_of(table: U64, key: np.uint64) -> int:
    """Where `key` stands in a table of open addressing (a power of two long, 0 is empty), or would stand."""
    last = len(table) - 1
    slot = int(key >> _S31) & last
    while table[slot] != key and table[slot] != 0:
        slot = (slot + 1) & last
    return slot


@compiled
def is_space(point: int, classes: U8) -> bool:
    """White space, as `str.isspace`."""
    return bool(point < len(classes) and classes[point] & SPACE)


@compiled
def scan_chunks(points: U32, classes: U8, signs: U8, special: U64) -> tuple[I64, I64, I32, U64, I32, U8]:
    """The runs of characters without white space, and the words of those shaped like `word`, `2024`, `word,`, `(word`.

    Args:
        points: the characters, as code points.
        classes: bits by code point; code points past its end have none, so that their chunks are looked up.
        signs: flags of the words that are one sign, by code point.
        special: table of the hashes of words that make a chunk be looked up although its shape is plain.

    Returns:
        Start and end of each chunk, its number of words (-1: look it up); hash, length and flags of the words found.
    """
    starts, ends = np.empty(len(points) // 2 + 1, np.int64), np.empty(len(points) // 2 + 1, np.int64)
    counts = np.empty(len(points) // 2 + 1, np.int32)
    hashes, lengths = np.empty(len(points), np.uint64), np.empty(len(points), np.int32)
    flags = np.empty(len(points), np.uint8)
    chunks = words = at = 0
    while at < len(points):
        if is_space(points[at], classes):
            at += 1
            continue
        start = at
        letters = digits = first = last = second_last = 0
        whole = but_first = but_last = np.uint64(0)
        while at < len(points) and not is_space(points[at], classes):
            point = points[at]
            second_last, last = last, classes[point] if point < len(classes) else 0
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
        if special[slot_of(special, word)] == 0:
            before, after = 0, 0  # signs that come off
            if letters == size - 1 and size > 1:
                if last & CLOSES or (last & DOT and second_last & LOWER):
                    after, word = 1, finish(but_last, size - 1)
                elif first & OPENS:
                    before, word = 1, finish(but_first, size - 1)
            if letters == size or digits == size or ((before or after) and special[slot_of(special, word)] == 0):
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
    return (
        starts[:chunks], ends[:chunks], counts[:chunks].copy(),
        hashes[:words].copy(), lengths[:words].copy(), flags[:words].copy(),
    )  # fmt: skip


@compiled
def end_of_number(points: U32, at: int, end: int) -> int:
    """Where a number ends that begins at `at`: digits, and after a point or comma some more."""
    while at < end and 48 <= points[at] <= 57:
        at += 1
    if at + 1 < end and (points[at] == 44 or points[at] == 46) and 48 <= points[at + 1] <= 57:
        at += 1
        while at < end and 48 <= points[at] <= 57:
            at += 1
    return at


@compiled
def scan_normal(points: U32, classes: U8, normal: U32) -> tuple[I64, I64, I32, U64, I32, U8]:
    """The runs of characters without white space, and the normalized words of those that `normal` can map.

    Args:
        points: the characters, as code points.
        classes: bits by code point.
        normal: what each code point becomes, or SEPARATOR, DROPPED, LOOKED_UP. Past its end all are looked up.

    Returns:
        As `scan_chunks`; the flags are 0.
    """
    starts, ends = np.empty(len(points) // 2 + 1, np.int64), np.empty(len(points) // 2 + 1, np.int64)
    counts = np.empty(len(points) // 2 + 1, np.int32)
    hashes, lengths = np.empty(len(points) // 2 + 1, np.uint64), np.empty(len(points) // 2 + 1, np.int32)
    chunks = words = at = 0
    while at < len(points):
        if is_space(points[at], classes):
            at += 1
            continue
        start, plain = at, True
        while at < len(points) and not is_space(points[at], classes):
            plain = plain and points[at] < len(normal) and normal[points[at]] != LOOKED_UP
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
    flags = np.zeros(words, np.uint8)
    return starts[:chunks], ends[:chunks], counts[:chunks].copy(), hashes[:words].copy(), lengths[:words].copy(), flags


@compiled
def merge(
    counts: I32, found: tuple[U64, I32, U8], rows: I64, row_starts: I64, row_counts: I32, known: tuple[U64, I32, U8]
) -> tuple[I32, U64, I32, U8]:
    """Put the words that were looked up among those that were found.

    Args:
        counts: words of each chunk; -1 where they were looked up.
        found: hash, length and flags of the words of the other chunks.
        rows: for each chunk that was looked up its row in the table.
        row_starts, row_counts: of each row its words in `known`.

    Returns:
        Words of each chunk; hash, length and flags of all words.
    """
    per_chunk = counts.copy()
    asked = 0
    for chunk in range(len(counts)):
        if counts[chunk] < 0:
            per_chunk[chunk] = row_counts[rows[asked]]
            asked += 1
    total = per_chunk.sum()
    hashes, lengths, flags = np.empty(total, np.uint64), np.empty(total, np.int32), np.empty(total, np.uint8)
    word = taken = asked = 0
    for chunk in range(len(counts)):
        if counts[chunk] < 0:
            first = row_starts[rows[asked]]
            asked += 1
            for at in range(first, first + per_chunk[chunk]):
                hashes[word], lengths[word], flags[word] = known[0][at], known[1][at], known[2][at]
                word += 1
        else:
            for at in range(taken, taken + counts[chunk]):
                hashes[word], lengths[word], flags[word] = found[0][at], found[1][at], found[2][at]
                word += 1
            taken += counts[chunk]
    return per_chunk, hashes, lengths, flags


@compiled
def count_sentences(flags: U8, per_chunk: I32, chunks_per_line: I64) -> int:
    """Sentences, counted line by line; see `Words.sentences`."""
    sentences = chunk = word = 0
    for line in range(len(chunks_per_line)):
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


@compiled
def repeated(hashes: U64, lengths: I32, longest_top: int, longest: int) -> tuple[I64, I64]:
    """Characters in repeated runs of words, by run length; see `pipeline.ngrams.repeated_characters`.

    Args:
        hashes, lengths: of the words.
        longest_top: for runs from 2 to this many words the characters of the most frequent one are counted,
        longest: and for longer ones, to this many words, those of all runs met before.
    """
    tops, duplicated = np.zeros(longest + 1, np.int64), np.zeros(longest + 1, np.int64)
    words = len(hashes)
    ends = np.zeros(words + 1, np.int64)
    ends[1:] = np.cumsum(lengths)
    room = 16
    while room < words + words // 2:
        room *= 2
    keys, stamps = np.empty(room, np.uint64), np.zeros(room, np.uint8)
    firsts, counts = np.empty(room, np.int32), np.empty(room, np.int32)
    runs = hashes.copy()
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
    return tops, duplicated


@compiled
def hash_runs(hashes: U64, n: int) -> U64:
    """One hash for each run of `n` word hashes; see `pipeline.ngrams.ngram_hashes`."""
    runs = np.empty(len(hashes) - n + 1, np.uint64)
    for at in range(len(runs)):
        state = hashes[at]
        for offset in range(1, n):
            state = state * _STEP + hashes[at + offset]
        runs[at] = mix(state)
    return runs


def _remove_empty_files(folder: Path) -> None:
    """Remove what a power cut or a full disk left of numba's files: empty, they would break every later run."""
    for file in folder.glob("kernels.*.nb[ci]"):
        with contextlib.suppress(OSError):  # gone already, or not ours to remove: then numba names it
            if file.stat().st_size == 0:
                file.unlink()


_remove_empty_files(Path(getattr(hash_runs, "stats").cache_path or "."))  # noqa: B009 - a function to the type checker
