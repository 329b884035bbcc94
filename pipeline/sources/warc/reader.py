"""WARC (and WET, WAT, ARC) files as Records, with FastWARC where the file is sound and with care where it is not.

FastWARC decodes gzip nearly twice as fast as zlib, but stops at the first odd byte, takes wrong lengths at their word
and smooths over headers. So it reads one record ahead of what is handed out: a record leaves here only once its bytes
add up to those of its member and the next one has been found behind it. Where anything disagrees `recovery.py` reads on
from that record, until a sound one comes. Which of the two read a record never shows in it.
"""

import dataclasses
import datetime
import hashlib
import itertools
import re
import zlib
from collections.abc import Generator, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pipeline.contract.errors import InputError
from pipeline.sources.record import Gap, Kind, Record
from pipeline.sources.warc.codec import GZIP, codec_of
from pipeline.sources.warc.fields import declared_length
from pipeline.sources.warc.http import parse_response
from pipeline.sources.warc.member_stream import ARC_HEAD, WARC_HEAD, decoded_start, next_start
from pipeline.sources.warc.recovery import Archive, ArchiveRecord, read_recovering
from pipeline.storage.files import open_read
from pipeline.storage.remote import DEFAULTS, RemoteSettings

MAX_BODY = 1 << 26
"""Bytes of a payload kept, 64 MiB: bounds memory against huge bodies and decompression bombs."""

_LONGEST_GAP = 1 << 26  # adjacent ones are told as one up to this length, so that a reader under way is seen to be
_WORTH_WHILE = 1 << 20  # bytes that the fast reader has to get through at once, or it is tried ever more rarely
_HEAD_ROOM = 1 << 18  # a block may be this much longer than its body
_DUMP = re.compile(r"CC-(?:MAIN|NEWS)-\d{4}-\d{2}(?!\d)")
_KINDS: dict[bytes, Kind] = {b"response": "response", b"conversion": "conversion"}
_DECODED_STEP = 1 << 16  # GzipReader decodes in such steps, which end where a member ends


def read_warc(
    path: str, *, start: int = 0, dump: str = "", max_body: int = MAX_BODY, settings: RemoteSettings = DEFAULTS,
    place: str | None = None,
) -> Iterator[Record | Gap]:  # fmt: skip
    """Everything in a WARC file from byte offset `start` on (0, or a `warc_offset` met before).

    gzip, zstd and no compression are told by the first bytes, ARC by its first record. Memory is bounded by a few
    times `max_body`. Nothing in the file's bytes raises.

    Args:
        path: as the user gave it; local, or with a scheme.
        start: a record's `warc_offset`. Several records may share one (those of a single gzip member): all of them
            come again, the first one first.
        dump: the crawl's name; found in the path (`CC-MAIN-2024-10`) where it is not given.
        max_body: bytes of a payload kept.
        settings: of remote files.
        place: where the file is opened, if not at `path`.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    with open_read(place or path, settings) as source:
        try:
            archive = open_archive(source, path)
            dump = dump or dump_of(path)
            for item in _items(archive, start, max_body + _HEAD_ROOM):
                yield item if isinstance(item, Gap) else _record(item, path, dump, max_body)
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror or error}") from error


def next_record(path: str, offset: int, *, settings: RemoteSettings = DEFAULTS) -> int | None:
    """The first offset, `offset` or later, where a record of an archive begins; None: there is no more.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    with open_read(path, settings) as source:
        try:
            archive = open_archive(source, path)
            return next_start(source, offset, archive.codec, archive.head)
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror or error}") from error


def dump_of(path: str) -> str:
    """The name of the Common Crawl dump in a path such as crawl-data/CC-MAIN-2024-10/segments/...; else nothing."""
    found = _DUMP.search(path)
    return found[0] if found else ""


def position_id(path: str, offset: int, ordinal: int) -> str:
    """The id of a record without one: 128 bits of BLAKE2b over the file's name (not its folder) and the position."""
    place = f"{PurePosixPath(path).name}:{offset}:{ordinal}"
    return hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def open_archive(source: BinaryIO, path: str) -> Archive:
    """An open file with its codec and kind, by its first bytes."""
    codec = codec_of(source)
    size = source.seek(0, 2)
    start = decoded_start(source, 0, codec, 1 << 14)
    head = ARC_HEAD if ARC_HEAD.match(start) and not WARC_HEAD.match(start) else WARC_HEAD
    return Archive(source, path, size, codec, head)


def _items(archive: Archive, start: int, max_block: int) -> Iterator[ArchiveRecord | Gap]:
    """Records and gaps that together cover every byte of the file from `start` on."""
    covered = start
    held: list[Gap] = []  # not yet handed out: the next may continue them
    for item in _read(archive, start, max_block):
        offset = item.warc_offset if isinstance(item, Gap) else item.offset
        hole = _nothing(archive, covered, offset) if offset > covered else None
        covered = max(covered, offset + item.length)
        for found in (hole, item):
            if isinstance(found, Gap) and held and _continues(held[-1], found, found.warc_offset - held[0].warc_offset):
                held = [held[0], found]
            elif found:
                yield from _joined(held, offset)
                held = [found] if isinstance(found, Gap) else []
                if not held:
                    yield item
    yield from _joined(held, archive.size)
    if covered < archive.size:
        yield _nothing(archive, covered, archive.size)


def _continues(gap: Gap, following: Gap, length: int) -> bool:
    """Whether two gaps are one, `gap` and those before it being so long: a file of junk has a gap every 20 bytes."""
    adjacent = gap.warc_offset + gap.length == following.warc_offset and gap.length * following.length > 0
    return adjacent and gap.cause == following.cause and length < _LONGEST_GAP


def _joined(gaps: list[Gap], following: int) -> Iterator[Gap]:
    """The first and last of adjacent gaps as one; two where the item at offset `following` begins at the last one's.

    Who reads on from that item's offset meets the last gap before it, and has to have met it here.
    """
    if len(gaps) == 2 and gaps[1].warc_offset != following:
        first, last = gaps
        gaps = [dataclasses.replace(first, length=last.warc_offset + last.length - first.warc_offset)]
    elif len(gaps) == 2:
        gaps = [dataclasses.replace(gaps[0], length=gaps[1].warc_offset - gaps[0].warc_offset), gaps[1]]
    yield from gaps


def _nothing(archive: Archive, start: int, end: int) -> Gap:
    """Blank bytes, or members that decode to blanks (BGZF ends its files with an empty one)."""
    cause = "padding" if archive.codec is None else "empty_member"
    return Gap(warc_path=archive.path, warc_offset=start, length=end - start, cause=cause)


def _read(archive: Archive, start: int, max_block: int) -> Iterator[ArchiveRecord | Gap]:
    """Records and gaps by whichever reader fits."""
    fast = archive.codec is GZIP and archive.head is WARC_HEAD
    at: int | None = start
    wanted = 1  # sound records that the recovering reader has to meet before the fast one is tried again
    while at is not None and at < archive.size:
        if fast:
            before = at
            at = yield from _read_fast(archive.source, at, max_block)
            wanted = 1 if at - before > _WORTH_WHILE else min(2 * wanted, 1024)
        at = yield from _read_on(archive, at, max_block, wanted if fast else None)


def _read_on(
    archive: Archive, start: int, max_block: int, wanted: int | None
) -> Generator[ArchiveRecord | Gap, None, int | None]:
    """The recovering reader, up to so many sound records; returns where it stopped, None at the end."""
    for item in read_recovering(archive, start, max_block):
        yield item
        if wanted is not None and isinstance(item, ArchiveRecord) and item.intact:
            wanted -= 1
            if wanted <= 0:
                return item.offset + item.length
    return None


def _read_fast(source: BinaryIO, start: int, max_block: int) -> Generator[ArchiveRecord, None, int]:
    """The sound records from `start` on; returns the offset of the first that is doubtful, or last."""
    from fastwarc.stream_io import GzipReader
    from fastwarc.warc import ArchiveIterator

    source.seek(start)
    gzip = GzipReader(source)
    records = ArchiveIterator(gzip, parse_http=False)
    held: ArchiveRecord | None = None
    behind = 0  # decoded bytes up to the end of the record
    ends_member = False  # whether its member is known to end there too
    while True:
        try:
            record = next(records, None)
            offset = None if record is None else gzip.frame_start_position()
            if record is None or offset is None:
                return start  # the last one: only the recovering reader tells a whole member from one cut at its end
            if not (offset > start if held else offset == start):
                return start
            if not (ends_member and record.stream_pos == offset) and not _begins_record(source, offset, record):
                return start
            found, size = _sound(record, offset, max_block)
            behind += size
            # Only a sound record tells where the one before it ends: a header without end may lie across many members,
            # the last of which begins with a record.
            if found is None or gzip.frame_start_position() != offset or gzip.tell() != behind:
                return start
            if held:
                held.length = offset - held.offset
                yield held
            start, held = offset, found
            ends_member = size % _DECODED_STEP != 0
        except OSError:
            return start


def _begins_record(source: BinaryIO, offset: int, record: Any) -> bool:
    """Whether the gzip member at `offset` begins with this record (else its header lies across it and ones before)."""
    back = source.tell()
    source.seek(offset)
    data = source.read(512)
    source.seek(back)
    try:
        start = zlib.decompressobj(31).decompress(data, 256)
    except zlib.error:
        return False
    fields = (name + b": " + value for name, value in record.headers.items_bytes())
    head = b"\r\n".join((record.headers.status_line_bytes, *fields, b"", b""))
    length = min(len(start), len(head))
    return length > 5 and start[:length] == head[:length]


def _sound(record: Any, offset: int, max_block: int) -> tuple[ArchiveRecord | None, int]:
    """A FastWARC record with its block, or None where it and the recovering reader might not agree.

    Also the bytes it takes if it is written in the usual way, every header as `Name: value`: what is written otherwise
    FastWARC smooths over, and only the count of bytes shows it.
    """
    items = record.headers.items_bytes()
    words = b"".join(itertools.chain.from_iterable(items))
    fields = {name.lower(): value for name, value in reversed(items)}
    length = declared_length(fields)
    if b"\n" in words or b"\r" in words or length is None or length != record.content_length or length > max_block:
        return None, 0
    size = len(record.headers.status_line_bytes) + 2 + len(words) + 4 * len(items) + 2 + length + 4
    if fields.get(b"warc-type", b"").lower() not in _KINDS:
        return (ArchiveRecord(offset, 0, 0, fields, b"", length) if record.reader.consume() == length else None), size
    block = record.reader.read(length)
    return (ArchiveRecord(offset, 0, 0, fields, block, length) if len(block) == length else None), size


def _record(found: ArchiveRecord, path: str, dump: str, max_body: int) -> Record:
    fields = found.fields
    kind = _KINDS.get(fields.get(b"warc-type", b"").lower(), "other")
    shared: dict[str, Any] = {
        "id": _id(fields) or position_id(path, found.offset, found.ordinal),
        "url": _text(fields.get(b"warc-target-uri", b"")).strip("<>"),
        "date": _date(fields.get(b"warc-date", b"")),
        "dump": dump, "warc_path": path, "warc_offset": found.offset, "warc_length": found.length,
    }  # fmt: skip
    cut = found.block_size if found.block_size > len(found.block) else None
    if kind == "response":
        answer = parse_response(found.block, max_body)
        size = answer.body_size if cut is None else max(cut, answer.body_size or 0)
        return Record(
            **shared, kind=kind, status=answer.status, content_type=answer.content_type, charset=answer.charset,
            body=answer.body, body_size=size, fault=found.fault or answer.fault,
        )  # fmt: skip
    if kind == "conversion":
        text = found.block[:max_body].decode("utf-8", "replace")
        size = cut or (found.block_size if found.block_size > max_body else None)
        return Record(**shared, kind=kind, text=text, body_size=size, fault=found.fault)
    return Record(**shared, kind=kind, fault=found.fault)


def _id(fields: dict[bytes, bytes]) -> str:
    return _text(fields.get(b"warc-record-id", b"")).strip("<> ").removeprefix("urn:uuid:")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _date(value: bytes) -> datetime.datetime | None:
    """A WARC-Date in UTC (one without a zone is taken as such); None where it is none."""
    try:
        date = datetime.datetime.fromisoformat(value.decode("ascii"))
        return date.replace(tzinfo=datetime.UTC) if date.tzinfo is None else date.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
