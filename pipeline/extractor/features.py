"""What the trees see of each block of a page; names in the order of `loops_features.describe`."""

import functools
from typing import Final

import numpy as np

from pipeline.extractor import vocabulary
from pipeline.extractor.loops_features import AG_COLUMNS, IS_BLOCK, RS_COLUMNS, SG_COLUMNS
from pipeline.extractor.parsed_page import ParsedPage
from pipeline.text import machine_code
from pipeline.text.machine_code import I32

TOKENS: Final = 1 << 16
"""Hashes of tokens."""

_ANCESTOR = ("words", "links", "blocks", "paragraphs", "score", "tag")
_NEIGHBOUR = ("links", "last", "chain", "same_place", "heading")
_FLAG = (
    "link item nav header footer aside table form article main p heading pre quote definition figure button noscript"
    " hidden code details math body"
).split()
NAMES: Final = (
    *"position words_before_share words_before from_h1 since_heading words_since_heading since_paragraph".split(),
    *"to_end until_paragraph".split(),
    *"words chars word_length link_words link_share links commas stops stop_share digits capitals symbols".split(),
    *"wide short breaks last marks images code words_share tag heading lists depth children element".split(),
    *(f"in_{flag}" for flag in _FLAG),
    *"score chain chain_max chain_min".split(),
    *(f"group_{number}" for number in range(len(vocabulary.WORDS))),
    *(f"near_group_{number}" for number in range(len(vocabulary.WORDS))),
    *(f"above{level}_{name}" for level in range(5) for name in _ANCESTOR),
    *(f"{which}_{name}" for which in ("half", "most") for name in ("steps", "depth", "outside", "words", "score")),
    *"place_blocks place_words place_mean place_links text_repeats".split(),
    *(f"window{size}_{name}" for size in (1, 2, 4, 8) for name in ("before", "after", "links", "paragraphs")),
    *(f"previous_{name}" for name in _NEIGHBOUR),
    *(f"next_{name}" for name in _NEIGHBOUR),
    *"page_words page_blocks page_links page_paragraphs".split(),
)


@functools.cache
def _loop() -> machine_code.Loop:
    return machine_code.load("pipeline.extractor.loops_features")["describe"]


@functools.cache
def _is_block() -> I32:
    return np.array(IS_BLOCK, np.int32)


def describe(page: ParsedPage, scores: I32) -> I32:
    """Features of the blocks of a page, shape (blocks, len(NAMES)).

    Args:
        page: as parsed.
        scores: of each of the TOKENS, how much more often than others its elements hold main text.
    """
    blocks, elements = len(page.blocks), len(page.elements)
    found = np.empty((blocks, len(NAMES)), np.int32)
    if not blocks:
        return found
    room = 1 << (4 * blocks).bit_length()
    filled = _loop()(
        page.elements, elements, page.blocks, blocks, page.tokens, scores, _is_block(),
        np.empty(elements * AG_COLUMNS, np.int64), np.zeros(room * SG_COLUMNS, np.int64), room,
        np.zeros((blocks + 1) * RS_COLUMNS, np.int64), found, len(NAMES),
    )  # fmt: skip
    if filled != len(NAMES):
        raise AssertionError(f"{filled} features, {len(NAMES)} names")
    return found
