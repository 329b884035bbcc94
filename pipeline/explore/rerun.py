"""A page read again from its WARC pointer and sent through the stages, in the guarded page process.

Every stage says what it would do; one that would drop the page does not keep the next from being asked, so that a page
that left early can be read all the same. Only stages that tokenmill ships run: the config of a stranger's run folder
is data, and a name in it imports nothing.
"""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pipeline.stages
from pipeline.contract.config import build
from pipeline.contract.errors import TokenmillError
from pipeline.contract.run import InputFile, RunRecord
from pipeline.document import Document, Drop, QualityStage, Stage, prepare
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.settings import PageLimits
from pipeline.explore.request import PageError
from pipeline.sources import read_at
from pipeline.sources.record import Record
from pipeline.sources.reopen import locate_input
from pipeline.sources.rows import Columns
from pipeline.sources.screen import Screen

LONGEST = 1_000_000
"""Characters of a text that are handed on."""
_LIMITS = PageLimits(cpu_seconds=20.0, wall_seconds=30.0, memory=2 << 30)
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True)
class StageVerdict:
    """What a stage decides about the page."""

    stage: str
    answer: str
    drops: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Rerun:
    """A page read again."""

    text: str
    verdicts: tuple[StageVerdict, ...]
    document: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """language, language_score and signals."""
    problem: str = ""
    """Why there is no text."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    where: Mapping[str, Any]
    file: InputFile
    input: Mapping[str, Any]
    screen: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]


def rerun(record: RunRecord, row: Mapping[str, Any]) -> Rerun:
    """Read the page of a row again.

    Raises:
        PageError: 503: another page is being read; 404: the row points at no input of the run.
    """
    given = next((item for item in record.inputs if item.path == row["warc_path"]), None)
    if given is None:
        raise PageError(404, "the record's file is not among the inputs of this run, so it is not opened")
    config = record.located()
    stages = tuple(_parts_of([*config.get("extract", ()), *config.get("filter", ())]))
    task = _Task(dict(row), given, dict(config.get("input") or {}), dict(config.get("screen") or {}), stages)
    if not _one_at_a_time.acquire(timeout=5):
        raise PageError(503, "another page is being read just now; try again")
    try:
        [found] = guarded(attempt, task, _LIMITS)
    except TokenmillError as error:
        return Rerun("", (), problem=" ".join(str(error).split()))
    finally:
        _one_at_a_time.release()
    result: Rerun = found
    return result


def shipped_stage(entry: Any) -> tuple[Stage | None, str]:
    """(the stage of a config entry, its name); None for one that is not shipped or that this version cannot make."""
    name, fields = next(iter(entry.items())) if isinstance(entry, Mapping) else (str(entry), {})
    if name not in pipeline.stages.names():
        return None, str(name)
    try:
        stage: Stage = build(pipeline.stages.load(name), fields or {}, "run.json")
    except TokenmillError:
        return None, str(name)  # of another version; the page says that its limits are not known
    return stage, str(name)


def attempt(task: _Task, _: int | None, begin: Begin) -> Iterator[tuple[int, Rerun]]:
    """The PageFunction: one page."""
    if blame := begin():
        yield 1, Rerun("", (), problem=f"{blame.cause} after {blame.seconds} s")
        return
    try:  # loading models and lists is within the limits, too: a stranger's config names them
        made = [shipped_stage(entry) for entry in task.stages]
        for stage, _name in made:
            if stage is not None:
                prepare(stage)
        yield 1, _read(task, made)
    except TokenmillError as error:
        yield 1, Rerun("", (), problem=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a page may break any parser; the reader is told how
        yield 1, Rerun("", (), problem=f"{type(error).__name__}: {error}"[:500])


def _read(task: _Task, made: list[tuple[Stage | None, str]]) -> Rerun:
    record = _record(task)
    if record.fault:
        return Rerun("", (), problem=f"the record is damaged: {record.fault}")
    found = build(Screen, task.screen, "run.json: screen")(record)
    if isinstance(found, Drop):
        return Rerun(
            "", (StageVerdict("screen", _dropped(found), True),), problem="the screen lets no page of this kind through"
        )
    verdicts = [StageVerdict("screen", "passes")]
    for stage, name in made:
        if stage is None:
            verdicts.append(StageVerdict(name, "not run: not a stage that this version ships"))
            continue
        found, answer, drops = _ask(stage, name, found)
        verdicts.append(StageVerdict(name, answer, drops))
    measured = {"language": found.language, "language_score": found.language_score, "signals": dict(found.signals)}
    return Rerun(found.text[:LONGEST], tuple(verdicts), measured, "" if found.text else "no stage found any text")


def _ask(stage: Stage, name: str, doc: Document) -> tuple[Document, str, bool]:
    if isinstance(stage, QualityStage):
        measured = stage.measure(doc)
        verdict: Document | Drop = stage.judge(measured.signals[name], doc.language) or measured
        doc = measured
    else:
        verdict = stage(doc)
    if isinstance(verdict, Drop):
        return doc, _dropped(verdict), True
    return verdict, "passes", False


def _dropped(drop: Drop) -> str:
    numbers = "" if drop.value is None else f" {drop.value:.6g}, limit {drop.limit if drop.limit is not None else '-'}"
    return f"would drop: {drop.reason}{numbers}{f' ({drop.detail})' if drop.detail else ''}"


def _record(task: _Task) -> Record:
    where, given = task.where, task.input
    columns = build(Columns, given.get("columns") or {}, "run.json: input.columns")
    return read_at(where["warc_path"], where["warc_offset"], id=where["id"], format=given.get("format", "auto"),
                   dump=given.get("dump", ""), columns=columns, place=locate_input(task.file))  # fmt: skip


def _parts_of(entries: Any) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        yield entry if isinstance(entry, Mapping) else {str(entry): {}}
