"""The records of an input, read under watch: where a reader hangs, crashes or eats memory, it is taken up behind.

The page process dies with its reader; the next one is told (`Begin.reading`) where not to go again.
"""

from collections.abc import Iterator

from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import MAX_FAULTS, Begin, Blame
from pipeline.sources.listing import Input
from pipeline.sources.read import format_of
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from pipeline.sources.warc.reader import next_record
from pipeline.steps.extract.reading import Position, Reading, items


def watched_items(
    source: Input, reading: Reading, screen: Screen, start: Position, begin: Begin
) -> Iterator[tuple[Position, Record | Gap]]:
    """As `items`; a place that cannot be read is a gap `reader_timeout`, `reader_memory`, `reader_crash: SIGNAL` or
    `reader_error: ...`, which ends at the next record, or after a few such places at the end of the file.

    Raises:
        InputError: the input is missing, cannot be read or is not what its name says.
    """  # fmt: skip
    found, behind, faults = items(source, reading, screen, start), start.offset, 0
    while True:
        blame = begin.reading()
        if blame is None:
            try:
                position, item = next(found)
            except StopIteration:
                return
            except TokenmillError:
                raise
            except Exception as error:  # noqa: BLE001 - bytes of strangers
                cause = "memory" if isinstance(error, MemoryError) else f"error: {type(error).__name__}: {error}"
                blame = Blame(cause[:200], 0.0, final=faults >= MAX_FAULTS)
            else:
                behind = item.warc_offset + (item.length if isinstance(item, Gap) else item.warc_length)
                yield position, item
                continue
        faults += 1
        retry = None if blame.final else _next_start(source, reading, behind + 1)
        length = max(0, (source.bytes if retry is None else retry) - behind)
        yield Position(behind), Gap(warc_path=source.path, warc_offset=behind, length=length, cause=_cause(blame))
        if retry is None:
            return
        found = items(source, reading, screen, Position(retry))


def _cause(blame: Blame) -> str:
    return f"reader_{blame.cause}"


def _next_start(source: Input, reading: Reading, offset: int) -> int | None:
    """Where an archive goes on; rows cannot be found again."""
    if format_of(source.path, source.format) != "warc":
        return None
    return next_record(source.path, offset, settings=reading.remote)
