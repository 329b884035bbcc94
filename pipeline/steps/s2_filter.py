"""Step 2: documents to documents that read like prose; every rule's raw value is stored, kept or not.

Reads what step 1 committed and nothing else, so that a changed limit costs no extraction.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from pipeline.document import Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit
from pipeline.steps.context import Commits, Context, Part, StageWork
from pipeline.steps.parts import Chain, Outcome, PartFiles, PartWriter, run_documents
from pipeline.steps.tables import document_schema, signals_type

STEP = "filter"
FOLDER = f"steps/{STEP}/documents"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FilterTask:
    """One part of step 1."""

    key: str
    part: Part
    work: StageWork


def run(context: Context, parts: Sequence[Part], stages: tuple[Stage, ...]) -> Commits:
    """The commits of the step, one per part."""
    work = context.stage_work(stages)
    return context.run(STEP, filter_part, [FilterTask(key=part.key, part=part, work=work) for part in parts])


def filter_part(task: FilterTask) -> Commit:
    """Do one part and commit it."""
    work = task.work
    schema = document_schema(signals_type(work.stages))
    writer = PartWriter(work.out, PartFiles(step=STEP, key=task.key, documents=FOLDER, schema=schema))
    for outcome in guarded(pages, task, work.limits, isolate=work.isolate):
        writer.add(outcome)
    return writer.publish(read=task.part.rows)


def pages(task: FilterTask, resume: int | None, begin: Begin) -> Iterator[tuple[int, Outcome]]:
    """The PageFunction of this step."""
    chain = Chain(STEP, task.work.stages, dropped_text=task.work.dropped_text)
    return run_documents(task.part.path, resume or 0, begin, chain.run, chain)
