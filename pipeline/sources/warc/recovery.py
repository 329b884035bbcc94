"""Read an archive whatever state it is in: wrong lengths, members cut or corrupt, junk between them, no members at all.

Slower than FastWARC (about twice the time for gzip), so `reader.py` comes here only for files and places that need it.

Its work grows with the bytes of the file and what they decode to, however hostile they are: nothing that was searched
in vain is searched again, and no byte is put back that a later search would have to pass once more.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.sources.record import Gap
from pipeline.sources.warc.codec import Codec
from pipeline.sources.warc.fields import Fields, declared_length, parse_fields
from pipeline.sources.warc.member_stream import CHUNK, WARC_HEAD, MemberStream, member_end, next_start

MAX_HEAD = 1 << 20

# In a header of CR LF lines, a lone LF behind a CR LF belongs to the line it begins: so FastWARC reads it, and the two
# readers must agree. Headers of bare LF lines are this one's alone.
# No header holds another record's first line: so whoever looks for its end never looks far for nothing.
_HEAD_END = re.compile(rb"(\r\n\r\n|(?<!\r)\n\r?\n)|[\n\0](?=WARC/\d\.\d\r?\n)")
_RECORD_LINE = re.compile(rb"[\n\0](?=WARC/\d\.\d\r?\n(?!WARC/\d\.\d\r?\n))")
_SWALLOWED = re.compile(rb"\r?\n\r?\n(?=WARC/\d\.\d\r?\n[A-Za-z-]+: )")
_DATE = re.compile(rb"\d{14}")


@dataclass(slots=True)
class ArchiveRecord:
    """A record as it lies in the file."""

    offset: int
    """Of the member it begins in; where that member begins with the end of another record, of the nearest one before
    that begins with its own: whoever reads from here meets this record, and the same ones before it."""
    length: int
    """Bytes from there to the end of the member it ends in."""
    ordinal: int
    """Its number among the records with the same offset."""
    fields: Fields
    block: bytes
    """Its content block, at most as much of it as the reader was told to keep."""
    block_size: int
    """Bytes of the whole block."""
    fault: str | None = None
    intact: bool = True
    """It fills its member alone and nothing is wrong with it: FastWARC may go on behind it."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file of records, open."""

    source: BinaryIO
    path: str
    size: int
    """Bytes of the file."""
    codec: Codec | None
    head: re.Pattern[bytes] = WARC_HEAD
    """What a record begins with: WARC_HEAD or ARC_HEAD."""


def read_recovering(archive: Archive, start: int, max_block: int) -> Iterator[ArchiveRecord | Gap]:
    """Everything from file offset `start` (a record's or member's) to the end of the file.

    Args:
        archive: the file; between two items others may move its position.
        start: where to begin.
        max_block: bytes of a block to keep; what lies behind is passed over.
    """
    resume: int | None = start
    while resume is not None:
        resume = yield from _RecordScanner(archive, resume, max_block).items()


class _RecordScanner:
    """What can be decoded from one offset on without meeting damage."""

    def __init__(self, archive: Archive, start: int, max_block: int) -> None:
        self._archive, self._codec, self._max_block = archive, archive.codec, max_block
        self._stream = MemberStream(archive.source, start, archive.codec)
        self._anchor, self._anchor_at = start, 0  # file offset and stream position of the last member begun by an item
        self._done = 0  # stream position behind the last item's own bytes
        self._ordinal = 0
        self._endless = (0, 0)  # between these positions no header ends
        self._headless = 0  # before this position no member that was met inside a block begins with a record
        self._member_end = (-1, 0)  # of the last member whose end was looked for: its offset and end
        self._head_width = 16 if archive.head is WARC_HEAD else 1 << 14

    def items(self) -> Generator[ArchiveRecord | Gap, None, int | None]:
        """Records and gaps; returns the offset behind the damage that ended them, None at the end of the file."""
        stream = self._stream
        while True:
            first = self._to_next_item()
            if stream.ended:
                return (yield from self._pass_damage())
            fields = self._take_head()
            if fields is None:
                yield from self._take_junk(whole=first)
                continue
            found, note = self._take_record(stream.position, fields, first)
            yield found
            if note:
                yield Gap(warc_path=self._archive.path, warc_offset=found.offset, length=0, cause=note)
            if self._damaged:  # the record tells of it, and its length covers it
                behind = found.offset + found.length
                return behind if behind < self._archive.size else None

    @property
    def _damaged(self) -> bool:
        return self._stream.ended and self._stream.damage not in ("", "junk")

    def _to_next_item(self) -> bool:
        """Skip blanks; whether the next item is the first of its member. Blanks before it do not count."""
        stream = self._stream
        while stream.take_blank():
            pass
        stream.compact()
        boundary = stream.boundary_before(stream.position)
        first = boundary is not None and boundary[0] >= self._done
        if self._codec is None:
            self._anchor = stream.start + stream.position
        elif boundary is not None and first:
            self._anchor_at, self._anchor = boundary
            self._ordinal = 0
        stream.forget_before(stream.position)
        return first

    def _pass_damage(self) -> Generator[Gap, None, int | None]:
        stream = self._stream
        if not stream.damage:
            return None
        at = stream.offset if stream.damage == "junk" else stream.offset_of(stream.position)
        resume = self._resume()
        end = self._archive.size if resume is None else resume
        yield Gap(warc_path=self._archive.path, warc_offset=at, length=end - at, cause=stream.damage)
        return resume

    def _resume(self) -> int | None:
        """Where the next record begins behind the damage that ended the stream.

        A decoder meets what is behind a cut within a few KB, so only as much is gone through a second time.
        """
        stream = self._stream
        at = stream.offset if stream.damage == "junk" else max(stream.last_boundary + 1, stream.offset - CHUNK)
        return next_start(self._archive.source, at, self._codec, self._archive.head)

    def _take_head(self) -> Fields | None:
        """The header at the stream's position, taken; None, and nothing taken, where there is none."""
        if self._archive.head is not WARC_HEAD:
            return _arc_fields(self._stream) if self._at_head() else None
        size = self._head_size()
        if size is None:
            return None
        return parse_fields(self._stream.take(size).rstrip(b"\r\n").partition(b"\n")[2])

    def _at_head(self, ahead: int = 0) -> bool:
        return self._stream.matches(self._archive.head, ahead, self._head_width)

    def _head_size(self) -> int | None:
        """Bytes of the WARC header at the stream's position, its blank line included."""
        stream, at = self._stream, self._stream.position
        if not self._at_head():
            return None
        known = self._endless[1] if self._endless[0] <= at else at
        searched, window = max(known - at, 1), 2048
        while searched < MAX_HEAD:
            window = max(window, searched)
            there = min(stream.fill(window), window)
            end = stream.find(_HEAD_END, searched, there)
            if end:
                return stream.distance(end.end()) if end[1] else None
            searched = max(searched, there - 16)  # a line may lie across two windows
            self._endless = (at if known == at else self._endless[0], at + searched)
            if there < window:
                break
            window *= 4
        return None

    def _take_record(self, body_at: int, fields: Fields, first: bool) -> tuple[ArchiveRecord, str]:
        """The record whose header was just taken, and a note on what was wrong but did no harm."""
        stream, declared = self._stream, declared_length(fields)
        block, size, swallowed = self._take_block(declared or 0)
        fault = None if declared is not None else "no_content_length"
        short = not swallowed and size == declared and not self._is_followed_well()
        damaged = not swallowed and size < (declared or 0) and self._damaged
        if self._codec is None and not swallowed and size < (declared or 0):
            fault = "truncated_record"
        last = body_at + size - 1
        self._done = last + 1
        while stream.take_blank():
            pass
        # A damaged member of its own behind this record is not this record's fault.
        if damaged or (self._damaged and not stream.boundary_after(last)):
            fault = fault or stream.damage
        note = "content_length_too_short" if short else ""
        if fault is None and size < (declared or 0):
            note = f"content_length_too_long: {declared} declared, {size} there"
            if size == len(block):
                block = block.removesuffix(b"\r\n\r\n")
                size = len(block)
        return self._found(fields, block, size, fault, note, first), note

    def _take_block(self, declared: int) -> tuple[bytes, int, bool]:
        """A block of at most `declared` bytes, its size, and whether it ends before a record that it would swallow.

        It goes no further than a member that begins with a record. If nothing that could be the end of a record is
        where it should end, it ends before the first record inside.
        """
        stream = self._stream
        there = stream.fill(min(declared, self._max_block))
        size = min(declared, there, self._max_block)
        boundary = self._record_boundary(stream.position + size)
        if boundary is not None:
            block = stream.take(boundary - stream.position)
            return block, len(block), False
        if size < declared and size == self._max_block:
            return self._take_long_block(declared)
        if (self._codec is None) if size < declared else not self._is_followed_well(size):
            inside = stream.find(_SWALLOWED, 0, size)
            if inside:
                block = stream.take(stream.distance(inside.start()))
                return block, len(block), True
        return stream.take(size), size, False

    def _take_long_block(self, declared: int) -> tuple[bytes, int, bool]:
        """As `_take_block`, of a block that is longer than what is kept of it."""
        stream, start = self._stream, self._stream.position
        beyond = self._codec is None and stream.start + start + declared > self._archive.size
        inside = stream.find(_SWALLOWED, 0, self._max_block) if beyond else None
        block = stream.take(stream.distance(inside.start()) if inside else self._max_block)
        while not inside and stream.position - start < declared and not stream.ended:
            if stream.at_boundary and self._at_head():
                break
            left = declared - (stream.position - start)
            if stream.pass_in_member(min(left, CHUNK), _SWALLOWED if beyond else None):
                return block, stream.position - start, True
            stream.forget_before(stream.position)
        return block, stream.position - start, inside is not None

    def _record_boundary(self, end: int) -> int | None:
        """The first position from the stream's own to before `end` where a member begins with a record."""
        stream = self._stream
        for boundary in stream.boundaries_between(max(stream.position, self._headless), end):
            if self._at_head(boundary - stream.position):
                return boundary
            self._headless = boundary + 1
        return None

    def _is_followed_well(self, ahead: int = 0) -> bool:
        """Whether `ahead` of the stream's position, blanks aside, the stream ends or a member or record begins."""
        stream = self._stream
        stream.skip(ahead)
        blank = stream.take_blank()
        well = stream.ended or stream.at_boundary or self._at_head()
        stream.skip(-len(blank) - ahead)
        return well

    def _found(
        self, fields: Fields, block: bytes, size: int, fault: str | None, note: str, first: bool
    ) -> ArchiveRecord:
        stream, last = self._stream, self._done - 1
        end = self._end(last)
        number, self._ordinal = self._ordinal, 0 if self._codec is None else self._ordinal + 1
        alone = (
            first
            and stream.offset_of(last) == self._anchor
            and (stream.ended or stream.is_boundary(stream.position, end))
        )
        intact = alone and not fault and not note
        return ArchiveRecord(self._anchor, end - self._anchor, number, fields, block, size, fault, intact)

    def _end(self, last: int) -> int:
        """The file offset behind the member that holds stream position `last` (uncompressed: behind its blanks)."""
        stream, archive = self._stream, self._archive
        if archive.codec is None:
            return stream.start + stream.position
        boundary = stream.boundary_after(last)
        if boundary is not None:
            return boundary[1]
        # More records in this member, perhaps gigabytes of them: find its end without keeping them.
        if not stream.ended:
            member = stream.offset_of(last)
            if self._member_end[0] != member:
                self._member_end = member, member_end(archive.source, member, archive.codec)
            return self._member_end[1]
        if self._damaged:
            resume = self._resume()
            return archive.size if resume is None else resume
        return stream.offset

    def _take_junk(self, *, whole: bool) -> Iterator[Gap]:
        """Decoded bytes that begin no record, up to the next member or record."""
        stream, start = self._stream, self._stream.position
        line = _RECORD_LINE if self._archive.head is WARC_HEAD else None
        while not stream.ended and (stream.position == start or not stream.at_boundary):
            if stream.pass_in_member(CHUNK, line) and self._head_size() is not None:
                break
        if self._damaged:
            return  # the gap for the damage covers this member
        self._done = stream.position
        counted = whole or self._codec is None  # else the bytes of its member belong to a record
        length = self._end(stream.position - 1) - self._anchor if counted else 0
        cause = "junk" if counted else f"junk: {stream.position - start} decoded bytes"
        yield Gap(warc_path=self._archive.path, warc_offset=self._anchor, length=length, cause=cause)


def _arc_fields(stream: MemberStream) -> Fields:
    """An ARC record's one header line in WARC's terms (ARC 1.0 and 2.0, archive.org's ARC file format)."""
    line = stream.take(stream.peek(1 << 14).index(b"\n") + 1).strip()
    words = line.split(b" ")
    at = next(i for i, word in enumerate(words) if _DATE.fullmatch(word) and i >= 1)
    url, date = b" ".join(words[: max(at - 1, 1)]), words[at].decode()
    kind = b"response" if url.lower().startswith((b"http://", b"https://")) else b"resource"
    return {
        b"warc-type": b"warcinfo" if url.startswith(b"filedesc:") else kind,
        b"warc-target-uri": url,
        b"warc-date": f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z".encode(),
        b"content-length": words[-1],
    }
