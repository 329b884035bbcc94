"""Bounded passes over the parts of a table: so many rows, so many seconds, and the coverage is reported.

A part is a parquet file with numbered row groups; the smallest and largest value of each column of a row group stand
in the file's footer, so that groups which cannot hold what is wanted are passed over without reading them.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 10_000
Range = tuple[Any, Any]
"""Smallest and largest value of a column in a row group."""
Excludes = Callable[[Mapping[str, Range]], bool]
"""Whether a row group with these ranges holds nothing that is wanted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A file of a table, by the name that stands in links."""

    name: str
    path: Path


@dataclasses.dataclass(slots=True)
class Coverage:
    """How far a pass went."""

    parts: int = 0
    """Begun."""
    total: int = 0
    rows: int = 0
    """Read."""
    skipped: int = 0
    """Rows of row groups that their footers excluded."""
    complete: bool = False
    ended: bool = False
    """Whether it came to the last part (from wherever it began)."""
    place: tuple[int, int] = (0, 0)
    """Where to go on: place of the part, row."""
    unreadable: list[str] = dataclasses.field(default_factory=list)
    """Parts that could not be read, with what was wrong."""

    def __str__(self) -> str:
        every = "all of" if self.complete else f"{self.parts:,} of"
        passed = f", {self.skipped:,} passed over by their statistics" if self.skipped else ""
        what = f"Looked at {_counted(self.rows, 'row')}{passed}, in {every} {_counted(self.total, 'part')}."
        more = "" if self.complete else " The rest was not looked at: a request has a limit of rows and seconds."
        bad = f" {len(self.unreadable)} parts could not be read: {'; '.join(self.unreadable[:3])}."
        return what + more + (bad if self.unreadable else "")


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What one pass may cost."""

    rows: int = 2_000_000
    seconds: float = 1.2
    """Checked between batches, so a pass may take a batch longer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows of a part."""

    part: Part
    at: int
    """The part's place among those given."""
    first: int
    """Number of the first row in the part."""
    table: pa.Table


def scan(
    parts: Sequence[Part],
    columns: Sequence[str],
    coverage: Coverage,
    *,
    budget: Budget,
    start: tuple[int, int] = (0, 0),
    excludes: Excludes | None = None,
    batch: int = BATCH,
) -> Iterator[Batch]:
    """Batches of the parts, in order, until the budget is spent.

    Args:
        parts: to look at.
        columns: to read, nested ones by their path; those that a part lacks are left out.
        coverage: updated with how far the pass went.
        budget: rows and seconds.
        start: (place of the part, row) to begin at.
        excludes: row groups to pass over.
        batch: rows at a time.
    """
    end, coverage.total = time.monotonic() + budget.seconds, len(parts)
    for at in range(start[0], len(parts)):
        first = start[1] if at == start[0] else 0
        coverage.place = (at, first)
        if coverage.parts and _spent(coverage, budget, end):
            return
        coverage.parts += 1
        try:
            with pq.ParquetFile(parts[at].path) as source:
                for number, table in _batches(source, columns, coverage, first, excludes, batch):
                    if coverage.rows and _spent(coverage, budget, end):
                        return  # after a batch that is thrown away: what was the last one was not the end
                    coverage.rows += len(table)
                    coverage.place = (at, number + len(table))
                    yield Batch(parts[at], at, number, table)
        except (OSError, pa.ArrowException) as error:
            coverage.unreadable.append(f"{parts[at].name} ({' '.join(str(error).split())[:120]})")
    coverage.ended, coverage.complete = True, start == (0, 0)


def _spent(coverage: Coverage, budget: Budget, end: float) -> bool:
    # A row group that is passed over costs little, but not nothing.
    return coverage.rows + coverage.skipped // 100 >= budget.rows or time.monotonic() > end


def _batches(
    source: pq.ParquetFile, columns: Sequence[str], coverage: Coverage, first: int, excludes: Excludes | None, size: int
) -> Iterator[tuple[int, pa.Table]]:
    row = 0
    for number in range(source.num_row_groups):
        group = source.metadata.row_group(number)
        if row + group.num_rows <= first:
            row += group.num_rows
        elif excludes is not None and excludes(ranges(group)):
            coverage.skipped += group.num_rows
            row += group.num_rows
        else:
            for batch in source.iter_batches(size, row_groups=[number], columns=list(columns)):
                table = pa.Table.from_batches([batch])
                cut = max(0, first - row)
                if cut < len(table):
                    yield row + cut, table.slice(cut)
                row += len(table)


def ranges(group: Any) -> dict[str, Range]:
    """Smallest and largest values of a row group's columns, by path, where the footer has them."""
    found = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.is_stats_set and column.statistics.has_min_max:
            found[column.path_in_schema] = (column.statistics.min, column.statistics.max)
    return found


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def spread(parts: Sequence[Part], seed: int) -> list[Part]:
    """The parts in an order drawn by a keyed hash of their names: any beginning of it is a fair sample."""
    key = f"tokenmill explore {seed}".encode()
    return sorted(parts, key=lambda part: hashlib.blake2b(part.name.encode(), digest_size=8, key=key).digest())


def read_row(part: Part, row: int, columns: Sequence[str] | None = None) -> dict[str, Any] | None:
    """One row with all its columns (or these), or None where the part has no such row.

    Raises:
        OSError, pyarrow.ArrowException: the part cannot be read.
    """
    with pq.ParquetFile(part.path) as source:
        before = 0
        for number in range(source.num_row_groups):
            size = source.metadata.row_group(number).num_rows
            if row < before + size:
                return _row_of(source, number, row - before, columns)
            before += size
    return None


def _row_of(source: pq.ParquetFile, group: int, row: int, columns: Sequence[str] | None) -> dict[str, Any]:
    """A row of a row group, read in small batches: the texts of all of it need not be in memory at once."""
    for batch in source.iter_batches(500, row_groups=[group], columns=columns):
        if row < len(batch):
            found: dict[str, Any] = batch.slice(row, 1).to_pylist()[0]
            return found
        row -= len(batch)
    raise pa.ArrowInvalid("a row group is shorter than its footer says")
