"""Step 3, after the verdicts, where a run is compared with earlier ones: what exactly each of their documents matched.

verdicts + documents -> matches        one task per group: who goes for a previous run's document, and its shingles
matches + OLD/documents -> matched     one task per group of a previous run: the shingles and addresses of those
matches + matched -> overlaps          one task per group: the exact Jaccard similarity of every such pair

Texts are read part by part, in order, on either side; what is read in any order are the shingles on disk.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.choose import read_verdicts
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.shingle_sets import SetFiles, jaccards, write_sets
from pipeline.dedup.shingles import U64, Shingled
from pipeline.dedup.signing import shingled
from pipeline.dedup.sorted_runs import StoredRun, grouped, run_arrays
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.committing import commit_file, cpu_seconds_since, publish
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.registry import DEDUP

MATCHES, MATCHED, OVERLAPS = (f"{DEDUP.name}-{name}" for name in ("matches", "matched", "overlaps"))
READ_ROWS = 256
OVERLAP_SCHEMA = pa.schema(
    [("row", pa.uint32()), ("jaccard", pa.float64()), ("url", pa.string()), ("run", pa.string())]
)
"""One row for every document of a group that goes for one of a previous run, ascending."""
_LOW = np.uint64(0xFFFFFFFF)
Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PreviousRunGroup:
    """Documents of a previous run, and their signatures."""

    run: str
    """The run folder, as given."""
    signature: Path
    """An index file (dedup/signature_index.py)."""
    parts: tuple[Part, ...]
    """Of its OUT/documents, whose rows are the signature's."""
    sha256: tuple[str, ...]
    """Of the signature, then of each part, as they were committed."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MatchTask:
    """One group of parts."""

    key: str
    out: Path
    group: int
    parts: tuple[Part, ...]
    verdicts: tuple[Path, ...]
    config: DedupConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MatchedTask:
    """One group of a previous run."""

    key: str
    out: Path
    number: int
    """Among those of all previous runs."""
    parts: tuple[Part, ...]
    matches: tuple[Path, ...]
    config: DedupConfig
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OverlapTask:
    """One group of parts."""

    key: str
    out: Path
    group: int
    groups: int
    matches: Path
    sets: tuple[SetFiles, ...]
    """Of each group, then of each of previous runs."""
    addresses: tuple[Path, ...]
    """Of each group of previous runs."""
    runs: tuple[str, ...]
    """Its run folder."""
    memory: int


def find_overlaps(
    context: Context, groups: Sequence[tuple[Part, ...]], previous: Sequence[PreviousRunGroup],
    verdicts: tuple[Path, ...], config: DedupConfig, memory: int,
) -> tuple[Path, ...]:  # fmt: skip
    """Files of OVERLAP_SCHEMA, one for each group."""
    out = context.out
    match_tasks = [
        MatchTask(key=f"{number:06d}", out=out, group=number, parts=parts, verdicts=verdicts, config=config)
        for number, parts in enumerate(groups)
    ]
    match_commits = context.run(MATCHES, find_matches, match_tasks)
    matches = _files(out, match_commits, 2)
    matched_tasks = [
        MatchedTask(key=f"{number:06d}", out=out, number=number, parts=group.parts, matches=matches, config=config,
                    memory=memory)
        for number, group in enumerate(previous)
    ]  # fmt: skip
    matched_commits = context.run(MATCHED, find_matched, matched_tasks)
    overlap_tasks = [
        OverlapTask(key=f"{number:06d}", out=out, group=number, groups=len(groups), matches=matches[number],
                    sets=(*_sets(out, match_commits), *_sets(out, matched_commits)),
                    addresses=_files(out, matched_commits, 2), runs=tuple(group.run for group in previous),
                    memory=memory)
        for number in range(len(groups))
    ]  # fmt: skip
    return _files(out, context.run(OVERLAPS, measure_overlaps, overlap_tasks), 0)


def find_matches(task: MatchTask) -> Commit:
    """Write which documents of a group go for one of a previous run, and the shingles of those."""
    start = time.process_time()
    verdicts = read_verdicts(task.verdicts, task.group)
    verdicts = verdicts.filter(verdicts["old"].is_valid())
    rows, old = verdicts["row"].to_numpy().astype(np.uint64), verdicts["old"].to_numpy()
    # Only pairs whose texts differ are compared: what is exact has similarity 1.
    near = ~verdicts["same_text"].to_numpy()
    entries = _write_sets(task.out, f"steps/{MATCHES}/files/{task.key}", rows[near].astype(np.int64),
                          functools.partial(_shingled, task.parts, task.config))  # fmt: skip
    arrays = run_arrays("match", old, rows) | {"row": rows, "old": old, "near": near.astype(np.uint8)}
    name = f"steps/{MATCHES}/files/{task.key}.matches"
    entries.append(publish(task.out, name, lambda path: write_arrays(path, arrays)))
    return _commit(task.out, MATCHES, task.key, entries, start, len(rows))


def find_matched(task: MatchedTask) -> Commit:
    """Write the shingles and addresses of the documents of a previous run's group that any document goes for."""
    start = time.process_time()
    runs = [StoredRun(ArrayFile(path), "match", 0) for path in task.matches]
    low, high = task.number << 32, (task.number + 1) << 32
    found = [np.unique(block.keys) for block in grouped(runs, low, high, task.memory // 2)]
    rows = (np.unique(np.concatenate([np.empty(0, np.uint64), *found])) & _LOW).astype(np.int64)
    name = f"steps/{MATCHED}/files/{task.key}"
    entries = _write_sets(task.out, name, rows, functools.partial(_shingled, task.parts, task.config))
    entries.append(publish(task.out, f"{name}.addresses", lambda path: _write_addresses(path, task.parts, rows)))
    return _commit(task.out, MATCHED, task.key, entries, start, len(rows))


def measure_overlaps(task: OverlapTask) -> Commit:
    """Write how similar the documents of a group are to those of previous runs that they go for."""
    start = time.process_time()
    matches = ArrayFile(task.matches)
    rows, old, near = matches.read("row"), matches.read("old"), matches.read("near").astype(np.bool_)
    similar = np.ones(len(rows))
    new_keys = rows | np.uint64(task.group << 32)
    old_keys = old + np.uint64(task.groups << 32)
    similar[near] = jaccards(task.sets, new_keys[near], old_keys[near], task.memory // 2)
    old_groups = (old >> np.uint64(32)).astype(np.int64)
    urls = np.full(len(rows), None, object)
    for group in np.unique(old_groups).tolist():
        at = np.flatnonzero(old_groups == group)
        urls[at] = _addresses(task.addresses[group], old[at] & _LOW)
    names = [task.runs[group] for group in old_groups.tolist()]
    columns = [rows.astype(np.uint32), similar, pa.array(urls, pa.string()), pa.array(names, pa.string())]
    table = pa.table(dict(zip(OVERLAP_SCHEMA.names, columns, strict=True)), OVERLAP_SCHEMA)
    return commit_file(task.out, OVERLAPS, task.key, lambda path: _write_ipc(path, table), start,
                       {"overlaps": len(rows)})  # fmt: skip


def read_overlaps(path: Path) -> pa.Table:
    """The overlaps of a group, by row."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


def _write_sets(out: Path, name: str, rows: Rows, batches: Callable[[Rows], Iterator[Shingled]]) -> list[FileEntry]:
    """Publish the sets of the documents at `rows`: the index, and the shingles."""
    offsets = np.zeros(1, np.int64)

    def write(path: Path) -> None:
        nonlocal offsets
        offsets = write_sets(batches(rows), path)

    def write_index(path: Path) -> None:
        each = np.arange(len(rows), dtype=np.uint32)
        write_arrays(path, {"row": rows.astype(np.uint32), "set": each, "offsets": offsets})

    shingles = publish(out, f"{name}.shingles", write)
    return [publish(out, f"{name}.index", write_index), shingles]


def _shingled(parts: Sequence[Part], config: DedupConfig, rows: Rows) -> Iterator[Shingled]:
    for table in _rows_of(parts, rows, ["text"]):
        yield shingled(table["text"].to_pylist(), config)


def _rows_of(parts: Sequence[Part], rows: Rows, columns: list[str]) -> Iterator[pa.Table]:
    """The documents at `rows`, which ascend, of the parts together; row groups without any are not read."""
    first = 0
    for part in parts:
        with pq.ParquetFile(part.path) as source:
            for number in range(source.metadata.num_row_groups):
                size = source.metadata.row_group(number).num_rows
                low, high = np.searchsorted(rows, [first, first + size]).tolist()
                if low < high:
                    yield from _rows_in(source, number, rows[low:high] - first, columns)
                first += size


def _rows_in(source: pq.ParquetFile, number: int, rows: Rows, columns: list[str]) -> Iterator[pa.Table]:
    first = 0
    for batch in source.iter_batches(READ_ROWS, row_groups=[number], columns=columns):
        low, high = np.searchsorted(rows, [first, first + len(batch)]).tolist()
        if low < high:
            yield pa.Table.from_batches([batch]).take(pa.array(rows[low:high] - first))
        first += len(batch)


def _write_addresses(path: Path, parts: Sequence[Part], rows: Rows) -> None:
    tables = [pa.table({"url": pa.array([], pa.string())}), *_rows_of(parts, rows, ["url"])]
    urls = pa.concat_tables(tables)
    _write_ipc(path, urls.append_column("row", pa.array(rows.astype(np.uint32))))


def _addresses(path: Path, rows: U64) -> list[str]:
    table = read_overlaps(path)
    at = np.searchsorted(table["row"].to_numpy(), rows.astype(np.uint32))
    urls: list[str] = table["url"].take(pa.array(at)).to_pylist()
    return urls


def _write_ipc(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _sets(out: Path, commits: Commits) -> tuple[SetFiles, ...]:
    """Of every task that published sets."""
    return tuple(SetFiles(index=out / commit.files[0].path, shingles=out / commit.files[1].path)
                 for commit in commits.values())  # fmt: skip


def _files(out: Path, commits: Commits, number: int) -> tuple[Path, ...]:
    return tuple(out / commit.files[number].path for commit in commits.values())


def _commit(out: Path, step: str, key: str, entries: list[FileEntry], start: float, documents: int) -> Commit:
    commit = Commit(key=key, files=tuple(entries), counts={"documents": documents}, seconds=cpu_seconds_since(start))
    return Ledger(out, step).commit(commit)
