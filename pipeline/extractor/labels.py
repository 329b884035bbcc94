"""Which blocks of a labelled page are its main text: shares, from the gold text or from phrases."""

import html
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.extractor.layout import BL_END, BL_START
from pipeline.extractor.parsed_page import ParsedPage

GRAM = 4
"""Words in a run that is looked up in the gold text. Fewer are found by chance, more break at every inline element."""
ANCHOR_WORDS = 6
"""From this many words on a block is judged by its runs; a shorter one by where it stands, see `from_gold`."""
UNKNOWN = -1.0

_WORD = re.compile(r"\w+")
Shares = npt.NDArray[np.float64]


def words(text: str) -> list[str]:
    """The words of a text, in lower case, as WCXB's own measure takes them."""
    return _WORD.findall(text.lower())


def block_words(page: ParsedPage) -> list[list[str]]:
    """The words of each block, entities decoded."""
    text = page.text.tobytes()
    return [words(html.unescape(text[row[BL_START] : row[BL_END]].decode("utf-8", "replace"))) for row in page.blocks]


def from_gold(page: ParsedPage, gold: str) -> Shares:
    """For each block the share of it that stands in the gold text, 0 to 1.

    Of a block of at least ANCHOR_WORDS words the share of words in runs of GRAM words that the gold text has too. A
    shorter one counts as gold where the gold text has it between what the nearest longer ones before and after it have,
    or as a line of its own.
    """
    found = block_words(page)
    reference = words(gold)
    runs: dict[tuple[str, ...], int] = {}
    for at in range(len(reference) - GRAM, -1, -1):
        runs[tuple(reference[at : at + GRAM])] = at
    lines = {tuple(words(line)) for line in gold.split("\n")}
    shares = np.zeros(len(found))
    places: list[tuple[int, int]] = []  # begin and end in the gold text of each anchor; the block's number is beside
    anchors: list[int] = []
    for number, block in enumerate(found):
        if len(block) < ANCHOR_WORDS:
            continue
        covered = np.zeros(len(block), bool)
        hits = []
        for at in range(len(block) - GRAM + 1):
            place = runs.get(tuple(block[at : at + GRAM]))
            if place is not None:
                covered[at : at + GRAM] = True
                hits.append(place - at)
        shares[number] = covered.mean()
        if shares[number] > 0.5:
            begin = int(np.median(hits))
            anchors.append(number)
            places.append((begin, begin + len(block)))
    _judge_short(found, reference, lines, anchors, places, shares)
    return shares


def _judge_short(
    found: Sequence[Sequence[str]], reference: Sequence[str], lines: set[tuple[str, ...]], anchors: Sequence[int],
    places: Sequence[tuple[int, int]], shares: Shares,
) -> None:  # fmt: skip
    """Fill the shares of blocks of fewer than ANCHOR_WORDS words."""
    slack = 12
    following = 0
    for number, block in enumerate(found):
        while following < len(anchors) and anchors[following] < number:
            following += 1
        if not block or len(block) >= ANCHOR_WORDS:
            continue
        begin = places[following - 1][1] if following else -1
        end = places[following][0] if following < len(anchors) else -1
        if begin < 0 and end < 0:
            shares[number] = float(tuple(block) in lines)
            continue
        begin = max(end - 4 * slack, 0) if begin < 0 else begin
        end = begin + 4 * slack if end < 0 else end
        near = reference[max(begin, 0) : max(end, 0)]
        size = len(block)
        shares[number] = float(
            any(near[at : at + size] == block for at in range(len(near) - size + 1))
            or (size > 1 and tuple(block) in lines)
        )


def from_phrases(page: ParsedPage, wanted: Sequence[str], unwanted: Sequence[str]) -> Shares:
    """1 for each block with a wanted phrase, 0 with an unwanted one, UNKNOWN for the others and for those with both."""
    shares = np.full(len(page.blocks), UNKNOWN)
    texts = [" ".join(block) for block in block_words(page)]
    for phrases, value in ((unwanted, 0.0), (wanted, 1.0)):
        for phrase in phrases:
            needle = " ".join(words(phrase))
            for number, text in enumerate(texts):
                if needle and needle in text:
                    shares[number] = value if shares[number] in (UNKNOWN, value) else UNKNOWN
    return shares


def from_agreement(page: ParsedPage, texts: Sequence[str]) -> Shares:
    """Silver labels: 1 for each block that all of several extractors' texts have, 0 if none has it, else UNKNOWN."""
    if not texts:
        return np.full(len(page.blocks), UNKNOWN)
    kept = np.array([from_gold(page, text) > 0.5 for text in texts])
    return np.where(kept.all(axis=0), 1.0, np.where(kept.any(axis=0), UNKNOWN, 0.0))
