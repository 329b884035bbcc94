"""What the report says of benchmark items: OUT/contamination, in numbers and examples."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipeline.contract.contamination import ITEMS, MATCHES
from pipeline.contract.run import RunRecord
from pipeline.contract.tables import read_table

MAX_ITEMS, MAX_MATCHES, EXAMPLES = 30, 5, 5
STAGE = ".decontaminate.benchmark_overlap"


@dataclasses.dataclass(frozen=True, slots=True)
class Benchmark:
    """Items of one benchmark."""

    name: str
    items: int
    kept: int
    """On at least one page that was kept."""
    dropped: int
    """On pages that were dropped, and on no other."""
    unchecked: int

    @property
    def clean(self) -> int:
        """Looked for and found on no page."""
        return self.items - self.kept - self.dropped - self.unchecked


@dataclasses.dataclass(frozen=True, slots=True)
class ContaminationReport:
    """What the page shows."""

    benchmarks: Sequence[Benchmark]
    items: Sequence[Mapping[str, Any]]
    """Rows of items with matches, those on kept pages and with the longest overlap first; `matches` has some pages."""
    more_items: int
    unchecked: int
    unchecked_examples: Sequence[str]
    left_by_stage: int
    """Pages dropped for an overlap."""


def collect_contamination(out: Path, record: RunRecord) -> ContaminationReport | None:
    """What a run found of its benchmarks; None if it looked for none."""
    if not (out / ITEMS).is_file():
        return None
    rows = read_table(out / ITEMS).to_pylist()
    matched = [row for row in rows if row["kept"] or row["dropped"]]
    matched.sort(key=lambda row: (row["kept"] == 0, -row["length"], row["benchmark"], row["item"]))
    unchecked = [row for row in rows if not row["checked"]]
    names = dict.fromkeys(row["benchmark"] for row in rows)
    return ContaminationReport(
        benchmarks=[_benchmark(name, [row for row in rows if row["benchmark"] == name]) for name in names],
        items=_with_matches(out, matched[:MAX_ITEMS]),
        more_items=max(0, len(matched) - MAX_ITEMS),
        unchecked=len(unchecked),
        unchecked_examples=[f"{row['benchmark']} {row['item']}" for row in unchecked[:EXAMPLES]],
        left_by_stage=sum(number for name, number in record.totals.dropped.items() if name.endswith(STAGE)),
    )


def _benchmark(name: str, rows: Sequence[Mapping[str, Any]]) -> Benchmark:
    kept = sum(row["kept"] > 0 for row in rows)
    dropped = sum(row["kept"] == 0 and row["dropped"] > 0 for row in rows)
    return Benchmark(name, len(rows), kept, dropped, sum(not row["checked"] for row in rows))


def _with_matches(out: Path, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the first few of their matches."""
    matches: dict[tuple[str, str], list[dict[str, Any]]] = collections.defaultdict(list)
    wanted = {(row["benchmark"], row["item"]) for row in items}
    if wanted:
        chosen = pc.field("item").isin(sorted({item for _, item in wanted}))
        for row in read_table(out / MATCHES, filters=chosen).to_pylist():
            key = row["benchmark"], row["item"]
            if key in wanted and len(matches[key]) < MAX_MATCHES:
                matches[key].append(row)
    return [{**row, "matches": matches[row["benchmark"], row["item"]]} for row in items]
