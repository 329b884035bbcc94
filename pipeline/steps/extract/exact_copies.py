"""Step 0, for a config with `payload_digest: {scope: run}`: which pages are exact copies of which, before extraction.

    inputs -> payloads     one task per input: the digest of every page that screen and address rules let through
    payloads -> firsts     one task per range of digests: the first page of every digest that occurs more than once
    payloads + firsts      looked up by step 1 for each input: its copies, and its pages that others are copies of

The first page is the earliest by date (those without a date come last), then the one with the smallest id, then by
place: the page that `dedup` with `keep: earliest` would choose among the same pages. Nothing depends on the number of
tasks, their order, or how many ranges there are.
"""

import dataclasses
import datetime
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.dedup.first_copies import PAYLOADS, halves, look_up, partitions_for, write_firsts, write_payloads
from pipeline.document import Document, Drop, Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.sources import read_at
from pipeline.sources.charset import codec_name
from pipeline.sources.listing import Input
from pipeline.sources.payload import payload_digest, quick_key
from pipeline.sources.read import format_of
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from pipeline.stages.payload_digest import PayloadDigest
from pipeline.steps.context import Context, StageWork
from pipeline.steps.extract.guarded_reading import watched_items
from pipeline.steps.extract.reading import Position, Reading, items
from pipeline.storage.files import write_atomic

DIGESTS, FIRSTS = "extract-payloads", "extract-firsts"
"""Named after step 1, whose files they belong to: `build --reuse` takes them over together."""
_LAST = 2**63 - 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PayloadTask:
    """One input file."""

    key: str
    out: Path
    input: Input
    reading: Reading
    screen: Screen
    work: StageWork
    """Its stages are those before `payload_digest`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FirstsTask:
    """One range of digests."""

    key: str
    out: Path
    inputs: int
    partition: int
    partitions: int
    memory: int


@dataclasses.dataclass(frozen=True, slots=True)
class CopyIndex:
    """The copies that step 0 found, by the names of its files; the part of a task of step 1 that Ray carries."""

    out: Path
    number: int
    """Of the input."""
    partitions: int

    def read(self) -> "InputCopies":
        """What is known of the pages of the input."""
        ranges = [self.out / _firsts(number, self.partitions) for number in range(self.partitions)]
        copies, originals = look_up(self.out / _payloads(self.number), self.number, ranges)
        return InputCopies(
            {(row["offset"], row["passed"]): row["kept"] for row in copies.to_pylist()},
            {(row["offset"], row["passed"]): row["size"] for row in originals.to_pylist()},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class InputCopies:
    """The copies in one input, and its pages that others are copies of, by position."""

    copies: dict[tuple[int, int], str]
    sizes: dict[tuple[int, int], int]

    def mark(self, doc: Document, position: Position) -> Document:
        """The page with the id of the one that goes on in its stead, or the number of those it stands for."""
        place = position.offset, position.passed
        if place in self.copies:
            return doc.replace(copy_of=self.copies[place])
        return doc.replace(cluster_size=self.sizes[place]) if place in self.sizes else doc


def split_at_digest(stages: Sequence[Stage]) -> tuple[PayloadDigest, tuple[Stage, ...]] | None:
    """The config's `payload_digest` and the stages before it; None where it has none."""
    for number, stage in enumerate(stages):
        if isinstance(stage, PayloadDigest):
            return stage, tuple(stages[:number])
    return None


def run(
    context: Context, inputs: Sequence[Input], reading: Reading, screen: Screen, stages: Sequence[Stage]
) -> int | None:
    """Do the step; the number of ranges of digests, or None where the config does not ask for it."""
    digest_stage = split_at_digest(stages)
    if digest_stage is None or digest_stage[0].scope != "run":
        return None
    tasks = [
        PayloadTask(key=f"{number:05d}", out=context.out, input=item, reading=reading, screen=screen,
                    work=context.stage_work(digest_stage[1]))
        for number, item in enumerate(inputs)
    ]  # fmt: skip
    digested = context.run(DIGESTS, digest_pages, tasks)
    memory = context.settings.task_memory
    partitions = partitions_for(sum(commit.counts["pages"] for commit in digested.values()), memory)
    ranges = [
        FirstsTask(key=f"{number:05d}-of-{partitions}", out=context.out, inputs=len(inputs), partition=number,
                   partitions=partitions, memory=memory)
        for number in range(partitions)
    ]  # fmt: skip
    context.run(FIRSTS, find_firsts, ranges)
    return partitions


def digest_pages(task: PayloadTask) -> Commit:
    """Write the digests of the pages of one input."""
    import pyarrow.compute as pc  # 20 ms that only this step needs

    start = time.process_time()
    outcomes = guarded(payloads, task, task.work.limits, isolate=task.work.isolate)
    pages: list[Payload] = [page for page in outcomes if page]
    pairs = halves([page.digest for page in pages])
    dates = pa.array([page.date for page in pages], pa.timestamp("ms", tz="UTC"))
    columns = {
        "high": pairs[:, 0],
        "low": pairs[:, 1],
        "order": pc.fill_null(dates.cast(pa.int64()), _LAST),
        "id": pa.array([page.id for page in pages], pa.string()),
        "offset": pa.array([page.position.offset for page in pages], pa.int64()),
        "passed": pa.array([page.position.passed for page in pages], pa.int32()),
    }
    table = pa.table(columns, PAYLOADS)
    name = _payloads(int(task.key))
    info = write_atomic(task.out / name, lambda path: write_payloads(path, table))
    entry = FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=len(pages))
    seconds = {"total": round(time.process_time() - start, 6)}
    return Ledger(task.out, DIGESTS).commit(
        Commit(key=task.key, files=(entry,), counts={"pages": len(pages)}, seconds=seconds)
    )


def find_firsts(task: FirstsTask) -> Commit:
    """Write the first page of every digest in a range that occurs more than once."""
    start = time.process_time()
    payloads = [task.out / _payloads(number) for number in range(task.inputs)]
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        totals = write_firsts(payloads, task.partition, task.partitions, path, task.memory)
        counts.update(zip(("repeated", "copies"), totals, strict=True))

    name = _firsts(task.partition, task.partitions)
    info = write_atomic(task.out / name, write)
    entry = FileEntry(path=name, bytes=info.bytes, sha256=info.sha256)
    seconds = {"total": round(time.process_time() - start, 6)}
    return Ledger(task.out, FIRSTS).commit(Commit(key=task.key, files=(entry,), counts=counts, seconds=seconds))


def digest_of(record: Record, screen: Screen, rules: Sequence[Stage]) -> bytes | None:
    """The payload digest of a response that the screen and the address rules let through; None for all else."""
    if not _passes(record, screen, rules):
        return None
    return payload_digest(record.body, record.charset, record.dump)


def _passes(record: Record, screen: Screen, rules: Sequence[Stage]) -> bool:
    """Whether the screen and the address rules let a response through.

    What the screen says of the characters need not be asked: it is the same for pages of the same payload.
    """
    if record.kind != "response" or record.fault or not record.body or screen.unread(record):
        return False
    doc = Document(id=record.id, url=record.url, date=record.date, dump=record.dump, warc_path=record.warc_path)
    for stage in rules:
        try:
            if isinstance(stage(doc), Drop):
                return False
        except Exception:  # noqa: BLE001 - step 1 runs the stage again, and quarantines the page by name
            return False
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Payload:
    """What is noted of a page."""

    digest: bytes
    id: str
    date: datetime.datetime | None
    position: Position


def payloads(task: PayloadTask, resume: Position | None, begin: Begin) -> Iterator[tuple[Position, Payload | None]]:
    """The PageFunction of this step: the pages of an archive; None where a reading gave none."""
    if format_of(task.input.path, task.input.format) != "warc":
        return
    for position, item in watched_items(task.input, task.reading, task.screen, resume or Position(), begin):
        digest = digest_of(item, task.screen, task.work.stages) if isinstance(item, Record) else None
        if digest and isinstance(item, Record):
            yield position, Payload(digest, item.id, item.date, position)
        elif isinstance(item, Gap):
            yield position, None  # a new process goes on behind it


def _payloads(number: int) -> str:
    return f"steps/{DIGESTS}/files/{number:05d}"


def _firsts(partition: int, partitions: int) -> str:
    return f"steps/{FIRSTS}/files/{partition:05d}-of-{partitions}"


class CopyDetector:
    """For `scope: split`: finds copies among the pages of one input, added in their order.

    They are told apart by a fast hash (0.01 ms for 105 KB, a tenth of `payload_digest`), which strangers can make
    collide; so a page with the hash of an earlier one is compared with it, byte for byte, by reading that one again.
    A collision costs a copy its discovery and nothing else.

    A new page process knows no page yet, so it reads again what lies before its start: the copies it finds are those
    that an undisturbed one finds.
    """

    def __init__(self, source: Input, reading: Reading, screen: Screen, rules: Sequence[Stage]) -> None:
        self._source, self._reading, self._screen, self._rules = source, reading, screen, rules
        self._first: dict[bytes, tuple[str, int]] = {}

    def catch_up(self, end: Position) -> None:
        """Add all records up to the one at `end`."""
        if end == Position():
            return
        for position, item in items(self._source, self._reading, self._screen):
            if isinstance(item, Record):
                self.add(item)
            if position == end:
                return

    def add(self, record: Record) -> str | None:
        """The id of the first page with this payload; None where there is none, or it is this one."""
        if record.kind != "response" or not record.body:
            return None
        key = quick_key(record.body, record.charset)
        place = self._first.get(key)
        if place is not None:
            original = self._read(*place)
            if not _same_payload(record, original) or not _passes(record, self._screen, self._rules):
                return None
            if _passes(original, self._screen, self._rules):
                return original.id
        # Whether the page itself goes on is asked when another has its payload: most never have.
        self._first[key] = record.id, record.warc_offset
        return None

    def _read(self, id: str, offset: int) -> Record:
        reading, source = self._reading, self._source
        return read_at(source.path, offset, id=id, format=source.format, dump=reading.dump or source.dump,
                       settings=reading.remote)  # fmt: skip


def _same_payload(left: Record, right: Record) -> bool:
    """Whether two responses have the same payload."""
    return left.body == right.body and codec_name(left.charset) == codec_name(right.charset)
