"""Bytes, names and tags of an HTML page: helpers of the loops, in the Python that becomes machine code."""

from pipeline.extractor.vocabulary import TABLE_SIZE
from pipeline.text.machine_code import I64, U8

FNV_START, FNV_PRIME, ALL_32 = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
BLANK, EXCLAMATION, QUOTE, HASH, AMPERSAND, APOSTROPHE, COMMA, DASH, DOT, SLASH = 32, 33, 34, 35, 38, 39, 44, 45, 46, 47
COLON, SEMICOLON, LESS, EQUALS, GREATER, QUESTION, BAR = 58, 59, 60, 61, 62, 63, 124
LONGEST_NAME = 32
"""An entity, or the name of an element whose end is searched, is at most this long."""


def hash_byte(state: int, byte: int) -> int:
    """FNV-1a, one byte more."""
    return ((state ^ byte) * FNV_PRIME) & ALL_32


def looked_up(tables: I64, table: int, key: int) -> int:
    """The value under a hash in one of the tables of `vocabulary.tables`; 0 where there is none."""
    base = 2 * TABLE_SIZE * table
    slot = key & (TABLE_SIZE - 1)
    while tables[base + slot] != key:
        if tables[base + slot] == 0:
            return 0
        slot = (slot + 1) & (TABLE_SIZE - 1)
    return int(tables[base + TABLE_SIZE + slot])


def lower(byte: int) -> int:
    return byte | 32 if 65 <= byte <= 90 else byte


def is_letter(byte: int) -> bool:
    return 97 <= (byte | 32) <= 122


def is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


def name_end(page: U8, at: int, size: int) -> int:
    """The byte after the name of an element or attribute that begins at `at`."""
    while at < size and page[at] > BLANK and page[at] != GREATER and page[at] != SLASH and page[at] != EQUALS:
        at += 1
    return at


def hash_of(page: U8, at: int, end: int) -> int:
    """The hash of a name, in lower case."""
    state = FNV_START
    while at < end:
        state = hash_byte(state, lower(page[at]))
        at += 1
    return state


def find(page: U8, at: int, size: int, byte: int) -> int:
    """Where the next `byte` stands, or -1."""
    while at < size:
        if page[at] == byte:
            return at
        at += 1
    return -1


def find_close(page: U8, at: int, size: int, name: int) -> int:
    """Where the next end tag begins whose name has the hash `name`, or -1."""
    while at + 2 < size:
        if (
            page[at] == LESS
            and page[at + 1] == SLASH
            and hash_of(page, at + 2, name_end(page, at + 2, min(size, at + 2 + LONGEST_NAME))) == name
        ):
            return at
        at += 1
    return -1


def find_comment_end(page: U8, at: int, size: int) -> int:
    """The byte after the next `-->`, or -1."""
    while at + 2 < size:
        if page[at] == DASH and page[at + 1] == DASH and page[at + 2] == GREATER:
            return at + 3
        at += 1
    return -1


def begins_tag(page: U8, at: int, size: int) -> bool:
    """Whether the `<` at `at` begins a tag, comment or declaration."""
    if at + 1 >= size:
        return False
    byte = page[at + 1]
    if byte == SLASH:
        return at + 2 < size and is_letter(page[at + 2])
    return is_letter(byte) or byte in (EXCLAMATION, QUESTION)


def holds(page: U8, at: int, end: int, first: int, second: int, third: int) -> bool:
    """Whether three bytes stand in a row, in lower case."""
    while at + 2 < end:
        if lower(page[at]) == first and lower(page[at + 1]) == second and lower(page[at + 2]) == third:
            return True
        at += 1
    return False


HELPERS = (
    hash_byte, looked_up, lower, is_letter, is_digit, name_end, hash_of, find, find_close, find_comment_end, begins_tag,
    holds,
)  # fmt: skip
