"""Where the text of a row still is: the row itself, the intermediate step it was dropped from."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from pipeline.explore.folder import Folder, key_of, step_of
from pipeline.explore.scan import Budget, Coverage, Part, read_row, scan
from pipeline.steps.registry import DEDUP, FILTER, steps_before

_PLACE = ("id", "warc_path", "warc_offset")
EXCERPT, EXCERPT_SECONDS = 150, 0.4
"""Characters; seconds for all of a page's."""
_ONE_PART = Budget(rows=5_000_000, seconds=1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A text, and the row that had it."""

    text: str
    of: str
    """Where it was found."""
    row: Mapping[str, Any]


def dropped_text(folder: Folder, part: str, row: Mapping[str, Any]) -> Source | None:
    """The text of a row of `dropped`, where it is on disk."""
    if row.get("text") is not None:
        return Source(row["text"], "stored with the row (run.dropped_text)", row)
    for step in steps_before(step_of(part)):
        found = _row_in(folder.parts(step.folder).get(key_of(part)), row)
        if found is not None:
            return Source(found["text"] or "", f"as step {step.name} left it", found)
    return None


def kept_text(folder: Folder, part: str, row: Mapping[str, Any]) -> str:
    """The text of a row of `documents` as deduplication saw it, or where that is gone, as it was kept."""
    found = _row_in(folder.parts(DEDUP.folder).get(part), row)
    return str((found or row)["text"] or "")


def measured(folder: Folder, part: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stored signals of a row that the filter step dropped; empty where there are none."""
    if step_of(part) != FILTER.name:
        return {}
    found = _row_in(folder.parts("steps/filter/measured").get(part), row)
    return (found or {}).get("signals") or {}


def excerpts(folder: Folder, table: str, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """(part, row) -> the beginning of its text, for as many as are read in EXCERPT_SECONDS."""
    end, found = time.monotonic() + EXCERPT_SECONDS, {}
    for part, row in places:
        if time.monotonic() > end:
            break
        values = read_row(folder.parts(table)[part], row, ["text"]) or {}
        found[part, row] = " ".join(str(values.get("text") or "")[: 4 * EXCERPT].split())[:EXCERPT]
    return found


def _row_in(part: Part | None, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of a part that came from the same place."""
    if part is None:
        return None
    for batch in scan([part], _PLACE, Coverage(), budget=_ONE_PART):
        mask = pc.equal(batch.table["id"], row["id"])
        for name in _PLACE[1:]:
            if name in batch.table.column_names:
                mask = pc.and_(mask, pc.equal(batch.table[name], row[name]))
        at = pc.index(mask, True).as_py()
        if at >= 0:
            return read_row(part, batch.first + at)
    return None
