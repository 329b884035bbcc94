"""Step 3b, optional: documents without the lines that stand in many documents of their domain.

documents -> lines          one task per group of parts: (domain, line) keys as sorted runs
lines -> repeats            one task per range of keys: which stand in enough documents, and where first
documents + repeats -> documents, dropped      one task per part

Nothing that comes out depends on how documents are grouped, on the number of tasks or on the memory they may use.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.dedup import substrings
from pipeline.dedup.lines import LineDedup, distinct_lines, line_keys, scope_of, without_lines
from pipeline.dedup.repeats import Items, Mask
from pipeline.engine.ledger import Commit
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.dedup.step import group_parts
from pipeline.steps.registry import step
from pipeline.steps.text_dedup import phases
from pipeline.steps.text_dedup.phases import Edit, Group, RunWriter, TextTask

STEP = step("line_dedup")
ITEMS, REPEATS = f"{STEP.name}-lines", f"{STEP.name}-repeats"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinesTask:
    """One group of parts."""

    key: str
    out: Path
    group: Group
    config: LineDedup
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WithoutLinesTask:
    """One part."""

    key: str
    text: TextTask
    config: LineDedup
    repeats: tuple[Path, ...]


def run(context: Context, parts: Sequence[Part], config: LineDedup, signals: pa.DataType) -> Commits:
    """The commits of the step, one per part; `signals` is the type of those of the documents it writes."""
    substrings.prepare()
    out = context.out
    memory = context.settings.task_memory
    groups = [Group(number=number, parts=found) for number, found in enumerate(group_parts(parts))]
    tasks = [LinesTask(key=group.key, out=out, group=group, config=config, memory=memory) for group in groups]
    stored = context.run(ITEMS, store_lines, tasks)
    repeats_tasks = phases.repeats_tasks(out, REPEATS, stored, len(groups), config.min_documents, memory)
    repeats = phases.files_of(out, context.run(REPEATS, phases.find_repeats, repeats_tasks))
    return context.run(STEP.name, take_out_lines, [
        WithoutLinesTask(
            key=part.key, config=config, repeats=repeats,
            text=TextTask(key=part.key, out=out, step=STEP.name, stage=STEP.stage, part=part, group=group.number,
                          first_row=first_row, signals=signals, memory=memory, names=STEP.signals,
                          min_words=config.min_document_words, dropped_text=context.settings.dropped_text),
        )
        for group in groups
        for part, first_row in zip(group.parts, group.first_rows(), strict=True)
    ])  # fmt: skip


def store_lines(task: LinesTask) -> Commit:
    """Write the lines of a group as runs of keys."""
    writer = RunWriter(task.out, ITEMS, task.key, task.memory)
    for part, first_row in zip(task.group.parts, task.group.first_rows(), strict=True):
        for items in _lines(part, task.group.number << 32 | first_row, task.config):
            writer.add(items)
    return writer.commit()


def take_out_lines(task: WithoutLinesTask) -> Commit:
    """Write a part without its repeated lines."""
    start = time.process_time()
    text, config = task.text, task.config
    items = _lines(text.part, text.group << 32 | text.first_row, config)
    marked = phases.mark_repeats(items, task.repeats, text, keep_first=config.keep == "first")
    repeated = np.concatenate([mask for _, mask in marked])
    return phases.write_part(text, dict(_edits(text.part, repeated, config)), start)


def _lines(part: Part, place: int, config: LineDedup) -> Iterator[Items]:
    """The lines of a part as items, each once for a document that has it."""
    for batch in phases.read_batches(part):
        keys = [
            line_keys(distinct_lines(text, config), scope_of(url, config))
            for text, url in zip(batch.texts, batch.urls, strict=True)
        ]
        yield phases.items_of(batch, range(len(keys)), keys, None, place)


def _edits(part: Part, repeated: Mask, config: LineDedup) -> Iterator[tuple[int, Edit]]:
    """The documents with lines to remove; `repeated` has an entry for every distinct line, in order."""
    at = 0
    for batch in phases.read_batches(part):
        for row, text in enumerate(batch.texts, batch.row):
            lines = distinct_lines(text, config)
            removed = {lines[number] for number in np.flatnonzero(repeated[at : at + len(lines)]).tolist()}
            at += len(lines)
            if removed:
                rest, count = without_lines(text, removed)
                words = 0 if config.min_document_words is None else substrings.count_words(rest)
                yield row, Edit(rest, words, (count,))
