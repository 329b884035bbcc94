"""The questions that the pages ask of the tables, each with a bound on rows, seconds and answers."""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.explore.conditions import Condition, chosen, excluder, numbers, path_of
from pipeline.explore.scan import Batch, Budget, Coverage, Part, scan, spread

PAGE = 50
"""Rows on a page."""
DEEPEST = 1000
"""Rows of a ranking or sample that can be paged through."""
NEAR = (0.05, 0.1, 0.25)
"""Distances to the limit, as a share of it, for which rows are counted."""
SHOWN = {
    "documents": ("id", "url", "language", "token_count", "cluster_size", "warc_path", "warc_offset"),
    "dropped": ("id", "url", "step", "stage", "reason", "value", "limit", "detail", "warc_path", "warc_offset"),
    "quarantine": ("id", "url", "step", "stage", "cause", "seconds", "warc_path", "warc_offset"),
}
Table = Literal["documents", "dropped", "quarantine"]


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, with the place that links lead to."""

    table: str
    part: str
    row: int
    values: dict[str, Any]
    rank: float | None = None
    """What it was sorted by."""


@dataclasses.dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of rows."""

    hits: tuple[Hit, ...]
    coverage: Coverage
    matched: int
    """Rows that fulfil the conditions, of those looked at."""
    next: str | None = None
    """Where the next page begins: `PART:ROW` in stored order, a number of rows in a ranking."""
    near: tuple[tuple[float, int], ...] = ()
    """(distance as a share of the limit, dropped rows no farther from it)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """An order other than the stored one; the smallest rank comes first."""

    by: Literal["sample", "nearest", "ascending", "descending"]
    signal: str = ""
    seed: int = 0

    def columns(self) -> tuple[str, ...]:
        """What it reads."""
        return (path_of(self.signal),) if self.signal else ()

    def ranks(self, table: pa.Table) -> Any:
        """Rank of each row, float64, shape (rows,); null where there is nothing to rank by."""
        if self.by == "sample":
            return _hashes(table["id"].to_pylist(), self.seed)
        if self.by == "nearest":
            return distances(table)
        values = numbers(table, self.signal)
        return values if self.by == "ascending" else pc.negate(values)


def distances(table: pa.Table) -> Any:
    """How far a value lies beyond its limit, as a share of the limit (as it is, where the limit is 0)."""
    limit = pc.abs(pc.cast(table["limit"], pa.float64()))
    beyond = pc.abs(pc.subtract(table["value"], table["limit"]))
    return pc.divide(beyond, pc.if_else(pc.equal(limit, 0.0), 1.0, limit))


def in_order(
    table: Table, parts: Sequence[Part], conditions: Sequence[Condition], start: tuple[str, int], budget: Budget
) -> SearchResult:
    """Rows in the order in which they are stored, from a place on; any row can be reached by going on."""
    names = [part.name for part in parts]
    begin = (names.index(start[0]), start[1]) if start[0] in names else (0, 0)
    coverage, hits = Coverage(), list[Hit]()
    for batch in scan(
        parts, _columns(table, conditions), coverage, budget=budget, start=begin, excludes=excluder(conditions)
    ):
        rows = chosen(batch.table, conditions).to_pylist()
        hits += _hits(table, batch, rows[: PAGE - len(hits)])
        if len(hits) == PAGE:
            return SearchResult(tuple(hits), coverage, PAGE, f"{batch.part.name}:{hits[-1].row + 1}")
    at, row = coverage.place
    return SearchResult(tuple(hits), coverage, len(hits), None if coverage.ended else f"{names[at]}:{row}")


def ranked(
    table: Table, parts: Sequence[Part], conditions: Sequence[Condition], ranking: Ranking, skip: int, budget: Budget
) -> SearchResult:
    """The first rows of a ranking, over as many parts as the budget allows, taken in an order drawn by hash."""
    coverage, best, matched = Coverage(), _Best(skip + PAGE), 0
    near = [0] * len(NEAR)
    columns = [*_columns(table, conditions), *ranking.columns()]
    for batch in scan(spread(parts, ranking.seed), columns, coverage, budget=budget, excludes=excluder(conditions)):
        rows = chosen(batch.table, conditions)
        matched += len(rows)
        if len(rows):
            ranks = ranking.ranks(batch.table.take(rows))
            if ranking.by == "nearest":
                near = [count + _at_most(ranks, most) for count, most in zip(near, NEAR, strict=True)]
            best.offer(table, batch, rows, ranks)
    hits = best.hits()
    more = str(skip + PAGE) if matched > skip + PAGE and skip + PAGE < DEEPEST else None
    counted = tuple(zip(NEAR, near, strict=True)) if ranking.by == "nearest" else ()
    return SearchResult(tuple(hits[skip:]), coverage, matched, more, counted)


def search(
    tables: Sequence[tuple[Table, Sequence[Part]]], conditions: Sequence[Condition], budget: Budget, *, batch: int
) -> dict[str, SearchResult]:
    """Rows that fulfil the conditions, of several tables, at most a page of each; the tables share the seconds."""
    share = dataclasses.replace(budget, seconds=budget.seconds / max(1, len(tables)))
    found = dict[str, SearchResult]()
    for table, parts in tables:
        coverage, hits = Coverage(), list[Hit]()
        for piece in scan(
            parts, _columns(table, conditions), coverage, budget=share, excludes=excluder(conditions), batch=batch
        ):
            rows = chosen(piece.table, conditions).to_pylist()
            hits += _hits(table, piece, rows[: PAGE - len(hits)])
            if len(hits) == PAGE:
                break
        found[table] = SearchResult(tuple(hits), coverage, len(hits))
    return found


def count_values(
    parts: Sequence[Part], columns: Sequence[str], budget: Budget
) -> tuple[dict[tuple[str, ...], int], Coverage]:
    """How often each combination of strings stands in the rows looked at, most frequent first; 100 combinations."""
    coverage, counts = Coverage(), dict[tuple[str, ...], int]()
    for batch in scan(spread(parts, 0), columns, coverage, budget=budget):
        grouped = batch.table.group_by(list(columns)).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            key = tuple(str(row[name] or "") for name in columns)
            counts[key] = counts.get(key, 0) + row["count_all"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:100]), coverage


class _Best:
    """The hits with the smallest ranks; nulls come last, ties by place."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._heap: list[tuple[float, int, int, Hit]] = []  # all negated: the worst is first

    def offer(self, table: str, batch: Batch, rows: Any, ranks: Any) -> None:
        """Take rows of a batch in; only those that may stay become Python objects."""
        ranks = pc.fill_null(ranks, float("inf"))
        ranks = pc.if_else(pc.is_nan(ranks), float("inf"), ranks)
        order = pc.sort_indices(ranks)[: self._number].to_pylist()
        for index in order:
            rank = ranks[index].as_py()
            if len(self._heap) == self._number and -rank < self._heap[0][0]:
                break
            row = rows[index].as_py()
            [hit] = _hits(table, batch, [row], None if rank == float("inf") else rank)
            entry = (-rank, -batch.at, -hit.row, hit)
            if len(self._heap) < self._number:
                heapq.heappush(self._heap, entry)
            elif entry[:3] > self._heap[0][:3]:
                heapq.heapreplace(self._heap, entry)

    def hits(self) -> list[Hit]:
        """Those that are left, the best first."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)]


def _hits(table: str, batch: Batch, rows: Sequence[int], rank: float | None = None) -> Iterator[Hit]:
    there = [name for name in SHOWN[table] if name in batch.table.column_names]  # type: ignore[index]
    values = batch.table.select(there).take(pa.array(rows, pa.int64())).to_pylist()
    empty = dict.fromkeys(SHOWN[table])  # type: ignore[index]
    for row, value in zip(rows, values, strict=True):
        yield Hit(table, batch.part.name, batch.first + row, {**empty, **value}, rank)


def _columns(table: Table, conditions: Sequence[Condition]) -> list[str]:
    return list(dict.fromkeys([*SHOWN[table], *(item.column for item in conditions)]))


def _hashes(ids: Sequence[str | None], seed: int) -> Any:
    key = f"tokenmill explore {seed}".encode()
    found = (hashlib.blake2b((name or "").encode("utf-8", "replace"), digest_size=6, key=key).digest() for name in ids)
    return pa.array([float(int.from_bytes(digest)) for digest in found], pa.float64())


def _at_most(ranks: Any, most: float) -> int:
    return int(pc.sum(pc.cast(pc.fill_null(pc.less_equal(ranks, most), False), pa.int64())).as_py() or 0)
