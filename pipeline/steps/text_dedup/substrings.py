"""Step 3c, optional: documents without the runs of words that occur elsewhere in the corpus.

documents -> anchors                 one task per group of parts: hashes that stand for the windows of each text
anchors -> shared anchors            one task per range of hashes: which occur twice anywhere
documents + shared -> windows        one task per group: digests of the windows they stand for, as sorted runs
windows -> repeats                   one task per range of digests: which occur twice, and where first
documents + repeats -> documents, dropped      one task per part

Nothing that comes out depends on how documents are grouped, on the number of tasks or on the memory they may use.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.dedup import anchors
from pipeline.dedup import substrings as cutting
from pipeline.dedup.repeats import Items
from pipeline.dedup.shingles import U64
from pipeline.dedup.substrings import SubstringDedup
from pipeline.engine.ledger import Commit, FileEntry
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.dedup.step import group_parts
from pipeline.steps.registry import step
from pipeline.steps.text_dedup import phases
from pipeline.steps.text_dedup.phases import Batch, Edit, Group, RunWriter, TextTask

STEP = step("substring_dedup")
ANCHORS, SHARED, WINDOWS, REPEATS = (f"{STEP.name}-{name}" for name in ("anchors", "shared", "windows", "repeats"))
MIN_RUN = 1 << 14
"""Hashes in a run of anchors at least."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GroupTask:
    """One group of parts."""

    key: str
    out: Path
    group: Group
    config: SubstringDedup
    shared: tuple[Path, ...]
    """Files of shared anchors; empty while they are still looked for."""
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SharedTask:
    """One range of hashes."""

    key: str
    out: Path
    runs: tuple[tuple[int, Path], ...]
    partition: int
    partitions: int
    groups: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WithoutSpansTask:
    """One part."""

    key: str
    text: TextTask
    config: SubstringDedup
    shared: tuple[Path, ...]
    repeats: tuple[Path, ...]


def run(context: Context, parts: Sequence[Part], config: SubstringDedup, signals: pa.DataType) -> Commits:
    """The commits of the step, one per part; `signals` is the type of those of the documents it writes."""
    cutting.prepare()
    out = context.out
    memory = context.settings.task_memory
    groups = [Group(number=number, parts=found) for number, found in enumerate(group_parts(parts))]
    shared = _shared(context, groups, config, memory)
    tasks = [
        GroupTask(key=group.key, out=out, group=group, config=config, shared=shared, memory=memory) for group in groups
    ]
    stored = context.run(WINDOWS, store_windows, tasks)
    repeats_tasks = phases.repeats_tasks(out, REPEATS, stored, len(groups), 2, memory)
    repeats = phases.files_of(out, context.run(REPEATS, phases.find_repeats, repeats_tasks))
    return context.run(STEP.name, cut_out_spans, [
        WithoutSpansTask(
            key=part.key, config=config, shared=shared, repeats=repeats,
            text=TextTask(key=part.key, out=out, step=STEP.name, stage=STEP.stage, part=part, group=group.number,
                          first_row=first_row, signals=signals, memory=memory, names=STEP.signals,
                          min_words=config.min_document_words, dropped_text=context.settings.dropped_text),
        )
        for group in groups
        for part, first_row in zip(group.parts, group.first_rows(), strict=True)
    ])  # fmt: skip


def _shared(context: Context, groups: Sequence[Group], config: SubstringDedup, memory: int) -> tuple[Path, ...]:
    """The files of anchors that occur twice anywhere."""
    out = context.out
    tasks = [
        GroupTask(key=group.key, out=out, group=group, config=config, shared=(), memory=memory) for group in groups
    ]
    stored = context.run(ANCHORS, store_anchors, tasks)
    rows = sum(commit.counts["rows"] for commit in stored.values())
    partitions = max(1, -(-rows * anchors.MEMORY_BYTES // memory))
    runs = phases.runs_of(out, stored)
    return phases.files_of(out, context.run(SHARED, find_shared, [
        SharedTask(key=f"{number:05d}-of-{partitions}", out=out, runs=runs, partition=number, partitions=partitions,
                   groups=len(groups))
        for number in range(partitions)
    ]))  # fmt: skip


def store_anchors(task: GroupTask) -> Commit:
    """Write the anchors of a group as sorted runs, one whenever the memory is used up."""
    start = time.process_time()
    most = max(MIN_RUN, task.memory // anchors.MEMORY_BYTES)
    entries: list[FileEntry] = []
    found: list[U64] = []

    def flush() -> None:
        hashes = np.concatenate(found)
        name = phases.run_name(ANCHORS, task.key, len(entries))
        entries.append(phases.publish(task.out, name, lambda path: anchors.write_anchor_run(path, hashes), len(hashes)))
        found.clear()

    for part in task.group.parts:
        for batch in phases.read_batches(part):
            found += [cutting.anchors(text, task.config) for text in batch.texts]
            if sum(map(len, found)) >= most:
                flush()
    if any(map(len, found)):
        flush()
    counts = {"rows": sum(entry.rows or 0 for entry in entries)}
    return phases.commit_files(task.out, ANCHORS, task.key, entries, start, counts)


def find_shared(task: SharedTask) -> Commit:
    """Write which anchors of a range occur twice."""
    start = time.process_time()
    counts = {"shared": 0}

    def write(path: Path) -> None:
        counts["shared"] = anchors.write_shared(task.runs, task.partition, task.partitions, task.groups, path)

    entry = phases.publish(task.out, phases.run_name(SHARED, task.key, 0), write)
    return phases.commit_files(task.out, SHARED, task.key, [entry], start, counts)


def store_windows(task: GroupTask) -> Commit:
    """Write the windows of a group that may be repeated as runs of digests."""
    writer = RunWriter(task.out, WINDOWS, task.key, task.memory)
    shared = anchors.read_shared(task.shared, task.group.number)
    for part, first_row in zip(task.group.parts, task.group.first_rows(), strict=True):
        for items in _windows(part, task.group.number << 32 | first_row, task.config, shared):
            writer.add(items)
    return writer.commit()


def cut_out_spans(task: WithoutSpansTask) -> Commit:
    """Write a part without its repeated runs of words."""
    start = time.process_time()
    text, config = task.text, task.config
    place = text.group << 32 | text.first_row
    shared = anchors.read_shared(task.shared, text.group)
    items = _windows(text.part, place, config, shared)
    marked = phases.mark_repeats(
        items, task.repeats, text, keep_first=config.keep == "first", apart=config.min_words
    )  # fmt: skip
    positions = [((block.place[mask] - np.uint64(place)).astype(np.int64), block.at[mask]) for block, mask in marked]
    rows, starts = (np.concatenate(columns) for columns in zip(*positions, strict=True))
    return phases.write_part(text, dict(_edits(text.part, rows, starts, config)), start)


def _windows(part: Part, place: int, config: SubstringDedup, shared: U64) -> Iterator[Items]:
    """The windows of a part whose anchors are shared, as items; about as many at a time as `cutting.windows` gives."""
    for batch in phases.read_batches(part):
        found: list[tuple[int, cutting.Windows]] = []
        size = 0
        for row, text in enumerate(batch.texts):
            for windows in cutting.windows(text, config, shared):
                found.append((row, windows))
                size += len(windows.starts)
                if size >= cutting.BLOCK:
                    yield _items(batch, found, place)
                    found, size = [], 0
        yield _items(batch, found, place)


def _items(batch: Batch, found: Sequence[tuple[int, cutting.Windows]], place: int) -> Items:
    rows, digests, starts = ([row for row, _ in found], [windows.digests for _, windows in found],
                             [windows.starts for _, windows in found])  # fmt: skip
    return phases.items_of(batch, rows, digests, starts, place)


def _edits(
    part: Part, rows: npt.NDArray[np.int64], starts: npt.NDArray[np.uint32], config: SubstringDedup
) -> Iterator[tuple[int, Edit]]:
    """The documents with windows to remove, which begin at the words `starts` of the documents `rows` (ascending)."""
    for batch in phases.read_batches(part):
        low, high = np.searchsorted(rows, [batch.row, batch.row + len(batch.texts)]).tolist()
        for row in np.unique(rows[low:high]).tolist():
            here = starts[low:high][rows[low:high] == row].astype(np.int64)
            cut = cutting.cut_out(batch.texts[row - batch.row], here, config)
            words = 0 if config.min_document_words is None else cutting.count_words(cut.text)
            yield row, Edit(cut.text, words, (cut.spans, cut.words))
