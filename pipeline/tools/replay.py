"""`tokenmill replay OUT`: the quarantined pages once more, each alone in a process of its own.

Read anew from its WARC pointer, a page goes through the stages up to the step that gave it up (deduplication aside,
which looks at more than one page). Nothing in OUT changes.
"""

import dataclasses
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.config import PipelineConfig, read_config
from pipeline.contract.errors import InputError, TokenmillError
from pipeline.contract.run import InputFile, RunRecord
from pipeline.contract.tables import read_table
from pipeline.document import Drop, Stage, prepare
from pipeline.engine.isolation import Begin, end_idle, guarded
from pipeline.engine.settings import PageLimits
from pipeline.sources import read_at
from pipeline.sources.reopen import UnreachableInput, locate_input
from pipeline.stages import labels
from pipeline.steps.registry import EXTRACT, TOKENIZE
from pipeline.steps.stage_checks import CheckedStage

EXCERPT = 500
"""Characters of the text that are shown."""
_COLUMNS = ["warc_path", "warc_offset", "url", "stage", "cause", "seconds", "id", "step"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LimitOverrides:
    """What a page may use this time; None: as in the run."""

    seconds: float | None = None
    """CPU seconds, and seconds of wall clock."""
    memory: int | None = None
    """Bytes."""

    def apply_to(self, limits: PageLimits) -> PageLimits:
        """The limits of the run, changed."""
        changes: dict[str, Any] = {}
        if self.seconds is not None:
            changes |= {"cpu_seconds": self.seconds, "wall_seconds": self.seconds}
        if self.memory is not None:
            changes["memory"] = self.memory
        try:
            return dataclasses.replace(limits, **changes)
        except ValueError as error:
            raise InputError("replay", str(error)) from error


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedPage:
    """A row of OUT/quarantine."""

    warc_path: str
    warc_offset: int
    url: str
    id: str
    step: str
    stage: str
    cause: str
    seconds: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReplayOutcome:
    """What became of a page this time."""

    outcome: Literal["passed", "dropped", "quarantined", "unreachable"]
    """`unreachable`: its input is gone, so it was not tried."""
    stage: str = ""
    """That dropped it or failed."""
    cause: str = ""
    """Of a drop its reason, value and limit; of a failure what the quarantine would say."""
    trace: str = ""
    """Where an exception came from."""
    seconds: float = 0.0
    """CPU seconds (of a page that was stopped: what it had used)."""
    peak_memory: int | None = None
    """Bytes of memory on top of what the process held before; None where the page took the process down."""
    characters: int | None = None
    """Of its text."""
    excerpt: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReplayedPage:
    """One page, then and now."""

    before: QuarantinedPage
    now: ReplayOutcome


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    config: PipelineConfig
    page: QuarantinedPage
    input: InputFile


def replay(
    out: Path,
    *,
    step: str | None = None,
    ids: Sequence[str] = (),
    limit: int | None = None,
    limits: LimitOverrides = LimitOverrides(),
) -> Iterator[ReplayedPage]:
    """Try the quarantined pages of a run again, in the order of their inputs.

    Args:
        out: the run folder; it is only read.
        step: only pages given up in this step (`extract`) or stage (`main_text`).
        ids: only these.
        limit: at most so many.
        limits: what a page may use.

    Raises:
        InputError: `out` is no run folder, or an id is not in its quarantine.
    """
    record = RunRecord.read(out)
    config = _read_run_config(record)
    rows, inputs = _select_pages(out, step, ids), {item.path: item for item in record.inputs}
    for row in rows[:limit]:
        end_idle()  # what other pages have left behind must not help or harm this one
        task = _Task(config, row, inputs.get(row.warc_path, InputFile(path=row.warc_path)))
        [outcome] = guarded(attempt, task, limits.apply_to(config.run.page_limits))
        yield ReplayedPage(before=row, now=outcome)
    end_idle()


def quarantined(out: Path) -> list[QuarantinedPage]:
    """The rows of OUT/quarantine, by input and offset."""
    paths = sorted((out / "quarantine").glob("part-*.parquet"))
    rows = [row for path in paths for row in read_table(path, columns=_COLUMNS).to_pylist()]
    pages = [QuarantinedPage(**{**row, "stage": row["stage"] or ""}) for row in rows]
    return sorted(pages, key=lambda row: (row.warc_path, row.warc_offset, row.id))


def attempt(task: _Task, _: int | None, begin: Begin) -> Iterator[tuple[int, ReplayOutcome]]:
    """The PageFunction of a replay: one page."""
    stages = _stages(task.config, task.page.step)
    for _name, stage in stages:
        prepare(stage)
    if blame := begin():
        yield 1, ReplayOutcome(outcome="quarantined", cause=blame.cause, seconds=blame.seconds)
        return
    _reset_peak()
    baseline, start = _memory("VmRSS"), time.process_time()
    outcome = _run(task, stages)
    seconds = round(time.process_time() - start, 3)
    yield 1, dataclasses.replace(outcome, seconds=seconds, peak_memory=max(0, _memory("VmHWM") - baseline))


def _run(task: _Task, stages: Sequence[tuple[str, Stage]]) -> ReplayOutcome:
    page, source = task.page, task.config.input
    name = "read"
    try:
        record = read_at(page.warc_path, page.warc_offset, id=page.id, format=source.format, dump=source.dump,
                         columns=source.columns, settings=task.config.run.remote,
                         place=locate_input(task.input, task.config.run.remote))  # fmt: skip
        if record.fault:
            return ReplayOutcome(outcome="quarantined", stage=name, cause=record.fault)
        name = "screen"
        answer = task.config.screen(record)
        for label, stage in stages:
            if isinstance(answer, Drop):
                break
            name = label
            result = CheckedStage(task.page.step, label, stage).run(answer)
            answer = result if isinstance(result, Drop) else result[1] or result[0]
    except UnreachableInput as error:
        return ReplayOutcome(outcome="unreachable", cause=f"{error.place} {error.problem}")
    except TokenmillError:
        raise
    except Exception as error:  # noqa: BLE001 - what the run met, too
        cause = "memory" if isinstance(error, MemoryError) else f"error: {type(error).__name__}: {error}"
        return ReplayOutcome(outcome="quarantined", stage=name, cause=cause, trace=traceback.format_exc())
    if isinstance(answer, Drop):
        detail = f" ({answer.detail})" if answer.detail else ""
        return ReplayOutcome(
            outcome="dropped", stage=name, cause=f"{answer.reason}: {answer.value}, limit {answer.limit}{detail}"
        )
    return ReplayOutcome(outcome="passed", characters=len(answer.text), excerpt=answer.text[:EXCERPT])


def _stages(config: PipelineConfig, step: str) -> list[tuple[str, Stage]]:
    """Those that a page goes through up to the end of `step`, each with what reports call it."""
    sections: list[tuple[Stage, ...]] = [config.extract]
    if step != EXTRACT.name:
        sections.append(config.filter)
    if step == TOKENIZE.name:
        sections.append(config.tokenize.stages)
    return [named for stages in sections for named in zip(labels(stages), stages, strict=True)]


def _read_run_config(record: RunRecord) -> PipelineConfig:
    """The config of a run; storage options are not written down, so keys come from the environment."""
    tree = record.located()
    run = dict(tree["run"])
    remote = dict(run["remote"])
    remote["options"] = {name: value for name, value in remote["options"].items() if value != "(not shown)"}
    return read_config({**tree, "run": {**run, "remote": remote}}, "run.json")


def _select_pages(out: Path, step: str | None, ids: Sequence[str]) -> list[QuarantinedPage]:
    rows = quarantined(out)
    if step is not None:
        known = sorted({name for row in rows for name in (row.step, row.stage) if name})
        rows = [row for row in rows if step in (row.step, row.stage)]
        if not rows and known:
            raise InputError("--stage", f"no page was given up in '{step}'", known=known)
    if ids:
        missing = sorted(set(ids) - {row.id for row in rows})
        if missing:
            raise InputError("--id", f"'{missing[0]}' is not in the quarantine of {out}")
        rows = [row for row in rows if row.id in ids]
    return rows


def _reset_peak() -> None:
    """Let the kernel forget the most memory that this process has held (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # a container may forbid it: the peak is then that of the whole process


def _memory(name: str) -> int:
    """A line of /proc/self/status, in bytes; 0 where there is none."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
