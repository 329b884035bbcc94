"""What the steps share that look for repeated text in documents and take it out of them (line and substring dedup).

documents -> items of groups of parts     the step's own: what may repeat, as runs on disk
runs -> repeats                           one task per range of keys (dedup/repeats.py)
documents + repeats -> documents          one task per part: `write_part`
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.keep import order_by_date
from pipeline.dedup.repeats import (
    MEMORY_BYTES,
    Items,
    Mask,
    combined,
    concatenate,
    repeated_elsewhere,
    write_repeats,
    write_run,
)
from pipeline.dedup.shingles import U64
from pipeline.document import Drop
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.columns import to_table
from pipeline.steps.context import Commits, Part
from pipeline.steps.parts import PartFiles
from pipeline.steps.tables import DROPPED_SCHEMA, DocumentRow, DroppedRow, document_schema, dropped_row, place_of
from pipeline.storage.files import write_atomic, write_table

READ_ROWS, WRITE_ROWS = 256, 1024
TOO_SHORT = "too_few_words"
MIN_RUN = 1 << 12
"""Items in a run at least, however little memory there is."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Consecutive parts."""

    number: int
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Of its task."""
        return f"{self.number:06d}"

    def first_rows(self) -> list[int]:
        """Documents of the group that lie before each part."""
        rows = [part.rows for part in self.parts]
        return [sum(rows[:number]) for number in range(len(rows))]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Some documents of a part; every list has one entry for each."""

    row: int
    """Of the first one, within its part."""
    texts: list[str]
    urls: list[str]
    order: U64
    """Smaller comes first: the date."""
    tie: U64
    """Decides between equal dates: a hash of the id."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RepeatsTask:
    """One range of keys."""

    key: str
    out: Path
    step: str
    runs: tuple[tuple[int, Path], ...]
    partition: int
    partitions: int
    groups: int
    least: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextTask:
    """One part, and how it is written; the step's own tasks hold one."""

    key: str
    out: Path
    step: str
    stage: str
    """What `dropped` and `signals` call what was done."""
    part: Part
    group: int
    first_row: int
    """Documents of the group that lie in the parts before it."""
    signals: pa.DataType
    """Of the documents written."""
    memory: int
    names: tuple[str, ...]
    """Of this step's signals; the last one counts the characters taken out."""
    min_words: int | None
    dropped_text: bool

    @property
    def files(self) -> PartFiles:
        """Where the part goes."""
        folder = f"steps/{self.step}/documents"
        return PartFiles(step=self.step, key=self.key, documents=folder, schema=document_schema(self.signals))


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """A document that lost something."""

    text: str
    """What is left."""
    words: int
    """Words left, where they count."""
    values: tuple[float, ...]
    """Of this step's signals, without the characters."""


def read_batches(part: Part) -> Iterator[Batch]:
    """The documents of a part, in order."""
    row = 0
    with pq.ParquetFile(part.path) as source:
        for batch in source.iter_batches(READ_ROWS, columns=["id", "url", "date", "text"]):
            ties = [blake2b(name.encode(), digest_size=8).digest() for name in batch["id"].to_pylist()]
            dates = order_by_date(batch["date"].to_numpy(zero_copy_only=False))
            texts, urls = batch["text"].to_pylist(), [url or "" for url in batch["url"].to_pylist()]
            yield Batch(row, texts, urls, dates, np.frombuffer(b"".join(ties), "<u8"))
            row += len(batch)


def items_of(
    batch: Batch, rows: Sequence[int], keys: Sequence[U64], at: Sequence[npt.NDArray[Any]] | None, place: int
) -> Items:  # fmt: skip
    """Items of some documents of a batch.

    Args:
        batch: the documents.
        rows: which of them; one may come several times.
        keys: 128-bit keys of items of each, shape (items, 2).
        at: their places in the document, if they count.
        place: of the part's first document (group << 32 | row in the group).
    """
    both = np.concatenate([np.empty((0, 2), np.uint64), *keys])
    owner = np.repeat(np.array(rows, np.int64), [len(found) for found in keys])
    within = np.zeros(len(both), np.uint32) if at is None else np.concatenate([np.empty(0, np.uint32), *at])
    order, tie, places = batch.order[owner], batch.tie[owner], owner.astype(np.uint64) + np.uint64(place + batch.row)
    ones = np.ones(len(both), np.uint32)
    return Items(both[:, 0].copy(), both[:, 1].copy(), order, tie, places, within.astype(np.uint32), ones)


def mark_repeats(
    items: Iterable[Items], files: Sequence[Path], task: "TextTask", *, keep_first: bool, apart: int | None = None
) -> Iterator[tuple[Items, Mask]]:
    """The items of a part in blocks that the memory of the task can hold, and which of them are repeated elsewhere.

    The group's repeats are read once for every block; most parts have one.
    """
    max_items, buffer = max(MIN_RUN, task.memory // MEMORY_BYTES), list[Items]()
    for batch in items:
        if buffer and sum(map(len, buffer)) + len(batch) > max_items:
            block = concatenate(buffer)
            yield block, repeated_elsewhere(files, task.group, block, keep_first=keep_first, apart=apart)
            buffer = []
        buffer.append(batch)
    block = concatenate(buffer)
    yield block, repeated_elsewhere(files, task.group, block, keep_first=keep_first, apart=apart)


class RunWriter:
    """Collects the items of a group and publishes them as sorted runs, one whenever the memory is used up."""

    def __init__(self, out: Path, step: str, key: str, memory: int) -> None:
        self._out, self._step, self._key = out, step, key
        self._most = max(MIN_RUN, memory // MEMORY_BYTES)
        self._parts: list[Items] = []
        self._size = 0
        self._entries: list[FileEntry] = []
        self._start = time.process_time()
        self.counts = {"items": 0, "rows": 0}

    def add(self, items: Items) -> None:
        """Take items in."""
        self._parts.append(items)
        self._size += len(items)
        if self._size >= self._most:
            self._flush()

    def commit(self) -> Commit:
        """Write what is left, and commit."""
        self._flush()
        return commit_files(self._out, self._step, self._key, self._entries, self._start, self.counts)

    def _flush(self) -> None:
        if not self._size:
            return
        items = combined(concatenate(self._parts))
        self.counts = {"items": self.counts["items"] + self._size, "rows": self.counts["rows"] + len(items)}
        self._parts, self._size = [], 0
        name = run_name(self._step, self._key, len(self._entries))
        self._entries.append(publish(self._out, name, lambda path: write_run(path, items), len(items)))


def run_name(step: str, key: str, number: int) -> str:
    """Path of a task's `number`-th file, relative to OUT."""
    return f"steps/{step}/files/{key}-{number:03d}"


def publish(out: Path, name: str, write: Callable[[Path], object], rows: int | None = None) -> FileEntry:
    """Write a file of the run folder."""
    info = write_atomic(out / name, write)
    return FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=rows)


def commit_files(
    out: Path, step: str, key: str, entries: Sequence[FileEntry], start: float, counts: Mapping[str, int]
) -> Commit:
    """Commit a task that began at the CPU time `start`."""
    seconds = {"total": round(time.process_time() - start, 6)}
    return Ledger(out, step).commit(Commit(key=key, files=tuple(entries), counts=counts, seconds=seconds))


def runs_of(out: Path, commits: Commits) -> tuple[tuple[int, Path], ...]:
    """(group, run) of every file that the tasks of groups committed."""
    return tuple((int(key), out / entry.path) for key, commit in commits.items() for entry in commit.files)


def repeats_tasks(
    out: Path, step: str, commits: Commits, groups: int, least: int, memory: int
) -> list[RepeatsTask]:  # fmt: skip
    """Tasks that together cover all keys of the runs in `commits`."""
    rows = sum(commit.counts["rows"] for commit in commits.values())
    partitions = max(1, -(-rows * MEMORY_BYTES // memory))
    return [
        RepeatsTask(key=f"{number:05d}-of-{partitions}", out=out, step=step, runs=runs_of(out, commits),
                    partition=number, partitions=partitions, groups=groups, least=least)
        for number in range(partitions)
    ]  # fmt: skip


def find_repeats(task: RepeatsTask) -> Commit:
    """Write the repeated keys of a range."""
    start = time.process_time()
    counts = {"repeated": 0}

    def write(path: Path) -> None:
        counts["repeated"] = write_repeats(task.runs, task.partition, task.partitions, task.groups, task.least, path)

    entry = publish(task.out, run_name(task.step, task.key, 0), write)
    return commit_files(task.out, task.step, task.key, [entry], start, counts)


def files_of(out: Path, commits: Commits) -> tuple[Path, ...]:
    """The one file of each commit."""
    return tuple(out / commit.files[0].path for commit in commits.values())


def write_part(task: TextTask, edits: Mapping[int, Edit], start: float) -> Commit:
    """Write a part with the edits of some of its rows; documents that become too short are dropped; commit.

    Raises:
        IntegrityError: documents or characters do not add up.
    """
    counts = dict.fromkeys(("read", "kept", "dropped", "quarantined", "changed"), 0)
    counts |= dict.fromkeys((f"characters_{what}" for what in ("read", "kept", "removed", "dropped")), 0)
    counts |= dict.fromkeys((f"{name}_removed" for name in task.names[:-1]), 0)
    gone: list[DroppedRow] = []
    name = task.files.name(task.files.documents)
    info = write_table(task.out / name, _edited(task, edits, counts, gone), schema=task.files.schema)
    entries = [FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=counts["kept"])]
    if gone:
        dropped = task.files.name("dropped")
        info = write_table(task.out / dropped, to_table(gone, DROPPED_SCHEMA))
        entries.append(FileEntry(path=dropped, bytes=info.bytes, sha256=info.sha256, rows=len(gone)))
        counts[f"dropped.{task.stage}.{gone[0]['reason']}"] = counts["dropped"] = len(gone)
    _check(task, counts)
    return commit_files(task.out, task.step, task.key, entries, start, dict(sorted(counts.items())))


def _check(task: TextTask, counts: Mapping[str, int]) -> None:
    if not counts["read"] == task.part.rows == counts["kept"] + counts["dropped"]:
        raise IntegrityError(f"{task.step} {task.key}: {task.part.rows} documents went in, the counts are {counts}")
    after = sum(counts[f"characters_{what}"] for what in ("kept", "removed", "dropped"))
    if counts["characters_read"] != after:
        raise IntegrityError(f"{task.step} {task.key}: characters do not add up: {counts}")


def _edited(
    task: TextTask, edits: Mapping[int, Edit], counts: dict[str, int], gone: list[DroppedRow]
) -> Iterator[pa.Table]:
    """The documents that stay, batch by batch; the others go to `gone`, and what is counted to `counts`."""
    row = 0
    with pq.ParquetFile(task.part.path) as source:
        for batch in source.iter_batches(WRITE_ROWS):
            table = pa.Table.from_batches([batch])
            here = {at - row: edits[at] for at in range(row, row + len(table)) if at in edits}
            short = {at for at, edit in here.items() if task.min_words is not None and edit.words < task.min_words}
            before = pc.utf8_length(table["text"]).to_pylist()
            changed = _with_edits(task, table, here, before)
            stays = np.array([at not in short for at in range(len(table))])
            gone += [_row(task, table.slice(at, 1).to_pylist()[0], here[at], before[at]) for at in sorted(short)]
            kept = changed.filter(pa.array(stays))
            _count(task, counts, here, short, before, kept)
            row += len(table)
            yield kept.select(task.files.schema.names).cast(task.files.schema)


def _with_edits(task: TextTask, table: pa.Table, edits: Mapping[int, Edit], before: Sequence[int]) -> pa.Table:
    """The table with new texts, and a struct of this step's signals added to the others."""
    texts = table["text"].to_pylist() if edits else None
    values = np.zeros((len(table), len(task.names)))
    for at, edit in edits.items():
        values[at] = (*edit.values, before[at] - len(edit.text))
        texts[at] = edit.text  # type: ignore[index]
    if texts is not None:
        table = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
    own = pa.StructArray.from_arrays([pa.array(column) for column in values.T], names=list(task.names))
    signals = table["signals"].combine_chunks()
    signals = signals.chunk(0) if isinstance(signals, pa.ChunkedArray) else signals
    known = {field.name for field in signals.type}
    children = [
        own if field.name == task.stage
        else pc.struct_field(signals, field.name) if field.name in known
        else pa.nulls(len(table), field.type)
        for field in task.signals
    ]  # fmt: skip
    column = pa.StructArray.from_arrays(children, fields=list(task.signals))
    return table.set_column(table.schema.get_field_index("signals"), "signals", column)


def _row(task: TextTask, document: DocumentRow, edit: Edit, before: int) -> DroppedRow:
    """The row of `dropped` of a document that became too short."""
    removed = ", ".join(f"{value:,.0f} {name}" for name, value in zip(task.names, edit.values, strict=False))
    detail = f"{removed}, {before - len(edit.text):,} of {before:,} characters removed"
    drop = Drop(TOO_SHORT, edit.words, task.min_words, detail)
    text = document["text"] if task.dropped_text else None
    return dropped_row(place_of(document), task.step, task.stage, drop, text)


def _count(
    task: TextTask, counts: dict[str, int], edits: Mapping[int, Edit], short: set[int], before: Sequence[int],
    kept: pa.Table,
) -> None:  # fmt: skip
    lost = {at: edit for at, edit in edits.items() if at not in short}
    counts["read"] += len(before)
    counts["kept"] += len(kept)
    counts["dropped"] += len(short)
    counts["changed"] += len(lost)
    counts["characters_read"] += sum(before)
    counts["characters_kept"] += pc.sum(pc.utf8_length(kept["text"])).as_py() or 0
    counts["characters_removed"] += sum(before[at] - len(edit.text) for at, edit in lost.items())
    counts["characters_dropped"] += sum(before[at] for at in short)
    for number, name in enumerate(task.names[:-1]):
        counts[f"{name}_removed"] += int(sum(edit.values[number] for edit in lost.values()))
