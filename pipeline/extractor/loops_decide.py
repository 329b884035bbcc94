"""From features to text: trees, the choice of blocks, and the text of those chosen.

In the Python that becomes machine code (`pipeline/text/machine_code.py`). Whole numbers only: the same page has the
same text on every machine.
"""

from pipeline.extractor.layout import (
    BL_COLUMNS,
    BL_ELEMENT,
    BL_END,
    BL_START,
    BL_WORDS,
    EL_COLUMNS,
    EL_END,
    EL_FIRST,
    EL_FLAGS,
    EL_PARENT,
    EL_TAG,
)  # fmt: skip
from pipeline.extractor.vocabulary import ELEMENT, IN_ITEM, IN_TABLE
from pipeline.text.machine_code import I32, I64, U8

CONSTANTS_OF = ("pipeline.extractor.layout", "pipeline.extractor.vocabulary")

ONE = 1 << 16
"""Scores and probabilities are in parts of this."""
LINK_SHIFT = 9
LINK_LIMIT = 8 * ONE
LINK_SIZE = 2 * LINK_LIMIT >> LINK_SHIFT
"""Probabilities are looked up by score, in steps of 1 << LINK_SHIFT from -LINK_LIMIT on."""
LEVELS = 256
LI, TR, TD, TH = ELEMENT["li"], ELEMENT["tr"], ELEMENT["td"], ELEMENT["th"]
NEWLINE, SPACE, DASH, BAR = 10, 32, 45, 124


def score(
    ft: I32, columns: int, rows: int, roots: I32, trees: int, nodes: I32, leaves: I32, base: int, out: I32
) -> int:  # fmt: skip
    """Fills `out`, shape (rows,), with the sum of the leaves that a row falls into, and `base`.

    `nodes` has four numbers for each inner node: feature, highest value that goes left, left and right child; a child
    below 0 is leaf -1 - child.
    """
    for row in range(rows):
        at = row * columns
        total = base
        for tree in range(trees):
            node = roots[tree]
            while node >= 0:
                place = 4 * node
                node = nodes[place + 2 + (ft[at + nodes[place]] > nodes[place + 1])]
            total += leaves[-1 - node]
        out[row] = total
    return rows


def to_probabilities(scores: I32, size: int, link: I32) -> int:
    """Each score becomes its probability, in place."""
    for at in range(size):
        place = (max(min(scores[at], LINK_LIMIT - 1), -LINK_LIMIT) + LINK_LIMIT) >> LINK_SHIFT
        scores[at] = link[place]
    return size


def choose(bl: I32, blocks: int, p: I32, lowest: int, highest: int, sums: I64, keep: U8) -> int:
    """Fills `keep` with the blocks whose probability is at least the threshold of this page, which is returned.

    The threshold is the one with the highest expected F1 over words, 2 sum(p n) / (sum(n) + sum over all of (p n)),
    within `lowest` and `highest`; `sums`, shape (2 * LEVELS,), zeros: words, and p times words, by probability.
    """
    whole = 0
    for block in range(blocks):
        words, level = bl[block * BL_COLUMNS + BL_WORDS], p[block] * LEVELS // (ONE + 1)
        sums[level] += words
        sums[LEVELS + level] += words * p[block]
        whole += words * p[block]
    kept = expected = best = 0
    threshold = highest
    for level in range(LEVELS - 1, -1, -1):
        if sums[level] == 0:
            continue
        kept += sums[level]
        expected += sums[LEVELS + level]
        value = (expected << 21) // (kept * ONE + whole + 1)
        if value > best:
            best, threshold = value, (level * (ONE + 1) + LEVELS - 1) // LEVELS
    threshold = max(min(threshold, highest), lowest)
    for block in range(blocks):
        keep[block] = 1 if p[block] >= threshold else 0
    return threshold


def within(el: I32, element: int, tag: int, other: int) -> int:
    """The nearest element with one of two tags, the element itself or one above it; -1: none."""
    while element >= 0 and el[element * EL_COLUMNS + EL_TAG] != tag and el[element * EL_COLUMNS + EL_TAG] != other:
        element = el[element * EL_COLUMNS + EL_PARENT]
    return element


def write_text(text: U8, bl: I32, blocks: int, el: I32, keep: U8, out: U8) -> int:
    """Writes the blocks in `keep`, a line for each, `- ` before the first of a list item, ` | ` between the cells of a
    row; gives the bytes written. `out` takes the text and five bytes more for each block."""
    written, last = 0, -1
    for block in range(blocks):
        if not keep[block]:
            continue
        row = block * BL_COLUMNS
        element = bl[row + BL_ELEMENT]
        flags = el[element * EL_COLUMNS + EL_FLAGS]
        begin = 0
        beside = False
        if flags & IN_TABLE and last >= 0:
            line = within(el, element, TR, TR)
            cell = within(el, element, TD, TH)
            beside = line >= 0 and last >= el[line * EL_COLUMNS + EL_FIRST] and last < el[cell * EL_COLUMNS + EL_FIRST]
        if written > 0:
            if beside:
                out[written], out[written + 1], out[written + 2] = SPACE, BAR, SPACE
                written += 3
            else:
                out[written] = NEWLINE
                written += 1
        if flags & IN_ITEM and not beside:
            item = within(el, element, LI, LI)
            begin = el[item * EL_COLUMNS + EL_FIRST]
            if item >= 0 and last < begin and block < el[item * EL_COLUMNS + EL_END]:
                out[written], out[written + 1] = DASH, SPACE
                written += 2
        for at in range(bl[row + BL_START], bl[row + BL_END]):
            out[written] = text[at]
            written += 1
        last = block
    return written


HELPERS = (within,)
LOOPS = (score, to_probabilities, choose, write_text)
