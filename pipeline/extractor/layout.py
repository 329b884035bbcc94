"""What the loops write about a page: columns of the tables of elements and blocks, and places in the parser's state."""

from typing import Final

(
    EL_PARENT, EL_TAG, EL_FLAGS, EL_DEPTH, EL_FIRST, EL_END, EL_SIGNATURE, EL_TOKEN, EL_TOKEN_END, EL_GROUPS,
    EL_LISTS, EL_CHILDREN,
) = range(12)  # fmt: skip
EL_COLUMNS: Final = 12
"""Of an element: number of its parent (-1: none), its tag, flags (see `vocabulary`), its depth,
its first block and the one after its last, hash of tag and class, its first token and the one after its last, groups of
words in its attributes, lists it stands in, block elements directly in it."""

(
    BL_ELEMENT, BL_START, BL_END, BL_SOURCE, BL_SOURCE_END, BL_WORDS, BL_LINK_WORDS, BL_CHARS, BL_LINKS, BL_COMMAS,
    BL_STOPS, BL_DIGITS, BL_CAPITALS, BL_SYMBOLS, BL_WIDE, BL_SHORT, BL_BREAKS, BL_LAST, BL_HASH, BL_MARKS, BL_IMAGES,
    BL_CODE_WORDS,
) = range(22)  # fmt: skip
BL_COLUMNS: Final = 22
"""Of a block, a run of text that no element divides which begins a line: the innermost element at its first character,
where its text begins and ends, and its source in the page; words, those in links, characters, links, commas, ends of
sentences, digits, words with a capital, signs that divide lists, characters of Han and kana, words of up to three
letters, line breaks, what it ends in (0 word, 1 end of a sentence, 2 colon, 3 another sign), a hash of its words,
elements that mark words, images before and in it, words of code."""

(
    ST_AT, ST_TOP, ST_BLOCK, ST_ELEMENTS, ST_TEXT, ST_TOKENS, ST_SPACE, ST_IN_WORD, ST_WORD_LETTERS, ST_LOST, ST_BREAKS,
    ST_IMAGES, ST_DIVS, ST_HIDDEN, ST_DATA, ST_LAST, ST_TITLE, ST_TITLE_END, ST_NO_DOUBLE, ST_NO_SINGLE, ST_NO_COMMENT,
    ST_TEXT_END, ST_GROUPS, ST_SIGNATURE, ST_DATA_KIND, ST_NO_GREATER,
) = range(26)  # fmt: skip
ST_OPEN: Final = 32
"""From here on: how many elements of each tag are open."""
ST_UNCLOSED: Final = 160
"""From here on: tags of raw elements that are never closed again."""
ST_DATA_AT: Final = 288
"""From here on: kind, begin and end of scripts that hold data, up to MAX_DATA."""
MAX_DATA: Final = 32
STATE_SIZE: Final = ST_DATA_AT + 3 * MAX_DATA
DATA_JSON, DATA_NEXT, DATA_TEX = 1, 2, 3

MAX_DEPTH: Final = 256
"""Elements within one another; what is deeper belongs to the one at this depth."""
MAX_ELEMENTS: Final = 1 << 17
MAX_BLOCKS: Final = 1 << 16
MAX_TOKENS: Final = 1 << 18
"""Of a page. What comes after belongs to the last of them: no text is lost, memory is bounded."""
