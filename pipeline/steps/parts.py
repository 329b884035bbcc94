"""What the record-by-record steps share: run stages over a document, and write a part from the outcomes.

Every candidate that enters a part leaves it in exactly one row: kept, dropped or quarantined. `PartWriter.publish`
refuses a part where that does not add up.
"""

import contextlib
import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import pyarrow as pa

import pipeline.text.features
from pipeline.contract.contamination import MATCHES_SCHEMA, Overlap
from pipeline.contract.errors import IntegrityError, StageError, TokenmillError
from pipeline.document import Document, Drop, Stage, prepare
from pipeline.engine.isolation import Begin, Blame
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.stages import labels
from pipeline.stages.support.user_stages import changed_code
from pipeline.steps import columns
from pipeline.steps.context import StageWork
from pipeline.steps.failures import Failure, as_note, counted, refuse_broken, stage_trace
from pipeline.steps.stage_checks import CheckedStage
from pipeline.steps.tables import (
    DROPPED_SCHEMA,
    QUARANTINE_SCHEMA,
    DocumentRow,
    DroppedRow,
    FinalRow,
    Place,
    QuarantineRow,
    document_row,
    dropped_row,
    place,
    place_of,
    quarantine_row,
    read_documents,
)
from pipeline.storage.files import write_table

Kind = Literal["kept", "dropped", "quarantined", "counted"]

Rows = Sequence[Mapping[str, object]]
MatchRow = dict[str, object]
"""A row of `contract.contamination.MATCHES_SCHEMA`."""

_CAUSE_CHARACTERS = 300


class MeasuredRow(TypedDict):
    """What is kept of a dropped document's signals; see `measured_schema`."""

    id: str
    url: str
    warc_offset: int
    language: str
    signals: Mapping[str, Mapping[str, float]]
    stage: str
    reason: str


@dataclasses.dataclass(slots=True)
class Outcome:
    """What became of one candidate: one of three rows. With none of them it is numbers that belong to no candidate."""

    kept: DocumentRow | None = None
    dropped: DroppedRow | None = None
    quarantined: QuarantineRow | None = None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    """CPU seconds by stage."""
    measured: MeasuredRow | None = None
    """Signals of a dropped document, so that its limits can be swept."""
    trace: str | None = None
    """Where the exception of a quarantined page came from, if it is the first of its stage."""
    overlaps: Sequence[Overlap] = ()
    """Benchmark items that the document shares words with."""

    @property
    def kind(self) -> Kind:
        """Which of the three it is; `counted` where it is none of them."""
        if self.kept is not None:
            return "kept"
        if self.dropped is not None:
            return "dropped"
        return "counted" if self.quarantined is None else "quarantined"

    @property
    def row(self) -> DocumentRow | DroppedRow | QuarantineRow | None:
        """The candidate's one row."""
        return self.kept or self.dropped or self.quarantined


class Chain:
    """The stages of one step, run over one document after another."""

    def __init__(self, step: str, stages: Sequence[Stage], *, dropped_text: bool = False) -> None:
        self.step = step
        self._stages = [CheckedStage(step, name, stage) for name, stage in zip(labels(stages), stages, strict=True)]
        self._dropped_text = dropped_text
        self._failed: set[str] = set()
        # Models, lists and compiled loops are loaded here: the first page must not pay for them with its limits.
        for stage in stages:
            prepare(stage)
        if any(stage.quality for stage in self._stages):
            pipeline.text.features.prepare()

    def run(self, doc: Document) -> Outcome:
        """The outcome of a document; an exception of a stage, whatever it is, quarantines the page.

        Quality stages go on measuring after a drop, so that every limit can be swept later: the document with all
        its signals is the outcome's `measured`.

        Raises:
            StageError: a stage breaks a promise, which is no fault of the page.
        """
        seconds: dict[str, float] = {}
        first: tuple[str, Drop] | None = None
        name = ""
        try:
            for stage in self._stages:
                if first and not stage.quality:
                    continue
                name, start = stage.name, time.process_time()
                result = stage.run(doc, measure_only=first is not None)
                seconds[name] = time.process_time() - start
                if isinstance(result, Drop):
                    first = name, result
                    break
                doc, drop = result
                if drop and not first:
                    first = (name, drop)
        except BaseException as error:  # pages are written by strangers; none may stop the run
            if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
                raise  # somebody's Ctrl-C; a page process is sent none, so there it is the stage's own
            return self.failed(place(doc), name, error, seconds, doc.overlaps)
        if first is None:
            return Outcome(kept=document_row(doc), counts=counted(seconds), seconds=seconds, overlaps=doc.overlaps)
        return self.dropped(doc, *first, seconds)

    def dropped(self, doc: Document, stage: str, drop: Drop, seconds: dict[str, float]) -> Outcome:
        """The outcome of a drop."""
        text = doc.text if self._dropped_text else None
        row = dropped_row(place(doc), self.step, stage, drop, text)
        measured = _measured(doc, stage, drop.reason) if doc.signals else None
        overlaps = (*doc.overlaps, *drop.overlaps)
        counts = {f"dropped.{stage}.{drop.reason}": 1, **counted(seconds)}
        return Outcome(dropped=row, counts=counts, seconds=seconds, measured=measured, overlaps=overlaps)

    def failed(
        self,
        where: Place,
        stage: str,
        error: BaseException,
        seconds: dict[str, float],
        overlaps: Sequence[Overlap] = (),
    ) -> Outcome:
        """The outcome of an exception: quarantine, unless the fault is the user's or ours rather than the page's.

        The first one of each stage says where it came from, in the outcome's `trace`.
        """
        if isinstance(error, TokenmillError):
            raise error
        scarce = isinstance(error, MemoryError)
        cause = "memory" if scarce else f"error: {type(error).__name__}: {_message(error)}"
        row = quarantine_row(where, self.step, stage, cause[:_CAUSE_CHARACTERS], sum(seconds.values()))
        counts = counted({*seconds, stage}, None if scarce else stage)
        trace = None if scarce or stage in self._failed else stage_trace(error)
        self._failed |= set() if scarce else {stage}
        return Outcome(quarantined=row, counts=counts, seconds=seconds, trace=trace, overlaps=overlaps)

    def blamed(self, where: Place, blame: Blame) -> Outcome:
        """The outcome of a page that took the process down with it."""
        return Outcome(quarantined=quarantine_row(where, self.step, "", blame.cause, blame.seconds))


def open_chain(step: str, work: StageWork) -> Chain:
    """The chain of a task's pages.

    Raises:
        StageError: the code of a stage is another than when the build began, so run.json would tell of other code than
            that which made the rows.
    """
    changed = changed_code(work.code)
    if changed:
        raise StageError(f"{step}: {changed}, while the build was under way\n"
                         "  what is committed was made by the code before; build into a new --output")  # fmt: skip
    return Chain(step, work.stages, dropped_text=work.dropped_text)


def _message(error: BaseException) -> str:
    """What an exception says of itself, if it can."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - the class is the user's
        return f"(its text cannot be had: {type(second).__name__})"


def run_documents(
    path: Path, first_row: int, begin: Begin, work: Callable[[Document], Outcome], chain: Chain
) -> Iterator[tuple[int, Outcome]]:
    """The body of a PageFunction over a documents part: (next row, outcome) of each document."""
    for row, doc in enumerate(read_documents(path, first_row), start=first_row + 1):
        blame = begin()
        yield row, chain.blamed(place(doc), blame) if blame else work(doc)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PartFiles:
    """Where a part of one step goes, relative to OUT."""

    step: str
    key: str
    documents: str
    """Folder of the documents part."""
    schema: pa.Schema

    def name(self, folder: str) -> str:
        """Path of this part's file in `folder`: every step's parts can share `dropped` and `quarantine`."""
        infix = "" if folder == self.documents else f"{self.step}-"
        return f"{folder}/part-{infix}{self.key}.parquet"


class PartWriter:
    """Collects the outcomes of one part and publishes them."""

    def __init__(self, work: StageWork, files: PartFiles) -> None:
        self._out, self._files, self._max_quarantined = work.out, files, work.max_quarantined
        self._failures: dict[str, Failure] = {}
        self._kept: list[DocumentRow] = []
        self._dropped: list[DroppedRow] = []
        self._quarantined: list[QuarantineRow] = []
        self._measured: list[MeasuredRow] = []
        self._matches: list[MatchRow] = []
        self._counts: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()

    def add_all(self, outcomes: Generator[Outcome, None, None]) -> None:
        """Take outcomes in, to their end.

        Raises:
            StageError: so many pages of a stage have failed that the fault cannot be theirs.
        """
        with contextlib.closing(outcomes):  # their page process is not left at work
            for outcome in outcomes:
                self._add(outcome)
                refuse_broken(self._files.step, self._counts, self._failures, self._max_quarantined)

    @property
    def kept(self) -> Sequence[DocumentRow]:
        """The rows of the documents that were kept, so far."""
        return self._kept

    def _add(self, outcome: Outcome) -> None:
        self._counts.update(outcome.counts)
        self._seconds.update(outcome.seconds)
        if outcome.kept is not None:
            self._kept.append(outcome.kept)
        elif outcome.dropped is not None:
            self._dropped.append(outcome.dropped)
            self._measured += [outcome.measured] if outcome.measured else []
        elif outcome.quarantined is not None:
            row = outcome.quarantined
            self._quarantined.append(row)
            if outcome.trace is not None:
                self._failures.setdefault(row["stage"], Failure(row["url"], outcome.trace))
        if outcome.overlaps:
            self._matches += match_rows(outcome)

    def publish(
        self,
        read: int | None = None,
        *,
        documents: Sequence[FinalRow] | None = None,
        more_files: Sequence[FileEntry] = (),
        more_counts: Mapping[str, int] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Write the files, check that nothing was lost, and commit.

        Args:
            read: how many candidates entered, where the step before knows it.
            documents: the kept rows with what the last step adds to them.
            more_files: what else the task published.
            more_counts: what else it counted.
            notes: for the commit.

        Raises:
            IntegrityError: the outcomes are not as many as the candidates.
        """
        kept = self._kept if documents is None else documents
        numbers = {"kept": len(kept), "dropped": len(self._dropped), "quarantined": len(self._quarantined)}
        counts = {**self._counts, **numbers, **(more_counts or {}), "read": sum(numbers.values())}
        if read is not None and read != counts["read"]:
            where = f"{self._files.step} {self._files.key}"
            raise IntegrityError(f"{where}: {read} candidates went in, {counts['read']} came out ({numbers})")
        files = [self._write(self._files.documents, kept, self._files.schema)]
        files += self._write_unless_empty("dropped", self._dropped, DROPPED_SCHEMA)
        files += self._write_unless_empty("quarantine", self._quarantined, QUARANTINE_SCHEMA)
        if "signals" in self._files.schema.names and self._measured:
            schema = measured_schema(self._files.schema.field("signals").type)
            files.append(self._write(f"steps/{self._files.step}/measured", self._measured, schema))
        files += self._write_unless_empty(matches_folder(self._files.step), self._matches, MATCHES_SCHEMA)
        seconds = {name: round(value, 6) for name, value in sorted(self._seconds.items())}
        commit = Commit(
            key=self._files.key,
            files=(*files, *more_files),
            counts=dict(sorted(counts.items())),
            seconds=seconds,
            notes={**as_note(self._failures), **(notes or {})},
        )
        return Ledger(self._out, self._files.step).commit(commit)

    def _write_unless_empty(self, folder: str, rows: Rows, schema: pa.Schema) -> list[FileEntry]:
        return [self._write(folder, rows, schema)] if rows else []

    def _write(self, folder: str, rows: Rows, schema: pa.Schema) -> FileEntry:
        name = self._files.name(folder)
        info = write_table(self._out / name, columns.to_table(rows, schema))
        return FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=len(rows))


def matches_folder(step: str) -> str:
    """Where a step puts the benchmark items it met, for `steps/contamination.py` to gather."""
    return f"steps/{step}/matches"


def match_rows(outcome: Outcome) -> list[MatchRow]:
    """Rows of `matches`: one for each benchmark item that the document shares words with."""
    row, dropped = outcome.row, outcome.dropped
    assert row is not None
    reason = f"{dropped['step']}.{dropped['stage']}.{dropped['reason']}" if dropped else None
    where = place_of(row)
    return [{**where, **overlap._asdict(), "outcome": outcome.kind, "reason": reason} for overlap in outcome.overlaps]


def _measured(doc: Document, stage: str, reason: str) -> MeasuredRow:
    return {"id": doc.id, "url": doc.url, "warc_offset": doc.warc_offset, "language": doc.language,
            "signals": doc.signals, "stage": stage, "reason": reason}  # fmt: skip


def measured_schema(signals: pa.DataType) -> pa.Schema:
    """Columns of what is kept of a dropped document's signals."""
    texts = ("id", "url", "language", "stage", "reason")
    return pa.schema([*((name, pa.string()) for name in texts), ("warc_offset", pa.int64()), ("signals", signals)])
