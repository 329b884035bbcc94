"""HTTP responses as they really are."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from pipeline.sources.warc.http import Response, parse_response, unchunk, undo_encodings

PAGE = b"<!DOCTYPE html><html><body>" + b"<p>words</p>" * 50 + b"</body></html>"
LIMIT = 1 << 20


def parse(block: bytes) -> Response:
    return parse_response(block, LIMIT)


def test_a_response_is_taken_apart():
    found = parse(b'HTTP/1.1 404 Not Found\r\nContent-Type: Text/HTML; Charset="ISO-8859-1"\r\nX: y\r\n\r\n' + PAGE)
    assert found == Response(404, "text/html", "iso-8859-1", PAGE)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200\nContent-Type: text/html\nX-Fold: one\n two\nno colon here\n\n",  # bare line feeds, no reason
        b"HTTP/2 200 \r\ncontent-type:text/html\r\n\r\n",
        b"http/1.1 200 OK\r\nContent-Type : text/html ;\r\nContent-Type: image/png\r\n\r\n",  # the first of two stands
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\nContent-Type: text/html\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type:\r\n text/html\r\n\r\n",
    ],
)
def test_odd_heads_are_read(head):
    found = parse(head + PAGE)
    assert (found.status, found.content_type, found.body, found.fault) == (200, "text/html", PAGE, None)


def test_no_head_at_all_leaves_everything_to_the_body():
    assert parse(PAGE) == Response(body=PAGE)
    assert parse(b"") == Response(body=b"")
    assert parse(b"HTTP/1.1 20 OK\r\n\r\nx").status is None


def test_a_head_that_never_ends_is_a_fault():
    assert parse(b"HTTP/1.1 200 OK\r\nA: b\r\n") == Response(200, fault="http_header_without_end")
    assert parse(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000 + b"\r\n\r\nx").fault == "http_header_without_end"


@pytest.mark.parametrize(
    ("value", "charset"),
    [
        (b"text/html; charset=utf-8", "utf-8"), (b"text/html;CHARSET = 'Shift_JIS'", "shift_jis"),
        (b"text/html; charset=", None),
        (b"text/html; charset=\xff", "\xff"), (b"text/html", None), (b"; charset=x", "x"),
    ],
)  # fmt: skip
def test_the_charset_of_a_content_type(value, charset):
    assert parse(b"HTTP/1.1 200 OK\r\nContent-Type: " + value + b"\r\n\r\n").charset == charset


def chunked(body: bytes, size: int = 100, last: bytes = b"0\r\n\r\n") -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


@pytest.mark.parametrize(
    "body",
    [
        chunked(PAGE),
        chunked(PAGE, last=b""),  # ends before its last chunk
        chunked(PAGE, last=b"0\r\nTrailer: x\r\n\r\n"),
        chunked(PAGE).replace(b"\r\n", b"\n"),
        chunked(PAGE).replace(b"64\r\n", b"0064 ;name=value\r\n"),
        PAGE,  # the crawler undid the chunks and left the header
    ],
)
def test_chunks_are_undone(body):
    assert unchunk(body) == PAGE
    assert parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + body).body == PAGE


def test_chunks_that_go_wrong_are_kept_as_far_as_they_are_right():
    assert unchunk(b"5\r\nhello\r\nzz\r\nworld") == b"hello"
    assert unchunk(b"5\r\nhello\r\n99999\r\nworld") == b"helloworld"
    assert unchunk(b"ffffffffffffffff\r\nhello") == b"ffffffffffffffff\r\nhello"  # no size: 16 digits
    assert unchunk(b"") == b""


def deflate_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODED = {
    "gzip": gzip.compress(PAGE), "x-gzip": gzip.compress(PAGE), "GZIP": gzip.compress(PAGE),
    "deflate": zlib.compress(PAGE), "Deflate": deflate_raw(PAGE), "br": brotli.compress(PAGE),
    "zstd": zstandard.compress(PAGE), "identity": PAGE,
    "gzip, br": brotli.compress(gzip.compress(PAGE)), "unheard-of": PAGE, "": PAGE,
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODED)
def test_content_encodings_are_undone(encoding):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode()
    assert parse(head + ENCODED[encoding]) == Response(200, body=PAGE)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_a_plain_page_that_claims_an_encoding_is_a_plain_page(encoding):
    assert undo_encodings(PAGE, encoding, LIMIT) == (PAGE, None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_an_encoded_body_that_breaks_off_is_kept_as_far_as_it_goes(encoding):
    noise = b" ".join(zlib.compress(b"%d" % n) for n in range(20_000))
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[
        encoding
    ]
    packed = pack(noise)
    body, size = undo_encodings(packed[: len(packed) * 9 // 10], encoding.encode(), LIMIT)
    assert noise.startswith(body) and len(body) >= 1000 and size is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_stops_at_the_bound(encoding):
    bomb = b"a" * 50_000_000
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress,
            "br": lambda data: brotli.compress(data, quality=1)}[encoding]  # fmt: skip
    body, size = undo_encodings(pack(bomb), encoding.encode(), 100_000)
    assert body == bomb[:100_000] and size == 100_001


def test_the_bound_itself_is_allowed():
    assert undo_encodings(gzip.compress(PAGE), b"gzip", len(PAGE)) == (PAGE, None)
    assert undo_encodings(gzip.compress(PAGE), b"gzip", len(PAGE) - 1) == (PAGE[:-1], len(PAGE))
    assert undo_encodings(PAGE, b"", len(PAGE) - 1) == (PAGE[:-1], len(PAGE))


def test_garbage_in_every_encoding_does_no_harm():
    for seed in range(50):
        noise = zlib.compress(str(seed).encode() * 100) * 3
        for encoding in (b"gzip", b"deflate", b"br", b"zstd"):
            for magic in (b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"):
                body, size = undo_encodings(magic + noise[seed:], encoding, 10_000)
                assert len(body) <= 10_000 and (size is None or size > 10_000)
