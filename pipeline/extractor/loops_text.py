"""Blocks of text and what is counted of them: helpers of the loops, in the Python that becomes machine code."""

from pipeline.extractor.layout import (
    BL_BREAKS,
    BL_CAPITALS,
    BL_CHARS,
    BL_CODE_WORDS,
    BL_COLUMNS,
    BL_COMMAS,
    BL_DIGITS,
    BL_ELEMENT,
    BL_END,
    BL_HASH,
    BL_IMAGES,
    BL_LAST,
    BL_LINK_WORDS,
    BL_SHORT,
    BL_SOURCE,
    BL_SOURCE_END,
    BL_START,
    BL_STOPS,
    BL_SYMBOLS,
    BL_WIDE,
    BL_WORDS,
    EL_COLUMNS,
    EL_FLAGS,
    ST_BLOCK,
    ST_BREAKS,
    ST_IMAGES,
    ST_IN_WORD,
    ST_LAST,
    ST_SPACE,
    ST_TEXT,
    ST_TEXT_END,
    ST_TOP,
    ST_WORD_LETTERS,
)  # fmt: skip
from pipeline.extractor.loops_bytes import (
    AMPERSAND,
    APOSTROPHE,
    BAR,
    BLANK,
    COLON,
    COMMA,
    DOT,
    EXCLAMATION,
    FNV_START,
    GREATER,
    HASH,
    LONGEST_NAME,
    QUESTION,
    QUOTE,
    SEMICOLON,
    SLASH,
    hash_byte,
    hash_of,
    is_digit,
    is_letter,
    lower,
)  # fmt: skip
from pipeline.extractor.vocabulary import IN_CODE, IN_LINK, IN_PRE, name_hash
from pipeline.text.machine_code import I32, I64, U8

NBSP, NUMBER_160, HEX_A0, ENSP, EMSP, THINSP = (name_hash(name) for name in "nbsp #160 #xa0 ensp emsp thinsp".split())


def close_word(bl: I32, st: I64) -> int:
    if st[ST_IN_WORD]:
        row = st[ST_BLOCK] * BL_COLUMNS
        bl[row + BL_SHORT] += 1 if st[ST_WORD_LETTERS] <= 3 else 0
        st[ST_IN_WORD] = 0
    return 0


def clear_block(bl: I32, st: I64) -> int:
    row = st[ST_BLOCK] * BL_COLUMNS
    for column in range(BL_COLUMNS):
        bl[row + column] = 0
    bl[row + BL_START] = bl[row + BL_END] = st[ST_TEXT]
    bl[row + BL_ELEMENT] = -1
    st[ST_SPACE] = st[ST_BREAKS] = st[ST_LAST] = 0
    return 0


def end_block(bl: I32, bl_room: int, el: I32, st: I64) -> int:
    """The next text begins a block of its own; in an element of preformatted text, a line."""
    row = st[ST_BLOCK] * BL_COLUMNS
    close_word(bl, st)
    if bl[row + BL_ELEMENT] < 0:
        return 0
    if el[st[ST_TOP] * EL_COLUMNS + EL_FLAGS] & IN_PRE:
        st[ST_BREAKS] = max(st[ST_BREAKS], 1)
        return 0
    if st[ST_BLOCK] + 1 >= bl_room:
        st[ST_BREAKS] = max(st[ST_BREAKS], 1)
        return 0
    bl[row + BL_END] = st[ST_TEXT_END]
    bl[row + BL_LAST] = st[ST_LAST]
    st[ST_BLOCK] += 1
    return clear_block(bl, st)


def begin_char(at: int, bl: I32, st: I64, text: U8) -> int:
    """Before a character that is no white space: begins the block, or writes the white space that was before."""
    row = st[ST_BLOCK] * BL_COLUMNS
    if bl[row + BL_ELEMENT] < 0:
        bl[row + BL_ELEMENT] = st[ST_TOP]
        bl[row + BL_SOURCE] = at
        bl[row + BL_HASH] = FNV_START & 0x7FFFFFFF
        bl[row + BL_IMAGES] += st[ST_IMAGES]
        st[ST_IMAGES] = 0
    elif st[ST_BREAKS]:
        text[st[ST_TEXT]] = 10
        st[ST_TEXT] += 1
        bl[row + BL_BREAKS] += 1
    elif st[ST_SPACE]:
        text[st[ST_TEXT]] = BLANK
        st[ST_TEXT] += 1
    st[ST_SPACE] = st[ST_BREAKS] = 0
    return int(row)


def count_word_byte(byte: int, letters: int, flags: int, row: int, bl: I32, st: I64) -> int:
    """A letter, or a digit, of a word."""
    if not st[ST_IN_WORD]:
        st[ST_IN_WORD], st[ST_WORD_LETTERS] = 1, 0
        bl[row + BL_WORDS] += 1
        bl[row + BL_LINK_WORDS] += 1 if flags & IN_LINK else 0
        bl[row + BL_CODE_WORDS] += 1 if flags & IN_CODE else 0
        bl[row + BL_CAPITALS] += 1 if 65 <= byte <= 90 else 0
        bl[row + BL_HASH] = hash_byte(bl[row + BL_HASH], BLANK) & 0x7FFFFFFF
    st[ST_WORD_LETTERS] += letters
    bl[row + BL_HASH] = hash_byte(bl[row + BL_HASH], lower(byte)) & 0x7FFFFFFF
    st[ST_LAST] = 0
    return 0


def count_sign(byte: int, row: int, bl: I32, st: I64) -> int:
    """A sign of ASCII that is neither letter nor digit."""
    in_word = st[ST_IN_WORD]
    close_word(bl, st)
    if byte == COMMA:
        bl[row + BL_COMMAS] += 1
        st[ST_LAST] = 3
    elif byte in (DOT, EXCLAMATION, QUESTION):
        bl[row + BL_STOPS] += 1 if in_word or st[ST_LAST] == 3 else 0
        st[ST_LAST] = 1
    elif byte == COLON:
        st[ST_LAST] = 2
    elif byte in (QUOTE, APOSTROPHE) or byte == 41:  # a sentence may end in a quote or bracket
        st[ST_LAST] = st[ST_LAST] if st[ST_LAST] == 1 else 3
    else:
        bl[row + BL_SYMBOLS] += 1 if byte in (BAR, SLASH, GREATER) else 0
        st[ST_LAST] = 3
    return 0


def count_wide(code: int, flags: int, row: int, bl: I32, st: I64) -> int:
    """A character of three bytes, `code` its last two bytes and the lower half of its first."""
    if code >> 12 == 2:  # general punctuation, arrows, signs
        close_word(bl, st)
        bl[row + BL_SYMBOLS] += 1 if (code & 0xFFF) >= 0x100 else 0
        st[ST_LAST] = st[ST_LAST] if st[ST_LAST] == 1 else 3
    elif 0x3000 <= code < 0x3040 or code >= 0xFF00:
        close_word(bl, st)
        bl[row + BL_COMMAS] += 1 if code == 0x3001 or code == 0xFF0C else 0
        ends = code == 0x3002 or code == 0xFF01 or code == 0xFF1F
        bl[row + BL_STOPS] += 1 if ends else 0
        st[ST_LAST] = 1 if ends else 3
    elif 0x3040 <= code < 0xA000:
        close_word(bl, st)
        bl[row + BL_WIDE] += 1
        odd = bl[row + BL_WIDE] & 1
        bl[row + BL_WORDS] += odd  # two characters count as a word
        bl[row + BL_LINK_WORDS] += odd if flags & IN_LINK else 0
        bl[row + BL_HASH] = hash_byte(bl[row + BL_HASH], code) & 0x7FFFFFFF
        st[ST_LAST] = 0
    else:
        count_word_byte(code, 1, flags, row, bl, st)
    return 0


def entity_end(page: U8, at: int, size: int) -> int:
    """The byte after the entity that begins with the `&` at `at`; `at` where there is none."""
    end = at + 1
    last = min(size, at + LONGEST_NAME)
    while end < last and (is_letter(page[end]) or is_digit(page[end]) or page[end] == HASH):
        end += 1
    return end + 1 if end > at + 1 and end < last and page[end] == SEMICOLON else at


def is_blank_entity(page: U8, at: int, end: int) -> bool:
    """Whether an entity is `&nbsp;`, `&#160;`, `&#xa0;` or `&ensp;` and the like."""
    name = hash_of(page, at + 1, end - 1)
    return name in (NBSP, NUMBER_160, HEX_A0, ENSP, EMSP, THINSP)


def copy(page: U8, at: int, end: int, text: U8, st: I64) -> int:
    written = st[ST_TEXT]
    for source in range(at, end):
        text[written] = page[source]
        written += 1
    st[ST_TEXT] = written
    return end


def read_char(page: U8, at: int, size: int, el: I32, bl: I32, st: I64, text: U8) -> int:
    """One character of text, or an entity; gives the byte after it."""
    byte = page[at]
    flags = el[st[ST_TOP] * EL_COLUMNS + EL_FLAGS]
    if byte <= BLANK:
        if flags & IN_PRE and bl[st[ST_BLOCK] * BL_COLUMNS + BL_ELEMENT] >= 0:
            close_word(bl, st)
            if st[ST_BREAKS]:
                begin_char(at, bl, st, text)
            if byte != 13:
                copy(page, at, at + 1, text, st)
        else:
            st[ST_SPACE] = 1
            close_word(bl, st)
        return at + 1
    end = at + 1
    if byte == AMPERSAND:
        end = entity_end(page, at, size)
        if end > at and is_blank_entity(page, at, end):
            st[ST_SPACE] = 1
            close_word(bl, st)
            return end
        end = max(end, at + 1)
    elif byte >= 0xC2:
        end = at + (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
        end = min(end, size)
        if byte == 0xC2 and end == at + 2 and page[at + 1] == 0xA0:
            st[ST_SPACE] = 1
            close_word(bl, st)
            return end
    row = begin_char(at, bl, st, text)
    if is_letter(byte):
        count_word_byte(byte, 1, flags, row, bl, st)
    elif is_digit(byte):
        bl[row + BL_DIGITS] += 1
        count_word_byte(byte, 1, flags, row, bl, st)
    elif byte < 0x80:
        if end == at + 1:
            count_sign(byte, row, bl, st)
    elif 0xE0 <= byte < 0xF0 and end == at + 3:
        code = ((byte & 15) << 12) | ((page[at + 1] & 63) << 6) | (page[at + 2] & 63)
        count_wide(code, flags, row, bl, st)
    elif byte == 0xC2:  # signs of Latin-1
        close_word(bl, st)
        bl[row + BL_SYMBOLS] += 1 if page[at + 1] == 0xB7 or page[at + 1] == 0xBB else 0
        st[ST_LAST] = 3
    else:
        count_word_byte(byte, 1, flags, row, bl, st)
    bl[row + BL_CHARS] += 1
    copy(page, at, end, text, st)
    st[ST_TEXT_END] = st[ST_TEXT]
    bl[row + BL_SOURCE_END] = end
    return end


HELPERS = (
    close_word,
    clear_block,
    end_block,
    begin_char,
    count_word_byte,
    count_sign,
    count_wide,
    entity_end,
    is_blank_entity,
    copy,
    read_char,
)
