"""The decoded bytes of an archive, and where each of its compressed members lies.

Everything in a WARC pointer hangs on member boundaries (a member is a gzip member or a zstd frame: usually one record),
so decoding goes member by member, and damage ends the stream with its cause instead of an exception.

Whatever the bytes are, work grows with their number: what was looked at is remembered, taken bytes are put back
without copying, and boundaries are found by bisection.
"""

import re
from bisect import bisect_left, bisect_right
from typing import BinaryIO

from pipeline.sources.warc.codec import Codec, Damage, Inflater

CHUNK = 1 << 16
FIRST_FEED = 512
FIRST_READ = 1 << 12
_BLANKS = re.compile(rb"[\r\n\0 \t]*")
_BEGINNING = 1 << 12
"""Bytes of a member that have to tell whether it begins with a record, after at most 64 KiB of blanks."""
_SLACK = 1 << 20
"""Bytes that may lie behind the reading position before they are let go."""
_LOOK = 32  # bytes that a pattern of `pass_in_member` may look ahead

WARC_HEAD = re.compile(rb"WARC/\d\.\d")
ARC_HEAD = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[^\r\n]{1,8192}? \d{14} [^\r\n]{0,1000}?\d{1,18}\r?\n")


class MemberStream:
    """Decoded bytes from one file offset on. Positions on the stream count decoded bytes from its start.

    The stream ends at the end of the file, where a member is damaged (`damage` says how), or where something other
    than a member follows a member (`damage` is `junk`).
    """

    def __init__(self, source: BinaryIO, offset: int, codec: Codec | None) -> None:
        self.start = offset
        self.position = 0  # on the stream, of the next byte to take
        self.damage = ""
        self._boundary_at: list[int] = []  # positions on the stream of the members' starts
        self._boundary_offset: list[int] = []  # and their file offsets
        self._source, self._codec = source, codec
        self._decoded, self._taken = bytearray(), 0  # bytes at hand; how many in front of them are taken
        self._input, self._cursor, self._input_at = b"", 0, offset
        self._step = FIRST_READ
        self._inflater: Inflater | None = None
        self._feed = CHUNK
        self._ended = False

    @property
    def boundaries(self) -> list[tuple[int, int]]:
        """(position on the stream, file offset) of each member's start; of many empty members the first and last."""
        return list(zip(self._boundary_at, self._boundary_offset, strict=True))

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the stream's end."""
        self._fill(count)
        return bytes(memoryview(self._decoded)[self._taken : self._taken + count])

    def take(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the stream's end; they leave the stream."""
        taken = self.peek(count)
        self.skip(len(taken))
        return taken

    def fill(self, count: int) -> int:
        """Decode until `count` bytes are at hand, or the stream ends; how many are at hand, at least."""
        self._fill(count)
        return len(self._decoded) - self._taken

    def skip(self, count: int) -> None:
        """Take bytes that are at hand, unseen; a negative count puts back what was taken since the last `compact`."""
        self._taken += count
        self.position += count

    def compact(self) -> None:
        """Let go of bytes that are taken."""
        if self._taken > _SLACK and 2 * self._taken > len(self._decoded):
            del self._decoded[: self._taken]
            self._taken = 0

    def take_in_member(self, count: int) -> bytes:
        """At least one and at most `count` bytes, whatever is at hand of one member; none only at the stream's end."""
        self.compact()
        return self.take(self._at_hand(count))

    def pass_in_member(self, count: int, stop: re.Pattern[bytes] | None) -> bool:
        """As `take_in_member`, unseen, and no further than the end of the first match of `stop`; whether it matched."""
        self.compact()
        self._fill(count + _LOOK)  # a match may lie across two helpings
        end = self._taken + self._at_hand(count)
        found = stop.search(self._decoded, self._taken, end + _LOOK) if stop else None
        matched = found is not None and found.start() < end
        self.skip((found.end() if found and matched else end) - self._taken)
        return matched

    def find(self, pattern: re.Pattern[bytes], start: int, end: int) -> re.Match[bytes] | None:
        """The first match among the bytes at hand (`fill`) from the position + `start` to + `end`."""
        return pattern.search(self._decoded, self._taken + start, self._taken + end)

    def distance(self, place: int) -> int:
        """From the position to a place in a match that `find` gave."""
        return place - self._taken

    def matches(self, pattern: re.Pattern[bytes], start: int = 0, width: int = CHUNK) -> bool:
        """Whether `pattern` matches the bytes at the position + `start`, looking at `width` of them at most."""
        self._fill(start + width)
        return pattern.match(self._decoded, self._taken + start, self._taken + start + width) is not None

    def take_blank(self, limit: int = CHUNK) -> bytes:
        """At most about `limit` line ends, spaces and NULs."""
        taken = bytearray()
        while len(taken) < limit and self._fill(1):
            end = _end_of_blanks(self._decoded, self._taken)
            taken += self._decoded[self._taken : end]
            rest = end < len(self._decoded)
            self.skip(end - self._taken)
            if rest:
                break
        return bytes(taken)

    def offset_of(self, position: int) -> int:
        """The file offset of the member that holds `position` (uncompressed: of the byte itself)."""
        if self._codec is None:
            return self.start + position
        boundary = self.boundary_before(position)
        return self.start if boundary is None else boundary[1]

    def boundary_before(self, position: int) -> tuple[int, int] | None:
        """(position, file offset) of the last member that starts at or before `position`."""
        return self._boundary(bisect_right(self._boundary_at, position) - 1)

    def boundary_after(self, position: int) -> tuple[int, int] | None:
        """(position, file offset) of the first member that starts behind `position`, of those met so far."""
        return self._boundary(bisect_right(self._boundary_at, position))

    def is_boundary(self, position: int, offset: int) -> bool:
        """Whether a member starts at this position and offset."""
        at = bisect_left(self._boundary_at, position)
        return any(self._boundary(n) == (position, offset) for n in (at, at + 1))

    def forget_before(self, position: int) -> None:
        """Drop the boundaries that nothing will ask for again."""
        gone = bisect_right(self._boundary_at, position) - 1
        if gone > 0:
            del self._boundary_at[:gone], self._boundary_offset[:gone]

    def boundaries_between(self, start: int, end: int) -> list[int]:
        """Positions, from `start` to before `end`, where a member starts."""
        return self._boundary_at[bisect_left(self._boundary_at, start) : bisect_left(self._boundary_at, end)]

    @property
    def offset(self) -> int:
        """The file offset up to which input was used: behind the last whole member at the end of a sound stream."""
        return self._input_at + self._cursor if self._codec else self.start + self.position

    @property
    def last_boundary(self) -> int:
        """The file offset of the last member met."""
        return self._boundary_offset[-1]

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte is the first of a member."""
        boundary = self.boundary_before(self.position) if self._fill(1) else None
        return boundary is not None and boundary[0] == self.position

    @property
    def ended(self) -> bool:
        """Whether nothing is left to take."""
        return not self._fill(1)

    def _at_hand(self, count: int) -> int:
        """At most `count`: the bytes decoded already of the member that the next byte is of (0 at the stream's end)."""
        if not self._fill(1):
            return 0
        boundary = self.boundary_after(self.position)
        there = len(self._decoded) - self._taken
        return min(count, there, boundary[0] - self.position if boundary else count)

    def _boundary(self, number: int) -> tuple[int, int] | None:
        if not 0 <= number < len(self._boundary_at):
            return None
        return self._boundary_at[number], self._boundary_offset[number]

    def _fill(self, count: int) -> bool:
        while len(self._decoded) - self._taken < count and not self._ended:
            self._pull()
        return len(self._decoded) - self._taken >= count

    def _pull(self) -> None:
        if self._codec is None:
            self._source.seek(self.start + self.position + len(self._decoded) - self._taken)
            data = self._source.read(CHUNK)
            self._decoded += data
            self._ended = not data
        elif self._inflater is None:
            self._open_member(self._codec)
        else:
            self._inflate(self._inflater)

    def _open_member(self, codec: Codec) -> None:
        head = self._ahead(len(codec.magic))
        if not head.startswith(codec.magic):
            self._ended, self.damage = True, "junk" if head else ""
            return
        self._note_boundary(self.position + len(self._decoded) - self._taken, self._input_at + self._cursor)
        self._inflater, self._feed = codec.start(), FIRST_FEED

    def _note_boundary(self, position: int, offset: int) -> None:
        if self._boundary_at[-2:] == [position, position]:
            self._boundary_offset[-1] = offset  # a file of empty members has one every 20 bytes
            return
        self._boundary_at.append(position)
        self._boundary_offset.append(offset)

    def _inflate(self, inflater: Inflater) -> None:
        # The decoder loses what it made of the helping in which it fails. So helpings are counted from the member's
        # start, not from where a read of the file ended: where reading began leaves no trace in a damaged member.
        data = self._ahead(self._feed)
        if not data:
            self._ended, self.damage = True, "truncated_member"
            return
        try:
            out, unused = inflater.feed(data)
        except Damage as error:
            self._decoded += error.decoded
            self._ended, self.damage = True, f"corrupt_member: {error.cause}"
            return
        self._cursor += len(data) - unused
        self._decoded += out
        self._feed = CHUNK // 4
        if inflater.eof:
            self._inflater = None

    def _ahead(self, count: int) -> bytes:
        while len(self._input) - self._cursor < count and self._read_on():
            pass
        return self._input[self._cursor : self._cursor + count]

    def _read_on(self) -> bool:
        self._source.seek(self._input_at + len(self._input))  # others read the same file in between
        more = self._source.read(self._step)
        self._step = min(2 * self._step, CHUNK)
        self._input_at += self._cursor
        self._input, self._cursor = self._input[self._cursor :] + more, 0
        return bool(more)


def member_end(source: BinaryIO, offset: int, codec: Codec) -> int:
    """The file offset behind the member at `offset` (behind its readable part where it is damaged)."""
    stream = MemberStream(source, offset, codec)
    while not stream.ended:
        stream.pass_in_member(CHUNK, None)
        after = stream.boundary_after(0)
        if after is not None:
            return after[1]
    return stream.offset


def next_start(source: BinaryIO, offset: int, codec: Codec | None, head: re.Pattern[bytes] = WARC_HEAD) -> int | None:
    """The first file offset, `offset` or later, of a member that begins with a record (uncompressed: of a WARC line).

    Bytes that only look like a member are told apart by decoding their beginning. None: there is no more.
    """
    magic = codec.magic if codec else b"WARC/"
    window, at, searched = b"", offset, 0  # `at` is the file offset of window[0]
    while True:
        source.seek(at + len(window))
        data = source.read(CHUNK)
        window += data
        # Every candidate has its whole beginning in the window, unless the file ends there.
        end = len(window) - (_BEGINNING if data else 0)
        found = window.find(magic, searched, max(end, 0) + len(magic) - 1)
        while found >= 0:
            if _begins_record(window, found, codec, head, at == 0):
                return at + found
            found = window.find(magic, found + 1, max(end, 0) + len(magic) - 1)
        if not data:
            return None
        searched = max(end, searched)
        gone = max(searched - 1, 0)
        window, at, searched = window[gone:], at + gone, searched - gone


def decoded_start(source: BinaryIO, offset: int, codec: Codec | None, count: int) -> bytes:
    """The first `count` decoded bytes of the member at `offset`, fewer where it is short or damaged; blanks skipped."""
    stream = MemberStream(source, offset, codec)
    stream.take_blank()
    return stream.peek(count)


def _begins_record(window: bytes, at: int, codec: Codec | None, head: re.Pattern[bytes], at_zero: bool) -> bool:
    """Whether a record begins at window[at], going by at most `_BEGINNING` bytes of it."""
    if codec is None:
        return (window[at - 1 : at] in (b"\n", b"\0") if at else at_zero) and head.match(window, at) is not None
    inflater, out, end = codec.start(), bytearray(), 0
    try:
        while not inflater.eof and at < len(window) and end < _BEGINNING and len(out) < CHUNK:
            data = window[at : at + min(FIRST_FEED, _BEGINNING - end)]
            more, unused = inflater.feed(data)
            out += more
            at, end = at + len(data) - unused, end + len(data) - unused
            if _end_of_blanks(out, 0) + 1024 < len(out):
                break
    except Damage as error:
        out += error.decoded
    return head.match(out, _end_of_blanks(out, 0)) is not None


def _end_of_blanks(data: bytes | bytearray, start: int) -> int:
    found = _BLANKS.match(data, start)
    return found.end() if found else start
