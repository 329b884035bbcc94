"""What is said of each block of a page to the trees: whole numbers, in the order of `features.NAMES`.

In the Python that becomes machine code (`pipeline/text/machine_code.py`). Shares are in thousandths.
"""

from pipeline.extractor.layout import (
    BL_BREAKS,
    BL_CAPITALS,
    BL_CHARS,
    BL_CODE_WORDS,
    BL_COLUMNS,
    BL_COMMAS,
    BL_DIGITS,
    BL_ELEMENT,
    BL_HASH,
    BL_IMAGES,
    BL_LAST,
    BL_LINK_WORDS,
    BL_LINKS,
    BL_MARKS,
    BL_SHORT,
    BL_STOPS,
    BL_SYMBOLS,
    BL_WIDE,
    BL_WORDS,
    EL_CHILDREN,
    EL_COLUMNS,
    EL_DEPTH,
    EL_END,
    EL_FIRST,
    EL_FLAGS,
    EL_GROUPS,
    EL_LISTS,
    EL_PARENT,
    EL_SIGNATURE,
    EL_TAG,
    EL_TOKEN,
    EL_TOKEN_END,
)  # fmt: skip
from pipeline.extractor.vocabulary import BLOCK, DOES, ELEMENT, FLAGS, IN_HEADING, WORDS
from pipeline.text.machine_code import I32, I64

CONSTANTS_OF = ("pipeline.extractor.layout", "pipeline.extractor.vocabulary")

H1, H6 = ELEMENT["h1"], ELEMENT["h6"]
IS_BLOCK = tuple(1 if does & BLOCK else 0 for does in DOES)
PARAGRAPH_WORDS = 20
"""From this many words on, two thirds of them outside links, a block counts as a paragraph."""
GROUPS = len(WORDS)
FAR = 999

(
    AG_WORDS, AG_LINK_WORDS, AG_PARAGRAPH, AG_BLOCKS, AG_SCORE, AG_CHAIN, AG_MAX, AG_MIN, AG_GROUPS, AG_ABOVE, AG_MARK,
) = range(11)  # fmt: skip
AG_COLUMNS = 11
"""Of an element and all in it: words, those in links, those in paragraphs, blocks; the score of its own tokens, the
sum, the highest and the lowest over it and all above it, groups of words over these, the nearest block element, a
mark."""

SG_KEY, SG_BLOCKS, SG_WORDS, SG_LINK_WORDS = range(4)
SG_COLUMNS = 4
"""Of a place in the page's structure (tag and class of an element and the two above it): see `count_places`."""

RS_WORDS, RS_LINK_WORDS, RS_PARAGRAPH, RS_PLACE, RS_TEXT = range(5)
RS_COLUMNS = 5
"""Of a block, and of the end of the page: words, words in links, words in paragraphs before it; its slots in `sg`."""


def share(part: int, whole: int) -> int:
    """In thousandths."""
    return part * 1000 // whole if whole > 0 else 0


def is_paragraph(bl: I32, block: int) -> bool:
    row = block * BL_COLUMNS
    return bool(bl[row + BL_WORDS] >= PARAGRAPH_WORDS and 3 * bl[row + BL_LINK_WORDS] <= bl[row + BL_WORDS])


def aggregate(el: I32, elements: int, bl: I32, blocks: int, tok: I32, scores: I32, is_block: I32, ag: I64) -> int:
    """Fills `ag`; gives the words of the page."""
    for element in range(elements):
        row, out = element * EL_COLUMNS, element * AG_COLUMNS
        score = 0
        for token in range(el[row + EL_TOKEN], el[row + EL_TOKEN_END]):
            score += scores[tok[token]]
        parent = el[row + EL_PARENT]
        for column in range(AG_COLUMNS):
            ag[out + column] = 0
        ag[out + AG_SCORE] = ag[out + AG_CHAIN] = ag[out + AG_MAX] = ag[out + AG_MIN] = score
        ag[out + AG_GROUPS] = el[row + EL_GROUPS]
        ag[out + AG_ABOVE] = element
        if parent >= 0:
            above = parent * AG_COLUMNS
            ag[out + AG_CHAIN] += ag[above + AG_CHAIN]
            ag[out + AG_MAX] = max(score, ag[above + AG_MAX])
            ag[out + AG_MIN] = min(score, ag[above + AG_MIN])
            ag[out + AG_GROUPS] |= ag[above + AG_GROUPS]
            if not is_block[el[row + EL_TAG]]:
                ag[out + AG_ABOVE] = ag[above + AG_ABOVE]
    total = 0
    for block in range(blocks):
        row = block * BL_COLUMNS
        out = bl[row + BL_ELEMENT] * AG_COLUMNS
        ag[out + AG_WORDS] += bl[row + BL_WORDS]
        ag[out + AG_LINK_WORDS] += bl[row + BL_LINK_WORDS]
        ag[out + AG_PARAGRAPH] += bl[row + BL_WORDS] if is_paragraph(bl, block) else 0
        ag[out + AG_BLOCKS] += 1
        total += bl[row + BL_WORDS]
    for element in range(elements - 1, 0, -1):
        out, parent = element * AG_COLUMNS, el[element * EL_COLUMNS + EL_PARENT]
        if parent >= 0:
            for column in range(AG_BLOCKS + 1):
                ag[parent * AG_COLUMNS + column] += ag[out + column]
    return total


def place_of(el: I32, element: int) -> int:
    """A hash of tag and class of an element and the two above it; never 0."""
    state = 7
    for _ in range(3):
        if element >= 0:
            state = (state * 0x01000193 + el[element * EL_COLUMNS + EL_SIGNATURE]) & 0x7FFFFFFFFFFF
            element = el[element * EL_COLUMNS + EL_PARENT]
    return state | 1


def slot_of(table: I64, columns: int, room: int, key: int) -> int:
    """Where a key stands, or would, in a table of open addressing; `room` a power of two."""
    slot = (key ^ (key >> 17)) & (room - 1)
    while table[slot * columns] != key and table[slot * columns] != 0:
        slot = (slot + 1) & (room - 1)
    return slot


def count_places(el: I32, bl: I32, blocks: int, sg: I64, room: int, sums: I64) -> int:
    """Fills `sg`, of zeros: blocks, words and words in links by place, and under the hash of a text its blocks; and
    `sums`: for each block these two slots, and what stands before it."""
    for block in range(blocks):
        row, out = block * BL_COLUMNS, block * RS_COLUMNS
        key = place_of(el, bl[row + BL_ELEMENT])
        slot = slot_of(sg, SG_COLUMNS, room, key) * SG_COLUMNS
        sums[out + RS_PLACE] = slot
        sg[slot] = key
        sg[slot + SG_BLOCKS] += 1
        sg[slot + SG_WORDS] += bl[row + BL_WORDS]
        sg[slot + SG_LINK_WORDS] += bl[row + BL_LINK_WORDS]
        key = (bl[row + BL_HASH] + 1) << 1
        slot = slot_of(sg, SG_COLUMNS, room, key) * SG_COLUMNS
        sums[out + RS_TEXT] = slot
        sg[slot] = key
        sg[slot + SG_BLOCKS] += 1
        sums[out + RS_COLUMNS + RS_WORDS] = sums[out + RS_WORDS] + bl[row + BL_WORDS]
        sums[out + RS_COLUMNS + RS_LINK_WORDS] = sums[out + RS_LINK_WORDS] + bl[row + BL_LINK_WORDS]
        paragraph = bl[row + BL_WORDS] if is_paragraph(bl, block) else 0
        sums[out + RS_COLUMNS + RS_PARAGRAPH] = sums[out + RS_PARAGRAPH] + paragraph
    return blocks


def heading_level(tag: int) -> int:
    return tag - H1 + 1 if H1 <= tag <= H6 else 0


def put_own(bl: I32, block: int, el: I32, ag: I64, total: int, ft: I32, at: int) -> int:
    """The block itself."""
    row = block * BL_COLUMNS
    element = bl[row + BL_ELEMENT]
    words, chars = bl[row + BL_WORDS], bl[row + BL_CHARS]
    ft[at] = words
    ft[at + 1] = chars
    ft[at + 2] = chars * 10 // max(words, 1)
    ft[at + 3] = bl[row + BL_LINK_WORDS]
    ft[at + 4] = share(bl[row + BL_LINK_WORDS], words)
    ft[at + 5] = bl[row + BL_LINKS]
    ft[at + 6] = share(bl[row + BL_COMMAS], words)
    ft[at + 7] = bl[row + BL_STOPS]
    ft[at + 8] = share(bl[row + BL_STOPS], words)
    ft[at + 9] = share(bl[row + BL_DIGITS], chars)
    ft[at + 10] = share(bl[row + BL_CAPITALS], words)
    ft[at + 11] = bl[row + BL_SYMBOLS]
    ft[at + 12] = share(bl[row + BL_WIDE], chars)
    ft[at + 13] = share(bl[row + BL_SHORT], words)
    ft[at + 14] = bl[row + BL_BREAKS]
    ft[at + 15] = bl[row + BL_LAST]
    ft[at + 16] = bl[row + BL_MARKS]
    ft[at + 17] = bl[row + BL_IMAGES]
    ft[at + 18] = share(bl[row + BL_CODE_WORDS], words)
    ft[at + 19] = share(words, total)
    above = ag[element * AG_COLUMNS + AG_ABOVE] * EL_COLUMNS
    ft[at + 20] = el[above + EL_TAG]
    ft[at + 21] = heading_level(el[above + EL_TAG])
    ft[at + 22] = el[above + EL_LISTS]
    ft[at + 23] = el[above + EL_DEPTH]
    ft[at + 24] = el[above + EL_CHILDREN]
    ft[at + 25] = el[element * EL_COLUMNS + EL_TAG]
    return at + 26


def put_bits(bits: int, count: int, ft: I32, at: int) -> int:
    for bit in range(count):
        ft[at + bit] = (bits >> bit) & 1
    return at + count


def put_scores(element: int, el: I32, ag: I64, ft: I32, at: int) -> int:
    """Tokens of the elements the block stands in, and what groups of words they belong to."""
    out = element * AG_COLUMNS
    ft[at] = ag[out + AG_SCORE]
    ft[at + 1] = ag[out + AG_CHAIN]
    ft[at + 2] = ag[out + AG_MAX]
    ft[at + 3] = ag[out + AG_MIN]
    near = 0
    above = element
    for _ in range(3):
        if above >= 0:
            near |= el[above * EL_COLUMNS + EL_GROUPS]
            above = el[above * EL_COLUMNS + EL_PARENT]
    at = put_bits(ag[out + AG_GROUPS], GROUPS, ft, at + 4)
    return put_bits(near, GROUPS, ft, at)


def put_ancestors(element: int, el: I32, ag: I64, total: int, paragraphs: int, ft: I32, at: int) -> int:
    """The nearest five block elements around the block."""
    above = ag[element * AG_COLUMNS + AG_ABOVE]
    for _ in range(5):
        row, out = above * EL_COLUMNS, above * AG_COLUMNS
        ft[at] = share(ag[out + AG_WORDS], total)
        ft[at + 1] = share(ag[out + AG_LINK_WORDS], ag[out + AG_WORDS])
        ft[at + 2] = ag[out + AG_BLOCKS]
        ft[at + 3] = share(ag[out + AG_PARAGRAPH], paragraphs)
        ft[at + 4] = ag[out + AG_SCORE]
        ft[at + 5] = el[row + EL_TAG]
        at += 6
        parent = el[row + EL_PARENT]
        above = ag[parent * AG_COLUMNS + AG_ABOVE] if parent >= 0 else above
    return at


def container_of(elements: int, ag: I64, column: int, needed: int) -> int:
    """The deepest element that holds `needed` of what `column` counts."""
    best = 0
    for element in range(elements):
        # The elements that hold more than half stand within one another: the last of them is the deepest.
        if ag[element * AG_COLUMNS + column] >= needed:
            best = element
    return best


def put_container(
    container: int, bit: int, block: int, element: int, el: I32, ag: I64, total: int, ft: I32, at: int
) -> int:
    """Where the block stands to an element that holds much of the text."""
    row = container * EL_COLUMNS
    steps = 0
    while element >= 0 and not ag[element * AG_COLUMNS + AG_MARK] & bit:
        element = el[element * EL_COLUMNS + EL_PARENT]
        steps += 1
    outside = 0
    if block < el[row + EL_FIRST]:
        outside = max(block - el[row + EL_FIRST], -FAR)
    elif block >= el[row + EL_END]:
        outside = min(block - el[row + EL_END] + 1, FAR)
    ft[at] = steps
    ft[at + 1] = el[row + EL_DEPTH] - (el[element * EL_COLUMNS + EL_DEPTH] if element >= 0 else 0)
    ft[at + 2] = outside
    ft[at + 3] = share(ag[container * AG_COLUMNS + AG_WORDS], total)
    ft[at + 4] = ag[container * AG_COLUMNS + AG_SCORE]
    return at + 5


def mark_above(container: int, bit: int, el: I32, ag: I64) -> int:
    while container >= 0:
        ag[container * AG_COLUMNS + AG_MARK] |= bit
        container = el[container * EL_COLUMNS + EL_PARENT]
    return 0


def put_place(block: int, sg: I64, sums: I64, total: int, ft: I32, at: int) -> int:
    """Blocks at the same place in the page's structure, and those with the same text."""
    slot = sums[block * RS_COLUMNS + RS_PLACE]
    ft[at] = sg[slot + SG_BLOCKS]
    ft[at + 1] = share(sg[slot + SG_WORDS], total)
    ft[at + 2] = sg[slot + SG_WORDS] // max(sg[slot + SG_BLOCKS], 1)
    ft[at + 3] = share(sg[slot + SG_LINK_WORDS], sg[slot + SG_WORDS])
    ft[at + 4] = sg[sums[block * RS_COLUMNS + RS_TEXT] + SG_BLOCKS]
    return at + 5


def put_window(sums: I64, blocks: int, block: int, size: int, ft: I32, at: int) -> int:
    """Words before and after the block, the share of them in links and in paragraphs."""
    begin, here = max(block - size, 0) * RS_COLUMNS, block * RS_COLUMNS
    after, end = here + RS_COLUMNS, min(block + size + 1, blocks) * RS_COLUMNS
    before_words = sums[here + RS_WORDS] - sums[begin + RS_WORDS]
    after_words = sums[end + RS_WORDS] - sums[after + RS_WORDS]
    links = sums[end + RS_LINK_WORDS] - sums[begin + RS_LINK_WORDS]
    links -= sums[after + RS_LINK_WORDS] - sums[here + RS_LINK_WORDS]
    paragraphs = sums[end + RS_PARAGRAPH] - sums[begin + RS_PARAGRAPH]
    paragraphs -= sums[after + RS_PARAGRAPH] - sums[here + RS_PARAGRAPH]
    ft[at] = before_words
    ft[at + 1] = after_words
    ft[at + 2] = share(links, before_words + after_words)
    ft[at + 3] = share(paragraphs, before_words + after_words)
    return at + 4


def put_neighbour(
    bl: I32, blocks: int, block: int, near: int, el: I32, ag: I64, sums: I64, ft: I32, at: int
) -> int:  # fmt: skip
    """A block beside: link share, how it ends, score, whether it stands at the same place, level of a heading."""
    for offset in range(5):
        ft[at + offset] = -1
    if 0 <= near < blocks:
        row = near * BL_COLUMNS
        element = bl[row + BL_ELEMENT]
        ft[at] = share(bl[row + BL_LINK_WORDS], bl[row + BL_WORDS])
        ft[at + 1] = bl[row + BL_LAST]
        ft[at + 2] = ag[element * AG_COLUMNS + AG_CHAIN]
        ft[at + 3] = 1 if sums[near * RS_COLUMNS + RS_PLACE] == sums[block * RS_COLUMNS + RS_PLACE] else 0
        ft[at + 4] = heading_level(el[ag[element * AG_COLUMNS + AG_ABOVE] * EL_COLUMNS + EL_TAG])
    return at + 5


def put_positions(el: I32, bl: I32, blocks: int, total: int, ft: I32, columns: int, at: int) -> int:
    """Positions, for all blocks: in the page, from the first h1, from headings and paragraphs before and after."""
    first_h1 = -1
    for block in range(blocks):
        element = bl[block * BL_COLUMNS + BL_ELEMENT]
        while element >= 0 and el[element * EL_COLUMNS + EL_FLAGS] & IN_HEADING:
            if el[element * EL_COLUMNS + EL_TAG] == H1 and first_h1 < 0:
                first_h1 = block
            element = el[element * EL_COLUMNS + EL_PARENT]
    words = since_heading = 0
    heading = paragraph = -FAR
    for block in range(blocks):
        row, out = block * BL_COLUMNS, block * columns + at
        ft[out] = share(block, blocks)
        ft[out + 1] = share(words, total)
        ft[out + 2] = min(words, 100000)
        ft[out + 3] = max(min(block - first_h1, FAR), -FAR) if first_h1 >= 0 else -FAR - 1
        ft[out + 4] = min(block - heading, FAR)
        ft[out + 5] = min(since_heading, 100000)
        ft[out + 6] = min(block - paragraph, FAR)
        ft[out + 7] = min(blocks - block, FAR)
        words += bl[row + BL_WORDS]
        since_heading += bl[row + BL_WORDS]
        if el[bl[row + BL_ELEMENT] * EL_COLUMNS + EL_FLAGS] & IN_HEADING:
            heading, since_heading = block, 0
        if is_paragraph(bl, block):
            paragraph = block
    paragraph = blocks + FAR
    for block in range(blocks - 1, -1, -1):
        ft[block * columns + at + 8] = min(paragraph - block, FAR)
        if is_paragraph(bl, block):
            paragraph = block
    return at + 9


def describe(
    el: I32, elements: int, bl: I32, blocks: int, tok: I32, scores: I32, is_block: I32, ag: I64, sg: I64, room: int,
    sums: I64, ft: I32, columns: int,
) -> int:  # fmt: skip
    """Fills `ft`, shape (blocks, columns); gives the columns that it filled.

    `ag` has room for the elements, `sums`, zeros, for the blocks and one more, `sg`, zeros, for `room` places, a power
    of two over twice the blocks and twice their texts.
    """
    total = aggregate(el, elements, bl, blocks, tok, scores, is_block, ag)
    count_places(el, bl, blocks, sg, room, sums)
    links, paragraphs = ag[AG_LINK_WORDS], ag[AG_PARAGRAPH]
    column, whole = (AG_PARAGRAPH, paragraphs) if paragraphs > 0 else (AG_WORDS, total)
    half = container_of(elements, ag, column, whole * 6 // 10 + 1)
    most = container_of(elements, ag, column, whole * 8 // 10 + 1)
    mark_above(half, 1, el, ag)
    mark_above(most, 2, el, ag)
    end = put_positions(el, bl, blocks, total, ft, columns, 0)
    for block in range(blocks):
        base = block * columns
        element = bl[block * BL_COLUMNS + BL_ELEMENT]
        at = put_own(bl, block, el, ag, total, ft, base + end)
        at = put_bits(el[element * EL_COLUMNS + EL_FLAGS], FLAGS, ft, at)
        at = put_scores(element, el, ag, ft, at)
        at = put_ancestors(element, el, ag, total, paragraphs, ft, at)
        at = put_container(half, 1, block, element, el, ag, total, ft, at)
        at = put_container(most, 2, block, element, el, ag, total, ft, at)
        at = put_place(block, sg, sums, total, ft, at)
        size = 1
        for _ in range(4):
            at = put_window(sums, blocks, block, size, ft, at)
            size *= 2
        at = put_neighbour(bl, blocks, block, block - 1, el, ag, sums, ft, at)
        at = put_neighbour(bl, blocks, block, block + 1, el, ag, sums, ft, at)
        ft[at] = total
        ft[at + 1] = blocks
        ft[at + 2] = share(links, total)
        ft[at + 3] = share(paragraphs, total)
        at += 4
    return at - base if blocks > 0 else 0


HELPERS = (
    share, is_paragraph, aggregate, place_of, slot_of, count_places, heading_level, put_own, put_bits, put_scores,
    put_ancestors, container_of, put_container, mark_above, put_place, put_window, put_neighbour, put_positions,
)  # fmt: skip
LOOPS = (describe,)
