"""What every step is handed: the run folder, the settings, who runs tasks and who is told."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.contract.run import InputFile
from pipeline.document import Stage
from pipeline.engine.ledger import Commit, FileEntry
from pipeline.engine.progress import Progress
from pipeline.engine.runner import Runner
from pipeline.engine.settings import PageLimits, RunSettings
from pipeline.engine.tasks import T, run_tasks
from pipeline.steps.failures import StepFailures

Commits = Mapping[str, Commit]
Code = Mapping[str, Mapping[str, str]]
"""Dotted name -> file -> SHA-256."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file of documents that a step committed."""

    key: str
    path: Path
    rows: int
    file: FileEntry | None = None
    """What the commit says of the file."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StageWork:
    """How a part's stages are run; the part of a task that Ray carries to the worker."""

    out: Path
    stages: tuple[Stage, ...]
    limits: PageLimits
    isolate: bool
    dropped_text: bool
    max_quarantined: float | None
    code: Code = dataclasses.field(default_factory=dict)
    """Of the stages that are not ours, as it was when the build began."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One run under way."""

    out: Path
    settings: RunSettings
    runner: Runner
    progress: Progress
    code: Code = dataclasses.field(default_factory=dict)
    """`sources` of run.json."""
    inputs: Sequence[InputFile] = ()
    """Those of run.json."""

    def run(self, step: str, function: Callable[[T], Commit], tasks: Sequence[T]) -> Commits:
        """The commits of all tasks of a step; see `run_tasks`.

        Raises:
            StageError: so many pages of a stage have failed, over all tasks, that the fault is the stage's.
        """
        failures = StepFailures(step, self.settings.max_quarantined)
        commits = run_tasks(self.runner, self.out, step, function, tasks, self.progress, failures.add)
        failures.finish()
        return commits

    def stage_work(self, stages: tuple[Stage, ...]) -> StageWork:
        """What the tasks of a step that runs `stages` share."""
        settings = self.settings
        return StageWork(out=self.out, stages=stages, limits=settings.page_limits, isolate=settings.isolate,
                         dropped_text=settings.dropped_text, max_quarantined=settings.max_quarantined,
                         code=self.code)  # fmt: skip


def parts_in(out: Path, commits: Iterable[Commit], folder: str) -> list[Part]:
    """The documents parts that a step committed in `folder`."""
    found = [(commit.key, commit.file(folder)) for commit in commits]
    return [Part(key=key, path=out / entry.path, rows=entry.rows or 0, file=entry) for key, entry in found if entry]
