"""The end of step 3: what the verdicts on clusters do to one part of documents."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.choose import read_verdicts
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.context import Part
from pipeline.steps.parts import PartFiles
from pipeline.steps.registry import DEDUP
from pipeline.steps.tables import DROPPED_SCHEMA, document_schema
from pipeline.storage.files import FileInfo, link_or_copy, write_table

EXACT, NEAR = "exact_duplicate", "near_duplicate"
PREVIOUS_RUNS = "previous_runs"
"""The stage in `dropped` of documents that a previous run has."""
READ_ROWS = 1024
Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RemoveTask:
    """One part of step 2."""

    key: str
    out: Path
    part: Part
    group: int
    """The group of parts it belongs to."""
    first_row: int
    """Documents of the group that lie in the parts before it."""
    verdicts: tuple[Path, ...]
    overlaps: Path | None
    """How similar the group's documents are to those of previous runs that they go for (matches.py)."""
    signals: pa.DataType
    remove: bool
    """False keeps every member of a cluster."""
    dropped_text: bool

    @property
    def files(self) -> PartFiles:
        """Where the part goes."""
        return PartFiles(step=DEDUP.name, key=self.key, documents=DEDUP.folder, schema=document_schema(self.signals))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeepTask:
    """One part of step 2 that stays as it is."""

    key: str
    out: Path
    part: Part


def remove_duplicates(task: RemoveTask) -> Commit:
    """Write the part's survivors, with their cluster sizes, and what was dropped; commit."""
    start = time.process_time()
    dropped: list[pa.Table] = [DROPPED_SCHEMA.empty_table()]
    numbers = {"kept": 0, "entered": 0, "represented": 0, "matched": 0, "clusters": 0}
    documents = task.files.name(DEDUP.folder)
    info = write_table(task.out / documents, _survivors(task, dropped, numbers), schema=task.files.schema)
    entries = [_entry(documents, info, numbers["kept"])]
    removed = pa.concat_tables(dropped)
    if len(removed):
        name = task.files.name("dropped")
        entries.append(_entry(name, write_table(task.out / name, removed), len(removed)))
    counts = {**numbers, "read": numbers["kept"] + len(removed), "dropped": len(removed), "quarantined": 0}
    for row in removed.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist():
        counts[f"dropped.{row['stage']}.{row['reason']}"] = row["count_all"]
    if counts["read"] != task.part.rows:
        raise IntegrityError(f"{DEDUP.name} {task.key}: {task.part.rows} documents went in, {counts['read']} came out")
    seconds = {"total": round(time.process_time() - start, 6)}
    commit = Commit(key=task.key, files=tuple(entries), counts=dict(sorted(counts.items())), seconds=seconds)
    return Ledger(task.out, DEDUP.name).commit(commit)


def keep_part(task: KeepTask) -> Commit:
    """Pass a part on as it is, under a second name of the same file, and commit."""
    name, rows, entry = f"{DEDUP.folder}/part-{task.key}.parquet", task.part.rows, task.part.file
    assert entry is not None, f"{task.part.path}: no commit names it"
    link_or_copy(task.part.path, task.out / name)
    counts = {"read": rows, "kept": rows, "dropped": 0, "quarantined": 0}
    commit = Commit(key=task.key, files=(dataclasses.replace(entry, path=name),), counts=counts)
    return Ledger(task.out, DEDUP.name).commit(commit)


def _survivors(task: RemoveTask, dropped: list[pa.Table], numbers: dict[str, int]) -> Iterator[pa.Table]:
    """The documents that stay, batch by batch; the others go to `dropped`, and what is counted to `numbers`."""
    verdicts = _with_overlaps(read_verdicts(task.verdicts, task.group), task.overlaps)
    rows = verdicts["row"].to_numpy().astype(np.int64) - task.first_row
    first = 0
    with pq.ParquetFile(task.part.path) as source:
        for batch in source.iter_batches(READ_ROWS):
            table = pa.Table.from_batches([batch])
            low, high = np.searchsorted(rows, [first, first + len(table)]).tolist()
            kept, removed = _apply(table, rows[low:high] - first, verdicts.slice(low, high - low), task)
            dropped.append(removed)
            numbers["kept"] += len(kept)
            numbers["entered"] += int(table["cluster_size"].to_numpy().sum())
            sizes = (kept if task.remove else table)["cluster_size"].to_numpy()
            numbers["represented"] += int(sizes.sum())
            matched = np.zeros(len(table), np.bool_)
            matched[rows[low:high] - first] = verdicts["old"].slice(low, high - low).is_valid().to_numpy()
            numbers["matched"] += int(table["cluster_size"].to_numpy()[matched].sum())
            numbers["clusters"] += pc.sum(pc.equal(kept["cluster_id"], kept["id"])).as_py() or 0
            first += len(table)
            yield kept.select(task.files.schema.names).cast(task.files.schema)


def _with_overlaps(verdicts: pa.Table, overlaps: Path | None) -> pa.Table:
    """The verdicts with `overlap`, `match_url` and `match_run`, null for documents that go for none of another run."""
    found = {"overlap": pa.nulls(len(verdicts), pa.float64()), "match_url": pa.nulls(len(verdicts), pa.string()),
             "match_run": pa.nulls(len(verdicts), pa.string())}  # fmt: skip
    if overlaps is not None:
        with pa.memory_map(str(overlaps)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all()
        at = pc.index_in(verdicts["row"], value_set=table["row"].combine_chunks())
        for name, column in zip(found, ("jaccard", "url", "run"), strict=True):
            found[name] = table[column].take(at)
    for name, values in found.items():
        verdicts = verdicts.append_column(name, values)
    return verdicts


def _apply(table: pa.Table, rows: Rows, verdicts: pa.Table, task: RemoveTask) -> tuple[pa.Table, pa.Table]:
    """(survivors, dropped) of a table whose rows at `rows` have verdicts."""
    is_kept = verdicts["kept"].is_null().to_numpy()
    stays = is_kept if task.remove else np.ones(len(rows), np.bool_)
    sizes = table["cluster_size"].to_numpy().copy()
    sizes[rows[stays]] = verdicts["cluster_size"].to_numpy()[stays]
    # A page with exact copies that were never extracted (`payload_digest`) stands for them, duplicates or not.
    names = np.full(len(table), None, object)
    copied = table["cluster_size"].to_numpy() > 1
    names[copied] = table["id"].to_numpy()[copied]
    names[rows] = np.where(is_kept, table["id"].take(pa.array(rows)).to_numpy(), verdicts["kept"].to_numpy())
    columns = {"cluster_size": pa.array(sizes, pa.int32()), "cluster_id": pa.array(names, pa.string())}
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    survives = np.ones(len(table), np.bool_)
    survives[rows[~stays]] = False
    removed = table.take(pa.array(rows[~stays]))
    return table.filter(pa.array(survives)), _dropped(removed, verdicts.filter(pa.array(~stays)), task.dropped_text)


def _dropped(documents: pa.Table, verdicts: pa.Table, dropped_text: bool) -> pa.Table:
    """Rows of `dropped`: the kept document is the detail, the similarity with it the value."""
    old = verdicts["old"].is_valid()
    columns = {name: documents[name] for name in ("id", "url", "warc_path", "warc_offset")}
    columns |= {
        "step": pa.repeat(DEDUP.name, len(documents)),
        "stage": pc.if_else(old, PREVIOUS_RUNS, pc.if_else(verdicts["same_text"], "exact", "minhash")),
        "reason": pc.if_else(verdicts["same_text"], EXACT, NEAR),
        "value": pc.if_else(old, verdicts["overlap"], verdicts["jaccard"].cast(pa.float64())),
        "limit": pa.nulls(len(documents)),
        "detail": verdicts["kept"],
        "text": documents["text"] if dropped_text else pa.nulls(len(documents)),
        "estimate": pc.if_else(old, verdicts["jaccard"], verdicts["estimate"]),
        "match_url": verdicts["match_url"],
        "match_run": verdicts["match_run"],
    }
    return pa.table(columns).cast(DROPPED_SCHEMA)


def _entry(name: str, info: FileInfo, rows: int) -> FileEntry:
    return FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=rows)
