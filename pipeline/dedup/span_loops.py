"""The loops of substring dedup, in the Python that becomes machine code (`pipeline/text/machine_code.py`).

`pipeline/dedup/substrings.py` says what they do and makes the arrays they fill; `..._size` are lengths of arrays.
"""

import numpy as np

from pipeline.text.machine_code import I64, U8, U32, U64

CONSTANTS_OF = ()
"""Modules whose numbers are compiled in."""
IN_WORD, SPACE, ALONE = 0, 1, 2
"""What a character is to a word: part of one, between two, one by itself."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S29, _S30, _S31 = np.uint64(27), np.uint64(29), np.uint64(30), np.uint64(31)


def kind_of(point: int, kinds: U8, kinds_size: int) -> int:
    """What a character is; past the end of the table, part of a word."""
    return int(kinds[point]) if point < kinds_size else IN_WORD


def cut_words(points: U32, points_size: int, kinds: U8, kinds_size: int, starts: I64, ends: I64, hashes: U64) -> int:
    """Fills start, end and hash of every word; gives their number."""
    words = at = 0
    while at < points_size:
        kind = kind_of(points[at], kinds, kinds_size)
        if kind == SPACE:
            at += 1
            continue
        starts[words] = at
        state = np.uint64(0)
        more = True
        while more:
            state = (state ^ np.uint64(points[at])) * _STEP
            state ^= state >> _S29
            at += 1
            more = kind == IN_WORD and at < points_size and kind_of(points[at], kinds, kinds_size) == IN_WORD
        state = (state ^ (state >> _S30)) * _MIX1
        state = (state ^ (state >> _S27)) * _MIX2
        ends[words] = at
        hashes[words] = state ^ (state >> _S31)
        words += 1
    return words


def find_lowest(values: U64, values_size: int, width: int, queue: I64, found: I64) -> int:
    """Fills where the smallest of every `width` consecutive values stands (of equals the first); gives their number.

    `queue` has room for all values: the places that may still be the smallest, their values ascending.
    """
    head = tail = 0
    for at in range(values_size):
        while tail > head and values[queue[tail - 1]] > values[at]:
            tail -= 1
        queue[tail] = at
        tail += 1
        if queue[head] <= at - width:
            head += 1
        if at >= width - 1:
            found[at - width + 1] = queue[head]
    return max(0, values_size - width + 1)


HELPERS = (kind_of,)
"""Compiled into the loops that call them."""
LOOPS = (cut_words, find_lowest)
"""What is called from Python."""
