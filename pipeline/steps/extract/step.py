"""Step 1: WARC files (or rows of documents) to documents with text, in one pass over each input.

input -> records -> screen -> stages of `extract` -> steps/extract/documents, dropped, quarantine
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.errors import IntegrityError
from pipeline.contract.run import InputFile
from pipeline.document import Document, Drop, Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit
from pipeline.sources.listing import Input
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from pipeline.steps.context import Commits, Context, StageWork
from pipeline.steps.extract import exact_copies
from pipeline.steps.extract.guarded_reading import watched_items
from pipeline.steps.extract.reading import Position, Reading
from pipeline.steps.failures import counted
from pipeline.steps.parts import Chain, Outcome, PartFiles, PartWriter, open_chain
from pipeline.steps.registry import EXTRACT
from pipeline.steps.tables import document_schema, dropped_row, place, quarantine_row, signals_type

_SCREEN = "screen"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExtractTask:
    """One input file."""

    key: str
    input: Input
    reading: Reading
    screen: Screen
    work: StageWork
    recorded: InputFile | None
    """The input as run.json has it."""
    copies: exact_copies.CopyIndex | None
    """What step 0 found; None where it was not asked."""


def run(
    context: Context, inputs: Sequence[Input], reading: Reading, screen: Screen, stages: tuple[Stage, ...]
) -> Commits:
    """The commits of the step, one per input; a task is called by the number of its input."""
    ranges = exact_copies.run(context, inputs, reading, screen, stages)
    work = context.stage_work(stages)
    recorded = {item.path: item for item in context.inputs}
    tasks = [
        ExtractTask(key=f"{number:05d}", input=item, reading=reading, screen=screen, work=work,
                    recorded=recorded.get(item.path),
                    copies=None if ranges is None else exact_copies.CopyIndex(context.out, number, ranges))
        for number, item in enumerate(inputs)
    ]  # fmt: skip
    return context.run(EXTRACT.name, extract, tasks)


def extract(task: ExtractTask) -> Commit:
    """Do one input file and commit it."""
    work = task.work
    schema = document_schema(signals_type(work.stages))
    writer = PartWriter(work, PartFiles(step=EXTRACT.name, key=task.key, documents=EXTRACT.folder, schema=schema))
    writer.add_all(guarded(pages, task, work.limits, isolate=work.isolate))
    _refuse_changed(task.recorded)
    return writer.publish(notes={"input": task.input.path})


def _refuse_changed(recorded: InputFile | None) -> None:
    """Raise IntegrityError where a local input is not the file any more whose SHA-256 run.json has."""
    if recorded is None or recorded.modified is None:
        return
    status = Path(recorded.path).stat()
    if (status.st_size, status.st_mtime_ns) != (recorded.bytes, recorded.modified):
        raise IntegrityError(f"{recorded.path}: has changed while the build was under way; build into a new --output")


def pages(task: ExtractTask, resume: Position | None, begin: Begin) -> Iterator[tuple[Position, Outcome]]:
    """The PageFunction of this step: one outcome per candidate, and one for the rest of the records."""
    chain = open_chain(EXTRACT.name, task.work)
    copies = _CopyMarker(task, resume or Position(), begin)
    counts: dict[str, int] = {}
    position = Position()
    for position, item in watched_items(task.input, task.reading, task.screen, resume or Position(), begin):
        if isinstance(item, Gap):
            name = f"gaps.{item.cause.partition(':')[0]}"
            counts[name] = counts.get(name, 0) + 1
            continue
        counts["records"] = counts.get("records", 0) + 1
        if item.candidate:
            outcome = _outcome(item, position, task, chain, copies, begin)
            outcome.counts = {**outcome.counts, **counts}
            counts = {}
            yield position, outcome
    yield position, Outcome(counts=counts)


class _CopyMarker:
    """What is known of copies, for one input after another page; nothing, for a config without `payload_digest`."""

    def __init__(self, task: ExtractTask, start: Position, begin: Begin) -> None:
        digest_stage = exact_copies.split_at_digest(task.work.stages)
        self._index = task.copies.read() if task.copies else None
        self._detector = None
        if digest_stage and digest_stage[0].scope == "split":
            self._detector = exact_copies.CopyDetector(task.input, task.reading, task.screen, digest_stage[1])
            # Behind a place that hung or crashed the reader, copies of what lies before it are left to dedup.
            if not begin.reader_failed():
                self._detector.catch_up(start)

    def skip(self, record: Record) -> None:
        """Note a page that is not run: its copies are copies all the same."""
        if self._detector:
            self._detector.add(record)

    def mark(self, doc: Document, record: Record, position: Position) -> Document:
        """The page with what is known of it."""
        if self._index:
            return self._index.mark(doc, position)
        first = self._detector.add(record) if self._detector else None
        return doc.replace(copy_of=first) if first is not None else doc


def _outcome(
    record: Record, position: Position, task: ExtractTask, chain: Chain, copies: _CopyMarker, begin: Begin
) -> Outcome:
    blame = begin()
    if blame:
        copies.skip(record)
        return chain.blamed(place(record), blame)
    if record.fault:
        return Outcome(quarantined=quarantine_row(place(record), EXTRACT.name, "read", record.fault))
    try:
        screened: Any = task.screen(record)
    except Exception as error:  # noqa: BLE001 - bytes of strangers
        return chain.failed(place(record), _SCREEN, error, {})
    if isinstance(screened, Drop):
        row = dropped_row(place(record), EXTRACT.name, _SCREEN, screened)
        outcome = Outcome(dropped=row, counts={f"dropped.{_SCREEN}.{screened.reason}": 1})
    else:
        outcome = chain.run(copies.mark(screened, record, position))
    outcome.counts |= counted([_SCREEN])
    return outcome
