"""Step 2: documents to documents that read like prose; every rule's raw value is stored, kept or not.

Reads what step 1 committed and nothing else, so that a changed limit costs no extraction.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.document import Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit
from pipeline.engine.progress import Progress
from pipeline.engine.runner import Runner
from pipeline.engine.settings import PageLimits
from pipeline.engine.tasks import run_tasks
from pipeline.steps.parts import Chain, Outcome, PartFiles, PartWriter, run_documents
from pipeline.steps.tables import document_schema, signals_type

STEP = "filter"
FOLDER = f"steps/{STEP}/documents"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FilterTask:
    """One part of step 1."""

    key: str
    out: Path
    source: Path
    rows: int
    stages: tuple[Stage, ...]
    limits: PageLimits
    isolate: bool
    dropped_text: bool


def run(runner: Runner, tasks: Sequence[FilterTask], out: Path, progress: Progress) -> Mapping[str, Commit]:
    """All commits of the step; see `run_tasks`."""
    return run_tasks(runner, out, STEP, filter_part, tasks, progress)


def filter_part(task: FilterTask) -> Commit:
    """Do one part and commit it."""
    schema = document_schema(signals_type(task.stages))
    writer = PartWriter(task.out, PartFiles(step=STEP, key=task.key, documents=FOLDER, schema=schema))
    for outcome in guarded(pages, task, task.limits, isolate=task.isolate):
        writer.add(outcome)
    return writer.publish(read=task.rows)


def pages(task: FilterTask, resume: int | None, begin: Begin) -> Iterator[tuple[int, Outcome]]:
    """The PageFunction of this step."""
    chain = Chain(STEP, task.stages, dropped_text=task.dropped_text)
    return run_documents(task.source, resume or 0, begin, chain.run, chain)
