"""How archives are compressed: gzip members and zstd frames, decoded one by one in bounded helpings."""

import functools
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

MAX_STEP = 1 << 20  # decoded bytes per call at most (gzip): a bomb is met in small helpings
_MAX_DICTIONARY = 1 << 24  # a frame that says it holds a longer one is not believed

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

    def __init__(self, words: Any = None) -> None:
        import zstandard

        self._error = zstandard.ZstdError
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
        return Codec("zstd", _ZSTD_MAGIC, functools.partial(_Unzstd, _dictionary(source, _uint32(head[4:]))))
    if head.startswith(_ZSTD_MAGIC):
        return Codec("zstd", _ZSTD_MAGIC, _Unzstd)
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


def _dictionary(source: BinaryIO, size: int) -> Any:
    """The dictionary in the skippable frame, itself perhaps compressed; None when it cannot be read."""
    import zstandard

    data = _read_exactly(source, size) if size <= _MAX_DICTIONARY else b""
    words = _unpacked(data) if data.startswith(_ZSTD_MAGIC) else data
    return zstandard.ZstdCompressionDict(words) if words else None  # once: to load it for every frame is slow


def _unpacked(data: bytes) -> bytes | None:
    words, inflater, at = bytearray(), _Unzstd(), 0
    while at < len(data) and not inflater.eof and len(words) < _MAX_DICTIONARY:
        step = data[at : at + _Unzstd.STEP]
        try:
            out, left = inflater.feed(step)
        except Damage:
            return None
        words += out
        at += len(step) - left
    return bytes(words)
