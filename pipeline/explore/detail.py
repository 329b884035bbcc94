"""Everything the run knows of one row: text, signals beside their limits, where it came from, its tokens."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.contract.run import RunRecord
from pipeline.document import QualityStage
from pipeline.explore.folder import TABLES, Folder
from pipeline.explore.request import PageError
from pipeline.explore.rerun import Rerun, rerun, shipped_stage
from pipeline.explore.scan import read_row
from pipeline.explore.texts import dropped_text, measured
from pipeline.explore.tokens import Tokens, tokens_of
from pipeline.stages.support.limits import Rule, limit_of

SHOWN_TEXT = 100_000
"""Characters of a text on the page."""
LAST_ROW = 10**9
_SHOWN_ELSEWHERE = ("text", "signals", "pii_counts")


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the config on a signal."""

    name: str
    kind: str
    """`at least` or `at most`."""
    value: float
    broken: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Signal:
    """A stored raw value with its limits, none where no rule looks at it."""

    stage: str
    name: str
    value: float | None
    limits: tuple[Limit, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RowDetail:
    """A row, for its page."""

    table: str
    part: str
    row: int
    values: Mapping[str, Any]
    facts: tuple[tuple[str, Any], ...]
    """The columns that are not shown in a section of their own."""
    text: str
    more: int
    """Characters of the text that are not shown."""
    text_from: str
    signals: tuple[Signal, ...]
    pii: tuple[tuple[str, int], ...]
    tokens: Tokens | None
    rerun: Rerun | None
    can_rerun: bool


def row_detail(folder: Folder, table: str, part: str, row: int, *, with_rerun: bool) -> RowDetail:
    """A row of a table.

    Raises:
        PageError: 404: there is no such row; others of `rerun`.
    """
    values = row_of(folder, table, part, row)
    record = folder.record()
    fresh = rerun(record, values) if with_rerun else None
    text, origin, source = _text(folder, table, part, values, fresh)
    signals = source.get("signals") or (measured(folder, part, values) if table == "dropped" else {})
    language = str(source.get("language") or "")
    return RowDetail(
        table, part, row, values,
        facts=tuple(pair for pair in values.items() if pair[0] not in _SHOWN_ELSEWHERE and pair[1] is not None),
        text=text[:SHOWN_TEXT],
        more=max(0, len(text) - SHOWN_TEXT),
        text_from=origin,
        signals=tuple(_signals(record, signals, language)),
        pii=tuple(sorted((found["type"], found["count"]) for found in values.get("pii_counts") or ())),
        tokens=tokens_of(folder.out, dict(values), decode=True) if table == "documents" else None,
        rerun=fresh,
        can_rerun=table != "documents" and values["warc_path"] in {given.path for given in record.inputs},
    )  # fmt: skip


def row_of(folder: Folder, table: str, part: str, row: int) -> dict[str, Any]:
    """The values of a row.

    Raises:
        PageError: 404.
    """
    found = folder.parts(table).get(part) if table in TABLES else None
    if found is None:
        raise PageError(404, f"there is no part '{part}' of {table}")
    try:
        values = read_row(found, row)
    except (OSError, pa.ArrowException) as error:
        raise PageError(500, f"part {part} of {table} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if values is None:
        raise PageError(404, f"part {part} of {table} has no row {row:,}")
    return values


def _text(
    folder: Folder, table: str, part: str, values: Mapping[str, Any], fresh: Rerun | None
) -> tuple[str, str, Mapping[str, Any]]:
    """(text, where it was found, the values that signals and language are taken from)."""
    if fresh is not None:
        return fresh.text, "read from its WARC record and extracted again just now", fresh.document
    if table == "documents":
        return str(values.get("text") or ""), "as tokenized", values
    found = dropped_text(folder, part, values) if table == "dropped" else None
    return (found.text, found.of, found.row) if found else ("", "", {})


def _signals(record: RunRecord, signals: Mapping[str, Any], language: str) -> Iterator[Signal]:
    stages = dict(_quality(record))
    for name, values in signals.items():
        for signal, value in (values or {}).items() if isinstance(values, Mapping) else ():
            limits = tuple(_limits(stages[name], signal, value, language)) if name in stages else ()
            yield Signal(name, signal, value, limits)


def _quality(record: RunRecord) -> Iterator[tuple[str, Any]]:
    for entry in record.config.get("filter", ()):
        stage, name = shipped_stage(entry)
        if isinstance(stage, QualityStage):
            yield name, stage


def _limits(stage: Any, signal: str, value: float | None, language: str) -> Iterator[Limit]:
    rules: Sequence[Rule] = getattr(stage, "RULES", ())
    for rule in rules:
        limit = limit_of(stage, rule.limit, language) if rule.signal == signal else None
        if limit is not None:
            broken = value is not None and (value < limit if rule.kind == "at least" else value > limit)
            yield Limit(rule.limit, rule.kind, float(limit), broken)
