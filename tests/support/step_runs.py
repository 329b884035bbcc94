"""Single steps over inputs made by hand, in this process."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.engine.ledger import Commit
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.sources.listing import expand
from pipeline.sources.screen import Screen
from pipeline.steps.context import Commits, Context, Part, parts_in
from pipeline.steps.extract import step as extract_step
from pipeline.steps.extract.reading import Reading
from pipeline.steps.registry import EXTRACT


def local_context(out: Path, **settings: Any) -> Context:
    """A run under way in `out`, without a page process."""
    fields = {"isolate": False, **settings}
    return Context(out=out, settings=RunSettings(**fields), runner=LocalRunner(), progress=PlainProgress(quiet=True))


def extracted(context: Context, paths: list[Path], stages: tuple[Any, ...]) -> tuple[Commits, list[Part]]:
    """Step 1 over files: its commits, and the parts that it left."""
    inputs = expand(tuple(map(str, paths)))
    commits = extract_step.run(context, inputs, Reading(dump="test"), Screen(), stages)
    return commits, parts_in(context.out, commits.values(), EXTRACT.folder)


def rows(out: Path, commit: Commit, folder: str) -> list[dict[str, Any]]:
    """The rows of a file that a task committed; none where it committed no such file."""
    entry = commit.file(folder)
    found: list[dict[str, Any]] = pq.read_table(out / entry.path).to_pylist() if entry else []
    return found
