"""An HTML page as its elements and blocks of text; see `loops_parse`."""

import functools
from dataclasses import dataclass

import numpy as np

from pipeline.extractor import vocabulary
from pipeline.extractor.layout import (
    BL_COLUMNS,
    BL_END,
    BL_START,
    EL_COLUMNS,
    MAX_BLOCKS,
    MAX_ELEMENTS,
    MAX_TOKENS,
    ST_ELEMENTS,
    ST_TOKENS,
    STATE_SIZE,
)
from pipeline.text import machine_code
from pipeline.text.machine_code import I32, I64, U8

_LESS = 60


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """What one pass over a page found; columns in `layout`."""

    source: bytes
    """The page, in UTF-8."""
    text: U8
    """The text of all blocks, one after the other, white space folded, entities as they are."""
    elements: I32
    """Shape (elements, EL_COLUMNS), in the order of the start tags; element 0 is the page."""
    blocks: I32
    """Shape (blocks, BL_COLUMNS)."""
    tokens: I32
    """Hashes, 0 to 65,535, of the words in the attributes of the elements, in their order."""
    state: I64

    def text_of(self, block: int) -> str:
        """The text of a block."""
        row = self.blocks[block]
        return self.text[row[BL_START] : row[BL_END]].tobytes().decode("utf-8", "replace")


@functools.cache
def _loop() -> machine_code.Loop:
    return machine_code.load("pipeline.extractor.loops_parse")["parse"]


@functools.cache
def _tables() -> I64:
    return vocabulary.tables()


def parse(page: bytes) -> ParsedPage:
    """Find the elements and blocks of a page in UTF-8."""
    source = np.frombuffer(page, np.uint8)
    tags = int(np.count_nonzero(source == _LESS)) + 2
    elements, blocks = min(tags, MAX_ELEMENTS), min(tags, MAX_BLOCKS)
    tokens = min(len(page) // 2 + 2, MAX_TOKENS)
    text, state = np.empty(len(page) + 1, np.uint8), np.zeros(STATE_SIZE, np.int64)
    found, rows = np.empty((elements, EL_COLUMNS), np.int32), np.empty((blocks + 1, BL_COLUMNS), np.int32)
    words = np.empty(tokens, np.int32)
    count = _loop()(source, len(page), _tables(), text, found, elements, rows, blocks, words, tokens, state)
    return ParsedPage(page, text, found[: int(state[ST_ELEMENTS])], rows[:count], words[: int(state[ST_TOKENS])], state)
