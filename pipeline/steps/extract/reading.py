"""The records of one input, with the positions at which a reader can go on; steps 0 and 1 meet the same ones."""

import dataclasses
from collections.abc import Iterator

from pipeline.sources import read_records
from pipeline.sources.listing import Input
from pipeline.sources.record import Gap, Record
from pipeline.sources.rows import Columns
from pipeline.sources.screen import Screen
from pipeline.sources.warc.reader import MAX_BODY
from pipeline.storage.remote import RemoteSettings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How inputs are read."""

    dump: str = ""
    columns: Columns = Columns()
    remote: RemoteSettings = RemoteSettings()


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where to go on in an input: some files hold several records at one offset."""

    offset: int = 0
    passed: int = 0
    """Records (and gaps) at that offset that are done."""


def items(
    source: Input, reading: Reading, screen: Screen, start: Position = Position()
) -> Iterator[tuple[Position, Record | Gap]]:
    """What the input holds from `start` on, each with the position after it."""
    passed, offset = 0, start.offset
    records = read_records(
        source.path,
        start=start.offset,
        format=source.format,
        dump=reading.dump or source.dump,
        columns=reading.columns,
        max_body=_body_bytes(screen),
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
