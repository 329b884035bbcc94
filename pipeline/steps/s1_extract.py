"""Step 1: WARC files (or rows of documents) to documents with text, in one pass over each input.

input -> records -> screen -> stages of `extract` -> steps/extract/documents, dropped, quarantine
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.document import Drop, Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit
from pipeline.sources import read_records
from pipeline.sources.listing import Input
from pipeline.sources.record import Gap, Record
from pipeline.sources.rows import Columns
from pipeline.sources.screen import Screen
from pipeline.sources.warc import MAX_BODY
from pipeline.steps.context import Commits, Context, StageWork
from pipeline.steps.parts import Chain, Outcome, PartFiles, PartWriter
from pipeline.steps.tables import document_schema, dropped_row, place, quarantine_row, signals_type
from pipeline.storage.remote import RemoteSettings

STEP = "extract"
FOLDER = f"steps/{STEP}/documents"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How inputs are read."""

    dump: str = ""
    columns: Columns = Columns()
    remote: RemoteSettings = RemoteSettings()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExtractTask:
    """One input file."""

    key: str
    input: Input
    reading: Reading
    screen: Screen
    work: StageWork


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where to go on in an input: some files hold several records at one offset."""

    offset: int = 0
    passed: int = 0
    """Records (and gaps) at that offset that are done."""


def run(
    context: Context, inputs: Sequence[Input], reading: Reading, screen: Screen, stages: tuple[Stage, ...]
) -> Commits:
    """The commits of the step, one per input; a task is called by the number of its input."""
    work = context.stage_work(stages)
    tasks = [
        ExtractTask(key=f"{number:05d}", input=item, reading=reading, screen=screen, work=work)
        for number, item in enumerate(inputs)
    ]
    return context.run(STEP, extract, tasks)


def extract(task: ExtractTask) -> Commit:
    """Do one input file and commit it."""
    work = task.work
    schema = document_schema(signals_type(work.stages))
    writer = PartWriter(work.out, PartFiles(step=STEP, key=task.key, documents=FOLDER, schema=schema))
    for outcome in guarded(pages, task, work.limits, isolate=work.isolate):
        writer.add(outcome)
    return writer.publish(notes={"input": task.input.path})


def pages(task: ExtractTask, resume: Position | None, begin: Begin) -> Iterator[tuple[Position, Outcome]]:
    """The PageFunction of this step: one outcome per candidate, and one for the rest of the records."""
    chain = Chain(STEP, task.work.stages, dropped_text=task.work.dropped_text)
    counts: dict[str, int] = {}
    position = Position()
    for position, item in _items(task, resume or Position()):
        if isinstance(item, Gap):
            name = f"gaps.{item.cause.partition(':')[0]}"
            counts[name] = counts.get(name, 0) + 1
            continue
        counts["records"] = counts.get("records", 0) + 1
        if item.candidate:
            outcome = _outcome(item, task, chain, begin)
            outcome.counts = {**outcome.counts, **counts}
            counts = {}
            yield position, outcome
    yield position, Outcome("counted", counts=counts)


def _items(task: ExtractTask, start: Position) -> Iterator[tuple[Position, Record | Gap]]:
    """What the input holds from `start` on, each with the position after it."""
    passed, offset = 0, start.offset
    reading = task.reading
    records = read_records(
        task.input.path,
        start=start.offset,
        format=task.input.format,
        dump=reading.dump or task.input.dump,
        columns=reading.columns,
        max_body=_body_bytes(task.screen),
        settings=reading.remote,
    )
    for item in records:
        passed = passed + 1 if item.warc_offset == offset else 1
        offset = item.warc_offset
        if offset == start.offset and passed <= start.passed:
            continue
        yield Position(offset, passed), item


def _body_bytes(screen: Screen) -> int:
    """How much of a body is worth reading: a byte more than the screen lets through tells that there is more."""
    return MAX_BODY if screen.max_bytes is None else min(MAX_BODY, screen.max_bytes + 1)


def _outcome(record: Record, task: ExtractTask, chain: Chain, begin: Begin) -> Outcome:
    blame = begin()
    if blame:
        return chain.blamed(place(record), blame)
    if record.fault:
        return Outcome("quarantined", quarantine_row(place(record), STEP, "read", record.fault))
    try:
        screened: Any = task.screen(record)
    except Exception as error:  # noqa: BLE001 - bytes of strangers
        return chain.failed(place(record), "screen", error, {})
    if isinstance(screened, Drop):
        row = dropped_row(place(record), STEP, "screen", screened)
        return Outcome("dropped", row, {f"dropped.screen.{screened.reason}": 1})
    return chain.run(screened)
