"""After the steps: which benchmark items stand on which pages, and what became of those (OUT/contamination).

A stage `decontaminate` leaves with every page what it shares with benchmark items; the step that runs it writes that
beside its part. Here one task gathers all of it: a page that the stage let pass may have been dropped by a later step.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.contamination import FOLDER, ITEMS, ITEMS_SCHEMA, MATCHES, MATCHES_SCHEMA
from pipeline.document import Stage
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.stages.decontaminate import Decontaminate
from pipeline.steps.context import Commits, Context
from pipeline.steps.parts import matches_folder
from pipeline.storage.files import write_table

STEP = "contamination"
ItemRow = dict[str, Any]
"""A row of `ITEMS_SCHEMA`."""
_WHERE = ("id", "warc_path", "warc_offset")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PartMatches:
    """What one step found in one part, and what later steps dropped of that part."""

    matches: Path
    later: tuple[Path, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GatherTask:
    """All parts."""

    key: str
    out: Path
    parts: tuple[PartMatches, ...]
    stages: tuple[Decontaminate, ...]


def run(context: Context, commits: Mapping[str, Commits], stages: Iterable[Stage]) -> None:
    """Write OUT/contamination, if any of the stages looks for benchmark items.

    Args:
        context: the run.
        commits: of the steps, in their order.
        stages: of all steps.
    """
    looking = tuple(stage for stage in stages if isinstance(stage, Decontaminate) and stage.benchmarks)
    if looking:
        task = GatherTask(key="all", out=context.out, parts=tuple(_parts(context.out, commits)), stages=looking)
        context.run(STEP, gather, [task])


def _parts(out: Path, commits: Mapping[str, Commits]) -> Iterator[PartMatches]:
    """By part, then by step."""
    steps = list(commits)
    for key in sorted({key for done in commits.values() for key in done}):
        for number, step in enumerate(steps):
            entry = commits[step][key].file(matches_folder(step)) if key in commits[step] else None
            if entry:
                after = [commits[later][key] for later in steps[number + 1 :] if key in commits[later]]
                files = [commit.file(folder) for commit in after for folder in ("dropped", "quarantine")]
                later = tuple(out / file.path for file in files if file)
                yield PartMatches(matches=out / entry.path, later=later)


def gather(task: GatherTask) -> Commit:
    """Write both tables and commit."""
    start = time.process_time()
    tables = (_with_later_outcome(part) for part in task.parts)
    return write(task.out, tables, blank_items(task.stages), start)


def write(out: Path, tables: Iterable[pa.Table], items: dict[tuple[str, str], ItemRow], start: float) -> Commit:
    """Write the matches of `tables` and what they make of `items`; commit.

    Args:
        out: the run folder.
        tables: of MATCHES_SCHEMA.
        items: rows of ITEMS_SCHEMA without any match, by benchmark and id; filled in.
        start: `time.process_time()` when the work began.
    """
    matches = write_table(out / MATCHES, _counted(tables, items), schema=MATCHES_SCHEMA)
    rows = list(items.values())
    info = write_table(out / ITEMS, pa.Table.from_pylist(rows, ITEMS_SCHEMA))
    files = (
        FileEntry(path=MATCHES, bytes=matches.bytes, sha256=matches.sha256),
        FileEntry(path=ITEMS, bytes=info.bytes, sha256=info.sha256, rows=len(rows)),
    )
    counts = {"items": len(rows), "unchecked": sum(not row["checked"] for row in rows),
              "contaminated": sum(row["kept"] > 0 for row in rows),
              "matches": sum(row["kept"] + row["dropped"] for row in rows)}  # fmt: skip
    seconds = {"total": round(time.process_time() - start, 6)}
    return Ledger(out, STEP).replace(Commit(key="all", files=files, counts=counts, seconds=seconds))


def blank_items(stages: Sequence[Decontaminate]) -> dict[tuple[str, str], ItemRow]:
    """Every item of the stages' benchmarks, in their order."""
    rows: dict[tuple[str, str], ItemRow] = {}
    for stage in stages:
        index = stage.index()
        unchecked = set(index.unchecked)
        for number, item in enumerate(index.items):
            row = rows.setdefault((item.benchmark, item.id), _blank(item.benchmark, item.id))
            row["checked"] |= number not in unchecked
    return rows


def _blank(benchmark: str, item: str) -> ItemRow:
    return {"benchmark": benchmark, "item": item, "checked": False, "kept": 0, "dropped": 0,
            "ngrams": 0, "length": 0, "share": 0.0}  # fmt: skip


def _counted(tables: Iterable[pa.Table], items: dict[tuple[str, str], ItemRow]) -> Iterator[pa.Table]:
    for table in tables:
        columns = table.select(["benchmark", "item", "outcome", "ngrams", "length", "share"]).to_pydict()
        for benchmark, item, outcome, *measured in zip(*columns.values(), strict=True):
            row = items[benchmark, item]
            row["kept" if outcome == "kept" else "dropped"] += 1
            for name, value in zip(("ngrams", "length", "share"), measured, strict=True):
                row[name] = max(row[name], value)
        yield table


def _with_later_outcome(part: PartMatches) -> pa.Table:
    """The matches of a part; of pages that a later step dropped, with its reason."""
    table = pq.read_table(part.matches, schema=MATCHES_SCHEMA)
    outcomes = {where: outcome for path in part.later for where, outcome in _later_outcomes(path, table["id"])}
    if not outcomes:
        return table
    rows: list[dict[str, Any]] = table.to_pylist()
    changed = [{**row, **outcomes.get(_where(row), {})} if row["outcome"] == "kept" else row for row in rows]
    return pa.Table.from_pylist(changed, MATCHES_SCHEMA)


def _later_outcomes(path: Path, ids: pa.ChunkedArray) -> Iterator[tuple[tuple[Any, ...], dict[str, str | None]]]:
    """What became of the pages of a file of `dropped` or `quarantine` that are among `ids`."""
    dropped = "reason" in pq.read_schema(path).names
    columns = [*_WHERE, *(("step", "stage", "reason") if dropped else ())]
    for row in pq.read_table(path, columns=columns, filters=pc.field("id").isin(ids.unique())).to_pylist():
        reason = f"{row['step']}.{row['stage']}.{row['reason']}" if dropped else None
        yield _where(row), {"outcome": "dropped" if dropped else "quarantined", "reason": reason}


def _where(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _WHERE)


def remove_pages(out: Path, target: Path, removed: Mapping[str, str]) -> None:
    """Write to `target` the contamination of the run `out` without pages that were taken out of it.

    Args:
        out: a finished run, which may have none.
        target: the new run folder.
        removed: ids of pages -> reason, as `step.stage.reason`.
    """
    if not (out / FOLDER).is_dir():
        return
    start = time.process_time()
    items = {(row["benchmark"], row["item"]): {**row, **dict.fromkeys(("kept", "dropped", "ngrams", "length"), 0)}
             for row in pq.read_table(out / ITEMS).to_pylist()}  # fmt: skip
    with pq.ParquetFile(out / MATCHES) as source:
        write(target, (_without(batch, removed) for batch in source.iter_batches()), items, start)


def _without(batch: pa.RecordBatch, removed: Mapping[str, str]) -> pa.Table:
    rows = [
        {**row, "outcome": "dropped", "reason": removed[row["id"]]}
        if row["outcome"] == "kept" and row["id"] in removed
        else row
        for row in batch.to_pylist()
    ]
    return pa.Table.from_pylist(rows, MATCHES_SCHEMA)
