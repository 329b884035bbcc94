"""One pass over the bytes of an HTML page: its elements, its blocks of text, and words of their attributes.

In the Python that becomes machine code (`pipeline/text/machine_code.py`), whole numbers only. The rules are those of
the HTML standard (13.2, parsing) where they matter to where a text begins and ends: implied end tags, elements whose
content is no text, end tags that match nothing. Every byte is looked at a bounded number of times, whatever the page
holds: searches for an end that is not there are made once, and elements are nested MAX_DEPTH deep at most.
"""

from pipeline.extractor import loops_attributes, loops_bytes, loops_text
from pipeline.extractor.layout import (
    BL_COLUMNS,
    BL_ELEMENT,
    BL_END,
    BL_LAST,
    BL_LINKS,
    BL_MARKS,
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
    MAX_DATA,
    MAX_DEPTH,
    ST_BLOCK,
    ST_BREAKS,
    ST_DATA,
    ST_DATA_AT,
    ST_DATA_KIND,
    ST_ELEMENTS,
    ST_GROUPS,
    ST_HIDDEN,
    ST_IMAGES,
    ST_LAST,
    ST_LOST,
    ST_NO_COMMENT,
    ST_NO_GREATER,
    ST_OPEN,
    ST_SIGNATURE,
    ST_SPACE,
    ST_TEXT_END,
    ST_TITLE,
    ST_TITLE_END,
    ST_TOKENS,
    ST_TOP,
    ST_UNCLOSED,
)  # fmt: skip
from pipeline.extractor.loops_attributes import read_attributes
from pipeline.extractor.loops_bytes import (
    DASH,
    EXCLAMATION,
    FNV_PRIME,
    FNV_START,
    GREATER,
    LESS,
    QUESTION,
    SLASH,
    begins_tag,
    find,
    find_close,
    find_comment_end,
    hash_byte,
    hash_of,
    looked_up,
    name_end,
)  # fmt: skip
from pipeline.extractor.loops_text import clear_block, close_word, end_block, read_char
from pipeline.extractor.vocabulary import (
    BLOCK,
    CELL,
    ELEMENT,
    ENDS_P,
    IN_HIDDEN,
    IN_PRE,
    INLINE_MARK,
    RAW,
    TABLE_PART,
    TABLE_SIZE,
    VOID,
)  # fmt: skip
from pipeline.text.machine_code import I32, I64, U8

CONSTANTS_OF = ("pipeline.extractor.layout", "pipeline.extractor.vocabulary", "pipeline.extractor.loops_attributes",
                "pipeline.extractor.loops_bytes", "pipeline.extractor.loops_text")  # fmt: skip

P, A, BR, IMG, TABLE, TITLE, SCRIPT, TR, LI, UL, OL, DL, DD, DT, TD, TH = (
    ELEMENT["p"], ELEMENT["a"], ELEMENT["br"], ELEMENT["img"], ELEMENT["table"], ELEMENT["title"], ELEMENT["script"],
    ELEMENT["tr"], ELEMENT["li"], ELEMENT["ul"], ELEMENT["ol"], ELEMENT["dl"], ELEMENT["dd"], ELEMENT["dt"],
    ELEMENT["td"], ELEMENT["th"],
)  # fmt: skip
DOES_AT = 6 * TABLE_SIZE
STANDS_IN_AT = DOES_AT + len(ELEMENT)


def pop(el: I32, bl: I32, st: I64) -> int:
    """Ends the innermost element; one inside a line ends after the block it stands in."""
    row = st[ST_TOP] * EL_COLUMNS
    el[row + EL_END] = st[ST_BLOCK] + (1 if bl[st[ST_BLOCK] * BL_COLUMNS + BL_ELEMENT] >= 0 else 0)
    el[row + EL_TOKEN_END] = max(el[row + EL_TOKEN_END], el[row + EL_TOKEN])
    st[ST_OPEN + el[row + EL_TAG]] -= 1
    st[ST_TOP] = el[row + EL_PARENT]
    return 0


def end_block_under(parent: int, bl: I32, bl_room: int, el: I32, st: I64) -> int:
    """`end_block` as the element `parent` sees it."""
    top = st[ST_TOP]
    st[ST_TOP] = parent
    end_block(bl, bl_room, el, st)
    st[ST_TOP] = top
    return 0


def end_element(tag: int, tables: I64, el: I32, bl: I32, bl_room: int, st: I64) -> int:
    """An end tag: ends the elements up to the one it names, unless there is none that it can reach."""
    if st[ST_OPEN + tag] <= 0:
        return 0
    does = tables[DOES_AT + tag]
    found = st[ST_TOP]
    inside = False
    while found >= 0:
        here = el[found * EL_COLUMNS + EL_TAG]
        if here == tag:
            break
        what = tables[DOES_AT + here]
        if (not does & BLOCK and what & BLOCK) or (what & CELL and not does & (CELL | TABLE_PART) and tag != TABLE):
            return 0
        if here == TABLE and does & (CELL | TABLE_PART):
            return 0
        inside = inside or what & BLOCK != 0
        found = el[found * EL_COLUMNS + EL_PARENT]
    if found <= 0:  # the page itself has no end tag
        return 0
    if inside or does & BLOCK:
        # An element of preformatted text ends with its own tag: what follows is no line of it.
        end_block_under(el[found * EL_COLUMNS + EL_PARENT], bl, bl_room, el, st)
    while st[ST_TOP] != found:
        pop(el, bl, st)
    return pop(el, bl, st)


def end_within(tag: int, wall: int, other: int, tables: I64, el: I32, bl: I32, bl_room: int, st: I64) -> int:
    """`end_element`, unless an element `wall` or `other` stands between."""
    if st[ST_OPEN + tag] <= 0:
        return 0
    found = st[ST_TOP]
    while found >= 0:
        here = el[found * EL_COLUMNS + EL_TAG]
        if here == tag:
            return end_element(tag, tables, el, bl, bl_room, st)
        if here in (wall, other):
            return 0
        found = el[found * EL_COLUMNS + EL_PARENT]
    return 0


def end_implied(tag: int, tables: I64, el: I32, bl: I32, bl_room: int, st: I64) -> int:
    """Ends what a start tag ends without an end tag: an open `p`, item, cell or row."""
    does = tables[DOES_AT + tag]
    if does & ENDS_P:
        end_element(P, tables, el, bl, bl_room, st)
    if tag == LI:
        end_within(LI, UL, OL, tables, el, bl, bl_room, st)
    elif tag in (DD, DT):
        end_within(DD, DL, DL, tables, el, bl, bl_room, st)
        end_within(DT, DL, DL, tables, el, bl, bl_room, st)
    elif does & (CELL | TABLE_PART):
        end_within(TD, TABLE, TABLE, tables, el, bl, bl_room, st)
        end_within(TH, TABLE, TABLE, tables, el, bl, bl_room, st)
        if does & TABLE_PART:
            end_within(TR, TABLE, TABLE, tables, el, bl, bl_room, st)
    elif tag == A:
        end_element(A, tables, el, bl, bl_room, st)
    return 0


def note_place(parent: int, row: int, el: I32, tok: I32, tok_room: int, st: I64) -> int:
    """Three tokens more: tag and class together, these with those of the parent, and the tags of three elements."""
    if st[ST_TOKENS] + 3 > tok_room:
        return 0
    own = el[row + EL_SIGNATURE]
    above, tags = 0, hash_byte(FNV_PRIME, el[row + EL_TAG])
    if parent >= 0:
        above = el[parent * EL_COLUMNS + EL_SIGNATURE]
        tags = hash_byte(tags, el[parent * EL_COLUMNS + EL_TAG])
        grandparent = el[parent * EL_COLUMNS + EL_PARENT]
        tags = hash_byte(tags, el[grandparent * EL_COLUMNS + EL_TAG] if grandparent >= 0 else 0)
    both = hash_byte(own, above & 0xFFFF)
    tok[st[ST_TOKENS]] = (own ^ (own >> 16)) & 0xFFFF
    tok[st[ST_TOKENS] + 1] = (both ^ (both >> 16)) & 0xFFFF
    tok[st[ST_TOKENS] + 2] = (tags ^ (tags >> 16)) & 0xFFFF
    st[ST_TOKENS] += 3
    return 3


def push(tag: int, tokens: int, tables: I64, el: I32, el_room: int, tok: I32, tok_room: int, st: I64) -> int:
    """Begins an element; its attributes have been read."""
    parent = st[ST_TOP]
    depth = el[parent * EL_COLUMNS + EL_DEPTH] if parent >= 0 else 0
    if st[ST_ELEMENTS] >= el_room or st[ST_LOST] > 0 or depth >= MAX_DEPTH:
        st[ST_LOST] += 1
        return 0
    number = st[ST_ELEMENTS]
    row = number * EL_COLUMNS
    does = tables[DOES_AT + tag] if number else BLOCK
    flags = tables[STANDS_IN_AT + tag] | (IN_HIDDEN if st[ST_HIDDEN] else 0)
    el[row + EL_LISTS] = 1 if tag in (UL, OL, DL) else 0
    if parent >= 0:
        above = parent * EL_COLUMNS
        flags |= el[above + EL_FLAGS]
        el[row + EL_LISTS] += el[above + EL_LISTS]
        el[above + EL_CHILDREN] += 1 if does & BLOCK else 0
    el[row + EL_PARENT], el[row + EL_TAG], el[row + EL_FLAGS] = parent, tag, flags
    el[row + EL_DEPTH] = depth + 1
    el[row + EL_FIRST] = el[row + EL_END] = st[ST_BLOCK]
    el[row + EL_SIGNATURE] = hash_byte(st[ST_SIGNATURE], tag) & 0x7FFFFFFF
    note_place(parent, row, el, tok, tok_room, st)
    el[row + EL_TOKEN], el[row + EL_TOKEN_END] = tokens, st[ST_TOKENS]
    el[row + EL_GROUPS], el[row + EL_CHILDREN] = st[ST_GROUPS], 0
    st[ST_OPEN + tag] += 1
    st[ST_ELEMENTS] += 1
    st[ST_TOP] = number
    return 1


def after_greater(page: U8, at: int, size: int, st: I64) -> int:
    """The byte after the next `>`; `at` where there is none."""
    if st[ST_NO_GREATER] == 0:
        end = find(page, at, size, GREATER)
        if end >= 0:
            return end + 1
        st[ST_NO_GREATER] = 1
    return at


def skip_raw(page: U8, at: int, size: int, tag: int, name: int, st: I64) -> int:
    """The byte from which to go on after the start tag of an element whose content is no text."""
    if st[ST_UNCLOSED + tag]:
        return at
    end = find_close(page, at, size, name)
    if end < 0:
        st[ST_UNCLOSED + tag] = 1
        return at
    if tag == TITLE and st[ST_TITLE_END] == 0:
        st[ST_TITLE], st[ST_TITLE_END] = at, end
    if tag == SCRIPT and st[ST_DATA_KIND] and st[ST_DATA] < MAX_DATA:
        place = ST_DATA_AT + 3 * st[ST_DATA]
        st[place], st[place + 1], st[place + 2] = st[ST_DATA_KIND], at, end
        st[ST_DATA] += 1
    return max(after_greater(page, end, size, st), end + 2)


def begin_element(
    page: U8, at: int, size: int, tables: I64, el: I32, el_room: int, bl: I32, bl_room: int, tok: I32, tok_room: int,
    st: I64,
) -> int:  # fmt: skip
    """A start tag, whose name begins at `at`; gives the byte after it, or after the element where it is no text."""
    end = name_end(page, at, size)
    name = hash_of(page, at, end)
    tag = looked_up(tables, 0, name)
    does = tables[DOES_AT + tag]
    tokens = st[ST_TOKENS]
    after = read_attributes(page, end, size, tables, tok, tok_room, st)
    if tag == BR:
        st[ST_TOKENS] = tokens
        if st[ST_BREAKS] and not el[st[ST_TOP] * EL_COLUMNS + EL_FLAGS] & IN_PRE:
            end_block(bl, bl_room, el, st)  # an empty line: a new paragraph
        elif bl[st[ST_BLOCK] * BL_COLUMNS + BL_ELEMENT] >= 0:
            close_word(bl, st)
            st[ST_BREAKS] = 1
        return after
    if does & RAW:
        st[ST_TOKENS] = tokens
        close_word(bl, st)
        st[ST_SPACE] = 1
        return skip_raw(page, after, size, tag, name, st)
    end_implied(tag, tables, el, bl, bl_room, st)
    if does & BLOCK:
        end_block(bl, bl_room, el, st)
    if does & VOID:
        st[ST_TOKENS] = tokens
        st[ST_IMAGES] += 1 if tag == IMG else 0
        return after
    row = st[ST_BLOCK] * BL_COLUMNS
    bl[row + BL_LINKS] += 1 if tag == A else 0
    bl[row + BL_MARKS] += 1 if does & INLINE_MARK else 0
    push(tag, tokens, tables, el, el_room, tok, tok_room, st)
    return after


def read_tag(
    page: U8, at: int, size: int, tables: I64, el: I32, el_room: int, bl: I32, bl_room: int, tok: I32, tok_room: int,
    st: I64,
) -> int:  # fmt: skip
    """A tag, comment or declaration that begins with the `<` at `at`; gives the byte after it."""
    byte = page[at + 1]
    if byte in (EXCLAMATION, QUESTION):
        if at + 3 < size and page[at + 2] == DASH and page[at + 3] == DASH and st[ST_NO_COMMENT] == 0:
            end = find_comment_end(page, at + 2, size)
            if end >= 0:
                return end
            st[ST_NO_COMMENT] = 1
        return after_greater(page, at + 2, size, st)
    if byte != SLASH:
        return begin_element(page, at + 1, size, tables, el, el_room, bl, bl_room, tok, tok_room, st)
    end = name_end(page, at + 2, size)
    tag = looked_up(tables, 0, hash_of(page, at + 2, end))
    while end < size and page[end] != GREATER and page[end] != LESS:
        end += 1
    end += 1 if end < size and page[end] == GREATER else 0
    if st[ST_LOST] > 0:
        st[ST_LOST] -= 1
        if tables[DOES_AT + tag] & BLOCK:
            end_block(bl, bl_room, el, st)
    elif not tables[DOES_AT + tag] & (VOID | RAW):
        end_element(tag, tables, el, bl, bl_room, st)
    return end


def parse(
    page: U8, size: int, tables: I64, text: U8, el: I32, el_room: int, bl: I32, bl_room: int, tok: I32, tok_room: int,
    st: I64,
) -> int:  # fmt: skip
    """Fills `text`, `el`, `bl`, `tok` and the state `st`, of zeros; gives the number of blocks.

    `text` takes `size` bytes and one; the rooms are numbers of elements, blocks (at least one) and tokens. `bl` takes
    one block more than its room.
    """
    st[ST_TOP] = -1
    st[ST_SIGNATURE] = FNV_START
    push(0, 0, tables, el, el_room, tok, tok_room, st)  # the page
    clear_block(bl, st)
    at = 0
    while at < size:
        if page[at] == LESS and begins_tag(page, at, size):
            at = read_tag(page, at, size, tables, el, el_room, bl, bl_room, tok, tok_room, st)
        else:
            at = read_char(page, at, size, el, bl, st, text)
    close_word(bl, st)
    row = st[ST_BLOCK] * BL_COLUMNS
    if bl[row + BL_ELEMENT] >= 0:
        bl[row + BL_END], bl[row + BL_LAST] = st[ST_TEXT_END], st[ST_LAST]
        st[ST_BLOCK] += 1
        bl[row + BL_COLUMNS + BL_ELEMENT] = -1
    while st[ST_TOP] >= 0:
        pop(el, bl, st)
    return int(st[ST_BLOCK])


HELPERS = (
    *loops_bytes.HELPERS, *loops_text.HELPERS, *loops_attributes.HELPERS,
    pop, end_block_under, end_element, end_within, end_implied, note_place, push, after_greater, skip_raw,
    begin_element, read_tag,
)  # fmt: skip
"""Compiled into the loops that call them, each after those that it calls."""
LOOPS = (parse,)
