"""How good an extractor is on labelled pages: words against the gold text by page type, phrases, time."""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from pipeline.extractor import labels
from pipeline.extractor.labelled import LabelledPage

RESAMPLES: Final = 1000
"""Of the pages, for the 95 % intervals (percentile bootstrap, Efron 1979)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """Of a page, or the mean over some."""

    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Pages of one type."""

    page_type: str
    pages: int
    score: Score
    interval: tuple[float, float]
    """Of the mean F1, 95 %."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Phrases:
    """Phrases over all pages."""

    wanted: int
    found: int
    unwanted: int
    kept: int
    """Unwanted phrases that stand in the text all the same."""
    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """All of it."""

    groups: tuple[Group, ...]
    """All pages with a gold text, as page type `all`, then by type."""
    phrases: Phrases | None
    milliseconds: float
    """CPU time of a page, mean."""


def word_score(text: str, gold: str) -> Score:
    """Precision, recall and F1 of the words as a bag, in lower case: WCXB's measure (Foley 2026, arXiv:2605.21097)."""
    found, reference = Counter(labels.words(text)), Counter(labels.words(gold))
    if not reference or not found:
        both = float(not reference and not found)
        return Score(both, both, both)
    shared = sum((found & reference).values())
    precision, recall = shared / sum(found.values()), shared / sum(reference.values())
    return Score(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def evaluate(pages: Iterable[LabelledPage], extract: Callable[[bytes], str], seed: int = 0) -> Evaluation:
    """Run an extractor over labelled pages.

    Args:
        pages: to measure on.
        extract: from a page in UTF-8 to its text.
        seed: of the bootstrap.
    """
    scores: list[tuple[str, Score]] = []
    wanted: list[bool] = []
    unwanted: list[bool] = []
    seconds, count = 0.0, 0
    for page in pages:
        begin = time.process_time()
        text = extract(page.html)
        seconds += time.process_time() - begin
        count += 1
        if page.gold is not None:
            scores.append((page.page_type, word_score(text, page.gold)))
        folded = " ".join(text.split())
        wanted += [" ".join(phrase.split()) in folded for phrase in page.wanted]
        unwanted += [" ".join(phrase.split()) in folded for phrase in page.unwanted]
    types = sorted({page_type for page_type, _ in scores} - {""})
    groups = [_group("all", [score for _, score in scores], seed)] if scores else []
    groups += [_group(name, [score for page_type, score in scores if page_type == name], seed) for name in types]
    return Evaluation(
        groups=tuple(groups),
        phrases=_phrases(wanted, unwanted) if wanted or unwanted else None,
        milliseconds=1000 * seconds / max(count, 1),
    )


def _group(name: str, scores: Sequence[Score], seed: int) -> Group:
    table = np.array([(score.precision, score.recall, score.f1) for score in scores])
    random = np.random.default_rng(seed)
    means = [table[random.integers(0, len(table), len(table)), 2].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    precision, recall, f1 = table.mean(axis=0)
    return Group(page_type=name, pages=len(table), score=Score(float(precision), float(recall), float(f1)),
                 interval=(float(low), float(high)))  # fmt: skip


def _phrases(wanted: Sequence[bool], unwanted: Sequence[bool]) -> Phrases:
    """Of wanted phrases those found are right, those missed wrong, and of unwanted those kept are wrong."""
    found, kept = sum(wanted), sum(unwanted)
    precision, recall = found / max(found + kept, 1), found / max(len(wanted), 1)
    f1 = 2 * precision * recall / (precision + recall) if found else 0.0
    return Phrases(wanted=len(wanted), found=found, unwanted=len(unwanted), kept=kept, precision=precision,
                   recall=recall, f1=f1)  # fmt: skip
