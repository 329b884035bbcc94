"""Read an archive whatever state it is in: wrong lengths, members cut or corrupt, junk between them, no members at all.

Slower than FastWARC (about twice the time for gzip), so `warc.py` comes here only for files and places that need it.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.sources.fields import Fields, declared_length, parse_fields
from pipeline.sources.record import Gap
from pipeline.sources.tape import CHUNK, WARC_HEAD, Codec, Tape, member_end, next_start

MAX_HEAD = 1 << 20

# In a header of CR LF lines, a lone LF behind a CR LF belongs to the line it begins: so FastWARC reads it, and the two
# readers must agree. Headers of bare LF lines are this one's alone.
_BLANK_LINE = re.compile(rb"\r\n\r\n|(?<!\r)\n\r?\n")
_RECORD_LINE = re.compile(rb"[\n\0](?=WARC/\d\.\d\r?\n)")
_SWALLOWED = re.compile(rb"\r?\n\r?\n(?=WARC/\d\.\d\r?\n[A-Za-z-]+: )")
_DATE = re.compile(rb"\d{14}")


@dataclass(slots=True)
class Found:
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


def read_carefully(archive: Archive, start: int, max_block: int) -> Iterator[Found | Gap]:
    """Everything from file offset `start` (a record's or member's) to the end of the file.

    Args:
        archive: the file; between two items others may move its position.
        start: where to begin.
        max_block: bytes of a block to keep; what lies behind is passed over.
    """
    resume: int | None = start
    while resume is not None:
        resume = yield from _Stretch(archive, resume, max_block).items()


class _Stretch:
    """What can be decoded from one offset on without meeting damage."""

    def __init__(self, archive: Archive, start: int, max_block: int) -> None:
        self._archive, self._codec, self._max_block = archive, archive.codec, max_block
        self._tape = Tape(archive.source, start, archive.codec)
        self._anchor, self._anchor_at = start, 0  # file offset and tape position of the last member begun by an item
        self._done = 0  # tape position behind the last item's own bytes
        self._ordinal = 0

    def items(self) -> Generator[Found | Gap, None, int | None]:
        """Records and gaps; returns the offset behind the damage that ended them, None at the end of the file."""
        tape = self._tape
        while True:
            first = self._to_next_item()
            if tape.ended:
                return (yield from self._pass_damage())
            fields = self._take_head()
            if fields is None:
                yield from self._take_junk(whole=first)
                continue
            found, note = self._take_record(tape.position, fields, first)
            yield found
            if note:
                yield Gap(warc_path=self._archive.path, warc_offset=found.offset, length=0, cause=note)
            if self._damaged:  # the record tells of it, and its length covers it
                behind = found.offset + found.length
                return behind if behind < self._archive.size else None

    @property
    def _damaged(self) -> bool:
        return self._tape.ended and self._tape.damage not in ("", "junk")

    def _to_next_item(self) -> bool:
        """Skip blanks; whether the next item is the first of its member. Blanks before it do not count."""
        tape = self._tape
        while tape.take_blank():
            pass
        border = next((border for border in reversed(tape.borders) if border[0] <= tape.position), None)
        first = border is not None and border[0] >= self._done
        if self._codec is None:
            self._anchor = tape.start + tape.position
        elif border is not None and first:
            self._anchor_at, self._anchor = border
            self._ordinal = 0
        tape.forget_before(tape.position)
        return first

    def _pass_damage(self) -> Generator[Gap, None, int | None]:
        tape = self._tape
        if not tape.damage:
            return None
        at = tape.offset if tape.damage == "junk" else tape.offset_of(tape.position)
        resume = self._resume()
        end = self._archive.size if resume is None else resume
        yield Gap(warc_path=self._archive.path, warc_offset=at, length=end - at, cause=tape.damage)
        return resume

    def _resume(self) -> int | None:
        """Where the next record begins behind the damage that ended the tape."""
        tape = self._tape
        at = tape.offset if tape.damage == "junk" else tape.borders[-1][1] + 1
        return next_start(self._archive.source, at, self._codec, self._archive.head)

    def _take_head(self) -> Fields | None:
        """The header at the tape's position, taken; None, and nothing taken, where there is none."""
        window = 2048
        while True:
            text = self._tape.peek(window)
            if not self._archive.head.match(text):
                return None
            if self._archive.head is not WARC_HEAD:
                return _arc_fields(self._tape)
            end = _BLANK_LINE.search(text)
            if end:
                self._tape.take(end.end())
                return parse_fields(text[: end.start()].partition(b"\n")[2])
            if len(text) < window or window >= MAX_HEAD:
                return None
            window *= 4

    def _take_record(self, body_at: int, fields: Fields, first: bool) -> tuple[Found, str]:
        """The record whose header was just taken, and a note on what was wrong but did no harm."""
        tape, declared = self._tape, declared_length(fields)
        block, size = self._take_block(declared or 0)
        fault = None if declared is not None else "no_content_length"
        swallowed = damaged = False
        if size < (declared or 0):
            damaged = tape.damage not in ("", "junk")
            swallowed = self._codec is None and self._give_back(block, size)
            if self._codec is None and not swallowed:
                fault = "truncated_record"
        elif not self._is_followed_well():
            swallowed = self._give_back(block, size)
        last = (self._done if swallowed else tape.position) - 1
        short = not swallowed and size == declared and not self._is_followed_well()
        self._done = last + 1
        while tape.take_blank():
            pass
        if swallowed:
            size = last + 1 - body_at
            block = block[:size]
        # A damaged member of its own behind this record is not this record's fault.
        if damaged or (self._damaged and not tape.border_after(last)):
            fault = fault or tape.damage
        note = "content_length_too_short" if short else ""
        if fault is None and size < (declared or 0):
            note = f"content_length_too_long: {declared} declared, {size} there"
            if size == len(block):
                block = block.removesuffix(b"\r\n\r\n")
                size = len(block)
        return self._found(fields, block, size, fault, note, first), note

    def _take_block(self, declared: int) -> tuple[bytes, int]:
        """At most `declared` bytes, no further than a member that begins with a record; and how many they were."""
        tape, kept, size = self._tape, bytearray(), 0
        while size < declared and not tape.ended:
            if tape.at_border and self._archive.head.match(tape.peek(CHUNK)):
                break
            data = tape.take_in_member(min(declared - size, CHUNK))
            size += len(data)
            kept += data[: max(0, self._max_block - len(kept))]
        return bytes(kept), size

    def _is_followed_well(self) -> bool:
        """Whether behind the tape's position, blanks aside, the tape ends or a member or record begins."""
        tape = self._tape
        blank = tape.take_blank()
        well = tape.ended or tape.at_border or self._archive.head.match(tape.peek(CHUNK)) is not None
        tape.push_back(blank)
        return well

    def _give_back(self, block: bytes, size: int) -> bool:
        """Put a record that a too long Content-Length took in back on the tape; `_done` is then what lies before it."""
        inside = _SWALLOWED.search(block) if size == len(block) else None
        if inside is None:
            return False
        self._tape.push_back(block[inside.start() :])
        self._done = self._tape.position
        return True

    def _found(self, fields: Fields, block: bytes, size: int, fault: str | None, note: str, first: bool) -> Found:
        tape, last = self._tape, self._done - 1
        end = self._end(last)
        number, self._ordinal = self._ordinal, 0 if self._codec is None else self._ordinal + 1
        alone = first and tape.offset_of(last) == self._anchor and (tape.ended or (tape.position, end) in tape.borders)
        intact = alone and not fault and not note
        return Found(self._anchor, end - self._anchor, number, fields, block, size, fault, intact)

    def _end(self, last: int) -> int:
        """The file offset behind the member that holds tape position `last` (uncompressed: behind its blanks)."""
        tape, archive = self._tape, self._archive
        if archive.codec is None:
            return tape.start + tape.position
        border = tape.border_after(last)
        if border is not None:
            return border[1]
        if not tape.ended:  # more records in this member, perhaps gigabytes of them: find its end without keeping them
            return member_end(archive.source, tape.offset_of(last), archive.codec)
        if self._damaged:
            resume = self._resume()
            return archive.size if resume is None else resume
        return tape.offset

    def _take_junk(self, *, whole: bool) -> Iterator[Gap]:
        """Decoded bytes that begin no record, up to the next member or record."""
        tape, start, window = self._tape, self._tape.position, b""
        while not tape.ended and (tape.position == start or not tape.at_border):
            window = window[-16:] + tape.take_in_member(CHUNK)  # a record's first line may lie across two helpings
            line = _RECORD_LINE.search(window) if self._archive.head is WARC_HEAD else None
            if line:
                tape.push_back(window[line.end() :])
                break
        if self._damaged:
            return  # the gap for the damage covers this member
        self._done = tape.position
        counted = whole or self._codec is None  # else the bytes of its member belong to a record
        length = self._end(tape.position - 1) - self._anchor if counted else 0
        cause = "junk" if counted else f"junk: {tape.position - start} decoded bytes"
        yield Gap(warc_path=self._archive.path, warc_offset=self._anchor, length=length, cause=cause)


def _arc_fields(tape: Tape) -> Fields:
    """An ARC record's one header line in WARC's terms (ARC 1.0 and 2.0, archive.org's ARC file format)."""
    line = tape.take(tape.peek(1 << 14).index(b"\n") + 1).strip()
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
