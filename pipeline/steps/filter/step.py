"""Step 2: documents to documents that read like prose; every rule's raw value is stored, kept or not.

Reads what step 1 committed and nothing else, so that a changed limit costs no extraction.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline.document import Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit
from pipeline.steps.context import Commits, Context, Part, StageWork
from pipeline.steps.parts import Outcome, PartFiles, PartWriter, open_chain, run_documents
from pipeline.steps.registry import FILTER
from pipeline.steps.tables import document_schema


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FilterTask:
    """One part of step 1."""

    key: str
    part: Part
    signals: pa.DataType
    work: StageWork


def run(context: Context, parts: Sequence[Part], stages: tuple[Stage, ...], signals: pa.DataType) -> Commits:
    """The commits of the step, one per part; `signals` is the type of all that was measured up to here."""
    work = context.stage_work(stages)
    tasks = [FilterTask(key=part.key, part=part, signals=signals, work=work) for part in parts]
    return context.run(FILTER.name, filter_part, tasks)


def filter_part(task: FilterTask) -> Commit:
    """Do one part and commit it."""
    work = task.work
    schema = document_schema(task.signals)
    writer = PartWriter(work, PartFiles(step=FILTER.name, key=task.key, documents=FILTER.folder, schema=schema))
    writer.add_all(guarded(pages, task, work.limits, isolate=work.isolate))
    return writer.publish(read=task.part.rows)


def pages(task: FilterTask, resume: int | None, begin: Begin) -> Iterator[tuple[int, Outcome]]:
    """The PageFunction of this step."""
    chain = open_chain(FILTER.name, task.work)
    return run_documents(task.part.path, resume or 0, begin, chain.run, chain)
