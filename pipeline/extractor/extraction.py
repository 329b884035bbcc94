"""The main text of a page by a learned model: parse, describe, score, choose, write."""

import functools
import html
from dataclasses import dataclass

import numpy as np

from pipeline.extractor import features
from pipeline.extractor.loops_decide import LEVELS
from pipeline.extractor.model import Model
from pipeline.extractor.parsed_page import ParsedPage, parse
from pipeline.text import machine_code
from pipeline.text.machine_code import I32, U8


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was chosen of a page."""

    page: ParsedPage
    probabilities: I32
    """Of each block, in parts of ONE, that it is main text."""
    keep: U8
    """1 for each block that was chosen."""
    text: str
    """The chosen blocks: a line for each, `- ` before list items, ` | ` between cells; preformatted ones verbatim."""


@functools.cache
def _loops() -> dict[str, machine_code.Loop]:
    return machine_code.load("pipeline.extractor.loops_decide")


def extract(page: bytes, model: Model) -> Extraction:
    """The main text of an HTML page in UTF-8."""
    parsed = parse(page)
    probabilities = block_probabilities(parsed, model)
    keep = choose(parsed, probabilities, model)
    return Extraction(parsed, probabilities, keep, write_text(parsed, keep))


def block_probabilities(page: ParsedPage, model: Model) -> I32:
    """For each block the probability, in parts of ONE, that it is main text."""
    table = features.describe(page, model.scores)
    blocks, columns = table.shape
    found = np.empty(blocks, np.int32)
    nodes = model.nodes.reshape(-1)
    _loops()["score"](table, columns, blocks, model.roots, len(model.roots), nodes, model.leaves, model.base, found)
    _loops()["to_probabilities"](found, blocks, model.link)
    return found


def choose(page: ParsedPage, probabilities: I32, model: Model) -> U8:
    """The blocks with the highest expected F1 together, as one threshold for the page within the model's limits."""
    keep = np.zeros(len(page.blocks), np.uint8)
    sums = np.zeros(2 * LEVELS, np.int64)
    _loops()["choose"](page.blocks, len(page.blocks), probabilities, model.lowest, model.highest, sums, keep)
    return keep


def write_text(page: ParsedPage, keep: U8) -> str:
    """The text of the blocks in `keep`, entities decoded."""
    out = np.empty(len(page.text) + 5 * len(page.blocks), np.uint8)
    size = _loops()["write_text"](page.text, page.blocks, len(page.blocks), page.elements, keep, out)
    text = out[:size].tobytes().decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text
