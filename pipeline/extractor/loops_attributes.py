"""Attributes of a start tag: helpers of the loops, in the Python that becomes machine code."""

from pipeline.extractor.layout import (
    DATA_JSON,
    DATA_NEXT,
    DATA_TEX,
    ST_DATA_KIND,
    ST_GROUPS,
    ST_HIDDEN,
    ST_NO_DOUBLE,
    ST_NO_SINGLE,
    ST_SIGNATURE,
    ST_TOKENS,
)  # fmt: skip
from pipeline.extractor.loops_bytes import (
    APOSTROPHE,
    BLANK,
    EQUALS,
    FNV_START,
    GREATER,
    LESS,
    QUOTE,
    SLASH,
    begins_tag,
    find,
    hash_byte,
    hash_of,
    holds,
    is_letter,
    looked_up,
    lower,
    name_end,
)  # fmt: skip
from pipeline.text.machine_code import I32, I64, U8

CLASS, ID, ITEMTYPE, HIDDEN, ARIA_HIDDEN, STYLE, TYPE = 1, 2, 5, 6, 7, 8, 9
"""Numbers in `vocabulary.ATTRIBUTES`, from 1."""


def read_words(page: U8, at: int, end: int, tables: I64, tok: I32, tok_room: int, st: I64) -> int:
    """Notes the words of a class or the like: runs of letters, divided also where a capital follows a small letter."""
    state, length, small = FNV_START, 0, False
    while at <= end:
        byte = page[at] if at < end else 0
        capital = 65 <= byte <= 90
        if not is_letter(byte) or (capital and small):
            if length >= 2 and st[ST_TOKENS] < tok_room:
                tok[st[ST_TOKENS]] = (state ^ (state >> 16)) & 0xFFFF
                st[ST_TOKENS] += 1
                st[ST_GROUPS] |= looked_up(tables, 2, state)
            state, length = FNV_START, 0
        if is_letter(byte):
            state = hash_byte(state, lower(byte))
            length += 1
        small = is_letter(byte) and not capital
        at += 1
    return 0


def use_attribute(kind: int, page: U8, at: int, end: int, tables: I64, tok: I32, tok_room: int, st: I64) -> int:
    """Notes what the value of an attribute says."""
    if kind <= ITEMTYPE:
        read_words(page, at, end, tables, tok, tok_room, st)
    if kind == CLASS:
        st[ST_SIGNATURE] = hash_of(page, at, end)
    elif kind == HIDDEN:
        st[ST_HIDDEN] = 1
    elif kind == ARIA_HIDDEN:
        st[ST_HIDDEN] = 1 if at < end and lower(page[at]) == 116 else st[ST_HIDDEN]
    elif kind == STYLE:
        if holds(page, at, end, 110, 111, 110) and holds(page, at, end, 108, 97, 121):  # "non", "lay": display: none
            st[ST_HIDDEN] = 1
    elif kind == TYPE:
        if holds(page, at, end, 108, 100, 43):  # "ld+": JSON-LD
            st[ST_DATA_KIND] = DATA_JSON
        elif holds(page, at, end, 116, 101, 120) and holds(page, at, end, 109, 97, 116):  # "math/tex"
            st[ST_DATA_KIND] = DATA_TEX
    elif kind == ID and end - at == 13 and page[at] == 95 and page[at + 2] == 78:  # __NEXT_DATA__
        st[ST_DATA_KIND] = DATA_NEXT
    return 0


def value_end(page: U8, at: int, size: int, st: I64) -> int:
    """The byte after a value that begins at `at`, its quote included; a quote that is never closed is none."""
    quote = page[at]
    if quote in (QUOTE, APOSTROPHE):
        place = ST_NO_DOUBLE if quote == QUOTE else ST_NO_SINGLE
        if st[place] == 0:
            end = find(page, at + 1, size, quote)
            if end >= 0:
                return end + 1
            st[place] = 1
    while at < size and page[at] > BLANK and page[at] != GREATER:
        at += 1
    return at


def read_attributes(page: U8, at: int, size: int, tables: I64, tok: I32, tok_room: int, st: I64) -> int:
    """The byte after the `>` of a start tag; `at`: after its name."""
    st[ST_HIDDEN] = st[ST_GROUPS] = st[ST_DATA_KIND] = 0
    st[ST_SIGNATURE] = FNV_START
    while at < size and page[at] != GREATER:
        if page[at] <= BLANK or page[at] == SLASH or page[at] == EQUALS:
            at += 1
            continue
        if page[at] == LESS and begins_tag(page, at, size):
            return at  # a tag that was never ended
        end = name_end(page, at + 1, size)
        kind = looked_up(tables, 1, hash_of(page, at, end))
        at = end
        while at < size and page[at] <= BLANK:
            at += 1
        begin = close = at
        if at < size and page[at] == EQUALS:
            at += 1
            while at < size and page[at] <= BLANK:
                at += 1
            if at < size and page[at] != GREATER:
                begin, at = at, value_end(page, at, size, st)
                close = at
                if page[begin] == QUOTE or page[begin] == APOSTROPHE:
                    begin += 1
                    close = max(begin, at - 1)
        if kind:
            use_attribute(kind, page, begin, close, tables, tok, tok_room, st)
    return min(at + 1, size)


HELPERS = (read_words, use_attribute, value_end, read_attributes)
