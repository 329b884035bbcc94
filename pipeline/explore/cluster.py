"""A document and its duplicates, and two of them side by side."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.contract.config import build
from pipeline.contract.errors import TokenmillError
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.diff import Diff, diff
from pipeline.explore.conditions import Equal
from pipeline.explore.detail import row_of
from pipeline.explore.folder import Folder, step_of
from pipeline.explore.queries import SearchResult, search
from pipeline.explore.request import PageError
from pipeline.explore.scan import BATCH, Budget, Part
from pipeline.explore.texts import dropped_text, kept_text
from pipeline.report.cluster_texts import MAX_CHARACTERS, exact_jaccard

_SECONDS = Budget(rows=5_000_000, seconds=0.8)
_COPIES = ("dedup", "extract")
"""Steps whose drops may name the document that stays."""


@dataclasses.dataclass(frozen=True, slots=True)
class SideBySide:
    """Two texts of a cluster."""

    kept: Mapping[str, Any]
    other: Mapping[str, Any]
    difference: Diff | None
    exact: float | None
    """Jaccard similarity; None where it cannot be told."""
    problem: str = ""


def members(folder: Folder, name: str) -> SearchResult:
    """The documents that were dropped for this one (its id), as far as they are found in a second."""
    parts = [part for part in folder.parts("dropped").values() if step_of(part.name) in _COPIES]
    return search([("dropped", parts)], [Equal("detail", name)], _SECONDS, batch=BATCH)["dropped"]


def kept_document(folder: Folder, name: str, near: str = "") -> SearchResult:
    """The kept document of this id; the part called `near` is looked at first."""
    parts: list[Part] = sorted(folder.parts("documents").values(), key=lambda part: part.name != near)
    return search([("documents", parts)], [Equal("id", name)], _SECONDS, batch=BATCH)["documents"]


def side_by_side(folder: Folder, kept: tuple[str, int], other: tuple[str, int]) -> SideBySide:
    """A kept document (part and row) beside a dropped one.

    Raises:
        PageError: 404: there is no such row; 400: the second was not dropped for the first.
    """
    left, right = row_of(folder, "documents", *kept), row_of(folder, "dropped", *other)
    if right["detail"] != left["id"]:
        raise PageError(400, "the second document was not dropped for the first")
    found = dropped_text(folder, other[0], right)
    if found is None:
        problem = "the text of the dropped document is gone (run.keep_steps and run.dropped_text are off)"
        return SideBySide(left, right, None, None, problem)
    texts = kept_text(folder, kept[0], left), found.text
    if max(map(len, texts)) > MAX_CHARACTERS:
        return SideBySide(left, right, diff(*texts, most_rows=400), None, "too long for the exact similarity")
    return SideBySide(left, right, diff(*texts, most_rows=400), _jaccard(folder, texts))


def _jaccard(folder: Folder, texts: tuple[str, str]) -> float | None:
    try:
        config: DedupConfig = build(DedupConfig, folder.record().config.get("dedup") or {}, "run.json: dedup")
    except TokenmillError:
        return None  # a config of another version: the page shows no similarity then
    return exact_jaccard(*texts, config)
