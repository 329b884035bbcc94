"""The decoded bytes of an archive, and where each of its compressed members lies.

Everything in a WARC pointer hangs on member borders (a member is a gzip member or a zstd frame: usually one record),
so decoding goes member by member, and damage ends the tape with its cause instead of an exception.
"""

import functools
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

CHUNK = 1 << 16
FIRST_FEED = 512
MAX_STEP = 1 << 20  # decoded bytes per call at most (gzip): a bomb is met in small helpings
BLANK = b"\r\n\0 \t"
WARC_HEAD = re.compile(rb"WARC/\d\.\d")
ARC_HEAD = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[^\r\n]{1,8192}? \d{14} [^\r\n]{0,1000}?\d{1,18}\r?\n")

_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_DICTIONARY_MAGIC = (
    b"\x5d\x2a\x4d\x18"  # the skippable frame that the IIPC's WARC-zstd draft keeps a dictionary in
)


class Inflater(Protocol):
    """Decodes one member."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Decoded bytes, and how many bytes of `data` were not used; raises Damage."""


class Damage(ValueError):
    """A member that cannot be decoded further.

    Args:
        cause: what is wrong.
        decoded: what could still be decoded of the bytes just fed.
    """

    def __init__(self, cause: str, decoded: bytes = b"") -> None:
        self.cause, self.decoded = cause, decoded
        super().__init__(cause)


class _Gunzip:
    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self._fed = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    def feed(self, data: bytes) -> tuple[bytes, int]:
        try:
            out = self._zlib.decompress(data, MAX_STEP)
        except zlib.error as error:
            # The output of the failing call is lost; of the first one it is the header of the damaged record.
            raise Damage(str(error), b"" if self._fed else _bytewise(data)) from error
        self._fed = True
        return out, len(self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail)


def _bytewise(data: bytes) -> bytes:
    inflater, out = zlib.decompressobj(31), bytearray()
    try:
        for at in range(len(data)):
            out += inflater.decompress(data[at : at + 1])
    except zlib.error:
        pass
    return bytes(out)


class _Unzstd:
    # A zstd block of 4 bytes may stand for 128 KiB, and the library's calls have no bound of their own.
    STEP = 512

    def __init__(self, dictionary: bytes | None) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        words = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._frame = zstandard.ZstdDecompressor(dict_data=words).decompressobj()

    @property
    def eof(self) -> bool:
        return self._frame.eof

    def feed(self, data: bytes) -> tuple[bytes, int]:
        step = data[: self.STEP]
        try:
            out = self._frame.decompress(step)
        except self._error as error:
            raise Damage(str(error)) from error
        return out, len(data) - len(step) + (len(self._frame.unused_data) if self._frame.eof else 0)


@dataclass(frozen=True, slots=True)
class Codec:
    """How a file is compressed."""

    name: str
    magic: bytes
    start: Callable[[], Inflater]


GZIP = Codec("gzip", _GZIP_MAGIC, _Gunzip)


def codec_of(source: BinaryIO) -> Codec | None:
    """The codec of a file by its first bytes; None: not compressed (or not by one we know)."""
    source.seek(0)
    head = source.read(8)
    if head.startswith(_GZIP_MAGIC):
        return GZIP
    if head.startswith(_ZSTD_DICTIONARY_MAGIC) and len(head) == 8:
        return Codec(
            "zstd", _ZSTD_MAGIC, functools.partial(_Unzstd, _dictionary(_read_exactly(source, _uint32(head[4:]))))
        )
    if head.startswith(_ZSTD_MAGIC):
        return Codec("zstd", _ZSTD_MAGIC, functools.partial(_Unzstd, None))
    return None


def _read_exactly(source: BinaryIO, count: int) -> bytes:
    """`count` bytes, fewer only at the end: an unbuffered source may hand out less at a time."""
    data = bytearray()
    while len(data) < count and (more := source.read(min(count - len(data), 1 << 20))):
        data += more
    return bytes(data)


def _uint32(data: bytes) -> int:
    number: int = struct.unpack("<I", data)[0]
    return number


def _dictionary(data: bytes) -> bytes | None:
    """The dictionary in the skippable frame, itself perhaps compressed; None when it cannot be read."""
    if not data.startswith(_ZSTD_MAGIC):
        return data or None
    words, inflater = b"", _Unzstd(None)
    while data and not inflater.eof and len(words) < 1 << 24:
        try:
            out, left = inflater.feed(data)
        except Damage:
            return None
        words, data = words + out, data[len(data) - left :]
    return words


class Tape:
    """Decoded bytes from one file offset on. Positions on the tape count decoded bytes from its start.

    The tape ends at the end of the file, where a member is damaged (`damage` says how), or where something other
    than a member follows a member (`damage` is `junk`).
    """

    def __init__(self, source: BinaryIO, offset: int, codec: Codec | None) -> None:
        self.start = offset
        self.position = 0  # on the tape, of the next byte to take
        self.borders: list[tuple[int, int]] = []  # (position on the tape, file offset) of each member's start
        self.damage = ""
        self._source, self._codec = source, codec
        self._decoded = bytearray()
        self._input, self._cursor, self._input_at = b"", 0, offset
        self._inflater: Inflater | None = None
        self._feed = CHUNK
        self._ended = False

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the tape's end."""
        self._fill(count)
        return bytes(self._decoded[:count])

    def take(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the tape's end; they leave the tape."""
        self._fill(count)
        taken = bytes(self._decoded[:count])
        del self._decoded[:count]
        self.position += len(taken)
        return taken

    def take_in_member(self, count: int) -> bytes:
        """At least one and at most `count` bytes, whatever is at hand of one member; none only at the tape's end."""
        if not self._fill(1):
            return b""
        border = self.border_after(self.position)
        return self.take(min(count, len(self._decoded), border[0] - self.position if border else count))

    def push_back(self, data: bytes) -> None:
        """Undo a `take`."""
        self._decoded[:0] = data
        self.position -= len(data)

    def take_blank(self, limit: int = CHUNK) -> bytes:
        """At most about `limit` line ends, spaces and NULs."""
        taken = bytearray()
        while len(taken) < limit and self._fill(1):
            rest = self._decoded.lstrip(BLANK)
            taken += self._decoded[: len(self._decoded) - len(rest)]
            self.position += len(self._decoded) - len(rest)
            self._decoded = rest
            if rest:
                break
        return bytes(taken)

    def offset_of(self, position: int) -> int:
        """The file offset of the member that holds `position` (uncompressed: of the byte itself)."""
        if self._codec is None:
            return self.start + position
        return next((offset for at, offset in reversed(self.borders) if at <= position), self.start)

    def border_after(self, position: int) -> tuple[int, int] | None:
        """(position, file offset) of the first member that starts behind `position`, of those met so far."""
        return next((border for border in self.borders if border[0] > position), None)

    def forget_before(self, position: int) -> None:
        """Drop the borders that nothing will ask for again."""
        while len(self.borders) > 1 and self.borders[1][0] <= position:
            del self.borders[0]

    @property
    def offset(self) -> int:
        """The file offset up to which input was used: behind the last whole member once the tape has ended cleanly."""
        return self._input_at + self._cursor if self._codec else self.start + self.position

    @property
    def at_border(self) -> bool:
        """Whether the next byte is the first of a member."""
        return self._fill(1) and any(at == self.position for at, _ in self.borders)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to take."""
        return not self._fill(1)

    def _fill(self, count: int) -> bool:
        while len(self._decoded) < count and not self._ended:
            self._pull()
        return len(self._decoded) >= count

    def _pull(self) -> None:
        if self._codec is None:
            self._source.seek(self.start + self.position + len(self._decoded))
            data = self._source.read(CHUNK)
            self._decoded += data
            self._ended = not data
        elif self._inflater is None:
            self._open_member()
        else:
            self._inflate(self._inflater)

    def _open_member(self) -> None:
        assert self._codec is not None
        head = self._ahead(len(self._codec.magic))
        if not head.startswith(self._codec.magic):
            self._ended, self.damage = True, "junk" if head else ""
            return
        self.borders.append((self.position + len(self._decoded), self._input_at + self._cursor))
        self._inflater, self._feed = self._codec.start(), FIRST_FEED

    def _inflate(self, inflater: Inflater) -> None:
        if self._cursor >= len(self._input) and not self._read_on():
            self._ended, self.damage = True, "truncated_member"
            return
        data = self._input[self._cursor : self._cursor + self._feed]
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
        more = self._source.read(CHUNK)
        self._input_at += self._cursor
        self._input, self._cursor = self._input[self._cursor :] + more, 0
        return bool(more)


def member_end(source: BinaryIO, offset: int, codec: Codec) -> int:
    """The file offset behind the member at `offset` (behind its readable part where it is damaged)."""
    tape = Tape(source, offset, codec)
    while tape.take_in_member(MAX_STEP):
        after = tape.border_after(0)
        if after is not None:
            return after[1]
    return tape.offset


def next_start(source: BinaryIO, offset: int, codec: Codec | None, head: re.Pattern[bytes] = WARC_HEAD) -> int | None:
    """The first file offset, `offset` or later, of a member that begins with a record (uncompressed: of a WARC line).

    Bytes that only look like a member are told apart by decoding their beginning. None: there is no more.
    """
    magic = codec.magic if codec else b"WARC/"
    window, at = b"", offset  # `at` is the file offset of window[0]
    while True:
        source.seek(at + len(window))
        data = source.read(CHUNK)
        window += data
        found = window.find(magic)
        while found >= 0:
            if _is_start(source, at + found, codec, head):
                return at + found
            found = window.find(magic, found + 1)
        if not data:
            return None
        keep = window[-(len(magic) - 1) :]
        at += len(window) - len(keep)
        window = keep


def decoded_start(source: BinaryIO, offset: int, codec: Codec | None, count: int) -> bytes:
    """The first `count` decoded bytes of the member at `offset`, fewer where it is short or damaged; blanks skipped."""
    tape = Tape(source, offset, codec)
    tape.take_blank()
    return tape.peek(count)


def _is_start(source: BinaryIO, offset: int, codec: Codec | None, head: re.Pattern[bytes]) -> bool:
    if codec is None:
        source.seek(max(offset - 1, 0))
        if offset and source.read(1) not in (b"\n", b"\0"):
            return False
        return head.match(source.read(CHUNK)) is not None
    return head.match(decoded_start(source, offset, codec, 1024)) is not None
