"""HTTP responses as they really are: bare line feeds, folded lines, wrong chunks, encodings that are not there."""

import io
import re
import zlib
from dataclasses import dataclass
from typing import Any

from pipeline.sources.warc.fields import parse_content_type, parse_fields

MAX_HEAD = 1 << 18

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"(?:HTTP/\d(?:\.\d)?|ICY)[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
_INTERIM = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+1\d\d")
_CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
_STEP = 1 << 16
_SMALL_STEP = 1 << 12  # an error loses the step it happens in


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response taken apart."""

    status: int | None = None
    """None where the block begins with no status line."""
    content_type: str | None = None
    charset: str | None = None
    body: bytes = b""
    body_size: int | None = None
    """At least so many bytes, where decoding stopped at the bound; None: `body` is whole."""
    fault: str | None = None


def parse_response(block: bytes, max_body: int) -> Response:
    """A response block as status, type and decoded body.

    A block without a status line is all body. Interim (1xx) responses are passed over. Bodies that do not have the
    transfer or content encoding their header claims are taken as they are, since crawlers often undo an encoding and
    leave its header; one that breaks off is kept as far as it decodes.

    Args:
        block: the content block of a `response` record.
        max_body: bytes of body to decode at most, which bounds decompression bombs.
    """
    while True:
        status = _STATUS_LINE.match(block)
        if not status:
            return Response(body=block)
        end = _HEAD_END.search(block, status.end(), MAX_HEAD)
        if not end:
            return Response(status=int(status[1]), fault="http_header_without_end")
        body = block[end.end() :]
        if not (_INTERIM.match(block) and _STATUS_LINE.match(body)):
            break
        block = body
    fields = parse_fields(block[: end.start()].partition(b"\n")[2])
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        body = unchunk(body)
    decoded, size = undo_encodings(body, fields.get(b"content-encoding", b""), max_body)
    content_type, charset = parse_content_type(fields)
    return Response(int(status[1]), content_type, charset, decoded, size)


def unchunk(body: bytes) -> bytes:
    """A chunked body (RFC 9112, 7.1) without its chunk lines.

    A body that does not begin with a chunk line is returned as it is; one whose chunks break off or go wrong is
    decoded as far as they are right, and the rest of the last one kept.
    """
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK_LINE.match(body, at):
        size = int(found[1], 16)
        if size == 0:
            return b"".join(parts)
        start = found.end()
        parts.append(body[start : start + size])
        at = start + size
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return b"".join(parts) if parts else body


def undo_encodings(body: bytes, header: bytes, max_body: int) -> tuple[bytes, int | None]:
    """The body with its Content-Encoding undone, and its least size if `max_body` cut it."""
    encodings = [word.strip().lower() for word in header.split(b",")]
    for encoding in reversed([word for word in encodings if word not in (b"", b"identity")][:4]):
        decoded = _decoded(body, encoding, max_body + 1)
        if decoded:
            body = decoded
    if len(body) > max_body:
        return body[:max_body], len(body)
    return body, None


def _decoded(body: bytes, encoding: bytes, limit: int) -> bytes:
    """At most `limit` decoded bytes; none where the body is not in this encoding after all."""
    # A plain page must not reach the brotli decoder, which has no magic number to tell it by.
    if encoding in (b"gzip", b"x-gzip") and body.startswith(b"\x1f\x8b"):
        return _inflated(body, 31, limit)
    if encoding in (b"deflate", b"x-deflate"):
        return _inflated(body, 15, limit) or _inflated(body, -15, limit)
    if encoding == b"br" and not body[:64].lstrip().startswith((b"<", b"{")):
        from fastwarc.stream_io import BrotliReader

        return _read_all(BrotliReader(io.BytesIO(body)), limit)
    if encoding == b"zstd" and body.startswith(b"\x28\xb5\x2f\xfd"):
        from fastwarc.stream_io import ZstdReader

        return _read_all(ZstdReader(io.BytesIO(body)), limit)
    return b""


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    inflater, parts, size, at = zlib.decompressobj(window), [], 0, 0
    while at < len(body) and size < limit and not inflater.eof:
        data = body[at : at + _STEP]
        try:
            out = inflater.decompress(data, min(limit - size, 1 << 20))
        except zlib.error:
            break
        at += len(data) - len(inflater.unconsumed_tail)
        parts.append(out)
        size += len(out)
    return b"".join(parts)


def _read_all(reader: Any, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < limit:
        try:
            data = reader.read(min(_SMALL_STEP, limit - size))
        except OSError:
            break
        if not data:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts)
